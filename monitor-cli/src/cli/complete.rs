//! The flags of `complete`.

use clap::Args;
use monitor_model::id::AgentName;

use crate::output::time::{Moment, parse_moment};

/// Of what.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("of").required(true).args(["session", "host"]),
    after_help = "Every agent numbers what it tells, in each boot, by processor and ring. This says
whether all numbers of the time are in the ledgers, or which are missing and why,
and when nothing watched or the kernel could not tell all. Numbers that are missing
right before or after the time are among them: nothing says when they were.

Exit codes: 0 complete, 4 not complete.

Examples:
  monitorctl complete --session 01JG3Y2E8QW0X9V5T4R3S2A1B0
  monitorctl complete --host jump-1 --from 2026-01-02 --to 2026-01-03"
)]
pub struct Complete {
    /// Of this session, by its id or the end of it: its host, from its opening to its end.
    #[arg(long)]
    pub session: Option<String>,
    /// Of this host.
    #[arg(long)]
    pub host: Option<AgentName>,
    /// Of the host, what happened then or later, as in 7d or 2026-01-02T14:02 [default: all].
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_moment, conflicts_with = "session")]
    pub from: Option<Moment>,
    /// Of the host, what happened until then [default: as far as is known].
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_moment, conflicts_with = "session")]
    pub to: Option<Moment>,
}
