use std::path::Path;

use monitor_model::{
    event::{Action, Attribution, Event, Kind, NoSession},
    id::{PrincipalId, Source, TenantId},
    verdict::VerdictKind,
};
use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    ledger::{Judged, Ledger},
    testing::{credential, event, event_id, judged, session_id},
};

const TENANTS: [&str; 2] = ["acme", "globex"];

/// What one stored event is made of: tenant, host, kind, person, path, and how
/// much earlier than it was stored it happened.
type Made = (usize, usize, usize, usize, usize, u64);

fn made(number: u64, (tenant, host, kind, person, path, earlier): Made) -> Judged {
    let source = Source::Priority { cpu: 0 };
    let id = event_id(["jump-1", "jump-2"][host], source, number);
    let path = ["/srv/acme/key", "/srv/acme/other", "/etc/key"][path];
    let mut made: Event = match kind {
        0 => credential(id, TENANTS[tenant], path),
        1 => event(id, Action::Exit { status: 0 }),
        _ => event(
            id,
            Action::Fork {
                child_pid: 1,
                child_start_boot_ns: 1,
            },
        ),
    };
    match person {
        0 => {}
        1 => {
            made.attribution.principal = Some("bob".parse().unwrap());
            made.attribution.session = Some(session_id(2));
        }
        _ => made.attribution = Attribution::none(NoSession::NoMark),
    }
    made.at = UnixNs(stored(number).0 - earlier);
    judged(made)
}

fn stored(number: u64) -> UnixNs {
    UnixNs(1_000_000 + number * 10)
}

/// Ledgers with these events, each in the one that the judgement names.
fn filled(folder: &Path, all: &[Made]) -> Vec<Reader> {
    let tenants = ["acme", "globex", "provider"].map(|name| TenantId::new(name).unwrap());
    let mut ledgers: Vec<Ledger> = tenants
        .iter()
        .map(|tenant| Ledger::open(folder, tenant, None).unwrap())
        .collect();
    for (number, one) in (1..).zip(all) {
        let judged = made(number, *one);
        let ledger = ledgers
            .iter_mut()
            .find(|ledger| *ledger.tenant() == judged.judgement.ledger)
            .unwrap();
        ledger.append(judged, stored(number)).unwrap();
    }
    for ledger in &mut ledgers {
        ledger.commit(UnixNs(0)).unwrap();
    }
    let open = |tenant| Reader::open(folder, tenant).unwrap();
    tenants.iter().map(open).collect()
}

fn some<T: Clone + std::fmt::Debug + 'static>(of: Vec<T>) -> impl Strategy<Value = Vec<T>> {
    let count = of.len();
    prop_oneof![3 => Just(Vec::new()), 2 => proptest::sample::subsequence(of, 0..=count)]
}

fn filters() -> impl Strategy<Value = Filter> {
    let principals = ["alice", "bob"].map(|name| PrincipalId::new(name).unwrap());
    let hosts = ["jump-1", "jump-2"].map(|name| name.parse().unwrap());
    let kinds = vec![Kind::Credential, Kind::Exit, Kind::Gap];
    let verdicts = vec![VerdictKind::InScope, VerdictKind::OutOfScope];
    (
        some(principals.to_vec()),
        some(vec![session_id(1), session_id(2)]),
        some(hosts.to_vec()),
        some(kinds),
        some(verdicts),
        select(vec![
            "",
            "",
            "/srv/acme",
            "/srv/acme/key",
            "/etc",
            "/nowhere",
        ]),
    )
        .prop_map(
            |(principals, sessions, hosts, kinds, verdicts, prefix)| Filter {
                tenants: Vec::new(),
                principals,
                sessions,
                hosts,
                kinds,
                verdicts,
                object_prefix: prefix.to_owned(),
            },
        )
}

fn everything(readers: &[Reader]) -> Vec<Entry> {
    let span = Span {
        after: UnixNs(0),
        up_to: UnixNs::MAX,
        limit: u32::MAX,
    };
    let pages = readers.iter();
    let mut all: Vec<Entry> = pages
        .flat_map(|reader| reader.page(span, &Filter::default()).unwrap().0)
        .collect();
    all.sort_by_key(|entry| entry.stored_at);
    all
}

/// What a slow look at every entry finds.
fn oracle(readers: &[Reader], question: &Question<'_>) -> Vec<UnixNs> {
    let mut found: Vec<UnixNs> = everything(readers)
        .iter()
        .filter(|entry| question.filter.admits(entry))
        .filter(|entry| question.filter.admits_objects(&entry.judged.event))
        .filter(|entry| question.happened.contains(&entry.judged.event.at))
        .map(|entry| entry.stored_at)
        .collect();
    if question.order == Order::NewestFirst {
        found.reverse();
    }
    found
}

/// All pages, one after another.
fn paged(
    readers: &[Reader],
    question: &Question<'_>,
    (limit, share, bytes): (u32, u64, usize),
) -> Vec<UnixNs> {
    let (mut after, mut up_to) = (UnixNs(0), newest(readers).unwrap());
    let mut found = Vec::new();
    loop {
        let span = Span {
            after,
            up_to,
            limit,
        };
        let page = bounded(readers, question, span, (share, bytes)).unwrap();
        assert!(page.entries.len() <= usize::try_from(limit).unwrap());
        found.extend(page.entries.iter().map(|entry| entry.stored_at));
        let Some(next) = page.next else {
            return found;
        };
        match question.order {
            Order::NewestFirst => {
                assert!(next < up_to, "no page may stand still");
                up_to = next;
            }
            Order::OldestFirst => {
                assert!(next > after, "no page may stand still");
                after = next;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pages_have_each_entry_that_fits_once_and_in_order(
        all in prop::collection::vec((0..2usize, 0..2usize, 0..3usize, 0..3usize, 0..3usize, 0..200u64), 0..60),
        filters in prop::collection::vec(filters(), 8),
        (from, to) in prop_oneof![Just((0, u64::MAX)), (0..700u64, 0..700u64).prop_map(|(a, b)| (1_000_000 + a.min(b), 1_000_001 + a.max(b)))],
        (limit, share, bytes) in (1..12u32, 1..20u64, prop_oneof![Just(usize::MAX), Just(1), Just(500)]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let readers = filled(folder.path(), &all);
        for filter in &filters {
            for order in [Order::NewestFirst, Order::OldestFirst] {
                let question = Question {
                    filter,
                    admits: &|event| filter.admits_objects(event),
                    happened: UnixNs(from)..UnixNs(to),
                    order,
                };
                let found = paged(&readers, &question, (limit, share, bytes));
                prop_assert_eq!(found, oracle(&readers, &question));
            }
        }
    }
}

fn ask(readers: &[Reader], happened: Range<UnixNs>) -> Vec<u64> {
    let filter = Filter::default();
    let question = Question {
        filter: &filter,
        admits: &|_| true,
        happened,
        order: Order::OldestFirst,
    };
    let span = Span {
        after: UnixNs(0),
        up_to: UnixNs::MAX,
        limit: 100,
    };
    let found = search(readers, &question, span).unwrap();
    assert_eq!(found.next, None);
    let sequences = found.entries.iter();
    sequences
        .map(|entry| entry.judged.event.id.sequence)
        .collect()
}

#[test]
fn what_arrived_late_is_found_by_when_it_happened() {
    let folder = tempfile::tempdir().unwrap();
    let late = (0, 0, 0, 0, 0, 900_000);
    let readers = filled(folder.path(), &[(0, 0, 0, 0, 0, 0), late]);
    let happened = UnixNs(stored(2).0 - 900_000);
    assert_eq!(ask(&readers, happened..UnixNs(happened.0 + 1)), [2]);
    assert_eq!(ask(&readers, UnixNs(happened.0 + 1)..UnixNs::MAX), [1]);
    assert_eq!(ask(&readers, UnixNs(0)..happened), [0; 0]);
}

#[test]
fn a_clock_that_is_ahead_hides_nothing_up_to_a_day() {
    let day = u64::try_from(CLOCK_AHEAD_MAX.as_nanos()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let readers = filled(folder.path(), &[(0, 0, 0, 0, 0, 0)]);
    // Each is asked for by an instant that lies so far after it was stored.
    let looked_at = |ahead: u64| never_before(UnixNs(stored(1).0 + ahead)) < stored(1);
    assert!(looked_at(day - 1) && !looked_at(day));
    assert_eq!(ask(&readers, UnixNs(0)..UnixNs::MAX), [1]);
}

#[test]
#[ignore = "a measurement: prints what one page costs"]
#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
fn measure_search() {
    let folder = tempfile::tempdir().unwrap();
    let all = vec![(0, 0, 0, 0, 0, 0); 300_000];
    let readers = filled(folder.path(), &all);
    let nobody = Filter {
        principals: vec!["nobody".parse().unwrap()],
        ..Filter::default()
    };
    let nowhere = Filter {
        object_prefix: "/nowhere".into(),
        ..Filter::default()
    };
    for (what, filter) in [
        ("everything", Filter::default()),
        ("a name that is not there", nobody),
        ("an object that is not there", nowhere),
    ] {
        let question = Question {
            filter: &filter,
            admits: &|event| filter.admits_objects(event),
            happened: UnixNs(0)..UnixNs::MAX,
            order: Order::NewestFirst,
        };
        let span = Span {
            after: UnixNs(0),
            up_to: UnixNs::MAX,
            limit: 100,
        };
        let began = std::time::Instant::now();
        let found = search(&readers, &question, span).unwrap().entries.len();
        println!("{what}: {found} found by one page in {:?}", began.elapsed());
    }
}
