//! The broker's revocation list, kept where sshd reads it.
//!
//! In: lists from the collector, by level. Out: the newest one at a configured
//! path, replaced whole; which one is in place, to the collector; an event when
//! somebody else changed it. Bound: one list of
//! [`LIST_BYTES_MAX`](monitor_model::krl::LIST_BYTES_MAX), [`UNTOLD_MAX`] events.
//! Loss: none: a list that could not be put in place is tried again, and that is
//! told; the one before stays in place.
//!
//! Numbers only ascend: a list that is older than the one in place is never
//! taken. What is not whole, or what ssh-keygen will not read, never takes the
//! place of a list: sshd refuses everybody under a broken one.
//!
//! # Layout
//! - [`file`]: the file, the agent's own copy of it, and what was changed.
//! - `check`: what ssh-keygen says of a list; `disk`: single steps on files.
//! - [`error`](mod@error): why a list is not in place.
//! - [`Lists`]: the uplink's end.

use std::{sync::Arc, time::Duration};

use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::{Clock, UnixNs},
    event::{Action, HostChange},
    krl::{ListInPlace, RevocationList},
};
use monitor_proto::v1;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info};

use self::{
    error::ListError,
    file::{Changed, Found, ListFile},
};
use crate::note::{Note, Notes};

mod check;
mod disk;
pub mod error;
pub mod file;

/// Longest text of a problem, in characters.
const PROBLEM_CHARS_MAX: usize = 250;
/// How often it is looked whether somebody changed the file.
const LOOK: Duration = Duration::from_secs(1);
/// How often a list that could not be put in place is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// Most events that wait for the spool; what was changed beyond is in the log.
pub const UNTOLD_MAX: usize = 16;

/// What the uplink hears and tells of lists.
#[derive(Debug)]
pub struct Lists {
    incoming: watch::Sender<Option<Arc<RevocationList>>>,
    in_place: watch::Receiver<ListInPlace>,
}

impl Lists {
    /// Takes a list from the collector; a newer one takes the place of one that waits.
    pub fn take(&self, message: v1::RevocationList) {
        match RevocationList::try_from(message) {
            Ok(list) => _ = self.incoming.send_replace(Some(Arc::new(list))),
            Err(error) => {
                error!(%error, "A revocation list from the collector makes no sense; the one in place stays.");
            }
        }
    }

    /// A stream begins: what is in place is told again.
    pub fn again(&mut self) {
        self.in_place.mark_changed();
    }

    /// Waits until there is something to tell.
    pub async fn changed(&mut self) -> v1::ListInPlace {
        if self.in_place.changed().await.is_err() {
            // The keeper is gone: the agent stops.
            std::future::pending::<()>().await;
        }
        (&*self.in_place.borrow_and_update()).into()
    }
}

/// What hinders, in words; empty where nothing does.
#[derive(Debug, Default)]
struct Problems {
    /// That the newest list is in place.
    list: String,
    /// That the file is put right.
    file: String,
}

/// Keeps the list in place.
#[derive(Debug)]
pub struct ListKeeper {
    file: ListFile,
    incoming: watch::Receiver<Option<Arc<RevocationList>>>,
    in_place: watch::Sender<ListInPlace>,
    problems: Problems,
    /// What was found when the file could not be put right; told once.
    stuck: Option<Found>,
    notes: Notes,
    untold: JoinSet<()>,
    clock: Arc<dyn Clock>,
}

impl ListKeeper {
    /// Keeps this file; gives the uplink's end, too.
    #[must_use]
    pub fn new(file: ListFile, notes: Notes, clock: Arc<dyn Clock>) -> (Self, Lists) {
        let (incoming, waiting) = watch::channel(None);
        let (in_place, told) = watch::channel(ListInPlace {
            number: file.number(),
            at: file.since().unwrap_or_else(|| clock.now()),
            problem: String::new(),
        });
        let keeper = Self {
            file,
            incoming: waiting,
            in_place,
            problems: Problems::default(),
            stuck: None,
            notes,
            untold: JoinSet::new(),
            clock,
        };
        let lists = Lists {
            incoming,
            in_place: told,
        };
        (keeper, lists)
    }

    /// Works until the task is ended.
    pub async fn run(mut self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_behind = self.is_behind();
            tokio::select! {
                changed = self.incoming.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.take();
                }
                _ = again.tick(), if is_behind => self.take(),
                _ = look.tick() => self.look(),
                Some(_) = self.untold.join_next() => {}
            }
        }
    }

    /// Whether the newest list is not in place.
    fn is_behind(&self) -> bool {
        let waiting = self.incoming.borrow();
        let number = waiting.as_ref().map(|list| list.number);
        number > self.file.number()
    }

    /// Puts the newest list in place.
    fn take(&mut self) {
        let Some(list) = self.incoming.borrow_and_update().clone() else {
            return;
        };
        let before = self.file.number();
        let done = tokio::task::block_in_place(|| self.file.install(&list));
        hindered(&mut self.problems.list, done.err().as_ref());
        let is_newer = self.file.number() != before;
        if is_newer {
            info!(number = list.number, bytes = list.bytes.len(), path = %self.file.path().display(), "Revocation list in place.");
        }
        self.tell(is_newer);
    }

    /// Puts right what somebody else changed, and tells.
    fn look(&mut self) {
        let changed = tokio::task::block_in_place(|| self.file.look());
        let Some(Changed { found, mended }) = changed else {
            self.stuck = None;
            self.problems.file.clear();
            return self.tell(false);
        };
        hindered(&mut self.problems.file, mended.as_ref().err());
        let path = self.file.path().display().to_string();
        let mut detail = found.to_string();
        if let Err(error) = &mended {
            if self.stuck == Some(found) {
                return self.tell(false);
            }
            self.stuck = Some(found);
            error!(path, %found, "Somebody else changed the revocation list, and it cannot be put right.");
            detail = format!("{detail}; it could not be put right: {error}");
        } else {
            self.stuck = None;
            error!(path, %found, "Somebody else changed the revocation list; it is put right.");
        }
        self.tell(mended.is_ok());
        let note = Note::about_nobody(self.event(detail));
        if self.untold.len() >= UNTOLD_MAX {
            error!(path, %found, "The spool takes nothing: this change of the revocation list is told here alone.");
            return;
        }
        // A list that comes meanwhile does not wait for the spool.
        let notes = self.notes.clone();
        self.untold.spawn(async move {
            // The agent is stopping: what is told is in its log.
            _ = notes.tell(note).await;
        });
    }

    fn event(&self, detail: String) -> Action {
        let path = self.file.path().as_os_str().as_encoded_bytes();
        Action::Host {
            change: HostChange::RevocationList,
            number: self.file.number().unwrap_or_default(),
            detail: ByteText(detail.into_bytes()),
            path: Some(PathLabel {
                text: ByteText(path.to_vec()),
                truncated: false,
            }),
            target: None,
            denied: false,
        }
    }

    /// Tells which list is in place, since now where it `is_new` there, and what
    /// hinders; nothing where nothing of it changed.
    fn tell(&self, is_new: bool) {
        let Problems { list, file } = &self.problems;
        let problem = [list, file].map(String::as_str);
        let problem = problem.into_iter().filter(|text| !text.is_empty());
        let problem = problem.collect::<Vec<_>>().join("; ");
        let (number, now) = (self.file.number(), self.clock.now());
        self.in_place.send_if_modified(|told| {
            let at: UnixNs = if is_new { now } else { told.at };
            let place = ListInPlace {
                number,
                at,
                problem,
            };
            let is_modified = *told != place;
            *told = place;
            is_modified
        });
    }
}

/// Notes what hinders, and logs it once as long as it is the same.
fn hindered(problem: &mut String, error: Option<&ListError>) {
    let Some(error) = error else {
        return problem.clear();
    };
    // A path may be long; what the collector takes is not.
    let text: String = error.to_string().chars().take(PROBLEM_CHARS_MAX).collect();
    if *problem != text {
        error!(%error, "The revocation list cannot be put in place; it is tried again.");
        *problem = text;
    }
}

#[cfg(test)]
mod tests;
