//! The arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use monitor_model::{
    id::{GrantId, OrderId, PrincipalId, SessionId, TenantId},
    revocation::Target,
};
use monitor_transport::logging::Format;

/// The reference credential broker: an OpenSSH user CA and its key revocation list.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or Ctrl-C
    Run(RunArgs),
    /// Say whether a configuration is right, or what is wrong with it
    CheckConfig {
        /// The configuration file
        #[arg(long)]
        config: PathBuf,
    },
    /// The configuration file
    Config {
        /// Print a documented file with all defaults
        #[arg(long, required = true)]
        default: bool,
    },
    /// Grants
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Have a public key certified for a grant that is alive
    Issue {
        /// The grant
        #[arg(long)]
        grant: GrantId,
        /// A further grant of the same engineer and tenant; may be repeated
        #[arg(long)]
        also: Vec<GrantId>,
        /// The public key, as ssh-keygen wrote it
        #[arg(long)]
        public_key: PathBuf,
        /// Where to write the certificate; beside the key as ssh looks for it (KEY-cert.pub) if not given
        #[arg(long)]
        out: Option<PathBuf>,
        /// Whom to ask.
        #[command(flatten)]
        dial: Dial,
    },
    /// Say what a principal holds
    Describe {
        /// The principal
        #[arg(long)]
        principal: PrincipalId,
        /// Whom to ask.
        #[command(flatten)]
        dial: Dial,
    },
    /// Revoke certificates and end grants; live sessions are ended through the collector (monitorctl revoke)
    Revoke(RevokeArgs),
    /// Say that an engineer left: grants end, certificates are revoked, sessions end as policy has it
    Left {
        /// Who
        #[arg(long)]
        engineer: PrincipalId,
        /// Why, and whom to tell.
        #[command(flatten)]
        ending: EndingArgs,
    },
    /// Say that a ticket was closed: its grants end, and sessions that stand on nothing else
    Close {
        /// Which, as grants name it
        #[arg(long)]
        ticket: String,
        /// Why, and whom to tell.
        #[command(flatten)]
        ending: EndingArgs,
    },
}

/// Why, and under which name.
#[derive(Debug, Args)]
pub struct EndingArgs {
    /// Why, in words
    #[arg(long)]
    pub(super) reason: String,
    /// The ending's id, to repeat one safely; a new one if not given
    #[arg(long)]
    pub(super) id: Option<OrderId>,
    #[command(flatten)]
    pub(super) dial: Dial,
}

/// Grants.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Register a grant, and have it put to the collector
    Put {
        /// The grant, TOML
        file: PathBuf,
        /// Whom to ask.
        #[command(flatten)]
        dial: Dial,
    },
}

/// How to run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration file
    #[arg(long)]
    pub config: PathBuf,
    /// How log lines look: text or json
    #[arg(long, default_value_t)]
    pub log_format: Format,
}

/// Whom to ask, and as whom.
#[derive(Debug, Args)]
pub struct Dial {
    /// The broker, as in <https://localhost:7444>
    #[arg(long, env = "MONITOR_BROKER")]
    pub(super) broker: String,
    /// Certificate of the authority, PEM
    #[arg(long, env = "MONITOR_CA")]
    pub(super) ca: PathBuf,
    /// Your certificate, PEM
    #[arg(long, env = "MONITOR_CERTIFICATE")]
    pub(super) certificate: PathBuf,
    /// Its private key, PEM
    #[arg(long, env = "MONITOR_KEY")]
    pub(super) key: PathBuf,
}

/// What to revoke.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
    /// Why, in words
    #[arg(long)]
    pub(super) reason: String,
    /// With --session: a certificate of it, once or more; the broker knows no sessions
    #[arg(long = "with-serial", requires = "session")]
    pub(super) with_serial: Vec<u64>,
    /// With --session: a grant of it, once or more
    #[arg(long = "with-grant", requires = "session")]
    pub(super) with_grant: Vec<GrantId>,
    /// The order's id, to repeat one safely; a new one if not given
    #[arg(long)]
    pub(super) order: Option<OrderId>,
    #[command(flatten)]
    pub(super) dial: Dial,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct TargetArgs {
    /// Everything a principal holds
    #[arg(long)]
    engineer: Option<PrincipalId>,
    /// What is behind one session
    #[arg(long)]
    session: Option<SessionId>,
    /// One grant and its certificates
    #[arg(long)]
    grant: Option<GrantId>,
    /// Every grant in a tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// One certificate
    #[arg(long)]
    serial: Option<u64>,
}

impl TargetArgs {
    pub(super) fn target(self) -> Option<Target> {
        let Self {
            engineer,
            session,
            grant,
            tenant,
            serial,
        } = self;
        engineer
            .map(Target::Engineer)
            .or_else(|| session.map(Target::Session))
            .or_else(|| grant.map(Target::Grant))
            .or_else(|| tenant.map(Target::Tenant))
            .or_else(|| serial.map(Target::Serial))
    }
}
