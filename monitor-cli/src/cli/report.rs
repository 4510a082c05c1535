//! `report`, and its flags.

use clap::Args;
use monitor_model::id::{AgentName, PrincipalId, TenantId};

use crate::output::time::{Moment, parse_moment};

/// Since when, and of whom.
#[derive(Debug, Args)]
#[command(
    after_help = "Counted are connections that a host told of while [enforce] says observe: by tenant, engineer, grants,
destination and reason, with what would have to be stated to open them. Beside them the orders that rules
would have given while [response] says observe (monitorctl orders --observed shows each).

Examples:
  monitorctl report
  monitorctl report --since 30d --tenant acme
  monitorctl report -o ndjson | jq 'select(.type == \"would_refuse\")'"
)]
pub struct Report {
    /// Only what happened then or later, as in 2h, 7d or 2026-01-02T14:02.
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_moment, default_value = "7d")]
    pub since: Moment,
    /// Only of sessions for this tenant.
    #[arg(long)]
    pub tenant: Option<TenantId>,
    /// Only of this engineer or workload.
    #[arg(long)]
    pub principal: Option<PrincipalId>,
    /// Only on this host.
    #[arg(long)]
    pub host: Option<AgentName>,
}
