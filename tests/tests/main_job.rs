//! The main job, end to end: the demo's scene, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use monitor_tests::command::{self, command};
use monitor_tests::stage::{
    Shape, Stage, cleanup,
    lock::{Lock, Patience},
};
use monitor_tests::{poll, processes, scene, test_stage};

#[test]
fn engineer_who_strays_is_seen_judged_and_cut_off() {
    let Some(mut ground) = test_stage::whole("scene").unwrap() else {
        return;
    };
    let report = scene::play(&mut ground.stage, &ground.facts, &ground.timeline).unwrap();
    assert!(report.happened, "{report:#?}");
    assert_eq!(report.steps.len(), 12, "{report:#?}");
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
    // A process of its own sets a stage and is killed as by `kill -9`.
    let mut child = command(
        std::env::current_exe().unwrap(),
        ["--exact", "--ignored", "stands_until_killed"],
    )
    .stdout(Stdio::null())
    .spawn()
    .unwrap();
    let root = test_stage::settings("killed")
        .unwrap()
        .name
        .replace(&std::process::id().to_string(), &child.id().to_string());
    let root = Path::new("/var/lib").join(root);
    let stands = poll::until("a stage that stands", Duration::from_secs(60), || {
        assert!(child.try_wait()?.is_none(), "the stage was not set");
        Ok(root.join("stands").exists().then_some(()))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    stands.unwrap();
    assert!(!processes::of_folder(&root).unwrap().is_empty());
    let _lock = Lock::take(Patience::Wait(Duration::from_secs(60))).unwrap();
    assert_eq!(cleanup::sweep().unwrap(), std::slice::from_ref(&root));
    nothing_is_left(&root);
}

#[test]
#[ignore = "only a part of the test above: it stands until it is killed"]
fn stands_until_killed() {
    let stage = Stage::set(&test_stage::settings("killed").unwrap(), Shape::Scene).unwrap();
    std::fs::write(stage.folder.at("stands"), "").unwrap();
    loop {
        std::thread::park();
    }
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
