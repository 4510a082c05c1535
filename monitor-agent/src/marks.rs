//! What the agent asks the kernel about sessions. Implemented by the probes;
//! tests bring their own.

use std::{collections::BTreeSet, fmt, io, net::SocketAddr};

use monitor_common::SessionMark;
use monitor_model::{clock::UnixNs, id::SessionId};

use crate::kernel::{Cut, Halted, KernelError, Killed, Marked, Probes, Resumed, SessionState};

/// The mark of a session: the 16 bytes of its id.
#[must_use]
pub fn mark_of(session: SessionId) -> SessionMark {
    SessionMark(session.to_bytes())
}

/// The session that a mark names; none for no session.
#[must_use]
pub fn session_of(mark: SessionMark) -> Option<SessionId> {
    if mark.is_none() {
        return None;
    }
    SessionId::from_slice(&mark.0).ok()
}

/// A name for a session or a job that was never given before.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_id(now: UnixNs) -> io::Result<SessionId> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(SessionId::from_parts(now, u128::from_ne_bytes(random)))
}

/// The kernel's side of sessions.
pub trait Marks: Send + Sync + fmt::Debug {
    /// Marks a process; every descendant carries the mark from then on.
    ///
    /// # Errors
    /// [`KernelError`] when the process is gone or the tables are full.
    fn mark(&self, pid: u32, session: SessionId) -> Result<Marked, KernelError>;

    /// The session whose mark a process carries.
    ///
    /// # Errors
    /// [`KernelError`] when the process is gone.
    fn session_of(&self, pid: u32) -> Result<Option<SessionId>, KernelError>;

    /// Has every new connection of a session refused.
    ///
    /// # Errors
    /// [`KernelError::NoSession`] when no process was marked.
    fn contain(&self, session: SessionId) -> Result<(), KernelError>;

    /// Has the kernel refuse a session's connections and stop what forks or is
    /// born in it. Takes microseconds; what runs runs on until it is frozen.
    ///
    /// # Errors
    /// [`KernelError::NoSession`] when no process was marked.
    fn hold(&self, session: SessionId) -> Result<(), KernelError>;

    /// Stops every process of a session but `spared`. Blocks, milliseconds as a
    /// rule.
    ///
    /// # Errors
    /// [`KernelError`] when the tables cannot be used.
    fn freeze(&self, session: SessionId, spared: &BTreeSet<u32>) -> Result<Halted, KernelError>;

    /// Lets a frozen session go on.
    ///
    /// # Errors
    /// [`KernelError::BeingKilled`]; others when the tables cannot be used.
    fn release(&self, session: SessionId) -> Result<Resumed, KernelError>;

    /// Stops every process of a session, of which nothing else changes. Blocks,
    /// milliseconds as a rule.
    ///
    /// # Errors
    /// [`KernelError`] when the tables cannot be used.
    fn pause(&self, session: SessionId) -> Result<Halted, KernelError>;

    /// Lets go on what was stopped of a session by [`Self::pause`] or
    /// [`Self::freeze`].
    ///
    /// # Errors
    /// [`KernelError`] when the tables cannot be used.
    fn resume(&self, session: SessionId) -> Result<Resumed, KernelError>;

    /// Closes the IP sockets that only these sessions hold, but those that go
    /// to `spared`. Blocks, milliseconds as a rule.
    ///
    /// # Errors
    /// [`KernelError`] when /proc cannot be listed.
    fn cut(&self, sessions: &[SessionId], spared: Option<SocketAddr>) -> Result<Cut, KernelError>;

    /// What the kernel does with a session; none when it does not know it.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    fn state(&self, session: SessionId) -> Result<Option<SessionState>, KernelError>;

    /// Kills every process of a session. Blocks, milliseconds as a rule.
    ///
    /// # Errors
    /// [`KernelError`] when the tables cannot be used.
    fn kill(&self, session: SessionId) -> Result<Killed, KernelError>;

    /// Living tasks of a session; none when the kernel does not know it.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    fn live(&self, session: SessionId) -> Result<Option<u64>, KernelError>;

    /// Living processes of a session.
    ///
    /// # Errors
    /// [`KernelError`] when /proc cannot be listed.
    fn processes(&self, session: SessionId) -> Result<Vec<u32>, KernelError>;

    /// Frees what the kernel keeps of a session that ended.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    fn forget(&self, session: SessionId) -> Result<(), KernelError>;
}

impl Marks for Probes {
    fn mark(&self, pid: u32, session: SessionId) -> Result<Marked, KernelError> {
        Self::mark(self, pid, mark_of(session))
    }

    fn session_of(&self, pid: u32) -> Result<Option<SessionId>, KernelError> {
        Ok(self.mark_of(pid)?.and_then(session_of))
    }

    fn contain(&self, session: SessionId) -> Result<(), KernelError> {
        self.contain_session(mark_of(session))
    }

    fn hold(&self, session: SessionId) -> Result<(), KernelError> {
        self.hold_session(mark_of(session))
    }

    fn freeze(&self, session: SessionId, spared: &BTreeSet<u32>) -> Result<Halted, KernelError> {
        self.freeze_session(mark_of(session), spared)
    }

    fn release(&self, session: SessionId) -> Result<Resumed, KernelError> {
        self.release_session(mark_of(session))
    }

    fn pause(&self, session: SessionId) -> Result<Halted, KernelError> {
        self.pause_session(mark_of(session))
    }

    fn resume(&self, session: SessionId) -> Result<Resumed, KernelError> {
        self.resume_session(mark_of(session))
    }

    fn cut(&self, sessions: &[SessionId], spared: Option<SocketAddr>) -> Result<Cut, KernelError> {
        let marks: Vec<_> = sessions.iter().copied().map(mark_of).collect();
        self.cut_connections(&marks, spared)
    }

    fn state(&self, session: SessionId) -> Result<Option<SessionState>, KernelError> {
        Ok(self.session(mark_of(session))?.map(|row| row.state))
    }

    fn kill(&self, session: SessionId) -> Result<Killed, KernelError> {
        self.kill_session(mark_of(session))
    }

    fn live(&self, session: SessionId) -> Result<Option<u64>, KernelError> {
        self.session_live(mark_of(session))
    }

    fn processes(&self, session: SessionId) -> Result<Vec<u32>, KernelError> {
        self.processes_of(mark_of(session))
    }

    fn forget(&self, session: SessionId) -> Result<(), KernelError> {
        self.forget_session(mark_of(session))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        collections::HashMap,
        sync::{Condvar, Mutex},
        time::Duration,
    };

    use super::*;

    /// A kernel that remembers what it was asked.
    #[derive(Debug, Default)]
    pub(crate) struct FakeMarks {
        pub(crate) marked: Mutex<HashMap<SessionId, Vec<u32>>>,
        pub(crate) asked: Mutex<Vec<String>>,
        /// Processes that survive one kill.
        pub(crate) stubborn: Mutex<usize>,
        /// Processes cannot be listed.
        pub(crate) blind: Mutex<bool>,
        pub(crate) states: Mutex<HashMap<SessionId, SessionState>>,
        /// Kills wait until so many are at work.
        pub(crate) together: Option<Together>,
    }

    /// Waits until so many wait, at most [`Self::MOST`].
    #[derive(Debug)]
    pub(crate) struct Together {
        wanted: usize,
        here: Mutex<usize>,
        came: Condvar,
    }

    impl Together {
        const MOST: Duration = Duration::from_secs(20);

        pub(crate) fn of(wanted: usize) -> Self {
            Self {
                wanted,
                here: Mutex::default(),
                came: Condvar::new(),
            }
        }

        fn wait(&self) {
            let mut here = self.here.lock().unwrap();
            *here += 1;
            self.came.notify_all();
            let alone = |here: &mut usize| *here < self.wanted;
            let waited = self.came.wait_timeout_while(here, Self::MOST, alone);
            assert!(!waited.unwrap().1.timed_out(), "one waits for another");
        }
    }

    impl FakeMarks {
        fn ask(&self, what: &str, session: SessionId) {
            self.asked.lock().unwrap().push(format!("{what} {session}"));
        }

        pub(crate) fn take_asked(&self) -> Vec<String> {
            std::mem::take(&mut self.asked.lock().unwrap())
        }
    }

    impl Marks for FakeMarks {
        fn mark(&self, pid: u32, session: SessionId) -> Result<Marked, KernelError> {
            self.ask("mark", session);
            self.marked
                .lock()
                .unwrap()
                .entry(session)
                .or_default()
                .push(pid);
            Ok(Marked::New)
        }

        fn session_of(&self, pid: u32) -> Result<Option<SessionId>, KernelError> {
            let marked = self.marked.lock().unwrap();
            let found = marked.iter().find(|(_, pids)| pids.contains(&pid));
            Ok(found.map(|(session, _)| *session))
        }

        fn contain(&self, session: SessionId) -> Result<(), KernelError> {
            self.ask("contain", session);
            Ok(())
        }

        fn hold(&self, session: SessionId) -> Result<(), KernelError> {
            self.ask("hold", session);
            if !self.marked.lock().unwrap().contains_key(&session) {
                return Err(KernelError::NoSession);
            }
            let mut states = self.states.lock().unwrap();
            states.insert(session, SessionState::Frozen);
            Ok(())
        }

        fn freeze(
            &self,
            session: SessionId,
            spared: &BTreeSet<u32>,
        ) -> Result<Halted, KernelError> {
            self.ask("freeze", session);
            let mut pids = self.processes(session)?;
            pids.retain(|pid| !spared.contains(pid));
            let left = std::mem::take(&mut *self.stubborn.lock().unwrap());
            Ok(Halted {
                standing: pids.len() - left,
                left,
                ..Halted::default()
            })
        }

        fn release(&self, session: SessionId) -> Result<Resumed, KernelError> {
            self.ask("release", session);
            let mut states = self.states.lock().unwrap();
            match states.get(&session) {
                Some(SessionState::Killed) => return Err(KernelError::BeingKilled),
                Some(SessionState::Open | SessionState::Contained | SessionState::Frozen)
                | None => {}
            }
            states.insert(session, SessionState::Open);
            Ok(Resumed {
                resumed: self.processes(session)?.len(),
                left: 0,
            })
        }

        fn pause(&self, session: SessionId) -> Result<Halted, KernelError> {
            self.ask("pause", session);
            Ok(Halted::default())
        }

        fn resume(&self, session: SessionId) -> Result<Resumed, KernelError> {
            self.ask("resume", session);
            Ok(Resumed::default())
        }

        fn cut(
            &self,
            sessions: &[SessionId],
            _spared: Option<SocketAddr>,
        ) -> Result<Cut, KernelError> {
            for session in sessions {
                self.ask("cut", *session);
            }
            Ok(Cut {
                closed: sessions.len(),
                ..Cut::default()
            })
        }

        fn state(&self, session: SessionId) -> Result<Option<SessionState>, KernelError> {
            Ok(self.states.lock().unwrap().get(&session).copied())
        }

        fn kill(&self, session: SessionId) -> Result<Killed, KernelError> {
            self.ask("kill", session);
            if let Some(together) = &self.together {
                together.wait();
            }
            let mut states = self.states.lock().unwrap();
            states.insert(session, SessionState::Killed);
            drop(states);
            let mut stubborn = self.stubborn.lock().unwrap();
            let left = std::mem::take(&mut *stubborn);
            let mut marked = self.marked.lock().unwrap();
            let pids = marked.entry(session).or_default();
            let signalled = pids.len();
            pids.truncate(left);
            Ok(Killed {
                signalled,
                left,
                rounds: 1,
                took: Duration::from_millis(1),
            })
        }

        fn live(&self, session: SessionId) -> Result<Option<u64>, KernelError> {
            let marked = self.marked.lock().unwrap();
            Ok(marked
                .get(&session)
                .map(|pids| u64::try_from(pids.len()).unwrap()))
        }

        fn processes(&self, session: SessionId) -> Result<Vec<u32>, KernelError> {
            if *self.blind.lock().unwrap() {
                return Err(KernelError::NoSession);
            }
            Ok(self
                .marked
                .lock()
                .unwrap()
                .get(&session)
                .cloned()
                .unwrap_or_default())
        }

        fn forget(&self, session: SessionId) -> Result<(), KernelError> {
            self.ask("forget", session);
            self.marked.lock().unwrap().remove(&session);
            Ok(())
        }
    }
}
