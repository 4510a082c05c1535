//! The kernel's side of sessions, as an agent asks for it.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use monitor_agent::{
    kernel::{Cut, Halted, KernelError, Killed, Marked, Resumed, SessionState},
    marks::Marks,
};
use monitor_model::{id::SessionId, session::Session};

use super::{Act, Kernel, Known, State};

impl Kernel {
    /// Somebody logs in: the first process of a session, which is not let in yet.
    /// Its id.
    pub fn knocks(&self) -> u32 {
        let mut state = self.lock();
        state.pid_next += 1;
        state.pid_next
    }

    /// The session of who knocks is marked.
    pub fn mark_login(&self, session: &Session) {
        let mut state = self.lock();
        let known = Known {
            session: session.clone(),
            processes: vec![session.leader_pid],
            state: Some(SessionState::Open),
            touched: 0,
            killed: 0,
            is_answered: false,
        };
        state.sessions.insert(session.id, known);
    }

    /// The login is let in.
    pub fn let_in(&self, session: SessionId) {
        if let Some(known) = self.lock().sessions.get_mut(&session) {
            known.is_answered = true;
        }
        self.trace.note(self.host, "a login");
    }

    /// Logins that got no answer are ended by sshd.
    pub fn end_unanswered(&self) {
        let mut state = self.lock();
        let waiting = state.sessions.iter();
        let waiting =
            waiting.filter(|(_, known)| !known.is_answered && !known.processes.is_empty());
        let waiting: Vec<SessionId> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            self.end(&mut state, id);
        }
    }

    /// The last process goes; the kernel tells of it.
    fn end(&self, state: &mut State, id: SessionId) {
        if let Some(known) = state.sessions.get_mut(&id) {
            known.processes.clear();
        }
        self.happens(state, Act::End, Some(id));
    }

    /// Does something to a session that it knows.
    fn touch(&self, what: &str, id: SessionId, to: SessionState) -> Result<usize, KernelError> {
        let mut state = self.lock();
        let number = state.sessions.keys().position(|one| *one == id);
        let known = state.sessions.get_mut(&id);
        let known = known.filter(|known| known.state.is_some());
        let known = known.ok_or(KernelError::NoSession)?;
        known.state = Some(to);
        known.touched += 1;
        let living = known.processes.len();
        drop(state);
        let number = number.unwrap_or(usize::MAX);
        self.trace
            .note(self.host, &format!("{what} {number} of {living}"));
        Ok(living)
    }
}

impl Marks for Kernel {
    fn mark(&self, _: u32, _: SessionId) -> Result<Marked, KernelError> {
        // Jobs are not simulated, and logins are marked as they come.
        Err(KernelError::NoSession)
    }

    fn session_of(&self, pid: u32) -> Result<Option<SessionId>, KernelError> {
        let state = self.lock();
        let mut sessions = state.sessions.iter();
        let found = sessions.find(|(_, known)| known.processes.contains(&pid));
        Ok(found.map(|(id, _)| *id))
    }

    fn contain(&self, session: SessionId) -> Result<(), KernelError> {
        let to = SessionState::Contained;
        self.touch("contains", session, to).map(drop)
    }

    fn hold(&self, session: SessionId) -> Result<(), KernelError> {
        self.touch("holds", session, SessionState::Frozen).map(drop)
    }

    fn freeze(&self, session: SessionId, _: &BTreeSet<u32>) -> Result<Halted, KernelError> {
        let standing = self.touch("freezes", session, SessionState::Frozen)?;
        Ok(Halted {
            standing,
            ..Halted::default()
        })
    }

    fn release(&self, session: SessionId) -> Result<Resumed, KernelError> {
        let resumed = self.touch("releases", session, SessionState::Open)?;
        Ok(Resumed { resumed, left: 0 })
    }

    fn pause(&self, _: SessionId) -> Result<Halted, KernelError> {
        Ok(Halted::default())
    }

    fn resume(&self, _: SessionId) -> Result<Resumed, KernelError> {
        Ok(Resumed::default())
    }

    fn cut(&self, _: &[SessionId], _: Option<SocketAddr>) -> Result<Cut, KernelError> {
        Ok(Cut::default())
    }

    fn state(&self, session: SessionId) -> Result<Option<SessionState>, KernelError> {
        let state = self.lock();
        Ok(state.sessions.get(&session).and_then(|known| known.state))
    }

    fn kill(&self, session: SessionId) -> Result<Killed, KernelError> {
        let signalled = match self.touch("kills", session, SessionState::Killed) {
            Ok(living) => living,
            // What the kernel does not know has no process.
            Err(KernelError::NoSession) => 0,
            Err(other) => return Err(other),
        };
        if signalled > 0 {
            let mut state = self.lock();
            if let Some(known) = state.sessions.get_mut(&session) {
                known.killed += 1;
            }
            self.end(&mut state, session);
        }
        Ok(Killed {
            signalled,
            left: 0,
            rounds: 1,
            took: Duration::from_millis(1),
        })
    }

    fn live(&self, session: SessionId) -> Result<Option<u64>, KernelError> {
        let state = self.lock();
        let known = state.sessions.get(&session);
        let known = known.filter(|known| known.state.is_some());
        Ok(known.map(|known| u64::try_from(known.processes.len()).unwrap_or(u64::MAX)))
    }

    fn processes(&self, session: SessionId) -> Result<Vec<u32>, KernelError> {
        let state = self.lock();
        let known = state.sessions.get(&session);
        Ok(known
            .map(|known| known.processes.clone())
            .unwrap_or_default())
    }

    fn forget(&self, session: SessionId) -> Result<(), KernelError> {
        if let Some(known) = self.lock().sessions.get_mut(&session) {
            known.state = None;
        }
        Ok(())
    }
}
