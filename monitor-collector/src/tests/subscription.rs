//! Readers of the stream.

use monitor_model::id::Source;
use monitor_proto::v1::{
    EventFilter, SubscribeRequest, SubscribeResponse, event_service_client::EventServiceClient,
    subscribe_response::Item,
};
use tonic::Code;

use super::*;
use crate::testing::{credential, event_id};

fn reads(from: u64, to: u64) -> Vec<Event> {
    (from..=to)
        .map(|n| {
            let tenant = if n % 3 == 0 { "globex" } else { "acme" };
            let mut event = credential(
                event_id("jump-1", Source::Bulk { cpu: 0 }, n),
                tenant,
                "/srv/key",
            );
            // In scope of nothing would raise alerts; these belong to nobody.
            event.attribution =
                monitor_model::event::Attribution::none(monitor_model::event::NoSession::NoMark);
            event
        })
        .collect()
}

async fn subscribe(
    scene: &Scene,
    collector: &Collector,
    request: SubscribeRequest,
) -> Result<Streaming<SubscribeResponse>, Status> {
    let mut client = EventServiceClient::new(scene.dial("monitor://soc/sam", collector).await);
    client
        .subscribe(request)
        .await
        .map(tonic::Response::into_inner)
}

/// What agents tell: reads are entries as well.
fn told() -> EventFilter {
    EventFilter {
        kinds: vec!["credential".into()],
        ..Default::default()
    }
}

async fn next(stream: &mut Streaming<SubscribeResponse>) -> Option<SubscribeResponse> {
    tokio::time::timeout(DEADLINE, stream.message())
        .await
        .expect("nothing came in time")
        .unwrap()
}

fn sequence(response: &SubscribeResponse) -> Option<u64> {
    match response.item.as_ref().unwrap() {
        Item::Event(event) => Some(
            monitor_proto::decode_event(&event.event)
                .unwrap()
                .id
                .sequence,
        ),
        Item::Alert(_) | Item::Heartbeat(_) | Item::Cut(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_by_cursor_loses_nothing_and_doubles_nothing() {
    let scene = Scene::new();
    let mut collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent.send(1, &reads(1, 40)).await;
    agent.acked(1).await;
    let mut cursor = String::new();
    let mut seen = Vec::new();
    // Each time a few items, then the reader is gone; once the collector too.
    for round in 0..10u64 {
        if round == 4 {
            collector.drain().await;
            collector = scene.collector("").await;
            agent = Agent::connect(&scene, &collector, "jump-1").await;
        }
        let request = SubscribeRequest {
            cursor: cursor.clone(),
            filter: Some(told()),
            from_start: true,
            ..SubscribeRequest::default()
        };
        let mut stream = subscribe(&scene, &collector, request).await.unwrap();
        if round == 6 {
            agent.send(2, &reads(41, 60)).await;
        }
        for _ in 0..6 {
            let response = next(&mut stream).await.unwrap();
            cursor.clone_from(&response.cursor);
            seen.extend(sequence(&response));
        }
    }
    assert_eq!(seen, (1..=60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_until_now_ends_and_a_filter_holds() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent.send(1, &reads(1, 9)).await;
    agent.acked(1).await;
    let filter = EventFilter {
        tenants: vec!["globex".into()],
        kinds: vec!["credential".into()],
        ..Default::default()
    };
    let request = SubscribeRequest {
        filter: Some(filter),
        from_start: true,
        until_now: true,
        ..Default::default()
    };
    // The group is acked before it is told of: what is there now is the question.
    let seen = eventually(|| async {
        let mut stream = subscribe(&scene, &collector, request.clone())
            .await
            .unwrap();
        let mut seen = Vec::new();
        while let Some(response) = next(&mut stream).await {
            seen.extend(sequence(&response));
        }
        (seen.len() == 3).then_some(seen)
    })
    .await;
    assert_eq!(seen, [3, 6, 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_filters_and_forged_cursors_are_refused_by_name() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    for (filter, field) in [
        (
            EventFilter {
                kinds: vec!["exce".into()],
                ..Default::default()
            },
            "filter.kinds",
        ),
        (
            EventFilter {
                sessions: vec![vec![1]],
                ..Default::default()
            },
            "filter.sessions",
        ),
        (
            EventFilter {
                verdicts: vec![77],
                ..Default::default()
            },
            "filter.verdicts",
        ),
    ] {
        let request = SubscribeRequest {
            filter: Some(filter),
            ..Default::default()
        };
        let status = subscribe(&scene, &collector, request).await.unwrap_err();
        assert!(
            status.code() == Code::InvalidArgument && status.message().starts_with(field),
            "{status}"
        );
    }
    let forged = SubscribeRequest {
        cursor: "1.ff.00112233445566778899aabbccddeeff".into(),
        ..Default::default()
    };
    assert_eq!(
        subscribe(&scene, &collector, forged)
            .await
            .unwrap_err()
            .code(),
        Code::InvalidArgument
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_cut_with_a_cursor_while_a_fast_one_goes_on() {
    let scene = Scene::new();
    let more = "[subscription]\nheartbeat_seconds = 1\nstall_seconds = 1";
    let collector = scene.collector(more).await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let request = SubscribeRequest {
        filter: Some(told()),
        from_start: true,
        ..Default::default()
    };
    let mut slow = subscribe(&scene, &collector, request.clone())
        .await
        .unwrap();
    let mut fast = subscribe(&scene, &collector, request).await.unwrap();
    let events = 40_000;
    let reader = tokio::spawn(async move {
        let mut seen = 0;
        while seen < events {
            if let Some(sequence) = sequence(&next(&mut fast).await.unwrap()) {
                assert_eq!(sequence, seen + 1);
                seen = sequence;
            }
        }
        // It goes on after everything else was cut: three beats more.
        for _ in 0..3 {
            next(&mut fast).await.unwrap();
        }
    });
    for number in 0..events / 2_000 {
        agent
            .send(number + 1, &reads(number * 2_000 + 1, (number + 1) * 2_000))
            .await;
    }
    agent.acked(events / 2_000).await;
    reader.await.unwrap();
    let mut last = 0;
    let cursor = loop {
        let response = next(&mut slow).await.expect("ended without a cut");
        last = sequence(&response).unwrap_or(last);
        if matches!(response.item, Some(Item::Cut(_))) {
            break response.cursor;
        }
    };
    assert!(last < events, "it was never cut off");
    assert!(next(&mut slow).await.is_none());
    let request = SubscribeRequest {
        cursor,
        filter: Some(told()),
        ..Default::default()
    };
    let mut resumed = subscribe(&scene, &collector, request).await.unwrap();
    assert_eq!(sequence(&next(&mut resumed).await.unwrap()), Some(last + 1));
}
