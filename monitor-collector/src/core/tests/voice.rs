//! What the collector says of itself.

use monitor_model::{
    event::{Caller, RemovalReason},
    verdict::{ExemptReason, Verdict},
};

use super::*;
use crate::{
    core::voice::Said,
    ledger::{
        coverage::{Asked, Coverage},
        read::{Filter, Reader, Span},
    },
};

fn removed(ledger: &str, first: u64) -> Said {
    let action = Action::Removed {
        first,
        last: first + 9,
        reason: RemovalReason::Retention,
        contract: "400 days".into(),
        held_back: 0,
    };
    Said::of(ledger.parse().unwrap(), action, BASE)
}

fn read_by(ledger: &str, name: &str) -> Said {
    let action = Action::Read {
        by: Caller {
            role: "soc".into(),
            name: name.parse().unwrap(),
            tenants: Vec::new(),
        },
        call: "Search".into(),
        question: "{}".into(),
        question_truncated: false,
        tenants: Vec::new(),
        first_at: BASE,
        last_at: BASE,
        times: 1,
        items: None,
    };
    Said::of(ledger.parse().unwrap(), action, BASE)
}

/// Stores what is said, and lets follow.
fn said(core: &mut Core, said: &[Said]) -> Stored {
    core.say(said.to_vec());
    let (stored, raised) = settled(core, Vec::new());
    assert!(raised.is_empty());
    core.publish().unwrap();
    stored
}

fn readers(folder: &Path) -> Vec<Reader> {
    ["acme", "globex", "provider"]
        .map(|name| Reader::open(&config(folder).data_dir, &name.parse().unwrap()).unwrap())
        .into()
}

/// Numbers that the collector gave out, by ledger and in stored order.
pub(super) fn numbers(folder: &Path) -> Vec<Vec<u64>> {
    let of = |reader: &Reader| {
        let everything = Span {
            after: UnixNs(0),
            up_to: UnixNs::MAX,
            limit: 10_000,
        };
        let (entries, _) = reader.page(everything, &Filter::default()).unwrap();
        let own = entries.iter().map(|entry| &entry.judged.event.id);
        let own = own.filter(|id| id.source == Source::Collector);
        own.map(|id| id.sequence).collect()
    };
    readers(folder).iter().map(of).collect()
}

#[test]
fn it_has_numbers_of_its_ledger_that_go_on_and_nothing_follows() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    let all = [
        read_by("acme", "carol"),
        removed("globex", 1),
        read_by("acme", "bob"),
        read_by("nosuch", "bob"),
    ];
    let stored = said(&mut core, &all);
    let placed = stored.entries.iter().map(|entry| {
        let judged = &entry.judged;
        assert_eq!(
            judged.event.attribution.tenant.as_ref(),
            Some(&entry.ledger)
        );
        let exempt = Verdict::Exempt {
            reason: ExemptReason::Lifecycle,
        };
        assert_eq!(judged.judgement.verdict, exempt);
        (entry.ledger.as_str(), judged.event.id.sequence)
    });
    let placed: Vec<_> = placed.collect();
    assert_eq!(
        placed,
        [("acme", 1), ("globex", 1), ("acme", 2), ("provider", 1)]
    );
    let ids = stored.entries.iter().map(|entry| &entry.judged.event.id);
    let streams: std::collections::BTreeSet<_> = ids.map(Stream::from).collect();
    assert_eq!(streams.len(), 3, "one of each ledger");
    drop(core);
    let mut core = open(folder.path());
    said(&mut core, &[removed("acme", 5), removed("globex", 5)]);
    assert_eq!(numbers(folder.path()), [vec![1, 2, 3], vec![1, 2], vec![1]]);
    assert!(alerts(folder.path()).is_empty());
    drop(core);
    assert_eq!(whole(&config(folder.path()).data_dir, "acme"), 3);
}

#[test]
fn what_was_stored_in_part_is_said_again_and_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    let mut all = [read_by("acme", "carol"), read_by("globex", "carol")];
    core.name(&mut all).unwrap();
    // Acme's ledger took it, and globex's did not.
    said(&mut core, &all[..1]);
    drop(core);
    let mut core = open(folder.path());
    let mut again = [
        &all[..],
        &[read_by("globex", "bob"), read_by("acme", "bob")],
    ]
    .concat();
    core.name(&mut again).unwrap();
    let stored = said(&mut core, &again);
    assert_eq!((stored.entries.len(), stored.duplicates), (3, 1));
    assert_eq!(numbers(folder.path()), [vec![1, 2], vec![1, 2], vec![]]);
}

#[test]
fn a_brokers_list_that_somebody_changed_is_told_and_an_alert_once_wherever_it_stops() {
    let change = |found: &str, at| crate::core::krl::ListChange {
        broker: "b".parse().unwrap(),
        number: 7,
        found: found.into(),
        at: at_seconds(at),
    };
    for stop in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let mut core = open(folder.path());
        assert!(core.list_changed(&change("nothing", 5)).unwrap());
        core.publish().unwrap();
        match stop {
            0 => {}
            1 => _ = core.take_in(Vec::new()).unwrap(),
            2 => _ = settled(&mut core, Vec::new()),
            _ => _ = take(&mut core, &[]),
        }
        drop(core);
        let mut core = open(folder.path());
        assert!(
            !core.list_changed(&change("nothing", 5)).unwrap(),
            "told again"
        );
        while core.has_to_say() {
            take(&mut core, &[]);
        }
        assert_eq!(numbers(folder.path()), [vec![], vec![], vec![1]]);
        let raised = alerts(folder.path());
        let [one] = raised.as_slice() else {
            panic!("{stop}: {raised:?}");
        };
        assert_eq!(one.alert.rule, "revocation-list-changed");
        assert_eq!(one.alert.ledger, TenantId::provider());
        assert!(
            one.alert.sentence.contains("of broker b: found nothing"),
            "{one:?}"
        );
        // It is no host: nobody waits to hear of it.
        let present = Present {
            listening: std::time::Duration::from_secs(3_600),
            ..Present::default()
        };
        core.look(&present).unwrap();
        core.publish().unwrap();
        assert_eq!(alerts(folder.path()).len(), 1);
    }
}

#[test]
fn the_collectors_own_streams_are_complete_as_a_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    said(
        &mut core,
        &[read_by("acme", "carol"), read_by("globex", "carol")],
    );
    said(&mut core, &[read_by("acme", "bob")]);
    let asked = Asked {
        host: AgentName::collector(),
        from: UnixNs(0),
        to: UnixNs::MAX,
        boot: None,
    };
    let found = Coverage::of(&readers(folder.path()), &asked).unwrap();
    assert!(found.is_complete(BASE), "{found:?}");
    let mut held: Vec<_> = found
        .held
        .iter()
        .map(|held| (held.first, held.last))
        .collect();
    held.sort_unstable();
    assert_eq!(held, [(1, 1), (1, 2)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn numbers_have_no_hole_and_no_double_whatever_is_lost_on_the_way(
        steps in prop::collection::vec((0usize..3, 0usize..4), 1..40)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut core = open(folder.path());
        let mut stored = [0u64; 3];
        for (ledger, step) in steps {
            let one = read_by(["acme", "globex", "provider"][ledger], "carol");
            match step {
                // Named, and gone with the process before it was stored.
                0 => {
                    core.name(&mut [one]).unwrap();
                    drop(core);
                    core = open(folder.path());
                }
                1 => {
                    core.say([one]);
                    drop(core);
                    core = open(folder.path());
                }
                _ => {
                    stored[ledger] += u64::try_from(said(&mut core, &[one]).entries.len()).unwrap();
                }
            }
        }
        let wanted = stored.map(|last| (1..=last).collect::<Vec<_>>());
        prop_assert_eq!(numbers(folder.path()), wanted);
    }
}
