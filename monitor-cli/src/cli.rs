//! The commands and their flags. What is written above them is their help text.
#![expect(clippy::doc_markdown, reason = "help texts are read as they stand")]

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use monitor_model::{
    alert::{AlertState, Severity},
    id::{AgentName, EventId, PrincipalId, TenantId},
};

pub mod alerts;
pub mod complete;
pub mod conformance;
pub mod contain;
pub mod events;
pub mod export;
pub mod grants;
pub mod inspect;
pub mod orders;
pub mod pki;
pub mod report;
pub mod verify;

pub use alerts::{Alerts, AlertsCommand, AlertsHandle, AlertsList};
pub use complete::Complete;
pub use conformance::{Conformance, ConformanceBroker};
pub use contain::{Contain, Release};
pub use events::{Events, Investigate, Search, Tail};
pub use export::Export;
pub use grants::{Grants, GrantsAction};
pub use inspect::Inspect;
pub use orders::{Orders, OrdersCommand, OrdersEnd, OrdersList, Revoke, Wait};
pub use pki::{Pki, PkiIssue};
pub use report::Report;
pub use verify::Verify;

const CONNECTION: &str =
    "Connection (each: flag, else variable, else key of the same name in the file)";

/// Watch, explain and revoke: the command line of monitor.
///
/// Engineers' sessions on jump hosts are seen, judged against the grants they
/// stand on, and cut off when they leave them. monitorctl shows what the
/// collector knows and gives it orders.
#[derive(Debug, Parser)]
#[command(
    name = "monitorctl",
    version = env!("MONITOR_VERSION"),
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 error, 2 wrong usage, 3 not found, 4 not confirmed in time, 5 refused.\n\
        Results go to standard output, everything else to standard error."
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Address of the collector, as in https://monitor.example:7443 [env: MONITOR_COLLECTOR].
    #[arg(long, global = true, value_name = "URL", help_heading = CONNECTION)]
    pub collector: Option<String>,
    /// Certificate of the authority that signed the collector's [env: MONITOR_CA].
    #[arg(long, global = true, value_name = "FILE", help_heading = CONNECTION)]
    pub ca: Option<PathBuf>,
    /// Your certificate, of the role soc, admin or auditor [env: MONITOR_CERTIFICATE].
    #[arg(long, global = true, value_name = "FILE", help_heading = CONNECTION)]
    pub certificate: Option<PathBuf>,
    /// Your private key [env: MONITOR_KEY].
    #[arg(long, global = true, value_name = "FILE", help_heading = CONNECTION)]
    pub key: Option<PathBuf>,
    /// File with your token, in place of certificate and key or beside them [env: MONITOR_TOKEN_FILE].
    #[arg(long, global = true, value_name = "FILE", help_heading = CONNECTION)]
    pub token_file: Option<PathBuf>,
    /// TOML file with collector, ca, certificate, key, token_file, output, no_color [env: MONITOR_CONFIG].
    #[arg(long, global = true, value_name = "FILE", help_heading = CONNECTION)]
    pub config: Option<PathBuf>,
    /// How results are written [env: MONITOR_OUTPUT] [default: table on a terminal, else ndjson].
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub output: Option<OutputFormat>,
    /// No colours; a non-empty NO_COLOR says the same. There are none off a terminal.
    #[arg(long, global = true, help_heading = "Output")]
    pub no_color: bool,
    /// Shows ids in full; tail shows every kind of event.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub verbose: bool,
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// One JSON document; for tail, as ndjson.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Columns of text under a header, for lists.
    Csv,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows events as they happen, one line each
    Tail(Tail),
    /// Finds events that were stored, newest first
    Search(Search),
    /// Tells what an engineer's sessions did, touched and reached, as one story
    Investigate(Investigate),
    /// Lists who is logged in where, for which client
    Sessions(Sessions),
    /// Lists verdicts that somebody must act on, newest first; takes and closes them
    Alerts(Alerts),
    /// Lists the rules that alerts are raised by
    Rules {
        /// Files of Sigma rules instead: which run, and which do not and why.
        #[arg(long)]
        sigma: bool,
    },
    /// Lists who may do what in which tenant, and until when
    Grants(Grants),
    /// Lists jump hosts, and what their agents cannot see
    Hosts(Hosts),
    /// Says why an event was attributed and judged as it was
    #[command(
        after_help = "Example (event ids: `tail -v`, `alerts -v`, or .event.id in JSON):
  monitorctl explain jump-1/01JG3Y2E8QW0X9V5T4R3S2A1B0/p0/17"
    )]
    Explain {
        /// The event, as AGENT/BOOT/SOURCE/SEQUENCE.
        event: EventId,
    },
    /// Lists revocation orders, newest first; approves, rejects and lifts them
    Orders(Orders),
    /// Shows one revocation order: whom it reached, and when each step happened
    #[command(after_help = "Example:
  monitorctl order S2A1B0")]
    Order {
        /// The order's id, or the end of it.
        order: String,
    },
    /// Revokes at the broker, and ends or freezes the live sessions on their hosts
    Revoke(Revoke),
    /// Freezes or ends one live session on its host
    Contain(Contain),
    /// Has a frozen session go on
    Release(Release),
    /// Shows what lives in a session on its host now, frozen or not, and what it holds open
    Inspect(Inspect),
    /// Counts what would have been refused and ordered while that is only observed
    Report(Report),
    /// Says whether everything of a session or a host is in the ledgers, or what is missing
    Complete(Complete),
    /// Writes a tenant's ledger into a folder that anybody can check
    Export(Export),
    /// Checks ledgers or an exported bundle, without any collector
    Verify(Verify),
    /// Tries whether a broker does what is asked of one
    Conformance {
        /// What to try.
        #[command(subcommand)]
        command: Conformance,
    },
    /// Makes certificates for agents, collector, broker and people
    Pki {
        /// What to make.
        #[command(subcommand)]
        command: Pki,
    },
    /// Writes what a shell needs to complete monitorctl's commands
    #[command(after_help = "Examples:
  monitorctl completions bash > /usr/share/bash-completion/completions/monitorctl
  monitorctl completions zsh > \"${fpath[1]}/_monitorctl\"
  monitorctl completions fish > ~/.config/fish/completions/monitorctl.fish")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// How many at most.
#[derive(Clone, Copy, Debug, Args)]
pub struct Limit {
    /// At most this many [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// Which sessions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  monitorctl sessions
  monitorctl sessions --all --principal alice
  monitorctl sessions --tree --host jump-1
  monitorctl sessions -o ndjson | jq -r .session.id")]
pub struct Sessions {
    /// Ended ones as well.
    #[arg(long, conflicts_with = "tree")]
    pub all: bool,
    /// What lives in each, as a tree: processes, jobs, sessions opened from it.
    #[arg(long)]
    pub tree: bool,
    /// Only of this engineer or workload.
    #[arg(long)]
    pub principal: Option<PrincipalId>,
    /// Only of this tenant.
    #[arg(long)]
    pub tenant: Option<TenantId>,
    /// Only on this host.
    #[arg(long)]
    pub host: Option<AgentName>,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
}

/// Which hosts.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  monitorctl hosts
  monitorctl hosts --blind --host jump-1")]
pub struct Hosts {
    /// What stays unseen on each host, one line each, instead of the hosts.
    #[arg(long)]
    pub blind: bool,
    /// Only this host.
    #[arg(long)]
    pub host: Option<AgentName>,
    /// How many hosts.
    #[command(flatten)]
    pub limit: Limit,
}

/// Shells that can complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// The Bourne-again shell.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

fn severities() -> impl clap::builder::TypedValueParser<Value = Severity> {
    one_of(&Severity::ALL, Severity::as_str)
}

fn alert_states() -> impl clap::builder::TypedValueParser<Value = AlertState> {
    one_of(&AlertState::ALL, AlertState::as_str)
}

/// Takes one of the model's own names.
fn one_of<T>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl clap::builder::TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let names = PossibleValuesParser::new(all.iter().map(|value| name(*value)));
    names.try_map(move |text| {
        all.iter()
            .copied()
            .find(|value| name(*value) == text)
            .ok_or("not one of the values")
    })
}

#[cfg(test)]
mod tests;
