//! Which texts of an event people wrote, and may hold secrets.
//!
//! Arguments are read as a command; names (of files, sockets, accounts, tasks)
//! as texts. Numbers, and names that this program or the configuration gave,
//! stay as they are.

use monitor_model::{
    bytes::{ByteText, PathLabel},
    event::{Action, Event, FileObject, LocalAddress, ProcessRef, Step},
};

use super::{Cut, Redactor, file_name};
use crate::note::Keep;

/// Bytes of a task's name that the kernel keeps.
const TASK_NAME_BYTES: usize = 15;

impl Redactor {
    /// Digests the arguments, where all are there, and takes the secrets out of
    /// an event; how many.
    pub fn redact(&self, event: &mut Event) -> u32 {
        let mut count = self.action(&mut event.action);
        if let Some(process) = &mut event.process {
            let cut = if process.comm.0.len() >= TASK_NAME_BYTES {
                Cut::Yes
            } else {
                Cut::No
            };
            count += self.text(&mut process.comm, cut);
            count += process.exe.as_mut().map_or(0, |exe| self.path(exe));
        }
        count + self.way(&mut event.attribution.way)
    }

    /// Takes the secrets out of what is kept for the next start; how many.
    pub fn redact_kept(&self, keep: &mut Keep) -> u32 {
        match keep {
            Keep::Session(session) => self.way(&mut session.way),
            Keep::Job(job) => self.way(&mut job.attribution.way),
            Keep::Writing(writing) => {
                self.path(&mut writing.path) + self.way(&mut writing.attribution.way)
            }
            Keep::Receipt(_) | Keep::JobEnded(_) | Keep::Damaged(_) => 0,
        }
    }

    fn action(&self, action: &mut Action) -> u32 {
        match action {
            Action::Exec { .. } => self.exec(action),
            Action::Credential { object, other, .. } => {
                self.object(object) + other.as_mut().map_or(0, |other| self.path(other))
            }
            Action::LocalConnect {
                socket,
                object,
                peer,
                ..
            } => {
                let socket = match socket {
                    LocalAddress::Unix { path: name }
                    | LocalAddress::Abstract { name }
                    | LocalAddress::Fifo { name, .. }
                    | LocalAddress::Terminal { name } => self.text(name, Cut::No),
                    LocalAddress::Vsock { .. } | LocalAddress::Other { .. } => 0,
                };
                socket
                    + object.as_mut().map_or(0, |object| self.object(object))
                    + peer.as_mut().map_or(0, |peer| self.process(peer))
            }
            Action::Memory { target, .. }
            | Action::Signal { target, .. }
            | Action::JobStarted { leader: target, .. } => self.process(target),
            Action::Host {
                detail,
                path,
                target,
                ..
            } => {
                self.text(detail, Cut::No)
                    + path.as_mut().map_or(0, |path| self.path(path))
                    + target.as_mut().map_or(0, |target| self.process(target))
            }
            Action::Contradiction { process, value, .. } => {
                self.process(process) + self.text(value, Cut::No)
            }
            Action::Survivors { processes, .. } => processes
                .iter_mut()
                .map(|process| self.process(process))
                .sum(),
            Action::SessionOpened { session } => {
                self.string(&mut session.account) + self.way(&mut session.way)
            }
            Action::LoginRefused {
                account, reason, ..
            } => self.string(account) + self.string(reason),
            Action::Fork { .. }
            | Action::Exit { .. }
            | Action::Connect { .. }
            | Action::Socket { .. }
            | Action::Identity { .. }
            | Action::SessionEnded { .. }
            | Action::JobEnded { .. }
            | Action::Contained { .. }
            | Action::Gap { .. }
            | Action::Impaired { .. }
            | Action::AgentStarted { .. }
            | Action::Read { .. }
            | Action::Removed { .. }
            | Action::Order { .. } => 0,
        }
    }

    pub(super) fn exec(&self, action: &mut Action) -> u32 {
        let Action::Exec {
            exe,
            argv,
            argv_truncated,
            argv_digest,
            redacted,
            given,
            interpreter,
            script,
            ..
        } = action
        else {
            return 0;
        };
        if !*argv_truncated {
            *argv_digest = Some(self.argv_digest(argv));
        }
        let cut = if *argv_truncated { Cut::Yes } else { Cut::No };
        let told: Vec<&[u8]> = argv.iter().map(|argument| argument.0.as_slice()).collect();
        let (cleaned, count) = self.arguments(&told, file_name(&exe.path.text.0), cut);
        *argv = cleaned.into_iter().map(ByteText).collect();
        // The script's path is the path as given: its secrets are counted there.
        if let Some(script) = script {
            self.object(script);
        }
        *redacted = count
            .saturating_add(self.object(exe))
            .saturating_add(self.text(given, Cut::No))
            .saturating_add(self.text(interpreter, Cut::No));
        *redacted
    }

    fn way(&self, way: &mut [Step]) -> u32 {
        way.iter_mut()
            .map(|step| self.text(&mut step.name, Cut::No))
            .sum()
    }

    fn process(&self, process: &mut ProcessRef) -> u32 {
        process.exe.as_mut().map_or(0, |exe| self.path(exe))
    }

    fn object(&self, object: &mut FileObject) -> u32 {
        self.path(&mut object.path)
    }

    pub(crate) fn path(&self, path: &mut PathLabel) -> u32 {
        self.text(&mut path.text, Cut::No)
    }

    pub(crate) fn text(&self, text: &mut ByteText, cut: Cut) -> u32 {
        match self.name(&text.0, cut) {
            Some((cleaned, count)) => {
                text.0 = cleaned;
                count
            }
            None => 0,
        }
    }

    fn string(&self, text: &mut String) -> u32 {
        match self.name(text.as_bytes(), Cut::No) {
            Some((cleaned, count)) => {
                *text = String::from_utf8_lossy(&cleaned).into_owned();
                count
            }
            None => 0,
        }
    }
}
