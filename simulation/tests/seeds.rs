//! A hundred seeds hold; the same seed plays the same; and what is broken is found.
//!
//! `MONITOR_SIMULATION_FIRST` gives another first seed than 1.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;

use monitor_simulation::{
    Sabotage,
    series::{Played, play_all, play_apart},
};

const SEEDS: u64 = 100;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_monitor-simulate"))
}

fn first() -> u64 {
    let given = std::env::var("MONITOR_SIMULATION_FIRST");
    given.map_or(1, |text| {
        text.parse().expect("MONITOR_SIMULATION_FIRST is a number")
    })
}

#[test]
fn a_hundred_seeds_hold() {
    let first = first();
    eprintln!("seeds {first} to {}", first + SEEDS - 1);
    let say = |played: &Played| eprintln!("{}", played.told());
    let series = play_all(program(), (first, SEEDS), say).unwrap();
    eprintln!("{:?}", series.books);
    let broken = series.broken.len();
    assert_eq!(broken, 0, "{broken} of {SEEDS} seeds do not hold");
    // That much happened, and all that can become of a number did.
    let books = series.books;
    assert!(
        books.stored > 10_000 && books.gaps > 100 && books.died > 10,
        "{books:?}"
    );
    assert!(books.orders > SEEDS && books.sessions > SEEDS, "{books:?}");
}

#[test]
fn the_same_seed_plays_the_same_and_another_another() {
    let play = |seed| {
        let played = play_apart(program(), seed, Sabotage::None).unwrap();
        assert!(played.happened > 100, "{}", played.told());
        played
    };
    for seed in 1..=5 {
        assert_eq!(play(seed), play(seed), "seed {seed}");
    }
    assert_ne!(play(1).trace, play(2).trace);
}

/// What the first of a hundred seeds says that does not hold with this broken.
fn found(sabotage: Sabotage) -> String {
    let mut seeds = 1..=SEEDS;
    let found = seeds.find_map(|seed| {
        let played = play_apart(program(), seed, sabotage).unwrap();
        played.books.is_none().then_some(played)
    });
    let found = found.expect("a hundred seeds that find nothing");
    eprintln!("{sabotage}: {}", found.told());
    found.broken
}

#[test]
fn rings_that_are_freed_before_what_was_read_is_stored_are_found() {
    let broken = found(Sabotage::FreedBeforeStored);
    assert!(broken.contains("nowhere"), "{broken}");
}

#[test]
fn a_disk_that_loses_what_was_acked_is_found() {
    let broken = found(Sabotage::DiskForgets);
    assert!(broken.contains("nowhere"), "{broken}");
}

#[test]
fn hosts_that_forget_what_they_carried_out_are_found() {
    let broken = found(Sabotage::ReceiptsForgotten);
    assert!(broken.contains("receipt"), "{broken}");
}
