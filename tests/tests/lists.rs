//! The broker's revocation list comes to the host by the agent, and sshd goes by
//! it; whoever changes it there is told, and it is put right.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use monitor_tests::engineer::{Engineer, Grant};
use monitor_tests::facts::Fact;
use monitor_tests::poll;
use monitor_tests::stage::{ACCOUNT, config};
use monitor_tests::test_stage::{self, TestStage};
use serde_json::Value;

/// Longest wait for what takes milliseconds, or a second.
const SOON: Duration = Duration::from_secs(30);

/// The rule for changed lists, as it comes with the collector.
const RULE: &str = r#"
[[rule]]
id = "list-changed"
facts = ["list_changed"]
severity = "high"
technique = "T1685"
response = "notify"
"#;

fn monitorctl(ground: &TestStage, arguments: &[&str]) -> Value {
    config::monitorctl_json(&ground.stage.folder, arguments.iter().copied()).unwrap()
}

/// Waits until something that `monitorctl` says is there.
fn told<T>(
    ground: &TestStage,
    what: &str,
    arguments: &[&str],
    of: impl Fn(&Value) -> Option<T>,
) -> T {
    poll::until(what, SOON, || Ok(of(&monitorctl(ground, arguments)))).unwrap()
}

/// Somebody with a session, and the name of that.
fn arrived(ground: &TestStage) -> (Engineer, String) {
    let engineer = Engineer::new(&ground.stage, "alice").unwrap();
    let grant = Grant {
        id: "alice-acme-1".to_owned(),
        tenant: "acme".to_owned(),
        ticket: "INC-4716".to_owned(),
        purpose: "work".to_owned(),
        valid_seconds: 3_600,
    };
    engineer.is_granted(&grant).unwrap();
    engineer.gets_certificate(&grant).unwrap();
    let mut login = engineer.logs_in(ACCOUNT).unwrap();
    let opened = ground.facts.wait("the login", SOON, |fact| {
        fact.is_event("session_opened") && fact.principal() == "alice"
    });
    let session = opened.unwrap().session().to_owned();
    revoked(ground, &session);
    login.ends(SOON).unwrap();
    (engineer, session)
}

fn revoked(ground: &TestStage, session: &str) {
    let arguments = [
        "revoke",
        "--session",
        session,
        "--reason",
        "key lost",
        "--yes",
        "--timeout",
        "30s",
    ];
    let order = monitorctl(ground, &arguments);
    let id = order.pointer("/order/id").and_then(Value::as_str);
    let id = id.context(order.to_string()).unwrap();
    let show = ["orders", "show", id];
    let (list, host) = told(ground, "the order's list on the host", &show, |shown| {
        let list = shown.pointer("/order/list")?.as_u64()?;
        let host = shown.pointer("/order/published/0")?;
        let ordered = shown.pointer("/order/times/ordered")?.as_u64()?;
        assert!(host.get("at")?.as_u64()? >= ordered, "{shown:#}");
        Some((list, host.get("host")?.as_str()?.to_owned()))
    });
    let (number, newest) = told(ground, "the list of the host", &["hosts"], |listed| {
        // One record a line, or an array of them.
        let status = listed.get(0).unwrap_or(listed);
        let of_host = status.pointer("/host/host")?.as_str()? == host;
        let number = status.pointer("/list/number")?.as_u64()?;
        let newest = status.get("list_newest")?.as_u64()?;
        (of_host && number == newest).then_some((number, newest))
    });
    assert!(
        number >= list && newest >= list,
        "{number} of {newest}, {list}"
    );
}

/// Lines in which sshd says that its list of revoked keys refused somebody.
fn refusals(ground: &TestStage) -> usize {
    let folder = &ground.stage.folder;
    let log = fs::read_to_string(folder.at("log/sshd.log")).unwrap();
    let by_list = format!("revoked by file {}", folder.host_krl().display());
    log.lines().filter(|line| line.contains(&by_list)).count()
}

fn is_refused_by_the_list(ground: &TestStage, engineer: &Engineer) {
    let before = refusals(ground);
    let attempt = engineer.tries_to_log_in(ACCOUNT).unwrap();
    assert!(attempt.was_refused(), "{attempt:?}");
    let after = refusals(ground);
    assert!(after > before, "sshd did not refuse it by its list");
}

/// Waits until the host has what the broker has.
fn is_put_right(ground: &TestStage) {
    let folder = &ground.stage.folder;
    poll::until_true("the list put right", SOON, || {
        fs::read(folder.host_krl()).ok() == fs::read(folder.krl()).ok()
    })
    .unwrap();
}

/// Waits for the event that says how a list was found.
fn change(ground: &TestStage, found: &str) -> Fact {
    let told = ground.facts.wait("the change told", SOON, |fact| {
        fact.is_event("host")
            && fact.text("/event/action/change") == "revocation_list"
            && fact.text("/event/action/detail").contains(found)
    });
    told.unwrap()
}

/// Waits for the event that says how the host's list was found.
fn is_told_as(ground: &TestStage, found: &str) {
    let told = change(ground, found);
    let path = told.text("/event/action/path/text").to_owned();
    let host_krl = ground.stage.folder.host_krl();
    assert_eq!(path, host_krl.to_string_lossy());
}

#[test]
fn whoever_changes_the_brokers_own_list_is_an_alert_though_the_collector_was_away() {
    let Some(mut ground) = test_stage::whole("listsbroker").unwrap() else {
        return;
    };
    let krl = ground.stage.folder.krl();
    let right = fs::read(&krl).unwrap();
    assert!(!right.is_empty());
    let is_right = || {
        let is_it = || fs::read(&krl).is_ok_and(|found| found == right);
        poll::until_true("the broker's list put right", SOON, is_it).unwrap();
    };
    fs::write(&krl, "").unwrap();
    is_right();
    change(&ground, "of broker");
    // Nobody to tell it to, and the broker is killed before there is.
    ground.stage.services.kill("monitor-collector").unwrap();
    let config = ground.stage.folder.at("collector.toml");
    let before = fs::read_to_string(&config).unwrap();
    fs::write(&config, before + RULE).unwrap();
    fs::remove_file(&krl).unwrap();
    is_right();
    ground.stage.services.kill("monitor-broker").unwrap();
    ground.stage.services.start_broker().unwrap();
    ground.stage.services.start_collector().unwrap();
    change(
        &ground,
        "found nothing: sshd refused everybody; it is being put right",
    );
    // While the broker is away, too.
    ground.stage.services.kill("monitor-broker").unwrap();
    fs::write(&krl, "not a list, and long enough to be looked at as one").unwrap();
    ground.stage.services.start_broker().unwrap();
    change(
        &ground,
        "no list: sshd refused everybody, when the broker started",
    );
    assert!(fs::read(&krl).unwrap().starts_with(b"SSHKRL"));
    let of_broker = ground.facts.all(|fact| {
        fact.is_event("host") && fact.text("/event/action/detail").contains("of broker ")
    });
    assert_eq!(of_broker.len(), 3, "each once: {of_broker:#?}");
    told(&ground, "the alert", &["alerts", "list"], |said| {
        let said = said.to_string();
        let is_it = said.contains("list-changed") && said.contains("of broker ");
        is_it.then_some(())
    });
}

#[test]
fn sshd_refuses_by_the_list_that_the_agent_keeps() {
    let Some(mut ground) = test_stage::whole("lists").unwrap() else {
        return;
    };
    let (engineer, _) = arrived(&ground);
    is_put_right(&ground);
    is_refused_by_the_list(&ground, &engineer);
    let host_krl = ground.stage.folder.host_krl();
    // A list of no bytes revokes nobody.
    fs::write(&host_krl, "").unwrap();
    is_told_as(&ground, "it was 0 bytes that are no list");
    is_put_right(&ground);
    is_refused_by_the_list(&ground, &engineer);
    // Nor does the agent's death help, or the collector's.
    ground.stage.services.kill("monitor-agent").unwrap();
    ground.stage.services.kill("monitor-collector").unwrap();
    fs::remove_file(&host_krl).unwrap();
    ground.stage.services.start_agent().unwrap();
    is_put_right(&ground);
    ground.stage.services.start_collector().unwrap();
    is_told_as(&ground, "it was gone");
    is_refused_by_the_list(&ground, &engineer);
}
