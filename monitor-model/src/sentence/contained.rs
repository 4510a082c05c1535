//! What was done to a session, in words.

use crate::contain::{ContainMode, Receipt};

/// What a receipt says.
pub(super) fn sentence(receipt: &Receipt) -> String {
    let why = why(receipt);
    match receipt.mode {
        ContainMode::Kill => killed(receipt, &why),
        ContainMode::Freeze => frozen(receipt, &why),
        ContainMode::Release => released(receipt, &why),
    }
}

fn why(receipt: &Receipt) -> String {
    match (&receipt.expired, &receipt.foreign) {
        (Some(grant), _) => format!(" since grant {grant} is over"),
        (None, Some(tenant)) => {
            format!(" by the agent itself, since it used a credential of {tenant}")
        }
        (None, None) if receipt.unstored => unstored(receipt.mode).to_owned(),
        (None, None) => String::new(),
    }
}

const fn unstored(mode: ContainMode) -> &'static str {
    match mode {
        ContainMode::Release => " by the agent itself, since events can be stored again",
        ContainMode::Freeze | ContainMode::Kill => {
            " by the agent itself, since events could not be stored"
        }
    }
}

fn killed(receipt: &Receipt, why: &str) -> String {
    let killed = receipt.killed;
    match receipt.left {
        0 => format!("session ended on the host{why}, {killed} processes killed"),
        left => format!("session not ended{why}: {left} processes would not die, {killed} killed"),
    }
}

fn frozen(receipt: &Receipt, why: &str) -> String {
    let (frozen, cut) = (receipt.frozen, receipt.sockets_closed);
    match receipt.left {
        0 if receipt.gone_at.is_some() => format!("session to be frozen was gone already{why}"),
        0 => format!("session frozen{why}: {frozen} processes stand still, {cut} connections cut"),
        left => format!("session not frozen{why}: {left} processes run, {frozen} stand still"),
    }
}

fn released(receipt: &Receipt, why: &str) -> String {
    let released = receipt.released;
    match receipt.left {
        0 => format!("session released{why}: {released} processes go on"),
        left => format!("session not released{why}: {left} processes do not go on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::UnixNs,
        id::{OrderId, SessionId},
    };

    fn receipt(mode: ContainMode) -> Receipt {
        let order = OrderId::from_parts(UnixNs(1), 1);
        let session = SessionId::from_parts(UnixNs(1), 1);
        Receipt::new(order, session, mode, UnixNs(1))
    }

    #[test]
    fn a_receipt_says_what_was_done_and_whose_will_it_was() {
        let frozen = Receipt {
            frozen: 3,
            sockets_closed: 1,
            frozen_at: Some(UnixNs(2)),
            foreign: Some("globex".parse().unwrap()),
            ..receipt(ContainMode::Freeze)
        };
        assert_eq!(
            sentence(&frozen),
            "session frozen by the agent itself, since it used a credential of globex: \
             3 processes stand still, 1 connections cut"
        );
        let running = Receipt {
            left: 1,
            frozen: 2,
            ..receipt(ContainMode::Freeze)
        };
        assert_eq!(
            sentence(&running),
            "session not frozen: 1 processes run, 2 stand still"
        );
        let released = Receipt {
            released: 3,
            ..receipt(ContainMode::Release)
        };
        assert_eq!(sentence(&released), "session released: 3 processes go on");
        let again = Receipt {
            unstored: true,
            ..released
        };
        assert_eq!(
            sentence(&again),
            "session released by the agent itself, since events can be stored again: \
             3 processes go on"
        );
        let left = Receipt {
            left: 1,
            killed: 4,
            ..receipt(ContainMode::Kill)
        };
        assert_eq!(
            sentence(&left),
            "session not ended: 1 processes would not die, 4 killed"
        );
    }
}
