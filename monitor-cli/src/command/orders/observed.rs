//! What rules would have done, had they not only been observed.

use std::collections::BTreeSet;

use monitor_model::revocation::{Affected, Order};

use crate::output::{Screen, Tone, count, table::Cell};

/// The columns of the report.
pub(super) const COLUMNS: [&str; 8] = [
    "WHEN", "SESSION", "HOST", "ENGINEER", "TENANT", "RULE", "WOULD", "REACH",
];

/// One order that would have been.
pub(super) fn row(screen: &Screen, order: &Order) -> Vec<Cell> {
    let first = order.sessions.first();
    let rule = order.cause.initiator.as_str();
    let verb = match order.asks {
        Some(_) => format!("ask to {}", order.mode.as_str()),
        None => order.mode.as_str().to_owned(),
    };
    vec![
        Cell::new(screen.moment(order.given_at())),
        Cell::maybe(first.map(|affected| screen.id(&affected.session))),
        Cell::maybe(first.map(|affected| &affected.host)),
        Cell::maybe(first.and_then(|affected| affected.principal.as_ref())),
        Cell::maybe(first.and_then(|affected| affected.tenant.as_ref())),
        Cell::new(rule.strip_prefix("rule ").unwrap_or(rule)),
        Cell::new(verb).tone(Tone::Doubtful),
        Cell::new(reach(&order.sessions)),
    ]
}

fn reach(sessions: &[Affected]) -> String {
    let grants: BTreeSet<_> = sessions.iter().flat_map(|one| &one.grants).collect();
    let serials: BTreeSet<_> = sessions.iter().filter_map(|one| one.serial).collect();
    format!(
        "{}, {}, {}",
        count(sessions.len(), "session"),
        count(grants.len(), "grant"),
        count(serials.len(), "certificate")
    )
}
