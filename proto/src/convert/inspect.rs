//! A look at a session on its host.

use monitor_model::{
    bytes::ByteText,
    clock::UnixNs,
    id::SessionId,
    inspect::{
        ConnectionState, DESCRIPTORS_MAX, Descriptor, DescriptorKind, Namespace, NamespaceKind,
        NotShown, OpenCredential, OpenSocket, PROCESSES_MAX, ProcessState, SeenProcess, Snapshot,
        SocketProtocol, Stance,
    },
    live::ProcessKey,
};

use super::{
    InvalidMessage,
    wire::{
        closed_enum, id, id_opt, meaning, meaning_opt, name_opt, need, number, some_text, text_opt,
    },
};
use crate::v1;

closed_enum!(NotShown, v1::NotShown, "answer.not_shown", {
    Unknown => Unknown, Busy => Busy, Failed => Failed,
});
closed_enum!(Stance, v1::SessionStance, "snapshot.stance", {
    Open => Open, Contained => Contained, Frozen => Frozen, Killed => Killed,
});
closed_enum!(ProcessState, v1::ProcessState, "process.state", {
    Running => Running, Sleeping => Sleeping, Asleep => Asleep, Stopped => Stopped,
    Frozen => Frozen, Ended => Ended,
});
closed_enum!(NamespaceKind, v1::NamespaceKind, "namespace.kind", {
    Cgroup => Cgroup, Ipc => Ipc, Mount => Mount, Network => Network, Process => Process,
    Time => Time, User => User, Hostname => Hostname,
});
closed_enum!(DescriptorKind, v1::DescriptorKind, "descriptor.kind", {
    File => File, Directory => Directory, Link => Link, Socket => Socket, Pipe => Pipe,
    Fifo => Fifo, Device => Device, Anonymous => Anonymous,
});
closed_enum!(SocketProtocol, v1::SocketProtocol, "socket.protocol", {
    Tcp => Tcp, Udp => Udp, Unix => Unix, Other => Other,
});
closed_enum!(ConnectionState, v1::ConnectionState, "socket.state", {
    Established => Established, SynSent => SynSent, SynReceived => SynReceived,
    FinWait1 => FinWait1, FinWait2 => FinWait2, TimeWait => TimeWait, Closed => Closed,
    CloseWait => CloseWait, LastAck => LastAck, Listening => Listening, Closing => Closing,
});

/// A question's number, and the answer to it.
pub type Answered = (u64, Result<Snapshot, NotShown>);

impl From<&Result<Snapshot, NotShown>> for v1::inspect_answer::Answer {
    fn from(value: &Result<Snapshot, NotShown>) -> Self {
        match value {
            Ok(snapshot) => Self::Snapshot(snapshot.into()),
            Err(why) => Self::NotShown(number::<v1::NotShown, _>(*why)),
        }
    }
}

impl TryFrom<v1::InspectAnswer> for Answered {
    type Error = InvalidMessage;
    fn try_from(value: v1::InspectAnswer) -> Result<Self, InvalidMessage> {
        let v1::InspectAnswer { question, answer } = value;
        let answer = match need("answer", answer)? {
            v1::inspect_answer::Answer::Snapshot(snapshot) => Ok(snapshot.try_into()?),
            v1::inspect_answer::Answer::NotShown(why) => {
                Err(meaning::<v1::NotShown, _>("answer.not_shown", why)?)
            }
        };
        Ok((question, answer))
    }
}

impl From<&Snapshot> for v1::SessionSnapshot {
    fn from(value: &Snapshot) -> Self {
        let Snapshot {
            session,
            taken_at,
            stance,
            processes,
            more_processes,
        } = value;
        Self {
            session: session.to_bytes().to_vec(),
            taken_at_unix_ns: taken_at.0,
            stance: number::<v1::SessionStance, _>(*stance),
            processes: processes.iter().map(Into::into).collect(),
            more_processes: *more_processes,
        }
    }
}

impl TryFrom<v1::SessionSnapshot> for Snapshot {
    type Error = InvalidMessage;
    fn try_from(value: v1::SessionSnapshot) -> Result<Self, InvalidMessage> {
        at_most("snapshot.processes", value.processes.len(), PROCESSES_MAX)?;
        let held = value.processes.iter().map(|one| one.descriptors.len());
        at_most("process.descriptors", held.sum(), DESCRIPTORS_MAX)?;
        let processes = value.processes.into_iter().map(TryInto::try_into);
        Ok(Self {
            session: id("snapshot.session", &value.session, SessionId::from_slice)?,
            taken_at: UnixNs(value.taken_at_unix_ns),
            stance: meaning::<v1::SessionStance, _>("snapshot.stance", value.stance)?,
            processes: processes.collect::<Result<_, _>>()?,
            more_processes: value.more_processes,
        })
    }
}

impl From<&SeenProcess> for v1::SeenProcess {
    fn from(value: &SeenProcess) -> Self {
        let SeenProcess {
            key: ProcessKey { start_boot_ns, pid },
            started_at,
            parent_pid,
            job,
            threads,
            state,
            exe,
            arguments,
            ids,
            terminal,
            cwd,
            root,
            namespaces,
            descriptors,
            more_descriptors,
        } = value;
        Self {
            pid: *pid,
            start_boot_ns: *start_boot_ns,
            started_at_unix_ns: started_at.0,
            parent_pid: *parent_pid,
            job: job.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
            threads: *threads,
            state: number::<v1::ProcessState, _>(*state),
            exe: exe.as_ref().map(Into::into),
            arguments: arguments.as_ref().map(Into::into),
            ids: Some((*ids).into()),
            terminal: text_opt(terminal.as_ref()),
            cwd: cwd.as_ref().map(Into::into),
            root: root.as_ref().map(Into::into),
            namespaces: namespaces.iter().map(Into::into).collect(),
            descriptors: descriptors.iter().map(Into::into).collect(),
            more_descriptors: *more_descriptors,
        }
    }
}

impl TryFrom<v1::SeenProcess> for SeenProcess {
    type Error = InvalidMessage;
    fn try_from(value: v1::SeenProcess) -> Result<Self, InvalidMessage> {
        let namespaces = value.namespaces.into_iter().map(TryInto::try_into);
        let descriptors = value.descriptors.into_iter().map(TryInto::try_into);
        Ok(Self {
            key: ProcessKey {
                start_boot_ns: value.start_boot_ns,
                pid: value.pid,
            },
            started_at: UnixNs(value.started_at_unix_ns),
            parent_pid: value.parent_pid,
            job: id_opt("process.job", &value.job, SessionId::from_slice)?,
            threads: value.threads,
            state: meaning::<v1::ProcessState, _>("process.state", value.state)?,
            exe: value.exe.map(TryInto::try_into).transpose()?,
            arguments: value.arguments.map(Into::into),
            ids: need("process.ids", value.ids)?.into(),
            terminal: some_text(value.terminal),
            cwd: value.cwd.map(Into::into),
            root: value.root.map(Into::into),
            namespaces: namespaces.collect::<Result<_, _>>()?,
            descriptors: descriptors.collect::<Result<_, _>>()?,
            more_descriptors: value.more_descriptors,
        })
    }
}

impl From<&Namespace> for v1::SeenNamespace {
    fn from(value: &Namespace) -> Self {
        let Namespace { kind, inode } = value;
        Self {
            kind: number::<v1::NamespaceKind, _>(*kind),
            inode: *inode,
        }
    }
}

impl TryFrom<v1::SeenNamespace> for Namespace {
    type Error = InvalidMessage;
    fn try_from(value: v1::SeenNamespace) -> Result<Self, InvalidMessage> {
        Ok(Self {
            kind: meaning::<v1::NamespaceKind, _>("namespace.kind", value.kind)?,
            inode: value.inode,
        })
    }
}

impl From<&Descriptor> for v1::OpenDescriptor {
    fn from(value: &Descriptor) -> Self {
        let Descriptor {
            number: place,
            kind,
            object,
            reads,
            writes,
            credential,
            socket,
        } = value;
        Self {
            number: *place,
            kind: number::<v1::DescriptorKind, _>(*kind),
            object: Some(object.into()),
            reads: *reads,
            writes: *writes,
            credential: credential.as_ref().map(Into::into),
            socket: socket.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::OpenDescriptor> for Descriptor {
    type Error = InvalidMessage;
    fn try_from(value: v1::OpenDescriptor) -> Result<Self, InvalidMessage> {
        Ok(Self {
            number: value.number,
            kind: meaning::<v1::DescriptorKind, _>("descriptor.kind", value.kind)?,
            object: need("descriptor.object", value.object)?.try_into()?,
            reads: value.reads,
            writes: value.writes,
            credential: value.credential.map(TryInto::try_into).transpose()?,
            socket: value.socket.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&OpenCredential> for v1::OpenCredential {
    fn from(value: &OpenCredential) -> Self {
        let OpenCredential {
            class,
            tenant,
            tier,
        } = value;
        Self {
            class: class.clone(),
            tenant: text_opt(tenant.as_ref()),
            tier: tier.map_or(0, number::<v1::Tier, _>),
        }
    }
}

impl TryFrom<v1::OpenCredential> for OpenCredential {
    type Error = InvalidMessage;
    fn try_from(value: v1::OpenCredential) -> Result<Self, InvalidMessage> {
        Ok(Self {
            class: value.class,
            tenant: name_opt("credential.tenant", &value.tenant)?,
            tier: meaning_opt::<v1::Tier, _>("credential.tier", value.tier)?,
        })
    }
}

impl From<&OpenSocket> for v1::OpenSocket {
    fn from(value: &OpenSocket) -> Self {
        let OpenSocket {
            protocol,
            state,
            local,
            peer,
            name,
        } = value;
        Self {
            protocol: number::<v1::SocketProtocol, _>(*protocol),
            state: state.map_or(0, number::<v1::ConnectionState, _>),
            local: local.as_ref().map(Into::into),
            peer: peer.as_ref().map(Into::into),
            name: name.0.clone(),
        }
    }
}

impl TryFrom<v1::OpenSocket> for OpenSocket {
    type Error = InvalidMessage;
    fn try_from(value: v1::OpenSocket) -> Result<Self, InvalidMessage> {
        Ok(Self {
            protocol: meaning::<v1::SocketProtocol, _>("socket.protocol", value.protocol)?,
            state: meaning_opt::<v1::ConnectionState, _>("socket.state", value.state)?,
            local: value.local.map(TryInto::try_into).transpose()?,
            peer: value.peer.map(TryInto::try_into).transpose()?,
            name: ByteText(value.name),
        })
    }
}

fn at_most(field: &'static str, found: usize, most: usize) -> Result<(), InvalidMessage> {
    if found <= most {
        return Ok(());
    }
    let wide = |number| u64::try_from(number).unwrap_or(u64::MAX);
    Err(InvalidMessage::Range {
        field,
        value: wide(found),
        max: wide(most),
    })
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        bytes::PathLabel,
        event::{FileObject, Ids, SocketAddress},
        grant::Tier,
        live::Arguments,
    };

    use super::*;

    fn object(path: &str) -> FileObject {
        FileObject {
            device: 8,
            inode: 42,
            generation: 3,
            path: PathLabel {
                text: path.into(),
                truncated: true,
            },
        }
    }

    fn address(text: &str) -> SocketAddress {
        SocketAddress {
            address: text.parse().unwrap(),
            port: 22,
        }
    }

    fn process() -> SeenProcess {
        SeenProcess {
            key: ProcessKey {
                start_boot_ns: 70,
                pid: 7,
            },
            started_at: UnixNs(9),
            parent_pid: 6,
            job: Some(SessionId::from_parts(UnixNs(4_000_000), 5)),
            threads: 3,
            state: ProcessState::Frozen,
            exe: Some(object("/usr/bin/ssh")),
            arguments: Some(Arguments {
                argv: vec!["ssh".into(), ByteText(vec![0xff])],
                truncated: true,
                redacted: 1,
            }),
            ids: Ids {
                uid: 1000,
                euid: 0,
                gid: 5,
            },
            terminal: Some("/dev/pts/3".into()),
            cwd: Some(object("/srv").path),
            root: Some(object("/jail").path),
            namespaces: vec![Namespace {
                kind: NamespaceKind::Network,
                inode: 4_026_531_840,
            }],
            descriptors: vec![Descriptor {
                number: 3,
                kind: DescriptorKind::Socket,
                object: object("socket:[42]"),
                reads: true,
                writes: true,
                credential: Some(OpenCredential {
                    class: "kubeconfig".into(),
                    tenant: Some("globex".parse().unwrap()),
                    tier: Some(Tier::Production),
                }),
                socket: Some(OpenSocket {
                    protocol: SocketProtocol::Tcp,
                    state: Some(ConnectionState::Established),
                    local: Some(address("10.0.0.1")),
                    peer: Some(address("fd00::2")),
                    name: "@x".into(),
                }),
            }],
            more_descriptors: 4,
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            session: SessionId::from_parts(UnixNs(1_000_000), 2),
            taken_at: UnixNs(11),
            stance: Stance::Frozen,
            processes: vec![process()],
            more_processes: 12,
        }
    }

    fn there_and_back(answer: Result<Snapshot, NotShown>) {
        let message = v1::InspectAnswer {
            question: 5,
            answer: Some((&answer).into()),
        };
        assert_eq!(Answered::try_from(message).unwrap(), (5, answer));
    }

    #[test]
    fn a_look_comes_back_as_it_was() {
        there_and_back(Ok(snapshot()));
        for why in [NotShown::Unknown, NotShown::Busy, NotShown::Failed] {
            there_and_back(Err(why));
        }
        for state in ConnectionState::ALL {
            let number = number::<v1::ConnectionState, _>(*state);
            let back = meaning_opt::<v1::ConnectionState, _>("socket.state", number);
            assert_eq!(back.unwrap(), Some(*state));
        }
    }

    #[test]
    fn more_than_a_look_may_show_is_refused_and_named() {
        let mut message = v1::SessionSnapshot::from(&snapshot());
        let one = message.processes[0].clone();
        message.processes = vec![one.clone(); PROCESSES_MAX + 1];
        let error = Snapshot::try_from(message.clone()).unwrap_err().to_string();
        assert!(error.contains("snapshot.processes"), "{error}");
        message.processes = vec![one];
        let held = message.processes[0].descriptors[0].clone();
        message.processes[0].descriptors = vec![held; DESCRIPTORS_MAX + 1];
        let error = Snapshot::try_from(message).unwrap_err().to_string();
        assert!(error.contains("process.descriptors"), "{error}");
    }
}
