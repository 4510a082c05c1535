//! Pages of what was stored, and streams by what they begin with and leave out.

use std::fmt::Write as _;

use monitor_model::{
    bytes::PathLabel,
    event::{Action, MemoryAccess, ProcessRef},
    id::Source,
};
use monitor_proto::v1::{
    self, EventFilter, SearchOrder, SearchRequest, SearchResponse, SubscribeRequest,
    event_service_client::EventServiceClient, subscribe_response::Item,
};
use prost::Message as _;
use tonic::Code;

use super::{access::played, *};
use crate::testing::{at_seconds, credential, event, event_id, session_id};

/// Reads of files that alternate between two tenants; event `n` happened in
/// second `n`.
fn reads(from: u64, to: u64) -> Vec<Event> {
    (from..=to)
        .map(|n| {
            let tenant = if n % 2 == 0 { "globex" } else { "acme" };
            let path = format!("/srv/{tenant}/key-{n}");
            let id = event_id("jump-1", Source::Bulk { cpu: 0 }, n);
            let mut event = credential(id, tenant, &path);
            event.at = at_seconds(n);
            event
        })
        .collect()
}

/// A collector that has stored so many of these.
async fn filled(scene: &Scene, events: u64) -> (Collector, Agent) {
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(scene, &collector, "jump-1").await;
    agent.send(1, &reads(1, events)).await;
    agent.acked(1).await;
    (collector, agent)
}

type Client = EventServiceClient<Channel>;

async fn client(scene: &Scene, collector: &Collector, identity: &str) -> Client {
    EventServiceClient::new(scene.dial(identity, collector).await)
}

async fn page(client: &mut Client, request: &SearchRequest) -> Result<SearchResponse, Status> {
    client
        .search(request.clone())
        .await
        .map(tonic::Response::into_inner)
}

/// The sequence numbers of all pages.
async fn all(client: &mut Client, mut request: SearchRequest) -> Vec<u64> {
    let mut found = Vec::new();
    loop {
        let answer = page(client, &request).await.unwrap();
        found.extend(answer.events.iter().map(sequence));
        if answer.next_page_token.is_empty() {
            return found;
        }
        request.page_token = answer.next_page_token;
    }
}

fn sequence(judged: &v1::JudgedEvent) -> u64 {
    let event = monitor_proto::decode_event(&judged.event).unwrap();
    event.id.sequence
}

/// What agents tell: reads are entries as well.
fn told() -> EventFilter {
    let kinds = ["credential", "session_opened"];
    EventFilter {
        kinds: kinds.map(str::to_owned).into(),
        ..Default::default()
    }
}

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    (!paths.is_empty()).then_some(prost_types::FieldMask { paths })
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_each_event_once_and_nothing_that_came_after_the_first() {
    let scene = Scene::new();
    let (collector, mut agent) = filled(&scene, 40).await;
    let mut soc = client(&scene, &collector, "monitor://soc/sam").await;
    let newest = SearchRequest {
        filter: Some(told()),
        page_size: 7,
        ..Default::default()
    };
    let oldest = SearchRequest {
        order: SearchOrder::OldestFirst.into(),
        ..newest.clone()
    };
    assert_eq!(
        all(&mut soc, newest.clone()).await,
        (1..=40).rev().collect::<Vec<_>>()
    );
    let first = page(&mut soc, &oldest).await.unwrap();
    agent.send(2, &reads(41, 50)).await;
    agent.acked(2).await;
    let rest = SearchRequest {
        page_token: first.next_page_token,
        page_size: 3,
        ..oldest
    };
    assert_eq!(all(&mut soc, rest).await, (8..=40).collect::<Vec<_>>());
    let half = SearchRequest {
        filter: Some(EventFilter {
            object_prefix: "/srv/globex/key-1".into(),
            ..Default::default()
        }),
        from_unix_ns: at_seconds(12).0,
        to_unix_ns: at_seconds(18).0,
        ..newest
    };
    assert_eq!(all(&mut soc, half).await, [16, 14, 12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_holds_for_one_identity_and_one_question() {
    let scene = Scene::new();
    let (collector, _agent) = filled(&scene, 9).await;
    let mut soc = client(&scene, &collector, "monitor://soc/sam").await;
    let request = SearchRequest {
        page_size: 2,
        ..Default::default()
    };
    let token = page(&mut soc, &request).await.unwrap().next_page_token;
    let next = SearchRequest {
        page_token: token.clone(),
        ..request
    };
    assert_eq!(page(&mut soc, &next).await.unwrap().events.len(), 2);
    let filter = EventFilter {
        kinds: vec!["credential".into()],
        ..Default::default()
    };
    let (up_to, cursor) = token.split_once('-').unwrap();
    let later = format!("{:x}-{cursor}", u64::from_str_radix(up_to, 16).unwrap() + 1);
    for other in [
        SearchRequest {
            filter: Some(filter),
            ..next.clone()
        },
        SearchRequest {
            to_unix_ns: 7,
            ..next.clone()
        },
        SearchRequest {
            order: SearchOrder::OldestFirst.into(),
            ..next.clone()
        },
        SearchRequest {
            mask: mask(&["position"]),
            ..next.clone()
        },
        SearchRequest {
            page_token: later,
            ..next.clone()
        },
        SearchRequest {
            page_token: "x".into(),
            ..next.clone()
        },
    ] {
        let refused = page(&mut soc, &other).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{other:?}");
        assert!(refused.message().starts_with("page_token: "), "{refused}");
    }
    let mut admin = client(&scene, &collector, "monitor://admin/ann").await;
    let refused = page(&mut admin, &next).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    // A cursor of a stream is no token, though it is of the same hand.
    let whole = SubscribeRequest {
        from_start: true,
        until_now: true,
        ..Default::default()
    };
    let mut stream = soc.subscribe(whole).await.unwrap().into_inner();
    let cursor = stream.message().await.unwrap().unwrap().cursor;
    let stolen = SearchRequest {
        page_token: format!("{up_to}-{cursor}"),
        ..next
    };
    let refused = page(&mut soc, &stolen).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_make_no_sense_are_refused_with_what_would() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut soc = client(&scene, &collector, "monitor://soc/sam").await;
    let severe = Some(EventFilter {
        least_severity: v1::Severity::High.into(),
        ..Default::default()
    });
    let long = Some(EventFilter {
        object_prefix: "x".repeat(4_097),
        ..Default::default()
    });
    let ask = SearchRequest::default;
    for (request, wanted) in [
        (
            SearchRequest {
                page_size: 1_001,
                ..ask()
            },
            "page_size: 1001; give 1 to 1000",
        ),
        (
            SearchRequest { order: 9, ..ask() },
            "order: 9 is no order; give NEWEST_FIRST",
        ),
        (
            SearchRequest {
                from_unix_ns: 7,
                to_unix_ns: 7,
                ..ask()
            },
            "to_unix_ns: is not after from_unix_ns",
        ),
        (
            SearchRequest {
                filter: severe,
                ..ask()
            },
            "filter.least_severity: ",
        ),
        (
            SearchRequest {
                filter: long,
                ..ask()
            },
            "filter.object_prefix: 4097 bytes",
        ),
        (
            SearchRequest {
                mask: mask(&["event.atribution"]),
                ..ask()
            },
            "mask: \"event.atribution\" is no field of JudgedEvent; the nearest is \"event.attribution\"",
        ),
    ] {
        let refused = page(&mut soc, &request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(wanted), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_make_no_sense_are_refused_with_what_would() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut soc = client(&scene, &collector, "monitor://soc/sam").await;
    let severe = Some(EventFilter {
        least_severity: v1::Severity::High.into(),
        ..Default::default()
    });
    let ask = SubscribeRequest::default;
    for (request, wanted) in [
        (
            SubscribeRequest {
                filter: severe,
                ..ask()
            },
            "filter.least_severity: ",
        ),
        (
            SubscribeRequest {
                from_start: true,
                from_unix_ns: 5,
                ..ask()
            },
            "from_unix_ns: from_start begins",
        ),
        (
            SubscribeRequest {
                mask: mask(&["x"]),
                ..ask()
            },
            "mask: \"x\" is no field",
        ),
    ] {
        let refused = soc.subscribe(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(wanted), "{refused}");
    }
}

/// Everything of an answer that a reader can make out, also within the event.
fn shown(into: &mut String, judged: &v1::JudgedEvent) {
    let event = v1::Event::decode(judged.event.as_slice()).unwrap();
    _ = write!(into, "{judged:?} {event:?}");
}

const MASKS: [&[&str]; 6] = [
    &[],
    &["event", "hash"],
    &["judgement", "position"],
    &[
        "event.attribution",
        "event.credential",
        "judgement.considered",
    ],
    &[
        "event.attribution.tenant",
        "event.attribution.grants",
        "judgement.owner.tenants",
    ],
    &[
        "event.session_opened.session.ticket",
        "event.process",
        "stored_at_unix_ns",
    ],
];

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_finds_nothing_of_another_tenant_whatever_the_mask() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    let mut auditor = client(&scene, &collector, "monitor://auditor/eve?tenant=globex").await;
    let mut soc = client(&scene, &collector, "monitor://soc/sam").await;
    let mut everything = String::new();
    for paths in MASKS {
        let request = SearchRequest {
            filter: Some(told()),
            mask: mask(paths),
            ..Default::default()
        };
        let found = page(&mut auditor, &request).await.unwrap();
        assert_eq!(found.events.len(), 2, "{paths:?}");
        let mut text = String::new();
        for judged in &found.events {
            shown(&mut text, judged);
            assert!(judged.hash.is_empty(), "{judged:?}");
        }
        for secret in ["acme", "01JG", "INC-4711"] {
            assert!(!text.contains(secret), "{secret} with {paths:?}: {text}");
        }
        for judged in page(&mut soc, &request).await.unwrap().events {
            shown(&mut everything, &judged);
        }
    }
    for secret in ["acme", "01JG", "INC-4711"] {
        assert!(everything.contains(secret), "the SOC does see {secret}");
    }
    let of = |tenant: &str| SearchRequest {
        filter: Some(EventFilter {
            tenants: vec![tenant.into()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let forbidden = page(&mut auditor, &of("acme")).await.unwrap_err();
    let absent = page(&mut auditor, &of("amce")).await.unwrap_err();
    assert_eq!(
        (forbidden.code(), absent.code()),
        (Code::NotFound, Code::NotFound)
    );
    let without = |status: &Status, name: &str| status.message().replace(name, "");
    assert_eq!(without(&forbidden, "acme"), without(&absent, "amce"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_auditor_does_not_see_is_not_found_by_its_beginning() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let target = ProcessRef {
        pid: 9,
        start_boot_ns: Some(1),
        session: Some(session_id(2)),
        holds_credentials: true,
        exe: Some(PathLabel {
            text: "/srv/globex/bin/tool".into(),
            truncated: false,
        }),
    };
    let reach = Action::Memory {
        target,
        access: MemoryAccess::Attached,
        syscall: None,
        denied: false,
    };
    let id = event_id("jump-1", Source::Priority { cpu: 0 }, 1);
    agent.send(1, &[event(id, reach)]).await;
    agent.acked(1).await;
    let request = |prefix: &str| SearchRequest {
        filter: Some(EventFilter {
            kinds: vec!["memory".into()],
            object_prefix: prefix.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut soc = client(&scene, &collector, "monitor://soc/sam").await;
    let mut eve = client(&scene, &collector, "monitor://auditor/eve?tenant=acme").await;
    let stream = |prefix: &str| SubscribeRequest {
        filter: request(prefix).filter,
        from_start: true,
        until_now: true,
        ..Default::default()
    };
    for (prefix, soc_finds, eve_finds) in [("", 1, 1), ("/srv/globex", 1, 0)] {
        assert_eq!(all(&mut soc, request(prefix)).await.len(), soc_finds);
        assert_eq!(all(&mut eve, request(prefix)).await.len(), eve_finds);
        assert_eq!(events(&mut soc, stream(prefix)).await.len(), soc_finds);
        assert_eq!(events(&mut eve, stream(prefix)).await.len(), eve_finds);
    }
}

/// The items of a stream that ends, heartbeats aside.
async fn items(client: &mut Client, request: SubscribeRequest) -> Vec<Item> {
    let mut stream = client.subscribe(request).await.unwrap().into_inner();
    let mut items = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        items.extend(response.item);
    }
    items.retain(|item| matches!(item, Item::Event(_) | Item::Alert(_)));
    items
}

/// The events of a stream that ends.
async fn events(client: &mut Client, request: SubscribeRequest) -> Vec<v1::JudgedEvent> {
    let items = items(client, request).await;
    items
        .into_iter()
        .filter_map(|item| match item {
            Item::Event(event) => Some(event),
            Item::Alert(_) | Item::Heartbeat(_) | Item::Cut(_) => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_at_an_instant_and_sends_the_parts_that_are_asked_for() {
    let scene = Scene::new();
    let (collector, mut agent) = filled(&scene, 4).await;
    agent.send(2, &reads(5, 8)).await;
    agent.acked(2).await;
    let mut soc = client(&scene, &collector, "monitor://soc/sam").await;
    let found = page(&mut soc, &SearchRequest::default()).await.unwrap();
    let sixth = found.events.iter().find(|one| sequence(one) == 6).unwrap();
    let from = |from_unix_ns| SubscribeRequest {
        filter: Some(told()),
        from_unix_ns,
        until_now: true,
        mask: mask(&["position", "event.id.sequence"]),
        ..Default::default()
    };
    // The group is acked before it is told of: what is there now is the question.
    let told = eventually(|| async {
        let mut soc = soc.clone();
        let told = events(&mut soc, from(sixth.stored_at_unix_ns)).await;
        (told.len() == 3).then_some(told)
    })
    .await;
    for (judged, sequence) in told.iter().zip(6..) {
        let event = v1::Event {
            id: Some(v1::EventId {
                sequence,
                ..Default::default()
            }),
            ..Default::default()
        };
        let wanted = v1::JudgedEvent {
            event: event.encode_to_vec(),
            position: judged.position,
            ..Default::default()
        };
        assert_eq!(*judged, wanted);
    }
    let after = events(&mut soc, from(sixth.stored_at_unix_ns + 1)).await;
    assert_eq!(after.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn severity_chooses_among_alerts_and_leaves_events_alone() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    let mut soc = client(&scene, &collector, "monitor://soc/sam").await;
    for (least, alerts) in [
        (v1::Severity::Unspecified, 2),
        (v1::Severity::High, 2),
        (v1::Severity::Critical, 1),
    ] {
        let request = SubscribeRequest {
            filter: Some(EventFilter {
                least_severity: least.into(),
                ..told()
            }),
            from_start: true,
            until_now: true,
            include_alerts: true,
            ..Default::default()
        };
        let items = items(&mut soc, request).await;
        let told = items.iter().filter(|item| matches!(item, Item::Alert(_)));
        assert_eq!(told.count(), alerts, "{least:?}");
        let events = items.iter().filter(|item| matches!(item, Item::Event(_)));
        assert_eq!(events.count(), 4, "{least:?}");
    }
}
