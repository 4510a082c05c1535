//! Measurements, run by name: `cargo test -p monitor-collector measure -- --ignored --nocapture`.

use std::time::Instant;

use monitor_model::id::Source;
use monitor_proto::v1::{
    ListSessionsRequest, PutGrantRequest, grant_service_client::GrantServiceClient,
    session_service_client::SessionServiceClient,
};

use super::*;
use crate::testing::{credential, event_id, grant, opened, session_id};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: prints events a second"]
#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
async fn measure_ingest() {
    let (batches, events) = (200u64, 1_000u64);
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let encoded: Vec<Vec<Vec<u8>>> = (0..batches)
        .map(|batch| {
            (1..=events)
                .map(|n| {
                    let id = event_id("jump-1", Source::Bulk { cpu: 0 }, batch * events + n);
                    monitor_proto::encode_event(&credential(id, "acme", "/srv/acme/key"))
                })
                .collect()
        })
        .collect();
    let mut client = GrantServiceClient::new(scene.dial("monitor://broker/b", &collector).await);
    let grant = Some((&grant("01JG", "alice", "acme")).into());
    client.put_grant(PutGrantRequest { grant }).await.unwrap();
    let began = Instant::now();
    let up = agent.up.clone();
    tokio::spawn(async move {
        for (number, events) in (1..).zip(encoded) {
            let batch = Batch { number, events };
            up.send(StreamRequest {
                message: Some(Up::Batch(batch)),
            })
            .await
            .unwrap();
        }
        // Held open until the last ack.
        std::future::pending::<()>().await;
    });
    agent.acked(batches).await;
    let took = began.elapsed();
    let rate = u128::from(batches * events) * 1_000 / took.as_millis().max(1);
    drop(collector);
    let bytes: u64 = std::fs::read_dir(scene.data_dir().join("ledger"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    println!(
        "ingest: {} events in {took:?}, {rate} events/s, acked from disk, {} bytes an event there",
        batches * events,
        bytes / (batches * events)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: prints the time from an event to its containment command"]
#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
async fn measure_event_to_command() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut client = GrantServiceClient::new(scene.dial("monitor://broker/b", &collector).await);
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let mut times = Vec::new();
    for n in 1..=100u64 {
        let mut permission = grant("01JG", "alice", "acme");
        permission.id = format!("g{n}").parse().unwrap();
        client
            .put_grant(PutGrantRequest {
                grant: Some((&permission).into()),
            })
            .await
            .unwrap();
        let session = session_id(u128::from(n));
        let login = opened(event_id("jump-1", Source::Agent, n), session, "alice", n);
        let read = |sequence: u64| {
            let mut event = credential(
                event_id("jump-1", Source::Priority { cpu: 0 }, sequence),
                "globex",
                "/srv/k",
            );
            event.attribution.session = Some(session);
            event
        };
        agent.send(n * 2, &[login, read(n * 2)]).await;
        agent.acked(n * 2).await;
        let began = Instant::now();
        agent.send(n * 2 + 1, &[read(n * 2 + 1)]).await;
        agent
            .until(|message| match message {
                DownMessage::Contain(command) => {
                    (command.session == session.to_bytes()).then_some(())
                }
                DownMessage::Ack(_)
                | DownMessage::Grants(_)
                | DownMessage::Deny(_)
                | DownMessage::Scopes(_)
                | DownMessage::ScopeLease(_)
                | DownMessage::List(_)
                | DownMessage::Inspect(_) => None,
            })
            .await;
        times.push(began.elapsed());
    }
    times.sort();
    println!(
        "event sent to command received: p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() - 2]
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: prints how long a list of sessions takes"]
#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
async fn measure_list_sessions() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let logins: Vec<Event> = (1..=100)
        .map(|n| {
            let session = session_id(u128::from(n));
            opened(event_id("jump-1", Source::Agent, n), session, "alice", n)
        })
        .collect();
    agent.send(1, &logins).await;
    agent.acked(1).await;
    let channel = scene.dial("monitor://soc/carol", &collector).await;
    for what in ["warming up", "one question", "another question each time"] {
        let mut times = Vec::new();
        for n in 0..2_000 {
            let asked = ListSessionsRequest {
                principal: if what == "another question each time" {
                    format!("alice-{n}")
                } else {
                    "alice".into()
                },
                ..Default::default()
            };
            let mut client = SessionServiceClient::new(channel.clone());
            let began = Instant::now();
            client.list_sessions(asked).await.unwrap();
            times.push(began.elapsed());
        }
        times.sort();
        println!(
            "list of sessions, {what}: p50 {:?}, p99 {:?}",
            times[times.len() / 2],
            times[times.len() * 99 / 100]
        );
    }
    drop(channel);
    collector.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: prints what a sign of life costs"]
#[expect(clippy::print_stdout, reason = "a measurement is there to be read")]
async fn measure_signs_of_life() {
    let (agents, seconds) = (200u32, 20u32);
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut streams = Vec::new();
    for number in 0..agents {
        let hello = Hello {
            beat_ms: 1_000,
            ..Hello::default()
        };
        let name = format!("jump-{number}");
        streams.push(Agent::greets(&scene, &collector, &name, hello).await);
    }
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    let mut spent = Vec::new();
    for says in [false, true] {
        let before = processor_ticks();
        for _ in 0..seconds {
            beat.tick().await;
            for agent in streams.iter().filter(|_| says) {
                let alive = monitor_proto::v1::Alive::default();
                agent.say(Up::Alive(alive)).await;
            }
        }
        spent.push(processor_ticks() - before);
    }
    // A tick is a hundredth of a second.
    let beats = u64::from(agents * seconds);
    let each_us = spent[1].saturating_sub(spent[0]) * 10_000 / beats;
    println!(
        "{beats} signs of life: {each_us} us of a processor each, both ends and TLS; {} ms a second without any",
        spent[0] * 10 / u64::from(seconds)
    );
}

/// What this process has used of processors, in ticks: fields 14 and 15 of proc(5).
fn processor_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split(' ');
    let used = fields.skip(12).take(2);
    used.map(|field| field.parse::<u64>().unwrap()).sum()
}
