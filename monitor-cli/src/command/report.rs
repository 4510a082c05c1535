//! `report`: what would have been refused and ordered, had it not only been
//! observed.
//!
//! In: events of connections and observed orders, page by page. Out: counts.
//! Bound: [`GROUPS_MAX`] lines; what is in none is counted.
//!
//! - `grouped`: connections by what they have in common. `needs`: what would
//!   open them. `ordered`: orders of rules.

use monitor_model::{
    clock::{Clock as _, SystemClock, UnixNs},
    id::GrantId,
};
use monitor_proto::v1::{EventFilter, SearchRequest};

use self::{
    grouped::{Group, Grouped},
    ordered::Ordered,
};
use super::{
    search::Pages,
    tail::line::{self},
};
use crate::{
    cli::Report,
    connection::Connection,
    error::CliError,
    output::{Format, Listing, Screen, Tone, json::Record, note, table::Cell},
};

mod grouped;
mod needs;
mod ordered;

/// Most lines of a report.
pub const GROUPS_MAX: usize = 10_000;

const COLUMNS: [&str; 10] = [
    "TENANT",
    "TIMES",
    "FIRST",
    "LAST",
    "ENGINEER",
    "GRANTS",
    "SESSIONS",
    "DESTINATION",
    "REASON",
    "WOULD OPEN IT",
];

/// Shows the report.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub async fn run(
    asked: &Report,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let since = asked.since.instant(SystemClock.now());
    let grouped = connections(asked, since, connection).await?;
    let ordered = ordered::of(asked, since, connection).await?;
    let groups = grouped.lines();
    match screen.format {
        Format::Table => table(screen, (asked, since), &groups, (&grouped, &ordered))?,
        Format::Csv => listed(screen, &groups)?,
        Format::Ndjson => {
            for group in &groups {
                screen.record(&Record::new("would_refuse").with("connections", group))?;
            }
            for order in ordered.iter().flat_map(|ordered| &ordered.rules) {
                screen.record(&Record::new("would_order").with("orders", order))?;
            }
            screen.record(&summary(since, &grouped, ordered.as_ref()))?;
        }
        Format::Json => {
            let mut whole =
                summary(since, &grouped, ordered.as_ref()).with("would_refuse", &groups);
            if let Some(ordered) = &ordered {
                whole = whole.with("would_order", &ordered.rules);
            }
            screen.record(&whole)?;
        }
    }
    Ok(screen.flush()?)
}

async fn connections(
    asked: &Report,
    since: UnixNs,
    connection: &Connection,
) -> Result<Grouped, CliError> {
    let one = |text: String| {
        if text.is_empty() {
            Vec::new()
        } else {
            vec![text]
        }
    };
    let request = SearchRequest {
        // Not by ledger: a connection lies in that of whom it goes to.
        filter: Some(EventFilter {
            principals: one(super::text(asked.principal.as_ref())),
            hosts: one(super::text(asked.host.as_ref())),
            kinds: vec!["connect".to_owned()],
            ..EventFilter::default()
        }),
        from_unix_ns: since.0,
        ..SearchRequest::default()
    };
    let mut grouped = Grouped::default();
    let mut pages = Pages::new(request, None);
    while let Some(page) = pages.next(connection).await? {
        for judged in &page {
            match line::read(judged) {
                Ok((event, judgement)) => grouped.take(&event, &judgement, asked.tenant.as_ref()),
                Err(_) => grouped.unreadable += 1,
            }
        }
    }
    Ok(grouped)
}

fn summary(since: UnixNs, grouped: &Grouped, ordered: Option<&Ordered>) -> Record {
    let record = Record::new("report")
        .with_time("since", since)
        .with("would_be_refused", grouped.observed)
        .with("were_refused", grouped.denied)
        .with("not_listed", grouped.beyond)
        .with("unreadable", grouped.unreadable);
    match ordered {
        Some(ordered) => record
            .with("would_be_ordered", ordered.total)
            .with("would_reach_sessions", ordered.sessions),
        None => record,
    }
}

fn row(screen: &Screen, group: &Group) -> Vec<Cell> {
    let grants: Vec<_> = group.grants.iter().map(GrantId::as_str).collect();
    vec![
        Cell::new(group.tenant.as_str()),
        Cell::new(group.times.to_string()),
        Cell::new(screen.moment(group.first_at)),
        Cell::new(screen.moment(group.last_at)),
        Cell::maybe(group.principal.as_ref()),
        Cell::new(grants.join(", ")),
        Cell::new(group.sessions.to_string()),
        Cell::new(group.destination()),
        Cell::new(
            group
                .reason
                .map_or("now in scope", |reason| reason.as_str()),
        )
        .tone(Tone::Doubtful),
        Cell::new(&group.would_open),
    ]
}

fn listed(screen: &mut Screen, groups: &[Group]) -> Result<(), CliError> {
    let mut listing = Listing::new(screen, &COLUMNS);
    listing.page(groups, row, |group| {
        Record::new("would_refuse").with("connections", group)
    })?;
    Ok(listing.end("")?)
}

fn table(
    screen: &mut Screen,
    (asked, since): (&Report, UnixNs),
    groups: &[Group],
    (grouped, ordered): (&Grouped, &Option<Ordered>),
) -> Result<(), CliError> {
    let of = asked.tenant.as_ref();
    let of = of.map_or_else(String::new, |tenant| format!(" in sessions for {tenant}"));
    let head = format!(
        "since {}: {} connections would have been refused{of}",
        screen.moment(since),
        grouped.observed
    );
    screen.line(Tone::Bold, &head)?;
    if !groups.is_empty() {
        listed(screen, groups)?;
    }
    if grouped.beyond > 0 {
        let text = format!(
            "and {} of further kinds, which are not listed",
            grouped.beyond
        );
        screen.line(Tone::Doubtful, &text)?;
    }
    if grouped.denied > 0 {
        let text = format!("{} were refused: enforced already", grouped.denied);
        screen.line(Tone::Plain, &text)?;
    }
    if grouped.unreadable > 0 {
        note(&format!(
            "{} events cannot be read and are not counted; is monitorctl as new as the collector?",
            grouped.unreadable
        ));
    }
    let Some(ordered) = ordered else {
        note("orders are not shown to you: roles soc and admin see them");
        return Ok(());
    };
    let head = format!(
        "{} orders would have been given, against {} sessions",
        ordered.total, ordered.sessions
    );
    screen.line(Tone::Bold, &head)?;
    for rule in &ordered.rules {
        let text = format!(
            "  {} would {} {} times, the last at {}",
            rule.rule,
            rule.would,
            rule.times,
            screen.moment(rule.last_at)
        );
        screen.line(Tone::Plain, &text)?;
    }
    Ok(())
}
