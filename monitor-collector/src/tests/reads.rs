//! Reads by people as entries.

use monitor_model::{
    event::{Action, Kind},
    id::{Source, TenantId},
};
use monitor_proto::v1::{
    self, EventFilter, ExplainRequest, GetAlertRequest, GetCheckpointRequest,
    GetCompletenessRequest, GetConsistencyProofRequest, GetInclusionProofRequest, GetOrderRequest,
    GetTileRequest, ListAlertsRequest, ListEntriesRequest, ListGrantUseRequest, ListGrantsRequest,
    ListHostsRequest, ListOrdersRequest, ListProcessesRequest, ListSessionsRequest, RevokeRequest,
    SearchRequest, SubscribeRequest, alert_service_client::AlertServiceClient,
    event_service_client::EventServiceClient, evidence_service_client::EvidenceServiceClient,
    grant_service_client::GrantServiceClient, host_service_client::HostServiceClient,
    process_service_client::ProcessServiceClient,
    revocation_service_client::RevocationServiceClient,
    session_service_client::SessionServiceClient, subscribe_response::Item,
};
use tonic::Code;

use super::{access::played, *};
use crate::{
    ledger::read::{Filter, Reader, Span},
    testing::{credential, event, event_id, whole},
};

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// What the collector itself says in a ledger, in stored order.
pub(super) fn told(data_dir: &Path, ledger: &str) -> Vec<Event> {
    let reader = Reader::open(data_dir, &tenant(ledger)).unwrap();
    let everything = Span {
        after: monitor_model::clock::UnixNs(0),
        up_to: monitor_model::clock::UnixNs::MAX,
        limit: 10_000,
    };
    let filter = Filter {
        kinds: vec![Kind::Read],
        ..Filter::default()
    };
    let (entries, _) = reader.page(everything, &filter).unwrap();
    let events = entries.into_iter().map(|entry| entry.judged.event);
    events.collect()
}

/// Who called what how often: `carol ListSessions 1`; with what was sent, at the end of a stream.
fn calls(events: &[Event]) -> Vec<String> {
    let call = events.iter().map(|event| {
        let Action::Read {
            by,
            call,
            times,
            items,
            ..
        } = &event.action
        else {
            panic!("{event:?}");
        };
        let sent = items.map_or_else(String::new, |items| format!(" sent {items}"));
        format!("{} {call} {times}{sent}", by.name)
    });
    call.collect()
}

/// How often it was read, and that no number is missing or double.
fn counted(data_dir: &Path, ledger: &str) -> u64 {
    let events = told(data_dir, ledger);
    for (place, event) in (1..).zip(&events) {
        assert_eq!(event.id.sequence, place, "{event:?}");
        assert_eq!(event.id.source, Source::Collector);
        assert_eq!(event.id.boot, events[0].id.boot);
    }
    let times = events.iter().map(|event| {
        let Action::Read { times, .. } = &event.action else {
            panic!("{event:?}");
        };
        *times
    });
    times.sum()
}

async fn sessions(channel: &Channel, of: &str) -> Result<(), Status> {
    let asked = ListSessionsRequest {
        tenant: of.to_owned(),
        ..Default::default()
    };
    let mut client = SessionServiceClient::new(channel.clone());
    client.list_sessions(asked).await.map(drop)
}

async fn alert_of(channel: &Channel) -> v1::Alert {
    let mut client = AlertServiceClient::new(channel.clone());
    let all = client.list_alerts(ListAlertsRequest::default()).await;
    all.unwrap().into_inner().alerts.remove(0)
}

/// Asks everything that reads, but what is of the evidence.
async fn asks_everything(channel: &Channel) {
    let alert = alert_of(channel).await;
    assert_eq!(alert.ledger, "globex");
    let mut alerts = AlertServiceClient::new(channel.clone());
    let id = alert.id.clone();
    alerts.get_alert(GetAlertRequest { id }).await.unwrap();
    sessions(channel, "acme").await.unwrap();
    let mut processes = ProcessServiceClient::new(channel.clone());
    let asked = ListProcessesRequest {
        tenant: "acme".into(),
        ..Default::default()
    };
    processes.list_processes(asked).await.unwrap();
    let mut grants = GrantServiceClient::new(channel.clone());
    let (asked, of_use) = (ListGrantsRequest::default(), ListGrantUseRequest::default());
    grants.list_grants(asked).await.unwrap();
    grants.list_grant_use(of_use).await.unwrap();
    let mut hosts = HostServiceClient::new(channel.clone());
    hosts.list_hosts(ListHostsRequest::default()).await.unwrap();
    let mut orders = RevocationServiceClient::new(channel.clone());
    let all = orders.list_orders(ListOrdersRequest::default()).await;
    let order = all.unwrap().into_inner().orders[0].id.clone();
    orders.get_order(GetOrderRequest { order }).await.unwrap();
    let plan = RevokeRequest {
        target: Some((&monitor_model::revocation::Target::Tenant(tenant("acme"))).into()),
        reason: "what if".into(),
        dry_run: true,
        ..Default::default()
    };
    orders.revoke(plan).await.unwrap();
    let mut events = EventServiceClient::new(channel.clone());
    let id = alert.event.clone();
    events.explain(ExplainRequest { id }).await.unwrap();
    let asked = SearchRequest {
        filter: Some(EventFilter {
            tenants: vec!["globex".into()],
            ..Default::default()
        }),
        ..Default::default()
    };
    events.search(asked).await.unwrap();
}

/// Asks everything of the evidence of acme's ledger.
async fn asks_evidence(channel: &Channel) {
    let mut evidence = EvidenceServiceClient::new(channel.clone());
    let tenant = "acme".to_owned();
    eventually(async || {
        let tenant = tenant.clone();
        let newest = evidence
            .clone()
            .get_checkpoint(GetCheckpointRequest { tenant })
            .await;
        (newest.unwrap().into_inner().size > 0).then_some(())
    })
    .await;
    for first in [1, 2] {
        let asked = ListEntriesRequest {
            tenant: tenant.clone(),
            first,
            page_size: 1,
        };
        evidence.list_entries(asked).await.unwrap();
    }
    let asked = GetTileRequest {
        tenant: tenant.clone(),
        ..Default::default()
    };
    evidence.get_tile(asked).await.unwrap();
    let asked = GetInclusionProofRequest {
        tenant: tenant.clone(),
        position: 1,
        size: 0,
    };
    evidence.get_inclusion_proof(asked).await.unwrap();
    let asked = GetConsistencyProofRequest {
        tenant,
        old_size: 1,
        new_size: 0,
    };
    evidence.get_consistency_proof(asked).await.unwrap();
    let asked = GetCompletenessRequest {
        host: "jump-1".into(),
        ..Default::default()
    };
    evidence.get_completeness(asked).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_is_an_entry_of_whom_it_may_show() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    let carol = scene.dial("monitor://soc/carol", &collector).await;
    asks_everything(&carol).await;
    collector.drain().await;
    let everywhere = [
        "carol ListAlerts 1",
        "carol ListGrants 1",
        "carol ListGrantUse 1",
        "carol ListOrders 1",
        "carol GetOrder 1",
        "carol Revoke 1",
    ];
    let more: [(&str, &[&str]); 3] = [
        ("acme", &["carol ListSessions 1", "carol ListProcesses 1"]),
        (
            "globex",
            &["carol GetAlert 1", "carol Explain 1", "carol Search 1"],
        ),
        ("provider", &["carol ListHosts 1"]),
    ];
    for (ledger, own) in more {
        let mut found = calls(&told(&scene.data_dir(), ledger));
        let mut wanted = [&everywhere[..], own].concat();
        found.sort();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{ledger}");
        whole(&scene.data_dir(), ledger);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_the_evidence_are_entries_and_its_pages_are_one() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    asks_evidence(&scene.dial("monitor://soc/carol", &collector).await).await;
    collector.drain().await;
    let found = calls(&told(&scene.data_dir(), "acme"));
    let of = |call: &str| -> Vec<&str> {
        let of = found.iter().filter(|found| found.contains(call));
        of.map(|found| found.rsplit(' ').next().unwrap()).collect()
    };
    assert_eq!(
        of("ListEntries"),
        ["1", "1"],
        "the first, and the further one"
    );
    for call in ["GetTile", "GetInclusionProof", "GetConsistencyProof"] {
        assert_eq!(of(call), ["1"], "{call}: {found:?}");
    }
    assert_eq!(of("GetCheckpoint")[0], "1");
    assert_eq!(
        calls(&told(&scene.data_dir(), "provider")),
        ["carol GetCompleteness 1"]
    );
    assert!(told(&scene.data_dir(), "globex").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_an_entry_when_it_begins_and_ends_and_none_follows_from_entries_shown() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    let carol = scene.dial("monitor://soc/carol", &collector).await;
    let mut events = EventServiceClient::new(carol.clone());
    let request = SubscribeRequest {
        filter: Some(EventFilter {
            kinds: vec!["read".into()],
            ..Default::default()
        }),
        from_start: true,
        ..Default::default()
    };
    let mut stream = events.subscribe(request).await.unwrap().into_inner();
    sessions(&carol, "globex").await.unwrap();
    let mut shown = Vec::new();
    while shown.len() < 4 {
        let response = stream.message().await.unwrap().unwrap();
        if let Some(Item::Event(judged)) = response.item {
            let judgement = judged.judgement.unwrap();
            let verdict = judgement.verdict.unwrap();
            assert!(
                matches!(verdict, v1::judgement::Verdict::Exempt(_)),
                "{verdict:?}"
            );
            shown.push(monitor_proto::decode_event(&judged.event).unwrap());
        }
    }
    shown.sort_by_key(|event| event.attribution.tenant.clone());
    let wanted = [
        "carol Subscribe 1",
        "carol Subscribe 1",
        "carol ListSessions 1",
        "carol Subscribe 1",
    ];
    assert_eq!(
        calls(&shown),
        wanted,
        "of acme, globex twice, and the provider"
    );
    drop((stream, events));
    collector.drain().await;
    for (ledger, wanted) in [
        (
            "acme",
            &["carol Subscribe 1", "carol Subscribe 1 sent 1"][..],
        ),
        (
            "globex",
            &[
                "carol Subscribe 1",
                "carol ListSessions 1",
                "carol Subscribe 1 sent 2",
            ],
        ),
        (
            "provider",
            &["carol Subscribe 1", "carol Subscribe 1 sent 1"],
        ),
    ] {
        assert_eq!(calls(&told(&scene.data_dir(), ledger)), wanted, "{ledger}");
    }
    let state = crate::state::read::StateReader::open(&scene.data_dir()).unwrap();
    let all = crate::state::read::AlertFilter::default();
    let alerts = state
        .alerts(&all, monitor_model::clock::UnixNs::MAX, 100)
        .unwrap();
    assert_eq!(alerts.len(), 2, "none but those of what was played");
}

/// Every entry that an auditor finds in the ledgers of the certificate.
async fn found(scene: &Scene, collector: &Collector, auditor: &str) -> Vec<Event> {
    let mut events = EventServiceClient::new(scene.dial(auditor, collector).await);
    let asked = SearchRequest {
        filter: Some(EventFilter {
            kinds: vec!["read".into()],
            ..Default::default()
        }),
        order: v1::SearchOrder::OldestFirst.into(),
        page_size: 100,
        ..Default::default()
    };
    let page = events.search(asked).await.unwrap().into_inner();
    let decoded = page.events.iter();
    decoded
        .map(|judged| monitor_proto::decode_event(&judged.event).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_who_read_and_nothing_of_other_tenants() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    let carol = scene.dial("monitor://soc/carol", &collector).await;
    sessions(&carol, "acme").await.unwrap();
    sessions(&carol, "").await.unwrap();
    sessions(&carol, "globex").await.unwrap();
    let mut events = EventServiceClient::new(carol);
    let both = |tenants: &[&str], object_prefix: &str| SearchRequest {
        filter: Some(EventFilter {
            tenants: tenants.iter().map(ToString::to_string).collect(),
            object_prefix: object_prefix.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    for asked in [
        both(&["acme", "globex"], "/srv"),
        both(&["acme"], "/srv/globex"),
        both(&["acme"], "/srv/acme"),
        both(&["acme"], &"/long".repeat(200)),
    ] {
        events.search(asked).await.unwrap();
    }
    let wide = "monitor://auditor/wide?tenant=acme&tenant=globex";
    sessions(&scene.dial(wide, &collector).await, "")
        .await
        .unwrap();
    let shown = found(&scene, &collector, "monitor://auditor/eve?tenant=acme").await;
    let questions: Vec<(&str, &str)> = shown
        .iter()
        .map(|event| {
            let Action::Read { by, question, .. } = &event.action else {
                panic!("{event:?}");
            };
            (by.name.as_str(), question.as_str())
        })
        .collect();
    let wanted = [
        ("carol", r#"{"tenant":"acme"}"#),
        ("carol", ""),
        ("carol", ""),
        ("carol", ""),
        (
            "carol",
            r#"{"object_prefix":"/srv/acme","tenants":["acme"]}"#,
        ),
        ("carol", ""),
        ("wide", ""),
    ];
    assert_eq!(questions[..7], wanted);
    // Their own search is entered, and may have come to disk before it was answered.
    let own = [("eve", r#"{"kinds":["read"],"order":2}"#)];
    assert!(questions[7..].is_empty() || questions[7..] == own);
    let text = format!("{shown:?}");
    assert!(!text.contains("globex"), "{text}");
    let wide = found(&scene, &collector, wide).await;
    assert!(format!("{wide:?}").contains(r#"\"tenant\":\"globex\""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_is_lost_or_told_twice_over_a_stop_and_a_crash() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let carol = scene.dial("monitor://soc/carol", &collector).await;
    for _ in 0..5 {
        sessions(&carol, "acme").await.unwrap();
    }
    drop(carol);
    collector.drain().await;
    assert_eq!(
        calls(&told(&scene.data_dir(), "acme")),
        ["carol ListSessions 1", "carol ListSessions 4"]
    );
    let collector = scene.collector("").await;
    let carol = scene.dial("monitor://soc/carol", &collector).await;
    let written = |data_dir: &Path| counted(data_dir, "acme");
    for n in 6..=20 {
        let mut client = SessionServiceClient::new(carol.clone());
        let asked = ListSessionsRequest {
            tenant: "acme".into(),
            host: format!("jump-{n}"),
            ..Default::default()
        };
        client.list_sessions(asked).await.unwrap();
    }
    eventually(async || (written(&scene.data_dir()) == 20).then_some(())).await;
    // As kill -9 leaves it; the one that runs goes on, and disturbs nothing.
    let crashed = scene.path().join("crashed");
    snapshot(&scene.data_dir(), &crashed);
    assert_eq!(written(&crashed), 20);
    let mut config = scene.config("");
    config.data_dir = crashed.clone();
    let again = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap();
    sessions(&scene.dial("monitor://soc/carol", &again).await, "")
        .await
        .unwrap();
    again.drain().await;
    assert_eq!(written(&crashed), 21);
    assert_eq!(counted(&crashed, "globex"), 1);
    assert_eq!(
        whole(&crashed, "acme"),
        u64::try_from(told(&crashed, "acme").len()).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_entered_is_shown_nothing_and_what_was_answered_is_entered_once() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let carol = scene.dial("monitor://soc/carol", &collector).await;
    let eve = scene
        .dial("monitor://auditor/eve?tenant=acme", &collector)
        .await;
    let path = crate::ledger::Ledger::path(&scene.data_dir(), &tenant("globex"));
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Of all ledgers: acme's comes before the one that takes nothing.
    sessions(&carol, "").await.unwrap();
    let mut answered = 0;
    eventually(async || {
        let denied = match sessions(&eve, "").await {
            Ok(()) => {
                answered += 1;
                return None;
            }
            Err(denied) => denied,
        };
        assert_eq!(denied.code(), Code::Unavailable, "{denied}");
        Some(())
    })
    .await;
    assert_eq!(
        sessions(&carol, "acme").await.unwrap_err().code(),
        Code::Unavailable
    );
    other.execute_batch("ROLLBACK").unwrap();
    eventually(async || sessions(&carol, "globex").await.ok()).await;
    collector.drain().await;
    for ledger in ["acme", "globex", "provider"] {
        let of_all = calls(&told(&scene.data_dir(), ledger));
        assert_eq!(of_all[0], "carol ListSessions 1", "{ledger}");
        whole(&scene.data_dir(), ledger);
    }
    assert_eq!(counted(&scene.data_dir(), "acme"), 1 + answered);
    assert_eq!(counted(&scene.data_dir(), "globex"), 2);
    assert_eq!(counted(&scene.data_dir(), "provider"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_cannot_say_what_the_collector_says() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let forged = |source| {
        let id = event_id("jump-1", source, 1);
        let read = Action::Removed {
            first: 1,
            last: 2,
            reason: monitor_model::event::RemovalReason::Retention,
            contract: String::new(),
            held_back: 0,
        };
        event(id, read)
    };
    let own_source = credential(event_id("jump-1", Source::Collector, 1), "acme", "/srv/k");
    let gap = Action::Gap {
        source: Source::Collector,
        first: 1,
        last: 2,
        cause: monitor_model::event::GapCause::RingFull,
    };
    let gap = event(event_id("jump-1", Source::Agent, 1), gap);
    for event in [
        forged(Source::Agent),
        forged(Source::Collector),
        own_source,
        gap,
    ] {
        let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
        agent.send(1, &[event]).await;
        let status = agent.refused().await;
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains("collector"), "{status}");
    }
    collector.drain().await;
    assert_eq!(whole(&scene.data_dir(), "acme"), 0);
}

/// Whether the words of an auditor are held back must not tell that one of them
/// is another tenant's name.
#[tokio::test(flavor = "multi_thread")]
async fn an_auditors_own_words_are_shown_whether_or_not_a_tenant_has_that_name() {
    let scene = Scene::new();
    let collector = played(&scene).await;
    let eve = "monitor://auditor/eve?tenant=acme";
    let mut events = EventServiceClient::new(scene.dial(eve, &collector).await);
    // One is a tenant here, the other is nobody's name.
    for name in ["globex", "nobody"] {
        let asked = SearchRequest {
            filter: Some(EventFilter {
                principals: vec![name.into()],
                ..Default::default()
            }),
            ..Default::default()
        };
        events.search(asked).await.unwrap();
    }
    let words = eventually(async || {
        let shown = found(&scene, &collector, eve).await;
        let questions = shown.iter().map(|event| {
            let Action::Read { question, .. } = &event.action else {
                panic!("{event:?}");
            };
            question.clone()
        });
        let asked: Vec<String> = questions
            .filter(|text| text.contains("principals"))
            .collect();
        (asked.len() == 2).then_some(asked)
    })
    .await;
    assert_eq!(
        words,
        [
            r#"{"principals":["globex"]}"#,
            r#"{"principals":["nobody"]}"#
        ]
    );
}
