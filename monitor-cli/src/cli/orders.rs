//! `orders` and `revoke`, and their flags.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use monitor_model::{
    id::{AgentName, GrantId, PrincipalId, TenantId},
    revocation::{Mode, life::State},
};

use super::{Limit, one_of};
use crate::output::time::parse_duration;

/// Orders: which to list, or what to do with one.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:
  monitorctl orders --limit 20
  monitorctl orders --state proposed
  monitorctl orders --observed
  monitorctl orders show S2A1B0
  monitorctl orders approve S2A1B0
  monitorctl orders reject S2A1B0 --note \"agreed change, INC-4712\"
  monitorctl orders lift S2A1B0 --note \"false alarm\"
  monitorctl orders receipt S2A1B0 > order.receipt",
    args_conflicts_with_subcommands = true
)]
pub struct Orders {
    /// What to do with one order; without, they are listed.
    #[command(subcommand)]
    pub command: Option<OrdersCommand>,
    /// Which to list.
    #[command(flatten)]
    pub list: OrdersList,
}

/// What to do with orders.
#[derive(Debug, Subcommand)]
pub enum OrdersCommand {
    /// Lists orders, newest first
    List(OrdersList),
    /// Shows one order: whom it reached, who did what, and when each step happened
    Show {
        /// The order's id, or the end of it.
        order: String,
    },
    /// Puts a proposed order in force; not your own where it needs a second person
    Approve {
        /// The order's id, or the end of it.
        order: String,
        /// Why; kept with the order, with the name in your certificate.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Refuses a proposed order: nothing is done
    Reject(OrdersEnd),
    /// Takes an order in force back: what it froze goes on, what it denied is admitted; what it ended stays ended
    Lift(OrdersEnd),
    /// Writes what became of an order, signed: for `monitorctl verify --receipt`
    Receipt {
        /// The order's id, or the end of it.
        order: String,
        /// Where to; standard output unless given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// An order, and why it is over.
#[derive(Debug, Args)]
pub struct OrdersEnd {
    /// The order's id, or the end of it.
    pub order: String,
    /// Why; kept with the order, with the name in your certificate.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub note: String,
}

/// Which orders.
#[derive(Debug, Args)]
pub struct OrdersList {
    /// Only in this state; repeat it for several.
    #[arg(long, value_parser = one_of(&State::ALL, State::as_str))]
    pub state: Vec<State>,
    /// What rules would have done in observe mode: session, person, tenant, rule and reach.
    #[arg(long, conflicts_with = "state")]
    pub observed: bool,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
}

/// What to revoke, why, and how long to wait.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("target").required(true).args(["engineer", "workload", "session", "grant", "tenant", "host", "serial"])),
    after_help = "The order stays in force until somebody lifts it or its time is over, whether or not anybody waits.
On a terminal it asks first; elsewhere it wants --yes. One that reaches more sessions than the collector's
response.bulk_sessions is proposed, and another person approves it.

Examples:
  monitorctl revoke --engineer alice --reason offboarding --dry-run
  monitorctl revoke --engineer alice --reason offboarding --yes --wait enforced --timeout 5s --receipt alice.receipt
  monitorctl revoke --tenant globex --reason contract-ended
  monitorctl revoke --session S2A1B0 --reason \"looks odd, asking\" --mode freeze --not-after 2h"
)]
pub struct Revoke {
    /// Everything that this engineer holds.
    #[arg(long)]
    pub engineer: Option<PrincipalId>,
    /// Everything that this workload holds.
    #[arg(long)]
    pub workload: Option<PrincipalId>,
    /// The credential and grants behind this session, by its id or the end of it.
    #[arg(long)]
    pub session: Option<String>,
    /// This grant, and the certificates issued for it.
    #[arg(long)]
    pub grant: Option<GrantId>,
    /// Every grant in this tenant.
    #[arg(long)]
    pub tenant: Option<TenantId>,
    /// Every live session on this host, with their credentials and grants.
    #[arg(long)]
    pub host: Option<AgentName>,
    /// The certificate with this serial number.
    #[arg(long)]
    pub serial: Option<u64>,
    /// Why; kept with the order.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    /// kill ends sessions and revokes; freeze has sessions stand still until the order is over.
    #[arg(long, value_parser = one_of(&Mode::ALL, Mode::as_str), default_value = "kill")]
    pub mode: Mode,
    /// After how long the order is over by itself, as in 2h, 30m [default: when it is lifted].
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub not_after: Option<Duration>,
    /// Shows what would be revoked, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Does not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// What to wait for.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Wait::Enforced)]
    pub wait: Wait,
    /// How long to wait before giving up with exit code 4, as in 5s, 500ms, 1m30s.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Writes what became of it by then, signed: for `monitorctl verify --receipt`.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub receipt: Option<PathBuf>,
}

/// What revoke waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Wait {
    /// The broker answered, and every host confirmed that the sessions are gone or stand still.
    Enforced,
    /// The broker answered.
    BrokerAnswered,
    /// Nothing: the order is on disk.
    None,
}
