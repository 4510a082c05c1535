//! The configuration file, read raw and checked once.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_transport::tls::TlsFiles;
use serde::Deserialize;
use toml::Spanned;

use crate::broker::Places;

/// The documented file, as `config --default` prints it.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Shortest and longest `certificate_seconds_max`.
const CERTIFICATE_SECONDS: std::ops::RangeInclusive<u64> = 60..=604_800;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the broker lives.
    pub places: Places,
    /// Mutual TLS.
    pub tls: TlsFiles,
    /// The collector's address, `https://`.
    pub collector: String,
}

/// Why a configuration is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not TOML, or a key that is missing, unknown or of the wrong kind.
    #[error("{}: {cause}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Line, key and what is wrong.
        cause: String,
    },
    /// A value that makes no sense.
    #[error("{}, line {line}: {key} is {value:?}; {right}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// What would be right.
        right: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: Spanned<String>,
    data_dir: Spanned<PathBuf>,
    krl: Spanned<PathBuf>,
    certificate_seconds_max: Spanned<u64>,
    tls: TlsFiles,
    collector: RawCollector,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCollector {
    address: Spanned<String>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] names file, line, key and value, and what would be right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.into(),
            source,
        })?;
        Self::parse(path, &text)
    }

    /// Checks a file's text; relative paths are relative to the file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|error| ConfigError::Form {
            path: path.into(),
            cause: error.to_string().trim_end().to_owned(),
        })?;
        let wrong = |at: usize, key, value: &dyn ToString, right: &str| ConfigError::Value {
            path: path.into(),
            line: text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1,
            key,
            value: value.to_string(),
            right: right.to_owned(),
        };
        let Raw {
            listen,
            data_dir,
            krl,
            certificate_seconds_max,
            tls,
            collector,
        } = raw;
        let address = listen.get_ref().parse().map_err(|_| {
            wrong(
                listen.span().start,
                "listen",
                listen.get_ref(),
                "give an address and port, as in 127.0.0.1:7444 or [::1]:7444",
            )
        })?;
        for (path, key) in [(&data_dir, "data_dir"), (&krl, "krl")] {
            if path.get_ref().file_name().is_none() {
                return Err(wrong(
                    path.span().start,
                    key,
                    &path.get_ref().display(),
                    "give a path that ends in a name",
                ));
            }
        }
        let seconds = *certificate_seconds_max.get_ref();
        if !CERTIFICATE_SECONDS.contains(&seconds) {
            let (first, last) = (CERTIFICATE_SECONDS.start(), CERTIFICATE_SECONDS.end());
            let right = format!("give {first} to {last} seconds");
            return Err(wrong(
                certificate_seconds_max.span().start,
                "certificate_seconds_max",
                &seconds,
                &right,
            ));
        }
        let dialled = collector.address.get_ref();
        if !dialled.starts_with("https://") || dialled.len() == "https://".len() {
            return Err(wrong(
                collector.address.span().start,
                "collector.address",
                dialled,
                "give an address as in https://collector.example:7443",
            ));
        }
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        Ok(Self {
            listen: address,
            places: Places {
                data_dir: base.join(data_dir.into_inner()),
                krl: base.join(krl.into_inner()),
                certificate_max: Duration::from_secs(seconds),
            },
            tls: beside(base, &tls),
            collector: collector.address.into_inner(),
        })
    }
}

fn beside(base: &Path, files: &TlsFiles) -> TlsFiles {
    let TlsFiles {
        ca,
        certificate,
        key,
    } = files;
    TlsFiles {
        ca: base.join(ca),
        certificate: base.join(certificate),
        key: base.join(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_is_right() {
        let config = Config::parse(Path::new("/etc/monitor/broker.toml"), DEFAULT).unwrap();
        assert_eq!(config.tls.ca, Path::new("/etc/monitor/ca.pem"));
        assert_eq!(config.places.krl, Path::new("/etc/ssh/monitor.krl"));
        assert_eq!(config.places.certificate_max, Duration::from_secs(3600));
    }

    #[test]
    fn a_wrong_value_is_told_with_file_line_key_value_and_remedy() {
        let told = |from: &str, to: &str| {
            let text = DEFAULT.replace(from, to);
            assert_ne!(text, DEFAULT);
            Config::parse(Path::new("b.toml"), &text)
                .unwrap_err()
                .to_string()
        };
        let line = |key: &str| {
            1 + DEFAULT
                .lines()
                .position(|line| line.starts_with(key))
                .unwrap()
        };
        let cases = [
            (
                "\"127.0.0.1:7444\"",
                "\"localhost\"",
                "listen",
                "127.0.0.1:7444",
            ),
            ("= 3600", "= 5", "certificate_seconds_max", "60 to 604800"),
            (
                "\"https://localhost:7443\"",
                "\"localhost:7443\"",
                "address",
                "https://",
            ),
        ];
        for (from, to, key, right) in cases {
            let told = told(from, to);
            for part in [
                &format!("b.toml, line {}:", line(key)),
                key,
                right,
                to.trim_matches(['"', '=', ' ']),
            ] {
                assert!(told.contains(part), "{told:?} does not say {part:?}");
            }
        }
        assert!(told("krl = ", "krll = ").contains("krll"));
        assert!(told("krl = \"/etc/ssh/monitor.krl\"", "").contains("krl"));
        assert!(told("= 3600", "= \"x\"").contains("line 17"));
    }
}
