//! `orders` and `order`: revocation orders, whom they reached, who did what with
//! them and when.

use std::time::Duration;

use monitor_model::{
    clock::UnixNs,
    revocation::{Affected, Mode, Order, Outcome, Times, life::State},
};
use monitor_proto::v1::{self, GetOrderRequest, ListOrdersRequest};

use crate::{
    cli::{Orders, OrdersCommand, OrdersList},
    command::collect,
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, table::Cell, time::duration},
};

const COLUMNS: [&str; 8] = [
    "ORDERED", "ORDER", "TARGET", "STATE", "SESSIONS", "BROKER", "BY", "REASON",
];

pub mod acts;
mod observed;

/// How a list shows an order.
type Row = fn(&Screen, &Order) -> Vec<Cell>;

/// Lists orders, shows one, or does something with one.
///
/// # Errors
/// [`CliError`] as the connection tells it; [`CliError::NotFound`] when there
/// is no such order.
pub async fn run(
    orders: &Orders,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    match &orders.command {
        None => list(&orders.list, connection, screen).await,
        Some(OrdersCommand::List(which)) => list(which, connection, screen).await,
        Some(OrdersCommand::Show { order }) => show(order, connection, screen).await,
        Some(OrdersCommand::Approve { order, note }) => {
            acts::approve(order, note, connection, screen).await
        }
        Some(OrdersCommand::Reject(end)) => acts::reject(end, connection, screen).await,
        Some(OrdersCommand::Lift(end)) => acts::lift(end, connection, screen).await,
        Some(OrdersCommand::Receipt { order, out }) => {
            acts::receipt(order, out.as_ref(), connection).await
        }
    }
}

/// Lists orders, newest first.
async fn list(
    which: &OrdersList,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let OrdersList {
        state,
        observed: is_report,
        limit,
    } = which;
    let states = match is_report {
        true => vec![State::Observed],
        false => state.clone(),
    };
    let states: Vec<i32> = states
        .into_iter()
        .map(|state| v1::OrderState::from(state).into())
        .collect();
    let (columns, row): (&[&str], Row) = match is_report {
        true => (&observed::COLUMNS, observed::row),
        false => (&COLUMNS, row),
    };
    let mut listing = Listing::new(screen, columns);
    let mut paging = Paging::new(limit.limit);
    while let Some((page_size, page_token)) = paging.next() {
        let answer = connection
            .orders()
            .list_orders(ask(ListOrdersRequest {
                page_size,
                page_token,
                states: states.clone(),
            }))
            .await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page: Vec<Order> = collect(answer.orders)?;
        paging.fetched(&mut page, answer.next_page_token);
        listing.page(&page, row, record)?;
    }
    listing.end("no order yet")?;
    Ok(())
}

/// Shows one order.
///
/// # Errors
/// [`CliError::NotFound`] when there is none, else as the connection tells it.
pub async fn show(
    text: &str,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let id = connection.order(text).await?;
    let request = GetOrderRequest {
        order: id.to_bytes().to_vec(),
    };
    let answer = connection.orders().get_order(ask(request)).await;
    let answer = answer
        .map_err(|status| connection.error(&status))?
        .into_inner();
    let order = answer
        .order
        .ok_or_else(|| CliError::NotFound(format!("there is no order {id}")))?;
    let order = Order::try_from(order)?;
    print(&order, screen)?;
    screen.flush()?;
    Ok(())
}

/// Writes one order in full.
///
/// # Errors
/// As writing does.
pub(crate) fn print(order: &Order, screen: &mut Screen) -> Result<(), CliError> {
    if !screen.is_table() {
        screen.record(&record(order))?;
        return Ok(());
    }
    let (state_text, tone) = state(order.state());
    screen.parts(&[
        (Tone::Bold, format!("order {}", order.id)),
        (Tone::Plain, format!(" against {}: ", order.target)),
        (tone, state_text.to_owned()),
    ])?;
    let by = order
        .cause
        .alert
        .map_or_else(String::new, |alert| format!(", by alert {alert}"));
    screen.line(
        Tone::Plain,
        &format!("{} ({}{by})", order.cause.text, order.cause.initiator),
    )?;
    if let Some(event) = &order.cause.event {
        screen.line(Tone::Plain, &format!("event {event}"))?;
    }
    if !order.last_error.is_empty() {
        let text = format!(
            "the broker was asked {} times; last failure: {}",
            order.attempts, order.last_error
        );
        screen.line(Tone::Doubtful, &text)?;
    }
    print_steps(order, screen)?;
    print_times(order, screen)?;
    print_sessions(order, screen)?;
    print_revoked(order, screen)
}

/// Who did what with it, how long it holds, and what it took the place of.
fn print_steps(order: &Order, screen: &mut Screen) -> Result<(), CliError> {
    for step in &order.steps {
        let note = match step.note.as_str() {
            "" => String::new(),
            note => format!(": {note}"),
        };
        let text = format!(
            "{} by {} at {}{note}",
            step.to.as_str(),
            step.by,
            screen.moment(step.at)
        );
        screen.line(Tone::Plain, &text)?;
    }
    if let Some(at) = order.due.filter(|_| order.times.ordered.is_none()) {
        let text = format!("in force by itself at {}", screen.moment(at));
        screen.line(Tone::Plain, &text)?;
    }
    if let Some(at) = order.not_after {
        let text = format!("over by itself at {}", screen.moment(at));
        screen.line(Tone::Plain, &text)?;
    }
    for id in &order.supersedes {
        screen.line(Tone::Plain, &format!("in the place of order {id}"))?;
    }
    Ok(())
}

/// The eight times, as durations from the first of them.
///
/// # Errors
/// As writing does.
pub(crate) fn print_times(order: &Order, screen: &mut Screen) -> Result<(), CliError> {
    let times = steps(&order.times);
    let first = times.iter().find_map(|(_, at)| *at);
    let rows: Vec<Vec<Cell>> = times
        .iter()
        .map(|(name, at)| {
            let after = match (*at, first) {
                (Some(at), Some(first)) if at > first => format!("+{}", duration(at.since(first))),
                (Some(_), _) => "+0".to_owned(),
                (None, _) => String::new(),
            };
            vec![
                Cell::new(*name),
                Cell::new(after),
                Cell::maybe(at.map(|at| screen.exact_moment(at))),
            ]
        })
        .collect();
    screen.table(&["STEP", "AFTER", "AT"], &rows)?;
    Ok(())
}

fn print_sessions(order: &Order, screen: &mut Screen) -> Result<(), CliError> {
    if order.sessions.is_empty() {
        return Ok(screen.line(Tone::Dim, "it reached no live session")?);
    }
    let start = order.times.kernel_event.or(order.times.ordered);
    let rows: Vec<Vec<Cell>> = order
        .sessions
        .iter()
        .map(|affected| {
            let gone = outcome(affected, start);
            vec![
                Cell::new(screen.id(&affected.session)),
                Cell::new(affected.host.as_str()),
                Cell::maybe(affected.principal.as_ref()),
                Cell::maybe(affected.serial),
                gone,
                Cell::new(affected.killed.to_string()),
            ]
        })
        .collect();
    screen.table(
        &["SESSION", "HOST", "ENGINEER", "SERIAL", "STATE", "KILLED"],
        &rows,
    )?;
    Ok(())
}

fn print_revoked(order: &Order, screen: &mut Screen) -> Result<(), CliError> {
    let rows: Vec<Vec<Cell>> = order
        .revoked
        .iter()
        .map(|revoked| {
            let tone = if is_revoked(revoked.outcome) {
                Tone::Good
            } else {
                Tone::Bad
            };
            vec![
                Cell::maybe(revoked.serial),
                Cell::maybe(revoked.grant.as_ref()),
                Cell::new(revoked.outcome.as_str()).tone(tone),
                Cell::new(screen.exact_moment(revoked.at)),
            ]
        })
        .collect();
    screen.table(&["SERIAL", "GRANT", "BROKER", "AT"], &rows)?;
    let start = order.times.ordered;
    let lists: Vec<Vec<Cell>> = order
        .published
        .iter()
        .map(|published| {
            vec![
                Cell::new(published.host.as_str()),
                Cell::new(screen.exact_moment(published.at)),
                Cell::new(after(start, published.at)),
            ]
        })
        .collect();
    if !lists.is_empty() {
        screen.table(&["LIST ON", "AT", "AFTER"], &lists)?;
    }
    Ok(())
}

/// What became of a session.
fn outcome(affected: &Affected, start: Option<UnixNs>) -> Cell {
    let Affected {
        gone_at,
        frozen_at,
        released_at,
        left,
        ..
    } = affected;
    let (text, tone) = match (*gone_at, *released_at, *frozen_at) {
        (Some(at), _, _) if start.is_some_and(|start| at < start) => {
            ("gone before".to_owned(), Tone::Dim)
        }
        (Some(at), _, _) => (format!("gone after {}", after(start, at)), Tone::Good),
        (None, Some(_), _) => ("released".to_owned(), Tone::Dim),
        (None, None, Some(at)) => (format!("frozen after {}", after(start, at)), Tone::Good),
        (None, None, None) if *left > 0 => (format!("{left} processes left"), Tone::Bad),
        (None, None, None) => ("not confirmed".to_owned(), Tone::Doubtful),
    };
    Cell::new(text).tone(tone)
}

/// The record of an order: its fields, and where it stands.
pub(crate) fn record(order: &Order) -> Record {
    Record::new("order")
        .with("order", order)
        .with("state", order.state().as_str())
}

/// Whether nothing is left that the credential opens.
pub(crate) const fn is_revoked(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Revoked | Outcome::AlreadyRevoked => true,
        Outcome::NotFound
        | Outcome::RefusedByPolicy
        | Outcome::Retryable
        | Outcome::Unsupported => false,
    }
}

/// Time since a start that may not be known.
pub(crate) fn after(start: Option<UnixNs>, at: UnixNs) -> String {
    duration(start.map_or(Duration::ZERO, |start| at.since(start)))
}

fn steps(times: &Times) -> [(&'static str, Option<UnixNs>); 8] {
    let Times {
        kernel_event,
        alert,
        ordered,
        delivered,
        broker_answered,
        krl_published,
        last_process_gone,
        first_refused_login,
    } = *times;
    [
        ("kernel event", kernel_event),
        ("alert", alert),
        ("order on disk", ordered),
        ("broker asked", delivered),
        ("broker answered", broker_answered),
        ("revocation list published", krl_published),
        ("last process gone", last_process_gone),
        ("first login refused", first_refused_login),
    ]
}

fn state(state: State) -> (&'static str, Tone) {
    match state {
        State::InForce => ("in force, not confirmed yet", Tone::Bad),
        State::BrokerAnswered => ("broker answered, hosts not confirmed yet", Tone::Doubtful),
        State::HostsEnforced => ("hosts confirmed, broker not answered yet", Tone::Doubtful),
        State::Enforced => ("enforced", Tone::Good),
        State::Failed => (
            "cannot be carried out as a whole, a person must look",
            Tone::Bad,
        ),
        State::Proposed => (
            "proposed, nothing was done: it waits for a person",
            Tone::Doubtful,
        ),
        State::Observed => ("observed: nothing was done", Tone::Dim),
        State::Rejected => ("rejected, nothing was done", Tone::Dim),
        State::Lifted => ("lifted", Tone::Dim),
        State::Expired => ("expired", Tone::Dim),
        State::Superseded => ("superseded by a later order", Tone::Dim),
    }
}

fn row(screen: &Screen, order: &Order) -> Vec<Cell> {
    let confirmed = |affected: &&Affected| affected.is_confirmed(order.mode);
    let done = order.sessions.iter().filter(confirmed).count();
    let what = match order.mode {
        Mode::Kill => "gone",
        Mode::Freeze => "frozen",
    };
    let (_, tone) = state(order.state());
    let start = order.times.ordered;
    vec![
        Cell::new(screen.moment(order.given_at())),
        Cell::new(screen.id(&order.id)),
        Cell::new(order.target.to_string()),
        Cell::new(order.state().as_str()).tone(tone),
        Cell::new(format!("{done}/{} {what}", order.sessions.len())),
        Cell::new(match (order.mode, order.times.broker_answered) {
            (_, Some(at)) => format!("after {}", after(start, at)),
            (Mode::Freeze, None) => "not asked".to_owned(),
            (Mode::Kill, None) => format!("asked {} times", order.attempts),
        }),
        Cell::new(&order.cause.initiator),
        Cell::new(&order.cause.text),
    ]
}
