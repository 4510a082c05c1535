//! The main job, end to end: the demo's scene, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use monitor_tests::command::{self, command};
use monitor_tests::stage::{Shape, Stage, cleanup, lock::Lock};
use monitor_tests::{processes, scene, test_stage};

#[test]
fn engineer_who_strays_is_seen_judged_and_cut_off() {
    let Some(mut ground) = test_stage::whole("scene").unwrap() else {
        return;
    };
    let report = scene::play(&mut ground.stage, &ground.facts, &ground.timeline).unwrap();
    assert!(report.happened, "{report:#?}");
    assert_eq!(report.steps.len(), 13, "{report:#?}");
    for (name, ms) in &report.since_kernel_event_ms {
        assert!(ms.is_f64(), "{name} was not measured: {report:#?}");
    }
    let gone = report
        .times
        .since_event_ms(report.times.last_process_gone_unix_ns);
    // Far above the bar of 250 ms: other tests may run on this machine.
    assert!(
        gone.unwrap() < 5_000.0,
        "the session was gone after {gone:?} ms"
    );
}

#[test]
fn stage_that_is_taken_down_leaves_nothing() {
    if !test_stage::can_run() {
        return;
    }
    let stage = Stage::set(&test_stage::settings("leaves").unwrap(), Shape::Scene).unwrap();
    let root = stage.folder.root().to_owned();
    assert!(root.is_dir());
    stage.take_down().unwrap();
    nothing_is_left(&root);
}

#[test]
fn stage_whose_program_was_killed_is_removed_by_the_next() {
    if !test_stage::can_run() {
        return;
    }
    let settings = test_stage::settings("killed").unwrap();
    let mut child = command(env!("CARGO_BIN_EXE_monitor-stage"), [&settings.name])
        .env("MONITOR_BIN_DIR", &settings.programs)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "stands\n");
    child.kill().unwrap();
    child.wait().unwrap();
    let root = Path::new("/var/lib").join(&settings.name);
    assert!(!processes::of_folder(&root).unwrap().is_empty());
    let _lock = Lock::take(settings.patience).unwrap();
    assert_eq!(cleanup::sweep().unwrap(), std::slice::from_ref(&root));
    nothing_is_left(&root);
}

/// No process, mount, namespace, interface, probe or file.
fn nothing_is_left(root: &Path) {
    assert!(!root.exists(), "{} is left", root.display());
    assert_eq!(processes::of_folder(root).unwrap(), []);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&root.display().to_string()), "{mounts}");
    let namespaces = command::stdout(&mut command("ip", ["netns", "list"])).unwrap();
    assert!(!namespaces.contains("monitor-"), "{namespaces}");
    let links = command::stdout(&mut command("ip", ["-o", "link"])).unwrap();
    assert!(
        !links.contains("mon-acme") && !links.contains("mon-globex"),
        "{links}"
    );
}
