//! Agent, collector and broker are killed while sessions are revoked, each at a
//! moment that nobody chose; every order is carried out once, and none is lost.
//!
//! As many rounds as `MONITOR_TEST_KILLS` says, with a kill of each program in
//! each; by default a few. `MONITOR_TEST_SEED` plays the moments of an earlier
//! run again.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use monitor_tests::clock::now_unix_ns;
use monitor_tests::command::{self, command};
use monitor_tests::completeness;
use monitor_tests::engineer::{Certificate, Engineer, Grant, Login};
use monitor_tests::faults::chance::Chance;
use monitor_tests::poll;
use monitor_tests::processes::Process;
use monitor_tests::stage::program::Program;
use monitor_tests::stage::{ACCOUNT, config};
use monitor_tests::test_stage::{self, TestStage};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// Rounds, when nobody asks for more.
const ROUNDS: usize = 3;
/// Orders of a round, given at once.
const ORDERS: [&str; 3] = ["bob", "carla", "dave"];
/// Kills come within this after the orders were given, or after one another.
const MOMENT_MAX: Duration = Duration::from_millis(250);
/// Longest wait for what takes milliseconds, or a start of every program.
const SOON: Duration = Duration::from_secs(60);

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .with_context(|| format!("{variable}={text}"))
            .unwrap(),
    )
}

/// Somebody logged in, with a child that outlives the shell.
struct Session {
    name: &'static str,
    certificate: Certificate,
    grant: String,
    login: Login,
    detached: Process,
}

fn arrives(engineer: &Engineer, name: &'static str, round: usize) -> Result<Session> {
    let grant = Grant {
        id: format!("{name}-acme-{round}"),
        tenant: "acme".to_owned(),
        ticket: "INC-4715".to_owned(),
        purpose: "work".to_owned(),
        valid_seconds: 3_600,
    };
    engineer.is_granted(&grant)?;
    let certificate = engineer.gets_certificate(&grant)?;
    let mut login = engineer.logs_in(ACCOUNT)?;
    let said = login.types("(setsid nohup sleep infinity </dev/null >/dev/null 2>&1 & echo $!)")?;
    let pid = said
        .text
        .trim()
        .parse()
        .with_context(|| format!("{said:?}"))?;
    Ok(Session {
        name,
        certificate,
        grant: grant.id,
        login,
        detached: Process::of(pid).context("the detached child is gone")?,
    })
}

/// Everybody of a round, beside each other; again where a program is still
/// coming back.
fn all_arrive(engineers: &[(&'static str, Engineer)], round: usize) -> Vec<Session> {
    thread::scope(|scope| {
        let handles: Vec<_> = engineers
            .iter()
            .map(|(name, engineer)| {
                scope.spawn(move || {
                    let mut last = None;
                    let arrived =
                        poll::until("a login", SOON, || match arrives(engineer, name, round) {
                            Ok(session) => Ok(Some(session)),
                            Err(error) => {
                                last = Some(error);
                                Ok(None)
                            }
                        });
                    arrived
                        .with_context(|| format!("{name}: {last:?}"))
                        .unwrap()
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .collect()
    })
}

/// Asks for the end of the session that a serial opened, and waits in its own
/// process until everybody has confirmed it.
fn revoke(ground: &TestStage, session: &Session, opened: &str) -> Child {
    let arguments = [
        "revoke",
        "--session",
        opened,
        "--reason",
        "tried",
        "--yes",
        "--wait",
        "enforced",
        "--timeout",
        "60s",
        "-o",
        "json",
    ];
    let mut monitorctl = config::monitorctl(&ground.stage.folder, arguments).unwrap();
    monitorctl
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = monitorctl.spawn();
    child.with_context(|| session.name.to_owned()).unwrap()
}

/// The session that a certificate opened.
fn opened(ground: &TestStage, certificate: &Certificate) -> String {
    let fact = ground.facts.wait("the login", SOON, |fact| {
        fact.is_event("session_opened")
            && fact.number("/event/action/session/credential/serial") == Some(certificate.serial)
    });
    fact.unwrap().session().to_owned()
}

fn starts_again(ground: &mut TestStage, program: Program) {
    let services = &mut ground.stage.services;
    services.kill(program.name()).unwrap();
    services.start_program(program).unwrap();
}

/// The order as the collector has it once it is enforced. Who found no collector
/// to give an order to has given none, and gives it again.
fn enforced(ground: &TestStage, mut child: Child, session: &Session, opened: &str) -> Value {
    let given = loop {
        let output = child.wait_with_output().unwrap();
        let told = command::said(&output);
        if output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout);
            break serde_json::from_str::<Value>(&said)
                .with_context(|| told)
                .unwrap();
        }
        assert!(told.contains("cannot be reached"), "{told}");
        child = revoke(ground, session, opened);
    };
    let id = given["order"]["id"].as_str().unwrap();
    let shown = poll::until("the collector's answer", SOON, || {
        let arguments = ["orders", "show", id, "-o", "json"];
        let mut show = config::monitorctl(&ground.stage.folder, arguments)?;
        // It may be on its way back.
        let said = command::stdout(&mut show).ok();
        Ok(said.and_then(|said| serde_json::from_str::<Value>(&said).ok()))
    });
    let shown = shown.unwrap();
    assert_eq!(shown["state"], "enforced", "{shown:#}");
    shown
}

/// What the broker has of certificates: serial, and when it was revoked.
fn revoked(ground: &TestStage) -> BTreeMap<u64, u64> {
    let file = ground.stage.folder.at("broker/state.db");
    let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows = store
        .prepare("SELECT serial, revoked_at FROM certificates WHERE revoked_at IS NOT NULL")
        .unwrap();
    let pair = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let found = rows.query_map([], pair).unwrap().map(|row| {
        let (serial, at) = row.unwrap();
        (u64::try_from(serial).unwrap(), u64::try_from(at).unwrap())
    });
    found.collect()
}

/// The answers that the broker has for an order: one a credential or grant.
fn answers(ground: &TestStage, order: &str) -> Vec<(Option<i64>, Option<String>, String, i64)> {
    let file = ground.stage.folder.at("broker/state.db");
    let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows = store
        .prepare("SELECT order_id, serial, grant_id, outcome, at FROM answers ORDER BY place")
        .unwrap();
    let all = rows
        .query_map([], |row| {
            let id: Vec<u8> = row.get(0)?;
            Ok((id, (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        })
        .unwrap();
    let of_order = all.filter_map(|row| {
        let (id, answer) = row.unwrap();
        (ulid(&id) == order).then_some(answer)
    });
    of_order.collect()
}

/// Sixteen bytes as people write them: Crockford's base 32.
fn ulid(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits = u128::from_be_bytes(bytes.try_into().unwrap());
    let letter = |place: u32| {
        let at = usize::try_from((bits >> (5 * place)) & 31).unwrap();
        char::from(LETTERS[at])
    };
    (0..26).rev().map(letter).collect()
}

/// Number and serials of the revocation list, as ssh-keygen reads it.
fn krl(ground: &TestStage) -> (u64, BTreeSet<u64>) {
    let mut query = command("ssh-keygen", ["-Q", "-l", "-f"]);
    let text = command::stdout(query.arg(ground.stage.folder.krl())).unwrap();
    let mut serials = BTreeSet::new();
    let mut version = None;
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("# KRL version ") {
            version = Some(number.trim().parse().unwrap());
        } else if let Some(range) = line.strip_prefix("serial: ") {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u64, u64) =
                (first.trim().parse().unwrap(), last.trim().parse().unwrap());
            for serial in first..=last {
                assert!(serials.insert(serial), "{serial} is on the list twice");
            }
        }
    }
    (version.with_context(|| text).unwrap(), serials)
}

/// What one order did, everywhere.
fn was_applied_once(ground: &TestStage, shown: &Value, session: &mut Session, opened: &str) {
    let id = shown["order"]["id"].as_str().unwrap();
    let reached = shown["order"]["sessions"].as_array().unwrap();
    assert_eq!(reached.len(), 1, "{shown:#}");
    assert_eq!(reached[0]["session"], opened);
    assert!(reached[0]["gone_at"].is_u64(), "{shown:#}");
    assert_eq!(reached[0]["left"], 0);
    session.login.ends(SOON).unwrap();
    poll::until_true("the end of the detached child", SOON, || {
        !session.detached.lives()
    })
    .unwrap();
    // The broker: one answer for the certificate and one for its grant, each
    // "revoked", with the time at which it was the first time.
    let answers = answers(ground, id);
    let serial = i64::try_from(session.certificate.serial).unwrap();
    let of_serial = answers.iter().filter(|answer| answer.0 == Some(serial));
    let of_serial: Vec<_> = of_serial.collect();
    assert_eq!(of_serial.len(), 1, "{answers:?}");
    assert_eq!(of_serial[0].2, "revoked");
    let of_grant = answers
        .iter()
        .filter(|answer| answer.1.as_deref() == Some(&session.grant));
    assert_eq!(of_grant.count(), 1, "{answers:?}");
    let at = revoked(ground)[&session.certificate.serial];
    assert_eq!(u64::try_from(of_serial[0].3).unwrap(), at);
    // The collector has what the broker has. Where the first answer was lost, the
    // broker has said "already" with the time of the first.
    let told = shown["order"]["revoked"].as_array().unwrap();
    let mut of_serial = told
        .iter()
        .filter(|one| one["serial"] == session.certificate.serial);
    let first = of_serial.next().unwrap();
    let outcome = first["outcome"].as_str().unwrap();
    assert!(["revoked", "already_revoked"].contains(&outcome), "{first}");
    assert_eq!(first["at"].as_u64(), Some(at), "{first}");
    assert!(of_serial.next().is_none(), "{shown:#}");
    // The ledgers: one end of the session, and at most one receipt of the order;
    // none where the end was on its way already.
    ground
        .facts
        .wait("the session's end", SOON, |fact| {
            fact.is_event("session_ended") && fact.text("/event/action/session") == opened
        })
        .unwrap();
    let receipts = ground
        .facts
        .all(|fact| fact.is_event("contained") && fact.text("/event/action/receipt/order") == id);
    assert!(receipts.len() <= 1, "{receipts:#?}");
}

/// Ends of sessions in the ledgers, each once.
fn each_ended_once(ground: &TestStage, sessions: &BTreeSet<String>) {
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for fact in ground.facts.all(|fact| fact.is_event("session_ended")) {
        *ends
            .entry(fact.text("/event/action/session").to_owned())
            .or_default() += 1;
    }
    for session in sessions {
        assert_eq!(ends.get(session), Some(&1), "{session}");
    }
}

/// What became of orders in the ledgers, each change once, and to the end.
fn each_entered_once(ground: &TestStage, orders: &BTreeSet<String>) {
    let mut told: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for fact in ground.facts.all(|fact| fact.is_event("order")) {
        let order = fact.text("/event/action/entry/order").to_owned();
        let ledger = fact.text("/event/attribution/tenant").to_owned();
        let state = fact.text("/event/action/entry/state").to_owned();
        told.entry((order, ledger)).or_default().push(state);
    }
    for order in orders {
        for ledger in ["acme", "provider"] {
            let states = &told[&(order.clone(), ledger.to_owned())];
            let once: BTreeSet<&String> = states.iter().collect();
            assert_eq!(once.len(), states.len(), "{order}: {states:?}");
            let ends = (states.first(), states.last());
            assert_eq!(ends, (Some(&"in_force".into()), Some(&"enforced".into())));
        }
    }
}

struct Rounds {
    chance: Chance,
    engineers: Vec<(&'static str, Engineer)>,
    /// The revocation list's number after the last round.
    version: u64,
    /// When each certificate was revoked, as it was after its round.
    revoked: BTreeMap<u64, u64>,
    ended: BTreeSet<String>,
    orders: BTreeSet<String>,
}

impl Rounds {
    fn play(&mut self, ground: &mut TestStage, round: usize) {
        let mut sessions = all_arrive(&self.engineers, round);
        let names: Vec<String> = sessions
            .iter()
            .map(|session| opened(ground, &session.certificate))
            .collect();
        let orders: Vec<Child> = sessions
            .iter()
            .zip(&names)
            .map(|(session, opened)| revoke(ground, session, opened))
            .collect();
        let mut at = Instant::now();
        for program in self.chance.shuffled(Program::ALL) {
            at += self.chance.within(MOMENT_MAX);
            poll::until_true("the moment of a kill", SOON, || Instant::now() >= at).unwrap();
            starts_again(ground, program);
            at = at.max(Instant::now());
        }
        for ((child, session), opened) in orders.into_iter().zip(&mut sessions).zip(&names) {
            let shown = enforced(ground, child, session, opened);
            was_applied_once(ground, &shown, session, opened);
            let order = shown["order"]["id"].as_str().unwrap();
            self.orders.insert(order.to_owned());
        }
        ground.stage.services.agent_is_ready().unwrap();
        ground.stage.services.check().unwrap();
        let (version, on_list) = krl(ground);
        assert!(version > self.version, "{version} after {}", self.version);
        self.version = version;
        let now = revoked(ground);
        assert_eq!(on_list, now.keys().copied().collect());
        for (serial, at) in &self.revoked {
            assert_eq!(now.get(serial), Some(at), "{serial} was revoked again");
        }
        assert_eq!(now.len(), self.revoked.len() + sessions.len());
        self.revoked = now;
        self.ended.extend(names);
    }
}

#[test]
fn every_order_is_carried_out_once_whoever_is_killed_and_whenever() {
    let Some(mut ground) = test_stage::whole("once").unwrap() else {
        return;
    };
    let wanted = number("MONITOR_TEST_KILLS").map_or(ROUNDS, |it| usize::try_from(it).unwrap());
    let seed = number("MONITOR_TEST_SEED").unwrap_or_else(now_unix_ns);
    eprintln!("{wanted} rounds with seed {seed}");
    let engineer = |name: &'static str| (name, Engineer::new(&ground.stage, name).unwrap());
    let (_, alice) = engineer("alice");
    let mut rounds = Rounds {
        chance: Chance::new(seed),
        engineers: ORDERS.into_iter().map(engineer).collect(),
        version: krl(&ground).0,
        revoked: BTreeMap::new(),
        ended: BTreeSet::new(),
        orders: BTreeSet::new(),
    };
    let mut neighbour = arrives(&alice, "alice", 0).unwrap();
    let started = Instant::now();
    for round in 1..=wanted {
        rounds.play(&mut ground, round);
        assert_eq!(neighbour.login.types("true").unwrap().code, 0);
        assert!(neighbour.detached.lives(), "the neighbour was touched");
    }
    let took = started.elapsed();
    eprintln!(
        "{wanted} rounds, {} kills and {} orders in {:.0} s",
        wanted * Program::ALL.len(),
        wanted * ORDERS.len(),
        took.as_secs_f64()
    );
    let holdings = completeness::settle(&ground.stage).unwrap();
    assert_eq!(holdings.gaps(), [], "the kernel delivered every event");
    each_ended_once(&ground, &rounds.ended);
    each_entered_once(&ground, &rounds.orders);
}
