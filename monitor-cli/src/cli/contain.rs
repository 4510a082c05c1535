//! `contain` and `release`, and their flags.

use std::time::Duration;

use clap::{Args, builder::NonEmptyStringValueParser};
use monitor_model::revocation::Mode;

use super::{Revoke, Wait, one_of};
use crate::output::time::parse_duration;

/// Which session to contain, why, and how long to wait.
#[derive(Debug, Args)]
#[command(
    after_help = "An order against the session: `monitorctl orders` has it, and it stays in force until somebody lifts it.
freeze is taken back by `monitorctl release`; kill cannot be.

Examples:
  monitorctl contain --session S2A1B0 --reason \"looks odd, asking\"
  monitorctl contain --session S2A1B0 --mode kill --reason \"key was stolen\" --yes"
)]
pub struct Contain {
    /// The session, by its id or the end of it.
    #[arg(long)]
    pub session: String,
    /// freeze has it stand still until it is released; kill ends it and has the broker revoke.
    #[arg(long, value_parser = one_of(&Mode::ALL, Mode::as_str), default_value = "freeze")]
    pub mode: Mode,
    /// Why; kept with the order, and shown to the person.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    /// After how long the order is over by itself, as in 2h, 30m [default: when it is lifted].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub not_after: Option<Duration>,
    /// Shows what would be contained, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Does not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// What to wait for.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Wait::Enforced)]
    pub wait: Wait,
    /// How long to wait before giving up with exit code 4, as in 5s, 500ms, 1m30s.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
}

impl From<&Contain> for Revoke {
    fn from(contain: &Contain) -> Self {
        let Contain {
            session,
            mode,
            reason,
            not_after,
            dry_run,
            yes,
            wait,
            timeout,
        } = contain;
        Self {
            engineer: None,
            workload: None,
            session: Some(session.clone()),
            grant: None,
            tenant: None,
            host: None,
            serial: None,
            reason: reason.clone(),
            mode: *mode,
            not_after: *not_after,
            dry_run: *dry_run,
            yes: *yes,
            wait: *wait,
            timeout: *timeout,
            receipt: None,
        }
    }
}

/// Which session to release, why, and how long to wait.
#[derive(Debug, Args)]
#[command(
    after_help = "Lifts every order in force that freezes this session. One that freezes others too is not lifted:
`monitorctl orders lift` does that. What is to be killed is not released, and nobody releases a session of their own.

Example:
  monitorctl release --session S2A1B0 --reason \"it was an agreed change, INC-4712\""
)]
pub struct Release {
    /// The session, by its id or the end of it.
    #[arg(long)]
    pub session: String,
    /// Why; kept with the orders that are lifted.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    /// Shows what would be lifted, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Does not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Does not wait until the host has confirmed that it goes on.
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait before giving up with exit code 4, as in 5s, 500ms, 1m30s.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
}
