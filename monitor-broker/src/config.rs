//! The configuration file, read raw and checked once.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_transport::{configuration::Document, tls::TlsFiles};

pub use monitor_transport::configuration::ConfigError;
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
    /// Whether it dials there for orders, too.
    pub feed: bool,
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
    #[serde(default)]
    feed: bool,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`] names file, line, key and value, and what would be right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &Document::read(path)?)
    }

    /// Checks a file's text; relative paths are relative to the file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let document = Document::new(path, text);
        let raw: Raw = document.parse()?;
        let Raw {
            listen,
            data_dir,
            krl,
            certificate_seconds_max,
            tls,
            collector,
        } = raw;
        let address = listen.get_ref().parse().map_err(|_| {
            document.wrong(
                "listen",
                &listen,
                "give an address and port, as in 127.0.0.1:7444 or [::1]:7444",
            )
        })?;
        for (path, key) in [(&data_dir, "data_dir"), (&krl, "krl")] {
            if path.get_ref().file_name().is_none() {
                return Err(document.wrong(key, path, "give a path that ends in a name"));
            }
        }
        let seconds = *certificate_seconds_max.get_ref();
        if !CERTIFICATE_SECONDS.contains(&seconds) {
            let (first, last) = (CERTIFICATE_SECONDS.start(), CERTIFICATE_SECONDS.end());
            let right = format!("give {first} to {last} seconds");
            return Err(document.wrong("certificate_seconds_max", &certificate_seconds_max, right));
        }
        let dialled = collector.address.get_ref();
        if !dialled.starts_with("https://") || dialled.len() == "https://".len() {
            return Err(document.wrong(
                "collector.address",
                &collector.address,
                "give an address as in https://collector.example:7443",
            ));
        }
        Ok(Self {
            listen: address,
            places: Places {
                data_dir: document.beside(data_dir.into_inner()),
                krl: document.beside(krl.into_inner()),
                certificate_max: Duration::from_secs(seconds),
            },
            tls: document.tls_beside(&tls),
            collector: collector.address.into_inner(),
            feed: collector.feed,
        })
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
                &format!("b.toml:{}:", line(key)),
                key,
                right,
                to.trim_matches(['"', '=', ' ']),
            ] {
                assert!(told.contains(part), "{told:?} does not say {part:?}");
            }
        }
        assert!(told("krl = ", "krll = ").contains("krll"));
        assert!(told("krl = \"/etc/ssh/monitor.krl\"", "").contains("krl"));
        assert!(told("= 3600", "= \"x\"").contains("b.toml:17:"));
    }
}
