//! Each fact: one event inside, one outside, one on the border.

use super::*;
use crate::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{Attribution, Expected, FileObject, Lineage, NoSession, Operation},
    id::{AgentName, BootId, EventId, Source},
};

fn label(text: &str) -> PathLabel {
    PathLabel {
        text: text.into(),
        truncated: false,
    }
}

fn object(path: &str) -> FileObject {
    FileObject {
        device: 1,
        inode: 1,
        generation: 1,
        path: label(path),
    }
}

fn session(number: u128) -> SessionId {
    SessionId::from_parts(UnixNs(7_000_000), number)
}

/// The facts of what a session did; of what nobody's process did for none.
fn found(session: Option<SessionId>, action: Action) -> Vec<Fact> {
    let lineage = Lineage::Kernel;
    let kind = action.kind();
    let found = facts(&Event {
        id: EventId {
            agent: AgentName::new("jump-1").unwrap(),
            boot: BootId::from_parts(UnixNs(0), 1),
            source: Source::Agent,
            sequence: 1,
        },
        at: UnixNs(0),
        boot_ns: 0,
        process: None,
        attribution: Attribution {
            session,
            lineage,
            ..Attribution::none(NoSession::NoMark)
        },
        action,
    });
    assert!(found.iter().all(|fact| fact.kind() == kind));
    found
}

fn exec(exe: &str, given: &str, interpreter: &str, first: &str) -> Action {
    Action::Exec {
        exe: object(exe),
        argv: vec![first.into(), "x".into()],
        argv_bytes: 9,
        argv_truncated: false,
        redacted: 0,
        argv_digest: None,
        script: None,
        given: given.into(),
        interpreter: interpreter.into(),
    }
}

fn disguised(exe: &str, given: &str, interpreter: &str, first: &str) -> bool {
    found(None, exec(exe, given, interpreter, first)) == [Fact::Disguise]
}

#[test]
fn names_that_fit_the_object_or_the_path_as_given_are_no_disguise() {
    for (exe, given, interpreter, first) in [
        ("/usr/bin/bash", "/bin/bash", "", "-bash"),
        ("/usr/bin/bash", "/bin/bash", "", "-/bin/bash"),
        ("/usr/bin/dash", "/bin/sh", "", "sh"),
        ("/usr/bin/busybox", "/bin/ls", "", "ls"),
        ("/usr/bin/python3.11", "/usr/bin/python3", "", "python3.11"),
        ("/usr/bin/python3.11", "python3", "", "/usr/bin/python3"),
        ("/usr/bin/dash", "/opt/job", "/bin/sh", "/bin/sh"),
        ("/usr/sbin/sshd", "/usr/sbin/sshd", "", "sshd: ops [priv]"),
        (
            "/usr/bin/dbus-daemon",
            "/usr/bin/dbus-daemon",
            "",
            "@dbus-daemon",
        ),
        ("/opt/my app/run: it", "/opt/my app/run: it", "", "run: it"),
        ("/opt/my app/run", "/opt/my app/run", "", "/opt/my app/run"),
        ("/usr/bin/cat", "/dev/fd/3/cat", "", "cat"),
    ] {
        assert!(
            !disguised(exe, given, interpreter, first),
            "{exe} as {first}"
        );
    }
}

#[test]
fn who_gave_a_descriptor_gave_no_name_to_contradict() {
    let long = format!("/{}", "a/".repeat(512));
    for (exe, given, first) in [
        ("/usr/bin/busybox", "/proc/self/exe", "ls"),
        ("/usr/bin/busybox", "/proc/4711/exe", "ls"),
        ("memfd:x", "/proc/self/fd/7", "tool"),
        ("memfd:x", "/dev/fd/7", "tool"),
        ("/usr/bin/cat", "", "tool"),
        ("/usr/bin/cat", long.as_str(), "tool"),
    ] {
        assert!(!disguised(exe, given, "", first), "{given} as {first}");
    }
}

#[test]
fn another_programs_name_is_a_disguise_and_an_empty_one_too() {
    for (exe, given, interpreter, first) in [
        ("/usr/bin/cat", "/usr/bin/cat", "", "sshd"),
        ("/usr/bin/cat", "/usr/bin/cat", "", ""),
        ("/usr/bin/cat", "/usr/bin/cat", "", "-"),
        ("/usr/bin/cat", "/usr/bin/cat", "", "cat/"),
        ("/usr/bin/cat", "/usr/bin/cat", "", "sshd: /usr/bin/cat"),
        ("/usr/bin/nc", "/tmp/x", "", "[kworker/0:1]"),
        ("/usr/bin/dash", "/opt/job", "/bin/sh", "nginx"),
        // What follows a descriptor is a name again.
        ("/usr/bin/cat", "/dev/fd/3/cat", "", "sshd"),
        ("/usr/bin/cat", "/proc/self/fd/3/cat", "", "sshd"),
        ("/usr/bin/cat", "/proc/self/root/usr/bin/cat", "", "sshd"),
    ] {
        assert!(
            disguised(exe, given, interpreter, first),
            "{exe} as {first:?}"
        );
    }
}

#[test]
fn a_program_without_arguments_calls_itself_nothing() {
    let mut action = exec("/usr/bin/cat", "/usr/bin/cat", "", "");
    let Action::Exec { argv, .. } = &mut action else {
        panic!()
    };
    argv.clear();
    assert_eq!(found(None, action), []);
}

fn process(session: Option<SessionId>, holds_credentials: bool) -> ProcessRef {
    ProcessRef {
        pid: 5,
        start_boot_ns: Some(9),
        session,
        holds_credentials,
        exe: None,
    }
}

#[test]
fn memory_stands_out_outside_of_the_own_session_and_of_who_holds_credentials() {
    let by = |who, target, access| {
        let action = Action::Memory {
            target,
            access,
            syscall: None,
            denied: false,
        };
        found(who, action)
    };
    let (one, other) = (Some(session(1)), Some(session(2)));
    let attached = MemoryAccess::Attached;
    assert_eq!(by(one, process(one, false), attached), []);
    assert_eq!(
        by(one, process(one, true), attached),
        [Fact::MemoryOfHolder]
    );
    let outside = [Fact::MemoryOfOtherSession];
    assert_eq!(by(one, process(other, false), attached), outside);
    assert_eq!(by(one, process(None, false), attached), outside);
    assert_eq!(by(None, process(one, false), attached), outside);
    assert_eq!(by(None, process(None, false), attached), []);
    assert_eq!(
        by(one, process(other, true), MemoryAccess::MemoryFile),
        [Fact::MemoryOfHolder, Fact::MemoryOfOtherSession]
    );
    // A file that a process opened is not in its environment; and `ps` opens
    // the environment of every process that it may.
    let environment = MemoryAccess::Environment;
    assert_eq!(
        by(one, process(other, true), environment),
        [Fact::EnvironmentOfOtherSession]
    );
    assert_eq!(by(one, process(one, true), environment), []);
    // The parent reads the caller's memory, not the caller the parent's.
    assert_eq!(
        by(one, process(one, true), MemoryAccess::TracedByParent),
        []
    );
    let unknown = ProcessRef {
        start_boot_ns: None,
        ..process(None, false)
    };
    assert_eq!(by(one, unknown, attached), []);
}

#[test]
fn signals_stand_out_that_dump_a_holder_or_cross_sessions() {
    let by = |target, number| found(Some(session(1)), Action::Signal { target, number });
    let (own, other) = (Some(session(1)), Some(session(2)));
    assert_eq!(by(process(own, true), 11), [Fact::DumpOfHolder]);
    assert_eq!(by(process(own, true), 9), []);
    assert_eq!(by(process(own, false), 11), []);
    assert_eq!(by(process(None, false), 11), []);
    assert_eq!(by(process(other, false), 15), [Fact::SignalToOtherSession]);
}

#[test]
fn the_ground_stands_out_when_a_session_changes_it() {
    let by = |who, change| {
        let action = Action::Host {
            change,
            number: 0,
            detail: ByteText::default(),
            path: None,
            target: None,
            denied: false,
        };
        found(who, action)
    };
    let one = Some(session(1));
    for (change, kind) in [
        (HostChange::Module, Fact::KernelCode),
        (HostChange::Kexec, Fact::KernelCode),
        (HostChange::Bpf, Fact::KernelProbe),
        (HostChange::Perf, Fact::KernelProbe),
        (HostChange::LoginUid, Fact::LoginIdChanged),
    ] {
        assert_eq!(by(one, change), [Fact::HostChanged, kind]);
        assert_eq!(by(None, change), []);
    }
    assert_eq!(by(one, HostChange::Mounted), [Fact::HostChanged]);
    assert_eq!(by(None, HostChange::RevocationList), [Fact::ListChanged]);
}

#[test]
fn listeners_and_raw_sockets_stand_out_and_everyday_sockets_do_not() {
    let by = |who, operation, family, socket_type| {
        let action = Action::Socket {
            operation,
            family,
            socket_type,
            protocol: 0,
            local: None,
            peer: None,
            net_ns: 1,
            denied: false,
        };
        found(who, action)
    };
    let one = Some(session(1));
    let (made, listening) = (SocketOperation::Created, SocketOperation::Listening);
    for family in [2, 10, 40] {
        assert_eq!(by(one, listening, family, 1), [Fact::Listener]);
        assert_eq!(by(None, listening, family, 1), []);
    }
    for (family, socket_type) in [(2, 3), (10, 3), (17, 3), (17, 2), (44, 3)] {
        assert_eq!(by(one, made, family, socket_type), [Fact::RawSocket]);
        assert_eq!(by(None, made, family, socket_type), []);
    }
    // A unix listener; ping without the raw right; netlink; vsock.
    assert_eq!(by(one, listening, 1, 1), []);
    assert_eq!(by(one, made, 2, 2), []);
    assert_eq!(by(one, made, 16, 3), []);
    assert_eq!(by(one, made, 40, 1), []);
    assert_eq!(by(one, SocketOperation::Bound, 2, 1), []);
    assert_eq!(by(one, SocketOperation::Accepted, 2, 1), []);
}

/// A use of a file, which the broker hands out or not, expected or not.
fn credential(
    class: &str,
    operation: Operation,
    (injected, expected): (bool, Option<Expected>),
) -> Action {
    Action::Credential {
        object: object("/srv/acme/key"),
        class: class.into(),
        tenant: None,
        tier: None,
        technique: None,
        operation,
        flags: 0,
        other: None,
        denied: false,
        expected,
        injected,
        key: None,
        counted: None,
    }
}

#[test]
fn what_the_broker_hands_out_stands_out_when_another_uses_it() {
    let by = |injected, expected| {
        let action = credential("ssh-key", Operation::Read, (injected, expected));
        found(Some(session(1)), action)
    };
    assert_eq!(by(true, None), [Fact::OutsideInjection]);
    for expected in [Expected::Injection, Expected::Program] {
        assert_eq!(by(true, Some(expected)), []);
    }
    assert_eq!(by(false, None), []);
}

#[test]
fn block_devices_and_descriptors_from_elsewhere_stand_out() {
    let by = |who, class: &str, operation| {
        let action = credential(class, operation, (false, None));
        found(who, action)
    };
    let one = Some(session(1));
    assert_eq!(
        by(one, BLOCK_DEVICE_CLASS, Operation::Read),
        [Fact::BlockDevice]
    );
    assert_eq!(by(None, BLOCK_DEVICE_CLASS, Operation::Read), []);
    for &operation in Operation::ALL {
        let passed = matches!(
            operation,
            Operation::Received | Operation::UsedElsewhere | Operation::Mapped
        );
        let found = by(one, "ssh-key", operation);
        assert_eq!(
            found.contains(&Fact::PassedDescriptor),
            passed,
            "{operation:?}"
        );
        assert_eq!(found.len(), usize::from(passed));
    }
}
