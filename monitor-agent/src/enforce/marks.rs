//! Marks whose bearers are held to their grants from the first moment: the
//! session's row is there before a process carries its mark.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use monitor_model::id::SessionId;

use super::Enforcer;
use crate::{
    kernel::{Cut, Halted, KernelError, Killed, Marked, Resumed, SessionState},
    marks::Marks,
};

/// The kernel's side of sessions, with enforcement.
#[derive(Debug)]
pub struct ScopedMarks {
    /// Who asks the kernel for everything else.
    pub marks: Arc<dyn Marks>,
    /// Who holds sessions to their grants.
    pub enforcer: Arc<Enforcer>,
}

impl Marks for ScopedMarks {
    fn mark(&self, pid: u32, session: SessionId) -> Result<Marked, KernelError> {
        self.enforcer.arm(session);
        self.marks.mark(pid, session)
    }

    fn session_of(&self, pid: u32) -> Result<Option<SessionId>, KernelError> {
        self.marks.session_of(pid)
    }

    fn contain(&self, session: SessionId) -> Result<(), KernelError> {
        self.marks.contain(session)
    }

    fn hold(&self, session: SessionId) -> Result<(), KernelError> {
        self.marks.hold(session)
    }

    fn pause(&self, session: SessionId) -> Result<Halted, KernelError> {
        self.marks.pause(session)
    }

    fn resume(&self, session: SessionId) -> Result<Resumed, KernelError> {
        self.marks.resume(session)
    }

    fn freeze(&self, session: SessionId, spared: &BTreeSet<u32>) -> Result<Halted, KernelError> {
        self.marks.freeze(session, spared)
    }

    fn release(&self, session: SessionId) -> Result<Resumed, KernelError> {
        self.marks.release(session)
    }

    fn cut(&self, sessions: &[SessionId], spared: Option<SocketAddr>) -> Result<Cut, KernelError> {
        self.marks.cut(sessions, spared)
    }

    fn state(&self, session: SessionId) -> Result<Option<SessionState>, KernelError> {
        self.marks.state(session)
    }

    fn kill(&self, session: SessionId) -> Result<Killed, KernelError> {
        self.marks.kill(session)
    }

    fn live(&self, session: SessionId) -> Result<Option<u64>, KernelError> {
        self.marks.live(session)
    }

    fn processes(&self, session: SessionId) -> Result<Vec<u32>, KernelError> {
        self.marks.processes(session)
    }

    fn forget(&self, session: SessionId) -> Result<(), KernelError> {
        let forgotten = self.marks.forget(session);
        self.enforcer.disarm(session);
        forgotten
    }
}
