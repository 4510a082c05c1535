//! Two sessions of one account under grants of two clients: each reaches what
//! its own grant opens, and no packet of it leaves to the other's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::Duration;

use monitor_tests::engineer::{Engineer, Grant, Login};
use monitor_tests::facts::Fact;
use monitor_tests::poll;
use monitor_tests::scene::SEEN_WITHIN;
use monitor_tests::stage::{ACCOUNT, TENANTS, config, network};
use monitor_tests::test_stage::{self, TestStage};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};

const NOT_PERMITTED: &str = "Operation not permitted";
/// From the start of collector and agent to a grant that opens a login.
const HELD_WITHIN: Duration = Duration::from_secs(30);

/// A stage whose tenants have networks of their own, and whose hosts enforce, or
/// observe.
fn enforcing(name: &str, mode: &str) -> Option<TestStage> {
    let mut ground = test_stage::whole(name).unwrap()?;
    network::Network::widen().unwrap();
    let services = &mut ground.stage.services;
    services.start_wide_tenants().unwrap();
    services.kill("monitor-collector").unwrap();
    services.kill("monitor-agent").unwrap();
    let file = ground.stage.folder.at("collector.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    for (tenant, own) in TENANTS.iter().zip(network::OWN) {
        let zone = format!("  interface = \"{}\"\n", network::interface(tenant));
        let networks = own.networks;
        let wider =
            format!("{zone}  [[tenant.zone]]\n  name = \"own\"\n  networks = {networks:?}\n");
        assert!(text.contains(&zone));
        text = text.replace(&zone, &wider);
    }
    // What is only observed is answered by no rule either.
    let (rules, wanted) = (
        "[response]\nmode = \"enforce\"",
        format!("[response]\nmode = \"{mode}\""),
    );
    assert!(text.contains(rules));
    text = text.replace(rules, &wanted);
    // A String takes whatever is written.
    let _ = writeln!(text, "[enforce]\nmode = \"{mode}\"");
    fs::write(&file, text).unwrap();
    services.start_collector().unwrap();
    services.start_agent().unwrap();
    services.agent_is_ready().unwrap();
    Some(ground)
}

fn logs_in(ground: &TestStage, name: &str, tenant: &str) -> Login {
    let engineer = Engineer::new(&ground.stage, name).unwrap();
    let grant = Grant {
        id: format!("{name}-{tenant}-1"),
        tenant: tenant.to_owned(),
        ticket: "INC-4714".to_owned(),
        purpose: "work at one client".to_owned(),
        valid_seconds: 3_600,
    };
    engineer.is_granted(&grant).unwrap();
    engineer.gets_certificate(&grant).unwrap();
    // The agent may not have heard of the grant yet.
    let enter = || Ok(engineer.logs_in(ACCOUNT).ok());
    poll::until("a login", HELD_WITHIN, enter).unwrap()
}

/// Opens a connection and closes it; what the shell says of it.
fn connects(login: &mut Login, address: &str) -> String {
    let port = network::OWN_PORT;
    let line = format!("bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>&1");
    login.types(&line).unwrap().text
}

/// Every packet of every interface from here on.
fn packets() -> OwnedFd {
    let every = NonZeroU32::new(u32::from(3_u16.to_be())).unwrap();
    let every = Some(rustix::net::Protocol::from_raw(every));
    socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        every,
    )
    .unwrap()
}

/// IPv4 destinations of packets, until one goes to `marker`.
fn seen_until(packets: &OwnedFd, marker: &str) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let mut bytes = vec![0; 65_536];
    while seen.last().is_none_or(|last| last != marker) {
        let (length, _) = recv(packets, &mut *bytes, RecvFlags::empty()).unwrap();
        let packet = bytes.get(..length).unwrap_or_default();
        if let (Some([8, 0]), Some([a, b, c, d])) = (packet.get(12..14), packet.get(30..34)) {
            seen.push(format!("{a}.{b}.{c}.{d}"));
        }
    }
    seen
}

#[test]
fn each_session_reaches_what_its_own_grant_opens_and_nothing_else() {
    let Some(mut ground) = enforcing("enforce", "enforce") else {
        return;
    };
    let [acme, globex] = network::OWN;
    let mut alice = logs_in(&ground, "alice", TENANTS[0]);
    let mut bob = logs_in(&ground, "bob", TENANTS[1]);
    let seen = packets();
    let said = connects(&mut alice, globex.v4);
    assert!(said.contains(NOT_PERMITTED), "{said}");
    assert_eq!(connects(&mut alice, acme.v4), "");
    let left = seen_until(&seen, acme.v4);
    assert!(
        !left.iter().any(|to| to == globex.v4),
        "a packet left: {left:?}"
    );
    // The neighbour's grant opens just that.
    assert_eq!(connects(&mut bob, globex.v4), "");
    assert!(
        seen_until(&seen, globex.v4)
            .iter()
            .any(|to| to == globex.v4)
    );
    let said = connects(&mut bob, acme.v6);
    assert!(said.contains(NOT_PERMITTED), "{said}");
    assert_eq!(connects(&mut bob, globex.v6), "");

    let refused = |principal: &'static str| {
        move |fact: &Fact| {
            fact.is_event("connect")
                && fact.principal() == principal
                && fact.value.pointer("/event/action/denied") == Some(&true.into())
        }
    };
    for (principal, address) in [("alice", globex.v4), ("bob", acme.v6)] {
        let fact = ground
            .facts
            .wait("the refusal", SEEN_WITHIN, refused(principal))
            .unwrap();
        assert_eq!(
            (fact.verdict(), fact.reason()),
            ("out_of_scope", "wrong_tenant")
        );
        assert_eq!(fact.text("/event/action/destination/address"), address);
        assert_eq!(
            fact.text("/event/action/scope").len(),
            16,
            "{:?}",
            fact.value
        );
        let alert = |fact: &Fact| fact.is_alert() && fact.principal() == principal;
        let alert = ground.facts.wait("its alert", SEEN_WITHIN, alert).unwrap();
        assert!(
            alert.value.to_string().contains("was refused"),
            "{:?}",
            alert.value
        );
    }

    // Neither the collector nor the agent needs to be there.
    ground.stage.services.kill("monitor-collector").unwrap();
    ground.stage.services.kill("monitor-agent").unwrap();
    let said = connects(&mut bob, acme.v4);
    assert!(said.contains(NOT_PERMITTED), "{said}");
    assert_eq!(connects(&mut bob, globex.v4), "");
    ground.stage.services.start_collector().unwrap();
    ground.stage.services.start_agent().unwrap();
    let of_before = |fact: &Fact| {
        refused("bob")(fact) && fact.text("/event/action/destination/address") == acme.v4
    };
    ground
        .facts
        .wait("what happened meanwhile", HELD_WITHIN, of_before)
        .unwrap();
    ground.stage.services.check().unwrap();
}

#[test]
fn what_is_only_observed_is_reported_with_what_would_open_it() {
    let Some(mut ground) = enforcing("observe", "observe") else {
        return;
    };
    let [acme, globex] = network::OWN;
    let mut alice = logs_in(&ground, "alice", TENANTS[0]);
    for address in [globex.v4, globex.v4, acme.v4] {
        assert_eq!(connects(&mut alice, address), "", "nothing is refused");
    }
    let observed =
        |fact: &Fact| fact.is_event("connect") && fact.text("/event/action/scope").len() == 16;
    for _ in 0..2 {
        let wait = ground.facts.wait("what is observed", SEEN_WITHIN, observed);
        wait.unwrap();
    }
    let report = |more: &[&str]| {
        let arguments = ["report", "--since", "1h"].iter().chain(more).copied();
        config::monitorctl_json(&ground.stage.folder, arguments).unwrap()
    };
    let told = poll::until("both in the report", SEEN_WITHIN, || {
        let told = report(&[]);
        Ok((told["would_be_refused"] == 2).then_some(told))
    });
    let told = told.unwrap();
    let lines = told["would_refuse"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{told:#}");
    let line = &lines[0];
    assert_eq!(
        (&line["tenant"], &line["principal"]),
        (&"acme".into(), &"alice".into())
    );
    assert_eq!(line["grants"], serde_json::json!(["alice-acme-1"]));
    assert_eq!(line["address"], globex.v4);
    assert_eq!((&line["times"], &line["sessions"]), (&2.into(), &1.into()));
    assert_eq!(line["reason"], "wrong_tenant");
    let opens = line["would_open"].as_str().unwrap();
    assert!(opens.starts_with("a grant of globex"), "{opens}");
    assert_eq!(told["were_refused"], 0);
    let ordered = poll::until("the order of a rule", SEEN_WITHIN, || {
        let told = report(&[]);
        Ok((told["would_be_ordered"] == 1).then_some(told))
    });
    let ordered = ordered.unwrap();
    let rule = &ordered["would_order"][0];
    assert_eq!(rule["rule"], "out-of-scope-again", "{ordered:#}");
    assert_eq!(
        (&rule["would"], &rule["times"]),
        (&"kill".into(), &1.into())
    );
    assert_eq!(ordered["would_reach_sessions"], 1);
    let of_others = report(&["--tenant", "globex"]);
    assert_eq!(of_others["would_be_refused"], 0, "{of_others:#}");
    ground.stage.services.check().unwrap();
}
