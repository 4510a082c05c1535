//! Two engineers work in one account at the same time: each event has the name
//! of who did it.
//!
//! Who did it is known by the program's file: each has copies of their own. As
//! long as `MONITOR_TEST_SECONDS` says; by default a moment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use monitor_tests::engineer::{Engineer, Grant, Login};
use monitor_tests::facts::{Fact, Facts};
use monitor_tests::poll;
use monitor_tests::stage::ACCOUNT;
use monitor_tests::test_stage::{self, TestStage};

/// How long they work, when nobody asks for more.
const SECONDS: u64 = 10;
/// How long after the end of the work its last event may come.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);
/// Lines that are typed in one login; then the next one is made.
const LINES_OF_LOGIN: u32 = 8;
/// When a certificate, which lasts an hour, is replaced by a new one.
const CERTIFICATE_RENEWED_AFTER: Duration = Duration::from_secs(1_800);
/// What each of them has a copy of.
const PROGRAMS: [&str; 4] = ["bash", "cat", "env", "curl"];

/// Events by who did it, who is named, verdict and kind.
type Tally = BTreeMap<(String, String, String, String), u64>;

/// One of the two, and what they work with.
struct Worker<'a> {
    engineer: &'a Engineer,
    grant: &'a Grant,
    /// When the certificate was made; nobody logs in while it is being replaced.
    certified: Mutex<Instant>,
    tenant: &'static str,
    programs: &'a Path,
    credential: &'a Path,
}

impl Worker<'_> {
    /// One line of mixed work: a pipeline, work in the background, a terminal's
    /// session of its own, a program that starts another, a connection.
    fn line(&self) -> String {
        let of = |name| format!("{}/{}-{name}", self.programs.display(), self.engineer.name);
        let (bash, cat, env, curl) = (of("bash"), of("cat"), of("env"), of("curl"));
        let credential = self.credential.display();
        let interface = format!("mon-{}", self.tenant);
        format!(
            "{bash} -c '{cat} {credential} > /dev/null; {cat} {credential} > /dev/null & \
             {env} {cat} {credential} | {cat} > /dev/null; \
             setsid -w {bash} -c \"{cat} {credential} > /dev/null\"; wait'; \
             {curl} -s --interface {interface} http://10.20.0.10:8080/ > /dev/null"
        )
    }

    /// What one line makes.
    fn add_expected(&self, tally: &mut Tally, lines: u64) {
        let name = &self.engineer.name;
        for (kind, times) in [("exec", 9), ("credential", 4), ("connect", 1)] {
            let key = (
                name.clone(),
                name.clone(),
                "in_scope".to_owned(),
                kind.to_owned(),
            );
            *tally.entry(key).or_default() += times * lines;
        }
    }

    fn logs_in(&self) -> Login {
        let mut certified = self.certified.lock().unwrap();
        if certified.elapsed() > CERTIFICATE_RENEWED_AFTER {
            self.engineer.gets_certificate(self.grant).unwrap();
            *certified = Instant::now();
        }
        self.engineer.logs_in(ACCOUNT).unwrap()
    }

    /// Works until the time has come, in one login after the other. How many lines.
    fn works(&self, until: Instant) -> u64 {
        let mut lines = 0;
        while Instant::now() < until {
            let mut login = self.logs_in();
            for _ in 0..LINES_OF_LOGIN {
                let said = login.types(&self.line()).unwrap();
                assert_eq!((said.text.as_str(), said.code), ("", 0));
                lines += 1;
            }
        }
        lines
    }
}

/// Who did it, by their own copy of a program.
fn doer(fact: &Fact) -> Option<&str> {
    let path = match fact.text("/event/action/kind") {
        "exec" => fact.text("/event/action/exe/path/text"),
        "credential" | "connect" => fact.text("/event/process/exe/text"),
        _ => return None,
    };
    let (name, program) = path.rsplit_once('/')?.1.split_once('-')?;
    PROGRAMS.contains(&program).then_some(name)
}

fn count(tally: &Mutex<Tally>, fact: &Fact) {
    if let Some(name) = doer(fact) {
        let kind = fact.text("/event/action/kind").to_owned();
        let principal = fact.principal().to_owned();
        let key = (name.to_owned(), principal, fact.verdict().to_owned(), kind);
        *tally.lock().unwrap().entry(key).or_default() += 1;
    }
}

fn engineer(ground: &TestStage, name: &str, tenant: &str) -> (Engineer, Grant) {
    let engineer = Engineer::new(&ground.stage, name).unwrap();
    let grant = Grant {
        id: format!("{name}-{tenant}-1"),
        tenant: tenant.to_owned(),
        ticket: "INC-4713".to_owned(),
        purpose: "work beside each other".to_owned(),
        valid_seconds: 7_200,
    };
    engineer.is_granted(&grant).unwrap();
    engineer.gets_certificate(&grant).unwrap();
    (engineer, grant)
}

fn copy_programs(folder: &Path, name: &str) {
    for program in PROGRAMS {
        let copy = folder.join(format!("{name}-{program}"));
        fs::copy(Path::new("/usr/bin").join(program), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn each_of_two_engineers_in_one_account_has_their_own_events() {
    let Some(ground) = test_stage::whole("shared-account").unwrap() else {
        return;
    };
    let seconds = std::env::var("MONITOR_TEST_SECONDS");
    let seconds = seconds.map_or(SECONDS, |text| text.parse().unwrap());
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tally = Arc::<Mutex<Tally>>::default();
    let seen = Arc::clone(&tally);
    let listener = Box::new(move |fact: &Fact| count(&seen, fact));
    let facts = Facts::read(&ground.stage.folder, listener).unwrap();
    let tenants = [("alice", "acme"), ("bob", "globex")];
    let people = tenants.map(|(name, tenant)| {
        copy_programs(programs.path(), name);
        engineer(&ground, name, tenant)
    });
    let credentials = tenants.map(|(_, tenant)| ground.stage.folder.credential(tenant));
    let workers = [0, 1].map(|one| Worker {
        engineer: &people[one].0,
        grant: &people[one].1,
        certified: Mutex::new(Instant::now()),
        tenant: tenants[one].1,
        programs: programs.path(),
        credential: &credentials[one],
    });
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut expected = Tally::new();
    thread::scope(|scope| {
        // Each in two logins at a time.
        let working: Vec<_> = workers
            .iter()
            .chain(&workers)
            .map(|worker| (worker, scope.spawn(|| worker.works(until))))
            .collect();
        for (worker, lines) in working {
            worker.add_expected(&mut expected, lines.join().unwrap());
        }
    });
    let caught_up = poll::until_true("every event to come", CAUGHT_UP_WITHIN, || {
        *tally.lock().unwrap() == expected
    });
    let seen = tally.lock().unwrap().clone();
    assert!(caught_up.is_ok(), "{seen:#?} instead of {expected:#?}");
    let total: u64 = seen.values().sum();
    eprintln!("{total} events of two engineers in {seconds} s, none with another's name");
    drop(facts);
}
