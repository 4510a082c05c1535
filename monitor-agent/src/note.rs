//! What the agent itself has to tell, on its way to the spool.
//!
//! Bound: [`NOTES_MAX`]; who has more to tell waits.

use monitor_model::{
    event::{Action, Attribution, Lineage, NoSession, Receipt},
    id::SessionId,
    session::{Binding, Session},
};
use tokio::sync::{mpsc, oneshot};

use crate::attribute::jobs::{Job, written::Writing};

/// Most notes on their way.
pub const NOTES_MAX: usize = 256;

/// One thing to tell, and what must be on disk together with it.
#[derive(Debug)]
pub struct Note {
    /// To whom it belongs.
    pub attribution: Attribution,
    /// What happened.
    pub action: Action,
    /// What is kept in the same transaction.
    pub keep: Option<Keep>,
    /// Told once it is on disk.
    pub kept: Option<oneshot::Sender<()>>,
}

/// A fact that the agent must know again after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A session, as it stands now.
    Session(Box<Session>),
    /// What was done for an order.
    Receipt(Receipt),
    /// A job that began.
    Job(Box<Job>),
    /// A job whose last process is gone.
    JobEnded(SessionId),
    /// A file that a daemon acts on was written.
    Writing(Box<Writing>),
    /// A batch whose bytes are not what was written: it is not sent.
    Damaged(u64),
}

impl Note {
    /// Something about nobody in particular.
    #[must_use]
    pub const fn about_nobody(action: Action) -> Self {
        Self {
            attribution: Attribution::none(NoSession::NoMark),
            action,
            keep: None,
            kept: None,
        }
    }

    /// Something about a session.
    #[must_use]
    pub fn about(session: &Session, action: Action) -> Self {
        Self {
            attribution: attribution(session),
            action,
            keep: None,
            kept: None,
        }
    }
}

/// To whom belongs what a session does.
#[must_use]
pub fn attribution(session: &Session) -> Attribution {
    match &session.principal {
        Some(principal) => Attribution {
            session: Some(session.id),
            principal: Some(principal.clone()),
            tenant: session.tenant.clone(),
            grants: session.grants.clone(),
            lineage: match session.binding {
                _ if session.adopted => Lineage::Inferred,
                Binding::Hop => Lineage::Linked,
                Binding::Certificate | Binding::Key | Binding::Account | Binding::Nothing => {
                    Lineage::Kernel
                }
            },
            reason: None,
            way: session.way.clone(),
        },
        None => Attribution {
            session: Some(session.id),
            way: session.way.clone(),
            ..Attribution::none(if session.way.is_empty() {
                NoSession::NoPrincipal
            } else {
                NoSession::Ambiguous
            })
        },
    }
}

/// To whom belongs what carries the mark of a session that is not known.
#[must_use]
pub fn unknown(session: SessionId) -> Attribution {
    Attribution {
        session: Some(session),
        ..Attribution::none(NoSession::UnknownMark)
    }
}

/// The way to the spool.
#[derive(Clone, Debug)]
pub struct Notes(mpsc::Sender<Note>);

/// The pipeline is gone: the agent is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Stopping;

impl Notes {
    /// The way and its end.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Note>) {
        let (sender, receiver) = mpsc::channel(NOTES_MAX);
        (Self(sender), receiver)
    }

    /// Tells, without waiting for the disk.
    ///
    /// # Errors
    /// [`Stopping`].
    pub async fn tell(&self, note: Note) -> Result<(), Stopping> {
        self.0.send(note).await.map_err(|_| Stopping)
    }

    /// Tells, and waits until it is on disk.
    ///
    /// # Errors
    /// [`Stopping`] when it may not be.
    pub async fn keep(&self, mut note: Note) -> Result<(), Stopping> {
        let (kept, on_disk) = oneshot::channel();
        note.kept = Some(kept);
        self.tell(note).await?;
        on_disk.await.map_err(|_| Stopping)
    }
}
