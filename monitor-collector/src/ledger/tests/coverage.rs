//! Whether everything of a host is here: numbers, gaps, and what uses up none.

use monitor_model::{
    event::{Action, Event, GapCause},
    id::BootId,
};

use super::*;
use crate::{
    ledger::coverage::{Asked, Coverage, Noted},
    testing::event,
};

const RING: Source = Source::Priority { cpu: 0 };

/// The ledgers of acme and globex, which hold a host's events between them.
struct Scene {
    folder: tempfile::TempDir,
    acme: Ledger,
    globex: Ledger,
    stamp: u64,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| Ledger::open(folder.path(), &name.parse().unwrap(), None).unwrap();
        let (acme, globex) = (open("acme"), open("globex"));
        Self {
            folder,
            acme,
            globex,
            stamp: 0,
        }
    }

    /// Stores an event; those with odd numbers lie in acme's ledger. Each is a
    /// block by itself, so that blocks have times of their own.
    fn store(&mut self, event: Event) {
        self.stamp += 1;
        let stamp = UnixNs(1_000 + self.stamp);
        let ledger = if event.id.sequence % 2 == 1 {
            &mut self.acme
        } else {
            &mut self.globex
        };
        ledger.append(judged(event), stamp).unwrap();
        ledger.end_block();
        ledger.commit(UnixNs(0)).unwrap();
    }

    /// An event of the ring that happened at ten times its number.
    fn ring(&mut self, number: u64) {
        self.at(RING, number, 10 * number, Action::Exit { status: 0 });
    }

    fn at(&mut self, source: Source, number: u64, at: u64, action: Action) {
        let mut event = event(event_id("jump-1", source, number), action);
        event.at = UnixNs(at);
        self.store(event);
    }

    fn coverage(&self, from: u64, to: u64) -> Coverage {
        let readers: Vec<Reader> = ["acme", "globex"]
            .iter()
            .map(|name| Reader::open(self.folder.path(), &name.parse().unwrap()).unwrap())
            .collect();
        let asked = Asked {
            host: "jump-1".parse().unwrap(),
            from: UnixNs(from),
            to: UnixNs(to),
            boot: None,
        };
        Coverage::of(&readers, &asked).unwrap()
    }
}

fn missing(coverage: &Coverage) -> Vec<(u64, u64, Option<&str>)> {
    let missing = coverage.missing.iter();
    missing
        .map(|one| (one.first, one.last, one.cause.as_deref()))
        .collect()
}

#[test]
fn a_host_whose_numbers_are_all_here_in_some_ledger_is_complete() {
    let mut scene = Scene::new();
    (1..=9).for_each(|number| scene.ring(number));
    let coverage = scene.coverage(30, 70);
    assert!(coverage.is_complete(UnixNs(70)), "{coverage:?}");
    assert_eq!((coverage.held[0].first, coverage.held[0].last), (3, 7));
    assert_eq!(coverage.known_to, UnixNs(90));
    assert!(
        !coverage.is_complete(UnixNs(91)),
        "nothing is known of that"
    );
    let nothing = scene.coverage(1_000, 2_000);
    assert!(nothing.held.is_empty() && !nothing.is_complete(UnixNs(50)));
}

#[test]
fn what_is_missing_is_told_with_its_cause_and_only_where_it_belongs() {
    let mut scene = Scene::new();
    for number in [1, 2, 3, 6, 7, 8, 12, 13] {
        scene.ring(number);
    }
    let gap = Action::Gap {
        source: RING,
        first: 4,
        last: 5,
        cause: GapCause::RingFull,
    };
    scene.at(Source::Agent, 1, 55, gap);
    let whole = scene.coverage(10, 130);
    assert_eq!(missing(&whole), [(4, 5, Some("ring full")), (9, 11, None)]);
    assert!(!whole.is_complete(UnixNs(130)));
    let quiet = scene.coverage(10, 29);
    assert!(quiet.is_complete(UnixNs(29)), "{quiet:?}");
    let beside = scene.coverage(61, 79);
    assert_eq!(missing(&beside), [], "8 lies between");
    let next = scene.coverage(70, 80);
    assert_eq!(
        missing(&next),
        [(9, 11, None)],
        "nothing says when they were"
    );
}

#[test]
fn numbers_before_the_first_are_missing() {
    let mut scene = Scene::new();
    (3..=5).for_each(|number| scene.ring(number));
    assert_eq!(missing(&scene.coverage(0, 50)), [(1, 2, None)]);
}

#[test]
fn times_without_a_watch_and_what_the_kernel_could_not_tell_are_told() {
    let mut scene = Scene::new();
    (1..=9).for_each(|number| scene.ring(number));
    let started = |resumed| Action::AgentStarted {
        version: "1".into(),
        kernel: "6.1".into(),
        resumed,
        hooks: Vec::new(),
    };
    let impaired = Action::Impaired {
        reason: "not_run".into(),
        program: None,
        times: 3,
        total: 3,
    };
    scene.at(Source::Agent, 1, 15, started(true));
    assert!(scene.coverage(10, 90).is_complete(UnixNs(90)));
    scene.at(Source::Agent, 2, 45, impaired);
    scene.at(Source::Agent, 3, 55, started(false));
    let coverage = scene.coverage(10, 90);
    assert!(!coverage.is_complete(UnixNs(90)));
    let notes: Vec<_> = coverage
        .notes
        .iter()
        .map(|note| (note.at.0, &note.what))
        .collect();
    let impaired = Noted::Impaired {
        reason: "not_run".into(),
        times: 3,
    };
    assert_eq!(notes, [(45, &impaired), (55, &Noted::Unwatched)]);
    let before = scene.coverage(10, 44);
    assert!(before.is_complete(UnixNs(44)), "{before:?}");
}

#[test]
fn of_a_session_only_its_boot_counts() {
    let mut scene = Scene::new();
    (1..=3).for_each(|number| scene.ring(number));
    let mut other = event(event_id("jump-1", RING, 5), Action::Exit { status: 0 });
    other.id.boot = BootId::from_parts(UnixNs(0), 2);
    other.at = UnixNs(25);
    scene.store(other);
    let mut asked = Asked {
        host: "jump-1".parse().unwrap(),
        from: UnixNs(10),
        to: UnixNs(30),
        boot: None,
    };
    let readers: Vec<Reader> = ["acme", "globex"]
        .iter()
        .map(|name| Reader::open(scene.folder.path(), &name.parse().unwrap()).unwrap())
        .collect();
    let both = Coverage::of(&readers, &asked).unwrap();
    assert_eq!(missing(&both), [(1, 4, None)]);
    asked.boot = Some(BootId::from_parts(UnixNs(0), 1));
    let one = Coverage::of(&readers, &asked).unwrap();
    assert!(one.is_complete(UnixNs(25)), "{one:?}");
}
