//! What stands out in an event, whatever was granted. Pure.
//!
//! Facts come from kernel objects. The one exception is [`Fact::Disguise`]: it
//! says that a string of the caller contradicts the object, and decides
//! nothing else. What [`facts`] finds is in the event alone; the facts that
//! need policy or grants are found by the judge, and stand in the judgement.

use serde::Serialize;

use super::{
    Action, Event, HookState, HostChange, Kind, MemoryAccess, ProcessRef, SocketOperation,
};
use crate::{bytes::ByteText, id::SessionId};

macro_rules! named_facts {
    ($($variant:ident => $name:literal, $doc:literal;)*) => {
        /// Something that stands out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Fact { $(#[doc = $doc] $variant,)* }

        impl Fact {
            /// Every fact.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in rules and JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

impl Fact {
    /// The kind of events that it stands out in.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Disguise => Kind::Exec,
            Self::MemoryOfHolder | Self::MemoryOfOtherSession | Self::EnvironmentOfOtherSession => {
                Kind::Memory
            }
            Self::DumpOfHolder | Self::SignalToOtherSession => Kind::Signal,
            Self::HostChanged
            | Self::KernelCode
            | Self::KernelProbe
            | Self::LoginIdChanged
            | Self::ListChanged => Kind::Host,
            Self::Listener | Self::RawSocket => Kind::Socket,
            Self::BlockDevice
            | Self::PassedDescriptor
            | Self::PersonUsesWorkload
            | Self::OutsideInjection => Kind::Credential,
            Self::BreakGlass => Kind::SessionOpened,
            Self::Blind => Kind::AgentStarted,
            Self::Impaired => Kind::Impaired,
            Self::Contradicted => Kind::Contradiction,
            Self::Survivors => Kind::Survivors,
        }
    }
}

named_facts! {
    Disguise => "disguise", "The program calls itself otherwise than the object that runs.";
    MemoryOfHolder => "memory_of_holder", "Memory of a process that opened a watched file.";
    MemoryOfOtherSession => "memory_of_other_session", "Memory of a process outside of the own session.";
    EnvironmentOfOtherSession => "environment_of_other_session", "The environment of a process outside of the own session: `ps` reads that of each.";
    DumpOfHolder => "dump_of_holder", "A signal that dumps the memory of a process that opened a watched file.";
    SignalToOtherSession => "signal_to_other_session", "A signal to a process of another session.";
    HostChanged => "host_changed", "A session changed the ground that the monitor stands on.";
    KernelCode => "kernel_code", "A session loaded a kernel module or another kernel.";
    KernelProbe => "kernel_probe", "A session used bpf or set a probe.";
    LoginIdChanged => "login_id_changed", "A session opened a login id of the audit system for writing.";
    ListChanged => "list_changed", "The revocation list that an agent or a broker keeps was changed by somebody else.";
    Listener => "listener", "A session made an IP or vsock socket that listens.";
    RawSocket => "raw_socket", "A session made a socket that sees or makes whole packets.";
    BlockDevice => "block_device", "A session opened a block device: all files on it can be read past the file system.";
    PassedDescriptor => "passed_descriptor", "A watched file was used through a descriptor from elsewhere.";
    OutsideInjection => "outside_injection", "A credential that the broker's programs alone hand out was used by another.";
    Blind => "blind", "An agent began to watch, and a family of its hooks sees nothing.";
    PersonUsesWorkload => "person_uses_workload", "A credential that is a workload's was used by somebody else; by the inventory.";
    BreakGlass => "break_glass", "A session was opened on a break-glass grant.";
    Impaired => "impaired", "The probes of a host could not tell all of what they should.";
    Contradicted => "contradicted", "Audit ids, control group or terminal of a process say otherwise than its mark.";
    Survivors => "survivors", "Processes of a login live on after it is over.";
}

/// Class that the agent gives to block devices.
pub const BLOCK_DEVICE_CLASS: &str = "block-device";

/// What stands out in an event by itself; empty for most.
#[must_use]
pub fn facts(event: &Event) -> Vec<Fact> {
    let session = event.attribution.session;
    let of_session = |fact: Option<Fact>| fact.filter(|_| session.is_some());
    let found = match &event.action {
        Action::Exec {
            exe,
            argv,
            given,
            interpreter,
            script,
            ..
        } => {
            let script = script.as_ref().map(|script| &script.path.text);
            let names = [given, interpreter, &exe.path.text];
            let names = names.into_iter().chain(script);
            let is_disguised = !is_nameless(&given.0) && is_disguised(argv, names);
            [is_disguised.then_some(Fact::Disguise), None]
        }
        Action::Memory { target, access, .. } => of_memory(target, *access, session),
        Action::Signal { target, number } => of_signal(target, *number, session),
        // The agent's own word: who did it is not known.
        Action::Host {
            change: HostChange::RevocationList,
            ..
        } => [Some(Fact::ListChanged), None],
        Action::Host { change, .. } => [
            of_session(Some(Fact::HostChanged)),
            of_session(kind_of_change(*change)),
        ],
        Action::Socket {
            operation,
            family,
            socket_type,
            ..
        } => [
            of_session(kind_of_socket(*operation, *family, *socket_type)),
            None,
        ],
        Action::Credential { .. } => of_credential(&event.action, session),
        Action::Impaired { .. } => [Some(Fact::Impaired), None],
        Action::Contradiction { .. } => [Some(Fact::Contradicted), None],
        Action::Survivors { .. } => [Some(Fact::Survivors), None],
        Action::AgentStarted { hooks, .. } => [is_blind(hooks).then_some(Fact::Blind), None],
        Action::LocalConnect { .. }
        | Action::Identity { .. }
        | Action::Connect { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => [None, None],
    };
    found.into_iter().flatten().collect()
}

fn of_credential(action: &Action, session: Option<SessionId>) -> [Option<Fact>; 2] {
    let Action::Credential {
        class,
        operation,
        injected,
        expected,
        ..
    } = action
    else {
        return [None, None];
    };
    let is_block = class == BLOCK_DEVICE_CLASS && session.is_some();
    let is_outside = *injected && expected.is_none();
    let is_passed = operation.is_from_elsewhere();
    [
        is_block
            .then_some(Fact::BlockDevice)
            .or(is_outside.then_some(Fact::OutsideInjection)),
        is_passed.then_some(Fact::PassedDescriptor),
    ]
}

fn of_signal(target: &ProcessRef, number: u32, session: Option<SessionId>) -> [Option<Fact>; 2] {
    let is_other = target.session.is_some() && target.session != session;
    [
        (target.holds_credentials && dumps(number)).then_some(Fact::DumpOfHolder),
        is_other.then_some(Fact::SignalToOtherSession),
    ]
}

/// Whether a family of hooks sees nothing.
fn is_blind(hooks: &[HookState]) -> bool {
    hooks.iter().any(|hook| hook.tier.is_none())
}

/// What a process opened is not in its environment, so that of who holds
/// credentials is like any other. A parent reads the caller's memory, and not
/// the caller the parent's.
fn of_memory(
    target: &ProcessRef,
    access: MemoryAccess,
    session: Option<SessionId>,
) -> [Option<Fact>; 2] {
    let is_outside = is_outside(target, session);
    let holds = target.holds_credentials.then_some(Fact::MemoryOfHolder);
    let other = is_outside.then_some(Fact::MemoryOfOtherSession);
    match access {
        MemoryAccess::Environment => [None, is_outside.then_some(Fact::EnvironmentOfOtherSession)],
        MemoryAccess::TracedByParent => [None, other],
        MemoryAccess::Attached | MemoryAccess::MemoryFile => [holds, other],
    }
}

/// Whether a process belongs to another session, or a session reaches for one
/// that belongs to none. Of a process that is not known nothing is said.
fn is_outside(target: &ProcessRef, session: Option<SessionId>) -> bool {
    let is_known = target.session.is_some() || target.start_boot_ns.is_some();
    is_known && target.session != session
}

const fn kind_of_change(change: HostChange) -> Option<Fact> {
    match change {
        HostChange::Module | HostChange::Kexec => Some(Fact::KernelCode),
        HostChange::Bpf | HostChange::Perf => Some(Fact::KernelProbe),
        HostChange::LoginUid => Some(Fact::LoginIdChanged),
        HostChange::RevocationList => Some(Fact::ListChanged),
        HostChange::Mounted
        | HostChange::MountMoved
        | HostChange::Unmounted
        | HostChange::Pivoted => None,
    }
}

/// By the numbers of Linux' `socket.h`. Unix sockets listen in every session,
/// and netlink sockets are of the raw type wherever `ip` is run.
const fn kind_of_socket(operation: SocketOperation, family: u16, kind: u16) -> Option<Fact> {
    const INET: u16 = 2;
    const INET6: u16 = 10;
    const PACKET: u16 = 17;
    const VSOCK: u16 = 40;
    const XDP: u16 = 44;
    const RAW: u16 = 3;
    match (operation, family) {
        (SocketOperation::Listening, INET | INET6 | VSOCK) => Some(Fact::Listener),
        (SocketOperation::Created, PACKET | XDP) => Some(Fact::RawSocket),
        (SocketOperation::Created, INET | INET6) if kind == RAW => Some(Fact::RawSocket),
        _ => None,
    }
}

/// Signals whose default action is to dump memory (signal(7)).
const fn dumps(signal: u32) -> bool {
    matches!(signal, 3 | 4 | 5 | 6 | 7 | 8 | 11 | 24 | 25 | 31)
}

/// Most bytes of a path as given that the kernel's programs keep: a longer one
/// has lost its last name.
const GIVEN_BYTES_MAX: usize = 1_024;

/// Whether the first argument names none of what was asked for, what the
/// script asked for, and what runs.
fn is_disguised<'a>(argv: &[ByteText], mut names: impl Iterator<Item = &'a ByteText>) -> bool {
    let Some(first) = argv.first() else {
        return false;
    };
    // A login shell's name begins with a dash (login(1)); that of a daemon that
    // is not to be killed at the end, and of the bus, with an at sign.
    let called = match first.0.as_slice() {
        [b'-' | b'@', rest @ ..] => rest,
        whole => whole,
    };
    // A title may follow the name: `sshd: ops [priv]`.
    let is_title = |byte: &u8| matches!(byte, b':' | b' ');
    let head = called.split(is_title).next().unwrap_or_default();
    !names.any(|name| {
        let its = base(&name.0);
        // A name with such a sign in it must stand there whole.
        let called = if name.0.iter().any(is_title) {
            called
        } else {
            head
        };
        !its.is_empty() && its == base(called)
    })
}

/// The part of a path after the last slash.
fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Whether a path as given has no name of the file in it: there is none, it was
/// cut off, or the path leads through the kernel to a file that is open or runs
/// (`/dev/fd/3`, `/proc/self/fd/3`, `/proc/self/exe`). What follows a
/// descriptor is a name again: `/dev/fd/3/cat`.
fn is_nameless(given: &[u8]) -> bool {
    let (directory, name) = match given.iter().rposition(|byte| *byte == b'/') {
        Some(at) => given.split_at(at),
        None => (&[][..], given),
    };
    let is_number = name.len() > 1 && name.iter().skip(1).all(u8::is_ascii_digit);
    let is_proc = directory.starts_with(b"/proc/");
    let is_descriptor = directory == b"/dev/fd" || is_proc && directory.ends_with(b"/fd");
    given.is_empty()
        || given.len() >= GIVEN_BYTES_MAX
        || is_descriptor && is_number
        || is_proc && name == b"/exe"
}

#[cfg(test)]
mod tests;
