//! Who did something, and how that is known.

use std::fmt;

use serde::Serialize;

use super::handover::Step;
use crate::{
    bytes::{ByteText, PathLabel},
    id::{GrantId, PrincipalId, SessionId, TenantId},
};

/// The process that acted. Identified by pid and start time; the rest is evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Process id in the host's pid namespace.
    pub pid: u32,
    /// Thread that acted.
    pub tid: u32,
    /// Parent's process id.
    pub parent_pid: u32,
    /// Start of the process in nanoseconds since boot.
    pub start_boot_ns: u64,
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Real group id.
    pub gid: u32,
    /// The audit system's login uid; none when unset.
    pub login_uid: Option<u32>,
    /// The audit system's session; none when unset.
    pub audit_session: Option<u32>,
    /// Id of the cgroup (v2).
    pub cgroup_id: u64,
    /// Inode of the network namespace.
    pub net_ns: u32,
    /// Inode of the mount namespace.
    pub mount_ns: u32,
    /// Inode of the pid namespace.
    pub pid_ns: u32,
    /// The name the process gives itself: evidence only.
    pub comm: ByteText,
    /// Path of the executable as the kernel saw it at exec; none when the
    /// process is older than the agent's knowledge.
    pub exe: Option<PathLabel>,
}

/// How an event came to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lineage {
    /// The mark in the kernel, copied at every fork.
    Kernel,
    /// A handover that was observed.
    Linked,
    /// Time and object fit.
    Inferred,
    /// No session; the reason says why.
    Unattributed,
}

/// Why an event has no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoSession {
    /// The process carries no mark: it comes from no login that was bound.
    NoMark,
    /// It carries a mark that the agent's session table does not hold.
    UnknownMark,
    /// The session is known, but bound to no person.
    NoPrincipal,
    /// It is work of a service, a timer or a job outside of any login, and the
    /// directory registers it.
    Workload,
    /// The same, and the directory does not know it.
    UnregisteredWorkload,
    /// Several sessions may have handed the work over; the way names them.
    Ambiguous,
}

impl NoSession {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::NoMark,
        Self::UnknownMark,
        Self::NoPrincipal,
        Self::Workload,
        Self::UnregisteredWorkload,
        Self::Ambiguous,
    ];

    /// The name in rules and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoMark => "no_mark",
            Self::UnknownMark => "unknown_mark",
            Self::NoPrincipal => "no_principal",
            Self::Workload => "workload",
            Self::UnregisteredWorkload => "unregistered_workload",
            Self::Ambiguous => "ambiguous",
        }
    }
}

impl fmt::Display for NoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMark => "the process comes from no bound login",
            Self::UnknownMark => "the process carries the mark of a session that is not known",
            Self::NoPrincipal => "the session is bound to no person",
            Self::Workload => "a registered workload outside of any login",
            Self::UnregisteredWorkload => {
                "a workload outside of any login that the directory does not know"
            }
            Self::Ambiguous => "several sessions may have handed the work over",
        })
    }
}

/// To whom an event belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attribution {
    /// The session.
    pub session: Option<SessionId>,
    /// The person or workload.
    pub principal: Option<PrincipalId>,
    /// The tenant the session was opened for.
    pub tenant: Option<TenantId>,
    /// The grants the session stands on.
    pub grants: Vec<GrantId>,
    /// How it is known.
    pub lineage: Lineage,
    /// Why it is not known.
    pub reason: Option<NoSession>,
    /// How it came from the session to this process, the earliest step first;
    /// empty where the mark came by descent alone.
    pub way: Vec<Step>,
}

impl Attribution {
    /// Belongs to nobody, for this reason.
    #[must_use]
    pub const fn none(reason: NoSession) -> Self {
        Self {
            session: None,
            principal: None,
            tenant: None,
            grants: Vec::new(),
            lineage: Lineage::Unattributed,
            reason: Some(reason),
            way: Vec::new(),
        }
    }
}
