//! Sockets, memory, identities, signals, the host.

use monitor_model::{
    bytes::ByteText,
    event::{
        Action, HostChange, Ids, LocalAddress, MemoryAccess, ProcessRef, SocketAddress,
        SocketOperation,
    },
    id::SessionId,
};

use crate::{
    convert::{
        InvalidMessage,
        wire::{address, address_bytes, closed_enum, id_opt, meaning, need, number, small},
    },
    v1,
};

closed_enum!(SocketOperation, v1::SocketOperation, "socket.operation", {
    Created => Created,
    Bound => Bound,
    Listening => Listening,
    Accepted => Accepted,
});

closed_enum!(MemoryAccess, v1::MemoryMeans, "memory.means", {
    Attached => Attached,
    TracedByParent => TracedByParent,
    Environment => Environment,
    MemoryFile => MemoryFile,
});

closed_enum!(HostChange, v1::HostChangeKind, "host.change", {
    Bpf => Bpf,
    Perf => Perf,
    Module => Module,
    Mounted => Mounted,
    MountMoved => MountMoved,
    Unmounted => Unmounted,
    Pivoted => Pivoted,
    LoginUid => LoginUid,
    Kexec => Kexec,
    RevocationList => RevocationList,
});

/// The message of an action of this module's kinds.
#[expect(clippy::too_many_lines, reason = "one arm a kind of event")]
pub(super) fn message(value: &Action) -> v1::event::Action {
    use v1::event::Action as Message;
    match value {
        Action::LocalConnect {
            socket,
            object,
            peer,
            denied,
        } => Message::LocalConnect(v1::LocalConnect {
            socket: Some(socket.into()),
            object: object.as_ref().map(Into::into),
            peer: peer.as_ref().map(Into::into),
            denied: *denied,
        }),
        Action::Socket {
            operation,
            family,
            socket_type,
            protocol,
            local,
            peer,
            net_ns,
            denied,
        } => Message::Socket(v1::Socket {
            operation: number::<v1::SocketOperation, _>(*operation),
            family: u32::from(*family),
            socket_type: u32::from(*socket_type),
            protocol: u32::from(*protocol),
            local: local.as_ref().map(Into::into),
            peer: peer.as_ref().map(Into::into),
            net_ns: *net_ns,
            denied: *denied,
        }),
        Action::Memory {
            target,
            access,
            syscall,
            denied,
        } => Message::Memory(v1::MemoryAccess {
            target: Some(target.into()),
            means: number::<v1::MemoryMeans, _>(*access),
            syscall: *syscall,
            denied: *denied,
        }),
        Action::Identity {
            before,
            after,
            by_exec,
        } => Message::Identity(v1::IdentityChange {
            before: Some((*before).into()),
            after: Some((*after).into()),
            by_exec: *by_exec,
        }),
        Action::Signal { target, number } => Message::Signal(v1::Signal {
            target: Some(target.into()),
            number: *number,
        }),
        Action::Host {
            change,
            number: value,
            detail,
            path,
            target,
            denied,
        } => Message::Host(v1::HostChange {
            change: number::<v1::HostChangeKind, _>(*change),
            number: *value,
            detail: detail.0.clone(),
            path: path.as_ref().map(Into::into),
            target: target.as_ref().map(Into::into),
            denied: *denied,
        }),
        Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::Connect { .. }
        | Action::Credential { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => value.into(),
    }
}

impl TryFrom<v1::LocalConnect> for Action {
    type Error = InvalidMessage;
    fn try_from(value: v1::LocalConnect) -> Result<Self, InvalidMessage> {
        Ok(Self::LocalConnect {
            socket: need("local_connect.socket", value.socket)?.try_into()?,
            object: value.object.map(TryInto::try_into).transpose()?,
            peer: value.peer.map(TryInto::try_into).transpose()?,
            denied: value.denied,
        })
    }
}

impl TryFrom<v1::Socket> for Action {
    type Error = InvalidMessage;
    fn try_from(value: v1::Socket) -> Result<Self, InvalidMessage> {
        Ok(Self::Socket {
            operation: meaning::<v1::SocketOperation, _>("socket.operation", value.operation)?,
            family: small("socket.family", value.family)?,
            socket_type: small("socket.socket_type", value.socket_type)?,
            protocol: small("socket.protocol", value.protocol)?,
            local: value.local.map(TryInto::try_into).transpose()?,
            peer: value.peer.map(TryInto::try_into).transpose()?,
            net_ns: value.net_ns,
            denied: value.denied,
        })
    }
}

impl TryFrom<v1::MemoryAccess> for Action {
    type Error = InvalidMessage;
    fn try_from(value: v1::MemoryAccess) -> Result<Self, InvalidMessage> {
        Ok(Self::Memory {
            target: need("memory.target", value.target)?.try_into()?,
            access: meaning::<v1::MemoryMeans, _>("memory.means", value.means)?,
            syscall: value.syscall,
            denied: value.denied,
        })
    }
}

impl TryFrom<v1::IdentityChange> for Action {
    type Error = InvalidMessage;
    fn try_from(value: v1::IdentityChange) -> Result<Self, InvalidMessage> {
        Ok(Self::Identity {
            before: need("identity.before", value.before)?.into(),
            after: need("identity.after", value.after)?.into(),
            by_exec: value.by_exec,
        })
    }
}

impl TryFrom<v1::Signal> for Action {
    type Error = InvalidMessage;
    fn try_from(value: v1::Signal) -> Result<Self, InvalidMessage> {
        Ok(Self::Signal {
            target: need("signal.target", value.target)?.try_into()?,
            number: value.number,
        })
    }
}

impl TryFrom<v1::HostChange> for Action {
    type Error = InvalidMessage;
    fn try_from(value: v1::HostChange) -> Result<Self, InvalidMessage> {
        Ok(Self::Host {
            change: meaning::<v1::HostChangeKind, _>("host.change", value.change)?,
            number: value.number,
            detail: ByteText(value.detail),
            path: value.path.map(Into::into),
            target: value.target.map(TryInto::try_into).transpose()?,
            denied: value.denied,
        })
    }
}

impl From<&ProcessRef> for v1::ProcessRef {
    fn from(value: &ProcessRef) -> Self {
        let ProcessRef {
            pid,
            start_boot_ns,
            session,
            holds_credentials,
            exe,
        } = value;
        Self {
            pid: *pid,
            start_boot_ns: *start_boot_ns,
            session: session.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            holds_credentials: *holds_credentials,
            exe: exe.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::ProcessRef> for ProcessRef {
    type Error = InvalidMessage;
    fn try_from(value: v1::ProcessRef) -> Result<Self, InvalidMessage> {
        Ok(Self {
            pid: value.pid,
            start_boot_ns: value.start_boot_ns,
            session: id_opt("process.session", &value.session, SessionId::from_slice)?,
            holds_credentials: value.holds_credentials,
            exe: value.exe.map(Into::into),
        })
    }
}

impl From<&LocalAddress> for v1::LocalAddress {
    fn from(value: &LocalAddress) -> Self {
        use v1::local_address::Address;
        let address = match value {
            LocalAddress::Unix { path } => Address::UnixPath(path.0.clone()),
            LocalAddress::Abstract { name } => Address::UnixAbstract(name.0.clone()),
            LocalAddress::Vsock { cid, port } => Address::Vsock(v1::VsockAddress {
                cid: *cid,
                port: *port,
            }),
            LocalAddress::Fifo {
                name,
                reads,
                writes,
            } => Address::Fifo(v1::Fifo {
                name: name.0.clone(),
                reads: *reads,
                writes: *writes,
            }),
            LocalAddress::Terminal { name } => Address::Terminal(name.0.clone()),
            LocalAddress::Other { number } => Address::OtherFamily(u32::from(*number)),
        };
        Self {
            address: Some(address),
        }
    }
}

impl TryFrom<v1::LocalAddress> for LocalAddress {
    type Error = InvalidMessage;
    fn try_from(value: v1::LocalAddress) -> Result<Self, InvalidMessage> {
        use v1::local_address::Address;
        Ok(match need("local_address.address", value.address)? {
            Address::UnixPath(path) => Self::Unix {
                path: ByteText(path),
            },
            Address::UnixAbstract(name) => Self::Abstract {
                name: ByteText(name),
            },
            Address::Vsock(vsock) => Self::Vsock {
                cid: vsock.cid,
                port: vsock.port,
            },
            Address::Fifo(v1::Fifo {
                name,
                reads,
                writes,
            }) => Self::Fifo {
                name: ByteText(name),
                reads,
                writes,
            },
            Address::Terminal(name) => Self::Terminal {
                name: ByteText(name),
            },
            Address::OtherFamily(number) => Self::Other {
                number: small("local_address.other_family", number)?,
            },
        })
    }
}

impl From<&SocketAddress> for v1::SocketAddress {
    fn from(value: &SocketAddress) -> Self {
        let SocketAddress { address, port } = value;
        Self {
            address: address_bytes(*address),
            port: u32::from(*port),
        }
    }
}

impl TryFrom<v1::SocketAddress> for SocketAddress {
    type Error = InvalidMessage;
    fn try_from(value: v1::SocketAddress) -> Result<Self, InvalidMessage> {
        Ok(Self {
            address: address("socket.address", &value.address)?,
            port: small("socket.port", value.port)?,
        })
    }
}

impl From<Ids> for v1::Ids {
    fn from(value: Ids) -> Self {
        let Ids { uid, euid, gid } = value;
        Self { uid, euid, gid }
    }
}

impl From<v1::Ids> for Ids {
    fn from(value: v1::Ids) -> Self {
        let v1::Ids { uid, euid, gid } = value;
        Self { uid, euid, gid }
    }
}
