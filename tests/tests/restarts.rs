//! Programs that are killed in the middle of the scene lose no event.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use monitor_tests::command::{self, command};
use monitor_tests::completeness::{self, Holdings};
use monitor_tests::scene::{Scene, expect};
use monitor_tests::test_stage::{self, TestStage};

fn mid_scene(ground: &TestStage) -> Scene {
    let mut scene = Scene::open(&ground.stage, &ground.facts, &ground.timeline, "alice").unwrap();
    scene.arrives().unwrap();
    scene.works(&ground.stage).unwrap();
    scene.leaves_something_running().unwrap();
    scene
}

/// Runs programs in the session that can be told apart by their arguments.
fn acts(scene: &mut Scene, mark: &str, times: usize) {
    let login = scene.login.as_mut().unwrap();
    for number in 0..times {
        assert_eq!(
            login
                .types(&format!("/bin/echo {mark}-{number}"))
                .unwrap()
                .code,
            0
        );
    }
}

/// All of them are in a ledger, and belong to the session.
fn is_told(scene: &Scene, mark: &str, times: usize) {
    for number in 0..times {
        let argument = format!("{mark}-{number}");
        expect(&scene.facts, &scene.session, "in_scope", "exec", |fact| {
            fact.text("/event/action/argv/1") == argument
        })
        .unwrap();
    }
}

fn plays_on(ground: &mut TestStage, scene: &mut Scene) -> Holdings {
    scene.strays(&ground.stage).unwrap();
    scene.is_cut_off(&ground.stage).unwrap();
    ground.stage.services.check().unwrap();
    let holdings = completeness::settle(&ground.stage).unwrap();
    assert_eq!(holdings.gaps(), [], "the kernel delivered every event");
    holdings
}

#[test]
fn killed_agent_loses_no_event_that_the_kernel_delivered() {
    let Some(mut ground) = test_stage::whole("agent").unwrap() else {
        return;
    };
    let mut scene = mid_scene(&ground);
    ground.stage.services.kill("monitor-agent").unwrap();
    acts(&mut scene, "while-the-agent-is-away", 20);
    ground.stage.services.start_agent().unwrap();
    ground.stage.services.agent_is_ready().unwrap();
    acts(&mut scene, "when-it-is-back", 3);
    is_told(&scene, "while-the-agent-is-away", 20);
    is_told(&scene, "when-it-is-back", 3);
    let resumed = ground.facts.all(|fact| {
        fact.is_event("agent_started")
            && fact.value.pointer("/event/action/resumed") == Some(&true.into())
    });
    assert_eq!(resumed.len(), 1, "the probes went on without the agent");
    let holdings = plays_on(&mut ground, &mut scene);
    assert!(holdings.events() > 40, "{holdings:?}");
}

#[test]
fn agent_killed_again_and_again_loses_nothing_and_repeats_nothing() {
    let Some(mut ground) = test_stage::whole("agents").unwrap() else {
        return;
    };
    let mut scene = mid_scene(&ground);
    for round in 0..5 {
        acts(&mut scene, &format!("before-{round}"), 5);
        ground.stage.services.kill("monitor-agent").unwrap();
        acts(&mut scene, &format!("after-{round}"), 5);
        ground.stage.services.start_agent().unwrap();
    }
    ground.stage.services.agent_is_ready().unwrap();
    for round in 0..5 {
        is_told(&scene, &format!("before-{round}"), 5);
        is_told(&scene, &format!("after-{round}"), 5);
    }
    plays_on(&mut ground, &mut scene);
}

#[test]
fn killed_collector_loses_no_event_that_the_agent_has() {
    let Some(mut ground) = test_stage::whole("collector").unwrap() else {
        return;
    };
    let mut scene = mid_scene(&ground);
    ground.stage.services.kill("monitor-collector").unwrap();
    acts(&mut scene, "while-the-collector-is-away", 20);
    ground.stage.services.start_collector().unwrap();
    is_told(&scene, "while-the-collector-is-away", 20);
    plays_on(&mut ground, &mut scene);
}

#[test]
fn killed_broker_carries_out_the_order_when_it_is_back() {
    let Some(mut ground) = test_stage::whole("broker").unwrap() else {
        return;
    };
    let mut scene = mid_scene(&ground);
    ground.stage.services.kill("monitor-broker").unwrap();
    scene.strays(&ground.stage).unwrap();
    // The host waits for nobody: the session is gone while the broker is away.
    let detached = scene.detached.unwrap();
    monitor_tests::poll::until_true(
        "the end of the detached child",
        monitor_tests::scene::SEEN_WITHIN,
        || !detached.lives(),
    )
    .unwrap();
    ground.stage.services.start_broker().unwrap();
    scene.is_cut_off(&ground.stage).unwrap();
    let mut query = command("ssh-keygen", ["-Q", "-f"]);
    let certificate = scene.certificate.as_ref().unwrap();
    let output =
        command::output(query.arg(ground.stage.folder.krl()).arg(&certificate.file)).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", command::said(&output));
}
