//! The arguments of `grants`.

use clap::{Args, Subcommand};
use monitor_model::id::{GrantId, PrincipalId, TenantId};

use super::Limit;

/// Which grants.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  monitorctl grants
  monitorctl grants --all --principal alice -v
  monitorctl grants --unused --days 30
  monitorctl grants review bg-7 --note 'only the web shop was touched'")]
pub struct Grants {
    /// What to do instead of listing.
    #[command(subcommand)]
    pub action: Option<GrantsAction>,
    /// Those that hold no more as well.
    #[arg(long)]
    pub all: bool,
    /// What of each grant was never used: entries of its scope that no access
    /// touched, and grants that were not used of late.
    #[arg(long)]
    pub unused: bool,
    /// With --unused: a grant is dormant once it was not used for so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30, requires = "unused")]
    pub days: u32,
    /// Only of this engineer or workload.
    #[arg(long)]
    pub principal: Option<PrincipalId>,
    /// Only of this tenant.
    #[arg(long)]
    pub tenant: Option<TenantId>,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
}

/// What is done with grants.
#[derive(Debug, Subcommand)]
pub enum GrantsAction {
    /// Records what a look at the use of a break-glass grant found
    #[command(after_help = "Example:
  monitorctl grants review bg-7 --note 'only the web shop was touched'")]
    Review {
        /// The grant.
        grant: GrantId,
        /// What was found.
        #[arg(long)]
        note: String,
    },
}
