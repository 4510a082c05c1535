//! produced = stored once + named gaps + on its way: counted from outside, while
//! everything runs and while parts of it are away.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use monitor_tests::completeness;
use monitor_tests::equation;
use monitor_tests::poll;
use monitor_tests::scene::{SEEN_WITHIN, Scene};
use monitor_tests::test_stage;

/// Runs a program many times over, as fast as a shell can.
fn floods(scene: &mut Scene) {
    let login = scene.login.as_mut().unwrap();
    let said = login
        .types("for n in $(seq 300); do /bin/true; done")
        .unwrap();
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn every_number_is_in_one_place_whoever_is_away_and_a_ledger_that_is_gone_is_missed() {
    let Some(mut ground) = test_stage::whole("equation").unwrap() else {
        return;
    };
    let mut scene = Scene::open(&ground.stage, &ground.facts, &ground.timeline, "alice").unwrap();
    scene.arrives().unwrap();
    let folder = ground.stage.folder.clone();
    floods(&mut scene);
    let running = equation::holds(&folder).unwrap();
    assert!(running.by_kernel > 0, "{running:?}");

    ground.stage.services.kill("monitor-collector").unwrap();
    floods(&mut scene);
    let in_spool = || equation::holds(&folder).unwrap().spool > 300;
    poll::until_true("the spool to fill", SEEN_WITHIN, in_spool).unwrap();

    ground.stage.services.kill("monitor-agent").unwrap();
    floods(&mut scene);
    let away = equation::holds(&folder).unwrap();
    assert!(away.spool > 300 && away.ring > 300, "{away:?}");

    ground.stage.services.start_collector().unwrap();
    ground.stage.services.start_agent().unwrap();
    ground.stage.services.agent_is_ready().unwrap();
    let is_stored = || {
        let now = equation::holds(&folder).unwrap();
        now.stored >= away.produced
    };
    poll::until_true("all of it to be stored", SEEN_WITHIN, is_stored).unwrap();
    completeness::settle(&ground.stage).unwrap();
    assert_eq!(equation::holds(&folder).unwrap().gaps, 0);

    ground.stage.services.kill("monitor-collector").unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("ledger")).unwrap();
    for file in fs::read_dir(folder.at("collector/ledger")).unwrap() {
        let file = file.unwrap();
        fs::copy(
            file.path(),
            copy.path().join("ledger").join(file.file_name()),
        )
        .unwrap();
    }
    assert!(equation::of(&folder, copy.path()).unwrap().holds);
    for rest in ["", "-wal", "-shm"] {
        _ = fs::remove_file(copy.path().join(format!("ledger/acme.db{rest}")));
    }
    let without = equation::of(&folder, copy.path()).unwrap();
    assert!(!without.holds && without.lost > 300, "{without:?}");
}
