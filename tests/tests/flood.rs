//! A session opens files as fast as it can while another one reads a credential
//! now and then: each of those reads comes to whoever watches, and in time; and
//! each act of the flood is told or counted in somebody's name, also when the agent
//! is killed in the middle of it.
//!
//! `MONITOR_TEST_READS` is the number of reads, 20 by default.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use monitor_tests::engineer::Arrived;
use monitor_tests::equation;
use monitor_tests::facts::Fact;
use monitor_tests::poll;
use monitor_tests::stage::TENANTS;
use monitor_tests::stage::program::Program;
use monitor_tests::test_stage::{self, TestStage};

/// Reads, when nobody asks for more.
const READS: usize = 20;
/// Between two reads.
const APART: Duration = Duration::from_millis(100);
/// Longest wait for what takes milliseconds, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// What happens while somebody reads.
#[derive(Clone, Copy)]
enum During {
    /// Files that nobody watches are opened without pause.
    Ordinary,
    /// A watched one is.
    Watched,
    /// The same, and the agent is killed at every fourth read, and comes back.
    WatchedAndKilled,
}

impl During {
    fn opened(self, ground: &TestStage) -> PathBuf {
        match self {
            Self::Ordinary => "/etc/hostname".into(),
            Self::Watched | Self::WatchedAndKilled => ground.stage.folder.credential(TENANTS[0]),
        }
    }

    fn is_watched(self) -> bool {
        !matches!(self, Self::Ordinary)
    }

    fn kills(self, ground: &mut TestStage, read: usize) {
        if matches!(self, Self::WatchedAndKilled) && read % 4 == 2 {
            let services = &mut ground.stage.services;
            services.kill(Program::Agent.name()).unwrap();
            services.start_program(Program::Agent).unwrap();
        }
    }
}

/// Milliseconds from the kernel's event of each read until it was seen by a
/// subscriber, in order.
fn seen_during(name: &str, flood: During) -> Option<Vec<f64>> {
    let mut ground = test_stage::whole(name).unwrap()?;
    let reads = std::env::var("MONITOR_TEST_READS");
    let reads = reads.map_or(READS, |text| text.parse().unwrap());
    let arrives = |name| Arrived::at(&ground.stage, &ground.facts, (name, TENANTS[0])).unwrap();
    let Arrived {
        login: mut alice,
        session: flooding,
        ..
    } = arrives("alice");
    let Arrived {
        login: mut bob,
        session,
        ..
    } = arrives("bob");
    let (opened, going) = (flood.opened(&ground), ground.stage.folder.at("run/flood"));
    std::fs::write(&going, "").unwrap();
    let perl = format!(
        "perl -e 'while (-e \"{}\") {{ for (1..1000) {{ open(F, \"<\", \"{}\") or die; close F }} $n++ }} print 1000 * $n, \"\\n\"'",
        going.display(),
        opened.display()
    );
    let begun = Instant::now();
    let marker = alice.sends(&perl).unwrap();
    let credential = ground.stage.folder.credential(TENANTS[0]);
    for read in 0..reads {
        let next = Instant::now();
        flood.kills(&mut ground, read);
        let typed = bob.types(&format!("cat {} > /dev/null", credential.display()));
        assert_eq!(typed.unwrap().code, 0);
        poll::until_true("the next read", SOON, || next.elapsed() >= APART).unwrap();
    }
    std::fs::remove_file(&going).unwrap();
    let said = alice.hears(&perl, &marker).unwrap();
    assert_eq!(said.code, 0, "{said:?}");
    let opens: u64 = said
        .text
        .trim()
        .parse()
        .with_context(|| format!("{said:?}"))
        .unwrap();
    let took = begun.elapsed().as_secs_f64();
    let seen = || of(&ground, &session);
    let all = poll::until_true("every read", SOON, || seen().len() >= reads);
    let mut seen = seen();
    if flood.is_watched() {
        told_or_counted(&ground, &flooding, opens);
    }
    let sum = equation::holds(&ground.stage.folder).unwrap();
    eprintln!(
        "{name}: {:.0} opens a second for {took:.1} s; {} of {reads} reads told; {sum:?}",
        f64::from(u32::try_from(opens).unwrap()) / took,
        seen.len()
    );
    all.unwrap();
    assert_eq!(seen.len(), reads, "each once");
    assert_eq!(sum.gaps, 0, "what is counted is no gap");
    seen.sort_by(f64::total_cmp);
    let at = |part: usize| seen.get((seen.len() * part / 100).min(seen.len() - 1));
    eprintln!(
        "{name}: seen after ms: p50 {:?}, p99 {:?}, max {:?}",
        at(50),
        at(99),
        at(100)
    );
    Some(seen)
}

/// Every act of the flood is one event, or one of those that an event stands for,
/// attributed and judged as all others; waits until they are there.
fn told_or_counted(ground: &TestStage, session: &str, opens: u64) {
    let of_flood = || {
        ground.facts.all(|fact| {
            fact.is_event("credential")
                && fact.session() == session
                && fact.text("/event/process/comm") == "perl"
        })
    };
    let acts = |fact: &Fact| fact.number("/event/action/counted/acts").unwrap_or(1);
    let sum = || of_flood().iter().map(acts).sum::<u64>();
    let all = poll::until_true("every act of the flood", SOON, || sum() >= opens);
    let events = of_flood();
    let counting = events.iter().filter(|fact| acts(fact) > 1).count();
    eprintln!(
        "{} of {opens} acts in {} events, {counting} of which count the others",
        sum(),
        events.len()
    );
    all.unwrap();
    assert_eq!(sum(), opens, "each once");
    assert!(counting > 0);
    for fact in events.iter().filter(|fact| acts(fact) > 1) {
        let (first, last) = ("/event/action/counted/first_at", "/event/at");
        assert!(fact.number(first).unwrap() <= fact.number(last).unwrap());
        assert_eq!((fact.principal(), fact.verdict()), ("alice", "in_scope"));
    }
}

/// Milliseconds of each read of a session, from the kernel to a subscriber.
fn of(ground: &TestStage, session: &str) -> Vec<f64> {
    let reads = ground
        .facts
        .all(|fact| fact.is_event("credential") && fact.session() == session);
    let late = reads.iter().map(|fact| {
        let at = fact.number("/event/at").unwrap();
        Duration::from_nanos(fact.seen_unix_ns.saturating_sub(at)).as_secs_f64() * 1_000.0
    });
    late.collect()
}

#[test]
fn a_flood_of_ordinary_opens_costs_no_read_of_a_credential() {
    seen_during("flood", During::Ordinary);
}

#[test]
fn a_flood_of_watched_opens_costs_no_read_of_a_credential() {
    seen_during("flood-watched", During::Watched);
}

#[test]
fn no_act_of_a_flood_is_lost_or_counted_twice_when_the_agent_is_killed() {
    seen_during("flood-killed", During::WatchedAndKilled);
}
