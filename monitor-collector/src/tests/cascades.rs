//! Three cascades through many clients, each caught at the second client touched.

use monitor_model::{alert::Alert, id::Source, tenant::Tenant};
use monitor_proto::v1::{
    ListAlertsRequest, PutGrantRequest, alert_service_client::AlertServiceClient,
    grant_service_client::GrantServiceClient,
};
use serde::Deserialize;

use super::*;
use crate::{
    config::rules::standard,
    testing::{credential, event_id, grant, session_id},
};

#[derive(Deserialize)]
struct File {
    cascade: Vec<Cascade>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cascade {
    name: String,
    principal: String,
    /// Tenants at which the principal has grants.
    grants: Vec<String>,
    steps: Vec<Step>,
    caught: usize,
    by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    host: String,
    session: u128,
    /// The tenant whose grant the session stands on.
    grant: Option<String>,
    touches: String,
    after_s: u64,
}

/// How the collector lives through a cascade.
#[derive(Clone, Copy, Debug)]
enum Life {
    Steady,
    StoppedAfterEachStep,
}

impl Cascade {
    fn grant_id(tenant: &str) -> String {
        format!("g-{tenant}")
    }

    /// What the step before and the others come to, as events.
    fn events(&self) -> Vec<Event> {
        let mut at_ns = crate::testing::BASE.0;
        let mut events = Vec::new();
        for (number, step) in (1..).zip(&self.steps) {
            at_ns += step.after_s * 1_000_000_000;
            let id = event_id(&step.host, Source::Priority { cpu: 0 }, number);
            let path = format!("/srv/{}/kubeconfig", step.touches);
            let mut event = credential(id, &step.touches, &path);
            event.at.0 = at_ns;
            event.boot_ns = at_ns;
            let who = &mut event.attribution;
            who.session = Some(session_id(step.session));
            who.principal = Some(self.principal.parse().unwrap());
            who.tenant = step.grant.as_ref().map(|tenant| tenant.parse().unwrap());
            let grant = step.grant.as_deref().map(Self::grant_id);
            who.grants = grant.iter().map(|id| id.parse().unwrap()).collect();
            events.push(event);
        }
        events
    }

    async fn put_grants(&self, scene: &Scene, collector: &Collector) {
        let broker = scene.dial("monitor://broker/b", collector).await;
        let mut client = GrantServiceClient::new(broker);
        for tenant in &self.grants {
            let grant = grant(&Self::grant_id(tenant), &self.principal, tenant);
            let put = PutGrantRequest {
                grant: Some((&grant).into()),
            };
            client.put_grant(put).await.unwrap();
        }
    }

    /// Plays it over the wire; the alerts, oldest first.
    async fn played(&self, life: Life) -> Vec<Alert> {
        let scene = Scene::new();
        let mut collector = start(&scene).await;
        self.put_grants(&scene, &collector).await;
        for (number, event) in (1..).zip(self.events()) {
            let host = event.id.agent.to_string();
            let mut agent = Agent::connect(&scene, &collector, &host).await;
            agent.send(number, &[event]).await;
            agent.acked(number).await;
            if let Life::StoppedAfterEachStep = life {
                drop(agent);
                collector.drain().await;
                collector = start(&scene).await;
            }
        }
        let soc = scene.dial("monitor://soc/eve", &collector).await;
        let mut client = AlertServiceClient::new(soc);
        let listed = eventually(async || {
            let request = ListAlertsRequest::default();
            let page = client.list_alerts(request).await.unwrap().into_inner();
            // An ack comes before what follows from the event.
            let last = |alert: &monitor_proto::v1::Alert| {
                let sequence = alert.event.as_ref().unwrap().sequence;
                usize::try_from(sequence).unwrap() == self.steps.len()
            };
            page.alerts.iter().any(last).then_some(page.alerts)
        })
        .await;
        collector.drain().await;
        let alerts = listed.into_iter().rev();
        alerts.map(|alert| alert.try_into().unwrap()).collect()
    }
}

async fn start(scene: &Scene) -> Collector {
    let mut config = scene.config("");
    config.rules = standard(Duration::from_secs(60)).unwrap();
    config.terms.tenants.push(Tenant {
        id: "initech".parse().unwrap(),
        zones: vec![],
    });
    Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap()
}

/// What of an alert must be the same however the collector lived.
fn lasting(alerts: &[Alert]) -> Vec<String> {
    let line = |alert: &Alert| {
        let Alert {
            rule,
            event,
            events,
            response,
            count,
            sentence,
            tenants,
            ..
        } = alert;
        format!("{rule} {event} {events:?} {response:?} {count} {sentence} {tenants:?}")
    };
    alerts.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cascade_is_caught_at_the_second_client_touched() {
    let file: File = toml::from_str(include_str!("cascades.toml")).unwrap();
    assert_eq!(file.cascade.len(), 3);
    for cascade in &file.cascade {
        let alerts = cascade.played(Life::Steady).await;
        let naming_several = alerts.iter().find(|alert| alert.tenants.len() > 1);
        let caught = naming_several.unwrap_or_else(|| panic!("{}: {alerts:#?}", cascade.name));
        let step = usize::try_from(caught.event.sequence).unwrap();
        assert_eq!(
            (step, &caught.rule),
            (cascade.caught, &cascade.by),
            "{}",
            cascade.name
        );
        assert_eq!(caught.tenants.len(), 2, "{}", cascade.name);
        assert_eq!(
            caught.principal.as_ref().unwrap().as_str(),
            cascade.principal
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_stopped_in_mid_stream_raises_the_same_alerts_once() {
    let file: File = toml::from_str(include_str!("cascades.toml")).unwrap();
    for cascade in &file.cascade {
        let steady = cascade.played(Life::Steady).await;
        let stopped = cascade.played(Life::StoppedAfterEachStep).await;
        assert_eq!(lasting(&stopped), lasting(&steady), "{}", cascade.name);
    }
}
