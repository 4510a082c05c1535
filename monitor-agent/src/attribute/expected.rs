//! Whether a use of a watched file is one that the catalogue expects.
//!
//! Three ways, all by what the kernel saw: the executable's file is one of the
//! [programs] whose business the item is; or the item is a person's and the
//! file belongs to the audit login uid, which su and sudo do not change. Where
//! a rule or the configuration names a tenant, neither counts: it is the
//! tenant's. A file that is handed out by programs of the broker is expected to
//! be used by these, whosever it is, and is judged all the same.
//!
//! [programs]: crate::watch::programs

use monitor_common::{Credential, Header, LocalConnect, Operation, header::AUDIT_UNSET};
use monitor_model::event::Expected;

use super::{Attributor, Host};
use crate::{
    kernel::FileIdentity,
    watch::{Label, programs::Use},
};

/// `FMODE_WRITE` of an open file.
const MODE_WRITE: u32 = 2;

/// Who did what to whose file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    process: (u32, u64),
    login_uid: u32,
    owner_uid: u32,
    used: Use,
}

impl Done {
    pub(super) const fn of(credential: &Credential) -> Self {
        let owner_uid = credential.file.owner_uid;
        Self::by(&credential.header, owner_uid, used(credential))
    }

    pub(super) const fn connected(connect: &LocalConnect) -> Self {
        Self::by(&connect.header, connect.socket.owner_uid, Use::Read)
    }

    const fn by(header: &Header, owner_uid: u32, used: Use) -> Self {
        Self {
            process: (header.pid, header.start_boot_ns),
            login_uid: header.loginuid,
            owner_uid,
            used,
        }
    }
}

impl<H: Host> Attributor<H> {
    pub(super) fn expected(&mut self, done: &Done, watched: &Label) -> Option<Expected> {
        if let Some(injection) = &watched.injection {
            return self.injects(done, injection);
        }
        let item = watched
            .item
            .as_deref()
            .filter(|_| watched.tenant.is_none())?;
        if done.used == Use::Read && self.host.is_agent(done.process) {
            // It lists watched directories: their files may have other names.
            return Some(Expected::Program);
        }
        if self.programs.has_any(item, done.used)
            && let Some(program) = self.program_file(done.process)
            && self.programs.expects(item, &program, done.used)
        {
            return Some(Expected::Program);
        }
        let own = done.login_uid != AUDIT_UNSET && done.login_uid == done.owner_uid;
        (own && self.programs.is_persons(item)).then_some(Expected::Person)
    }

    /// Whose credentials only pass through the broker's own programs: whether one
    /// of these, or the agent itself, uses it.
    fn injects(&mut self, done: &Done, injection: &str) -> Option<Expected> {
        if done.used == Use::Read && self.host.is_agent(done.process) {
            return Some(Expected::Program);
        }
        let program = self.program_file(done.process)?;
        let is_injector = self.programs.expects(injection, &program, done.used);
        is_injector.then_some(Expected::Injection)
    }

    /// The file that a process runs: as the kernel saw it at exec, or for a
    /// process that is older than the probes, as it says now.
    fn program_file(&mut self, process: (u32, u64)) -> Option<FileIdentity> {
        if let Some(file) = self.executables.file(process) {
            return Some(file);
        }
        let file = self.host.executable_file(process)?;
        self.executables.set_file(process, file);
        Some(file)
    }
}

/// The file of an exec record.
pub(super) const fn file(object: &monitor_common::FileObject) -> FileIdentity {
    FileIdentity {
        device: object.device,
        inode: object.inode,
        generation: Some(object.generation),
        is_directory: false,
    }
}

/// An operation that is not known may be a change.
const fn used(credential: &Credential) -> Use {
    let reads = match credential.operation {
        Operation::OPENED | Operation::RECEIVED | Operation::USED_ELSEWHERE | Operation::MAPPED => {
            credential.open_mode & MODE_WRITE == 0
        }
        Operation::EXECUTED => true,
        _ => false,
    };
    if reads { Use::Read } else { Use::Change }
}

#[cfg(test)]
mod tests;
