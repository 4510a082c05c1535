//! A session is frozen by a person, its neighbour in the same account is not;
//! it goes on when the order is lifted, and can be ended by another.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::Context as _;
use monitor_tests::command;
use monitor_tests::engineer::Arrived;
use monitor_tests::poll;
use monitor_tests::stage::{ACCOUNT, certificates, config};
use monitor_tests::test_stage::{self, TestStage};
use serde_json::Value;

/// Longest wait for what takes milliseconds.
const SOON: Duration = Duration::from_secs(30);

fn monitorctl(ground: &TestStage, arguments: &[&str]) -> Value {
    config::monitorctl_json(&ground.stage.folder, arguments.iter().copied()).unwrap()
}

fn revoke(ground: &TestStage, session: &str, mode: &str) -> String {
    let order = monitorctl(
        ground,
        &[
            "revoke",
            "--session",
            session,
            "--mode",
            mode,
            "--reason",
            "looks odd",
            "--yes",
            "--timeout",
            "30s",
        ],
    );
    let id = order.pointer("/order/id").and_then(Value::as_str);
    id.context(order.to_string()).unwrap().to_owned()
}

/// Freezes a session by the command of that name.
fn contain(ground: &TestStage, session: &str) -> String {
    let arguments = [
        "contain",
        "--session",
        session,
        "--reason",
        "looks odd",
        "--yes",
        "--timeout",
        "30s",
    ];
    let order = monitorctl(ground, &arguments);
    let id = order.pointer("/order/id").and_then(Value::as_str);
    id.context(order.to_string()).unwrap().to_owned()
}

/// Releases a session, as the analyst or as somebody else with that role.
fn release(ground: &TestStage, session: &str, other: Option<&str>) -> Output {
    let folder = &ground.stage.folder;
    let arguments = [
        "release",
        "--session",
        session,
        "--reason",
        "it was her",
        "--yes",
        "--timeout",
        "30s",
    ];
    let mut command = config::monitorctl(folder, arguments).unwrap();
    if let Some(name) = other {
        certificates::issue(folder, "soc", name, &[]).unwrap();
        for (variable, end) in [("MONITOR_CERTIFICATE", "pem"), ("MONITOR_KEY", "key")] {
            command.env(variable, folder.at(format!("pki/{name}.{end}")));
        }
    }
    command::output(&mut command).unwrap()
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

fn grows(file: &Path) {
    let before = length(file);
    poll::until_true("the file to grow", SOON, || length(file) > before).unwrap();
}

#[test]
fn a_frozen_session_stands_still_beside_its_neighbour_and_goes_on_when_lifted() {
    let Some(ground) = test_stage::whole("freeze").unwrap() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let file = place.path().join("alive");
    let arrives = |who| Arrived::at(&ground.stage, &ground.facts, who).unwrap();
    let Arrived {
        engineer: alice,
        login: mut of_alice,
        session,
    } = arrives(("alice", "acme"));
    let mut of_bob = arrives(("bob", "acme")).login;
    // One that left its shell behind, and forks without pause.
    let loops = format!("while :; do /bin/echo x >> {}; done", file.display());
    let typed = of_alice.types(&format!(
        "setsid nohup bash -c '{loops}' > /dev/null 2>&1 &"
    ));
    assert_eq!(typed.unwrap().code, 0);
    grows(&file);

    let order = contain(&ground, &session);
    let still = length(&file);
    of_alice.sends("/bin/echo back").unwrap();
    for n in 0..20 {
        let said = of_bob.types(&format!("/bin/echo {n}; cat /etc/hostname > /dev/null"));
        assert_eq!(said.unwrap().text.trim(), n.to_string());
    }
    assert_eq!(length(&file), still, "it stands still while bob works");
    let shown = monitorctl(&ground, &["orders", "show", &order]);
    assert_eq!(shown["state"], "enforced", "{shown:#}");
    assert!(
        shown["order"]["sessions"][0]["frozen"].as_u64() >= Some(3),
        "{shown:#}"
    );
    assert!(of_alice.lives().unwrap());
    assert!(alice.tries_to_log_in(ACCOUNT).unwrap().was_refused());

    // Whose session it is does not release it, whatever role they have.
    let code = release(&ground, &session, Some("alice")).status.code();
    assert_eq!(code, Some(5));
    assert_eq!(length(&file), still);
    let released = release(&ground, &session, None);
    assert!(released.status.success(), "{}", command::said(&released));
    grows(&file);
    let lifted = monitorctl(&ground, &["orders", "show", &order]);
    assert_eq!(lifted["state"], "lifted", "{lifted:#}");
    // What hosts say of sessions comes as events, after the receipt.
    poll::until("the session shown as one that goes on", SOON, || {
        let mut sessions = config::monitorctl(&ground.stage.folder, ["sessions", "-o", "ndjson"])?;
        let shown = command::stdout(&mut sessions)?;
        let mut lines = shown.lines().filter(|line| line.contains(&session));
        Ok(lines
            .any(|line| !line.contains("\"frozen\":{"))
            .then_some(()))
    })
    .unwrap();
    let again = release(&ground, &session, None).status.code();
    assert_eq!(again, Some(3), "nothing freezes it any more");
    let said = of_alice.types("/bin/echo again").unwrap();
    assert!(said.text.contains("again"), "{}", said.text);
    poll::until("the next login", SOON, || {
        let attempt = alice.tries_to_log_in(ACCOUNT)?;
        Ok(attempt.status.success().then_some(()))
    })
    .unwrap();

    revoke(&ground, &session, "freeze");
    revoke(&ground, &session, "kill");
    of_alice.ends(SOON).unwrap();
    let still = length(&file);
    assert_eq!(of_bob.types("true").unwrap().code, 0);
    assert_eq!(length(&file), still, "nothing of it is left");
}
