//! Events and what they hold.
//!
//! - `action`: what happened, kind by kind.

use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    event::{
        Attribution, Carrier, Destination, Event, Evidence, Expected, FileObject, GapCause,
        HookState, Lineage, NoSession, Operation, Process, Protocol, RemovalReason, Step,
    },
    id::{BootId, EventId, SessionId, Source},
};

use super::{
    InvalidMessage,
    wire::{
        address, address_bytes, closed_enum, id, id_opt, meaning, meaning_opt, name, name_opt,
        names, need, number, small, some_text, text_opt, texts,
    },
};
use crate::v1;

mod action;

closed_enum!(Carrier, v1::Carrier, "carrier", {
    JobFile => JobFile, Unit => Unit, SshHop => SshHop,
    Daemon => Daemon, Connection => Connection, Injection => Injection,
});
closed_enum!(Lineage, v1::Lineage, "lineage", {
    Kernel => Kernel, Linked => Linked, Inferred => Inferred, Unattributed => Unattributed,
});
closed_enum!(NoSession, v1::NoSession, "reason", {
    NoMark => NoMark, UnknownMark => UnknownMark, NoPrincipal => NoPrincipal, Workload => Workload,
    UnregisteredWorkload => UnregisteredWorkload, Ambiguous => Ambiguous,
});
closed_enum!(Expected, v1::Expected, "expected", {
    Program => Program, Person => Person, Injection => Injection,
});
closed_enum!(Operation, v1::Operation, "operation", {
    Read => Read,
    Write => Write,
    ReadWrite => ReadWrite,
    PathOnly => PathOnly,
    Execute => Execute,
    Received => Received,
    UsedElsewhere => UsedElsewhere,
    Mapped => Mapped,
    Created => Created,
    Truncated => Truncated,
    ModeChanged => ModeChanged,
    OwnerChanged => OwnerChanged,
    Renamed => Renamed,
    Linked => Linked,
    Symlinked => Symlinked,
    Removed => Removed,
    AttributesChanged => AttributesChanged,
    Connected => Connected,
});
closed_enum!(Evidence, v1::Evidence, "evidence", {
    AuditSession => AuditSession,
    ControlGroup => ControlGroup,
    Terminal => Terminal,
});

closed_enum!(GapCause, v1::GapCause, "cause", {
    RingFull => RingFull, Undecodable => Undecodable, SpoolFull => SpoolFull, Unexplained => Unexplained,
    SpoolDamaged => SpoolDamaged,
});

closed_enum!(RemovalReason, v1::RemovalReason, "reason", { Retention => Retention });

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
            Source::Collector => (v1::SourceKind::Collector, 0),
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
            Ok(v1::SourceKind::Collector) => Ok(Self::Collector),
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
            way,
        } = value;
        Self {
            session: session.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            principal: text_opt(principal.as_ref()),
            tenant: text_opt(tenant.as_ref()),
            grants: texts(grants),
            lineage: number::<v1::Lineage, _>(*lineage),
            reason: reason.map_or(0, number::<v1::NoSession, _>),
            way: way.iter().map(Into::into).collect(),
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
            way: value
                .way
                .into_iter()
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Step> for v1::HandoverStep {
    fn from(value: &Step) -> Self {
        let Step {
            carrier,
            name,
            at,
            session,
        } = value;
        Self {
            carrier: number::<v1::Carrier, _>(*carrier),
            name: name.0.clone(),
            at_unix_ns: at.map(|at| at.0),
            session: session.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::HandoverStep> for Step {
    type Error = InvalidMessage;
    fn try_from(value: v1::HandoverStep) -> Result<Self, InvalidMessage> {
        Ok(Self {
            carrier: meaning::<v1::Carrier, _>("way.carrier", value.carrier)?,
            name: ByteText(value.name),
            at: value.at_unix_ns.map(UnixNs),
            session: id_opt("way.session", &value.session, SessionId::from_slice)?,
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
