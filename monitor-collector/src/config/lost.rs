//! What becomes of credentials that are in use on a host that is lost: silent,
//! blind, set back or there twice.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::check::{Wrong, one, seconds, unstated};

/// Shortest lease: a host that was away for a moment is back by then.
pub const LEASE_SECONDS_MIN: u64 = 5;
/// Longest lease: a day.
pub const LEASE_SECONDS_MAX: u64 = 86_400;

/// What becomes of the leases of credentials on a lost host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leases {
    /// They run on; people are told.
    #[default]
    Keep,
    /// An order to revoke them is proposed.
    Ask,
    /// They end after a time, unless the host is well before.
    Shorten,
}

impl Leases {
    /// Every answer.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Ask, Self::Shorten];

    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Ask => "ask",
            Self::Shorten => "shorten",
        }
    }
}

/// What answers the loss of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPolicy {
    /// What becomes of the leases.
    pub leases: Leases,
    /// How long they last where they are shortened.
    pub lease: Duration,
}

impl Default for LostPolicy {
    /// What a configuration without the table has: as before there was one.
    fn default() -> Self {
        Self {
            leases: Leases::Keep,
            lease: Duration::from_secs(60),
        }
    }
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    leases: Spanned<String>,
    #[serde(default = "lease_seconds")]
    lease_seconds: Spanned<u64>,
}

fn lease_seconds() -> Spanned<u64> {
    unstated(60)
}

/// The table as it is meant.
pub(super) fn checked(raw: Option<Raw>) -> Result<LostPolicy, Wrong> {
    let Some(Raw {
        leases,
        lease_seconds,
    }) = raw
    else {
        return Ok(LostPolicy::default());
    };
    Ok(LostPolicy {
        leases: one("lost_host.leases", &leases, &Leases::ALL, Leases::as_str)?,
        lease: seconds(
            "lost_host.lease_seconds",
            &lease_seconds,
            LEASE_SECONDS_MIN..=LEASE_SECONDS_MAX,
        )?,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, DEFAULT};

    fn parse(table: &str) -> Result<LostPolicy, String> {
        let before = DEFAULT.split("[lost_host]").next().unwrap();
        let after = DEFAULT.split("[enforce]").nth(1).unwrap();
        let text = format!("{before}\n{table}\n[enforce]{after}");
        Config::parse(Path::new("/etc/monitor/collector.toml"), &text)
            .map(|config| config.lost)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_keeps_leases_as_a_configuration_of_before_does() {
        let installed = Config::parse(Path::new("/etc/c.toml"), DEFAULT).unwrap();
        assert_eq!(installed.lost, LostPolicy::default());
        assert_eq!(parse("").unwrap(), LostPolicy::default());
        let shortened = parse("[lost_host]\nleases = \"shorten\"\nlease_seconds = 5").unwrap();
        assert_eq!(shortened.leases, Leases::Shorten);
        assert_eq!(shortened.lease, Duration::from_secs(5));
    }

    #[test]
    fn wrong_values_are_told_with_what_would_be_right() {
        for (table, wanted) in [
            ("[lost_host]\nlease_seconds = 9", "missing field `leases`"),
            (
                "[lost_host]\nleases = \"end\"",
                "give one of keep, ask, shorten",
            ),
            (
                "[lost_host]\nleases = \"ask\"\nlease_seconds = 4",
                "give 5 to 86400 seconds",
            ),
            (
                "[lost_host]\nleases = \"ask\"\nlease_seconds = 86401",
                "give 5 to 86400 seconds",
            ),
        ] {
            let error = parse(table).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
