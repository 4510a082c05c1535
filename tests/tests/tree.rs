//! `monitorctl sessions --tree` beside what really lives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use monitor_tests::command;
use monitor_tests::poll;
use monitor_tests::scene::{SEEN_WITHIN, Scene};
use monitor_tests::stage::config;
use monitor_tests::test_stage::{self, TestStage};
use serde_json::Value;

/// By number: the program, and the parent.
type Living = BTreeMap<u32, (PathBuf, u32)>;

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default()
}

/// What /proc has of the login.
fn lives(ground: &TestStage) -> Living {
    let processes = ground.stage.sshd().unwrap().login_processes().unwrap();
    let of = |process: &monitor_tests::processes::Process| {
        Some((process.pid, (process.executable()?, process.parent()?)))
    };
    processes.iter().filter_map(of).collect()
}

/// What monitorctl shows of the session.
fn shown(ground: &TestStage, session: &str) -> Vec<Value> {
    let folder = &ground.stage.folder;
    let mut tree = config::monitorctl(folder, ["sessions", "--tree", "-o", "ndjson"]).unwrap();
    let said = command::stdout(&mut tree).unwrap_or_default();
    let all = said.lines().map(|line| serde_json::from_str(line).unwrap());
    let of_session = |live: &Value| text(live, "/session/id") == session;
    let found: Option<Value> = all.into_iter().find(of_session);
    let processes = found.and_then(|live| live.pointer("/processes")?.as_array().cloned());
    processes.unwrap_or_default()
}

/// The same of it as /proc has; parents by who made them.
fn told(processes: &[Value]) -> Living {
    let number = |process: &Value, field| {
        let number = process.pointer(field).and_then(Value::as_u64);
        u32::try_from(number.unwrap_or_default()).unwrap()
    };
    let of = |process: &Value| {
        let exe = text(process, "/exe/text").into();
        (
            number(process, "/pid"),
            (exe, number(process, "/parent_pid")),
        )
    };
    processes.iter().map(of).collect()
}

/// Whether both have the same processes with the same programs. Of parents the
/// tree keeps who made a process, /proc who has it now.
fn agrees(ground: &TestStage, scene: &Scene) {
    let same = || {
        let (shown, lives) = (told(&shown(ground, &scene.session)), lives(ground));
        let programs = |all: &Living| -> Vec<_> {
            all.iter()
                .map(|(pid, (exe, _))| (*pid, exe.clone()))
                .collect()
        };
        programs(&shown) == programs(&lives)
    };
    let agreed = poll::until_true("the tree and /proc to agree", SEEN_WITHIN, same);
    assert!(
        agreed.is_ok(),
        "{:#?}\n{:#?}",
        told(&shown(ground, &scene.session)),
        lives(ground)
    );
}

#[test]
fn tree_is_what_lives_also_after_restarts_of_agent_and_collector() {
    let Some(mut ground) = test_stage::whole("tree").unwrap() else {
        return;
    };
    let mut scene = Scene::open(&ground.stage, &ground.facts, &ground.timeline, "alice").unwrap();
    scene.arrives().unwrap();
    scene.leaves_something_running().unwrap();
    agrees(&ground, &scene);
    let detached = scene.detached.unwrap();
    let found = shown(&ground, &scene.session);
    let sleep = found.iter().find(|process| process["pid"] == detached.pid);
    let sleep = sleep.unwrap();
    assert_eq!(
        sleep["arguments"]["argv"],
        serde_json::json!(["sleep", "600"])
    );
    assert_eq!(sleep["lineage"], "kernel");
    // Its maker is gone, and nothing is made up in its place.
    assert_eq!(sleep["depth"], 0, "{sleep}");
    let deepest = found.iter().filter_map(|process| process["depth"].as_u64());
    assert!(deepest.max() >= Some(2), "{found:?}");

    // What starts and ends while either is away is there when it is back.
    for program in ["monitor-agent", "monitor-collector"] {
        ground.stage.services.kill(program).unwrap();
        let login = scene.login.as_mut().unwrap();
        login
            .types("(sleep 601 </dev/null >/dev/null 2>&1 &)")
            .unwrap();
        login
            .types("for n in $(seq 50); do /bin/true; done")
            .unwrap();
        if program == "monitor-agent" {
            ground.stage.services.start_agent().unwrap();
            ground.stage.services.agent_is_ready().unwrap();
        } else {
            ground.stage.services.start_collector().unwrap();
        }
        agrees(&ground, &scene);
    }
    detached.kill();
    agrees(&ground, &scene);
}
