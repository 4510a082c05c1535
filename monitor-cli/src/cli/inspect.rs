//! `inspect`, and its flags.

use std::time::Duration;

use clap::Args;

use crate::output::time::parse_duration;

/// Which session to look at, and how long to wait.
#[derive(Debug, Args)]
#[command(
    after_help = "The session's host is asked: what it says is of this moment, and nothing is changed by asking.
Each look is told in the ledgers of the tenants whose session or credentials it shows.
Pipes, devices and what has no file are counted; -v shows each.

Examples:
  monitorctl inspect --session S2A1B0
  monitorctl inspect --session S2A1B0 -o ndjson | jq '.snapshot.processes[].descriptors[] | select(.credential)'"
)]
pub struct Inspect {
    /// The session, by its id or the end of it.
    #[arg(long)]
    pub session: String,
    /// How long to wait before giving up with exit code 4, as in 5s, 500ms, 1m30s.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
}
