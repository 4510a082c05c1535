//! What became of a revocation order, signed: canonical JSON (RFC 8785) in a
//! `c2sp.org/signed-note`.
//!
//! ```text
//! monitor revocation receipt v1
//! {"collector":"main","credentials":[...],...}
//!
//! — monitor.example/orders/receipts <signature>
//! ```
//! It is signed with the ledgers' key under a name that no tenant can have, so
//! that whoever holds the verifier key of any ledger of the collector can check
//! it, and no receipt is a checkpoint. Format: `docs/reference/orders.md`.

use std::collections::BTreeMap;

use monitor_model::{
    clock::UnixNs,
    id::{AgentName, GrantId},
    revocation::{Affected, Mode, Order, Outcome, Revoked, Times, life::OrderStep},
};
use serde_json::{Value, json};
use signed_note::{Note, NoteError, VerifierList};

use crate::key::{KeyError, LogKey, VerifierKey};

/// The first line of a receipt.
pub const HEADER: &str = "monitor revocation receipt v1";
/// The log, in place of a tenant's, under whose name receipts are signed.
pub const LOG: &str = "orders/receipts";
/// Largest receipt in bytes.
pub const RECEIPT_BYTES_MAX: usize = 64 << 20;

/// Why a receipt cannot be made or relied on.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// It is no note, or not signed by any of the keys.
    #[error("receipt: {0}")]
    Note(#[from] NoteError),
    /// A key cannot be used.
    #[error("receipt: {0}")]
    Key(#[from] KeyError),
    /// It is signed, and says something else than a receipt does.
    #[error("receipt: {cause}")]
    Text {
        /// What is wrong.
        cause: &'static str,
    },
    /// It is larger than any receipt.
    #[error("receipt: {bytes} bytes; a receipt has at most {RECEIPT_BYTES_MAX}")]
    Large {
        /// Its length.
        bytes: usize,
    },
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    content: Value,
}

impl Receipt {
    /// Of an order as it stands.
    #[must_use]
    pub fn new(order: &Order, collector: &AgentName, made_at: UnixNs) -> Self {
        let supersedes: Vec<String> = order.supersedes.iter().map(ToString::to_string).collect();
        let content = json!({
            "schema": "monitor.v1.revocation_receipt",
            "schema_version": 1,
            "collector": collector.as_str(),
            "made_at": made_at.utc(),
            "order": order.id.to_string(),
            "state": order.state().as_str(),
            "mode": order.mode.as_str(),
            "target": order.target.to_string(),
            "reason": order.cause.text,
            "initiator": order.cause.initiator,
            "alert": order.cause.alert.map(|id| id.to_string()),
            "event": order.cause.event.as_ref().map(ToString::to_string),
            "asked_because": order.asks.map(monitor_model::revocation::life::Asks::as_str),
            "not_after": moment(order.not_after),
            "supersedes": supersedes,
            "steps": order.steps.iter().map(step).collect::<Vec<_>>(),
            "times": times(&order.times),
            "credentials": credentials(order),
            "broker": broker(order),
            "hosts": hosts(order),
        });
        Self { content }
    }

    /// What it says.
    #[must_use]
    pub const fn content(&self) -> &Value {
        &self.content
    }

    /// The receipt as a signed note.
    ///
    /// # Errors
    /// [`ReceiptError`]: with a key of ours, none.
    pub fn sign(&self, key: &LogKey) -> Result<Vec<u8>, ReceiptError> {
        let signer = key.signer(LOG)?;
        // Keys in order, no spaces, shortest escapes, no number beyond 2^53.
        let text = format!("{HEADER}\n{}\n", self.content);
        let mut note = Note::new(text.as_bytes(), &[])?;
        note.add_sigs(&[&signer.signer])?;
        Ok(note.to_bytes())
    }

    /// Reads a receipt that must be signed by one of these keys of a collector,
    /// of whichever of its ledgers; any changed byte is found.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub fn open(bytes: &[u8], keys: &[VerifierKey]) -> Result<Self, ReceiptError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::Large { bytes: bytes.len() });
        }
        let note = Note::from_bytes(bytes)?;
        let mut verified = Err(ReceiptError::Text {
            cause: "no verifier key was given",
        });
        for key in keys {
            let key = of_receipts(key)?;
            let list = VerifierList::new(vec![Box::new(key.verifier)]);
            verified = note.verify(&list).map(|_| ()).map_err(Into::into);
            if verified.is_ok() {
                break;
            }
        }
        verified?;
        let wrong = |cause| ReceiptError::Text { cause };
        if note.to_bytes() != bytes {
            return Err(wrong("something stands beside what is signed"));
        }
        let text = std::str::from_utf8(note.text()).map_err(|_| wrong("no text"))?;
        let body = text
            .strip_prefix(HEADER)
            .and_then(|rest| rest.strip_prefix('\n')?.strip_suffix('\n'))
            .ok_or_else(|| wrong("the signed note is no receipt of version 1"))?;
        let content: Value =
            serde_json::from_str(body).map_err(|_| wrong("the second line is no JSON"))?;
        let canonical = content.to_string();
        if canonical.as_str() != body {
            return Err(wrong("the JSON is not canonical"));
        }
        Ok(Self { content })
    }
}

/// The key that signs receipts, from that of any ledger of the same collector.
fn of_receipts(key: &VerifierKey) -> Result<VerifierKey, KeyError> {
    let name = key.name();
    let suffix = format!("/{LOG}");
    if name.ends_with(&suffix) {
        return Ok(key.clone());
    }
    let collector = name
        .rsplit_once('/')
        .map_or(name, |(collector, _)| collector);
    key.renamed(&format!("{collector}{suffix}"))
}

fn moment(at: Option<UnixNs>) -> Option<String> {
    at.map(UnixNs::utc)
}

fn step(step: &OrderStep) -> Value {
    let OrderStep { to, by, note, at } = step;
    json!({ "to": to.as_str(), "by": by, "note": note, "at": at.utc() })
}

fn times(times: &Times) -> Value {
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
    json!({
        "kernel_event": moment(kernel_event),
        "alert": moment(alert),
        "ordered": moment(ordered),
        "delivered": moment(delivered),
        "broker_answered": moment(broker_answered),
        "krl_published": moment(krl_published),
        "last_process_gone": moment(last_process_gone),
        "first_refused_login": moment(first_refused_login),
    })
}

/// What the broker did with each credential, and those that it has not named.
fn credentials(order: &Order) -> Vec<Value> {
    let told = |revoked: &Revoked| {
        let Revoked {
            serial,
            grant,
            outcome,
            at,
        } = revoked;
        json!({
            "serial": serial.map(|serial| serial.to_string()),
            "grant": grant.as_ref().map(ToString::to_string),
            "outcome": outcome.as_str(),
            "was_gone_before": *outcome == Outcome::AlreadyRevoked,
            "at": at.utc(),
        })
    };
    let named = |serial: u64| order.revoked.iter().any(|one| one.serial == Some(serial));
    let silent = match order.mode {
        Mode::Freeze => "suspended",
        Mode::Kill => "not_answered",
    };
    let sessions = order.sessions.iter().filter_map(|one| one.serial);
    let rest: std::collections::BTreeSet<u64> = sessions.filter(|one| !named(*one)).collect();
    let rest = rest.into_iter().map(|serial| {
        json!({
            "serial": serial.to_string(), "grant": null, "outcome": silent,
            "was_gone_before": false, "at": null,
        })
    });
    order.revoked.iter().map(told).chain(rest).collect()
}

fn broker(order: &Order) -> Value {
    let is_in_force = order.is_in_force();
    json!({
        "is_asked": order.mode == Mode::Kill,
        "is_answered": order.times.broker_answered.is_some(),
        "is_retried": is_in_force && !order.is_answered(),
        "attempts": order.attempts,
        "last_error": order.last_error,
    })
}

/// Each host that the order reaches, that refused a login by it, or that has the
/// broker's list with it.
fn hosts(order: &Order) -> Vec<Value> {
    let mut by_host: BTreeMap<&str, Vec<&Affected>> = BTreeMap::new();
    for affected in &order.sessions {
        let host = by_host.entry(affected.host.as_str()).or_default();
        host.push(affected);
    }
    for refused in &order.refused {
        by_host.entry(refused.host.as_str()).or_default();
    }
    for published in &order.published {
        by_host.entry(published.host.as_str()).or_default();
    }
    let told = |(host, sessions): (&str, Vec<&Affected>)| {
        let refused = order.refused.iter().find(|one| one.host.as_str() == host);
        let published = order.published.iter().find(|one| one.host.as_str() == host);
        let all_gone = sessions.iter().all(|one| one.gone_at.is_some());
        let last = sessions.iter().filter_map(|one| one.gone_at).max();
        let is_confirmed = sessions.iter().all(|one| one.is_confirmed(order.mode));
        json!({
            "host": host,
            "is_confirmed": is_confirmed,
            "is_retried": order.is_in_force() && !is_confirmed,
            "last_process_gone": moment(last.filter(|_| all_gone)),
            "first_refused_login": moment(refused.map(|one| one.at)),
            "krl_published": moment(published.map(|one| one.at)),
            "sessions": sessions.iter().map(|one| session(one, order)).collect::<Vec<_>>(),
        })
    };
    by_host.into_iter().map(told).collect()
}

fn session(affected: &Affected, order: &Order) -> Value {
    let Affected {
        session,
        host: _,
        principal,
        tenant,
        serial,
        grants,
        gone_at,
        killed,
        frozen_at,
        frozen,
        closed,
        left,
        released_at,
    } = affected;
    let was_gone = gone_at.is_some_and(|at| order.times.ordered.is_some_and(|then| at < then));
    let grants: Vec<&str> = grants.iter().map(GrantId::as_str).collect();
    json!({
        "session": session.to_string(),
        "principal": principal.as_ref().map(ToString::to_string),
        "tenant": tenant.as_ref().map(ToString::to_string),
        "serial": serial.map(|serial| serial.to_string()),
        "grants": grants,
        "was_gone_before": was_gone,
        "gone_at": moment(*gone_at),
        "killed": killed,
        "frozen_at": moment(*frozen_at),
        "frozen": frozen,
        "connections_closed": closed,
        "left": left,
        "released_at": moment(*released_at),
    })
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        id::{OrderId, SessionId},
        revocation::{Cause, Refused, Target},
    };

    use super::*;

    const AT: UnixNs = UnixNs::from_seconds(1_790_000_000);

    fn key() -> LogKey {
        LogKey::new("monitor.example", &[7; 32]).unwrap()
    }

    fn order() -> Order {
        let cause = Cause {
            text: "offboarding \"now\"\u{7f} \u{e9}".into(),
            alert: None,
            event: None,
            initiator: "carol".into(),
        };
        let affected = |number: u128, host: &str| Affected {
            serial: Some(u64::MAX),
            ..Affected::new(SessionId::from_parts(AT, number), host.parse().unwrap())
        };
        let gone = Affected {
            gone_at: Some(UnixNs(AT.0 - 1)),
            ..affected(1, "jump-1")
        };
        Order {
            sessions: vec![gone, affected(2, "jump-2")],
            times: Times {
                ordered: Some(AT),
                ..Times::default()
            },
            refused: vec![Refused {
                host: "jump-3".parse().unwrap(),
                at: UnixNs(AT.0 + 5),
            }],
            ..Order::new(
                OrderId::from_parts(AT, 1),
                Target::Engineer("alice".parse().unwrap()),
                cause,
            )
        }
    }

    fn receipt() -> Receipt {
        Receipt::new(&order(), &"main".parse().unwrap(), AT)
    }

    #[test]
    fn a_receipt_is_checked_with_the_key_of_any_ledger() {
        let note = receipt().sign(&key()).unwrap();
        for log in ["acme", "globex", LOG] {
            let verifier = key().signer(log).unwrap().verifier().clone();
            assert_eq!(
                Receipt::open(&note, &[verifier]).unwrap(),
                receipt(),
                "{log}"
            );
        }
        let other = LogKey::new("monitor.example", &[8; 32]).unwrap();
        let other = other.signer("acme").unwrap().verifier().clone();
        assert!(Receipt::open(&note, &[other]).is_err());
        assert!(Receipt::open(&note, &[]).is_err());
    }

    #[test]
    fn each_changed_byte_is_found() {
        let note = receipt().sign(&key()).unwrap();
        let verifier = [key().signer("acme").unwrap().verifier().clone()];
        for place in 0..note.len() {
            for bits in [0x01, 0x20, 0x80] {
                let mut bent = note.clone();
                bent[place] ^= bits;
                assert!(Receipt::open(&bent, &verifier).is_err(), "byte {place}");
            }
        }
        for more in [&b"\n"[..], b" ", b"x\n"] {
            let longer = [note.as_slice(), more].concat();
            assert!(Receipt::open(&longer, &verifier).is_err());
        }
        assert!(Receipt::open(&note[..note.len() - 1], &verifier).is_err());
    }

    #[test]
    fn a_checkpoint_is_no_receipt() {
        let signer = key().signer(LOG).unwrap();
        let tree = crate::proof::Tree {
            size: 1,
            root: [1; 32],
        };
        let checkpoint = crate::checkpoint::sign(&signer, &tree).unwrap();
        let error = Receipt::open(&checkpoint, &[signer.verifier().clone()]).unwrap_err();
        assert!(error.to_string().contains("no receipt"), "{error}");
    }

    #[test]
    fn it_says_what_was_gone_before_and_what_is_retried() {
        let receipt = receipt();
        let hosts = receipt.content()["hosts"].as_array().unwrap();
        let names: Vec<_> = hosts.iter().map(|host| host["host"].as_str()).collect();
        assert_eq!(names, [Some("jump-1"), Some("jump-2"), Some("jump-3")]);
        assert_eq!(hosts[0]["sessions"][0]["was_gone_before"], true);
        assert_eq!(
            (&hosts[0]["is_retried"], &hosts[1]["is_retried"]),
            (&json!(false), &json!(true))
        );
        assert!(hosts[2]["first_refused_login"].is_string());
        assert_eq!(receipt.content()["broker"]["is_retried"], true);
        let serial = &receipt.content()["credentials"][0]["serial"];
        assert_eq!(serial, &json!(u64::MAX.to_string()));
    }
}
