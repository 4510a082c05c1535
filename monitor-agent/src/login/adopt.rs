//! Sessions that are older than the probes: found in the list of processes when
//! the agent starts, before it answers the first login.
//!
//! - Sessions of an earlier loading of the probes, whose marks went with it
//!   (`detach`, an upgrade): known by their leader, and by the audit session.
//! - Logins over ssh that nobody told the agent of: a root process with an
//!   established connection to a port on which its parent listens, and processes
//!   below it. Who it is says the directory, where the account is one person's;
//!   the certificate cannot be known any more.
//!
//! A task list says who descends from whom now, not who did: what left its
//! parent is found by its audit session alone, where the kernel keeps those. So
//! such a session is adopted, and what it does is `inferred`. Logins on consoles
//! are not found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
};

use monitor_model::{
    clock::UnixNs,
    event::Action,
    id::SessionId,
    session::{Binding, Credential, Session, SessionState},
};
use tracing::{info, warn};

use super::hop::{self, State};
use crate::{
    attribute::{
        Origin, SharedSessions,
        host::{ProcessStat, account_in},
    },
    directory::Directory,
    kernel::TimeOffset,
    lossy,
    marks::{self, Marks},
    note::{Keep, Note},
};

/// Most processes that are looked at.
const PROCESSES_MAX: usize = 262_144;
/// Tasks that are born while others are marked are found in the next round.
const ROUNDS_MAX: usize = 16;
/// The account of sshd's process that speaks before anybody is known.
const PRIVILEGES_SEPARATED: &str = "sshd";
/// `start_ticks` to nanoseconds.
const TICK_NS: u64 = 10_000_000;

/// What adoption needs.
#[derive(Debug)]
pub struct Adoption<'a> {
    /// Under which name events go out.
    pub origin: &'a Origin,
    /// Sessions.
    pub sessions: &'a SharedSessions,
    /// Who stands behind accounts.
    pub directory: &'a Directory,
    /// The kernel's side of sessions.
    pub marks: &'a dyn Marks,
    /// The time.
    pub now: UnixNs,
}

impl Adoption<'_> {
    /// Marks the processes of older sessions; what is to be told of new ones.
    #[must_use]
    pub fn run(&self) -> Vec<Note> {
        self.readopt();
        let found = Census::read().logins();
        let opened = found.iter().filter_map(|login| self.adopt(login));
        opened.collect()
    }

    /// Sessions that are known, and of which the kernel knows no task.
    fn readopt(&self) {
        let living = self.sessions.lock().living();
        for id in living {
            if !matches!(self.marks.live(id), Ok(None | Some(0))) {
                continue;
            }
            let Some(mut session) = self.sessions.lock().get(id).cloned() else {
                continue;
            };
            let members = |census: &Census| census.members(&session);
            if self.mark(id, members) == 0 {
                continue;
            }
            info!(session = %id, "A session that lost its marks was adopted.");
            session.adopted = true;
            // It has its row already.
            let _ = self.sessions.lock().put(session);
        }
    }

    fn adopt(&self, login: &Login) -> Option<Note> {
        let id = marks::new_id(self.now).ok()?;
        let session = self.session(id, login);
        self.sessions.lock().put(session.clone()).ok()?;
        if self.mark(id, |census| census.tree(login.leader)) == 0 {
            self.sessions.lock().remove(id);
            return None;
        }
        info!(session = %id, account = session.account, "A login that is older than the probes was adopted.");
        let mut note = Note::about(
            &session,
            Action::SessionOpened {
                session: Box::new(session.clone()),
            },
        );
        note.keep = Some(Keep::Session(Box::new(session)));
        Some(note)
    }

    fn session(&self, id: SessionId, login: &Login) -> Session {
        let principal = self.directory.of_account(&login.account).cloned();
        Session {
            id,
            host: self.origin.agent.clone(),
            account: login.account.clone(),
            binding: match principal {
                Some(_) => Binding::Account,
                None => Binding::Nothing,
            },
            principal,
            way: Vec::new(),
            tenant: None,
            grants: Vec::new(),
            ticket: String::new(),
            tier: None,
            credential: Credential::Other {
                method: String::new(),
            },
            peer: Some(login.peer.ip().to_canonical()),
            peer_port: login.peer.port(),
            leader_pid: login.leader,
            audit_session: login.audit_session,
            adopted: true,
            opened_at: login.opened_at,
            ended_at: None,
            state: SessionState::Live,
            frozen: None,
        }
    }

    /// Marks processes that have no mark, until no new one comes; how many.
    /// What has a mark belongs to a session or job of its own.
    fn mark(&self, session: SessionId, members: impl Fn(&Census) -> Vec<u32>) -> usize {
        let mut marked = BTreeSet::new();
        for _ in 0..ROUNDS_MAX {
            let before = marked.len();
            for pid in members(&Census::read()) {
                if !matches!(self.marks.session_of(pid), Ok(None)) {
                    continue;
                }
                match self.marks.mark(pid, session) {
                    Ok(_) => {
                        marked.insert(pid);
                    }
                    Err(error) => {
                        warn!(%error, %session, pid, "A process of an older session could not be marked.");
                    }
                }
            }
            if marked.len() == before {
                break;
            }
        }
        marked.len()
    }
}

/// A login that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Login {
    leader: u32,
    account: String,
    peer: SocketAddr,
    audit_session: Option<u32>,
    opened_at: UnixNs,
}

/// One process, as /proc tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    parent: u32,
    start_ticks: u64,
    /// Its real user.
    uid: u32,
    audit_session: Option<u32>,
}

impl Found {
    fn read(pid: u32) -> Option<Self> {
        let stat = ProcessStat::read(pid).ok()?;
        let text = |name: &str| lossy::text(format!("/proc/{pid}/{name}")).ok();
        let status = text("status")?;
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        Some(Self {
            parent: stat.parent_pid,
            start_ticks: stat.start_ticks,
            uid: uid.split_ascii_whitespace().next()?.parse().ok()?,
            audit_session: text("sessionid")
                .and_then(|text| text.trim().parse().ok())
                .filter(|id| *id != u32::MAX),
        })
    }

    fn started_at(&self) -> UnixNs {
        let at = TimeOffset::now().unix_ns(self.start_ticks.saturating_mul(TICK_NS));
        UnixNs(u64::try_from(at).unwrap_or(0))
    }
}

/// All processes at a moment, by their ids.
#[derive(Debug, Default)]
struct Census(BTreeMap<u32, Found>);

impl Census {
    fn read() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let found = pids
            .take(PROCESSES_MAX)
            .filter_map(|pid: u32| Some((pid, Found::read(pid)?)));
        Self(found.collect())
    }

    /// A process and all that descend from it now; nothing where it is gone.
    fn tree(&self, root: u32) -> Vec<u32> {
        if !self.0.contains_key(&root) {
            return Vec::new();
        }
        let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (pid, found) in &self.0 {
            children.entry(found.parent).or_default().push(*pid);
        }
        let mut tree = vec![root];
        let mut at = 0;
        while let Some(pid) = tree.get(at).copied() {
            tree.extend(children.remove(&pid).unwrap_or_default());
            at += 1;
        }
        tree
    }

    /// What is left of a session: the tree of its leader, if that is still it,
    /// and what has its audit session.
    fn members(&self, session: &Session) -> Vec<u32> {
        // Whoever got the leader's number later was started later; a tick is as
        // exact as its start is known.
        let until = UnixNs(session.opened_at.0.saturating_add(TICK_NS));
        let leader = self.0.get(&session.leader_pid);
        let is_leader = leader.is_some_and(|found| found.started_at() <= until);
        let mut members = if is_leader {
            self.tree(session.leader_pid)
        } else {
            Vec::new()
        };
        if let Some(audit) = session.audit_session {
            let of_audit = self
                .0
                .iter()
                .filter(|(_, found)| found.audit_session == Some(audit));
            members.extend(of_audit.map(|(pid, _)| *pid));
        }
        members.sort_unstable();
        members.dedup();
        members
    }

    /// Logins over ssh.
    fn logins(&self) -> Vec<Login> {
        let sockets = hop::sockets();
        let holds = |pid: u32, state: State| -> Vec<_> {
            let held = hop::held(pid);
            let sockets = sockets.iter().filter(|socket| socket.state == state);
            sockets
                .filter(|socket| held.contains(&socket.inode))
                .collect()
        };
        let mut listening: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
        let mut logins = Vec::new();
        for (pid, found) in self.0.iter().filter(|(_, found)| found.uid == 0) {
            let ports = listening.entry(found.parent).or_insert_with(|| {
                let sockets = holds(found.parent, State::Listening);
                sockets.iter().map(|socket| socket.local.port()).collect()
            });
            if ports.is_empty() {
                continue;
            }
            let established = holds(*pid, State::Established);
            let connection = established
                .iter()
                .find(|socket| ports.contains(&socket.local.port()));
            if let Some(connection) = connection
                && let Some(account) = self.account(*pid)
            {
                logins.push(Login {
                    leader: *pid,
                    account,
                    peer: connection.remote,
                    audit_session: found.audit_session,
                    opened_at: found.started_at(),
                });
            }
        }
        logins
    }

    /// Whose login it is: the first account below the leader that is not root's
    /// and not that of sshd, or root where another program runs there. None:
    /// nobody is in yet.
    fn account(&self, leader: u32) -> Option<String> {
        // The leader's own view: sshd may have accounts of its own.
        let passwd = PathBuf::from(format!("/proc/{leader}/root/etc/passwd"));
        let name = |uid: u32| account_in(&passwd, uid).unwrap_or_else(|| uid.to_string());
        let below = self.tree(leader);
        let accounts = below.iter().filter_map(|pid| self.0.get(pid));
        let named = accounts
            .filter(|found| found.uid != 0)
            .map(|found| name(found.uid))
            .find(|name| name != PRIVILEGES_SEPARATED);
        if named.is_some() {
            return named;
        }
        let program = |pid: u32| {
            let found = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
            Some((found.dev(), found.ino()))
        };
        let own = program(leader);
        let is_in = below
            .iter()
            .any(|pid| program(*pid).is_some_and(|found| Some(found) != own));
        is_in.then(|| name(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{attribute::sessions::tests::session, lossy::tests::Odd};

    fn found(parent: u32, audit_session: Option<u32>) -> Found {
        Found {
            parent,
            start_ticks: 1,
            uid: 1000,
            audit_session,
        }
    }

    fn census() -> Census {
        Census(BTreeMap::from([
            (1, found(0, None)),
            (10, found(1, Some(7))),
            (11, found(10, Some(7))),
            (12, found(11, Some(7))),
            // Left its parent.
            (20, found(1, Some(7))),
            // Another login.
            (30, found(1, Some(8))),
        ]))
    }

    #[test]
    fn tree_is_the_process_and_its_descendants() {
        assert_eq!(census().tree(10), [10, 11, 12]);
        assert_eq!(census().tree(99), [0; 0]);
        // A loop cannot be, and would end.
        let own_parent = Census(BTreeMap::from([(5, found(5, None))]));
        assert_eq!(own_parent.tree(5).first(), Some(&5));
    }

    #[test]
    fn process_whose_name_is_no_text_is_found() {
        let odd = Odd::start();
        let found = Found::read(odd.pid()).unwrap();
        assert_eq!(found.parent, std::process::id());
        assert!(Census::read().tree(std::process::id()).contains(&odd.pid()));
    }

    #[test]
    fn what_left_its_parent_is_found_by_the_audit_session() {
        let mut known = session(1);
        known.leader_pid = 10;
        known.opened_at = UnixNs(u64::MAX);
        known.audit_session = Some(7);
        assert_eq!(census().members(&known), [10, 11, 12, 20]);
        known.audit_session = None;
        assert_eq!(census().members(&known), [10, 11, 12]);
    }

    #[test]
    fn number_of_the_leader_that_somebody_else_has_now_is_no_leader() {
        let mut known = session(1);
        known.leader_pid = 10;
        known.opened_at = UnixNs(0);
        known.audit_session = None;
        assert_eq!(census().members(&known), [0; 0]);
    }

    #[test]
    fn this_process_is_in_the_census_and_is_no_login() {
        let census = Census::read();
        let own = std::process::id();
        assert!(census.tree(own).contains(&own));
        assert!(census.logins().iter().all(|login| login.leader != own));
    }
}
