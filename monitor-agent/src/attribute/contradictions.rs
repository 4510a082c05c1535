//! Whose a process is by other signs than its mark, where they say otherwise:
//! its session of the audit system, its control group, its terminal.
//!
//! The mark decides. Whoever moves a process out of its control group, rewrites
//! its login id or takes a terminal over contradicts it, and both sides are told,
//! once for each mark and value.
//!
//! In: what the records say of processes. Out: [`Contradiction`]s. Bound:
//! [`MARKS_MAX`], [`SEEN_MAX`] of each, and those of [`terminals`]; when full they
//! are forgotten, and told again. What is known of a mark goes with its end.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use monitor_common::mark::SESSIONS_MAX;
use monitor_model::{
    bytes::ByteText, clock::UnixNs, event::Evidence, id::SessionId, session::Session,
};

use super::{Host, SharedSessions, jobs::groups::Group};

mod terminals;

use terminals::Terminals;
pub(crate) use terminals::name as terminal_name;

/// Most marks that something is known of: as many as sessions can be, and none.
const MARKS_MAX: usize = SESSIONS_MAX + 1;
/// Most combinations of audit session and control group of one mark that are
/// known to be looked at.
const SEEN_MAX: usize = 1_024;
/// A process without a mark is not told of this soon after the login that its
/// audit session is of: the mark comes after the audit session.
const LOGIN: Duration = Duration::from_secs(2);

/// A process, as a record shows it.
#[derive(Debug)]
pub(super) struct Signs<'a> {
    /// Its id and start.
    pub(super) process: (u32, u64),
    /// The mark that it carries.
    pub(super) mark: Option<SessionId>,
    /// Whose the mark is: of a job, the session's that left it.
    pub(super) owner: Option<SessionId>,
    /// Its session of the audit system.
    pub(super) audit_session: Option<u32>,
    /// Its control group, by number and path.
    pub(super) group: (u64, Option<&'a Group>),
    /// The terminal that controls it, as the kernel numbers devices; known at the
    /// start of a program.
    pub(super) terminal: Option<u64>,
    /// When.
    pub(super) at: UnixNs,
}

impl Signs<'_> {
    /// Whether the mark is that of a login, not of work that was handed over.
    fn is_of_login(&self) -> bool {
        self.mark.is_some() && self.mark == self.owner
    }
}

/// What contradicts a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The process.
    pub process: (u32, u64),
    /// The mark that it carries.
    pub mark: Option<SessionId>,
    /// What contradicts.
    pub evidence: Evidence,
    /// Its value.
    pub value: ByteText,
    /// Whose the process is by that.
    pub says: Option<SessionId>,
}

/// What was looked at of one mark.
#[derive(Debug, Default)]
struct Looked {
    /// The control group that it was first seen in.
    home: Option<u64>,
    /// Audit sessions and control groups.
    seen: HashSet<(Option<u32>, u64)>,
    told: HashSet<(Evidence, u64)>,
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub(super) struct Contradictions {
    looked: HashMap<Option<SessionId>, Looked>,
    terminals: Terminals,
    found: Vec<Contradiction>,
}

impl Contradictions {
    /// What was found since this was last asked.
    pub(super) fn take(&mut self) -> Vec<Contradiction> {
        std::mem::take(&mut self.found)
    }

    /// Looks at a process.
    pub(super) fn look(
        &mut self,
        signs: &Signs<'_>,
        sessions: &SharedSessions,
        host: &mut dyn Host,
    ) {
        self.look_at_terminal(signs, host);
        let seen = (signs.audit_session, signs.group.0);
        if self.of_mark(signs.mark).seen.contains(&seen) {
            return;
        }
        let is_settled = self.look_at_audit(signs, sessions) & self.look_at_group(signs, sessions);
        if is_settled {
            let looked = self.of_mark(signs.mark);
            if looked.seen.len() >= SEEN_MAX {
                looked.seen.clear();
                looked.told.clear();
            }
            looked.seen.insert(seen);
        }
    }

    /// A session or job ended.
    pub(super) fn forget(&mut self, mark: SessionId) {
        self.looked.remove(&Some(mark));
    }

    fn of_mark(&mut self, mark: Option<SessionId>) -> &mut Looked {
        if self.looked.len() >= MARKS_MAX && !self.looked.contains_key(&mark) {
            self.looked.clear();
        }
        self.looked.entry(mark).or_default()
    }

    /// Whether that is the last word on it.
    fn look_at_audit(&mut self, signs: &Signs<'_>, sessions: &SharedSessions) -> bool {
        let sessions = sessions.lock();
        let by_audit = signs
            .audit_session
            .and_then(|number| sessions.of_audit(number));
        let own = signs.owner.and_then(|owner| sessions.get(owner));
        let is_foreign = match by_audit {
            Some(other) if signs.mark.is_none() => {
                if is_at_login(signs, other) {
                    return false;
                }
                true
            }
            Some(other) => Some(other.id) != signs.owner,
            // Nobody's: of a login that began with one of its own.
            None => {
                let began_with = own.and_then(|own| own.audit_session);
                signs.is_of_login() && began_with.is_some() && began_with != signs.audit_session
            }
        };
        let says = by_audit.map(|session| session.id);
        drop(sessions);
        if is_foreign {
            let number = signs.audit_session.map_or(u64::MAX, u64::from);
            let value = signs
                .audit_session
                .map_or_else(|| "unset".to_owned(), |number| number.to_string());
            self.tell(
                signs,
                (Evidence::AuditSession, number),
                value.into_bytes(),
                says,
            );
        }
        // An audit session that is nobody's may become somebody's.
        signs.mark.is_some() || signs.audit_session.is_none() || says.is_some()
    }

    fn look_at_group(&mut self, signs: &Signs<'_>, sessions: &SharedSessions) -> bool {
        let (number, Some(group)) = signs.group else {
            return true;
        };
        let evidence = (Evidence::ControlGroup, number);
        if let Some(login) = group.login() {
            // A login that the agent does not know, or not yet.
            let Some((other, early)) = sessions
                .lock()
                .of_audit(login)
                .map(|session| (session.id, is_at_login(signs, session)))
            else {
                return signs.mark.is_some();
            };
            if signs.mark.is_none() && early {
                return false;
            }
            if Some(other) != signs.owner {
                self.tell(signs, evidence, group.path().to_vec(), Some(other));
            }
            return true;
        }
        if signs.is_of_login() && !self.is_home(signs) && group.is_of_no_scope() {
            self.tell(signs, evidence, group.path().to_vec(), None);
        }
        true
    }

    /// Whether it is the control group that the login was first seen in.
    fn is_home(&mut self, signs: &Signs<'_>) -> bool {
        let group = signs.group.0;
        *self.of_mark(signs.mark).home.get_or_insert(group) == group
    }

    fn look_at_terminal(&mut self, signs: &Signs<'_>, host: &mut dyn Host) {
        let Some(terminal) = signs.terminal else {
            return;
        };
        if let Some(other) = self
            .terminals
            .used(terminal, signs.process, signs.owner, host)
        {
            let evidence = (Evidence::Terminal, terminal);
            self.tell(
                signs,
                evidence,
                terminals::name(terminal).into_bytes(),
                Some(other),
            );
        }
    }

    fn tell(
        &mut self,
        signs: &Signs<'_>,
        (evidence, number): (Evidence, u64),
        value: Vec<u8>,
        says: Option<SessionId>,
    ) {
        if self.of_mark(signs.mark).told.insert((evidence, number)) {
            self.found.push(Contradiction {
                process: signs.process,
                mark: signs.mark,
                evidence,
                value: ByteText(value),
                says,
            });
        }
    }
}

/// Whether a process without a mark may be that of the login itself.
fn is_at_login(signs: &Signs<'_>, session: &Session) -> bool {
    signs.at < session.opened_at.plus(LOGIN)
}

#[cfg(test)]
mod tests;
