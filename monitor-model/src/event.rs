//! What happened, attributed.
//!
//! - [`actor`]: who did it, and how that is known; [`handover`]: how work came
//!   to who did it.
//! - [`collector`]: what the collector says of itself.
//! - [`counted`]: acts that one event stands for.
//! - [`contradiction`]: what contradicts a session's mark.
//! - [`destination`]: where a connection goes.
//! - [`operation`]: what was done to a watched file; [`expected`]: whether the
//!   watch list expects it.
//! - [`local`]: sockets, other processes, identities, the host.
//! - [`fact`]: what stands out in an event, whoever did it.
//! - [`object`]: what it was done to, as filters name it.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    grant::Tier,
    id::{EventId, PrincipalId, SessionId, Source, TenantId},
    session::Session,
};

pub mod actor;
pub mod collector;
pub mod contradiction;
pub mod counted;
pub mod destination;
pub mod expected;
pub mod fact;
pub mod handover;
pub mod local;
pub mod object;
pub mod operation;

pub use crate::{contain::Receipt, revocation::entry::OrderEntry};
pub use actor::{Attribution, Lineage, NoSession, Process};
pub use collector::{Caller, QUESTION_BYTES_MAX, RemovalReason};
pub use contradiction::Evidence;
pub use counted::Counted;
pub use destination::{Destination, Protocol};
pub use expected::Expected;
pub use fact::{Fact, facts};
pub use handover::{Carrier, Step, Way};
pub use local::{
    HostChange, Ids, LocalAddress, MemoryAccess, ProcessRef, SocketAddress, SocketOperation,
};
pub use object::objects;
pub use operation::Operation;

/// Most processes that outlive a login and are named.
pub const SURVIVORS_MAX: usize = 16;

/// A file as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileObject {
    /// Device number as `st_dev` shows it.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Generation of the inode number; 0 where the file system keeps none.
    pub generation: u32,
    /// Where it was found: a label.
    pub path: PathLabel,
}

/// Why sequence numbers are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The kernel's ring was full.
    RingFull,
    /// A record could not be decoded.
    Undecodable,
    /// The spool was full.
    SpoolFull,
    /// The numbers never came, and nothing says why.
    Unexplained,
    /// They were on the host's disk, which gave back something else.
    SpoolDamaged,
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RingFull => "ring full",
            Self::Undecodable => "undecodable",
            Self::SpoolFull => "spool full",
            Self::Unexplained => "unexplained",
            Self::SpoolDamaged => "spool damaged",
        })
    }
}

/// One hook family and what became of it on this kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookState {
    /// The family: `exec`, `connect`, `credential`...
    pub family: String,
    /// The tier that was armed; none when the family is blind.
    pub tier: Option<String>,
    /// What stays unseen, in words.
    pub unseen: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Action {
    /// A program was started.
    Exec {
        /// The executable.
        exe: FileObject,
        /// Arguments as the process was given them, secrets removed: evidence.
        argv: Vec<ByteText>,
        /// Length of all arguments in bytes before any cut.
        argv_bytes: u64,
        /// Whether the arguments were cut.
        argv_truncated: bool,
        /// How many secrets were removed.
        redacted: u32,
        /// Keyed digest of all arguments, also of those that were cut; none
        /// where the kernel could not make one. Equal arguments have equal
        /// digests on one host, as long as its key stays.
        #[serde(serialize_with = "hexadecimal")]
        argv_digest: Option<u64>,
        /// The script that the executable was started for, as an object; none
        /// where there is none or the kernel's tier cannot tell.
        script: Option<FileObject>,
        /// The path as the caller gave it: evidence.
        given: ByteText,
        /// The interpreter as the script names it: evidence; empty where the
        /// executable was started itself.
        interpreter: ByteText,
    },
    /// A process was made.
    Fork {
        /// The child.
        child_pid: u32,
        /// The child's start in nanoseconds since boot.
        child_start_boot_ns: u64,
    },
    /// A process ended.
    Exit {
        /// Wait status: exit code in bits 8-15, signal in bits 0-6.
        status: u32,
    },
    /// A connection was tried.
    Connect {
        /// Where to.
        destination: Destination,
        /// Whether the kernel refused it on the agent's behalf.
        denied: bool,
        /// The table of scopes by which no grant of the session opens it, as the
        /// kernel found before the first packet; none where it asked none, or
        /// one does. Without `denied` it was told and let through.
        #[serde(serialize_with = "hexadecimal")]
        scope: Option<u64>,
    },
    /// Something was done to a watched file.
    Credential {
        /// The file; where something new was made, its directory.
        object: FileObject,
        /// Class from the watch list: `kubeconfig`, `ssh-key`...
        class: String,
        /// Whose it is, by the watch list.
        tenant: Option<TenantId>,
        /// The tier it needs, by the watch list; none means any.
        tier: Option<Tier>,
        /// ATT&CK technique of such an access, by the watch list.
        technique: Option<String>,
        /// What was done.
        operation: Operation,
        /// The flags of open(2); the new mode or owner where that was set.
        flags: u32,
        /// The new name, where it got one.
        other: Option<PathLabel>,
        /// Whether the kernel refused it on the agent's behalf.
        denied: bool,
        /// Whether the watch list expects it; none where it does not.
        expected: Option<Expected>,
        /// Whether programs of the broker alone hand it out.
        injected: bool,
        /// Fingerprint of the key in it, `SHA256:...`; none where it holds none
        /// that can be told.
        key: Option<String>,
        /// How many acts this event stands for; none where it is one.
        counted: Option<Counted>,
    },
    /// A socket that does not speak IP was connected, a FIFO opened, or input
    /// pushed into a terminal.
    LocalConnect {
        /// Where to.
        socket: LocalAddress,
        /// The file of a unix socket with a path; the FIFO, the terminal.
        object: Option<FileObject>,
        /// Who listens, or leads the terminal's session, where the kernel knows.
        peer: Option<ProcessRef>,
        /// Whether the kernel refused it on the agent's behalf.
        denied: bool,
    },
    /// A socket was made, bound, made to listen, or accepted.
    Socket {
        /// What happened.
        operation: SocketOperation,
        /// Address family, by its Linux number.
        family: u16,
        /// Socket type, by its Linux number: 1 stream, 2 datagrams, 3 raw.
        socket_type: u16,
        /// Protocol, as the family numbers them.
        protocol: u16,
        /// Own address.
        local: Option<SocketAddress>,
        /// Peer of an accepted connection.
        peer: Option<SocketAddress>,
        /// Inode of the socket's network namespace.
        net_ns: u32,
        /// Whether the kernel refused it on the agent's behalf.
        denied: bool,
    },
    /// A process reached into another one's memory.
    Memory {
        /// Whose.
        target: ProcessRef,
        /// By what means.
        access: MemoryAccess,
        /// Number of the system call, where known.
        syscall: Option<u32>,
        /// Whether the kernel refused it on the agent's behalf.
        denied: bool,
    },
    /// A process changed its user or group.
    Identity {
        /// What it was.
        before: Ids,
        /// What it is.
        after: Ids,
        /// By starting a program with the set-user-id bit, not by a call.
        by_exec: bool,
    },
    /// A signal that dumps memory, or crosses from one session to another.
    Signal {
        /// To whom.
        target: ProcessRef,
        /// Its number.
        number: u32,
    },
    /// The ground that the monitor stands on was changed.
    Host {
        /// What was changed.
        change: HostChange,
        /// A number that says more: command, type or flags.
        number: u64,
        /// A name that says more; any bytes.
        detail: ByteText,
        /// Where, for mounts.
        path: Option<PathLabel>,
        /// Whose login id.
        target: Option<ProcessRef>,
        /// Whether the kernel refused it on the agent's behalf.
        denied: bool,
    },
    /// A login was bound.
    SessionOpened {
        /// The session.
        session: Box<Session>,
    },
    /// A session's last process is gone.
    SessionEnded {
        /// The session.
        session: SessionId,
    },
    /// Something else says otherwise than the mark whose a process is. The
    /// event's attribution is the mark's side.
    Contradiction {
        /// The process.
        process: ProcessRef,
        /// What contradicts.
        evidence: Evidence,
        /// Its value: a session of the audit system, a control group, a terminal.
        value: ByteText,
        /// Whose the process is by that; none where it is nobody's known.
        says: Option<SessionId>,
    },
    /// A login is over, and processes of it live on.
    Survivors {
        /// The session.
        session: SessionId,
        /// The oldest of them, [`SURVIVORS_MAX`] at most.
        processes: Vec<ProcessRef>,
        /// How many there are.
        total: u32,
    },
    /// Work that somebody handed over began: a cron job, a unit. The event's
    /// attribution says whose it is, and its way how that is known.
    JobStarted {
        /// Its name; also the mark that its processes carry in the kernel.
        job: SessionId,
        /// Its first process.
        leader: ProcessRef,
    },
    /// The last process of such work is gone.
    JobEnded {
        /// Its name.
        job: SessionId,
    },
    /// A login was refused by the agent.
    LoginRefused {
        /// The account asked for.
        account: String,
        /// Who the certificate names, unverified.
        principal: Option<PrincipalId>,
        /// The certificate's serial.
        serial: Option<u64>,
        /// Why.
        reason: String,
    },
    /// A session was contained.
    Contained {
        /// What was done.
        receipt: Receipt,
    },
    /// Sequence numbers are missing.
    Gap {
        /// The stream.
        source: Source,
        /// First missing number.
        first: u64,
        /// Last missing number.
        last: u64,
        /// Why.
        cause: GapCause,
    },
    /// The kernel's programs could not tell all of what they should.
    Impaired {
        /// Why: `not_run`, the name of a fault of the programs, or `spool_damaged`
        /// (`docs/reference/output.md`).
        reason: String,
        /// The program that the kernel did not run; none for another reason.
        program: Option<String>,
        /// How often, at most, since it was last told.
        times: u64,
        /// How often, at most, since the probes were loaded.
        total: u64,
    },
    /// The agent began to watch.
    AgentStarted {
        /// Its version.
        version: String,
        /// The kernel's release.
        kernel: String,
        /// Whether it took over probes that were already running.
        resumed: bool,
        /// What it can see.
        hooks: Vec<HookState>,
    },
    /// A person was shown what this ledger holds. The event's attribution names
    /// the ledger's tenant.
    Read {
        /// Who.
        by: Caller,
        /// The call, as the contract names it: `Search`, `ListSessions`...
        call: String,
        /// What was asked, as JSON, [`QUESTION_BYTES_MAX`] at most; empty where
        /// it is withheld.
        question: String,
        /// Whether the question was cut.
        question_truncated: bool,
        /// The tenants that the question is of; empty where it is of all, names
        /// others beside those, or was cut.
        tenants: Vec<TenantId>,
        /// The first time.
        first_at: UnixNs,
        /// The last time.
        last_at: UnixNs,
        /// How often; 1 for what is told by itself.
        times: u64,
        /// At the end of a stream: how many items of this ledger were sent.
        items: Option<u64>,
    },
    /// Content of this ledger was removed; its hashes stay.
    Removed {
        /// First position.
        first: u64,
        /// Last position.
        last: u64,
        /// Why.
        reason: RemovalReason,
        /// What the tenant's contract says of it, in words.
        contract: String,
        /// Records among them that a legal hold kept.
        held_back: u64,
    },
    /// Something became of a revocation order that concerns this ledger's tenant.
    Order {
        /// What.
        entry: Box<OrderEntry>,
    },
}

impl Action {
    /// The kind's name in filters, metrics and JSON.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Exec { .. } => Kind::Exec,
            Self::Fork { .. } => Kind::Fork,
            Self::Exit { .. } => Kind::Exit,
            Self::Connect { .. } => Kind::Connect,
            Self::Credential { .. } => Kind::Credential,
            Self::LocalConnect { .. } => Kind::LocalConnect,
            Self::Socket { .. } => Kind::Socket,
            Self::Memory { .. } => Kind::Memory,
            Self::Identity { .. } => Kind::Identity,
            Self::Signal { .. } => Kind::Signal,
            Self::Host { .. } => Kind::Host,
            Self::SessionOpened { .. } => Kind::SessionOpened,
            Self::SessionEnded { .. } => Kind::SessionEnded,
            Self::Contradiction { .. } => Kind::Contradiction,
            Self::Survivors { .. } => Kind::Survivors,
            Self::JobStarted { .. } => Kind::JobStarted,
            Self::JobEnded { .. } => Kind::JobEnded,
            Self::LoginRefused { .. } => Kind::LoginRefused,
            Self::Contained { .. } => Kind::Contained,
            Self::Gap { .. } => Kind::Gap,
            Self::Impaired { .. } => Kind::Impaired,
            Self::AgentStarted { .. } => Kind::AgentStarted,
            Self::Read { .. } => Kind::Read,
            Self::Removed { .. } => Kind::Removed,
            Self::Order { .. } => Kind::Order,
        }
    }
}

/// Sixteen digits: many readers of JSON lose those of numbers beyond 2^53.
#[expect(clippy::ref_option, reason = "serde calls it so")]
fn hexadecimal<S: Serializer>(digest: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => serializer.collect_str(&format_args!("{digest:016x}")),
        None => serializer.serialize_none(),
    }
}

macro_rules! kinds {
    ($($variant:ident => $name:literal, $doc:literal;)*) => {
        /// The kinds of events, as filters name them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind { $(#[doc = $doc] $variant,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in filters, metrics and JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    Exec => "exec", "A program was started.";
    Fork => "fork", "A process was made.";
    Exit => "exit", "A process ended.";
    Connect => "connect", "A connection was tried.";
    Credential => "credential", "Something was done to a watched file.";
    LocalConnect => "local_connect", "A socket that does not speak IP was connected.";
    Socket => "socket", "A socket was made, bound, made to listen, or accepted.";
    Memory => "memory", "A process reached into another one's memory.";
    Identity => "identity", "A process changed its user or group.";
    Signal => "signal", "A signal dumps memory or crosses sessions.";
    Host => "host", "The ground that the monitor stands on was changed.";
    SessionOpened => "session_opened", "A login was bound.";
    SessionEnded => "session_ended", "A session's last process is gone.";
    Contradiction => "contradiction", "Something else says otherwise than the mark whose a process is.";
    Survivors => "survivors", "A login is over, and processes of it live on.";
    JobStarted => "job_started", "Work that somebody handed over began.";
    JobEnded => "job_ended", "The last process of handed-over work is gone.";
    LoginRefused => "login_refused", "A login was refused by the agent.";
    Contained => "contained", "A session was contained.";
    Gap => "gap", "Sequence numbers are missing.";
    Impaired => "impaired", "The kernel's programs could not tell all of what they should.";
    AgentStarted => "agent_started", "The agent began to watch.";
    Read => "read", "A person was shown what a ledger holds.";
    Removed => "removed", "Content of a ledger was removed.";
    Order => "order", "Something became of a revocation order.";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing that happened, attributed. Encoded once, by who tells it: an agent,
/// or the collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its name for ever.
    pub id: EventId,
    /// When the kernel's hook ran, by the host's real-time clock.
    pub at: UnixNs,
    /// The same in nanoseconds since boot: the order within a host; 0 for what
    /// the collector says.
    pub boot_ns: u64,
    /// Who acted; none for what the agent or the collector says of itself.
    pub process: Option<Process>,
    /// To whom it belongs.
    pub attribution: Attribution,
    /// What happened.
    pub action: Action,
}
