//! `alerts` and its flags.

use clap::{Args, Subcommand};
use monitor_model::{
    alert::{AlertState, Severity},
    id::{PrincipalId, TenantId},
};

use super::{Limit, alert_states, severities};

/// Alerts: which to list, or what to do with one.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:
  monitorctl alerts --limit 20
  monitorctl alerts --severity high --tenant acme
  monitorctl alerts -o ndjson | jq -r .alert.sentence
  monitorctl alerts --state open
  monitorctl alerts ack S2C3D4 --note \"asking alice\"
  monitorctl alerts close S2C3D4 --note \"agreed by phone, INC-4712\"",
    args_conflicts_with_subcommands = true
)]
pub struct Alerts {
    /// What to do with one alert; without, they are listed.
    #[command(subcommand)]
    pub command: Option<AlertsCommand>,
    /// Which to list.
    #[command(flatten)]
    pub list: AlertsList,
}

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Lists alerts, newest first
    List(AlertsList),
    /// Shows one alert: the rule, the events behind it, and who did what
    Show {
        /// The alert's id, or the end of it.
        alert: String,
    },
    /// Says that you look into it
    Ack(AlertsHandle),
    /// Says that it is done; what is like it raises an alert of its own
    Close(AlertsHandle),
}

/// An alert, and why.
#[derive(Debug, Args)]
pub struct AlertsHandle {
    /// The alert's id, or the end of it.
    pub alert: String,
    /// Why; kept with the alert, with the name in your certificate.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub note: String,
}

/// Which alerts.
#[derive(Debug, Args)]
pub struct AlertsList {
    /// Only of this engineer or workload.
    #[arg(long)]
    pub principal: Option<PrincipalId>,
    /// Only in this tenant's ledger.
    #[arg(long)]
    pub tenant: Option<TenantId>,
    /// Only of this session, by its id or the end of it.
    #[arg(long)]
    pub session: Option<String>,
    /// Only at least this urgent.
    #[arg(long, value_parser = severities())]
    pub severity: Option<Severity>,
    /// Only in this state; repeat it for several.
    #[arg(long, value_parser = alert_states())]
    pub state: Vec<AlertState>,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
}
