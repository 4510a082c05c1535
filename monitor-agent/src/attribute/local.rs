//! Records of sockets, memory, identities and the host, word by word.

use monitor_common::{
    Change, Credential, Identity, LocalConnect, MemoryAccess as Means, Operation as Done, Socket,
    SocketOperation as OnSocket,
};
use monitor_model::{
    bytes::ByteText,
    clock::UnixNs,
    event::{
        Action, Counted, HostChange, Ids, LocalAddress, MemoryAccess, Operation, SocketAddress,
        SocketOperation,
    },
};

use crate::kernel::TimeOffset;

const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;
const VSOCK: u16 = 40;

/// The first bytes of a field, as many as it says to hold.
pub(super) fn text(field: &[u8], bytes: u32) -> ByteText {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    ByteText(field.get(..bytes).unwrap_or(field).to_vec())
}

/// How many acts a record stands for.
pub(super) fn counted(credential: &Credential, offset: TimeOffset) -> Option<Counted> {
    (credential.count > 1).then(|| Counted {
        acts: credential.count,
        first_at: UnixNs(u64::try_from(offset.unix_ns(credential.first_boot_ns)).unwrap_or(0)),
    })
}

/// What was done to a watched file. Numbers that this agent does not know were
/// refused with the record's version.
pub(super) fn operation(credential: &Credential) -> Operation {
    match credential.operation {
        Done::EXECUTED => Operation::Execute,
        Done::RECEIVED => Operation::Received,
        Done::USED_ELSEWHERE => Operation::UsedElsewhere,
        Done::MAPPED => Operation::Mapped,
        Done::CREATED => Operation::Created,
        Done::TRUNCATED => Operation::Truncated,
        Done::MODE_CHANGED => Operation::ModeChanged,
        Done::OWNER_CHANGED => Operation::OwnerChanged,
        Done::RENAMED => Operation::Renamed,
        Done::LINKED => Operation::Linked,
        Done::SYMLINKED => Operation::Symlinked,
        Done::REMOVED => Operation::Removed,
        Done::ATTRIBUTES_CHANGED => Operation::AttributesChanged,
        _ => Operation::of_open(credential.open_flags),
    }
}

pub(super) fn name(connect: &LocalConnect) -> ByteText {
    text(&connect.name, u32::from(connect.name_bytes))
}

pub(super) fn address(connect: &LocalConnect, name: ByteText) -> LocalAddress {
    let has = |flag| connect.flags & flag != 0;
    match connect.family {
        _ if has(LocalConnect::TERMINAL) => LocalAddress::Terminal { name },
        _ if has(LocalConnect::FIFO) => LocalAddress::Fifo {
            name,
            reads: has(LocalConnect::READS),
            writes: has(LocalConnect::WRITES),
        },
        UNIX if connect.flags & LocalConnect::ABSTRACT != 0 => LocalAddress::Abstract { name },
        UNIX => LocalAddress::Unix { path: name },
        VSOCK => LocalAddress::Vsock {
            cid: connect.cid,
            port: connect.port,
        },
        number => LocalAddress::Other { number },
    }
}

pub(super) fn socket(socket: &Socket) -> Action {
    let is_ip = matches!(socket.family, INET | INET6);
    let at = |bytes, port| {
        is_ip.then(|| SocketAddress {
            address: super::address(bytes),
            port,
        })
    };
    let operation = match socket.operation {
        OnSocket::CREATED => SocketOperation::Created,
        OnSocket::BOUND => SocketOperation::Bound,
        OnSocket::LISTENING => SocketOperation::Listening,
        _ => SocketOperation::Accepted,
    };
    let is_made = operation == SocketOperation::Created;
    Action::Socket {
        operation,
        family: socket.family,
        socket_type: socket.socket_type,
        protocol: socket.protocol,
        local: at(socket.local_addr, socket.local_port).filter(|_| !is_made),
        peer: at(socket.peer_addr, socket.peer_port)
            .filter(|_| operation == SocketOperation::Accepted),
        net_ns: socket.netns,
        denied: socket.flags & Socket::DENIED != 0,
    }
}

pub(super) fn means(access: Means) -> MemoryAccess {
    match access {
        Means::TRACED_BY_PARENT => MemoryAccess::TracedByParent,
        Means::ENVIRONMENT => MemoryAccess::Environment,
        Means::MEMORY_FILE => MemoryAccess::MemoryFile,
        _ => MemoryAccess::Attached,
    }
}

pub(super) fn identity(identity: &Identity) -> Action {
    Action::Identity {
        before: Ids {
            uid: identity.uid_before,
            euid: identity.euid_before,
            gid: identity.gid_before,
        },
        after: Ids {
            uid: identity.uid_after,
            euid: identity.euid_after,
            gid: identity.gid_after,
        },
        by_exec: identity.flags & Identity::BY_EXEC != 0,
    }
}

pub(super) fn change(change: Change) -> HostChange {
    match change {
        Change::PERF => HostChange::Perf,
        Change::MODULE => HostChange::Module,
        Change::MOUNTED => HostChange::Mounted,
        Change::MOUNT_MOVED => HostChange::MountMoved,
        Change::UNMOUNTED => HostChange::Unmounted,
        Change::PIVOTED => HostChange::Pivoted,
        Change::LOGIN_UID => HostChange::LoginUid,
        Change::KEXEC => HostChange::Kexec,
        _ => HostChange::Bpf,
    }
}
