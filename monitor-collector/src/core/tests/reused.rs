//! A host that was set back, and one that only sends again.

use super::*;

/// Quarantined events of the agent that all of these tests speak for.
fn set_aside(core: &Core) -> u64 {
    core.state.set_aside(&"jump-1".parse().unwrap()).unwrap()
}

/// A batch goes the way that it goes in the writer; how many alerts came of no event.
fn sent(core: &mut Core, events: &[Event]) -> usize {
    let mut batch = batch(events);
    core.aside_reused(1, &mut batch).unwrap();
    let raised = core.take_raised();
    settled(core, vec![batch]);
    core.publish().unwrap();
    raised.len()
}

fn with_rules(folder: &std::path::Path) -> Core {
    let mut config = config(folder);
    config.rules = crate::config::rules::standard(config.silent).unwrap();
    Core::open(&config, Arc::new(SystemClock)).unwrap()
}

#[test]
fn other_events_under_known_numbers_are_kept_aside_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = with_rules(folder.path());
    let first: Vec<Event> = (1..=6).map(|number| read(number, "acme")).collect();
    assert_eq!(sent(&mut core, &first), 0);
    // Sent again, in part and with new ones: nothing is told.
    assert_eq!(sent(&mut core, &first[2..]), 0);
    let more: Vec<Event> = (5..=8).map(|number| read(number, "acme")).collect();
    assert_eq!(sent(&mut core, &more), 0);
    assert_eq!(set_aside(&core), 0);
    // Set back: from 4 on it did something else, of another tenant too.
    let mut other: Vec<Event> = (4..=9).map(|number| read(number, "globex")).collect();
    (other[0], other[1]) = (read(5, "globex"), read(4, "acme"));
    assert_eq!(sent(&mut core, &other), 1);
    assert_eq!(set_aside(&core), 4, "5 to 8: 4 is the same, 9 is new");
    // The next batches do not raise it again, also after a start.
    assert_eq!(sent(&mut core, &other[2..4]), 0);
    drop(core);
    let mut core = with_rules(folder.path());
    assert_eq!(sent(&mut core, &other[2..4]), 0);
    assert_eq!(set_aside(&core), 4);
    drop(core);
    let both = (kept(folder.path(), "acme"), kept(folder.path(), "globex"));
    assert_eq!(both, (8, 1));
    let told = alerts(folder.path());
    assert!(
        told.iter()
            .any(|alert| alert.alert.rule == "numbers-reused"),
        "{told:?}"
    );
}
