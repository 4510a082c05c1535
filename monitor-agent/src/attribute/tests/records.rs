//! Records of memory, signals, sockets, identities and the host.

use monitor_common::{
    Change, HostChange as KernelChange, Identity, LocalConnect, Memory, MemoryAccess as Means,
    ProcessRef as KernelProcess, Signal, Socket, SocketOperation as OnSocket, mark::TaskMark,
    watch::WATCH_ID_BLOCK_DEVICE,
};
use monitor_model::event::{HostChange, Ids, LocalAddress, MemoryAccess, SocketOperation};
use zerocopy::{FromBytes as _, FromZeros as _};

use super::*;

fn head<T>(kind: Kind) -> Header {
    header(kind, size_of::<T>(), (1, SessionMark::NONE))
}

/// The process of [`exec`], which is in a session and opened a watched file.
fn holder() -> KernelProcess {
    KernelProcess {
        start_boot_ns: 77,
        session: mark(session(1).id),
        pid: 42,
        flags: TaskMark::HOLDS,
    }
}

#[test]
fn another_process_has_its_session_its_program_and_whether_it_holds_credentials() {
    let mut bench = bench();
    bench.event(&exec(1, mark(session(1).id), &["cat"]));
    let memory = |target, syscall| Memory {
        header: head::<Memory>(Kind::MEMORY),
        target,
        access: Means::MEMORY_FILE,
        mode: 0,
        syscall,
        flags: Memory::DENIED,
    };
    let mut told = |record: Memory| {
        let Action::Memory {
            target,
            access,
            syscall,
            denied,
        } = bench.event(record.as_bytes()).action
        else {
            panic!()
        };
        (target, access, syscall, denied)
    };
    let (target, access, syscall, denied) = told(memory(holder(), 101));
    assert_eq!(
        (access, syscall, denied),
        (MemoryAccess::MemoryFile, Some(101), true)
    );
    assert_eq!((target.pid, target.start_boot_ns), (42, Some(77)));
    assert_eq!(target.session, Some(session(1).id));
    assert!(target.holds_credentials);
    assert_eq!(target.exe.unwrap().to_string(), "/usr/bin/cat");
    // Of a process that the kernel did not find only the id is known.
    let unknown = KernelProcess {
        pid: 42,
        ..KernelProcess::default()
    };
    let (target, _, syscall, _) = told(memory(unknown, u32::MAX));
    assert_eq!(
        (target.start_boot_ns, target.exe, syscall),
        (None, None, None)
    );
    assert!(target.session.is_none() && !target.holds_credentials);
    let signal = Signal {
        header: head::<Signal>(Kind::SIGNAL),
        target: holder(),
        signal: 11,
        reserved: 0,
    };
    let action = bench.event(signal.as_bytes()).action;
    assert!(matches!(action, Action::Signal { target, number: 11 } if target.exe.is_some()));
}

fn local_connect(name: &[u8], flags: u32) -> LocalConnect {
    let mut room = [0; 112];
    room[..name.len()].copy_from_slice(name);
    LocalConnect {
        header: head::<LocalConnect>(Kind::LOCAL_CONNECT),
        peer: KernelProcess::default(),
        socket: KernelFile::new_zeroed(),
        family: 1,
        socket_type: 1,
        protocol: 0,
        name_bytes: u16::try_from(name.len()).unwrap(),
        port: 7,
        cid: 2,
        watch_id: 0,
        flags,
        name: room,
    }
}

#[test]
fn a_watched_socket_is_a_credential_and_another_one_a_connection() {
    let mut bench = bench();
    let label = Label {
        technique: Some("T1563.001".into()),
        ..Label::of_class("ssh-agent")
    };
    let watched = LocalConnect {
        socket: file(),
        watch_id: bench.labels.id(&label).unwrap(),
        ..local_connect(
            b"/tmp/agent\xff",
            LocalConnect::WATCHED | LocalConnect::DENIED,
        )
    };
    let Action::Credential {
        object,
        class,
        technique,
        operation,
        denied,
        ..
    } = bench.event(watched.as_bytes()).action
    else {
        panic!()
    };
    assert_eq!(
        (class.as_str(), technique.as_deref()),
        ("ssh-agent", Some("T1563.001"))
    );
    assert_eq!((operation, denied), (Operation::Connected, true));
    assert_eq!(
        (object.inode, object.path.text.0.as_slice()),
        (11, &b"/tmp/agent\xff"[..])
    );

    let mut told = |connect: LocalConnect| {
        let Action::LocalConnect {
            socket,
            object,
            peer,
            denied: false,
        } = bench.event(connect.as_bytes()).action
        else {
            panic!()
        };
        (socket, object.is_some(), peer.map(|peer| peer.pid))
    };
    let with_file = LocalConnect {
        socket: file(),
        peer: holder(),
        ..local_connect(b"/run/x", 0)
    };
    let path = |text: &str| LocalAddress::Unix { path: text.into() };
    assert_eq!(told(with_file), (path("/run/x"), true, Some(42)));
    let name = LocalAddress::Abstract { name: "bus".into() };
    assert_eq!(
        told(local_connect(b"bus", LocalConnect::ABSTRACT)),
        (name, false, None)
    );
    assert_eq!(told(local_connect(b"", 0)), (path(""), false, None));
    let of_family = |family| LocalConnect {
        family,
        ..local_connect(b"", 0)
    };
    let vsock = LocalAddress::Vsock { cid: 2, port: 7 };
    assert_eq!(told(of_family(40)).0, vsock);
    assert_eq!(told(of_family(31)).0, LocalAddress::Other { number: 31 });
    // A length that is none gives what is there.
    let long = LocalConnect {
        name_bytes: u16::MAX,
        ..local_connect(b"x", 0)
    };
    assert!(matches!(told(long).0, LocalAddress::Unix { path } if path.0.len() == 112));
}

#[test]
fn sockets_and_identities_are_told_as_they_are() {
    let mut bench = bench();
    let socket = Socket {
        header: head::<Socket>(Kind::SOCKET),
        client: KernelProcess::default(),
        local_addr: std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets(),
        peer_addr: [0; 16],
        local_port: 4444,
        peer_port: 0,
        family: 2,
        socket_type: 1,
        protocol: 6,
        operation: OnSocket::LISTENING,
        netns: 9,
        flags: 0,
        reserved: 0,
    };
    let Action::Socket {
        operation,
        local,
        peer,
        net_ns,
        ..
    } = bench.event(socket.as_bytes()).action
    else {
        panic!()
    };
    assert_eq!(
        (operation, peer, net_ns),
        (SocketOperation::Listening, None, 9)
    );
    assert_eq!(local.unwrap().to_string(), "127.0.0.1:4444");
    let identity = Identity {
        header: head::<Identity>(Kind::IDENTITY),
        uid_before: 1,
        euid_before: 2,
        gid_before: 3,
        uid_after: 4,
        euid_after: 5,
        gid_after: 6,
        flags: Identity::BY_EXEC,
        reserved: 0,
    };
    let ids = |uid, euid, gid| Ids { uid, euid, gid };
    let changed = Action::Identity {
        before: ids(1, 2, 3),
        after: ids(4, 5, 6),
        by_exec: true,
    };
    assert_eq!(bench.event(identity.as_bytes()).action, changed);
}

#[test]
fn a_change_of_the_host_has_its_detail_and_its_place() {
    let mut bench = bench();
    let mut detail = [0; 64];
    detail[..5].copy_from_slice(b"tmpfs");
    let path = b"mnt\0";
    let size = size_of::<KernelChange>() + path.len();
    let change = KernelChange {
        header: header(Kind::HOST_CHANGE, size, (1, SessionMark::NONE)),
        target: KernelProcess::default(),
        number: 4,
        change: Change::MOUNTED,
        flags: 0,
        path: PathTail { bytes: 4, flags: 0 },
        detail_bytes: 5,
        reserved: 0,
        detail,
    };
    let told = bench.event(&[change.as_bytes(), path].concat()).action;
    let expected = Action::Host {
        change: HostChange::Mounted,
        number: 4,
        detail: "tmpfs".into(),
        path: Some(PathLabel {
            text: "/mnt".into(),
            truncated: false,
        }),
        target: None,
        denied: false,
    };
    assert_eq!(told, expected);
}

/// A use of a file whose label begins at the root of its file system.
fn below_mount(watch_id: u32, flags: u32) -> Vec<u8> {
    let (path, other) = (b"k\0", b"n\0");
    let tail = |flags| PathTail { bytes: 2, flags };
    let credential = Credential {
        header: header(
            Kind::CREDENTIAL,
            size_of::<Credential>() + 4,
            (1, SessionMark::NONE),
        ),
        file: file(),
        path: tail(PathTail::BELOW_MOUNT | flags),
        other: tail(PathTail::BELOW_MOUNT),
        watch_id,
        levels: 0,
        operation: monitor_common::Operation::RENAMED,
        flags: 0,
        open_flags: 0,
        open_mode: 0,
        syscall: 0,
        descriptor: 0,
        first_boot_ns: 0,
        count: 1,
        reserved: 0,
    };
    [credential.as_bytes(), path, other].concat()
}

#[test]
fn acts_that_the_kernel_counted_are_one_event_with_both_times() {
    let mut bench = bench();
    let mut told = |count: u32| {
        let bytes = below_mount(WATCH_ID_BLOCK_DEVICE, 0);
        let (mut credential, tails) = Credential::read_from_prefix(&bytes).unwrap();
        credential.header.boot_ns = 3_000;
        credential.first_boot_ns = 1_000;
        credential.count = count;
        bench.event(&[credential.as_bytes(), tails].concat())
    };
    let event = told(59_744);
    let counted = event.counted().unwrap();
    assert_eq!((counted.acts, event.acts()), (59_744, 59_744));
    assert_eq!(event.at.since(counted.first_at).as_nanos(), 2_000);
    assert_eq!(event.boot_ns, 3_000);
    assert_eq!((told(1).counted(), told(1).acts()), (None, 1));
}

#[test]
fn labels_below_a_mount_begin_where_it_is_and_the_disk_itself_has_its_class() {
    let mut bench = bench();
    let mut told = |flags| {
        let bytes = below_mount(WATCH_ID_BLOCK_DEVICE, flags);
        let Action::Credential {
            object,
            class,
            operation,
            other: Some(new),
            ..
        } = bench.event(&bytes).action
        else {
            panic!()
        };
        (object.path, class, operation, new)
    };
    let (path, class, operation, new) = told(0);
    assert_eq!(
        (path.to_string(), new.to_string()),
        ("/mnt/k".into(), "/mnt/n".into())
    );
    assert_eq!(
        (class.as_str(), operation),
        (BLOCK_DEVICE_CLASS, Operation::Renamed)
    );
    // Directories next to the root are missing: the mount cannot be put before them.
    assert_eq!(told(PathTail::TOO_DEEP).0.to_string(), ".../k");
}
