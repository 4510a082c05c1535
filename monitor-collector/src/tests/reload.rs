//! A configuration is reloaded while agents and people are connected.

use monitor_model::id::Source;
use monitor_proto::v1::{
    ExplainRequest, Grant, ListGrantUseRequest, ListGrantsRequest, PutGrantRequest,
    ReviewGrantRequest, SubscribeRequest, event_service_client::EventServiceClient,
    grant_service_client::GrantServiceClient, subscribe_response::Item,
};
use tonic::Code;

use super::*;
use crate::testing::{credential, event_id, grant};

fn read(sequence: u64, tenant: &str) -> Event {
    let id = event_id("jump-1", Source::Priority { cpu: 0 }, sequence);
    credential(id, tenant, "/srv/key")
}

/// The verdict's sentence, as people are told it.
async fn verdict(scene: &Scene, collector: &Collector, event: &Event) -> String {
    let channel = scene.dial("monitor://soc/eve", collector).await;
    let id = Some((&event.id).into());
    let explained = EventServiceClient::new(channel)
        .explain(ExplainRequest { id })
        .await;
    explained.unwrap().into_inner().verdict_sentence
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_is_known_after_a_reload_and_a_wrong_file_changes_nothing() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let first = collector.policy_version();
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent.send(1, &[read(1, "initech")]).await;
    agent.acked(1).await;
    let with_initech = scene.config("[[tenant]]\nid = \"initech\"");
    collector.reload(Ok(with_initech)).await;
    let second = collector.policy_version();
    assert_ne!(second, first);
    // The same stream goes on, under the new policy.
    agent.send(2, &[read(2, "initech")]).await;
    agent.acked(2).await;
    let told = verdict(&scene, &collector, &read(2, "initech")).await;
    assert!(told.contains(&second), "{told}");
    let told = verdict(&scene, &collector, &read(1, "initech")).await;
    assert!(told.contains(&first), "{told}");
    assert!(scene.data_dir().join("ledger/initech.db").exists());
    let wrong = Config::parse(Path::new("/test/collector.toml"), "listen = 7");
    collector.reload(wrong).await;
    assert_eq!(collector.policy_version(), second);
    agent.send(3, &[read(3, "initech")]).await;
    agent.acked(3).await;
    collector.drain().await;
    let report = crate::rejudge::rejudge(&scene.data_dir(), &"initech".parse().unwrap()).unwrap();
    let same = (report.same, report.differing, report.unknown);
    assert_eq!(same, (3, 0, 0), "two events, and that one was explained");
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_of_files_come_and_end_with_their_files() {
    let scene = Scene::new();
    let folder = scene.data_dir().parent().unwrap().join("grants.d");
    std::fs::create_dir(&folder).unwrap();
    let put = |id: &str, ticket: &str| {
        let text = format!(
            "id = \"{id}\"\nprincipal = \"alice\"\ntenant = \"acme\"\nticket = \"{ticket}\"\n\
             purpose = \"upgrade\"\napproved_by = \"bob\"\ntier = \"production\"\n\
             kind = \"just_in_time\"\nnot_before = \"2020-01-01T00:00:00Z\"\n\
             expires = \"2100-01-01T00:00:00Z\"\n[scope]\ncredentials = [\"/**\"]\n"
        );
        std::fs::write(folder.join(format!("{id}.toml")), text).unwrap();
    };
    put("01JG", "INC-1");
    let more = format!("grants = {folder:?}");
    let collector = scene.collector(&more).await;
    let states = async |collector: &Collector| {
        let channel = scene.dial("monitor://soc/eve", collector).await;
        let ask = ListGrantsRequest {
            include_ended: true,
            ..ListGrantsRequest::default()
        };
        let listed = GrantServiceClient::new(channel).list_grants(ask).await;
        let grants = listed.unwrap().into_inner().grants;
        let reason = |grant: &Grant| grant.ended.as_ref().map(|end| end.reason.clone());
        let state = |grant: Grant| (grant.id.clone(), reason(&grant).unwrap_or_default());
        grants.into_iter().map(state).collect::<Vec<_>>()
    };
    let standing = |id: &str| (id.to_owned(), String::new());
    assert_eq!(states(&collector).await, [standing("01JG")]);
    // A second file is read, and judged by; a changed one refuses all of it.
    put("02JG", "INC-2");
    collector.reload(Ok(scene.config(&more))).await;
    assert_eq!(
        states(&collector).await,
        [standing("01JG"), standing("02JG")]
    );
    put("03JG", "INC-3");
    put("01JG", "INC-OTHER");
    collector.reload(Ok(scene.config(&more))).await;
    assert_eq!(
        states(&collector).await,
        [standing("01JG"), standing("02JG")]
    );
    std::fs::remove_file(folder.join("01JG.toml")).unwrap();
    collector.reload(Ok(scene.config(&more))).await;
    let ended = ("01JG".to_owned(), "its file is gone".to_owned());
    let expected = [ended, standing("02JG"), standing("03JG")];
    assert_eq!(states(&collector).await, expected);
    collector.drain().await;
    let collector = scene.collector(&more).await;
    assert_eq!(states(&collector).await, expected, "after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_misses_nothing_of_a_tenant_that_comes_while_it_reads() {
    let scene = Scene::new();
    let beat = "[subscription]\nheartbeat_seconds = 1";
    let collector = scene.collector(beat).await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let channel = scene.dial("monitor://soc/eve", &collector).await;
    let mut client = EventServiceClient::new(channel);
    let ask = SubscribeRequest {
        from_start: true,
        ..SubscribeRequest::default()
    };
    let mut stream = client.subscribe(ask).await.unwrap().into_inner();
    agent.send(1, &[read(1, "acme")]).await;
    agent.acked(1).await;
    let mut cursor = stream.message().await.unwrap().unwrap().cursor;
    let with_initech = scene.config("[[tenant]]\nid = \"initech\"");
    collector.reload(Ok(with_initech)).await;
    agent.send(2, &[read(2, "initech"), read(3, "acme")]).await;
    agent.acked(2).await;
    let ended = loop {
        match stream.message().await {
            Ok(message) => cursor = message.unwrap().cursor,
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    let ask = SubscribeRequest {
        cursor,
        until_now: true,
        ..SubscribeRequest::default()
    };
    let mut stream = client.subscribe(ask).await.unwrap().into_inner();
    let mut ledgers = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        if let Some(Item::Event(event)) = message.item {
            ledgers.push(event.judgement.unwrap().ledger);
        }
    }
    assert!(ledgers.contains(&"initech".to_owned()), "{ledgers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_are_listed_and_reviews_recorded_by_those_who_may() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let broker = scene.dial("monitor://broker/b", &collector).await;
    let mut broker = GrantServiceClient::new(broker);
    let emergency = monitor_model::grant::Grant {
        kind: monitor_model::grant::GrantKind::BreakGlass,
        not_before: crate::testing::BASE,
        expires: crate::testing::at_seconds(3_600),
        ..grant("01JG", "alice", "acme")
    };
    let grant = Some((&emergency).into());
    broker.put_grant(PutGrantRequest { grant }).await.unwrap();
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    agent.send(1, &[read(1, "acme")]).await;
    agent.acked(1).await;
    let review = |note: &str| ReviewGrantRequest {
        grant: "01JG".into(),
        note: note.into(),
    };
    let refused = broker.review_grant(review("fine")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let soc = scene.dial("monitor://soc/eve", &collector).await;
    let mut soc = GrantServiceClient::new(soc);
    let empty = soc.review_grant(review(" ")).await.unwrap_err();
    assert!(empty.message().contains("1 to 4096 bytes"), "{empty}");
    let reviewed = soc.review_grant(review("fine")).await.unwrap().into_inner();
    assert_eq!(reviewed.grant.unwrap().review.unwrap().by, "eve");
    let ask = ListGrantUseRequest {
        include_ended: true,
        ..ListGrantUseRequest::default()
    };
    let used = soc.list_grant_use(ask.clone()).await.unwrap().into_inner();
    assert_eq!(used.uses[0].accesses, 1);
    let parts: Vec<u64> = used.uses[0].entries.iter().map(|e| e.accesses).collect();
    assert_eq!(parts, [0, 1, 0]);
    let other = scene
        .dial("monitor://auditor/eve?tenant=globex", &collector)
        .await;
    let seen = GrantServiceClient::new(other).list_grant_use(ask).await;
    assert!(seen.unwrap().into_inner().uses.is_empty());
}
