//! What lives in sessions, by page. Changes nothing.

use std::cmp::Reverse;

use monitor_model::{
    bytes::ByteText,
    clock::UnixNs,
    id::{SessionId, TenantId},
    live::{LiveProcess, LiveSession, ProcessKey},
    session::{Session, SessionState},
};

use super::{Core, CoreError};
use crate::state::read::SessionFilter;

/// Most bytes of processes on one page, about; one item always has room.
const BYTES_MAX: usize = 1 << 20;

/// Where a page begins: after this session, or within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// When it was opened.
    pub opened_at: UnixNs,
    /// Which.
    pub session: SessionId,
    /// The last of its processes that was shown; none when all of it was.
    pub process: Option<ProcessKey>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Of which sessions; ended ones are there while jobs of theirs live.
    pub filter: SessionFilter,
    /// Where the page begins; none for the first.
    pub after: Option<After>,
    /// Most sessions and processes on it.
    pub size: usize,
    /// For a reader of some tenants, these: what others than the session did in
    /// its processes is left out, and sessions of other tenants are not named.
    pub within: Option<Vec<TenantId>>,
}

/// A page, newest session first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Sessions with what lives in them.
    pub sessions: Vec<LiveSession>,
    /// Where the next page begins; none on the last.
    pub next: Option<After>,
}

impl Core {
    /// What lives now, as of what was followed.
    ///
    /// # Errors
    /// [`CoreError`].
    pub fn live(&self, asked: &Asked) -> Result<Page, CoreError> {
        let mut page = Page::default();
        let (mut room, mut bytes) = (asked.size, BYTES_MAX);
        for (opened_at, id) in self.candidates(asked)? {
            let Some(session) = self.known(id)? else {
                continue;
            };
            if room == 0 || bytes == 0 {
                page.next = page.next.or_else(|| last(&page));
                return Ok(page);
            }
            let within = asked.after.filter(|after| after.session == id);
            if within.is_none() {
                // Else it was counted where it began.
                room -= 1;
            }
            let after = within.and_then(|after| after.process);
            let mut live = LiveSession {
                jobs: self.processes.jobs_of(&session),
                missing: self.processes.missing_of(&session),
                processes: Vec::new(),
                session,
            };
            let mut cut = false;
            let only_own = asked.within.is_some();
            for process in self.processes.of_session(&live.session, after, only_own) {
                if room == 0 || bytes == 0 {
                    cut = true;
                    break;
                }
                room -= 1;
                bytes = bytes.saturating_sub(size_of_message(&process));
                live.processes.push(process);
            }
            let process = live.processes.last().map(|process| process.key).or(after);
            // Where none had room, the next page begins before them all.
            let process = process.unwrap_or_default();
            if let Some(tenants) = &asked.within {
                self.forget_others(&mut live, tenants)?;
            }
            page.sessions.push(live);
            if cut {
                page.next = Some(After {
                    opened_at,
                    session: id,
                    process: Some(process),
                });
                return Ok(page);
            }
        }
        Ok(page)
    }

    /// Sessions that fit, newest first, from where the page begins.
    fn candidates(&self, asked: &Asked) -> Result<Vec<(UnixNs, SessionId)>, CoreError> {
        let place = |session: &Session| (session.opened_at, session.id);
        let fits = |session: &Session| {
            let begins = match asked.after {
                None => true,
                Some(after) => {
                    let (at, from) = (place(session), (after.opened_at, after.session));
                    at < from || at == from && after.process.is_some()
                }
            };
            begins && admits(&asked.filter, session)
        };
        let live = self.sessions.iter().map(|login| &login.session);
        let mut all: Vec<_> = live.filter(|session| fits(session)).map(place).collect();
        let ended = self.processes.sessions();
        for id in ended.filter(|id| self.sessions.get(*id).is_none()) {
            let found = self.known(id)?.filter(|session| {
                let is_live = session.state != SessionState::Ended;
                (is_live || self.processes.has_handed_over(id)) && fits(session)
            });
            all.extend(found.as_ref().map(place));
        }
        all.sort_unstable_by_key(|place| Reverse(*place));
        Ok(all)
    }

    fn known(&self, id: SessionId) -> Result<Option<Session>, CoreError> {
        if let Some(login) = self.sessions.get(id) {
            return Ok(Some(login.session.clone()));
        }
        Ok(self.state.session(id)?.map(|login| login.session))
    }

    /// Leaves out which sessions of other tenants are on the ways, and what by.
    fn forget_others(&self, live: &mut LiveSession, tenants: &[TenantId]) -> Result<(), CoreError> {
        let own = live.session.id;
        let processes = live
            .processes
            .iter_mut()
            .flat_map(|process| &mut process.way);
        let jobs = live.jobs.iter_mut().flat_map(|job| &mut job.way);
        for step in processes.chain(jobs).chain(&mut live.session.way) {
            let Some(other) = step.session.filter(|session| *session != own) else {
                continue;
            };
            let tenant = self.known(other)?.and_then(|session| session.tenant);
            if tenant.is_none_or(|tenant| !tenants.contains(&tenant)) {
                step.session = None;
                step.name = ByteText::default();
            }
        }
        Ok(())
    }
}

fn admits(filter: &SessionFilter, session: &Session) -> bool {
    let principal = filter.principal.as_ref();
    let tenants = &filter.tenants;
    principal.is_none_or(|wanted| session.principal.as_ref() == Some(wanted))
        && filter
            .host
            .as_ref()
            .is_none_or(|wanted| session.host == *wanted)
        && crate::ledger::read::within(tenants, session.tenant.as_ref())
}

/// After everything that a page holds.
fn last(page: &Page) -> Option<After> {
    page.sessions.last().map(|live| After {
        opened_at: live.session.opened_at,
        session: live.session.id,
        process: None,
    })
}

/// What a process takes in an answer, about.
fn size_of_message(process: &LiveProcess) -> usize {
    const FIXED: usize = 128;
    let paths = [&process.exe, &process.script].into_iter().flatten();
    let paths: usize = paths.map(|path| path.text.0.len()).sum();
    let way: usize = process.way.iter().map(|step| step.name.0.len() + 32).sum();
    let argv = process
        .arguments
        .iter()
        .flat_map(|arguments| &arguments.argv);
    let argv: usize = argv.map(|argument| argument.0.len() + 4).sum();
    FIXED + paths + way + argv
}
