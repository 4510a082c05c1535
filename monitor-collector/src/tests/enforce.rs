//! What hosts are given to refuse connections by themselves.

use std::time::Duration;

use monitor_model::enforce::{Away, Mode, Says, ScopeTable, Scoped};
use monitor_proto::v1::{self, PutGrantRequest, grant_service_client::GrantServiceClient};

use super::*;
use crate::testing::grant;

const TENANTS: &str = "[[tenant]]\nid = \"lan\"\n[[tenant.zone]]\nname = \"a\"\nnetworks = [\"10.20.0.0/16\"]\n\
    [[tenant.zone]]\nname = \"b\"\nnetworks = [\"10.21.0.0/16\"]\njump_host = \"jump-2\"\n";

async fn enforcing(scene: &Scene, mode: Mode) -> Collector {
    let mut config = scene.config_of("", TENANTS);
    config.enforce.modes.otherwise = mode;
    config.enforce.lease = Duration::from_millis(90);
    config.enforce.when_away = Away::Tighten;
    Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap()
}

async fn put(scene: &Scene, collector: &Collector, grant: &monitor_model::grant::Grant) {
    let mut client = GrantServiceClient::new(scene.dial("monitor://broker/b", collector).await);
    let grant = Some(grant.into());
    client.put_grant(PutGrantRequest { grant }).await.unwrap();
}

/// The next table, and whether grants came before it.
async fn scopes(agent: &mut Agent) -> v1::ScopeTable {
    agent
        .until(|message| match message {
            DownMessage::Scopes(table) => Some(table),
            DownMessage::Grants(_)
            | DownMessage::Ack(_)
            | DownMessage::Contain(_)
            | DownMessage::Deny(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_)
            | DownMessage::Inspect(_) => None,
        })
        .await
}

fn says(table: &v1::ScopeTable, address: &str) -> Says {
    let table = ScopeTable::try_from(table.clone()).unwrap();
    let Some(Scoped::Compiled(compiled)) = table.grants.first() else {
        panic!("{table:?}")
    };
    compiled.says(address.parse().unwrap(), 443, SystemClock.now())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_has_the_table_of_a_grant_before_the_grant_and_its_lease_is_renewed() {
    let scene = Scene::new();
    let collector = enforcing(&scene, Mode::Enforce).await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    let mut other = Agent::connect(&scene, &collector, "jump-2").await;
    let empty = scopes(&mut agent).await;
    assert!(empty.version != 0 && empty.grants.is_empty());
    assert_eq!(
        (empty.lease_ms, empty.when_away()),
        (90, v1::WhenAway::Tighten)
    );
    agent.grants().await;
    scopes(&mut other).await;
    put(&scene, &collector, &grant("01JG", "alice", "lan")).await;
    let table = loop {
        match agent.next().await.unwrap().unwrap() {
            DownMessage::Scopes(table) => break table,
            DownMessage::Grants(grants) => assert!(grants.grants.is_empty(), "before its table"),
            DownMessage::Ack(_)
            | DownMessage::Contain(_)
            | DownMessage::Deny(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_)
            | DownMessage::Inspect(_) => {}
        }
    };
    assert_ne!(table.version, empty.version);
    assert_eq!(agent.grants().await.grants.len(), 1);
    let said = |table: &v1::ScopeTable| ["10.20.0.1", "10.21.0.1"].map(|to| says(table, to));
    assert_eq!(said(&table), [Says::Granted, Says::Refused]);
    // Of a zone that only one jump host reaches.
    let table = scopes(&mut other).await;
    assert_eq!(said(&table), [Says::Granted, Says::Granted]);
    for _ in 0..3 {
        agent
            .until(|message| matches!(message, DownMessage::ScopeLease(_)).then_some(()))
            .await;
    }
    collector.drain().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_told_once_and_has_no_lease() {
    let scene = Scene::new();
    let collector = enforcing(&scene, Mode::Off).await;
    put(&scene, &collector, &grant("01JG", "alice", "lan")).await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    assert_eq!(scopes(&mut agent).await, v1::ScopeTable::default());
    collector.drain().await;
}
