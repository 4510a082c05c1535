//! That an auditor learns nothing of other tenants: random questions to two
//! worlds that differ in those only, and what is absent against what is forbidden.
//!
//! # Layout
//! - [`worlds`]: what happened, with and without others.
//! - [`questions`]: every call with every field, at random.
//! - [`timing`]: how long the two kinds of no take.

use std::collections::BTreeMap;

use monitor_model::id::Source;

mod questions;
mod timing;
mod worlds;

use questions::{Answer, Dice, Pool, Question};
use worlds::{MARK, Other, Story, World};

/// Questions where `MONITOR_QUERIES` states none.
const QUERIES: u64 = 4_000;

/// Others, and nothing between them and acme.
const GLOBEX: Other = Other {
    tenant: "zq7globex",
    grant: "ZQ7-01G",
    ticket: "zq7-INC-1",
    network: "10.2.0.0/16",
    busy: 40,
};
/// The same with other names, and less of it.
const INITECH: Other = Other {
    tenant: "zq7initech",
    grant: "ZQ7-77I",
    ticket: "zq7-CHG-22",
    network: "10.3.0.0/16",
    busy: 7,
};

fn queries() -> u64 {
    let stated = std::env::var("MONITOR_QUERIES").ok();
    stated.map_or(QUERIES, |text| {
        text.parse().expect("MONITOR_QUERIES is a number")
    })
}

/// Asks both worlds the same, and wants the same answer, without the mark that
/// everything of the others bears.
async fn answers_are_the_same(one: &World, two: &World, seed: u64, queries: u64) {
    let mut pool = Pool::of(&[one, two]).await;
    let mut dice = Dice::new(seed);
    let mut told = BTreeMap::<(&str, String), u64>::new();
    // The first of each call: one run names all that leak.
    let mut leaks = BTreeMap::new();
    for number in 0..queries {
        let question = Question::random(&mut dice, &pool);
        let (first, second) = tokio::join!(
            question.ask(one, &one.auditor),
            question.ask(two, &two.auditor)
        );
        let leak = first.differs(&second).or_else(|| first.mark(&question));
        // What fails in both worlds is the same in both, and says nothing.
        let fault = first.fault();
        if let Some(leak) = leak.or(fault) {
            let leak = format!("question {number} of seed {seed}: {question:?}: {leak}");
            leaks.entry(question.name()).or_insert(leak);
        }
        let kind = match &first {
            Answer::Given { parts, .. } if parts.is_empty() => "nothing".to_owned(),
            Answer::Given { .. } => "an answer".to_owned(),
            Answer::Refused(code, _) => format!("{code:?}"),
        };
        *told.entry((question.name(), kind)).or_default() += 1;
        pool.learn(&first);
    }
    for ((call, kind), times) in &told {
        eprintln!("{call}: {kind}: {times}");
    }
    let leaks: Vec<String> = leaks.into_values().collect();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    let given = told.iter().filter(|((_, kind), _)| kind == "an answer");
    let calls = given.count();
    assert!(calls >= 14, "only {calls} calls were ever answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_cannot_tell_whether_there_are_other_tenants() {
    let beside = World::play(&Story::Beside(GLOBEX));
    let alone = World::play(&Story::Alone);
    answers_are_the_same(&beside, &alone, 1, queries() / 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_cannot_tell_which_other_tenant_it_was() {
    let globex = World::play(&Story::Crossed(GLOBEX));
    let initech = World::play(&Story::Crossed(INITECH));
    answers_are_the_same(&globex, &initech, 2, queries() / 2).await;
}

/// The mark is where it should be, else its absence would say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_sees_everything_finds_the_mark_everywhere() {
    let world = World::play(&Story::Crossed(GLOBEX));
    let soc = "monitor://soc/sam".parse().unwrap();
    for question in Question::whole() {
        let Answer::Given { parts, .. } = question.ask(&world, &soc).await else {
            panic!("{question:?}")
        };
        let found = parts.iter().any(|part| worlds::marked(part));
        assert!(found, "no {MARK} in what {} says", question.name());
    }
}
