//! What people on a host write where the agent reads: arguments of programs, keys,
//! names in `/proc`.

use std::cell::OnceCell;

use monitor_agent::{
    attribute::{fingerprint_of, host::ProcessStat},
    mountinfo,
    redact::{Cut, Redactor},
};

thread_local! {
    static REDACTOR: OnceCell<Option<Redactor>> = const { OnceCell::new() };
}

/// The name of a program and its arguments, each ended by a zero byte; the last one
/// goes on unseen where it is not.
pub(crate) fn arguments(bytes: &[u8]) -> bool {
    let mut words: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let cut = match words.last() {
        Some([]) => {
            words.pop();
            Cut::No
        }
        Some(_) | None => Cut::Yes,
    };
    let Some((exe, argv)) = words.split_first() else {
        return false;
    };
    REDACTOR.with(|redactor| {
        let redactor = redactor.get_or_init(|| Redactor::new(&[7; 32]).ok());
        assert!(redactor.is_some(), "there are no rules");
        redactor
            .as_ref()
            .is_some_and(|redactor| is_redacted(redactor, argv, exe, cut))
    })
}

/// What is found lies within its argument, one behind the other; what is not found
/// stays as it was.
fn is_redacted(redactor: &Redactor, argv: &[&[u8]], exe: &[u8], cut: Cut) -> bool {
    let found = redactor.find(argv, exe, cut);
    assert!(
        found.len() == argv.len(),
        "{} of {}",
        found.len(),
        argv.len()
    );
    for (argument, found) in argv.iter().zip(&found) {
        let mut done = 0;
        for one in found {
            let range = &one.range;
            assert!(
                done <= range.start && range.start <= range.end && range.end <= argument.len(),
                "{found:?} in {} bytes",
                argument.len()
            );
            done = range.end;
        }
    }
    let count: usize = found.iter().map(Vec::len).sum();
    let (cleaned, told) = redactor.arguments(argv, exe, cut);
    assert!(usize::try_from(told) == Ok(count), "{told} of {count}");
    let is_clean = found.iter().all(Vec::is_empty);
    assert!(!is_clean || cleaned == argv, "{cleaned:?} of {argv:?}");
    true
}

/// A file that begins as a private key of OpenSSH does.
pub(crate) fn key(bytes: &[u8]) -> bool {
    fingerprint_of(bytes).is_some()
}

/// `/proc/PID/stat`, `/proc/self/mountinfo`.
pub(crate) fn procfs(bytes: &[u8]) -> bool {
    let lines = mountinfo::lines(bytes);
    let are_mounts = lines.filter(|line| line.point != b"/").count() > 0;
    are_mounts | ProcessStat::parse(&String::from_utf8_lossy(bytes)).is_some()
}
