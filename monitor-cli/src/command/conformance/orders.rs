//! What orders do: one run, whose checks stand on what the ones before revoked.

use std::time::Duration;

use monitor_model::{
    clock::{Clock as _, SystemClock},
    id::SessionId,
    revocation::{Outcome, Revoked, Target},
};
use monitor_proto::v1::{DescribeResponse, RevokeCredentialsRequest};
use tonic::Code;
use ulid::Ulid;

use super::{
    answer::{moment, never_issued, reached, still, told},
    check::{Check, Finding},
    identity::{Strangers, refused},
    peer::{Answer, Failure, Peer},
};
use crate::cli::ConformanceBroker;

/// A deadline that hardly any broker keeps.
const NO_TIME: Duration = Duration::from_millis(1);
/// Bytes of an order's id, less one.
const SHORT_ID: [u8; 15] = [7; 15];

const REASON: &str = "conformance check of the broker";

/// A run against one broker.
#[derive(Debug)]
pub struct Run<'a> {
    asked: &'a ConformanceBroker,
    peer: Peer,
    /// The certificate that most checks are about.
    first: u64,
    /// The one for two orders at once.
    second: Option<u64>,
    /// The order that revokes the first, and the answer to it.
    order: RevokeCredentialsRequest,
    answer: Option<Answer>,
    /// What was told as revoked, each by the first answer.
    revoked: Vec<Revoked>,
}

impl<'a> Run<'a> {
    /// Before anything was asked.
    #[must_use]
    pub fn new(asked: &'a ConformanceBroker, peer: Peer) -> Self {
        let mut serials = asked.serial.iter().copied();
        let first = serials.next().unwrap_or_default();
        let named = vec![first, asked.unknown_serial];
        Self {
            asked,
            peer,
            first,
            second: serials.next(),
            order: order(&Target::Serial(first), named),
            answer: None,
            revoked: Vec::new(),
        }
    }

    /// Carries out one check.
    pub async fn find(&mut self, check: Check, strangers: &Strangers) -> Finding {
        let harmless = self.harmless();
        match check {
            Check::DescribedBefore => self.described_before().await.into(),
            Check::NoCertificate => {
                refused(self.asked, Some(&strangers.nobody), "", &harmless).await
            }
            Check::WrongRole => {
                let flags = "--wrong-role-certificate, --wrong-role-key";
                refused(self.asked, strangers.wrong_role.as_ref(), flags, &harmless).await
            }
            Check::OtherAuthority => {
                let flags = "--other-authority-certificate, --other-authority-key";
                let stranger = strangers.other_authority.as_ref();
                refused(self.asked, stranger, flags, &harmless).await
            }
            Check::Malformed => self.malformed().await.into(),
            Check::Unknown => self.unknown().await.into(),
            Check::Partial => self.partial().await.into(),
            Check::SameAgain => self.again(1).await,
            Check::LaterAttempt => self.again(2).await,
            Check::OtherTarget => self.other_target(harmless).await,
            Check::Deadline => self.deadline().await,
            Check::AtOnce => self.at_once().await,
            Check::DescribedAfter => self.described_after().await,
        }
    }

    /// An order that reaches nothing.
    fn harmless(&self) -> RevokeCredentialsRequest {
        let unknown = self.asked.unknown_serial;
        order(&Target::Serial(unknown), vec![unknown])
    }

    async fn held(&self) -> Result<DescribeResponse, String> {
        let held = self.peer.describe(self.asked.engineer.as_str()).await;
        held.map_err(|failure| format!("Describe: {failure}"))
    }

    /// That a certificate is held, and whether and when it was revoked.
    async fn revoked_at(&self, serial: u64) -> Result<Option<u64>, String> {
        let held = self.held().await?;
        let mut entries = held.certificates.iter().filter(|one| one.serial == serial);
        let entry = entries.next().ok_or_else(|| {
            format!(
                "Describe does not name certificate {serial} among what {} holds",
                self.asked.engineer
            )
        })?;
        Ok(entry.revoked_at_unix_ns)
    }

    async fn described_before(&self) -> Result<(), String> {
        for serial in &self.asked.serial {
            if self.revoked_at(*serial).await?.is_some() {
                return Err(format!(
                    "Describe tells certificate {serial} as revoked before anything was asked: give one that is valid"
                ));
            }
        }
        let unknown = self.asked.unknown_serial;
        let held = self.held().await?;
        if held.certificates.iter().any(|one| one.serial == unknown) {
            return Err(format!(
                "certificate {unknown} was issued: give another --unknown-serial"
            ));
        }
        Ok(())
    }

    async fn malformed(&self) -> Result<(), String> {
        let good = order(&Target::Serial(self.first), vec![self.first]);
        let with_id = |id: &[u8]| RevokeCredentialsRequest {
            order: id.to_vec(),
            ..good.clone()
        };
        let without = RevokeCredentialsRequest {
            target: None,
            ..good.clone()
        };
        for (what, order) in [
            ("an order id of 15 bytes", with_id(&SHORT_ID)),
            ("an empty order id", with_id(&[])),
            ("an order without a target", without),
        ] {
            match self.peer.revoke(&order).await {
                Err(Failure::Status {
                    code: Code::InvalidArgument,
                    ..
                }) => {}
                Ok(_) => return Err(format!("{what} is taken")),
                Err(failure) => {
                    return Err(format!(
                        "{what} is to be refused with INVALID_ARGUMENT, and {failure}"
                    ));
                }
            }
        }
        match self.revoked_at(self.first).await? {
            None => Ok(()),
            Some(_) => Err(format!(
                "certificate {} is revoked by an order that was refused",
                self.first
            )),
        }
    }

    async fn unknown(&self) -> Result<(), String> {
        let (unknown, grant) = (self.asked.unknown_serial, Ulid::generate());
        let session = SessionId::from_slice(&Ulid::generate().to_bytes());
        let session = session.map_err(|error| error.to_string())?;
        let order = RevokeCredentialsRequest {
            grants: vec![format!("conformance-{grant}")],
            ..order(&Target::Session(session), vec![unknown])
        };
        let answer = self.peer.revoke(&order).await.map_err(|failure| {
            format!("{failure}: an error has the collector ask for ever, where not_found ends it")
        })?;
        never_issued(&answer, unknown)?;
        let other = answer
            .revoked
            .iter()
            .find(|one| one.outcome != Outcome::NotFound);
        other.map_or(Ok(()), |one| {
            Err(format!(
                "an order for nothing that was issued is answered with {}",
                one.outcome.as_str()
            ))
        })
    }

    async fn partial(&mut self) -> Result<(), String> {
        let answer = self.peer.revoke(&self.order).await;
        let answer = answer.map_err(|failure| {
            format!(
                "{failure}, for an order that names certificate {} and one that was never issued",
                self.first
            )
        })?;
        self.answer = Some(answer.clone());
        let entry = reached(&answer, self.first)?;
        if entry.outcome != Outcome::Revoked {
            return Err(format!(
                "certificate {} is told as {} by the first order for it",
                self.first,
                entry.outcome.as_str()
            ));
        }
        self.revoked.push(entry.clone());
        never_issued(&answer, self.asked.unknown_serial)
    }

    /// The answer to the order that revoked the first certificate.
    fn revoking(&self) -> Result<(&Answer, &Revoked), Finding> {
        let first = self
            .revoked
            .iter()
            .find(|one| one.serial == Some(self.first));
        match (&self.answer, first) {
            (Some(answer), Some(first)) => Ok((answer, first)),
            (_, _) => Err(Finding::Skipped(format!(
                "{} revoked nothing to go on from",
                Check::Partial.as_str()
            ))),
        }
    }

    async fn again(&self, attempt: u32) -> Finding {
        let (before, first) = match self.revoking() {
            Ok(revoking) => revoking,
            Err(skipped) => return skipped,
        };
        let order = RevokeCredentialsRequest {
            attempt,
            ..self.order.clone()
        };
        match self.peer.revoke(&order).await {
            Ok(answer) => self.is_same(before, first, &answer).into(),
            Err(failure) => Finding::Failed(failure.to_string()),
        }
    }

    fn is_same(&self, before: &Answer, first: &Revoked, now: &Answer) -> Result<(), String> {
        still(now, first, &[Outcome::Revoked, Outcome::AlreadyRevoked])?;
        never_issued(now, self.asked.unknown_serial)?;
        for one in &now.revoked {
            let is_new = one
                .serial
                .is_some_and(|serial| told(before, serial).is_ok_and(|told| told.is_none()));
            if is_new && one.outcome == Outcome::Revoked {
                let serial = one.serial.unwrap_or_default();
                return Err(format!(
                    "certificate {serial} is revoked by a repetition, and was not by the order"
                ));
            }
        }
        match (before.published_at, now.published_at) {
            (Some(first), again) if again != Some(first) => Err(format!(
                "the list was in place at {}, and now {} is told",
                moment(first),
                again.map_or_else(|| "nothing".to_owned(), moment)
            )),
            (_, _) => Ok(()),
        }
    }

    async fn other_target(&self, harmless: RevokeCredentialsRequest) -> Finding {
        if let Err(skipped) = self.revoking() {
            return skipped;
        }
        let order = RevokeCredentialsRequest {
            order: self.order.order.clone(),
            ..harmless
        };
        match self.peer.revoke(&order).await {
            Err(Failure::Status {
                code: Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition,
                ..
            }) => Finding::Passed,
            Ok(_) => Finding::Failed(
                "it is taken: the broker does not remember which order an id belongs to".to_owned(),
            ),
            Err(failure) => Finding::Failed(format!(
                "it is to be refused with INVALID_ARGUMENT, ALREADY_EXISTS or FAILED_PRECONDITION, and {failure}"
            )),
        }
    }

    async fn deadline(&self) -> Finding {
        let (_, first) = match self.revoking() {
            Ok(revoking) => revoking,
            Err(skipped) => return skipped,
        };
        let order = order(&Target::Serial(self.first), vec![self.first]);
        // Whether it came in time tells nothing: what counts is what stands afterwards.
        _ = self.peer.revoke_within(&order, NO_TIME).await;
        match self.peer.revoke(&order).await {
            Ok(answer) => still(&answer, first, &[Outcome::AlreadyRevoked]).into(),
            Err(failure) => Finding::Failed(format!("asked again without haste, {failure}")),
        }
    }

    async fn at_once(&mut self) -> Finding {
        let Some(serial) = self.second else {
            return Finding::Skipped("no second certificate was given: --serial".to_owned());
        };
        let one = order(&Target::Serial(serial), vec![serial]);
        let other = order(&Target::Serial(serial), vec![serial]);
        let (one, other) = tokio::join!(self.peer.revoke(&one), self.peer.revoke(&other));
        let agreed = one.and_then(|one| Ok((one, other?)));
        let agreed = agreed.map_err(|failure| failure.to_string());
        match agreed.and_then(|(one, other)| agree(&one, &other, serial)) {
            Ok(revoked) => {
                self.revoked.push(revoked);
                Finding::Passed
            }
            Err(why) => Finding::Failed(why),
        }
    }

    async fn described_after(&self) -> Finding {
        if self.revoked.is_empty() {
            return Finding::Skipped("nothing was told as revoked".to_owned());
        }
        for one in &self.revoked {
            let serial = one.serial.unwrap_or_default();
            let why = match self.revoked_at(serial).await {
                Ok(Some(at)) if at == one.at.0 => continue,
                Ok(Some(_)) => {
                    format!("certificate {serial} has another time there than in the answer")
                }
                Ok(None) => {
                    format!("certificate {serial} was told as revoked, and Describe shows it valid")
                }
                Err(why) => why,
            };
            return Finding::Failed(why);
        }
        Finding::Passed
    }
}

/// What two orders say of one certificate: one revoked it, the other found that.
fn agree(one: &Answer, other: &Answer, serial: u64) -> Result<Revoked, String> {
    let (one, other) = (reached(one, serial)?, reached(other, serial)?);
    let (first, second) = match (one.outcome, other.outcome) {
        (Outcome::AlreadyRevoked, Outcome::Revoked) => (other, one),
        (_, _) => (one, other),
    };
    if (first.outcome, second.outcome) != (Outcome::Revoked, Outcome::AlreadyRevoked) {
        return Err(format!(
            "one order is told {} and the other {}, where one is to be revoked and the other already_revoked",
            first.outcome.as_str(),
            second.outcome.as_str()
        ));
    }
    if first.at != second.at {
        return Err("the two orders are told different times of one revocation".to_owned());
    }
    Ok(first.clone())
}

/// An order of its own, as a collector gives it.
fn order(target: &Target, serials: Vec<u64>) -> RevokeCredentialsRequest {
    let now = SystemClock.now();
    RevokeCredentialsRequest {
        order: Ulid::generate().to_bytes().to_vec(),
        attempt: 1,
        issued_at_unix_ns: now.0,
        target: Some(target.into()),
        serials,
        grants: Vec::new(),
        reason: REASON.to_owned(),
    }
}
