use proptest::prelude::*;

use super::*;

const SOURCE: Source = Source::Priority { cpu: 3 };

fn counted(produced: u64, dropped: u64) -> [Counted; 1] {
    [Counted {
        source: SOURCE,
        produced,
        dropped,
    }]
}

fn gap(first: u64, last: u64, cause: GapCause) -> Gap {
    Gap {
        source: SOURCE,
        first,
        last,
        cause,
    }
}

#[test]
fn swapped_neighbours_are_no_gap() {
    let mut sequences = Sequences::default();
    for number in [2, 1, 4, 3, 5] {
        assert_eq!(sequences.observe(SOURCE, number), Seen::New(number));
    }
    assert_eq!(sequences.settle(&counted(5, 0)), []);
    assert_eq!(sequences.settle(&counted(5, 0)), []);
}

#[test]
fn a_record_that_comes_again_is_told_apart_also_after_a_restart() {
    let mut sequences = Sequences::default();
    for number in [1, 2, 4] {
        let _ = sequences.observe(SOURCE, number);
    }
    let kept = sequences.take_changed().into_iter().collect();
    let mut sequences = Sequences::resume(kept);
    for number in [1, 2, 4] {
        assert_eq!(sequences.observe(SOURCE, number), Seen::Again);
    }
    assert_eq!(sequences.observe(SOURCE, 3), Seen::New(3));
}

#[test]
fn a_hole_is_named_only_when_it_stays_from_one_look_to_the_next() {
    let mut sequences = Sequences::default();
    let _ = sequences.observe(SOURCE, 1);
    let _ = sequences.observe(SOURCE, 3);
    assert_eq!(sequences.settle(&counted(3, 0)), []);
    assert_eq!(
        sequences.settle(&counted(3, 0)),
        [gap(2, 2, GapCause::Unexplained)]
    );
    assert_eq!(sequences.settle(&counted(3, 0)), []);
    assert_eq!(sequences.observe(SOURCE, 2), Seen::Again);
}

#[test]
fn drops_at_the_end_of_a_stream_are_named_without_a_later_record() {
    let mut sequences = Sequences::default();
    let _ = sequences.observe(SOURCE, 1);
    assert_eq!(sequences.settle(&counted(7, 6)), []);
    assert_eq!(
        sequences.settle(&counted(7, 6)),
        [gap(2, 7, GapCause::RingFull)]
    );
}

#[test]
fn a_hole_larger_than_the_counted_drops_is_explained_only_in_part() {
    let mut sequences = Sequences::default();
    let _ = sequences.observe(SOURCE, 10);
    let _ = sequences.settle(&counted(10, 4));
    assert_eq!(
        sequences.settle(&counted(10, 4)),
        [
            gap(1, 4, GapCause::RingFull),
            gap(5, 9, GapCause::Unexplained)
        ]
    );
}

#[test]
fn a_hole_is_given_up_after_so_many_later_numbers() {
    let mut sequences = Sequences::default();
    sequences.counted(&counted(0, 1));
    let max = u64::try_from(REORDER_MAX).unwrap();
    for number in 2..=max + 1 {
        let _ = sequences.observe(SOURCE, number);
        assert_eq!(sequences.overdue(), []);
    }
    let _ = sequences.observe(SOURCE, max + 2);
    assert_eq!(sequences.overdue(), [gap(1, 1, GapCause::RingFull)]);
}

#[test]
fn numbers_go_on_rising_when_probes_are_loaded_anew() {
    let mut sequences = Sequences::default();
    for number in [1, 2, 4] {
        let _ = sequences.observe(SOURCE, number);
    }
    assert_eq!(sequences.restart(), [gap(3, 3, GapCause::Unexplained)]);
    assert_eq!(sequences.observe(SOURCE, 1), Seen::New(5));
}

#[derive(Clone, Debug)]
enum Fate {
    Delivered,
    Swapped,
    Dropped,
    Repeated,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Delivered),
        1 => Just(Fate::Swapped),
        2 => Just(Fate::Dropped),
        1 => Just(Fate::Repeated),
    ];
    prop::collection::vec(fate, 0..4_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes late, twice or never, with looks and restarts of the
    /// agent in between: delivered + gaps = produced, and nothing is in both.
    #[test]
    fn delivered_and_gaps_are_all_that_was_produced(
        fates in fates(),
        breaks in prop::collection::vec(0usize..4_000, 0..6),
    ) {
        let mut sequences = Sequences::default();
        let mut told: BTreeMap<u64, u32> = BTreeMap::new();
        let mut dropped = 0;
        let mut held = None;
        let mut produced = 0;
        for (at, fate) in fates.iter().enumerate() {
            produced += 1;
            let mut arrived = Vec::new();
            match fate {
                Fate::Repeated => arrived.extend([produced, produced]),
                Fate::Dropped => dropped += 1,
                Fate::Swapped if held.is_none() => held = Some(produced),
                Fate::Delivered | Fate::Swapped => arrived.push(produced),
            }
            if !matches!(fate, Fate::Swapped) {
                arrived.extend(held.take());
            }
            for number in arrived {
                if let Seen::New(number) = sequences.observe(SOURCE, number) {
                    *told.entry(number).or_default() += 1;
                }
            }
            sequences.counted(&counted(produced, dropped));
            let mut gaps = sequences.overdue();
            if breaks.contains(&at) && held.is_none() {
                gaps.extend(sequences.settle(&counted(produced, dropped)));
                // The agent is killed, and starts again from what was kept.
                let mut kept = std::mem::take(&mut sequences).streams;
                kept.retain(|_, stream| stream.newest() > 0);
                sequences = Sequences::resume(kept);
            }
            for gap in gaps {
                for number in gap.first..=gap.last {
                    *told.entry(number).or_default() += 1;
                }
            }
        }
        if let Some(number) = held
            && let Seen::New(number) = sequences.observe(SOURCE, number)
        {
            *told.entry(number).or_default() += 1;
        }
        let mut gaps = sequences.settle(&counted(produced, dropped));
        gaps.extend(sequences.settle(&counted(produced, dropped)));
        let mut ring_full = 0;
        for gap in gaps {
            if gap.cause == GapCause::RingFull {
                ring_full += gap.last - gap.first + 1;
            }
            for number in gap.first..=gap.last {
                *told.entry(number).or_default() += 1;
            }
        }
        prop_assert!(ring_full <= dropped);
        prop_assert_eq!(told, (1..=produced).map(|number| (number, 1)).collect());
    }
}
