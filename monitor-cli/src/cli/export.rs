//! The flags of `export`.

use std::path::PathBuf;

use clap::Args;
use monitor_model::id::TenantId;

/// What to export, and where to.
#[derive(Debug, Args)]
#[command(
    after_help = "The folder holds the ledger up to its newest checkpoint as C2SP tlog tiles, with the entries
and what they are digests of. Everything is checked while it comes. An auditor's
bundle lacks the parts that name other tenants, and can be checked all the same.

Example:
  monitorctl export --tenant acme --dir acme-bundle
  monitorctl verify acme-bundle"
)]
pub struct Export {
    /// The tenant.
    #[arg(long)]
    pub tenant: TenantId,
    /// Folder to make; it must be new or empty.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
}
