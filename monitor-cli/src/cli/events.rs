//! `tail`, `search`, `investigate` and their flags.

use std::path::PathBuf;

use clap::Args;
use monitor_model::{
    alert::Severity,
    event::Kind,
    id::{AgentName, PrincipalId, TenantId},
    verdict::VerdictKind,
};

use super::{Limit, one_of, severities};
use crate::output::time::{Moment, parse_moment};

/// Which events.
#[derive(Debug, Default, Args)]
pub struct Events {
    /// Only events in this tenant's ledger.
    #[arg(long)]
    pub tenant: Vec<TenantId>,
    /// Only of this engineer or workload.
    #[arg(long)]
    pub principal: Vec<PrincipalId>,
    /// Only of this session, by its id or the end of it.
    #[arg(long)]
    pub session: Vec<String>,
    /// Only on this host.
    #[arg(long)]
    pub host: Vec<AgentName>,
    /// Only of this kind.
    #[arg(long, value_parser = kinds())]
    pub kind: Vec<Kind>,
    /// Only with this verdict.
    #[arg(long, value_parser = verdicts())]
    pub verdict: Vec<VerdictKind>,
    /// Only with an object that begins so: the path of an executable, a script or a file, or an
    /// address.
    #[arg(
        long,
        value_name = "BEGINNING",
        default_value = "",
        hide_default_value = true
    )]
    pub object: String,
}

/// Which events, and from where on.
#[derive(Debug, Args)]
#[command(
    after_help = "Shown is every kind of event but fork, exit and read, of which there are many;
--kind names the kinds to show, and -v shows all. A flag that is repeated widens
the filter, different flags narrow it.

Lost connections are taken up again where they broke; with --cursor-file a new
tail does so too, with the same filters (the last items may come twice, none is
left out).

Examples:
  monitorctl tail                                       from now on
  monitorctl tail --alerts --verdict out_of_scope       what needs somebody
  monitorctl tail --alerts --severity high --kind gap   alerts that are urgent
  monitorctl tail --principal alice --since 2h --until-now
  monitorctl tail -o ndjson --cursor-file siem.cursor | jq -c 'select(.type == \"event\")'"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Tail {
    /// Goes on waiting for new events: the default.
    #[arg(long, conflicts_with = "until_now")]
    pub follow: bool,
    /// Ends at the newest event instead of waiting for more.
    #[arg(long)]
    pub until_now: bool,
    /// Begins at the oldest event instead of now. A cursor in --cursor-file goes before it.
    #[arg(long)]
    pub from_start: bool,
    /// Begins with what was stored then, as in 2h or 2026-01-02T14:02. A cursor in --cursor-file
    /// goes before it.
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_moment, conflicts_with = "from_start")]
    pub since: Option<Moment>,
    /// Keeps the place in this file, and begins there when it exists.
    #[arg(long, value_name = "FILE")]
    pub cursor_file: Option<PathBuf>,
    /// Alerts as well, where they were raised.
    #[arg(long)]
    pub alerts: bool,
    /// Of alerts, only those that are at least this urgent.
    #[arg(long, value_parser = severities(), requires = "alerts")]
    pub severity: Option<Severity>,
    /// Signs of life as well, when nothing happens.
    #[arg(long)]
    pub heartbeats: bool,
    /// Which events.
    #[command(flatten)]
    pub events: Events,
}

/// Which events, and when they happened.
#[derive(Debug, Args)]
#[command(
    after_help = "Shown is every kind of event but fork, exit and read, as with tail. --since and
--until are of the time that an event happened on its host; the order is that in
which the collector stored them, so that what a host told late stands where it
came.

Examples:
  monitorctl search --principal alice --since 2026-01-02T14:02 --until 2026-01-02T15:00
  monitorctl search --object /srv/globex --since 7d -o csv > globex.csv
  monitorctl search --kind connect --object 10.20. --verdict out_of_scope --limit 50"
)]
pub struct Search {
    /// Only what happened then or later, as in 2h, 7d or 2026-01-02T14:02.
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_moment)]
    pub since: Option<Moment>,
    /// Only what happened before then.
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_moment)]
    pub until: Option<Moment>,
    /// What was stored first comes first, instead of last.
    #[arg(long)]
    pub oldest_first: bool,
    /// Which events.
    #[command(flatten)]
    pub events: Events,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
}

/// Whose story, and of which time.
#[derive(Debug, Args)]
#[command(
    after_help = "One timeline over hosts, with what was opened from the engineer's sessions over
ssh; credentials, and the connections that used them; tenants and hosts that were
reached; alerts; what was revoked, and when. What the answer rests on, and what it
cannot tell, is in docs/reference/questions.md.

Examples:
  monitorctl investigate --engineer alice --since 2026-01-02T14:02
  monitorctl investigate --engineer alice --since 24h --svg alice.svg
  monitorctl investigate --engineer alice --since 7d -o json | jq .investigation.tenants"
)]
pub struct Investigate {
    /// The engineer or workload.
    #[arg(long, value_name = "NAME")]
    pub engineer: PrincipalId,
    /// What happened then or later, as in 2h, 7d or 2026-01-02T14:02.
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_moment)]
    pub since: Moment,
    /// What happened before then [default: now].
    #[arg(long, value_name = "TIME|DURATION", value_parser = parse_moment)]
    pub until: Option<Moment>,
    /// Writes the blast radius as a graph in Graphviz' language.
    #[arg(long, value_name = "FILE")]
    pub dot: Option<PathBuf>,
    /// Writes the blast radius as a picture.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

fn kinds() -> impl clap::builder::TypedValueParser<Value = Kind> {
    one_of(Kind::ALL, Kind::as_str)
}

fn verdicts() -> impl clap::builder::TypedValueParser<Value = VerdictKind> {
    one_of(&VerdictKind::ALL, VerdictKind::as_str)
}
