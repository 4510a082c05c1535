//! Hosts: what their agents told of themselves, for whom it is.

use monitor_model::{
    event::{Action, HookState},
    id::Source,
};
use monitor_proto::v1::{self, ListHostsRequest, host_service_client::HostServiceClient};
use tonic::Code;

use super::*;
use crate::testing::{event, event_id};

fn started(agent: &str, sequence: u64, tier: Option<&str>) -> Event {
    let action = Action::AgentStarted {
        version: "1".into(),
        kernel: "6.12.1".into(),
        resumed: false,
        hooks: vec![HookState {
            family: "memory".into(),
            tier: tier.map(Into::into),
            unseen: "pidfd_getfd".into(),
        }],
    };
    event(event_id(agent, Source::Agent, sequence), action)
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_listed_as_their_agents_last_told_and_only_to_the_providers_own() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    for name in ["jump-2", "jump-1"] {
        let mut agent = Agent::connect(&scene, &collector, name).await;
        agent.send(1, &[started(name, 1, None)]).await;
        agent.acked(1).await;
        if name == "jump-1" {
            agent.send(2, &[started(name, 2, Some("lsm"))]).await;
            agent.acked(2).await;
        }
    }
    let _connected = Agent::connect(&scene, &collector, "jump-2").await;
    let soc = HostServiceClient::new(scene.dial("monitor://soc/carol", &collector).await);
    let list = |request: ListHostsRequest| {
        let mut soc = soc.clone();
        async move { soc.list_hosts(request).await.unwrap().into_inner() }
    };
    let page = |token: String| ListHostsRequest {
        page_size: 1,
        page_token: token,
        ..ListHostsRequest::default()
    };
    // State follows the ack; streams end when they are found gone.
    let (first, second) = eventually(async || {
        let first = list(page(String::new())).await;
        let second = list(page(first.next_page_token.clone())).await;
        let (one, two) = (first.hosts.first()?.clone(), second.hosts.first()?.clone());
        let seen = |status: &v1::HostStatus| status.host.clone().unwrap().hooks[0].tier.clone();
        (second.next_page_token.is_empty()
            && seen(&one) == "lsm"
            && !one.connected
            && two.connected)
            .then_some((one, two))
    })
    .await;
    let told = |status: v1::HostStatus| status.host.unwrap();
    let (one, two) = (told(first), told(second));
    assert_eq!((one.host.as_str(), two.host.as_str()), ("jump-1", "jump-2"));
    assert_eq!(
        (one.kernel.as_str(), two.hooks[0].tier.as_str()),
        ("6.12.1", "")
    );
    let only = ListHostsRequest {
        host: "jump-2".into(),
        ..ListHostsRequest::default()
    };
    assert_eq!(list(only).await.hosts.len(), 1);
    let auditor = "monitor://auditor/olga?tenant=acme";
    let mut auditor = HostServiceClient::new(scene.dial(auditor, &collector).await);
    let refused = auditor.list_hosts(ListHostsRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}
