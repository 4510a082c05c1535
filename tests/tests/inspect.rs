//! A session is looked at from the analyst's desk, before and after it is
//! frozen: its processes, its credential, its connection, and nobody else's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use monitor_tests::command;
use monitor_tests::engineer::{Arrived, Login};
use monitor_tests::poll;
use monitor_tests::stage::{certificates, config};
use monitor_tests::test_stage::{self, TestStage};
use serde_json::Value;

/// Longest wait for what takes milliseconds.
const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "kanarienvogel-Q7x2";

fn inspected(ground: &TestStage, session: &str) -> Value {
    let arguments = ["inspect", "--session", session, "--timeout", "20s"];
    config::monitorctl_json(&ground.stage.folder, arguments).unwrap()
}

fn processes(seen: &Value) -> &[Value] {
    let processes = seen.pointer("/snapshot/processes");
    processes.and_then(Value::as_array).unwrap()
}

fn descriptors(seen: &Value) -> impl Iterator<Item = &Value> {
    let all = processes(seen).iter();
    all.filter_map(|process| process["descriptors"].as_array())
        .flatten()
}

/// Has a program of the session hold things open, and say so.
fn holds(login: &mut Login, lines: &str, place: &Path) {
    let ready = place.join("ready");
    let shell = format!(
        "setsid nohup bash -c '{lines}; echo > {}; sleep 1000; true' work --password={SECRET} > /dev/null 2>&1 &",
        ready.display()
    );
    assert_eq!(login.types(&shell).unwrap().code, 0);
    poll::until_true("the program at work", SOON, || ready.exists()).unwrap();
    fs::remove_file(ready).unwrap();
}

fn fails(ground: &TestStage, session: &str, who: Option<(&str, &[&str])>) -> (Option<i32>, String) {
    let folder = &ground.stage.folder;
    let mut command = config::monitorctl(folder, ["inspect", "--session", session]).unwrap();
    if let Some((role, more)) = who {
        certificates::issue(folder, role, "eve", more).unwrap();
        for (variable, end) in [("MONITOR_CERTIFICATE", "pem"), ("MONITOR_KEY", "key")] {
            command.env(variable, folder.at(format!("pki/eve.{end}")));
        }
    }
    let said = command::output(&mut command).unwrap();
    (said.status.code(), command::said(&said))
}

fn who_cannot_look_is_told_why(ground: &mut TestStage, session: &str) {
    // Who reads ledgers does not look at hosts.
    let (code, said) = fails(ground, session, Some(("auditor", &["--tenant", "acme"])));
    assert_eq!(code, Some(5), "{said}");
    ground.stage.services.kill("monitor-agent").unwrap();
    poll::until("the agent known to be away", SOON, || {
        let (code, said) = fails(ground, session, None);
        assert_ne!(code, Some(0), "{said}");
        Ok(said.contains("is not connected").then_some(()))
    })
    .unwrap();
    ground.stage.services.start_agent().unwrap();
    ground.stage.services.agent_is_ready().unwrap();
    let again = poll::until("the agent back", SOON, || {
        let (code, _) = fails(ground, session, None);
        Ok((code == Some(0)).then_some(()))
    });
    again.unwrap();
}

#[test]
fn a_session_is_shown_with_what_it_holds_open_before_and_after_it_is_frozen() {
    let Some(mut ground) = test_stage::whole("inspect").unwrap() else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let arrives = |who| Arrived::at(&ground.stage, &ground.facts, who).unwrap();
    let (alice, bob) = (arrives(("alice", "acme")), arrives(("bob", "acme")));
    let (mut of_alice, session) = (alice.login, alice.session);
    let (mut of_bob, of_other) = (bob.login, bob.session);
    let credential = ground.stage.folder.credential("acme");
    let lines = format!(
        "exec 3< {} 4<>/dev/tcp/127.0.0.1/{port}",
        credential.display()
    );
    holds(&mut of_alice, &lines, place.path());
    holds(&mut of_bob, "exec 3< /etc/hostname", place.path());

    let seen = inspected(&ground, &session);
    assert_eq!(seen["snapshot"]["stance"], "open", "{seen:#}");
    assert_eq!(seen["session"]["principal"], "alice");
    assert!(!seen.to_string().contains(SECRET), "{seen:#}");
    assert!(seen.to_string().contains("[redacted:"), "{seen:#}");
    let path = credential.display().to_string();
    let open = descriptors(&seen).find(|one| one["object"]["path"]["text"] == path.as_str());
    let open = open.unwrap();
    assert_eq!(open["credential"]["class"], "kubeconfig", "{open:#}");
    assert_eq!(open["credential"]["tenant"], "acme");
    let to = |one: &&Value| one["socket"]["peer"]["port"] == u64::from(port);
    let connection = descriptors(&seen).find(to).unwrap();
    assert_eq!(connection["socket"]["state"], "established");
    let sleeps = |seen: &Value| {
        let named = |one: &&Value| one["exe"]["path"]["text"].to_string().contains("sleep");
        processes(seen).iter().filter(named).count()
    };
    assert_eq!(sleeps(&seen), 1, "{seen:#}");
    // The neighbour in the same account is in none of it.
    let other = inspected(&ground, &of_other);
    let pids = |seen: &Value| -> Vec<u64> {
        let pids = processes(seen).iter();
        pids.filter_map(|one| one["pid"].as_u64()).collect()
    };
    assert!(pids(&other).iter().all(|pid| !pids(&seen).contains(pid)));
    assert!(descriptors(&other).all(|one| one["credential"].is_null()));

    let arguments = ["contain", "--session", &session, "--reason", "odd", "--yes"];
    config::monitorctl_json(&ground.stage.folder, arguments).unwrap();
    let still = inspected(&ground, &session);
    assert_eq!(still["snapshot"]["stance"], "frozen", "{still:#}");
    assert!(
        processes(&still).iter().all(|one| one["state"] == "frozen"),
        "{still:#}"
    );
    assert!(descriptors(&still).all(|one| !to(&one) || one["socket"]["state"] != "established"));
    assert_eq!(pids(&still).len(), pids(&seen).len());
    let arguments = [
        "search", "--kind", "read", "--tenant", "acme", "-o", "ndjson",
    ];
    poll::until("the look in the client's ledger", SOON, || {
        let mut search = config::monitorctl(&ground.stage.folder, arguments)?;
        let found = command::stdout(&mut search)?;
        Ok(found.contains("InspectSession").then_some(()))
    })
    .unwrap();

    who_cannot_look_is_told_why(&mut ground, &session);
    ground.stage.services.check().unwrap();
}
