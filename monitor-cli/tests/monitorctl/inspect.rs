//! inspect: what lives in a session now, for people and for programs.

use monitor_model::{
    bytes::PathLabel,
    event::{FileObject, Ids, SocketAddress},
    inspect::{
        ConnectionState, Descriptor, DescriptorKind, Namespace, NamespaceKind, OpenCredential,
        OpenSocket, ProcessState, SeenProcess, Snapshot, SocketProtocol, Stance,
    },
    live::{Arguments, ProcessKey},
};
use tonic::Status;

use crate::{
    collector::World,
    facts,
    program::{Site, records},
};

fn label(text: &str) -> PathLabel {
    PathLabel {
        text: text.into(),
        truncated: false,
    }
}

fn object(path: &str) -> FileObject {
    FileObject {
        device: 8,
        inode: 42,
        generation: 1,
        path: label(path),
    }
}

fn process(pid: u32, parent_pid: u32, exe: &str, argv: &[&str]) -> SeenProcess {
    SeenProcess {
        key: ProcessKey {
            start_boot_ns: u64::from(pid),
            pid,
        },
        started_at: facts::at(u64::from(pid)),
        parent_pid,
        job: None,
        threads: 1,
        state: ProcessState::Frozen,
        exe: Some(object(exe)),
        arguments: Some(Arguments {
            argv: argv.iter().map(|argument| (*argument).into()).collect(),
            truncated: false,
            redacted: 0,
        }),
        ids: Ids {
            uid: 1_000,
            euid: 1_000,
            gid: 1_000,
        },
        terminal: Some("/dev/pts/3".into()),
        cwd: Some(label("/home/ops")),
        root: None,
        namespaces: Vec::new(),
        descriptors: Vec::new(),
        more_descriptors: 0,
    }
}

fn open(number: u32, kind: DescriptorKind, path: &str) -> Descriptor {
    Descriptor {
        number,
        kind,
        object: object(path),
        reads: true,
        writes: false,
        credential: None,
        socket: None,
    }
}

fn snapshot() -> Snapshot {
    let end = |address: &str, port| {
        Some(SocketAddress {
            address: address.parse().unwrap(),
            port,
        })
    };
    let mut curl = process(1_100, 1_000, "/usr/bin/curl", &["curl", "-u", "x:y"]);
    curl.arguments.as_mut().unwrap().redacted = 1;
    curl.more_descriptors = 7;
    curl.namespaces = vec![Namespace {
        kind: NamespaceKind::Network,
        inode: 9,
    }];
    let credential = OpenCredential {
        class: "kubeconfig".into(),
        tenant: Some("globex".parse().unwrap()),
        tier: None,
    };
    let socket = OpenSocket {
        protocol: SocketProtocol::Tcp,
        state: Some(ConnectionState::Established),
        local: end("10.0.0.1", 40_000),
        peer: end("10.20.0.5", 6_443),
        name: "".into(),
    };
    curl.descriptors = vec![
        open(0, DescriptorKind::Device, "/dev/pts/3"),
        Descriptor {
            credential: Some(credential),
            ..open(3, DescriptorKind::File, "/srv/globex/kube\u{1b}config")
        },
        Descriptor {
            writes: true,
            socket: Some(socket),
            ..open(4, DescriptorKind::Socket, "socket:[42]")
        },
    ];
    Snapshot {
        session: facts::session().id,
        taken_at: facts::at(5_000),
        stance: Stance::Frozen,
        processes: vec![process(1_000, 900, "/usr/bin/bash", &["-bash"]), curl],
        more_processes: 3,
    }
}

fn world(snapshot: Option<&Snapshot>) -> World {
    World {
        sessions: vec![(&facts::session()).into()],
        snapshot: snapshot.map(Into::into),
        ..World::default()
    }
}

#[test]
fn a_look_shows_processes_credentials_and_connections() {
    let site = Site::new();
    let collector = site.collector(world(Some(&snapshot())));
    let asked = ["inspect", "--session", "S2A1B0", "-o", "table"];
    let ran = site.run(&collector, &asked);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    let mut lines = ran.out.lines();
    let head = lines.next().unwrap();
    assert!(head.starts_with("session S2A1B0: alice for acme"), "{head}");
    let rest: Vec<&str> = lines.collect();
    assert_eq!(
        rest,
        [
            "  as jump-1 saw it at 2026-01-02 12:00:05: 2 processes; the kernel has it stand still",
            "  1000  2026-01-02 12:00:01  frozen   /usr/bin/bash  (user 1000 (effective 1000), group 1000; /dev/pts/3; in /home/ops)",
            "    1100  2026-01-02 12:00:01  frozen   /usr/bin/curl -u x:y  (1 secret removed; user 1000 (effective 1000), group 1000; /dev/pts/3; in /home/ops; own namespaces: net)",
            "          3 file      r  /srv/globex/kube\\x1bconfig  kubeconfig of globex",
            "          4 tcp       rw 10.0.0.1:40000 -> 10.20.0.5:6443 established",
            "        and open: 1 device, 7 more that are not shown",
            "  and 3 more processes, younger ones",
        ],
        "{}",
        ran.out
    );
}

#[test]
fn a_look_is_one_record_for_programs() {
    let site = Site::new();
    let collector = site.collector(world(Some(&snapshot())));
    let ran = site.run(&collector, &["inspect", "--session", facts::SESSION]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let all = records(&ran.out);
    let [record] = all.as_slice() else {
        panic!("{}", ran.out);
    };
    assert_eq!(record["type"], "session_snapshot");
    assert_eq!(record["session"]["principal"], "alice");
    let seen = &record["snapshot"];
    assert_eq!(seen["taken_at_rfc3339"], "2026-01-02T12:00:05.000000000Z");
    assert_eq!(
        (&seen["stance"], &seen["more_processes"]),
        (&"frozen".into(), &3.into())
    );
    let open = &seen["processes"][1]["descriptors"];
    assert_eq!(open[1]["credential"]["tenant"], "globex");
    assert_eq!(open[2]["socket"]["peer"]["port"], 6_443);
}

#[test]
fn who_gets_no_look_is_told_why_by_the_exit_code_too() {
    let site = Site::new();
    let collector = site.collector(world(None));
    let asked = |more: &[&str]| {
        let arguments = ["inspect", "--session", facts::SESSION].iter().chain(more);
        let arguments: Vec<&str> = arguments.copied().collect();
        site.run(&collector, &arguments)
    };
    let late = asked(&["--timeout", "200ms"]);
    assert_eq!(late.code, Some(4), "{}", late.err);
    assert!(
        late.err.contains("within 200 ms no answer came"),
        "{}",
        late.err
    );
    for (refusal, code, words) in [
        (
            Status::permission_denied("role auditor may not"),
            5,
            "refused: role auditor",
        ),
        (
            Status::failed_precondition("the agent of jump-1 is not connected"),
            1,
            "not connected",
        ),
        (
            Status::resource_exhausted("jump-1: busy"),
            1,
            "the collector answers: jump-1: busy",
        ),
        (
            Status::deadline_exceeded("jump-1: nothing"),
            4,
            "jump-1: nothing",
        ),
        (
            Status::not_found("no session is known"),
            3,
            "no session is known",
        ),
    ] {
        collector.world().refusal = Some(refusal);
        let ran = asked(&[]);
        assert_eq!(ran.code, Some(code), "{}", ran.err);
        assert!(ran.err.contains(words), "{}", ran.err);
    }
}
