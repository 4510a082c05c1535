//! Hosts that fall silent, go blind, are set back or copied: an alert within
//! three seconds. The collector, its streams and its disk are real.

use std::time::Instant;

use monitor_model::{clock::UnixNs, event::Action, id::Source};
use monitor_proto::v1::{Alive, Leaving};

use super::*;
use crate::{
    config::rules::standard,
    state::{
        Raised,
        read::{AlertFilter, StateReader},
    },
    testing::{event, event_id},
};

/// Within which a lost host must be told.
const WITHIN: Duration = Duration::from_secs(3);
/// How often agents say that they live.
const BEAT: Duration = Duration::from_secs(1);

fn started(name: &str, sequence: u64, version: &str) -> Event {
    let action = Action::AgentStarted {
        version: version.into(),
        kernel: "6.12.1".into(),
        resumed: false,
        hooks: Vec::new(),
    };
    event(event_id(name, Source::Agent, sequence), action)
}

async fn collector(scene: &Scene) -> Collector {
    let mut config = scene.config("");
    config.rules = standard(Duration::from_secs(60)).unwrap();
    assert_eq!(config.silent, WITHIN, "the default");
    Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap()
}

/// An agent that says that it lives, with one event in the ledgers.
async fn beating(scene: &Scene, collector: &Collector, name: &str, instance: u8) -> Agent {
    let hello = Hello {
        instance: vec![instance; 16],
        beat_ms: 1_000,
        ..Hello::default()
    };
    let mut agent = Agent::greets(scene, collector, name, hello).await;
    agent.send(1, &[started(name, 1, "1")]).await;
    agent.acked(1).await;
    agent
}

fn sees(unseen_ms: u64, unhooked: &[&str]) -> Up {
    Up::Alive(Alive {
        unseen_ms,
        unhooked: unhooked.iter().map(ToString::to_string).collect(),
    })
}

fn raised(scene: &Scene, rule: &str) -> Vec<Raised> {
    let reader = StateReader::open(&scene.data_dir()).unwrap();
    let alerts = reader.alerts(&AlertFilter::default(), UnixNs::MAX, 100);
    let alerts = alerts.unwrap().into_iter();
    alerts.filter(|raised| raised.alert.rule == rule).collect()
}

/// The alert of a rule as soon as it is on disk, and how long after `since`.
#[expect(clippy::print_stdout, reason = "how long it took is there to be read")]
async fn told(scene: &Scene, rule: &str, since: Instant) -> (Raised, Duration) {
    let alert = eventually(async || raised(scene, rule).pop()).await;
    let took = since.elapsed();
    println!("{rule}: {} ms", took.as_millis());
    assert!(took <= WITHIN, "{rule} was told after {took:?}");
    (alert, took)
}

/// Says every second that it lives, for as long.
async fn lives(agent: &Agent, time: Duration) {
    let mut beat = tokio::time::interval(BEAT);
    let end = Instant::now() + time;
    while Instant::now() < end {
        beat.tick().await;
        agent.say(sees(0, &[])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_no_more_is_silent_within_three_seconds_though_its_stream_stands() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let agent = beating(&scene, &collector, "jump-1", 1).await;
    lives(&agent, WITHIN * 2).await;
    assert_eq!(raised(&scene, "agent-silent"), []);
    let (silent, _) = told(&scene, "agent-silent", Instant::now()).await;
    assert!(
        silent
            .alert
            .sentence
            .starts_with("nothing is heard of jump-1 for 2.")
    );
    // Heard again, and silent again: another outage.
    agent.say(sees(0, &[])).await;
    let since = Instant::now();
    eventually(async || (raised(&scene, "agent-silent").len() == 2).then_some(())).await;
    assert!(since.elapsed() <= WITHIN);
    drop(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_goes_is_silent_within_three_seconds_and_one_that_says_so_is_told_so() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    for (name, says_so) in [("jump-1", false), ("jump-2", true)] {
        let agent = beating(&scene, &collector, name, 1).await;
        if says_so {
            agent.say(Up::Leaving(Leaving {})).await;
        }
        let since = Instant::now();
        let Agent { up, mut down } = agent;
        drop(up);
        // What was said is on its way until the other end has ended, too.
        while says_so && matches!(down.message().await, Ok(Some(_))) {}
        drop(down);
        let silent = eventually(async || {
            let all = raised(&scene, "agent-silent");
            all.into_iter().find(|one| one.alert.host.as_str() == name)
        })
        .await;
        assert!(since.elapsed() <= WITHIN, "{:?}", since.elapsed());
        assert_eq!(silent.alert.sentence.contains("asked to stop"), says_so);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_that_see_nothing_are_told_at_once_and_again_only_after_they_saw() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let agent = beating(&scene, &collector, "jump-1", 1).await;
    agent.say(sees(2_000, &[])).await;
    told(&scene, "agent-blind", Instant::now()).await;
    agent.say(sees(3_000, &[])).await;
    agent.say(sees(0, &[])).await;
    lives(&agent, BEAT).await;
    assert_eq!(raised(&scene, "agent-blind").len(), 1);
    agent.say(sees(0, &["exec"])).await;
    let both = eventually(async || {
        let all = raised(&scene, "agent-blind");
        (all.len() == 2).then_some(all)
    });
    let newest = both.await.remove(0);
    assert!(newest.alert.sentence.contains("exec"), "{newest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_told_when_the_first_speaks_again_and_a_host_set_back_with_its_first_batch() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let first = beating(&scene, &collector, "jump-1", 1).await;
    // What both say is the same: no number is reused for something else.
    let copy = beating(&scene, &collector, "jump-1", 2).await;
    let since = Instant::now();
    let again = beating(&scene, &collector, "jump-1", 1).await;
    told(&scene, "agent-twice", since).await;
    assert_eq!(raised(&scene, "numbers-reused"), []);
    let since = Instant::now();
    again.send(2, &[started("jump-1", 1, "2")]).await;
    let (reused, _) = told(&scene, "numbers-reused", since).await;
    assert_eq!(reused.alert.host.as_str(), "jump-1");
    drop((first, copy, again));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_more_families_than_there_can_be_is_refused() {
    let scene = Scene::new();
    let collector = collector(&scene).await;
    let mut agent = beating(&scene, &collector, "jump-1", 1).await;
    agent.say(sees(0, &["x"; 65])).await;
    let refused = agent.refused().await;
    assert!(refused.message().starts_with("alive.unhooked"), "{refused}");
}
