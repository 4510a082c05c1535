//! The broker's revocation list on its way to hosts.

use monitor_proto::v1::{
    GetOrderRequest, HostStatus, ListHostsRequest, ListInPlace, PutListRequest,
    ReportChangeRequest, RevocationList, RevocationTarget, RevokeRequest,
    host_service_client::HostServiceClient,
    revocation_list_service_client::RevocationListServiceClient,
    revocation_service_client::RevocationServiceClient, revocation_target::Target,
};
use sha2::{Digest as _, Sha256};
use tonic::{Code, transport::Channel};

use monitor_model::{clock::UnixNs, event::Action, id::Source};

use super::*;
use crate::{
    core::orders::{Attempt, BrokerAnswer},
    ledger::read::{Filter, Reader, Span},
    testing::{event, event_id},
    writer::Request as Ask,
};

/// An empty list of this number, with a comment.
fn list(number: u64, comment: &str) -> RevocationList {
    let mut bytes = b"SSHKRL\n\0".to_vec();
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend([0; 20]);
    bytes.extend(u32::try_from(comment.len()).unwrap().to_be_bytes());
    bytes.extend(comment.as_bytes());
    RevocationList {
        number,
        sha256: Sha256::digest(&bytes).to_vec(),
        list: bytes,
        published_at_unix_ns: 5,
    }
}

async fn broker(scene: &Scene, collector: &Collector) -> RevocationListServiceClient<Channel> {
    RevocationListServiceClient::new(scene.dial("monitor://broker/b", collector).await)
}

async fn put(
    broker: &mut RevocationListServiceClient<Channel>,
    list: RevocationList,
) -> Result<u64, Status> {
    let request = PutListRequest { list: Some(list) };
    let answer = broker.put_list(request).await?;
    Ok(answer.into_inner().number)
}

async fn sent(agent: &mut Agent) -> RevocationList {
    agent
        .until(|message| match message {
            DownMessage::List(list) => Some(list),
            DownMessage::Ack(_)
            | DownMessage::Contain(_)
            | DownMessage::Deny(_)
            | DownMessage::Grants(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::Inspect(_) => None,
        })
        .await
}

fn has(number: u64, at: u64) -> Up {
    Up::List(ListInPlace {
        number: Some(number),
        at_unix_ns: at,
        problem: String::new(),
    })
}

async fn host(scene: &Scene, collector: &Collector, wanted: u64) -> (HostStatus, Option<u64>) {
    let soc = HostServiceClient::new(scene.dial("monitor://soc/carol", collector).await);
    eventually(async || {
        let answer = soc.clone().list_hosts(ListHostsRequest::default()).await;
        let answer = answer.unwrap().into_inner();
        let host = answer.hosts.first()?.clone();
        let number = host.list.as_ref()?.number?;
        (number == wanted).then_some((host, answer.list_number))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_newer_lists_go_to_every_agent_and_stay_over_a_restart() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::keeping_list(&scene, &collector, "jump-1").await;
    let mut client = broker(&scene, &collector).await;
    assert_eq!(put(&mut client, list(7, "a")).await.unwrap(), 7);
    assert_eq!(sent(&mut agent).await, list(7, "a"));
    assert_eq!(put(&mut client, list(7, "a")).await.unwrap(), 7);
    let mut cut = list(8, "a");
    cut.list.pop();
    let mut digest = list(8, "a");
    digest.sha256[0] ^= 1;
    let wrong = [
        (list(6, "a"), Code::FailedPrecondition, "older than 7"),
        (list(7, "b"), Code::AlreadyExists, "another revocation list"),
        (cut, Code::InvalidArgument, "cut off"),
        (digest, Code::InvalidArgument, "SHA-256"),
    ];
    for (list, code, part) in wrong {
        let status = put(&mut client, list).await.unwrap_err();
        assert!(
            status.code() == code && status.message().contains(part),
            "{status}"
        );
    }
    let channel = scene.dial("monitor://agent/jump-1", &collector).await;
    let refused = put(&mut RevocationListServiceClient::new(channel), list(9, "a")).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    collector.drain().await;
    let collector = scene.collector("").await;
    let mut agent = Agent::keeping_list(&scene, &collector, "jump-2").await;
    assert_eq!(sent(&mut agent).await.number, 7);
    let mut client = broker(&scene, &collector).await;
    put(&mut client, list(8, "a")).await.unwrap();
    assert_eq!(sent(&mut agent).await.number, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_orders_say_which_list_a_host_has_and_since_when() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::keeping_list(&scene, &collector, "jump-1").await;
    let action = Action::AgentStarted {
        version: "1".into(),
        kernel: "6.12.1".into(),
        resumed: false,
        hooks: Vec::new(),
    };
    let started = event(event_id("jump-1", Source::Agent, 1), action);
    agent.send(1, &[started]).await;
    agent.acked(1).await;
    put(&mut broker(&scene, &collector).await, list(3, ""))
        .await
        .unwrap();
    agent.say(has(2, 10)).await;
    let (status, newest) = host(&scene, &collector, 2).await;
    assert_eq!((status.list.unwrap().at_unix_ns, newest), (10, Some(3)));
    let mut people =
        RevocationServiceClient::new(scene.dial("monitor://soc/sam", &collector).await);
    let request = RevokeRequest {
        target: Some(RevocationTarget {
            target: Some(Target::Engineer("alice".into())),
        }),
        reason: "offboarding".into(),
        ..RevokeRequest::default()
    };
    let order = people.revoke(request).await.unwrap().into_inner().order;
    let id = order.unwrap().id;
    let now = SystemClock.now();
    let attempt = Attempt {
        order: monitor_model::id::OrderId::from_slice(&id).unwrap(),
        asked_at: now,
        answer: Ok(BrokerAnswer {
            revoked: Vec::new(),
            published_at: Some(now),
            list: Some(3),
            at: now,
        }),
    };
    let noted = |reply| Ask::Attempted(Box::new(attempt), reply);
    collector.writer().ask(noted).await.unwrap();
    let published = async || {
        let request = GetOrderRequest { order: id.clone() };
        let order = people
            .clone()
            .get_order(request)
            .await
            .unwrap()
            .into_inner();
        let order = order.order.unwrap();
        assert_eq!(order.list_number, Some(3));
        order.published
    };
    assert!(published().await.is_empty());
    agent.say(has(4, 20)).await;
    host(&scene, &collector, 4).await;
    let on: Vec<_> = published()
        .await
        .into_iter()
        .map(|one| (one.host, one.at_unix_ns))
        .collect();
    assert_eq!(on, [("jump-1".to_owned(), 20)]);
    // A later list changes nothing of when it was there first.
    agent.say(has(5, 30)).await;
    host(&scene, &collector, 5).await;
    assert_eq!(published().await[0].at_unix_ns, 20);
}

fn changed(found: &str, at: u64) -> ReportChangeRequest {
    ReportChangeRequest {
        number: 7,
        found: found.into(),
        found_at_unix_ns: at,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_made_of_a_brokers_list_is_told_once_by_a_broker_alone() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut client = broker(&scene, &collector).await;
    let said = [
        (changed("nothing", 5), true),
        (changed("nothing", 5), false),
        // The clock of its host was set back.
        (changed("no list", 4), true),
    ];
    for (request, is_new) in said {
        let answer = client.report_change(request).await.unwrap();
        assert_eq!(answer.into_inner().is_new, is_new);
    }
    for wrong in [
        changed("", 6),
        changed(&"x".repeat(257), 6),
        changed("x", 0),
    ] {
        let refused = client.report_change(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    let soc = scene.dial("monitor://soc/carol", &collector).await;
    let refused = RevocationListServiceClient::new(soc)
        .report_change(changed("x", 9))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    collector.drain().await;
    let provider = "provider".parse().unwrap();
    let reader = Reader::open(&scene.data_dir(), &provider).unwrap();
    let everything = Span {
        after: UnixNs(0),
        up_to: UnixNs::MAX,
        limit: 100,
    };
    let filter = Filter {
        kinds: vec![monitor_model::event::Kind::Host],
        ..Filter::default()
    };
    let (entries, _) = reader.page(everything, &filter).unwrap();
    let words = entries.iter().map(|entry| {
        let Action::Host { detail, number, .. } = &entry.judged.event.action else {
            panic!("{entry:?}");
        };
        (detail.to_string(), *number)
    });
    assert_eq!(
        words.collect::<Vec<_>>(),
        [
            ("of broker b: found nothing".to_owned(), 7),
            ("of broker b: found no list".to_owned(), 7)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_no_list_is_sent_none_and_has_none() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::keeping_list(&scene, &collector, "jump-1").await;
    let mut client = broker(&scene, &collector).await;
    put(&mut client, list(7, "a")).await.unwrap();
    assert_eq!(sent(&mut agent).await.number, 7);
    agent.say(has(7, 10)).await;
    let tables = collector.writer().tables();
    let lists = async || tables.borrow().lists.in_place.len();
    eventually(async || (lists().await == 1).then_some(())).await;
    // The administrator takes it out of the configuration.
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    eventually(async || (lists().await == 0).then_some(())).await;
    loop {
        match agent.next().await.unwrap().unwrap() {
            DownMessage::List(list) => panic!("it was sent list {}", list.number),
            // The table of grants is the last of what a new stream is shown.
            DownMessage::Grants(_) => break,
            DownMessage::Ack(_)
            | DownMessage::Contain(_)
            | DownMessage::Deny(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::Inspect(_) => {}
        }
    }
    collector.drain().await;
    let collector = scene.collector("").await;
    assert!(
        collector
            .writer()
            .tables()
            .borrow()
            .lists
            .in_place
            .is_empty()
    );
}
