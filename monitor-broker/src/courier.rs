//! Tells the collector of grants and of their ends, until it has confirmed.
//!
//! In: grants whose row says that the collector does not know all (the outbox
//! is the store). Out: `PutGrant`, then `EndGrant`. Level-triggered: each round
//! looks at the store anew, so a crash at any point only repeats a call that
//! is idempotent. Endings (`EndSubject`) go the same way. Bound: `PENDING_MAX` grants a round. Loss: none.

use std::{sync::Arc, time::Duration};

use monitor_model::{
    grant::GrantState,
    id::{GrantId, OrderId},
};
use monitor_proto::v1::{self, grant_service_client::GrantServiceClient};
use monitor_transport::{
    blocking::aside,
    causes,
    tls::{CurrentTls, PeerChannel, TlsError},
};
use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};
use tonic::{Code, Request, Status, transport::Channel};
use tracing::{debug, error, info, warn};

use crate::{
    broker::Broker,
    store::{Ending, Held, StoreError, Subject},
};

mod list;

use list::ListWay;

/// Longest wait for one answer of the collector.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// First pause after a failure.
pub(crate) const RETRY_MIN: Duration = Duration::from_millis(250);
/// Longest pause.
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often the collector is put the list that it has.
const LIST_AGAIN: Duration = Duration::from_secs(300);

/// Why the collector does not know a grant yet.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// It will not have the grant as it is.
    #[error("the collector refused it: {text}")]
    Refused {
        /// What it said.
        text: String,
    },
    /// It will not take grants from this broker.
    #[error("the collector takes no grants from this broker: {text}")]
    NotAllowed {
        /// What it said.
        text: String,
    },
    /// It did not answer.
    #[error("the collector cannot be reached: {text}")]
    Unreachable {
        /// Why.
        text: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work was stopped.
    #[error("the broker is stopping")]
    Stopping,
}

/// The way to the collector.
#[derive(Debug)]
pub struct Courier {
    broker: Arc<Broker>,
    peer: Arc<PeerChannel>,
    lists: ListWay,
    /// One call at a time, so that an end never overtakes its grant.
    turn: Mutex<()>,
    wake: Notify,
}

impl Courier {
    /// Prepares the way; dials when there is something to tell.
    ///
    /// # Errors
    /// [`TlsError::Address`] when the address is none.
    pub fn new(broker: Arc<Broker>, tls: CurrentTls, address: &str) -> Result<Self, TlsError> {
        let peer = Arc::new(PeerChannel::new(address, tls)?);
        Ok(Self {
            broker,
            lists: ListWay::new(Arc::clone(&peer)),
            peer,
            turn: Mutex::new(()),
            wake: Notify::new(),
        })
    }

    fn client(&self) -> GrantServiceClient<Channel> {
        GrantServiceClient::new(self.peer.channel())
    }

    /// Something new is in the store.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Puts a grant now, and says to which hosts it went. The collector's
    /// refusal is kept, so that it is not asked again for the same.
    ///
    /// # Errors
    /// [`CourierError`] says whether trying again may help.
    pub async fn put(&self, id: &GrantId) -> Result<Vec<String>, CourierError> {
        let _turn = self.turn.lock().await;
        let Some(held) = self.held(id).await? else {
            return Ok(Vec::new());
        };
        self.put_held(&held).await
    }

    /// Works until it is dropped: everything pending at once, then whenever it
    /// is woken, and after failures with growing pauses. Lists that could not
    /// be published are tried again on the way.
    pub async fn run(&self) {
        let mut pause = RETRY_MIN;
        loop {
            match self.round().await {
                Ok(more) => {
                    pause = RETRY_MIN;
                    if !more && timeout(LIST_AGAIN, self.wake.notified()).await.is_err() {
                        self.lists.doubt();
                    }
                }
                Err(error) => {
                    warn!(error = %causes(&error), retry_ms = pause.as_millis(), "The collector does not know all grants yet; trying again.");
                    let _ = timeout(pause, self.wake.notified()).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Tells everything pending once. Says whether more was pending than a
    /// round takes.
    async fn round(&self) -> Result<bool, CourierError> {
        let broker = Arc::clone(&self.broker);
        let (published, pending) = blocking(move || {
            (
                broker.publish_pending(),
                broker.store().pending(broker.now()),
            )
        })
        .await?;
        let pending = pending?;
        let endings = {
            let broker = Arc::clone(&self.broker);
            blocking(move || broker.store().endings_pending()).await??
        };
        let more = [pending.len(), endings.len()]
            .into_iter()
            .any(|told| u32::try_from(told).is_ok_and(|told| told >= crate::store::PENDING_MAX));
        let mut failed = self.lists.put(self.broker.list()).await.err();
        failed = self.tell_changes().await.err().or(failed);
        for ending in &endings {
            match self.tell_ending(ending.id).await {
                Ok(_) | Err(CourierError::Refused { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        for held in &pending {
            match self.tell(&held.grant.id).await {
                Ok(()) | Err(CourierError::Refused { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            // Already told as an error; what is left is to try again.
            None if published.is_err() => Err(CourierError::Unreachable {
                text: "the revocation list is not in place".to_owned(),
            }),
            None => Ok(more),
        }
    }

    /// Tells what somebody else made of the list's file.
    async fn tell_changes(&self) -> Result<(), CourierError> {
        let broker = Arc::clone(&self.broker);
        for change in blocking(move || broker.store().changes_pending()).await?? {
            self.lists.tell(&change).await?;
            let broker = Arc::clone(&self.broker);
            blocking(move || broker.store().confirm_change(change.at)).await??;
        }
        Ok(())
    }

    /// Brings the collector up to date on one grant.
    async fn tell(&self, id: &GrantId) -> Result<(), CourierError> {
        let _turn = self.turn.lock().await;
        // Read again: it may have been told while this waited for its turn.
        let Some(held) = self.held(id).await? else {
            return Ok(());
        };
        if held.put_at.is_none() {
            self.put_held(&held).await?;
        }
        match &held.grant.state {
            GrantState::Ended { reason, .. } if held.end_told_at.is_none() => {
                self.end(id, reason).await
            }
            GrantState::Ended { .. } | GrantState::Standing => Ok(()),
        }
    }

    async fn put_held(&self, held: &Held) -> Result<Vec<String>, CourierError> {
        // As it was registered; its end is told by a call of its own.
        let mut grant = held.grant.clone();
        grant.state = GrantState::Standing;
        let id = grant.id.clone();
        let request = v1::PutGrantRequest {
            grant: Some((&grant).into()),
        };
        let mut client = self.client();
        let broker = Arc::clone(&self.broker);
        match answer(client.put_grant(in_time(request))).await {
            Ok(response) => {
                let (id_told, now) = (id.clone(), broker.now());
                blocking(move || broker.store().confirm_put(&id_told, now)).await??;
                info!(grant = %id, hosts = response.hosts.len(), "The collector has the grant.");
                Ok(response.hosts)
            }
            Err(CourierError::Refused { text }) => {
                error!(grant = %id, %text, "The collector refused the grant; nothing is issued for it.");
                let kept = text.clone();
                blocking(move || broker.store().refuse_put(&id, &kept)).await??;
                Err(CourierError::Refused { text })
            }
            Err(error) => Err(error),
        }
    }

    async fn end(&self, id: &GrantId, reason: &str) -> Result<(), CourierError> {
        let request = v1::EndGrantRequest {
            grant: id.to_string(),
            reason: reason.to_owned(),
        };
        let mut client = self.client();
        match answer(client.end_grant(in_time(request))).await {
            Ok(_) => info!(grant = %id, "The collector knows that the grant was ended."),
            // Not known there, or over there: there is nothing to end.
            Err(CourierError::Refused { text }) => {
                debug!(grant = %id, %text, "The collector has nothing to end.");
            }
            Err(error) => return Err(error),
        }
        let (broker, id) = (Arc::clone(&self.broker), id.clone());
        blocking(move || broker.store().confirm_end(&id, broker.now())).await??;
        Ok(())
    }

    /// Tells the collector now that somebody left or a ticket was closed; gives
    /// its answer. A refusal is kept, so that it is not told the same again.
    ///
    /// # Errors
    /// [`CourierError`] says whether trying again may help.
    pub async fn tell_ending(
        &self,
        id: OrderId,
    ) -> Result<Option<v1::EndSubjectResponse>, CourierError> {
        use v1::end_subject_request::Subject as Named;
        let _turn = self.turn.lock().await;
        let broker = Arc::clone(&self.broker);
        let Some(ending) = blocking(move || broker.store().ending(id)).await?? else {
            return Ok(None);
        };
        let Ending {
            subject,
            reason,
            at,
            ..
        } = ending;
        let request = v1::EndSubjectRequest {
            id: id.to_bytes().to_vec(),
            subject: Some(match subject {
                Subject::Engineer(who) => Named::Engineer(who.to_string()),
                Subject::Ticket(ticket) => Named::Ticket(ticket),
            }),
            reason,
            at_unix_ns: at.0,
        };
        let mut client = self.client();
        let answer = answer(client.end_subject(in_time(request))).await;
        let refused = match &answer {
            Ok(answer) => {
                info!(ending = %id, answer = answer.ending().as_str_name(), grants = answer.grants.len(),
                    sessions = answer.sessions, "The collector knows of the end.");
                None
            }
            Err(CourierError::Refused { text }) => {
                error!(ending = %id, %text, "The collector refused the end.");
                Some(text.clone())
            }
            Err(_) => return answer.map(Some),
        };
        let broker = Arc::clone(&self.broker);
        let confirm = move || {
            let now = broker.now();
            broker.store().confirm_ending(id, now, refused.as_deref())
        };
        blocking(confirm).await??;
        answer.map(Some)
    }

    async fn held(&self, id: &GrantId) -> Result<Option<Held>, CourierError> {
        let (broker, id) = (Arc::clone(&self.broker), id.clone());
        Ok(blocking(move || broker.store().grant(&id)).await??)
    }
}

fn in_time<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

async fn answer<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, CourierError> {
    let late =
        || Status::deadline_exceeded(format!("no answer within {} s", CALL_TIMEOUT.as_secs()));
    let status = match timeout(CALL_TIMEOUT, call)
        .await
        .unwrap_or_else(|_| Err(late()))
    {
        Ok(response) => return Ok(response.into_inner()),
        Err(status) => status,
    };
    let text = status_text(&status);
    Err(match status.code() {
        Code::InvalidArgument
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::NotFound => CourierError::Refused { text },
        Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
            CourierError::NotAllowed { text }
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => CourierError::Unreachable { text },
    })
}

/// What a status says, with the causes that transport errors hide.
pub(crate) fn status_text(status: &Status) -> String {
    let mut text = status.message().to_owned();
    if let Some(source) = std::error::Error::source(status) {
        let more = causes(source);
        if !text.contains(&more) {
            text = if text.is_empty() || more.contains(&text) {
                more
            } else {
                format!("{text}: {more}")
            };
        }
    }
    if text.is_empty() {
        status.code().to_string()
    } else {
        text
    }
}

/// Runs what waits for the disk beside the service's own threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CourierError> {
    aside(work).await.map_err(|_| CourierError::Stopping)
}
