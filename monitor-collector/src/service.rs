//! The tonic edge for people and brokers: messages in, model inside, messages out.
//!
//! Who calls is known from the certificate alone. What somebody may not see
//! answers as what does not exist. Every call of a person is told in the log
//! with the identity; what it reads of a tenant is an entry in that tenant's ledger.
//!
//! # Layout
//! - [`sight`]: which tenants a caller sees, and what is left out for whom.
//! - [`cursor`]: where a reader stopped, sealed.
//! - [`page`]: page sizes and tokens.
//! - [`events`]: `EventService`; [`subscription`]: one reader of it;
//!   [`search`]: its pages.
//! - [`evidence`]: what proves a ledger, `EvidenceService`.
//! - [`lists`]: `SessionService`. [`alerts`]: `AlertService`.
//! - [`processes`]: what lives in sessions, `ProcessService`.
//! - [`inspect`]: what lives in one session now, by its host: `InspectService`.
//! - [`hosts`]: jump hosts, `HostService`. [`krl`]: `RevocationListService`.
//! - [`reads`]: reads by people as entries.
//! - [`grants`]: `GrantService`; [`endings`]: of it, what a broker says of people
//!   and tickets. [`revocation`]: `RevocationService`.

use std::sync::Arc;

use monitor_model::clock::Clock;
use monitor_transport::{
    blocking,
    identity::{Identity, Role},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use tracing::{error, info};

use self::sight::Sight;
use crate::{
    config::Config,
    core::Refusal,
    ingest::agents::Agents,
    ledger::Home,
    state::{StateError, read::StateReader},
    writer::{Denied, Writer},
};

pub mod alerts;
pub mod cursor;
pub mod endings;
pub mod events;
pub mod evidence;
pub mod grants;
pub mod hosts;
pub mod inspect;
pub mod krl;
pub mod lists;
pub mod page;
pub mod processes;
pub mod reads;
pub mod revocation;
pub mod search;
pub mod sight;
pub mod subscription;

/// Most streams of events at once.
pub const READERS_MAX: usize = 2_048;
/// Most streams of auditors at once, beside those.
pub const AUDITORS_MAX: usize = 64;
/// Most look-ups in files at once; further ones wait.
pub const LOOKUPS_MAX: usize = 16;
/// Most look-ups of auditors at once, beside those.
pub const AUDITOR_LOOKUPS_MAX: usize = 4;
/// Longest text that people give as a reason.
pub const REASON_BYTES_MAX: usize = 1_024;

/// What every service needs.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where the ledgers are, and what opens them.
    pub home: Home,
    /// The way to what is stored.
    pub writer: Writer,
    /// Connected agents.
    pub agents: Arc<Agents>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What seals cursors.
    pub seal: cursor::Seal,
    /// Reads that are counted.
    pub reads: reads::Counted,
    /// Ends every stream.
    pub stop: CancellationToken,
    /// Places for those who see everything.
    pub seats: Seats,
    /// Places for auditors: who is outside cannot take those inside.
    pub outside: Seats,
}

/// Places that calls take.
#[derive(Clone, Debug)]
pub struct Seats {
    /// For streams, and how many there are.
    readers: (Arc<Semaphore>, usize),
    /// For look-ups.
    lookups: Arc<Semaphore>,
}

impl Seats {
    /// So many for streams and look-ups.
    #[must_use]
    pub fn new(readers: usize, lookups: usize) -> Self {
        Self {
            readers: (Arc::new(Semaphore::new(readers)), readers),
            lookups: Arc::new(Semaphore::new(lookups)),
        }
    }

    /// Waits until every stream has given its place back.
    pub async fn left(&self) {
        let (places, most) = &self.readers;
        let all = u32::try_from(*most).unwrap_or(u32::MAX);
        _ = places.acquire_many(all).await;
    }
}

impl Edge {
    /// Who calls, if the role may; told in the log.
    fn caller<T>(
        request: &Request<T>,
        call: &'static str,
        roles: &[Role],
    ) -> Result<Identity, Status> {
        let identity = Identity::of(request)?;
        let allowed = identity.require(roles);
        info!(%identity, call, allowed = allowed.is_ok(), "Call.");
        allowed.map(|()| identity)
    }

    /// The same, with the places of who sees this much.
    fn seated(&self, sight: &Sight) -> Self {
        match sight {
            Sight::Everything => self.clone(),
            Sight::Tenants(_) => Self {
                seats: self.outside.clone(),
                ..self.clone()
            },
        }
    }

    /// One of the places for look-ups, as long as it is held.
    async fn seat(&self) -> Result<OwnedSemaphorePermit, Status> {
        let permit = Arc::clone(&self.seats.lookups).acquire_owned().await;
        permit.map_err(|_| Status::unavailable("the collector is stopping"))
    }

    /// Reads from files, away from the threads that must not wait.
    async fn look_up<T: Send + 'static>(
        &self,
        read: impl FnOnce(Home) -> Result<T, LookUpError> + Send + 'static,
    ) -> Result<T, Status> {
        let permit = self.seat().await?;
        let home = self.home.clone();
        let done = blocking::aside(move || {
            let _permit = permit;
            read(home)
        });
        match done.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                error!(%error, "Look-up failed.");
                Err(Status::internal(
                    "the collector cannot read its files; its log says why",
                ))
            }
            Err(_) => Err(Status::internal(
                "the look-up failed; the collector's log says why",
            )),
        }
    }

    /// Reads from the state.
    async fn ask_state<T: Send + 'static>(
        &self,
        read: impl FnOnce(&StateReader) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, Status> {
        self.look_up(move |data_dir| Ok(read(&StateReader::open(&data_dir)?)?))
            .await
    }
}

/// Why something could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookUpError {
    /// A ledger.
    #[error(transparent)]
    Ledger(#[from] crate::ledger::LedgerError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A bad argument, its field first.
pub(crate) fn bad(field: &str, what: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {what}"))
}

/// A name that is absent when empty.
fn name_opt<T>(field: &str, text: &str) -> Result<Option<T>, Status>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| bad(field, error))
}

/// Why the writer did not do it.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn denied(denied: Denied) -> Status {
    match &denied {
        Denied::Reload { .. } => Status::failed_precondition(denied.to_string()),
        Denied::Unavailable => Status::unavailable(denied.to_string()),
        Denied::Refused(refusal) => match refusal {
            Refusal::GrantDiffers { .. }
            | Refusal::OrderDiffers { .. }
            | Refusal::ListDiffers { .. } => Status::already_exists(denied.to_string()),
            Refusal::GrantsFull { .. } | Refusal::OrdersFull { .. } | Refusal::StepsFull { .. } => {
                Status::resource_exhausted(denied.to_string())
            }
            Refusal::AlertClosed { .. }
            | Refusal::Review { .. }
            | Refusal::OrderStands { .. }
            | Refusal::ListOlder { .. } => Status::failed_precondition(denied.to_string()),
            Refusal::AckDiffers { .. } => Status::invalid_argument(denied.to_string()),
            Refusal::OtherPerson { .. } => Status::permission_denied(denied.to_string()),
            Refusal::Unknown { .. } => Status::not_found(denied.to_string()),
        },
    }
}

/// A reason in words: there, and not endless.
fn reason(field: &str, text: &str) -> Result<String, Status> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.len() > REASON_BYTES_MAX {
        return Err(bad(
            field,
            format!("give a reason of 1 to {REASON_BYTES_MAX} bytes"),
        ));
    }
    Ok(trimmed.to_owned())
}
