//! Events and what they hold.

use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    event::{
        Action, Attribution, Destination, Event, FileObject, GapCause, HookState, Lineage,
        NoSession, OpenMode, Process, Protocol, Receipt,
    },
    id::{BootId, EventId, OrderId, SessionId, Source},
};

use super::{
    InvalidMessage,
    wire::{
        address, address_bytes, closed_enum, id, id_opt, meaning, meaning_opt, name, name_opt,
        names, need, number, small, some_text, text_opt, texts,
    },
};
use crate::v1;

closed_enum!(Lineage, v1::Lineage, "lineage", {
    Kernel => Kernel, Linked => Linked, Inferred => Inferred, Unattributed => Unattributed,
});
closed_enum!(NoSession, v1::NoSession, "reason", {
    NoMark => NoMark, UnknownMark => UnknownMark, NoPrincipal => NoPrincipal,
});
closed_enum!(OpenMode, v1::OpenMode, "mode", {
    Read => Read, Write => Write, ReadWrite => ReadWrite, PathOnly => PathOnly,
});
closed_enum!(GapCause, v1::GapCause, "cause", {
    RingFull => RingFull, Undecodable => Undecodable, SpoolFull => SpoolFull, Unexplained => Unexplained,
});

impl From<&Event> for v1::Event {
    fn from(value: &Event) -> Self {
        let Event {
            id,
            at,
            boot_ns,
            process,
            attribution,
            action,
        } = value;
        Self {
            id: Some(id.into()),
            at_unix_ns: at.0,
            boot_ns: *boot_ns,
            process: process.as_ref().map(Into::into),
            attribution: Some(attribution.into()),
            action: Some(action.into()),
        }
    }
}

impl TryFrom<v1::Event> for Event {
    type Error = InvalidMessage;
    fn try_from(value: v1::Event) -> Result<Self, InvalidMessage> {
        Ok(Self {
            id: need("event.id", value.id)?.try_into()?,
            at: UnixNs(value.at_unix_ns),
            boot_ns: value.boot_ns,
            process: value.process.map(Into::into),
            attribution: need("event.attribution", value.attribution)?.try_into()?,
            action: need("event.action", value.action)?.try_into()?,
        })
    }
}

impl From<&EventId> for v1::EventId {
    fn from(value: &EventId) -> Self {
        let EventId {
            agent,
            boot,
            source,
            sequence,
        } = value;
        Self {
            agent: agent.to_string(),
            boot: boot.to_bytes().to_vec(),
            source: Some((*source).into()),
            sequence: *sequence,
        }
    }
}

impl TryFrom<v1::EventId> for EventId {
    type Error = InvalidMessage;
    fn try_from(value: v1::EventId) -> Result<Self, InvalidMessage> {
        Ok(Self {
            agent: name("id.agent", &value.agent)?,
            boot: id("id.boot", &value.boot, BootId::from_slice)?,
            source: need("id.source", value.source)?.try_into()?,
            sequence: value.sequence,
        })
    }
}

impl From<Source> for v1::Source {
    fn from(value: Source) -> Self {
        let (kind, cpu) = match value {
            Source::Priority { cpu } => (v1::SourceKind::Priority, cpu),
            Source::Bulk { cpu } => (v1::SourceKind::Bulk, cpu),
            Source::Agent => (v1::SourceKind::Agent, 0),
        };
        Self {
            kind: kind.into(),
            cpu: cpu.into(),
        }
    }
}

impl TryFrom<v1::Source> for Source {
    type Error = InvalidMessage;
    fn try_from(value: v1::Source) -> Result<Self, InvalidMessage> {
        let cpu = small("source.cpu", value.cpu)?;
        match v1::SourceKind::try_from(value.kind) {
            Ok(v1::SourceKind::Priority) => Ok(Self::Priority { cpu }),
            Ok(v1::SourceKind::Bulk) => Ok(Self::Bulk { cpu }),
            Ok(v1::SourceKind::Agent) => Ok(Self::Agent),
            Ok(v1::SourceKind::Unspecified) | Err(_) => Err(InvalidMessage::Enum {
                field: "source.kind",
                value: value.kind,
            }),
        }
    }
}

impl From<&Process> for v1::Process {
    fn from(value: &Process) -> Self {
        let Process {
            pid,
            tid,
            parent_pid,
            start_boot_ns,
            uid,
            euid,
            gid,
            login_uid,
            audit_session,
            cgroup_id,
            net_ns,
            mount_ns,
            pid_ns,
            comm,
            exe,
        } = value;
        Self {
            pid: *pid,
            tid: *tid,
            parent_pid: *parent_pid,
            start_boot_ns: *start_boot_ns,
            uid: *uid,
            euid: *euid,
            gid: *gid,
            login_uid: *login_uid,
            audit_session: *audit_session,
            cgroup_id: *cgroup_id,
            net_ns: *net_ns,
            mount_ns: *mount_ns,
            pid_ns: *pid_ns,
            comm: comm.0.clone(),
            exe: exe.as_ref().map(Into::into),
        }
    }
}

impl From<v1::Process> for Process {
    fn from(value: v1::Process) -> Self {
        Self {
            pid: value.pid,
            tid: value.tid,
            parent_pid: value.parent_pid,
            start_boot_ns: value.start_boot_ns,
            uid: value.uid,
            euid: value.euid,
            gid: value.gid,
            login_uid: value.login_uid,
            audit_session: value.audit_session,
            cgroup_id: value.cgroup_id,
            net_ns: value.net_ns,
            mount_ns: value.mount_ns,
            pid_ns: value.pid_ns,
            comm: ByteText(value.comm),
            exe: value.exe.map(Into::into),
        }
    }
}

impl From<&PathLabel> for v1::PathLabel {
    fn from(value: &PathLabel) -> Self {
        let PathLabel { text, truncated } = value;
        Self {
            text: text.0.clone(),
            truncated: *truncated,
        }
    }
}

impl From<v1::PathLabel> for PathLabel {
    fn from(value: v1::PathLabel) -> Self {
        Self {
            text: ByteText(value.text),
            truncated: value.truncated,
        }
    }
}

impl From<&FileObject> for v1::FileObject {
    fn from(value: &FileObject) -> Self {
        let FileObject {
            device,
            inode,
            generation,
            path,
        } = value;
        Self {
            device: *device,
            inode: *inode,
            generation: *generation,
            path: Some(path.into()),
        }
    }
}

impl TryFrom<v1::FileObject> for FileObject {
    type Error = InvalidMessage;
    fn try_from(value: v1::FileObject) -> Result<Self, InvalidMessage> {
        Ok(Self {
            device: value.device,
            inode: value.inode,
            generation: value.generation,
            path: need("object.path", value.path)?.into(),
        })
    }
}

impl From<&Attribution> for v1::Attribution {
    fn from(value: &Attribution) -> Self {
        let Attribution {
            session,
            principal,
            tenant,
            grants,
            lineage,
            reason,
        } = value;
        Self {
            session: session.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            principal: text_opt(principal.as_ref()),
            tenant: text_opt(tenant.as_ref()),
            grants: texts(grants),
            lineage: number::<v1::Lineage, _>(*lineage),
            reason: reason.map_or(0, number::<v1::NoSession, _>),
        }
    }
}

impl TryFrom<v1::Attribution> for Attribution {
    type Error = InvalidMessage;
    fn try_from(value: v1::Attribution) -> Result<Self, InvalidMessage> {
        Ok(Self {
            session: id_opt("attribution.session", &value.session, SessionId::from_slice)?,
            principal: name_opt("attribution.principal", &value.principal)?,
            tenant: name_opt("attribution.tenant", &value.tenant)?,
            grants: names("attribution.grants", &value.grants)?,
            lineage: meaning::<v1::Lineage, _>("attribution.lineage", value.lineage)?,
            reason: meaning_opt::<v1::NoSession, _>("attribution.reason", value.reason)?,
        })
    }
}

impl From<&Destination> for v1::Destination {
    fn from(value: &Destination) -> Self {
        let Destination {
            address,
            port,
            protocol,
            interface,
            interface_index,
            net_ns,
            net_ns_name,
            mark,
        } = value;
        Self {
            address: address_bytes(*address),
            port: u32::from(*port),
            protocol: u32::from(protocol.number()),
            interface: interface.clone().unwrap_or_default(),
            interface_index: *interface_index,
            net_ns: *net_ns,
            net_ns_name: net_ns_name.clone().unwrap_or_default(),
            mark: *mark,
        }
    }
}

impl TryFrom<v1::Destination> for Destination {
    type Error = InvalidMessage;
    fn try_from(value: v1::Destination) -> Result<Self, InvalidMessage> {
        let protocol = u8::try_from(value.protocol).map_err(|_| InvalidMessage::Range {
            field: "destination.protocol",
            value: value.protocol.into(),
            max: u8::MAX.into(),
        })?;
        Ok(Self {
            address: address("destination.address", &value.address)?,
            port: small("destination.port", value.port)?,
            protocol: Protocol::from_number(protocol),
            interface: some_text(value.interface),
            interface_index: value.interface_index,
            net_ns: value.net_ns,
            net_ns_name: some_text(value.net_ns_name),
            mark: value.mark,
        })
    }
}

impl From<&Receipt> for v1::Receipt {
    fn from(value: &Receipt) -> Self {
        let Receipt {
            order,
            session,
            killed,
            left,
            received_at,
            denied_at,
            gone_at,
        } = value;
        Self {
            order: order.to_bytes().to_vec(),
            session: session.to_bytes().to_vec(),
            killed: *killed,
            left: *left,
            received_at_unix_ns: received_at.0,
            denied_at_unix_ns: denied_at.0,
            gone_at_unix_ns: gone_at.map(|at| at.0),
        }
    }
}

impl TryFrom<v1::Receipt> for Receipt {
    type Error = InvalidMessage;
    fn try_from(value: v1::Receipt) -> Result<Self, InvalidMessage> {
        Ok(Self {
            order: id("receipt.order", &value.order, OrderId::from_slice)?,
            session: id("receipt.session", &value.session, SessionId::from_slice)?,
            killed: value.killed,
            left: value.left,
            received_at: UnixNs(value.received_at_unix_ns),
            denied_at: UnixNs(value.denied_at_unix_ns),
            gone_at: value.gone_at_unix_ns.map(UnixNs),
        })
    }
}

impl From<&HookState> for v1::HookState {
    fn from(value: &HookState) -> Self {
        let HookState {
            family,
            tier,
            unseen,
        } = value;
        Self {
            family: family.clone(),
            tier: tier.clone().unwrap_or_default(),
            unseen: unseen.clone(),
        }
    }
}

impl From<v1::HookState> for HookState {
    fn from(value: v1::HookState) -> Self {
        Self {
            family: value.family,
            tier: some_text(value.tier),
            unseen: value.unseen,
        }
    }
}

impl From<&Action> for v1::event::Action {
    fn from(value: &Action) -> Self {
        match value {
            Action::Exec {
                exe,
                argv,
                argv_bytes,
                argv_truncated,
                redacted,
            } => Self::Exec(v1::Exec {
                exe: Some(exe.into()),
                argv: argv.iter().map(|argument| argument.0.clone()).collect(),
                argv_bytes: *argv_bytes,
                argv_truncated: *argv_truncated,
                redacted: *redacted,
            }),
            Action::Fork {
                child_pid,
                child_start_boot_ns,
            } => Self::Fork(v1::Fork {
                child_pid: *child_pid,
                child_start_boot_ns: *child_start_boot_ns,
            }),
            Action::Exit { status } => Self::Exit(v1::Exit { status: *status }),
            Action::Connect {
                destination,
                denied,
            } => Self::Connect(v1::Connect {
                destination: Some(destination.into()),
                denied: *denied,
            }),
            Action::Credential {
                object,
                class,
                tenant,
                tier,
                mode,
                flags,
            } => Self::Credential(v1::CredentialAccess {
                object: Some(object.into()),
                class: class.clone(),
                tenant: text_opt(tenant.as_ref()),
                mode: number::<v1::OpenMode, _>(*mode),
                flags: *flags,
                tier: tier.map_or(0, number::<v1::Tier, _>),
            }),
            Action::SessionOpened { .. }
            | Action::SessionEnded { .. }
            | Action::LoginRefused { .. }
            | Action::Contained { .. }
            | Action::Gap { .. }
            | Action::AgentStarted { .. } => about_agent(value),
        }
    }
}

/// Actions of sessions and of the agent itself.
fn about_agent(value: &Action) -> v1::event::Action {
    use v1::event::Action as Message;
    match value {
        Action::SessionOpened { session } => Message::SessionOpened(v1::SessionOpened {
            session: Some(session.as_ref().into()),
        }),
        Action::SessionEnded { session } => Message::SessionEnded(v1::SessionEnded {
            session: session.to_bytes().to_vec(),
        }),
        Action::LoginRefused {
            account,
            principal,
            serial,
            reason,
        } => Message::LoginRefused(v1::LoginRefused {
            account: account.clone(),
            principal: text_opt(principal.as_ref()),
            serial: *serial,
            reason: reason.clone(),
        }),
        Action::Contained { receipt } => Message::Contained(v1::Contained {
            receipt: Some(receipt.into()),
        }),
        Action::Gap {
            source,
            first,
            last,
            cause,
        } => Message::Gap(v1::Gap {
            source: Some((*source).into()),
            first: *first,
            last: *last,
            cause: number::<v1::GapCause, _>(*cause),
        }),
        Action::AgentStarted {
            version,
            kernel,
            resumed,
            hooks,
        } => Message::AgentStarted(v1::AgentStarted {
            version: version.clone(),
            kernel: kernel.clone(),
            resumed: *resumed,
            hooks: hooks.iter().map(Into::into).collect(),
        }),
        Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::Connect { .. }
        | Action::Credential { .. } => value.into(),
    }
}

impl TryFrom<v1::event::Action> for Action {
    type Error = InvalidMessage;
    fn try_from(value: v1::event::Action) -> Result<Self, InvalidMessage> {
        use v1::event::Action as Message;
        Ok(match value {
            Message::Exec(exec) => Self::Exec {
                exe: need("exec.exe", exec.exe)?.try_into()?,
                argv: exec.argv.into_iter().map(ByteText).collect(),
                argv_bytes: exec.argv_bytes,
                argv_truncated: exec.argv_truncated,
                redacted: exec.redacted,
            },
            Message::Fork(fork) => Self::Fork {
                child_pid: fork.child_pid,
                child_start_boot_ns: fork.child_start_boot_ns,
            },
            Message::Exit(exit) => Self::Exit {
                status: exit.status,
            },
            Message::Connect(connect) => Self::Connect {
                destination: need("connect.destination", connect.destination)?.try_into()?,
                denied: connect.denied,
            },
            Message::Credential(access) => Self::Credential {
                object: need("credential.object", access.object)?.try_into()?,
                class: access.class,
                tenant: name_opt("credential.tenant", &access.tenant)?,
                tier: meaning_opt::<v1::Tier, _>("credential.tier", access.tier)?,
                mode: meaning::<v1::OpenMode, _>("credential.mode", access.mode)?,
                flags: access.flags,
            },
            Message::SessionOpened(opened) => Self::SessionOpened {
                session: Box::new(need("session_opened.session", opened.session)?.try_into()?),
            },
            Message::SessionEnded(ended) => Self::SessionEnded {
                session: id(
                    "session_ended.session",
                    &ended.session,
                    SessionId::from_slice,
                )?,
            },
            Message::LoginRefused(refused) => Self::LoginRefused {
                account: refused.account,
                principal: name_opt("login_refused.principal", &refused.principal)?,
                serial: refused.serial,
                reason: refused.reason,
            },
            Message::Contained(contained) => Self::Contained {
                receipt: need("contained.receipt", contained.receipt)?.try_into()?,
            },
            Message::Gap(gap) => Self::Gap {
                source: need("gap.source", gap.source)?.try_into()?,
                first: gap.first,
                last: gap.last,
                cause: meaning::<v1::GapCause, _>("gap.cause", gap.cause)?,
            },
            Message::AgentStarted(started) => Self::AgentStarted {
                version: started.version,
                kernel: started.kernel,
                resumed: started.resumed,
                hooks: started.hooks.into_iter().map(Into::into).collect(),
            },
        })
    }
}
