//! Small blocks at the end of a file become one as soon as that is full.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicBool, Ordering},
};

use monitor_ledger::{block::BLOCK_RECORDS_MAX, postings};
use monitor_model::event::{Action, RemovalReason};
use proptest::prelude::*;

use super::{super::scan::Scan, *};
use crate::testing::event;

/// First position and number of entries of each block.
fn blocks(folder: &Path) -> Vec<(u64, u64)> {
    let connection = Connection::open(Ledger::path(folder, &tenant())).unwrap();
    let mut statement = connection
        .prepare("SELECT first, count FROM block ORDER BY first")
        .unwrap();
    let blocks = statement.query_map([], |row| Ok((number(row.get(0)?), number(row.get(1)?))));
    blocks.unwrap().collect::<Result<_, _>>().unwrap()
}

/// Positions of what has the terms of these entries, the newest first where asked.
fn found(folder: &Path, backwards: bool) -> Vec<u64> {
    let reader = Reader::open(folder, &tenant()).unwrap();
    let filter = Filter {
        object_prefix: "/srv/acme".to_owned(),
        ..Filter::default()
    };
    let scan = Scan {
        terms: reader.terms(&filter),
        backwards,
        ..Scan::all()
    };
    let mut found = Vec::new();
    reader
        .scan(&scan, |entry| {
            if filter.admits_objects(&entry.judged.event) {
                found.push(entry.position);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

#[test]
fn entries_that_come_a_few_at_a_time_lie_in_full_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = signing(folder.path());
    for sequence in 1..=600 {
        add(&mut ledger, sequence);
        if sequence % 7 == 0 {
            ledger.commit(UnixNs(sequence)).unwrap();
        }
        if sequence % 140 == 0 {
            drop(ledger);
            ledger = signing(folder.path());
        }
    }
    ledger.commit(UnixNs::MAX).unwrap();
    let blocks = blocks(folder.path());
    assert_eq!(blocks[..2], [(1, 256), (257, 256)]);
    let small: u64 = blocks[2..].iter().map(|(_, count)| count).sum();
    assert_eq!(small, 600 - 512);
    assert_eq!(whole(folder.path(), "acme"), 600);
    assert_eq!(found(folder.path(), false), (1..=600).collect::<Vec<_>>());
}

#[test]
fn readers_see_every_entry_while_blocks_are_joined() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = signing(folder.path());
    add(&mut ledger, 1);
    ledger.commit(UnixNs(1)).unwrap();
    let is_done = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let read = scope.spawn(|| {
            let mut reads = 0;
            while !is_done.load(Ordering::Relaxed) {
                let forward = found(folder.path(), false);
                let mut backward = found(folder.path(), true);
                backward.reverse();
                for positions in [forward, backward] {
                    let expected: Vec<u64> = (1..).take(positions.len()).collect();
                    assert_eq!(positions, expected);
                }
                reads += 1;
            }
            reads
        });
        for sequence in 2..=1_500 {
            add(&mut ledger, sequence);
            ledger.commit(UnixNs(sequence)).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        read.join().unwrap()
    });
    assert!(reads > 0);
    assert_eq!(
        blocks(folder.path())[..5]
            .iter()
            .map(|(_, count)| count)
            .sum::<u64>(),
        1_280
    );
    assert_eq!(whole(folder.path(), "acme"), 1_500);
}

#[test]
fn what_was_removed_is_not_put_into_another_block() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = signing(folder.path());
    for sequence in 1..=20 {
        add(&mut ledger, sequence);
        ledger.commit(UnixNs(sequence)).unwrap();
    }
    let swept = ledger.sweep(1, UnixNs(1_011), &|_| false).unwrap();
    assert_eq!(swept.removed, Some((1, 10)));
    tell(&mut ledger, 21, (1, 10));
    for sequence in 22..=600 {
        add(&mut ledger, sequence);
        ledger.commit(UnixNs(sequence)).unwrap();
    }
    ledger.commit(UnixNs::MAX).unwrap();
    drop(ledger);
    drop(signing(folder.path()));
    assert_eq!(whole(folder.path(), "acme"), 600);
    let left: Vec<u64> = (11..=20).chain(22..=600).collect();
    assert_eq!(found(folder.path(), false), left);
}

/// Adds what tells of a removal.
fn tell(ledger: &mut Ledger, sequence: u64, (first, last): (u64, u64)) {
    let action = Action::Removed {
        first,
        last,
        reason: RemovalReason::Retention,
        contract: String::new(),
        held_back: 0,
    };
    let event = event(event_id("collector", Source::Collector, sequence), action);
    ledger
        .append(judged(event), UnixNs(1_000 + sequence))
        .unwrap();
}

/// What becomes of a ledger, step by step.
#[derive(Clone, Debug)]
enum Step {
    /// So many entries in one group.
    Group(u64),
    /// The program ends and starts.
    Anew,
    /// What is there waits no longer for a run.
    Gather,
    /// Content up to about there is removed, and told.
    Sweep(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u64..40).prop_map(Step::Group),
        2 => (100u64..600).prop_map(Step::Group),
        1 => Just(Step::Anew),
        1 => Just(Step::Gather),
        1 => (0u64..100).prop_map(Step::Sweep),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_comes_the_ledger_is_whole_and_all_that_is_kept_is_found(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = signing(folder.path());
        let (mut sequence, mut kept) = (0, std::collections::BTreeSet::new());
        for step in steps {
            match step {
                Step::Group(entries) => {
                    for _ in 0..entries {
                        sequence += 1;
                        add(&mut ledger, sequence);
                        kept.insert(sequence);
                    }
                }
                Step::Anew => {
                    drop(ledger);
                    ledger = signing(folder.path());
                }
                Step::Gather => {
                    let small = u64::try_from(ledger.tail.records()).unwrap();
                    postings::gather(&ledger.connection, sequence + 1 - small).unwrap();
                }
                Step::Sweep(percent) => {
                    let before = UnixNs(1_001 + sequence * percent / 100);
                    let swept = ledger.sweep(1, before, &|_| false).unwrap();
                    if let Some((first, last)) = swept.removed {
                        kept.retain(|at| !(first..=last).contains(at));
                        sequence += 1;
                        tell(&mut ledger, sequence, (first, last));
                    }
                }
            }
            ledger.commit(UnixNs(sequence)).unwrap();
            prop_assert!(ledger.tail.records() < BLOCK_RECORDS_MAX);
        }
        ledger.commit(UnixNs::MAX).unwrap();
        if sequence > 0 {
            prop_assert_eq!(whole(folder.path(), "acme"), sequence);
        }
        prop_assert_eq!(found(folder.path(), false), kept.into_iter().collect::<Vec<_>>());
    }
}
