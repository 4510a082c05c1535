//! Starts of programs.

use std::os::unix::fs::MetadataExt;

use monitor_agent::kernel::Family;
use monitor_common::{Exec, file::device_from_stat};

use crate::{
    actor::Actor,
    rig::{DIGEST_KEY, Rig, Seen},
};

fn execs(seen: &[Seen]) -> Vec<(&Exec, &str, &[u8])> {
    let mut execs = Vec::new();
    for seen in seen {
        if let Seen::Exec {
            exec, path, argv, ..
        } = seen
        {
            execs.push((exec, path.as_str(), argv.as_slice()));
        }
    }
    execs
}

#[test]
fn every_family_says_what_it_sees_or_what_is_not_seen_and_why() {
    let Some(rig) = Rig::new() else { return };
    assert!(!rig.report.resumed);
    assert_eq!(rig.report.families.len(), Family::ALL.len());
    for family in &rig.report.families {
        let is_armed = family.armed.is_some();
        assert!(!family.misses.is_empty(), "{family:?}");
        assert_eq!(family.sees.is_empty(), !is_armed, "{family:?}");
    }
}

#[test]
fn exec_tells_the_terminal_that_controls_the_process() {
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let inside = format!(
        "/usr/bin/stat -L -c %Hr:%Lr /dev/stdin > {}",
        told.display()
    );
    let on_terminal = format!("/usr/bin/script -q -c '{inside}' /dev/null < /dev/null > /dev/null");
    let actor = Actor::shell(&format!("{on_terminal}; /usr/bin/setsid -w /usr/bin/true"))
        .marked(&rig.probes, rig.mark);
    actor.act();
    let seen = rig.collect_until_ended();
    let terminal_of = |program: &str| {
        let execs = execs(&seen);
        let found = execs.iter().find(|(_, path, _)| path.ends_with(program));
        found.map(|(exec, ..)| exec.terminal).unwrap()
    };
    let terminal = terminal_of("/stat");
    let numbers = format!("{}:{}", terminal >> 20, terminal & 0xf_ffff);
    assert_eq!(std::fs::read_to_string(told).unwrap().trim(), numbers);
    assert_ne!(terminal, 0);
    assert_eq!(terminal_of("/true"), 0);
}

#[test]
fn exec_tells_file_arguments_and_who() {
    let Some(mut rig) = Rig::new() else { return };
    let actor = Actor::shell("exec /usr/bin/env -i printf %s hello").marked(&rig.probes, rig.mark);
    let pid = actor.child.id();
    assert_eq!(actor.act(), "hello");
    let seen = rig.collect_until_ended();
    let execs = execs(&seen);
    // env, and printf from it.
    assert_eq!(execs.len(), 2, "{execs:#?}");
    let (exec, path, argv) = execs[0];
    assert_eq!(argv, b"/usr/bin/env\0-i\0printf\0%s\0hello\0");
    assert_eq!(exec.argv_bytes_true, argv.len() as u64);
    assert_eq!(exec.header.pid, pid);
    assert_eq!(exec.header.ppid, std::process::id());
    assert_eq!(exec.header.uid, 0);
    assert!(exec.header.netns > 0 && exec.header.mntns > 0 && exec.header.pidns > 0);
    let file = std::fs::metadata("/usr/bin/env").unwrap();
    assert_eq!(
        (exec.exe.device, exec.exe.inode),
        (device_from_stat(file.dev()), file.ino())
    );
    assert_eq!(exec.exe.mode, file.mode());
    assert_eq!(
        path,
        std::fs::canonicalize("/usr/bin/env")
            .unwrap()
            .to_str()
            .unwrap()
    );
    let ns = |kind: &str| {
        std::fs::metadata(format!("/proc/self/ns/{kind}"))
            .unwrap()
            .ino()
    };
    assert_eq!(u64::from(exec.header.netns), ns("net"));
    assert_eq!(u64::from(exec.header.mntns), ns("mnt"));
    assert_eq!(u64::from(exec.header.pidns), ns("pid"));
}

#[test]
fn long_arguments_are_cut_and_their_true_length_is_told() {
    let Some(mut rig) = Rig::new() else { return };
    let script = "exec env printf %s \"$(printf %09999d 0)\"";
    let said = Actor::shell(script).marked(&rig.probes, rig.mark).act();
    assert_eq!(said.len(), 9_999);
    let seen = rig.collect_until_ended();
    let (exec, _, argv) = *execs(&seen).last().unwrap();
    assert_eq!(exec.argv_bytes_true, "printf\0%s\0".len() as u64 + 10_000);
    assert_eq!(argv.len(), 4_096);
    assert!(argv.starts_with(b"printf\0%s\x0000"));
}

/// The tail of the area has each length modulo eight, and the area crosses
/// pages and chunks.
#[test]
fn digest_is_of_all_arguments_where_the_record_lacks_some() {
    let Some(mut rig) = Rig::new() else { return };
    let is_armed = rig
        .report
        .families
        .iter()
        .any(|family| family.family == Family::Arguments && family.armed.is_some());
    let lengths = [4_083, 4_084, 4_090, 4_097, 4_351, 4_352, 9_999, 131_000];
    let words: Vec<String> = lengths.iter().map(ToString::to_string).collect();
    let script = format!(
        "for n in {}; do env printf '' \"$(printf %0${{n}}d 7)\"; done",
        words.join(" ")
    );
    Actor::shell(&script).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    let printf: Vec<_> = execs(&seen)
        .into_iter()
        .filter(|(_, _, argv)| argv.starts_with(b"printf\0\0"))
        .collect();
    assert_eq!(printf.len(), lengths.len());
    for ((exec, _, argv), length) in printf.into_iter().zip(lengths) {
        let mut all = b"printf\0\0".to_vec();
        all.resize(all.len() + length - 1, b'0');
        all.extend_from_slice(b"7\0");
        assert_eq!(exec.argv_bytes_true, all.len() as u64);
        let is_cut = argv.len() < all.len();
        assert_eq!(is_cut, length >= 4_090, "{length}");
        let is_known = exec.flags & Exec::DIGEST_KNOWN != 0;
        assert_eq!(is_known, is_cut && is_armed, "{length}");
        if is_known {
            let wanted = monitor_common::digest::digest(DIGEST_KEY, &all);
            assert_eq!(exec.argv_digest, wanted, "{length}");
        }
    }
}

#[test]
fn script_is_told_by_what_was_asked_for_and_by_what_runs() {
    use std::os::unix::fs::PermissionsExt;
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("job");
    std::fs::write(&script, "#!/bin/sh -e\n:\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let found = std::fs::metadata(&script).unwrap();
    Actor::shell(&format!("exec {}", script.display()))
        .marked(&rig.probes, rig.mark)
        .act();
    let seen = rig.collect_until_ended();
    let told = seen.iter().rev().find_map(|seen| match seen {
        Seen::Exec {
            exec,
            given,
            interpreter,
            ..
        } => Some((exec, given, interpreter)),
        _ => None,
    });
    let (exec, given, interpreter) = told.unwrap();
    assert_eq!(given, script.to_str().unwrap().as_bytes());
    assert_eq!(interpreter, b"/bin/sh");
    let sees_scripts = rig
        .report
        .families
        .iter()
        .any(|family| family.family == Family::Script && family.armed.is_some());
    assert_eq!(exec.flags & Exec::SCRIPT_KNOWN != 0, sees_scripts);
    let inode = if sees_scripts { found.ino() } else { 0 };
    assert_eq!(exec.script.inode, inode);
}

#[test]
fn deleted_program_is_told_by_its_missing_links() {
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy-of-sleep");
    std::fs::copy("/usr/bin/sleep", &copy).unwrap();
    let script = format!("exec 3<{0}; rm {0}; exec /proc/self/fd/3 0", copy.display());
    Actor::shell(&script).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    let (exec, path, _) = *execs(&seen).last().unwrap();
    assert_eq!(exec.exe.links, 0, "{path}");
    assert!(path.ends_with("/copy-of-sleep"), "{path}");
}

#[test]
fn deep_path_says_what_is_missing() {
    let Some(mut rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut deep = folder.path().to_path_buf();
    for _ in 0..70 {
        deep.push("d");
    }
    std::fs::create_dir_all(&deep).unwrap();
    let copy = deep.join("true");
    std::fs::copy("/usr/bin/true", &copy).unwrap();
    Actor::shell(&format!("exec {}", copy.display()))
        .marked(&rig.probes, rig.mark)
        .act();
    let seen = rig.collect_until_ended();
    let (exec, path, _) = *execs(&seen).last().unwrap();
    assert_eq!(exec.path.flags, monitor_common::file::PathTail::TOO_DEEP);
    assert!(
        path.starts_with("…/d/d/") && path.ends_with("/d/true"),
        "{path}"
    );
}
