use std::collections::HashMap;

use monitor_common::{
    ABI_VERSION, Exit, FileObject as KernelFile, Fork, Kind, SessionEnded, SessionMark, decode,
    file::PathTail,
};
use monitor_model::{
    clock::UnixNs,
    event::{Lineage, NoSession},
    id::SessionId,
};
use zerocopy::IntoBytes as _;

use super::*;
use crate::{attribute::sessions::tests::session, watch::Label};

mod records;

/// A host with one interface and one namespace.
#[derive(Debug, Default)]
pub(crate) struct FakeHost {
    pub(crate) programs: HashMap<(u32, u64), PathLabel>,
    pub(crate) files: HashMap<(u32, u64), crate::kernel::FileIdentity>,
}

pub(crate) const OWN_NET_NS: u32 = 100;

impl Host for FakeHost {
    fn mounted(&mut self, device: u64, below: &[u8]) -> Option<Vec<u8>> {
        (device == file().device).then(|| [b"/mnt", below].concat())
    }

    fn executable(&mut self, process: (u32, u64)) -> Option<PathLabel> {
        self.programs.get(&process).cloned()
    }
    fn executable_file(&mut self, process: (u32, u64)) -> Option<crate::kernel::FileIdentity> {
        self.files.get(&process).copied()
    }
    fn interface(&mut self, index: u32) -> Option<String> {
        (index == 4).then(|| "mon-acme".to_owned())
    }
    fn is_own_net_ns(&self, inode: u32) -> bool {
        inode == OWN_NET_NS
    }
    fn net_ns(&mut self, inode: u32, _: u64) -> Option<String> {
        (inode == 200).then(|| "globex".to_owned())
    }
}

pub(crate) const OFFSET: TimeOffset = TimeOffset {
    unix_minus_boot_ns: 1_000_000,
    uncertainty_ns: 0,
};

pub(crate) fn header(kind: Kind, size: usize, (sequence, mark): (u64, SessionMark)) -> Header {
    let mut comm = [0; 16];
    comm[..4].copy_from_slice(b"bash");
    Header {
        kind,
        abi: ABI_VERSION,
        size: u32::try_from(size).unwrap(),
        sequence,
        boot_ns: 5_000 + sequence,
        session: mark,
        start_boot_ns: 77,
        cgroup_id: 9,
        pid: 42,
        tid: 43,
        ppid: 1,
        uid: 1000,
        gid: 1000,
        euid: 0,
        loginuid: AUDIT_UNSET,
        audit_session: 3,
        netns: OWN_NET_NS,
        mntns: 5,
        pidns: 6,
        cpu: 2,
        ring: 0,
        reserved: 0,
        comm,
    }
}

/// The bytes of an exec record, as they lie in a ring.
pub(crate) fn exec(sequence: u64, mark: SessionMark, argv: &[&str]) -> Vec<u8> {
    let argv: Vec<u8> = argv
        .iter()
        .flat_map(|part| [part.as_bytes(), &[0]].concat())
        .collect();
    let path = b"cat\0bin\0usr\0";
    let size = size_of::<Exec>() + path.len() + argv.len();
    let exec = Exec {
        header: header(Kind::EXEC, size, (sequence, mark)),
        exe: file(),
        path: PathTail {
            bytes: u32::try_from(path.len()).unwrap(),
            flags: 0,
        },
        argv_bytes_true: u64::try_from(argv.len()).unwrap(),
        argv_bytes: u32::try_from(argv.len()).unwrap(),
        flags: 0,
        script: zerocopy::FromZeros::new_zeroed(),
        argv_digest: 0,
        terminal: 0,
        given_bytes: 0,
        interpreter_bytes: 0,
    };
    [exec.as_bytes(), path, &argv].concat()
}

pub(crate) fn session_ended(sequence: u64, mark: SessionMark) -> Vec<u8> {
    let size = size_of::<SessionEnded>();
    SessionEnded {
        header: header(Kind::SESSION_ENDED, size, (sequence, mark)),
    }
    .as_bytes()
    .to_vec()
}

fn file() -> KernelFile {
    KernelFile {
        device: 259 << 20 | 0x1_2345,
        inode: 11,
        generation: 12,
        mode: 0,
        owner_uid: 0,
        links: 1,
    }
}

/// Records in a ring are aligned; so they are here.
pub(crate) fn aligned<T>(bytes: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
    let mut words = vec![0_u64; bytes.len().div_ceil(8)];
    words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    look(&words.as_bytes()[..bytes.len()])
}

pub(crate) struct Bench {
    pub(crate) attributor: Attributor<FakeHost>,
    sessions: SharedSessions,
    pub(crate) labels: SharedLabels,
    _folder: tempfile::TempDir,
}

pub(crate) fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let sessions = SharedSessions::default();
    let labels = SharedLabels::open(&folder.path().join("state.db")).unwrap();
    let origin = Origin {
        agent: "jump-1".parse().unwrap(),
        boot: BootId::from_parts(UnixNs(1), 1),
    };
    let attributor = Attributor::new(
        origin,
        sessions.clone(),
        labels.clone(),
        FakeHost::default(),
    );
    Bench {
        attributor,
        sessions,
        labels,
        _folder: folder,
    }
}

impl Bench {
    pub(crate) fn expecting(self, programs: crate::watch::SharedPrograms) -> Self {
        Self {
            attributor: self.attributor.expecting(programs),
            ..self
        }
    }

    pub(crate) fn event(&mut self, bytes: &[u8]) -> Event {
        let place = Place {
            source: Source::Priority { cpu: 2 },
            sequence: 8,
        };
        aligned(bytes, |bytes| {
            self.attributor
                .event(&decode(bytes).unwrap(), place, OFFSET)
        })
    }
}

fn mark(id: SessionId) -> SessionMark {
    marks::mark_of(id)
}

#[test]
fn an_exec_of_a_session_is_its_persons() {
    let mut bench = bench();
    bench.sessions.lock().put(session(1)).unwrap();
    let event = bench.event(&exec(8, mark(session(1).id), &["cat", "", "x y"]));
    assert_eq!(
        event.id.to_string(),
        "jump-1/00000000000000000000000001/p2/8"
    );
    assert_eq!((event.at, event.boot_ns), (UnixNs(1_005_008), 5_008));
    assert_eq!(event.attribution.lineage, Lineage::Kernel);
    assert_eq!(event.attribution.principal.unwrap().as_str(), "alice");
    let process = event.process.unwrap();
    assert_eq!(
        (process.pid, process.comm.to_string().as_str()),
        (42, "bash")
    );
    assert_eq!((process.login_uid, process.audit_session), (None, Some(3)));
    assert_eq!(process.exe.unwrap().to_string(), "/usr/bin/cat");
    let Action::Exec {
        exe,
        argv,
        argv_truncated,
        ..
    } = event.action
    else {
        panic!()
    };
    assert_eq!(argv, ["cat".into(), "".into(), "x y".into()]);
    assert!(!argv_truncated);
    assert_eq!(
        (exe.path.to_string().as_str(), exe.path.truncated),
        ("/usr/bin/cat", false)
    );
    // 259:0x12345 as stat shows it.
    assert_eq!(exe.device, 0x45 | 259 << 8 | 0x123 << 20);
}

#[test]
fn who_is_not_known_is_told_apart_by_why() {
    let mut bench = bench();
    let mut nobody = session(2);
    nobody.principal = None;
    bench.sessions.lock().put(nobody.clone()).unwrap();
    let mut reason = |mark| bench.event(&exec(1, mark, &[])).attribution;
    assert_eq!(reason(SessionMark::NONE).reason, Some(NoSession::NoMark));
    let unknown = reason(mark(session(3).id));
    assert_eq!(
        (unknown.reason, unknown.session),
        (Some(NoSession::UnknownMark), Some(session(3).id))
    );
    let unbound = reason(mark(nobody.id));
    assert_eq!(
        (unbound.reason, unbound.session),
        (Some(NoSession::NoPrincipal), Some(nobody.id))
    );
}

#[test]
fn a_connection_has_its_interface_and_namespace_by_name() {
    let mut bench = bench();
    let size = size_of::<Connect>();
    let connect = Connect {
        header: header(Kind::CONNECT, size, (1, SessionMark::NONE)),
        addr: std::net::Ipv4Addr::new(10, 20, 0, 5)
            .to_ipv6_mapped()
            .octets(),
        netns_cookie: 1,
        port: 443,
        family: 2,
        protocol: 6,
        socket_type: 1,
        bound_ifindex: 4,
        so_mark: 7,
        netns: OWN_NET_NS,
        flags: Connect::DENIED,
        scope_version: 9,
    };
    let mut destination = |connect: Connect| {
        let action = bench.event(connect.as_bytes()).action;
        let Action::Connect {
            destination,
            denied,
            scope,
        } = action
        else {
            panic!("{action:?}")
        };
        assert_eq!(scope, Some(9));
        (destination, denied)
    };
    let (to, denied) = destination(connect);
    assert!(denied);
    assert_eq!(
        (to.address.to_string().as_str(), to.port, to.protocol),
        ("10.20.0.5", 443, Protocol::Tcp)
    );
    assert_eq!(
        (to.interface.as_deref(), to.net_ns_name, to.mark),
        (Some("mon-acme"), None, 7)
    );
    let (to, _) = destination(Connect {
        netns: 200,
        ..connect
    });
    assert_eq!((to.interface, to.interface_index), (None, 4));
    assert_eq!(to.net_ns_name.as_deref(), Some("globex"));
}

#[test]
fn a_credential_has_the_label_of_its_watch() {
    let mut bench = bench();
    let label = Label {
        tenant: Some("globex".parse().unwrap()),
        ..Label::of_class("kubeconfig")
    };
    let id = bench.labels.id(&label).unwrap();
    let path = b"kubeconfig\0srv\0";
    let size = size_of::<Credential>() + path.len();
    let credential = |watch_id| Credential {
        header: header(Kind::CREDENTIAL, size, (1, SessionMark::NONE)),
        file: file(),
        path: PathTail {
            bytes: u32::try_from(path.len()).unwrap(),
            flags: PathTail::TOO_DEEP,
        },
        watch_id,
        levels: 1,
        open_flags: 1,
        open_mode: 2,
        syscall: 257,
        descriptor: 3,
        other: PathTail::default(),
        operation: monitor_common::Operation::OPENED,
        flags: 0,
        first_boot_ns: 0,
        count: 1,
        reserved: 0,
    };
    let mut found = |watch_id| {
        let action = bench
            .event(&[credential(watch_id).as_bytes(), path].concat())
            .action;
        let Action::Credential {
            class,
            tenant,
            operation,
            object,
            ..
        } = action
        else {
            panic!("{action:?}")
        };
        (class, tenant, operation, object.path)
    };
    let (class, tenant, operation, path) = found(id);
    assert_eq!(
        (class.as_str(), tenant, operation),
        ("kubeconfig", label.tenant, Operation::Write)
    );
    assert!(path.truncated);
    assert_eq!(found(99).0, "unknown");
    assert_eq!(bench.attributor.take_losses(), (1, 0));
}

#[test]
fn a_child_has_its_parents_program_also_when_its_end_was_read_first() {
    let mut bench = bench();
    bench.event(&exec(1, SessionMark::NONE, &["cat"]));
    let fork = Fork {
        header: header(Kind::FORK, size_of::<Fork>(), (2, SessionMark::NONE)),
        child_start_boot_ns: 99,
        child_pid: 50,
        reserved: 0,
    };
    bench.event(fork.as_bytes());
    let of_child = |kind, size| {
        let mut header = header(kind, size, (3, SessionMark::NONE));
        (header.pid, header.start_boot_ns) = (50, 99);
        header
    };
    let exit = Exit {
        header: of_child(Kind::EXIT, size_of::<Exit>()),
        exit_code: 256,
        reserved: 0,
    };
    let event = bench.event(exit.as_bytes());
    assert_eq!(
        event.process.unwrap().exe.unwrap().to_string(),
        "/usr/bin/cat"
    );
    assert_eq!(event.action, Action::Exit { status: 256 });
    let late = bench.event(exit.as_bytes()).process.unwrap().exe.unwrap();
    assert_eq!(late.to_string(), "/usr/bin/cat");
    let executables = &mut bench.attributor.executables;
    assert!(executables.inherit(50, (60, 200)), "also for its children");
    for start in 0..u64::try_from(departed::DEPARTED_MAX).unwrap() {
        bench.attributor.depart((7, start));
    }
    let executables = &mut bench.attributor.executables;
    assert_eq!(executables.get((50, 99)), None);
    assert!(!executables.inherit(50, (61, 200)), "the parent is gone");
}

#[test]
fn an_older_process_is_looked_up_once() {
    let mut bench = bench();
    let path = PathLabel {
        text: "/sbin/old".into(),
        truncated: false,
    };
    bench
        .attributor
        .host
        .programs
        .insert((42, 77), path.clone());
    let ended = session_ended(1, SessionMark::NONE);
    assert_eq!(bench.event(&ended).process.unwrap().exe, Some(path.clone()));
    bench.attributor.host.programs.clear();
    assert_eq!(bench.event(&ended).process.unwrap().exe, Some(path));
}
