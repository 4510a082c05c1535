use proptest::prelude::*;

use super::*;
use crate::testing::at_seconds;

const WINDOW: Duration = Duration::from_secs(60);

fn asked(question: &str, ledgers: &[&str]) -> Arc<Asked> {
    let ledgers: Vec<TenantId> = ledgers.iter().map(|name| name.parse().unwrap()).collect();
    Arc::new(Asked {
        by: Caller {
            role: "soc".into(),
            name: "carol".parse().unwrap(),
            tenants: Vec::new(),
        },
        call: "Search",
        question: question.to_owned(),
        digest: [0; 32],
        question_truncated: false,
        tenants: ledgers.clone(),
        ledgers,
    })
}

/// Ledger, question, how often, from and to in seconds, and items.
fn told(said: &[Said]) -> Vec<(String, String, u64, u64, u64, Option<u64>)> {
    let told = said.iter().map(|said| {
        let Action::Read {
            question,
            first_at,
            last_at,
            times,
            items,
            ..
        } = &said.action
        else {
            panic!("{said:?}");
        };
        let seconds = |at: &UnixNs| at.since(at_seconds(0)).as_secs();
        let (ledger, question) = (said.ledger.to_string(), question.clone());
        (
            ledger,
            question,
            *times,
            seconds(first_at),
            seconds(last_at),
            *items,
        )
    });
    told.collect()
}

#[test]
fn the_first_read_is_entered_at_once_and_further_ones_together() {
    let mut reads = Reads::new(WINDOW, COUNTED_MAX);
    let acme = asked("{}", &["acme"]);
    let first = reads.read(&acme, None, at_seconds(0));
    assert_eq!(told(&first), [("acme".into(), "{}".into(), 1, 0, 0, None)]);
    for second in [10, 20, 59] {
        assert_eq!(reads.read(&acme, None, at_seconds(second)), []);
    }
    assert_eq!(reads.due(at_seconds(59)), []);
    let further = reads.due(at_seconds(60));
    assert_eq!(
        told(&further),
        [("acme".into(), "{}".into(), 3, 10, 59, None)]
    );
    assert!(reads.is_empty());
    assert_eq!(reads.read(&acme, None, at_seconds(61)).len(), 1);
    assert_eq!(reads.due(at_seconds(200)), [], "nothing further came");
}

#[test]
fn a_read_after_the_time_enters_what_was_counted_before_it() {
    let mut reads = Reads::new(WINDOW, COUNTED_MAX);
    let acme = asked("{}", &["acme"]);
    reads.read(&acme, None, at_seconds(0));
    reads.read(&acme, None, at_seconds(5));
    let both = reads.read(&acme, None, at_seconds(60));
    let wanted = [
        ("acme".into(), "{}".into(), 1, 5, 5, None),
        ("acme".into(), "{}".into(), 1, 60, 60, None),
    ];
    assert_eq!(told(&both), wanted);
}

#[test]
fn other_questions_callers_and_ledgers_are_counted_apart() {
    let mut reads = Reads::new(WINDOW, COUNTED_MAX);
    let one = asked("{}", &["acme"]);
    let by = Caller {
        role: "admin".into(),
        ..one.by.clone()
    };
    let other_by = Arc::new(Asked {
        by,
        ..(*one).clone()
    });
    let cut_alike = Arc::new(Asked {
        digest: [1; 32],
        ..(*one).clone()
    });
    let other_call = Arc::new(Asked {
        call: "ListSessions",
        ..(*one).clone()
    });
    let (other, wide) = (
        asked("{\"a\":1}", &["acme"]),
        asked("{}", &["acme", "globex"]),
    );
    for asked in [&one, &other_by, &cut_alike, &other_call, &other] {
        assert_eq!(reads.read(asked, None, at_seconds(0)).len(), 1, "{asked:?}");
    }
    let both = told(&reads.read(&wide, None, at_seconds(0)));
    assert_eq!((both[0].0.as_str(), both[1].0.as_str()), ("acme", "globex"));
    assert_eq!(reads.len(), 6);
}

#[test]
fn the_end_of_a_stream_tells_of_each_ledger_what_was_sent_of_it() {
    let mut reads = Reads::new(WINDOW, COUNTED_MAX);
    let both = asked("{}", &["acme", "globex"]);
    reads.read(&both, None, at_seconds(0));
    let sent = |acme| Some(Items::from([("acme".parse().unwrap(), acme)]));
    let end = told(&reads.read(&both, sent(7), at_seconds(1)));
    let wanted = [
        ("acme".into(), "{}".into(), 1, 1, 1, Some(7)),
        ("globex".into(), "{}".into(), 1, 1, 1, Some(0)),
    ];
    assert_eq!(end, wanted, "it is not the opening's");
    reads.read(&both, sent(2), at_seconds(2));
    reads.read(&both, sent(3), at_seconds(3));
    let further = told(&reads.all());
    assert_eq!(further[0], ("acme".into(), "{}".into(), 2, 2, 3, Some(5)));
}

#[test]
fn beyond_the_most_that_is_counted_each_read_is_entered_by_itself() {
    let mut reads = Reads::new(WINDOW, 1);
    let (one, other) = (asked("1", &["acme"]), asked("2", &["acme"]));
    reads.read(&one, None, at_seconds(0));
    for second in 0..3 {
        assert_eq!(reads.read(&other, None, at_seconds(second)).len(), 1);
    }
    assert_eq!(reads.len(), 1);
}

proptest! {
    #[test]
    fn times_are_as_many_as_reads(
        reads in prop::collection::vec((0usize..4, 0u64..40, any::<bool>(), any::<bool>()), 0..200),
        window in 0u64..90,
        most in 0usize..5,
    ) {
        let questions = ["0", "1", "2", "3"].map(|question| asked(question, &["acme", "globex"]));
        let mut counted = Reads::new(Duration::from_secs(window), most);
        let (mut now, mut made, mut sent, mut said) = (0, [0u64; 4], 0u64, Vec::new());
        for (question, later, is_end, look) in reads {
            now += later;
            let items = is_end.then(|| Items::from([("acme".parse().unwrap(), later)]));
            sent += if is_end { later } else { 0 };
            said.extend(counted.read(&questions[question], items, at_seconds(now)));
            made[question] += 1;
            if look {
                said.extend(counted.due(at_seconds(now)));
            }
            prop_assert!(counted.len() <= most);
        }
        said.extend(counted.all());
        prop_assert!(counted.is_empty());
        for ledger in ["acme", "globex"] {
            let of = told(&said).into_iter().filter(|told| told.0 == ledger);
            let of: Vec<_> = of.collect();
            for (question, made) in (0..).zip(made) {
                let name = format!("{question}");
                let times: u64 = of.iter().filter(|told| told.1 == name).map(|told| told.2).sum();
                prop_assert_eq!(times, made);
            }
            let items: u64 = of.iter().filter_map(|told| told.5).sum();
            prop_assert_eq!(items, if ledger == "acme" { sent } else { 0 });
            prop_assert!(of.iter().all(|told| told.3 <= told.4 && told.4 - told.3 <= window));
        }
    }
}
