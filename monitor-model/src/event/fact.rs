//! What stands out in an event, whatever was granted. Pure.
//!
//! Facts come from kernel objects. The one exception is [`Fact::Disguise`]: it
//! says that a string of the caller contradicts the object, and decides
//! nothing else.

use serde::Serialize;

use super::{Action, Event, FileObject, ProcessRef, SocketOperation};
use crate::bytes::ByteText;

macro_rules! named_facts {
    ($($variant:ident => $name:literal, $doc:literal;)*) => {
        /// Something that stands out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Fact { $(#[doc = $doc] $variant,)* }

        impl Fact {
            /// Every fact.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in rules and JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

named_facts! {
    Disguise => "disguise", "The program calls itself otherwise than the object that runs.";
    MemoryOfHolder => "memory_of_holder", "Memory of a process that opened a watched file.";
    MemoryOfOtherSession => "memory_of_other_session", "Memory of a process of another session.";
    DumpOfHolder => "dump_of_holder", "A signal that dumps the memory of a process that opened a watched file.";
    SignalToOtherSession => "signal_to_other_session", "A signal to a process of another session.";
    HostChanged => "host_changed", "A session changed the ground that the monitor stands on.";
    Listener => "listener", "A session made a socket that listens.";
    RawSocket => "raw_socket", "A session made a raw or packet socket.";
    BlockDevice => "block_device", "A block device was opened: all files on it can be read past the file system.";
    PassedDescriptor => "passed_descriptor", "A watched file was used through a descriptor from elsewhere.";
}

/// Class that the agent gives to block devices.
pub const BLOCK_DEVICE_CLASS: &str = "block-device";

/// What stands out in an event; empty for most.
#[must_use]
pub fn facts(event: &Event) -> Vec<Fact> {
    let session = event.attribution.session;
    let of_session = |fact| session.is_some().then_some(fact);
    let is_other = |target: &ProcessRef| target.session.is_some() && target.session != session;
    let found = match &event.action {
        Action::Exec {
            exe,
            argv,
            given,
            interpreter,
            ..
        } => [
            is_disguised(exe, argv, given, interpreter).then_some(Fact::Disguise),
            None,
        ],
        Action::Memory { target, .. } => [
            target.holds_credentials.then_some(Fact::MemoryOfHolder),
            is_other(target).then_some(Fact::MemoryOfOtherSession),
        ],
        Action::Signal { target, number } => [
            (target.holds_credentials && dumps(*number)).then_some(Fact::DumpOfHolder),
            is_other(target).then_some(Fact::SignalToOtherSession),
        ],
        Action::Host { .. } => [of_session(Fact::HostChanged), None],
        Action::Socket {
            operation: SocketOperation::Listening,
            ..
        } => [of_session(Fact::Listener), None],
        Action::Socket {
            operation: SocketOperation::Created,
            ..
        } => [of_session(Fact::RawSocket), None],
        Action::Credential {
            class, operation, ..
        } => [
            (class == BLOCK_DEVICE_CLASS).then_some(Fact::BlockDevice),
            operation
                .is_from_elsewhere()
                .then_some(Fact::PassedDescriptor),
        ],
        Action::Socket { .. }
        | Action::LocalConnect { .. }
        | Action::Identity { .. }
        | Action::Connect { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::AgentStarted { .. } => [None, None],
    };
    found.into_iter().flatten().collect()
}

/// Signals whose default action is to dump memory (signal(7)).
const fn dumps(signal: u32) -> bool {
    matches!(signal, 3 | 4 | 5 | 6 | 7 | 8 | 11 | 24 | 25 | 31)
}

/// Whether the first argument names none of what was asked for, what the
/// script asked for, and what runs.
fn is_disguised(
    exe: &FileObject,
    argv: &[ByteText],
    given: &ByteText,
    interpreter: &ByteText,
) -> bool {
    let Some(first) = argv.first() else {
        return false;
    };
    if given.0.is_empty() || is_of_the_kernel(&given.0) {
        // The caller had a descriptor, not a name: nothing to contradict.
        return false;
    }
    let called = first.file_name();
    // A login shell's name begins with a dash (login(1)).
    let called = called.0.strip_prefix(b"-").unwrap_or(&called.0);
    // A title may follow the name: `sshd: ops [priv]`.
    let called = called
        .split(|byte| matches!(byte, b':' | b' '))
        .next()
        .unwrap_or_default();
    ![given, interpreter, &exe.path.text]
        .into_iter()
        .any(|name| !name.0.is_empty() && name.file_name().0 == called)
}

/// Names that lead to a file through the kernel: `/proc/self/exe`, `/dev/fd/3`.
fn is_of_the_kernel(given: &[u8]) -> bool {
    given.starts_with(b"/proc/") || given.starts_with(b"/dev/fd/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::PathLabel;

    fn disguised(exe: &str, given: &str, interpreter: &str, first: &str) -> bool {
        let exe = FileObject {
            device: 1,
            inode: 1,
            generation: 1,
            path: PathLabel {
                text: exe.into(),
                truncated: false,
            },
        };
        is_disguised(&exe, &[first.into()], &given.into(), &interpreter.into())
    }

    #[test]
    fn names_that_fit_the_object_or_the_path_as_given_are_no_disguise() {
        for (exe, given, interpreter, first) in [
            ("/usr/bin/bash", "/bin/bash", "", "-bash"),
            ("/usr/bin/dash", "/bin/sh", "", "sh"),
            ("/usr/bin/busybox", "/bin/ls", "", "ls"),
            ("/usr/bin/busybox", "/proc/self/exe", "", "ls"),
            (
                "/usr/bin/python3.11",
                "/usr/bin/python3",
                "",
                "/usr/bin/python3",
            ),
            ("/usr/bin/dash", "/opt/job", "/bin/sh", "/bin/sh"),
            ("/usr/sbin/sshd", "/usr/sbin/sshd", "", "sshd: ops [priv]"),
        ] {
            assert!(
                !disguised(exe, given, interpreter, first),
                "{exe} as {first}"
            );
        }
    }

    #[test]
    fn another_programs_name_is_a_disguise_and_an_empty_one_too() {
        assert!(disguised("/usr/bin/cat", "/usr/bin/cat", "", "sshd"));
        assert!(disguised("/usr/bin/cat", "/usr/bin/cat", "", ""));
        assert!(disguised("/usr/bin/nc", "/tmp/x", "", "[kworker/0:1]"));
    }
}
