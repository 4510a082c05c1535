//! Every order applied once, at the broker and on the hosts, and entered once; and
//! nothing done to anybody else.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use monitor_broker::krl::file;
use monitor_model::{
    contain::ContainMode,
    id::{OrderId, SessionId},
    session::Session,
};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::{Told, is_last};
use crate::{
    broker,
    ground::{Given, Ground},
    kernel::Known,
};

/// Judges what was ordered against what was done.
pub(super) fn judge(ground: &Ground, told: &Told) -> Result<()> {
    let orders = ground.people.orders();
    for given in &orders {
        at_broker(ground, given)?;
        on_hosts(ground, given)?;
        entered(told, given)?;
    }
    let ordered: BTreeSet<OrderId> = orders.iter().map(|given| given.id).collect();
    let sessions: BTreeMap<SessionId, Known> = everybody(ground)
        .map(|known| (known.session.id, known))
        .collect();
    let mut seen = BTreeSet::new();
    for receipt in told.receipts.iter().filter(|receipt| receipt.is_done()) {
        let (order, session) = (receipt.order, receipt.session);
        let known = sessions.get(&session);
        let finished = known.map(|known| unfinished(&known.session, receipt.mode));
        ensure!(
            ordered.contains(&order) || finished == Some(order),
            "a receipt of {order}, which nobody ordered"
        );
        ensure!(
            seen.insert((order, session, receipt.mode)),
            "several receipts of {session} for {order}"
        );
    }
    for known in everybody(ground).filter(|known| known.touched > 0) {
        ensure!(
            orders.iter().any(|given| reaches(given, &known.session)),
            "{} of {:?} was touched, which no order reaches",
            known.session.id,
            known.session.principal
        );
    }
    Ok(())
}

/// Whether an order is against a session: an engineer's is against all of theirs, and
/// one that names a session against every other that its certificate opened.
fn reaches(given: &Given, session: &Session) -> bool {
    match given.session {
        Some(named) => session.id == named || session.credential.serial() == Some(given.serial),
        None => session.principal.as_ref() == Some(&given.engineer),
    }
}

fn everybody(ground: &Ground) -> impl Iterator<Item = Known> {
    let hosts = ground.hosts.iter();
    hosts.flat_map(|host| host.kernel.sessions())
}

/// The broker has it once, and its list has the certificate.
fn at_broker(ground: &Ground, given: &Given) -> Result<()> {
    let places = broker::places(ground);
    let store = Connection::open(places.data_dir.join("state.db"))?;
    let id = given.id.to_bytes();
    let count =
        |sql: &str| -> rusqlite::Result<i64> { store.query_row(sql, [&id[..]], |row| row.get(0)) };
    let orders = count("SELECT count(*) FROM orders WHERE id = ?1")?;
    ensure!(orders == 1, "the broker has {} {orders} times", given.id);
    let twice = count(
        "SELECT count(*) FROM (SELECT 1 FROM answers WHERE order_id = ?1 AND outcome = 'revoked'
         GROUP BY serial, grant_id HAVING count(*) > 1)",
    )?;
    ensure!(twice == 0, "the broker carried {} out twice", given.id);
    let list = file::inspect(&places.krl).context("the revocation list")?;
    let is_on = list.serials.contains(given.serial);
    ensure!(
        is_on,
        "serial {} of {} is not on the list",
        given.serial,
        given.id
    );
    Ok(())
}

/// What it reaches is gone, and was killed once.
fn on_hosts(ground: &Ground, given: &Given) -> Result<()> {
    for known in everybody(ground) {
        if !reaches(given, &known.session) || !known.is_answered {
            continue;
        }
        let id = known.session.id;
        ensure!(
            known.processes.is_empty(),
            "{id} lives on, against {}",
            given.id
        );
        ensure!(known.killed <= 1, "{id} was killed {} times", known.killed);
    }
    Ok(())
}

/// The name under which an agent finishes what its crash left half done
/// (`monitor-agent/src/contain/keeper.rs`).
fn unfinished(session: &Session, mode: ContainMode) -> OrderId {
    let words = format!("monitor.v1 unfinished\0{}\0{mode}", session.id);
    let digest = Sha256::digest(words);
    let bits = digest.iter().take(16);
    let bits = bits.fold(0, |bits, &byte| (bits << 8) | u128::from(byte));
    OrderId::from_parts(session.opened_at, bits)
}

/// The ledgers say of it what became of it, and nothing twice.
fn entered(told: &Told, given: &Given) -> Result<()> {
    let entries = told.entries.get(&given.id);
    let entries = entries.with_context(|| format!("{} is entered nowhere", given.id))?;
    ensure!(
        entries.iter().any(is_last),
        "no ledger says that {} is enforced",
        given.id
    );
    for (place, entry) in entries.iter().enumerate() {
        let earlier = entries.iter().take(place);
        ensure!(
            !earlier.clone().any(|one| one == entry),
            "{} is entered twice as {entry:?}",
            given.id
        );
    }
    Ok(())
}
