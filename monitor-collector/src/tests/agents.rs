//! Agents: identity, acks, quarantine, tables.

use monitor_model::{
    clock::UnixNs,
    id::{Source, TenantId},
};
use monitor_proto::v1::{PutGrantRequest, grant_service_client::GrantServiceClient};
use tonic::Code;

use super::*;
use crate::{
    ledger::read::{Filter, Reader, Span},
    state::State,
    testing::{credential, event_id, grant, whole},
};

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// How many entries a ledger has that are of hosts.
fn of_hosts(folder: &Path, ledger: &str) -> u64 {
    let reader = Reader::open(folder, &tenant(ledger)).unwrap();
    let everything = Span {
        after: UnixNs(0),
        up_to: UnixNs::MAX,
        limit: 10_000,
    };
    let (entries, _) = reader.page(everything, &Filter::default()).unwrap();
    assert_eq!(u64::try_from(entries.len()).unwrap(), whole(folder, ledger));
    let own = entries.iter().map(|entry| &entry.judged.event.id.source);
    u64::try_from(own.filter(|source| **source != Source::Collector).count()).unwrap()
}

fn read(agent: &str, sequence: u64, tenant: &str) -> Event {
    credential(
        event_id(agent, Source::Priority { cpu: 0 }, sequence),
        tenant,
        "/srv/key",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acked_is_on_disk_after_a_crash_and_replays_are_stored_once() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let events: Vec<Event> = (1..=50)
        .map(|n| read("jump-1", n, if n % 2 == 0 { "acme" } else { "globex" }))
        .collect();
    agent.send(1, &events[..20]).await;
    agent.send(2, &events[20..]).await;
    agent.acked(2).await;
    let crashed = scene.path().join("crashed");
    snapshot(&scene.data_dir(), &crashed);
    let count = |folder: &Path| -> u64 {
        ["acme", "globex", "provider"]
            .iter()
            .map(|name| of_hosts(folder, name))
            .sum()
    };
    assert_eq!(count(&crashed), 50);
    let mut again = Agent::connect(&scene, &collector, "jump-1").await;
    again.send(1, &events).await;
    again.acked(1).await;
    collector.drain().await;
    assert_eq!(count(&scene.data_dir()), 50);
    let mut config = scene.config("");
    config.data_dir = crashed.clone();
    let collector = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap();
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent.send(1, &events).await;
    agent.acked(1).await;
    collector.drain().await;
    assert_eq!(count(&crashed), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_in_another_agents_name_refuses_its_batch() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent
        .send(1, &[read("jump-1", 1, "acme"), read("jump-2", 1, "acme")])
        .await;
    let status = agent.refused().await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(
        status.message().contains("jump-2") && status.message().contains("jump-1"),
        "{status}"
    );
    collector.drain().await;
    assert_eq!(whole(&scene.data_dir(), "acme"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decoded_is_set_aside_and_the_stream_goes_on() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let good = monitor_proto::encode_event(&read("jump-1", 1, "acme"));
    agent.send_bytes(1, vec![vec![0xff; 9], good]).await;
    agent.send_bytes(2, vec![vec![0xff; 9]]).await;
    agent.acked(2).await;
    collector.drain().await;
    assert_eq!(whole(&scene.data_dir(), "acme"), 1);
    let state = State::open(&scene.data_dir()).unwrap();
    assert_eq!(state.set_aside(&"jump-1".parse().unwrap()).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_break_the_manners_are_refused_with_what_is_right() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut twice = Agent::connect(&scene, &collector, "jump-1").await;
    twice.send(1, &[]).await;
    twice.send(1, &[]).await;
    assert!(twice.refused().await.message().contains("ascend"));
    let mut many = Agent::connect(&scene, &collector, "jump-1").await;
    many.send_bytes(1, vec![vec![]; crate::ingest::BATCH_EVENTS_MAX + 1])
        .await;
    assert!(many.refused().await.message().contains("10000"));
    let mut early = Agent::connect(&scene, &collector, "jump-1").await;
    early.say(Up::Hello(Hello::default())).await;
    assert!(early.refused().await.message().contains("Hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_no_more_is_still_acked() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent.send(1, &[read("jump-1", 1, "acme")]).await;
    let (silent, _) = mpsc::channel(1);
    agent.up = silent;
    agent.acked(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_on_disk_is_not_acked_and_taken_when_it_can() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent.grants().await;
    let other = rusqlite::Connection::open(crate::ledger::Ledger::path(
        &scene.data_dir(),
        &tenant("acme"),
    ))
    .unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let events = [read("jump-1", 1, "globex"), read("jump-1", 2, "acme")];
    agent.send(1, &events).await;
    let status = agent.refused().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("put on disk"), "{status}");
    other.execute_batch("ROLLBACK").unwrap();
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent.send(1, &events).await;
    agent.acked(1).await;
    collector.drain().await;
    for name in ["acme", "globex"] {
        assert_eq!(of_hosts(&scene.data_dir(), name), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_stream_of_an_agent_ends_the_older() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut older = Agent::connect(&scene, &collector, "jump-1").await;
    older.grants().await;
    let mut newer = Agent::connect(&scene, &collector, "jump-1").await;
    newer.grants().await;
    assert_eq!(older.refused().await.code(), Code::Aborted);
    newer.send(1, &[read("jump-1", 1, "acme")]).await;
    newer.acked(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_on_every_connected_agent_when_put_answers() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    assert!(agent.grants().await.grants.is_empty());
    let mut client = GrantServiceClient::new(scene.dial("monitor://broker/b", &collector).await);
    let put = PutGrantRequest {
        grant: Some((&grant("01JG", "alice", "acme")).into()),
    };
    let answer = client.put_grant(put.clone()).await.unwrap().into_inner();
    assert_eq!(answer.hosts, ["jump-1"]);
    assert_eq!(agent.grants().await.grants[0].id, "01JG");
    client.put_grant(put).await.unwrap();
    let changed = PutGrantRequest {
        grant: Some((&grant("01JG", "mallory", "acme")).into()),
    };
    let status = client.put_grant(changed).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    let foreign = PutGrantRequest {
        grant: Some((&grant("01JH", "alice", "initech")).into()),
    };
    let status = client.put_grant(foreign).await.unwrap_err();
    assert!(
        status.code() == Code::InvalidArgument && status.message().starts_with("grant.tenant"),
        "{status}"
    );
    collector.drain().await;
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    assert_eq!(agent.grants().await.grants.len(), 1);
}
