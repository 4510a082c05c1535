//! The disk of the agent's spool is full: sessions of the tenant whose policy says
//! so stand still, those of another run a tenth of the time or go on, and all of
//! them go on once there is room. Nothing is lost that is not named.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use monitor_tests::engineer::{Arrived, Login};
use monitor_tests::equation;
use monitor_tests::facts::{self, Facts};
use monitor_tests::faults::disk::{self, Disk};
use monitor_tests::poll;
use monitor_tests::stage::program::Program;
use monitor_tests::stage::{Shape, Stage};
use monitor_tests::test_stage;
use monitor_tests::timeline::{Show, Timeline};
use serde_json::Value;

/// Longest wait for what takes seconds.
const SOON: Duration = Duration::from_secs(60);
/// Over which time it is looked how much is done.
const A_WHILE: Duration = Duration::from_secs(4);
/// What the agent is told of tenants; the policy acts after a second.
const POLICY: &str = "[spool]\nfailure_seconds = 1\n\
    [[spool.tenant]]\ntenant = \"acme\"\non_failure = \"fail_closed\"\n\
    [[spool.tenant]]\ntenant = \"globex\"\non_failure = \"throttle\"\n";

/// Somebody who adds a letter to a file as fast as a shell can, without a program.
struct Worker {
    session: String,
    file: PathBuf,
    _login: Login,
}

impl Worker {
    fn arrives(stage: &Stage, facts: &Facts, who: (&str, &str), place: &Path) -> Self {
        let Arrived {
            mut login, session, ..
        } = Arrived::at(stage, facts, who).unwrap();
        let file = place.join(who.0);
        // Until the folder is removed.
        let work = format!(
            "while [ -e {place} ]; do echo -n x >> {file}; done",
            place = place.display(),
            file = file.display()
        );
        let typed = login.types(&format!("(exec setsid bash -c '{work}' >/dev/null 2>&1) &"));
        assert_eq!(typed.unwrap().code, 0);
        poll::until_true("the work to begin", SOON, || done(&file) > 0).unwrap();
        Self {
            session,
            file,
            _login: login,
        }
    }

    /// How much of it is done in a while.
    fn does(&self) -> u64 {
        let (before, start) = (done(&self.file), Instant::now());
        poll::until_true("a while", SOON, || start.elapsed() >= A_WHILE).unwrap();
        done(&self.file) - before
    }
}

fn done(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// Has the agent start with the policy.
fn with_policy(stage: &mut Stage) {
    let file = stage.folder.at(Program::Agent.config());
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("[spool]"), "{text}");
    fs::write(&file, format!("{text}{POLICY}")).unwrap();
    stage.services.kill(Program::Agent.name()).unwrap();
    stage.services.start_program(Program::Agent).unwrap();
    stage.services.core_is_ready().unwrap();
}

fn receipt_of(facts: &Facts, session: &str, mode: &str) -> bool {
    let receipts = facts.all(|fact| {
        fact.is_event("contained")
            && fact.text("/event/action/receipt/session") == session
            && fact.text("/event/action/receipt/mode") == mode
            && fact.value.pointer("/event/action/receipt/unstored") == Some(&Value::Bool(true))
    });
    !receipts.is_empty()
}

#[test]
fn while_events_cannot_be_stored_each_tenants_sessions_do_as_its_policy_says() {
    if !test_stage::can_run() {
        return;
    }
    let settings = test_stage::settings("unstored").unwrap();
    let mut stage = Stage::set_prepared(&settings, Shape::Scene, disk::lay).unwrap();
    with_policy(&mut stage);
    let facts = facts::shown_on(&stage.folder, &Timeline::new(Show::Nothing).into()).unwrap();
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let arrives = |who| Worker::arrives(&stage, &facts, who, place.path());
    let (alice, bob) = (arrives(("alice", "acme")), arrives(("bob", "globex")));
    let before = bob.does();
    assert!(alice.does() > 0);

    let spool = Disk::of(&stage.folder, Program::Agent);
    spool.keeps_pages(0).unwrap();
    // Somebody outside of every session fills what is left of the spool.
    let mut filler = std::process::Command::new("bash")
        .args(["-c", "while [ -e $0 ]; do /bin/true; done"])
        .arg(place.path())
        .spawn()
        .unwrap();
    let stands = || alice.does() == 0;
    let stood = poll::until_true("the session of acme to stand still", SOON, stands);
    let of_bob = bob.does();
    spool.is_wide().unwrap();
    filler.kill().unwrap();
    filler.wait().unwrap();
    stood.unwrap();
    assert!(
        0 < of_bob && of_bob < before / 2,
        "{of_bob} in {A_WHILE:?}, {before} before"
    );

    poll::until_true("the session of acme to go on", SOON, || alice.does() > 0).unwrap();
    poll::until_true("the session of globex to run as before", SOON, || {
        bob.does() > before / 2
    })
    .unwrap();
    for mode in ["freeze", "release"] {
        poll::until_true("a receipt", SOON, || {
            receipt_of(&facts, &alice.session, mode)
        })
        .unwrap();
        assert!(!receipt_of(&facts, &bob.session, mode), "{mode}");
    }
    let sum = equation::holds(&stage.folder)
        .context("after the disk was full")
        .unwrap();
    assert!(sum.by_kernel > 0, "{sum:?}");
    stage.services.check().unwrap();
}
