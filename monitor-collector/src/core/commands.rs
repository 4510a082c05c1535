//! What hosts are still asked for. Pure.
//!
//! In: every order. Out: one command a session, until its receipt: of the
//! orders in force that reach it one that ends it, else one that freezes it; a
//! session that an order froze and that none holds any more is released.

use std::collections::{BTreeMap, BTreeSet};

use monitor_model::{
    contain::ContainMode,
    id::{AgentName, OrderId, SessionId},
    revocation::{Affected, Mode, Order},
};

use crate::tables::Command;

/// One session on one host.
type Place<'a> = (SessionId, &'a AgentName);

/// The commands that no receipt has answered.
pub(super) fn open(orders: &BTreeMap<OrderId, Order>) -> Vec<Command> {
    let mut held: BTreeSet<Place<'_>> = BTreeSet::new();
    let mut wanted: BTreeMap<Place<'_>, (ContainMode, &Order)> = BTreeMap::new();
    for order in orders.values().filter(|order| order.is_in_force()) {
        for affected in living(order) {
            held.insert(place(affected));
            if affected.is_confirmed(order.mode) {
                continue;
            }
            let mode = match order.mode {
                Mode::Kill => ContainMode::Kill,
                Mode::Freeze => ContainMode::Freeze,
            };
            let known = wanted.entry(place(affected)).or_insert((mode, order));
            if known.0 == ContainMode::Freeze && mode == ContainMode::Kill {
                *known = (mode, order);
            }
        }
    }
    for order in orders.values().filter(|order| order.standing().is_past()) {
        // A freeze that another order took the place of is that one's to undo.
        if order.mode == Mode::Kill && order.supersedes.is_empty() {
            continue;
        }
        for affected in living(order).filter(|affected| affected.released_at.is_none()) {
            if !held.contains(&place(affected)) {
                let release = (ContainMode::Release, order);
                wanted.entry(place(affected)).or_insert(release);
            }
        }
    }
    let command = |((session, host), (mode, order)): (Place<'_>, (ContainMode, &Order))| Command {
        order: order.id,
        session,
        host: host.clone(),
        mode,
        reason: order.cause.text.clone(),
    };
    wanted.into_iter().map(command).collect()
}

fn living(order: &Order) -> impl Iterator<Item = &Affected> {
    let sessions = order.sessions.iter();
    sessions.filter(|affected| affected.gone_at.is_none())
}

fn place(affected: &Affected) -> Place<'_> {
    (affected.session, &affected.host)
}
