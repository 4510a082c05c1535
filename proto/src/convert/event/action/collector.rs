//! What the collector says of itself, and of orders.

use monitor_model::{
    clock::UnixNs,
    event::{Action, Caller},
};

use crate::{
    convert::{
        InvalidMessage,
        wire::{meaning, name, names, need, number, texts},
    },
    v1,
};

/// Reads, removals and orders.
pub(super) fn message(value: &Action) -> v1::event::Action {
    use v1::event::Action as Message;
    match value {
        Action::Read {
            by,
            call,
            question,
            question_truncated,
            tenants,
            first_at,
            last_at,
            times,
            items,
        } => Message::Read(v1::Read {
            by: Some(by.into()),
            call: call.clone(),
            question: question.clone(),
            question_truncated: *question_truncated,
            tenants: texts(tenants),
            first_at_unix_ns: first_at.0,
            last_at_unix_ns: last_at.0,
            times: *times,
            items: *items,
        }),
        Action::Removed {
            first,
            last,
            reason,
            contract,
            held_back,
        } => Message::Removed(v1::Removed {
            first: *first,
            last: *last,
            reason: number::<v1::RemovalReason, _>(*reason),
            contract: contract.clone(),
            held_back: *held_back,
        }),
        Action::Order { entry } => Message::Order(entry.as_ref().into()),
        Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::Connect { .. }
        | Action::Credential { .. }
        | Action::LocalConnect { .. }
        | Action::Socket { .. }
        | Action::Memory { .. }
        | Action::Identity { .. }
        | Action::Signal { .. }
        | Action::Host { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. } => value.into(),
    }
}

impl TryFrom<v1::Read> for Action {
    type Error = InvalidMessage;
    fn try_from(value: v1::Read) -> Result<Self, InvalidMessage> {
        let v1::Read {
            by,
            call,
            question,
            question_truncated,
            tenants,
            first_at_unix_ns,
            last_at_unix_ns,
            times,
            items,
        } = value;
        Ok(Self::Read {
            by: need("read.by", by)?.try_into()?,
            call,
            question,
            question_truncated,
            tenants: names("read.tenants", &tenants)?,
            first_at: UnixNs(first_at_unix_ns),
            last_at: UnixNs(last_at_unix_ns),
            times,
            items,
        })
    }
}

impl From<&Caller> for v1::Caller {
    fn from(value: &Caller) -> Self {
        let Caller {
            role,
            name,
            tenants,
        } = value;
        Self {
            role: role.clone(),
            name: name.to_string(),
            tenants: texts(tenants),
        }
    }
}

impl TryFrom<v1::Caller> for Caller {
    type Error = InvalidMessage;
    fn try_from(value: v1::Caller) -> Result<Self, InvalidMessage> {
        let v1::Caller {
            role,
            name: text,
            tenants,
        } = value;
        Ok(Self {
            role,
            name: name("caller.name", &text)?,
            tenants: names("caller.tenants", &tenants)?,
        })
    }
}

impl TryFrom<v1::Removed> for Action {
    type Error = InvalidMessage;
    fn try_from(value: v1::Removed) -> Result<Self, InvalidMessage> {
        let v1::Removed {
            first,
            last,
            reason,
            contract,
            held_back,
        } = value;
        Ok(Self::Removed {
            first,
            last,
            reason: meaning::<v1::RemovalReason, _>("removed.reason", reason)?,
            contract,
            held_back,
        })
    }
}
