//! Programs that are killed in the middle of the scene lose no event.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use monitor_tests::command::{self, command};
use monitor_tests::completeness::{self, Holdings};
use monitor_tests::facts::Fact;
use monitor_tests::poll;
use monitor_tests::scene::{SEEN_WITHIN, Scene, curl};
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

/// Runs the same program many times over, as fast as a shell can.
fn floods(scene: &mut Scene, times: usize) {
    let login = scene.login.as_mut().unwrap();
    let said = login
        .types(&format!("for n in $(seq {times}); do /bin/true; done"))
        .unwrap();
    assert_eq!(said.code, 0, "{said:?}");
}

/// Each run of the flood is in a ledger, and belongs to the session.
fn flood_is_told(scene: &Scene, times: usize) {
    let told = || {
        let of_flood = |fact: &Fact| {
            fact.is_event("exec")
                && fact.session() == scene.session
                && fact.text("/event/action/exe/path/text").ends_with("/true")
        };
        scene.facts.all(of_flood).len()
    };
    let waited = poll::until_true("the whole flood", SEEN_WITHIN, || told() >= times);
    assert!(waited.is_ok(), "{} of {times} are told", told());
    assert_eq!(told(), times);
}

/// All of them are in a ledger, and belong to the session.
fn is_told(scene: &Scene, mark: &str, times: usize) {
    let untold = || {
        let told = scene.facts.all(|fact| {
            fact.is_event("exec") && fact.session() == scene.session && fact.verdict() == "in_scope"
        });
        let mut untold: Vec<String> = (0..times).map(|n| format!("{mark}-{n}")).collect();
        untold.retain(|word| {
            told.iter()
                .all(|fact| fact.text("/event/action/argv/1") != word)
        });
        untold
    };
    let waited = poll::until_true(mark, SEEN_WITHIN, || untold().is_empty());
    assert!(
        waited.is_ok(),
        "{:?} are not told; of {} facts the last is {:?}",
        untold(),
        scene.facts.count(),
        scene.facts.all(|_| true).last()
    );
}

fn plays_on(ground: &mut TestStage, scene: &mut Scene) -> Holdings {
    scene.strays(&ground.stage).unwrap();
    scene.is_cut_off(&ground.stage).unwrap();
    ground.stage.services.check().unwrap();
    let holdings = completeness::settle(&ground.stage).unwrap();
    assert_eq!(holdings.gaps(), [], "the kernel delivered every event");
    let folder = ground.stage.folder.clone();
    ground.stage.services.kill("monitor-collector").unwrap();
    let mut verify = command(
        folder.program("monitor-collector"),
        ["verify", "--data-dir"],
    );
    command::stdout(verify.arg(folder.at("collector"))).unwrap();
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
    floods(&mut scene, 1000);
    ground.stage.services.start_agent().unwrap();
    ground.stage.services.agent_is_ready().unwrap();
    acts(&mut scene, "when-it-is-back", 3);
    is_told(&scene, "while-the-agent-is-away", 20);
    is_told(&scene, "when-it-is-back", 3);
    flood_is_told(&scene, 1000);
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
    acts(&mut scene, "first", 40);
    is_told(&scene, "first", 40);
    for round in 0..8 {
        ground.stage.services.kill("monitor-agent").unwrap();
        // In every other round nothing waits when it comes back.
        let away = format!("away-{round}");
        let acts_away = if round % 2 == 0 { 5 } else { 0 };
        acts(&mut scene, &away, acts_away);
        ground.stage.services.start_agent().unwrap();
        ground.stage.services.agent_is_ready().unwrap();
        let back = format!("back-{round}");
        acts(&mut scene, &back, 5);
        is_told(&scene, &away, acts_away);
        is_told(&scene, &back, 5);
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
    floods(&mut scene, 1000);
    ground.stage.services.start_collector().unwrap();
    is_told(&scene, "while-the-collector-is-away", 20);
    flood_is_told(&scene, 1000);
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
    poll::until_true("the end of the detached child", SEEN_WITHIN, || {
        !detached.lives()
    })
    .unwrap();
    ground.stage.services.start_broker().unwrap();
    scene.is_cut_off(&ground.stage).unwrap();
    let mut query = command("ssh-keygen", ["-Q", "-f"]);
    let certificate = scene.certificate.as_ref().unwrap();
    let output =
        command::output(query.arg(ground.stage.folder.krl()).arg(&certificate.file)).unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", command::said(&output));
}

#[test]
fn what_happened_while_the_agent_was_away_is_answered_when_it_is_back() {
    let Some(mut ground) = test_stage::whole("late").unwrap() else {
        return;
    };
    let mut scene = mid_scene(&ground);
    ground.stage.services.kill("monitor-agent").unwrap();
    let login = scene.login.as_mut().unwrap();
    let file = ground.stage.folder.credential("globex");
    login.types(&format!("cat {}", file.display())).unwrap();
    assert_eq!(login.types(&curl("globex")).unwrap().text.trim(), "globex");
    ground.stage.services.start_agent().unwrap();
    let alert = scene
        .facts
        .wait("the alert that revokes", SEEN_WITHIN, |fact| {
            fact.is_alert() && fact.text("/alert/response") == "revoke"
        })
        .unwrap();
    scene.order = alert.text("/alert/order").to_owned();
    scene.is_cut_off(&ground.stage).unwrap();
}

#[test]
fn agent_killed_when_the_alert_is_raised_ends_the_session_when_it_is_back() {
    let Some(mut ground) = test_stage::whole("killed-at-alert").unwrap() else {
        return;
    };
    let mut scene = mid_scene(&ground);
    scene.strays(&ground.stage).unwrap();
    ground.stage.services.kill("monitor-agent").unwrap();
    ground.stage.services.start_agent().unwrap();
    ground.stage.services.agent_is_ready().unwrap();
    scene.is_cut_off(&ground.stage).unwrap();
    completeness::settle(&ground.stage).unwrap();
}

#[test]
fn collector_killed_when_the_alert_is_raised_has_its_order_carried_out() {
    let Some(mut ground) = test_stage::whole("order").unwrap() else {
        return;
    };
    let mut scene = mid_scene(&ground);
    scene.strays(&ground.stage).unwrap();
    ground.stage.services.kill("monitor-collector").unwrap();
    ground.stage.services.start_collector().unwrap();
    scene.is_cut_off(&ground.stage).unwrap();
    completeness::settle(&ground.stage).unwrap();
}
