//! What is done to sessions, and receipts of it.

use monitor_model::{
    clock::UnixNs,
    contain::{ContainMode, Frozen, Receipt},
    id::{OrderId, SessionId},
};

use super::{
    InvalidMessage,
    wire::{closed_enum, id, meaning_opt, name_opt, number, text_opt},
};
use crate::v1;

closed_enum!(ContainMode, v1::ContainMode, "mode", {
    Kill => Kill, Freeze => Freeze, Release => Release,
});

/// What an order wants; not stated is to kill, as it was before there was a
/// choice.
///
/// # Errors
/// [`InvalidMessage::Enum`] for a number that means nothing here.
pub fn contain_mode(value: i32) -> Result<ContainMode, InvalidMessage> {
    let mode = meaning_opt::<v1::ContainMode, ContainMode>("mode", value)?;
    Ok(mode.unwrap_or_default())
}

impl From<&Frozen> for v1::Frozen {
    fn from(value: &Frozen) -> Self {
        let Frozen { order, since } = value;
        Self {
            order: order.to_bytes().to_vec(),
            since_unix_ns: since.0,
        }
    }
}

impl TryFrom<v1::Frozen> for Frozen {
    type Error = InvalidMessage;
    fn try_from(value: v1::Frozen) -> Result<Self, InvalidMessage> {
        Ok(Self {
            order: id("frozen.order", &value.order, OrderId::from_slice)?,
            since: UnixNs(value.since_unix_ns),
        })
    }
}

impl From<&Receipt> for v1::Receipt {
    fn from(value: &Receipt) -> Self {
        let Receipt {
            order,
            session,
            mode,
            killed,
            left,
            frozen,
            asleep,
            released,
            sockets_closed,
            told,
            received_at,
            denied_at,
            frozen_at,
            gone_at,
            released_at,
            expired,
            foreign,
            unstored,
        } = value;
        Self {
            order: order.to_bytes().to_vec(),
            session: session.to_bytes().to_vec(),
            mode: number::<v1::ContainMode, _>(*mode),
            killed: *killed,
            left: *left,
            frozen: *frozen,
            asleep: *asleep,
            released: *released,
            sockets_closed: *sockets_closed,
            told: *told,
            received_at_unix_ns: received_at.0,
            denied_at_unix_ns: denied_at.0,
            frozen_at_unix_ns: frozen_at.map(|at| at.0),
            gone_at_unix_ns: gone_at.map(|at| at.0),
            released_at_unix_ns: released_at.map(|at| at.0),
            expired: text_opt(expired.as_ref()),
            foreign: text_opt(foreign.as_ref()),
            unstored: *unstored,
        }
    }
}

impl TryFrom<v1::Receipt> for Receipt {
    type Error = InvalidMessage;
    fn try_from(value: v1::Receipt) -> Result<Self, InvalidMessage> {
        Ok(Self {
            order: id("receipt.order", &value.order, OrderId::from_slice)?,
            session: id("receipt.session", &value.session, SessionId::from_slice)?,
            mode: contain_mode(value.mode)?,
            killed: value.killed,
            left: value.left,
            frozen: value.frozen,
            asleep: value.asleep,
            released: value.released,
            sockets_closed: value.sockets_closed,
            told: value.told,
            received_at: UnixNs(value.received_at_unix_ns),
            denied_at: UnixNs(value.denied_at_unix_ns),
            frozen_at: value.frozen_at_unix_ns.map(UnixNs),
            gone_at: value.gone_at_unix_ns.map(UnixNs),
            released_at: value.released_at_unix_ns.map(UnixNs),
            expired: name_opt("receipt.expired", &value.expired)?,
            foreign: name_opt("receipt.foreign", &value.foreign)?,
            unstored: value.unstored,
        })
    }
}
