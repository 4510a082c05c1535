//! An agent whose records have another form follows the one that runs, and the other
//! way round: no act is lost, none is told twice, and sessions go on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use monitor_tests::completeness;
use monitor_tests::facts::Fact;
use monitor_tests::poll;
use monitor_tests::scene::{SEEN_WITHIN, Scene};
use monitor_tests::test_stage::{self, TestStage};

const AGENT: &str = "monitor-agent";
/// The same with another form of records; `cargo xtask test` builds it.
const NEXT: &str = "monitor-agent-next";

/// Programs that a session runs one after the other, in the background: each has
/// its number.
struct Work {
    folder: tempfile::TempDir,
}

impl Work {
    fn begin(scene: &mut Scene) -> Self {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        // A person writes into it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(folder.path(), open).unwrap();
        let work = Self { folder };
        let script = format!(
            "(n=0; while [ ! -e {end} ]; do n=$((n+1)); /bin/echo work-$n >{log}; done) & :",
            end = work.file("end").display(),
            log = work.file("log").display(),
        );
        let said = scene.login.as_mut().unwrap().types(&script).unwrap();
        assert_eq!(said.code, 0, "{said:?}");
        work
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How much of it is done.
    fn done(&self) -> u64 {
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        let number = log.trim().strip_prefix("work-").map(str::parse);
        number.and_then(Result::ok).unwrap_or(0)
    }

    fn goes_on(&self) {
        let done = self.done();
        poll::until_true("more work", SEEN_WITHIN, || self.done() > done + 100).unwrap();
    }

    fn ends(&self, scene: &mut Scene) -> u64 {
        fs::write(self.file("end"), "").unwrap();
        let waited = scene.login.as_mut().unwrap().types("wait").unwrap();
        assert_eq!(waited.code, 0, "{waited:?}");
        self.done()
    }
}

/// Each is told once, as of the session.
fn is_told_once(scene: &Scene, work: u64) {
    let numbers = || {
        let of_work = |fact: &Fact| {
            fact.is_event("exec")
                && fact.session() == scene.session
                && fact.text("/event/action/argv/1").starts_with("work-")
        };
        let told = scene.facts.all(of_work);
        let number = |fact: &Fact| {
            let name = fact.text("/event/action/argv/1");
            name.trim_start_matches("work-").parse::<u64>().unwrap()
        };
        told.iter().map(number).collect::<Vec<_>>()
    };
    let all: BTreeSet<u64> = (1..=work).collect();
    let waited = poll::until_true("all that was done", SEEN_WITHIN, || {
        numbers().into_iter().collect::<BTreeSet<_>>() == all
    });
    let told = numbers();
    let seen: BTreeSet<u64> = told.iter().copied().collect();
    let missing: Vec<_> = all.difference(&seen).collect();
    assert!(waited.is_ok(), "of {work} are missing {missing:?}");
    assert_eq!(told.len(), all.len(), "some are told twice");
}

fn replace(ground: &TestStage, name: &str) {
    let program = test_stage::programs().unwrap().join(name);
    let folder = &ground.stage.folder;
    folder.replace_program(AGENT, &program).unwrap();
}

/// Puts another agent in the place of the one that is gone, lets something happen
/// meanwhile, and starts it.
fn follows(ground: &mut TestStage, name: &str, work: &Work) {
    replace(ground, name);
    work.goes_on();
    let before = starts(ground).len();
    ground.stage.services.start_agent().unwrap();
    ground.stage.services.agent_is_ready().unwrap();
    let is_told = || starts(ground).len() == before + 1;
    poll::until_true("the start", SEEN_WITHIN, is_told).unwrap();
    work.goes_on();
}

/// For each start of an agent, whether what happened before it is known.
fn starts(ground: &TestStage) -> Vec<bool> {
    let starts = ground.facts.all(|fact| fact.is_event("agent_started"));
    let resumed = |fact: &Fact| fact.value.pointer("/event/action/resumed") == Some(&true.into());
    starts.iter().map(resumed).collect()
}

/// A session in which much happens, all the time.
fn busy(ground: &TestStage) -> (Scene, Work) {
    let mut scene = Scene::open(&ground.stage, &ground.facts, &ground.timeline, "alice").unwrap();
    scene.arrives().unwrap();
    scene.works(&ground.stage).unwrap();
    scene.leaves_something_running().unwrap();
    let work = Work::begin(&mut scene);
    work.goes_on();
    (scene, work)
}

/// Everything is told once, and who strays is cut off.
fn all_is_well(ground: &mut TestStage, scene: &mut Scene, work: &Work) {
    let done = work.ends(scene);
    is_told_once(scene, done);
    // Whoever runs holds the session to its grant.
    scene.strays(&ground.stage).unwrap();
    scene.is_cut_off(&ground.stage).unwrap();
    ground.stage.services.check().unwrap();
    let holdings = completeness::settle(&ground.stage).unwrap();
    assert_eq!(holdings.gaps(), [], "nothing is missing");
}

#[test]
fn agents_with_other_probes_follow_each_other_and_every_act_is_told_once() {
    let Some(mut ground) = test_stage::whole("upgrade").unwrap() else {
        return;
    };
    let ground = &mut ground;
    let (mut scene, work) = busy(ground);
    ground.stage.services.end(AGENT).unwrap();
    follows(ground, NEXT, &work);
    ground.stage.services.kill(AGENT).unwrap();
    follows(ground, AGENT, &work);
    assert_eq!(starts(ground), [false, true, true]);
    all_is_well(ground, &mut scene, &work);
}

/// Each kill comes later after the start than the one before: while probes are
/// loaded, attached, followed, read and forgotten, and after it.
#[test]
fn agents_killed_while_they_follow_each_other_lose_nothing_and_repeat_nothing() {
    const LATER: Duration = Duration::from_millis(300);
    const ROUNDS: u32 = 18;
    let Some(mut ground) = test_stage::whole("upgrades").unwrap() else {
        return;
    };
    let ground = &mut ground;
    let (mut scene, work) = busy(ground);
    ground.stage.services.end(AGENT).unwrap();
    for round in 0..ROUNDS {
        replace(ground, if round % 3 == 2 { AGENT } else { NEXT });
        ground.stage.services.start_agent().unwrap();
        // What is injected is when it dies.
        std::thread::sleep(LATER * round);
        ground.stage.services.kill(AGENT).unwrap();
    }
    follows(ground, NEXT, &work);
    all_is_well(ground, &mut scene, &work);
}
