//! The flags of `pki`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use monitor_model::id::{PrincipalId, TenantId};
use monitor_transport::identity::{IdentityError, Role};

/// Certificates.
#[derive(Debug, Subcommand)]
pub enum Pki {
    /// Makes a certificate authority: ca.pem for everybody, ca.key for nobody else
    #[command(after_help = "Example:
  monitorctl pki init --dir /root/monitor-pki")]
    Init {
        /// Folder to make it in; made when it does not exist.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// Days of validity.
        #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u64).range(1..))]
        days: u64,
    },
    /// Issues NAME.pem and NAME.key for one agent, service or person
    Issue(PkiIssue),
}

/// What to certify.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  monitorctl pki issue --dir pki --role collector --name collector --host monitor.example --host 10.0.0.5
  monitorctl pki issue --dir pki --role agent --name jump-1
  monitorctl pki issue --dir pki --role soc --name carol --days 90 --out carol
  monitorctl pki issue --dir pki --role auditor --name eve --tenant acme")]
pub struct PkiIssue {
    /// Folder of the authority, as pki init made it.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
    /// What the holder may do: agent, collector, broker, soc, admin or auditor.
    #[arg(long, value_parser = role)]
    pub role: Role,
    /// Its name: of the host for an agent, of the person or service otherwise.
    #[arg(long)]
    pub name: PrincipalId,
    /// Host name or address that a collector or broker is dialled by; repeat for more.
    #[arg(long)]
    pub host: Vec<String>,
    /// Tenant that an auditor may read; repeat for more.
    #[arg(long)]
    pub tenant: Vec<TenantId>,
    /// Days of validity.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..))]
    pub days: u64,
    /// Folder to write to, instead of the authority's own.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

fn role(text: &str) -> Result<Role, IdentityError> {
    text.parse()
}
