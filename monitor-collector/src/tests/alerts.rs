//! What people do with alerts, who may, and what a silent host comes to.

use monitor_model::id::Source;
use monitor_proto::v1::{
    Alert, AlertState, GetAlertRequest, HandleAlertRequest, ListAlertsRequest, ListRulesRequest,
    alert_service_client::AlertServiceClient,
};
use tonic::Code;

use super::*;
use crate::testing::{credential, event_id, session_id};

type Client = AlertServiceClient<Channel>;

async fn client(scene: &Scene, collector: &Collector, identity: &str) -> Client {
    AlertServiceClient::new(scene.dial(identity, collector).await)
}

async fn list(client: &mut Client, states: &[AlertState]) -> Vec<Alert> {
    let request = ListAlertsRequest {
        states: states.iter().map(|&state| state.into()).collect(),
        ..ListAlertsRequest::default()
    };
    client
        .list_alerts(request)
        .await
        .unwrap()
        .into_inner()
        .alerts
}

/// So many alerts as soon as there are.
async fn listed(client: &mut Client, wanted: usize) -> Vec<Alert> {
    eventually(async || {
        let alerts = list(client, &[]).await;
        (alerts.len() >= wanted).then_some(alerts)
    })
    .await
}

/// Somebody's session reads globex's file; each session raises an alert.
async fn read(scene: &Scene, collector: &Collector, number: u64) {
    let id = event_id("jump-1", Source::Priority { cpu: 0 }, number);
    let mut event = credential(id, "globex", "/srv/globex/k");
    // All of one session, and near each other: alike.
    event.attribution.session = Some(session_id(1));
    let mut agent = Agent::connect(scene, collector, "jump-1").await;
    agent.send(number, &[event]).await;
    agent.acked(number).await;
}

fn handle(alert: &Alert, state: AlertState, note: &str) -> HandleAlertRequest {
    HandleAlertRequest {
        id: alert.id.clone(),
        state: state.into(),
        note: note.into(),
    }
}

/// A collector whose only rule tells people, and folds for an hour.
async fn telling(scene: &Scene) -> Collector {
    let mut config = scene.config("[alert]\ndedupe_seconds = 3600\n");
    config.rules.truncate(1);
    Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_taken_and_closed_by_name_and_stays_so_over_a_restart() {
    let scene = Scene::new();
    let collector = telling(&scene).await;
    read(&scene, &collector, 1).await;
    let mut soc = client(&scene, &collector, "monitor://soc/eve").await;
    let alert = listed(&mut soc, 1).await.remove(0);
    assert_eq!(alert.state(), AlertState::Open);
    let taken = handle(&alert, AlertState::Acknowledged, "asking alice of acme");
    soc.handle_alert(taken).await.unwrap();
    let mut admin = client(&scene, &collector, "monitor://admin/frank").await;
    let done = handle(&alert, AlertState::Closed, "agreed");
    admin.handle_alert(done).await.unwrap();
    let again = handle(&alert, AlertState::Acknowledged, "again");
    let refused = soc.handle_alert(again).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("is closed, and stays so"));
    drop((soc, admin));
    collector.drain().await;

    let collector = telling(&scene).await;
    let mut soc = client(&scene, &collector, "monitor://soc/eve").await;
    let closed = list(&mut soc, &[AlertState::Closed]).await.remove(0);
    let steps: Vec<(&str, &str)> = closed
        .steps
        .iter()
        .map(|step| (step.author.as_str(), step.note.as_str()))
        .collect();
    assert_eq!(
        steps,
        [
            ("soc/eve", "asking alice of acme"),
            ("admin/frank", "agreed")
        ]
    );
    // What is like a closed alert is not hidden in it.
    read(&scene, &collector, 2).await;
    let alerts = listed(&mut soc, 2).await;
    assert_eq!((alerts[0].count, alerts[0].state()), (1, AlertState::Open));
    read(&scene, &collector, 3).await;
    eventually(async || (list(&mut soc, &[AlertState::Open]).await[0].count == 2).then_some(()))
        .await;
    assert_eq!(list(&mut soc, &[AlertState::Closed]).await[0].count, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn auditors_read_the_state_of_their_own_alerts_and_change_none() {
    let scene = Scene::new();
    let collector = telling(&scene).await;
    read(&scene, &collector, 1).await;
    let mut soc = client(&scene, &collector, "monitor://soc/eve").await;
    let alert = listed(&mut soc, 1).await.remove(0);
    let taken = handle(&alert, AlertState::Acknowledged, "asking alice of acme");
    soc.handle_alert(taken).await.unwrap();

    let own = "monitor://auditor/own?tenant=globex";
    let mut own = client(&scene, &collector, own).await;
    let get = |id: &[u8]| GetAlertRequest { id: id.to_vec() };
    let shown = own.get_alert(get(&alert.id)).await.unwrap().into_inner();
    let shown = shown.alert.unwrap();
    assert_eq!(shown.state(), AlertState::Acknowledged);
    assert!(!format!("{shown:?}").contains("acme"), "{shown:?}");
    let change = handle(&alert, AlertState::Closed, "x");
    let refused = own.handle_alert(change).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let other = "monitor://auditor/other?tenant=acme";
    let mut other = client(&scene, &collector, other).await;
    let forbidden = other.get_alert(get(&alert.id)).await.unwrap_err();
    let absent_id = [7; 16];
    let absent = other.get_alert(get(&absent_id)).await.unwrap_err();
    assert_eq!(
        (forbidden.code(), absent.code()),
        (Code::NotFound, Code::NotFound)
    );
    let name = |bytes: &[u8]| {
        monitor_model::id::AlertId::from_slice(bytes)
            .unwrap()
            .to_string()
    };
    let without = |status: &Status, id: &[u8]| status.message().replace(&name(id), "");
    assert_eq!(without(&forbidden, &alert.id), without(&absent, &absent_id));
    assert!(list(&mut other, &[]).await.is_empty());
    let rules = other.list_rules(ListRulesRequest {}).await.unwrap();
    assert_eq!(rules.into_inner().rules.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_what_is_right() {
    let scene = Scene::new();
    let collector = telling(&scene).await;
    read(&scene, &collector, 1).await;
    let mut soc = client(&scene, &collector, "monitor://soc/eve").await;
    let alert = listed(&mut soc, 1).await.remove(0);
    for (request, part) in [
        (
            handle(&alert, AlertState::Open, "x"),
            "give ACKNOWLEDGED or CLOSED",
        ),
        (
            handle(&alert, AlertState::Closed, " "),
            "give a reason of 1 to 1024 bytes",
        ),
    ] {
        let refused = soc.handle_alert(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(part), "{refused}");
    }
    let note = || handle(&alert, AlertState::Acknowledged, "still at it");
    for _ in 0..monitor_model::alert::STEPS_MAX {
        soc.handle_alert(note()).await.unwrap();
    }
    let full = soc.handle_alert(note()).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_agent_is_gone_raises_an_alert_that_readers_follow() {
    let scene = Scene::new();
    let mut config = scene.config("");
    config.rules = crate::config::rules::standard(Duration::from_secs(60)).unwrap();
    // Reads of this test would be entries, and groups.
    config.aggregate = Duration::MAX;
    let collector = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap();
    read(&scene, &collector, 1).await;
    let mut groups = collector.writer().groups();
    let mut soc = client(&scene, &collector, "monitor://soc/eve").await;
    let alerts = eventually(async || {
        let alerts = list(&mut soc, &[]).await;
        alerts
            .iter()
            .any(|alert| alert.rule == "agent-silent")
            .then_some(alerts)
    })
    .await;
    let silent = alerts.iter().filter(|alert| alert.rule == "agent-silent");
    let silent: Vec<&Alert> = silent.collect();
    assert_eq!(silent.len(), 1);
    assert_eq!(
        (silent[0].host.as_str(), silent[0].ledger.as_str()),
        ("jump-1", "provider")
    );
    assert_eq!(silent[0].event.as_ref().unwrap().sequence, 1);
    let told = async {
        loop {
            let group = groups.recv().await.unwrap();
            let is_it = |item: &crate::writer::Item| matches!(item, crate::writer::Item::Alert(raised) if raised.alert.rule == "agent-silent");
            if group.items.iter().any(is_it) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, told).await.unwrap();
}
