use super::*;
use crate::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{
        Attribution, Caller, Counted, FileObject, Ids, LocalAddress, NoSession, Operation, Process,
        RemovalReason, SocketAddress,
    },
    id::{AgentName, BootId, EventId, SessionId, Source},
};

fn told_by(process: Option<Process>, action: Action) -> String {
    what(&Event {
        id: EventId {
            agent: AgentName::new("jump-1").unwrap(),
            boot: BootId::from_parts(UnixNs(0), 1),
            source: Source::Agent,
            sequence: 1,
        },
        at: UnixNs(0),
        boot_ns: 0,
        process,
        attribution: Attribution::none(NoSession::NoMark),
        action,
    })
}

/// What a process told that runs /usr/bin/gdb.
fn told(action: Action) -> String {
    let process = Process {
        exe: Some(label(b"/usr/bin/gdb")),
        ..Process::default()
    };
    told_by(Some(process), action)
}

fn label(text: &[u8]) -> PathLabel {
    PathLabel {
        text: ByteText(text.to_vec()),
        truncated: false,
    }
}

fn object(path: &[u8]) -> FileObject {
    FileObject {
        device: 1,
        inode: 2,
        generation: 3,
        path: label(path),
    }
}

fn process(exe: Option<&[u8]>, session: Option<SessionId>) -> ProcessRef {
    ProcessRef {
        pid: 42,
        start_boot_ns: Some(1),
        session,
        holds_credentials: session.is_some(),
        exe: exe.map(label),
    }
}

fn exec(exe: &[u8], first: &[u8]) -> Action {
    Action::Exec {
        exe: object(exe),
        argv: vec![ByteText(first.to_vec()), "-l".into()],
        argv_bytes: 5,
        argv_truncated: false,
        redacted: 0,
        argv_digest: Some(1),
        script: None,
        given: ByteText(exe.to_vec()),
        interpreter: ByteText::default(),
    }
}

fn credential(path: &[u8], operation: Operation, new: Option<&[u8]>) -> Action {
    Action::Credential {
        object: object(path),
        class: "ssh-key".into(),
        tenant: None,
        tier: None,
        technique: None,
        operation,
        flags: 0,
        other: new.map(label),
        denied: false,
        expected: None,
        injected: false,
        key: None,
        counted: None,
    }
}

fn counted(mut action: Action) -> Action {
    if let Action::Credential { counted, .. } = &mut action {
        *counted = Some(Counted {
            acts: 59_744,
            first_at: UnixNs(0),
        });
    }
    action
}

fn memory(target: ProcessRef, access: MemoryAccess, denied: bool) -> Action {
    Action::Memory {
        target,
        access,
        syscall: Some(101),
        denied,
    }
}

fn host(change: HostChange, path: Option<&[u8]>, detail: &[u8]) -> Action {
    Action::Host {
        change,
        number: 5,
        detail: ByteText(detail.to_vec()),
        path: path.map(label),
        target: None,
        denied: false,
    }
}

fn local(socket: LocalAddress, peer: Option<ProcessRef>) -> Action {
    Action::LocalConnect {
        socket,
        object: None,
        peer,
        denied: false,
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one line a kind")]
fn each_kind_is_told_in_plain_words() {
    let session = SessionId::from_parts(UnixNs(7_000_000), 1);
    let sshd = || process(Some(b"/usr/sbin/sshd"), None);
    let listening = Action::Socket {
        operation: SocketOperation::Listening,
        family: 2,
        socket_type: 1,
        protocol: 6,
        local: Some(SocketAddress {
            address: "0.0.0.0".parse().unwrap(),
            port: 4444,
        }),
        peer: None,
        net_ns: 1,
        denied: false,
    };
    let ids = |uid, euid| Ids { uid, euid, gid: 9 };
    let unix = |path: &str| LocalAddress::Unix { path: path.into() };
    let bus = LocalAddress::Abstract { name: "bus".into() };
    let vsock = LocalAddress::Vsock { cid: 2, port: 7 };
    let fifo = LocalAddress::Fifo {
        name: "door".into(),
        reads: false,
        writes: true,
    };
    let terminal = LocalAddress::Terminal {
        name: "pts3".into(),
    };
    for (action, expected) in [
        (exec(b"/bin/ls", b"ls"), "ran /bin/ls -l"),
        (
            exec(b"/bin/ls", b"sshd"),
            "ran /bin/ls -l (calls itself sshd)",
        ),
        (
            credential(b"/k", Operation::Received, None),
            "received a descriptor of /k (ssh-key) with gdb",
        ),
        (
            credential(b"/k", Operation::Renamed, Some(b"/n")),
            "renamed /k to /n (ssh-key) with gdb",
        ),
        (
            counted(credential(b"/k", Operation::Read, None)),
            "read /k (ssh-key), 59744 times between 1970-01-01T00:00:00.000Z and \
             1970-01-01T00:00:00.000Z, with gdb",
        ),
        (
            credential(b"/k", Operation::Linked, Some(b"/n")),
            "made another name for /k, /n, (ssh-key) with gdb",
        ),
        (
            memory(sshd(), MemoryAccess::Attached, false),
            "attached to sshd (42) with gdb",
        ),
        (
            memory(sshd(), MemoryAccess::MemoryFile, true),
            "was refused the memory of sshd (42) with gdb",
        ),
        (
            host(HostChange::Module, None, b"evil"),
            "loaded the kernel module evil with gdb",
        ),
        (
            host(HostChange::Mounted, Some(b"/mnt"), b"tmpfs"),
            "mounted /mnt tmpfs with gdb",
        ),
        (host(HostChange::Bpf, None, b""), "used bpf (5) with gdb"),
        (listening, "listens on 0.0.0.0:4444 with gdb"),
        (
            local(unix("/run/docker.sock"), Some(sshd())),
            "connected to unix socket /run/docker.sock of sshd (42) with gdb",
        ),
        (local(bus, None), "connected to unix socket @bus with gdb"),
        (
            local(unix(""), None),
            "connected to a unix socket without name with gdb",
        ),
        (local(vsock, None), "connected to vsock 2:7 with gdb"),
        (local(fifo, None), "opened FIFO door with gdb"),
        (
            local(terminal, Some(sshd())),
            "pushed into the input of terminal pts3 of sshd (42) with gdb",
        ),
    ] {
        assert_eq!(told(action), expected);
    }
    let held = process(None, Some(session));
    assert_eq!(
        told(Action::Signal {
            target: held,
            number: 11
        }),
        format!("sent signal 11 to process 42 of session {session} (holds credentials) with gdb")
    );
    let changed = Action::Identity {
        before: ids(1000, 1000),
        after: ids(1000, 0),
        by_exec: true,
    };
    assert_eq!(
        told(changed),
        "became user 1000 (effective 0), group 9, was user 1000 (effective 1000), group 9 by a set-user-id program with gdb"
    );
}

#[test]
fn contradictions_and_survivors_name_both_sides_and_what_is_left() {
    let (own, other) = (
        SessionId::from_parts(UnixNs(1), 1),
        SessionId::from_parts(UnixNs(1), 2),
    );
    let told_of = |process, says| {
        told_by(
            None,
            Action::Contradiction {
                process,
                evidence: Evidence::AuditSession,
                value: "12".into(),
                says,
            },
        )
    };
    assert_eq!(
        told_of(process(Some(b"/usr/bin/cat"), Some(own)), Some(other)),
        format!(
            "cat (42) of session {own} (holds credentials) has the audit session 12, which is session {other}'s"
        )
    );
    assert_eq!(
        told_of(process(None, None), None),
        "process 42, which has no mark, has the audit session 12, which is no session's"
    );
    let left = |processes: Vec<ProcessRef>, total| {
        told_by(
            None,
            Action::Survivors {
                session: own,
                processes,
                total,
            },
        )
    };
    let tmux = || process(Some(b"/usr/bin/tmux"), Some(own));
    assert_eq!(
        left(vec![tmux()], 1),
        "logged out, and 1 process lives on: tmux (42)"
    );
    assert_eq!(
        left(vec![tmux(), process(None, Some(own))], 5),
        "logged out, and 5 processes live on: tmux (42), process 42 and 3 more"
    );
}

#[test]
fn a_long_false_name_is_shown_by_its_beginning() {
    let long = "\u{e4}".repeat(500);
    let text = told(exec(b"/bin/ls", long.as_bytes()));
    assert!(text.ends_with("\u{e4}...)") && text.len() < 250, "{text}");
}

#[test]
fn no_text_from_outside_drives_a_terminal() {
    let (evil, safe) = ("a\x1b[2Jb", "a\\x1b[2Jb");
    let refused = |serial| Action::LoginRefused {
        account: evil.into(),
        principal: None,
        serial,
        reason: evil.into(),
    };
    let started = Action::AgentStarted {
        version: evil.into(),
        kernel: evil.into(),
        resumed: false,
        hooks: vec![],
    };
    for action in [refused(None), refused(Some(1)), started] {
        let text = told_by(None, action);
        assert_eq!(text.matches(safe).count(), 2, "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }
    // Names of the kernel's and the caller's may hold any byte.
    let (evil, safe) = (b"/a\x1b[2J\xff\n", "a\\x1b[2J\\xff\\x0a");
    let held = || process(Some(evil), None);
    let path = ByteText(evil.to_vec());
    for action in [
        exec(evil, b"x"),
        exec(b"/bin/ls", evil),
        credential(evil, Operation::Created, None),
        credential(b"/k", Operation::Renamed, Some(evil)),
        memory(held(), MemoryAccess::Environment, false),
        Action::Signal {
            target: held(),
            number: 6,
        },
        host(HostChange::Mounted, Some(evil), b"tmpfs"),
        host(HostChange::Module, None, evil),
        local(LocalAddress::Unix { path: path.clone() }, None),
        local(LocalAddress::Abstract { name: path }, None),
        local(LocalAddress::Vsock { cid: 1, port: 1 }, Some(held())),
    ] {
        let text = told(action);
        assert!(text.contains(safe), "{text}");
        assert!(!text.contains(['\x1b', '\n']), "{text}");
    }
}

fn read_of_acme(call: &str, question: &str, times: u64, items: Option<u64>) -> String {
    let mut event = Event {
        id: EventId {
            agent: AgentName::new("main").unwrap(),
            boot: BootId::from_parts(UnixNs(0), 1),
            source: Source::Collector,
            sequence: 1,
        },
        at: UnixNs(0),
        boot_ns: 0,
        process: None,
        attribution: Attribution::none(NoSession::NoPrincipal),
        action: Action::Read {
            by: Caller {
                role: "soc".into(),
                name: "carol".parse().unwrap(),
                tenants: Vec::new(),
            },
            call: call.into(),
            question: question.into(),
            question_truncated: times > 1,
            tenants: Vec::new(),
            first_at: UnixNs::from_seconds(0),
            last_at: UnixNs::from_seconds(59),
            times,
            items,
        },
    };
    event.attribution.tenant = Some("acme".parse().unwrap());
    what(&event)
}

#[test]
fn who_read_what_is_told() {
    assert_eq!(
        read_of_acme("Search", r#"{"kinds":["exec"]}"#, 12, None),
        r#"carol (soc) searched acme's ledger: {"kinds":["exec"]}... 12 times between 1970-01-01T00:00:00Z and 1970-01-01T00:00:59Z"#
    );
    assert_eq!(
        read_of_acme("ListSessions", "{}", 1, None),
        "carol (soc) read of acme by ListSessions at 1970-01-01T00:00:59Z"
    );
    assert_eq!(
        read_of_acme("Subscribe", "", 1, None),
        "carol (soc) followed acme's ledger at 1970-01-01T00:00:59Z"
    );
    assert_eq!(
        read_of_acme("Subscribe", "", 1, Some(17)),
        "carol (soc) was sent 17 items of acme's ledger at 1970-01-01T00:00:59Z"
    );
    let hostile = read_of_acme("Search", "\u{1b}[2J", 1, None);
    assert!(!hostile.contains('\u{1b}'), "{hostile}");
}

#[test]
fn a_removal_is_told() {
    let removed = |contract: &str, held_back| {
        let action = Action::Removed {
            first: 1,
            last: 9,
            reason: RemovalReason::Retention,
            contract: contract.into(),
            held_back,
        };
        told_by(None, action)
    };
    assert_eq!(
        removed("", 0),
        "content of records 1 to 9 removed: the time for which it is kept is over"
    );
    assert_eq!(
        removed("400 days", 2),
        "content of records 1 to 9 removed: the time for which it is kept is over (400 days); 2 of them kept by a legal hold"
    );
}
