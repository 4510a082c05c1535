//! `release`: has a frozen session go on, by lifting the orders that freeze it.
//!
//! Which orders those are is looked up here; who may lift them, the collector
//! decides. A session that its host froze by itself is under no order: it is
//! put under one, which is lifted at once.

use std::collections::BTreeSet;

use monitor_model::{
    clock::UnixNs,
    id::{OrderId, SessionId},
    revocation::{Affected, Mode, Order, Target, life::State},
    session::Session,
};
use monitor_proto::v1::{
    self, GetOrderRequest, LiftRequest, ListOrdersRequest, ListSessionsRequest, OrderMode,
    RevokeRequest,
};
use tokio::time::{Instant, sleep};

use super::{collect, orders, revoke};
use crate::{
    cli::Release,
    connection::{Connection, Paging, ask, is_transient},
    error::CliError,
    output::{Screen, Tone, count, json::Record, note, time::duration},
};

/// The states of orders that hold what they reach.
const IN_FORCE: [State; 5] = [
    State::InForce,
    State::BrokerAnswered,
    State::HostsEnforced,
    State::Enforced,
    State::Failed,
];

/// What stands between a session and its going on.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    /// Orders that freeze it alone.
    ByOrders(Vec<OrderId>),
    /// Its host, by itself.
    ByHost,
}

/// Releases a session, or shows what would be lifted.
///
/// # Errors
/// [`CliError::NotFound`] when nothing freezes it, [`CliError::Refused`] when it
/// is to be killed, is frozen with others, or is the caller's own,
/// [`CliError::Unreleased`] when its host has not confirmed in time.
pub async fn run(
    release: &Release,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let asks = !release.dry_run && !release.yes;
    if asks {
        revoke::needs_terminal("--yes to release, or --dry-run to see what would be lifted")?;
    }
    let session = connection.session(&release.session).await?;
    let orders = in_force(connection).await?;
    let frozen = live(session, connection)
        .await?
        .is_some_and(|session| session.frozen.is_some());
    let held = held(session, &orders, frozen)?;
    if release.dry_run {
        return plan(session, &held, screen);
    }
    if asks {
        note(&sentence(session, &held));
        if !revoke::confirmed(&format!("Release session {session}"))? {
            note("nothing was released");
            return Ok(());
        }
    }
    let deadline = Instant::now() + release.timeout;
    let mut lifted = Vec::new();
    let ids = match held {
        Held::ByOrders(ids) => ids,
        Held::ByHost => vec![freeze(session, release, connection).await?],
    };
    for id in ids {
        lifted.push(lift(id, release, connection).await?);
    }
    if !release.no_wait {
        lifted = follow(session, lifted, connection, (deadline, release)).await?;
    }
    for order in &lifted {
        orders::print(order, screen)?;
    }
    Ok(screen.flush()?)
}

/// Every order in force.
async fn in_force(connection: &Connection) -> Result<Vec<Order>, CliError> {
    let states = IN_FORCE.map(|state| v1::OrderState::from(state).into());
    let (mut paging, mut all) = (Paging::new(None), Vec::new());
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListOrdersRequest {
            page_size,
            page_token,
            states: states.to_vec(),
        };
        let answer = connection.orders().list_orders(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page: Vec<Order> = collect(answer.orders)?;
        paging.fetched(&mut page, answer.next_page_token);
        all.extend(page);
    }
    Ok(all)
}

/// The session, while it lives.
async fn live(session: SessionId, connection: &Connection) -> Result<Option<Session>, CliError> {
    let mut paging = Paging::new(None);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListSessionsRequest {
            page_size,
            page_token,
            ..ListSessionsRequest::default()
        };
        let answer = connection.sessions().list_sessions(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page: Vec<Session> = collect(answer.sessions)?;
        if let Some(found) = page.iter().find(|one| one.id == session) {
            return Ok(Some(found.clone()));
        }
        paging.fetched(&mut page, answer.next_page_token);
    }
    Ok(None)
}

/// What freezes a session, unless it cannot be released.
fn held(session: SessionId, orders: &[Order], frozen: bool) -> Result<Held, CliError> {
    let reaches = |order: &&Order| {
        let mut reached = order.sessions.iter();
        reached.any(|one| one.session == session && one.gone_at.is_none())
    };
    let reaching: Vec<&Order> = orders.iter().filter(reaches).collect();
    if let Some(order) = reaching.iter().find(|order| order.mode == Mode::Kill) {
        return Err(CliError::Refused(format!(
            "order {} ends session {session}: what is to be killed is not released",
            order.id
        )));
    }
    let others = |order: &&&Order| order.target != Target::Session(session);
    if let Some(order) = reaching.iter().find(others) {
        return Err(CliError::Refused(format!(
            "order {} against {} freezes session {session} and {}: monitorctl orders lift {} lets all of them go on",
            order.id,
            order.target,
            count(order.sessions.len().saturating_sub(1), "other session"),
            order.id
        )));
    }
    match (reaching.is_empty(), frozen) {
        (false, _) => Ok(Held::ByOrders(
            reaching.iter().map(|order| order.id).collect(),
        )),
        (true, true) => Ok(Held::ByHost),
        (true, false) => Err(CliError::NotFound(format!(
            "nothing freezes session {session}: no order in force, and not its host"
        ))),
    }
}

fn sentence(session: SessionId, held: &Held) -> String {
    match held {
        Held::ByOrders(ids) => {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            format!(
                "this lifts {}, and session {session} goes on",
                ids.join(", ")
            )
        }
        Held::ByHost => format!(
            "its host froze session {session} by itself; this lets it go on, and its next use of another tenant's credential freezes it again"
        ),
    }
}

fn plan(session: SessionId, held: &Held, screen: &mut Screen) -> Result<(), CliError> {
    let orders: &[OrderId] = match held {
        Held::ByOrders(ids) => ids,
        Held::ByHost => &[],
    };
    if screen.is_table() {
        screen.line(Tone::Bold, &sentence(session, held))?;
        screen.line(Tone::Dim, "nothing was released: this was a dry run")?;
    } else {
        let record = Record::new("release_plan")
            .with("session", session)
            .with("orders", orders)
            .with("by_host", *held == Held::ByHost);
        screen.record(&record)?;
    }
    Ok(screen.flush()?)
}

/// Puts a session that its host froze under an order.
async fn freeze(
    session: SessionId,
    release: &Release,
    connection: &Connection,
) -> Result<OrderId, CliError> {
    let request = RevokeRequest {
        target: Some((&Target::Session(session)).into()),
        reason: release.reason.clone(),
        dry_run: false,
        order: Vec::new(),
        mode: OrderMode::from(Mode::Freeze).into(),
        not_after_unix_ns: None,
    };
    let answer = connection.orders().revoke(ask(request)).await;
    let answer = answer.map_err(|status| connection.error(&status))?;
    Ok(revoke::read(answer.into_inner().order)?.id)
}

async fn lift(id: OrderId, release: &Release, connection: &Connection) -> Result<Order, CliError> {
    let request = LiftRequest {
        order: id.to_bytes().to_vec(),
        note: release.reason.clone(),
    };
    let answer = connection.orders().lift(ask(request)).await;
    let answer = answer.map_err(|status| connection.error(&status))?;
    revoke::read(answer.into_inner().order)
}

/// Waits until the host has confirmed every order's release.
async fn follow(
    session: SessionId,
    mut orders: Vec<Order>,
    connection: &Connection,
    (deadline, release): (Instant, &Release),
) -> Result<Vec<Order>, CliError> {
    loop {
        let waiting: BTreeSet<OrderId> = orders
            .iter()
            .filter(|order| goes_on(order, session).is_none())
            .map(|order| order.id)
            .collect();
        let Some(first) = waiting.first() else {
            return Ok(orders);
        };
        if Instant::now() >= deadline {
            return Err(CliError::Unreleased {
                order: *first,
                session,
                waited: duration(release.timeout),
            });
        }
        sleep(revoke::POLL).await;
        for order in orders
            .iter_mut()
            .filter(|order| waiting.contains(&order.id))
        {
            let request = GetOrderRequest {
                order: order.id.to_bytes().to_vec(),
            };
            match connection.orders().get_order(ask(request)).await {
                Ok(answer) => *order = revoke::read(answer.into_inner().order)?,
                Err(status) if is_transient(&status) => {}
                Err(status) => return Err(connection.error(&status)),
            }
        }
    }
}

/// When a session went on, or was gone.
fn goes_on(order: &Order, session: SessionId) -> Option<UnixNs> {
    let of_it = |one: &&Affected| one.session == session;
    let affected = order.sessions.iter().find(of_it)?;
    affected.released_at.or(affected.gone_at)
}
