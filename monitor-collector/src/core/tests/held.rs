//! What a start knows of the numbers that the ledgers hold.

use super::*;
use crate::ledger::Ledger;

fn stream() -> Stream {
    Stream::from(&read(1, "acme").id)
}

fn numbers(tenants: &[&str], from: u64) -> Vec<Event> {
    (from..)
        .zip(tenants)
        .map(|(n, tenant)| read(n, tenant))
        .collect()
}

/// Events that are stored of these; the others are known.
fn stored(core: &mut Core, events: &[Event]) -> usize {
    let (stored, _) = settled(core, vec![batch(events)]);
    core.publish().unwrap();
    of_hosts(stored).len()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Notes, crashes between any two steps, and resends in any order: each
    /// number is in the ledgers once.
    #[test]
    fn every_number_is_stored_once_over_starts(
        turns in prop::collection::vec((1u64..30, 1u64..12, any::<bool>(), 0u8..4), 1..14)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut core = open(folder.path());
        let mut sent = std::collections::BTreeSet::new();
        for (from, many, of_acme, then) in turns {
            let tenant = if of_acme { "acme" } else { "globex" };
            let events: Vec<Event> = (from..from + many).map(|n| read(n, tenant)).collect();
            let fresh = (from..from + many).filter(|number| sent.insert(*number)).count();
            let entries = of_hosts(settled(&mut core, vec![batch(&events)]).0);
            prop_assert_eq!(entries.len(), fresh);
            match then {
                // Ends before anything that followed is on disk.
                0 => {
                    drop(core);
                    core = open(folder.path());
                }
                // Ends after a note.
                1 => {
                    core.note_followed().unwrap();
                    core.publish().unwrap();
                    drop(core);
                    core = open(folder.path());
                    prop_assert!(!core.dedupe.is_unknown(&stream()));
                }
                _ => {
                    core.publish().unwrap();
                }
            }
        }
        drop(core);
        let kept = kept(folder.path(), "acme") + kept(folder.path(), "globex");
        prop_assert_eq!(usize::try_from(kept).unwrap(), sent.len());
    }
}

#[test]
fn an_older_copy_of_a_ledger_gets_again_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let data = config(folder.path()).data_dir;
    let acme = Ledger::path(&data, &"acme".parse().unwrap());
    let events = numbers(&["acme", "globex", "acme", "globex"], 1);
    let mut core = open(folder.path());
    assert_eq!(stored(&mut core, &events[..2]), 2);
    drop(core);
    let older = std::fs::read(&acme).unwrap();
    let mut core = open(folder.path());
    settled(&mut core, vec![batch(&events)]);
    core.note_followed().unwrap();
    core.publish().unwrap();
    drop(core);
    std::fs::write(&acme, older).unwrap();
    let mut core = open(folder.path());
    assert!(core.dedupe.is_unknown(&stream()), "nothing is believed");
    assert_eq!(stored(&mut core, &events), 1, "what acme lacks, once");
    drop(core);
    assert_eq!((whole(&data, "acme"), whole(&data, "globex")), (2, 2));
}
