//! The configuration file, read raw and checked once.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use monitor_ledger::key::VerifierKey;
use monitor_transport::configuration::Document;

pub use monitor_transport::configuration::ConfigError;
use serde::Deserialize;
use toml::Spanned;

use crate::logs::{Log, Logs};

/// The documented file, as `config --default` prints it.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Most `[[log]]` tables.
pub const TABLES_MAX: usize = 1_000;
/// Least and most `limits.body_bytes_max`.
const BODY_BYTES: std::ops::RangeInclusive<u64> = 1_024..=1_048_576;
/// Least and most `limits.logs_max`.
const LOGS: std::ops::RangeInclusive<u64> = 1..=100_000;
/// Least and most `limits.requests_per_minute`.
const REQUESTS: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where the state lies.
    pub data_dir: PathBuf,
    /// The file of the key that signs.
    pub key: PathBuf,
    /// The server's certificate and key; without them it listens on the machine itself.
    pub tls: Option<TlsFiles>,
    /// Whose checkpoints are signed.
    pub logs: Logs,
    /// What may be asked of it.
    pub limits: Limits,
}

/// What may be asked of a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a request.
    pub body_bytes_max: usize,
    /// Most logs that are known.
    pub logs_max: u64,
    /// Most requests of one address a minute.
    pub requests_per_minute: u32,
}

/// The files of a server that asks nobody for a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate, and those between it and the authority's, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    listen: Spanned<String>,
    data_dir: PathBuf,
    key: PathBuf,
    tls: Option<TlsFiles>,
    limits: RawLimits,
    #[serde(default)]
    log: Vec<Spanned<RawLog>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    body_bytes_max: Spanned<u64>,
    logs_max: Spanned<u64>,
    requests_per_minute: Spanned<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    key: Spanned<String>,
    origin_prefix: Option<Spanned<String>>,
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
            key,
            tls,
            limits,
            log,
        } = raw;
        Ok(Self {
            listen: checked_listen(&listen, tls.is_some(), &document)?,
            data_dir: document.beside(data_dir),
            key: document.beside(key),
            tls: tls.map(|tls| TlsFiles {
                certificate: document.beside(tls.certificate),
                key: document.beside(tls.key),
            }),
            logs: checked_logs(log, &document)?,
            limits: checked_limits(&limits, &document)?,
        })
    }
}

fn checked_listen(
    listen: &Spanned<String>,
    has_tls: bool,
    document: &Document<'_>,
) -> Result<SocketAddr, ConfigError> {
    let address: SocketAddr = listen.get_ref().parse().map_err(|_| {
        let wanted = "give an address and port, as in 127.0.0.1:7445 or [::1]:7445";
        document.wrong("listen", listen, wanted)
    })?;
    if !has_tls && !address.ip().is_loopback() {
        let wanted = "without [tls] give an address of this machine itself, as 127.0.0.1:7445";
        return Err(document.wrong("listen", listen, wanted));
    }
    Ok(address)
}

fn checked_limits(raw: &RawLimits, document: &Document<'_>) -> Result<Limits, ConfigError> {
    let within = |key, value: &Spanned<u64>, allowed: &std::ops::RangeInclusive<u64>| {
        if allowed.contains(value.get_ref()) {
            return Ok(*value.get_ref());
        }
        let wanted = format!("give {} to {}", allowed.start(), allowed.end());
        Err(document.wrong(key, value, wanted))
    };
    let RawLimits {
        body_bytes_max,
        logs_max,
        requests_per_minute,
    } = raw;
    let body = within("limits.body_bytes_max", body_bytes_max, &BODY_BYTES)?;
    let requests = within("limits.requests_per_minute", requests_per_minute, &REQUESTS)?;
    Ok(Limits {
        body_bytes_max: usize::try_from(body).unwrap_or(usize::MAX),
        logs_max: within("limits.logs_max", logs_max, &LOGS)?,
        requests_per_minute: u32::try_from(requests).unwrap_or(u32::MAX),
    })
}

fn checked_logs(raw: Vec<Spanned<RawLog>>, document: &Document<'_>) -> Result<Logs, ConfigError> {
    let tables = raw.len();
    if !(1..=TABLES_MAX).contains(&tables) {
        let at = raw.first().map_or(0, |log| log.span().start);
        let wanted = format!(
            "give 1 to {TABLES_MAX} [[log]] tables: a witness signs for the logs that it knows"
        );
        return Err(document.wrong_at(at, "log", format!("{tables} tables"), wanted));
    }
    let logs = raw
        .into_iter()
        .map(|log| checked_log(log.into_inner(), document));
    Ok(Logs(logs.collect::<Result<_, _>>()?))
}

fn checked_log(raw: RawLog, document: &Document<'_>) -> Result<Log, ConfigError> {
    let RawLog { key, origin_prefix } = raw;
    let parsed = VerifierKey::parse(key.get_ref()).map_err(|error| {
        let wanted = format!("{error}; give what monitor-collector show-key prints");
        document.wrong("log.key", &key, wanted)
    })?;
    if let Some(prefix) = &origin_prefix {
        let text = prefix.get_ref();
        let names_tenant = parsed
            .name()
            .strip_prefix(text.as_str())
            .is_some_and(|tenant| !tenant.is_empty() && !tenant.contains('/'));
        if !text.ends_with('/') || !names_tenant {
            let wanted = "give the key's name without the tenant, as monitor.example/ of monitor.example/acme";
            return Err(document.wrong("log.origin_prefix", prefix, wanted));
        }
    }
    Ok(Log {
        key: parsed,
        origin_prefix: origin_prefix.map(Spanned::into_inner),
    })
}

#[cfg(test)]
mod tests {
    use monitor_ledger::key::LogKey;

    use super::*;

    fn vkey() -> String {
        let signer = LogKey::new("monitor.example", &[7; 32]).unwrap();
        let signer = signer.signer("acme").unwrap();
        signer.verifier().as_str().to_owned()
    }

    fn with_log(more: &str) -> String {
        format!("{DEFAULT}\n[[log]]\nkey = {:?}\n{more}\n", vkey())
    }

    fn told(text: &str) -> String {
        Config::parse(Path::new("w.toml"), text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_default_file_with_a_log_is_right() {
        let text = with_log("origin_prefix = \"monitor.example/\"");
        let config = Config::parse(Path::new("/etc/monitor/witness.toml"), &text).unwrap();
        assert_eq!(config.key, Path::new("/etc/monitor/witness.key"));
        assert_eq!(config.logs.keys("monitor.example/globex").len(), 1);
        assert_eq!(config.limits.logs_max, 1_000);
        assert!(config.tls.is_none());
    }

    #[test]
    fn a_wrong_value_is_told_with_key_value_and_remedy() {
        let good = with_log("");
        for (from, to, parts) in [
            (
                "\"127.0.0.1:7445\"",
                "\"localhost\"",
                ["listen", "127.0.0.1:7445"],
            ),
            (
                "\"127.0.0.1:7445\"",
                "\"0.0.0.0:7445\"",
                ["listen", "without [tls]"],
            ),
            (
                "= 65536",
                "= 12",
                ["limits.body_bytes_max", "1024 to 1048576"],
            ),
            (
                "logs_max = 1000",
                "logs_max = 0",
                ["limits.logs_max", "1 to 100000"],
            ),
            (
                "= 12000",
                "= 0",
                ["limits.requests_per_minute", "1 to 1000000"],
            ),
            ("+AepK", "+AapK", ["log.key", "show-key"]),
        ] {
            // The commented example comes before.
            let at = good.rfind(from).unwrap();
            let text = format!("{}{to}{}", &good[..at], &good[at + from.len()..]);
            let said = told(&text);
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
        assert!(told(DEFAULT).contains("give 1 to 1000 [[log]] tables"));
        for prefix in ["monitor.example", "monitor.example/acme/", "other/"] {
            let said = told(&with_log(&format!("origin_prefix = {prefix:?}")));
            assert!(said.contains("log.origin_prefix"), "{said}");
        }
        let open = good
            .replace("127.0.0.1", "0.0.0.0")
            .replace("# [tls]", "[tls]");
        let open = open
            .replace("# certificate", "certificate")
            .replace("# key = \"witness-tls", "key = \"witness-tls");
        assert!(Config::parse(Path::new("w.toml"), &open).is_ok());
    }
}
