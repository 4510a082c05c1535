//! `revoke`: at the broker and on the hosts, and waits until both have done it.
//!
//! The order's id is chosen here, so that asking again after a lost
//! connection is the same order and never a second one.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, IsTerminal as _, Write as _},
    time::Duration,
};

use monitor_model::{
    clock::{Clock as _, SystemClock},
    id::OrderId,
    revocation::{Mode, Order, Target, life::Standing},
};
use monitor_proto::v1::{GetOrderRequest, OrderMode, RevokeRequest};
use tokio::time::{Instant, sleep, timeout_at};

use self::radius::Radius;
use super::orders;
use crate::{
    cli::{Revoke, Wait},
    connection::{Connection, ask, is_transient},
    error::CliError,
    output::{Screen, Tone, count, note, safe, time::duration},
};

pub mod radius;

/// How often the order is looked at while waiting.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// Gives the order, or shows what it would reach.
///
/// # Errors
/// [`CliError::Unconfirmed`] when not everybody confirmed in time,
/// [`CliError::NotRevoked`] when the broker did not revoke everything.
pub async fn run(
    revoke: &Revoke,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let asks = !revoke.dry_run && !revoke.yes;
    if asks {
        needs_terminal("--yes to revoke, or --dry-run to see what it would reach")?;
    }
    let target = target(revoke, connection).await?;
    if revoke.dry_run {
        let radius = Radius::fetch(target, revoke, connection).await?;
        radius.print(screen)?;
        return Ok(screen.flush()?);
    }
    if asks {
        let radius = Radius::fetch(target.clone(), revoke, connection).await?;
        note(&format!("this {} {}", verb(revoke.mode), radius.sentence()));
        if radius.needs_second_person() {
            note(radius::SECOND_PERSON);
        }
        let verb = match revoke.mode {
            Mode::Kill => "Revoke",
            Mode::Freeze => "Freeze",
        };
        if !confirmed(&format!("{verb} {}", safe(&target.to_string())))? {
            note("nothing was revoked");
            return Ok(());
        }
    }
    let deadline = Instant::now() + revoke.timeout;
    let order = give(&target, revoke, connection, deadline).await?;
    let id = order.id;
    let followed = follow(order, revoke, connection, (screen, deadline)).await;
    if let Some(path) = &revoke.receipt {
        let signed = orders::acts::fetch(id, connection).await?;
        orders::acts::write(path, &signed)?;
    }
    followed
}

const fn verb(mode: Mode) -> &'static str {
    match mode {
        Mode::Kill => "ends",
        Mode::Freeze => "freezes",
    }
}

/// The order as the collector is asked for it, without a name.
fn request(target: &Target, revoke: &Revoke) -> Result<RevokeRequest, CliError> {
    let not_after = match revoke.not_after {
        None => None,
        Some(span) if span.is_zero() => {
            return Err(CliError::Usage("--not-after: give more than 0s".to_owned()));
        }
        Some(span) => Some(SystemClock.now().plus(span).0),
    };
    Ok(RevokeRequest {
        target: Some(target.into()),
        reason: revoke.reason.clone(),
        dry_run: false,
        order: Vec::new(),
        mode: OrderMode::from(revoke.mode).into(),
        not_after_unix_ns: not_after,
    })
}

/// What the command line names as the target.
async fn target(revoke: &Revoke, connection: &Connection) -> Result<Target, CliError> {
    Ok(match revoke {
        Revoke {
            engineer: Some(id), ..
        }
        | Revoke {
            workload: Some(id), ..
        } => Target::Engineer(id.clone()),
        Revoke { host: Some(id), .. } => Target::Host(id.clone()),
        Revoke {
            session: Some(text),
            ..
        } => Target::Session(connection.session(text).await?),
        Revoke {
            grant: Some(id), ..
        } => Target::Grant(id.clone()),
        Revoke {
            tenant: Some(id), ..
        } => Target::Tenant(id.clone()),
        Revoke {
            serial: Some(serial),
            ..
        } => Target::Serial(*serial),
        _ => {
            return Err(CliError::Usage(
                "give one of --engineer, --workload, --session, --grant, --tenant, --host, --serial".into(),
            ));
        }
    })
}

/// Refuses to ask where nobody can answer; `instead` says what would do.
pub(super) fn needs_terminal(instead: &str) -> Result<(), CliError> {
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "nobody can be asked, since this is no terminal: give {instead}"
    )))
}

/// Asks the person at the terminal.
pub(super) fn confirmed(question: &str) -> Result<bool, CliError> {
    let mut err = std::io::stderr();
    write!(err, "{question}? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES"))
}

/// Gives the order; the same one again while the connection fails.
async fn give(
    target: &Target,
    revoke: &Revoke,
    connection: &Connection,
    deadline: Instant,
) -> Result<Order, CliError> {
    let id = OrderId::from_slice(&ulid::Ulid::generate().to_bytes())?;
    let request = RevokeRequest {
        order: id.to_bytes().to_vec(),
        ..request(target, revoke)?
    };
    loop {
        match connection.orders().revoke(ask(request.clone())).await {
            Ok(answer) => return read(answer.into_inner().order),
            Err(status) if is_transient(&status) && Instant::now() < deadline => sleep(POLL).await,
            Err(status) => return Err(connection.error(&status)),
        }
    }
}

/// Tells each step as it happens, until what is waited for has happened.
async fn follow(
    order: Order,
    revoke: &Revoke,
    connection: &Connection,
    (screen, deadline): (&mut Screen, Instant),
) -> Result<(), CliError> {
    let mut told = Told::default();
    let mut order = order;
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    let mut interrupted = false;
    loop {
        if screen.is_table() {
            told.tell(&order, screen)?;
            screen.flush()?;
        }
        // What was not given, or is over, is not waited for.
        if is_done(&order, revoke.wait)
            || !order.is_in_force()
            || interrupted
            || Instant::now() >= deadline
        {
            break;
        }
        let question = async {
            sleep(POLL).await;
            let request = GetOrderRequest {
                order: order.id.to_bytes().to_vec(),
            };
            connection.orders().get_order(ask(request)).await
        };
        tokio::select! {
            answer = timeout_at(deadline, question) => match answer {
                Ok(Ok(answer)) => order = read(answer.into_inner().order)?,
                Ok(Err(status)) if is_transient(&status) => {}
                Ok(Err(status)) => return Err(connection.error(&status)),
                Err(_) => {}
            },
            _ = &mut stop => interrupted = true,
        }
    }
    if screen.is_table() {
        orders::print_times(&order, screen)?;
    } else {
        screen.record(&orders::record(&order))?;
    }
    screen.flush()?;
    verdict(&order, revoke)
}

/// Whether what was waited for came, and what the broker made of it.
fn verdict(order: &Order, revoke: &Revoke) -> Result<(), CliError> {
    if order.standing() == Standing::Proposed {
        return Err(CliError::Proposed { order: order.id });
    }
    if !is_done(order, revoke.wait) {
        let waited = duration(revoke.timeout);
        return Err(CliError::Unconfirmed {
            order: order.id,
            waited,
            missing: missing(order, revoke.wait),
        });
    }
    let kept: Vec<String> = order
        .revoked
        .iter()
        .filter(|revoked| revoke.wait != Wait::None && !orders::is_revoked(revoked.outcome))
        .map(|revoked| {
            let serial = revoked.serial.map(|serial| format!("certificate {serial}"));
            let grant = revoked.grant.as_ref().map(|grant| format!("grant {grant}"));
            let name = serial.or(grant).unwrap_or_else(|| order.target.to_string());
            format!("{name} is {}", revoked.outcome.as_str())
        })
        .collect();
    if kept.is_empty() {
        return Ok(());
    }
    Err(CliError::NotRevoked {
        order: order.id,
        what: kept.join(", "),
    })
}

fn is_done(order: &Order, wait: Wait) -> bool {
    match wait {
        Wait::Enforced => order.is_answered() && order.is_confirmed(),
        Wait::BrokerAnswered => order.is_answered(),
        Wait::None => true,
    }
}

fn missing(order: &Order, wait: Wait) -> String {
    let mut parts = Vec::new();
    if !order.is_answered() {
        parts.push(if order.last_error.is_empty() {
            "the broker has not answered".to_owned()
        } else {
            format!("the broker has not answered ({})", order.last_error)
        });
    }
    let hosts: BTreeSet<&str> = order
        .sessions
        .iter()
        .filter(|affected| wait == Wait::Enforced && !affected.is_confirmed(order.mode))
        .map(|affected| affected.host.as_str())
        .collect();
    if !hosts.is_empty() {
        let hosts: Vec<&str> = hosts.into_iter().collect();
        parts.push(format!("no word came from {}", hosts.join(", ")));
    }
    parts.join(" and ")
}

pub(super) fn read(order: Option<monitor_proto::v1::Order>) -> Result<Order, CliError> {
    let order = order.ok_or_else(|| CliError::Answer("it gave no order back".to_owned(), None))?;
    Ok(order.try_into()?)
}

/// What was told already.
#[derive(Default)]
struct Told {
    given: bool,
    answered: bool,
    sessions: BTreeSet<monitor_model::id::SessionId>,
    frozen: BTreeSet<monitor_model::id::SessionId>,
    error: String,
}

impl Told {
    fn tell(&mut self, order: &Order, screen: &mut Screen) -> Result<(), CliError> {
        let start = order.times.ordered;
        if !self.given {
            self.given = true;
            let reach = count(order.sessions.len(), "live session");
            screen.line(
                Tone::Bold,
                &format!("order {} against {}: {reach}", order.id, order.target),
            )?;
        }
        for affected in &order.sessions {
            if let Some(at) = affected.gone_at
                && self.sessions.insert(affected.session)
            {
                let text = format!(
                    "session {} on {} gone after {}, {} killed",
                    screen.id(&affected.session),
                    affected.host,
                    orders::after(start, at),
                    affected.killed
                );
                screen.line(Tone::Good, &text)?;
            }
            if let (None, Some(at)) = (affected.gone_at, affected.frozen_at)
                && self.frozen.insert(affected.session)
            {
                let text = format!(
                    "session {} on {} stands still after {}, {} processes",
                    screen.id(&affected.session),
                    affected.host,
                    orders::after(start, at),
                    affected.frozen
                );
                screen.line(Tone::Good, &text)?;
            }
        }
        match order.times.broker_answered {
            Some(at) if !self.answered => {
                self.answered = true;
                let text = format!("broker answered after {}", orders::after(start, at));
                screen.line(Tone::Good, &text)?;
            }
            None if self.error != order.last_error => {
                self.error.clone_from(&order.last_error);
                screen.line(
                    Tone::Doubtful,
                    &format!("broker not reached yet: {}", order.last_error),
                )?;
            }
            _ => {}
        }
        Ok(())
    }
}
