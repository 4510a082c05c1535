//! A host that is silent, blind or copied is an alert within three seconds, and the
//! leases of credentials on it end by policy. Real agent, collector and broker; the
//! agent stands still, is killed, asked to stop, cut off, and loses its probes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a test that measures says what")]

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use monitor_tests::command::{self, command};
use monitor_tests::facts::Fact;
use monitor_tests::faults::proxy::{Proxy, Way};
use monitor_tests::poll;
use monitor_tests::scene::Scene;
use monitor_tests::stage::config::monitorctl;
use monitor_tests::stage::folder::write;
use monitor_tests::test_stage::{self, TestStage};
use rustix::process::Signal;
use serde_json::Value;

const AGENT: &str = "monitor-agent";
const COLLECTOR: &str = "monitor-collector";
/// Within which a lost host must be told.
const WITHIN: Duration = Duration::from_secs(3);
/// Within which what is no measurement comes to be.
const SOON: Duration = Duration::from_secs(30);

struct Ground {
    of: TestStage,
    way: Proxy,
    /// What was done, the rule that told it, and how long that took.
    took: Vec<(String, Duration)>,
}

fn replaced(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from}", file.display());
    write(file, &text.replace(from, to), 0o644).unwrap();
}

impl Ground {
    /// A stage with the rules that come with the collector, a way between it and
    /// the agent that can be made bad, and this policy for lost hosts.
    fn set(name: &str, lost: &str) -> Option<Self> {
        let mut of = test_stage::whole(name).unwrap()?;
        let services = &mut of.stage.services;
        let port = services.ports().unwrap().collector;
        let way = Proxy::to(port).unwrap();
        let folder = of.stage.folder.clone();
        let file = folder.at("collector.toml");
        let text = fs::read_to_string(&file).unwrap();
        write(
            &file,
            &format!("{text}\n[alert]\nstandard = true\n{lost}"),
            0o644,
        )
        .unwrap();
        let through = format!(
            "address = \"https://localhost:{}\"\nretry_ms_max = 500\n",
            way.port()
        );
        let straight = format!("address = \"https://localhost:{port}\"\n");
        replaced(&folder.at("agent.toml"), &straight, &through);
        for program in [AGENT, COLLECTOR] {
            services.kill(program).unwrap();
        }
        services.start_collector().unwrap();
        services.start_agent().unwrap();
        services.core_is_ready().unwrap();
        let mut ground = Self {
            of,
            way,
            took: Vec::new(),
        };
        ground.is_here(1);
        Some(ground)
    }

    fn log(&self, program: &str) -> String {
        let file = self
            .of
            .stage
            .folder
            .at("log")
            .join(format!("{program}.log"));
        fs::read_to_string(file).unwrap_or_default()
    }

    fn said(&self, program: &str, words: &str) -> usize {
        self.log(program).matches(words).count()
    }

    /// The agent has connected to a collector so often, counted over restarts.
    fn is_here(&mut self, times: usize) {
        let is_so = || self.said(COLLECTOR, "Agent here.") > times;
        poll::until_true("the agent's stream", SOON, is_so).unwrap();
    }

    /// An alert of this rule, after what is done at this moment.
    fn tells(&mut self, what: &str, rule: &str, strike: impl FnOnce(&mut Self)) -> Fact {
        let from = self.of.facts.count();
        let start = Instant::now();
        strike(self);
        let is_it = |fact: &Fact| fact.is_alert() && fact.text("/alert/rule") == rule;
        let alert = self.of.facts.wait_after(from, what, SOON, is_it).unwrap();
        let took = start.elapsed();
        println!("{what}: {rule} after {} ms", took.as_millis());
        self.took.push((what.to_owned(), took));
        alert
    }

    /// The host is well again after what is done at this moment.
    fn mends(&mut self, mend: impl FnOnce(&mut Self)) {
        let words = "Host is well again.";
        let before = self.said(COLLECTOR, words);
        mend(self);
        let is_well = || self.said(COLLECTOR, words) > before;
        poll::until_true("the host being well", SOON, is_well).unwrap();
    }

    fn agent_signal(&mut self, signal: Signal) {
        self.of.stage.services.signal(AGENT, signal).unwrap();
    }

    fn starts_agent(&mut self) {
        self.of.stage.services.start_agent().unwrap();
        self.of.stage.services.agent_is_ready().unwrap();
    }

    /// Says how long each took, and fails where one took too long.
    fn judges(&self) {
        let mut names: Vec<&String> = self.took.iter().map(|(what, _)| what).collect();
        names.sort();
        names.dedup();
        for name in names {
            let of_it = self.took.iter().filter(|(what, _)| what == name);
            let mut times: Vec<u128> = of_it.map(|(_, took)| took.as_millis()).collect();
            times.sort_unstable();
            let (count, half) = (times.len(), times.len() / 2);
            let at = |place: usize| times.get(place).copied().unwrap_or_default();
            println!(
                "| {name} | {count} | {} ms | {} ms |",
                at(half),
                at(count - 1)
            );
        }
        let late = self.took.iter().filter(|(_, took)| *took > WITHIN);
        let late: Vec<_> = late.collect();
        assert!(late.is_empty(), "later than {WITHIN:?}: {late:?}");
    }
}

fn rounds() -> usize {
    let wanted = std::env::var("MONITOR_TEST_ROUNDS");
    wanted.map_or(2, |rounds| rounds.parse().unwrap())
}

/// The agent's own pins, by the folder of its links.
fn links(ground: &Ground) -> std::path::PathBuf {
    let pins = fs::read_dir(ground.of.stage.folder.at("bpf")).unwrap();
    let mut folders = pins.map(|pin| pin.unwrap().path().join("links"));
    folders.find(|links| links.is_dir()).unwrap()
}

fn each_way_to_be_silent(ground: &mut Ground) {
    ground.tells("agent stands still", "agent-silent", |ground| {
        ground.agent_signal(Signal::STOP);
    });
    ground.mends(|ground| ground.agent_signal(Signal::CONT));
    ground.tells("agent killed", "agent-silent", |ground| {
        ground.of.stage.services.kill(AGENT).unwrap();
    });
    ground.mends(Ground::starts_agent);
    let left = ground.tells("agent asked to stop", "agent-silent", |ground| {
        ground.of.stage.services.end(AGENT).unwrap();
    });
    let words = left.text("/alert/sentence");
    assert!(words.contains("asked to stop"), "{words}");
    ground.mends(Ground::starts_agent);
    for way in [Way::Silent, Way::Cut] {
        let what = format!("network {}", way.word());
        ground.tells(&what, "agent-silent", |ground| ground.way.leads(way));
        ground.mends(|ground| ground.way.leads(Way::Open));
    }
}

fn each_way_to_be_blind(ground: &mut Ground) {
    let blind = ground.tells("one hook taken away", "agent-blind", |ground| {
        fs::remove_file(links(ground).join("task_exec")).unwrap();
    });
    let words = blind.text("/alert/sentence");
    assert!(words.ends_with("exec"), "{words}");
    reloads(ground);
    ground.tells("all hooks taken away", "agent-blind", |ground| {
        for link in fs::read_dir(links(ground)).unwrap() {
            fs::remove_file(link.unwrap().path()).unwrap();
        }
    });
    reloads(ground);
}

/// The probes are loaded anew.
fn reloads(ground: &mut Ground) {
    ground.mends(|ground| {
        let folder = ground.of.stage.folder.clone();
        ground.of.stage.services.kill(AGENT).unwrap();
        let mut detach = command(folder.program(AGENT), ["detach", "--config"]);
        command::stdout(detach.arg(folder.at("agent.toml"))).unwrap();
        ground.starts_agent();
    });
}

/// A collector that stands still accuses nobody.
fn collector_stands_still(ground: &mut Ground) {
    let silent = |ground: &Ground| {
        let is_it = |fact: &Fact| fact.is_alert() && fact.text("/alert/rule") == "agent-silent";
        ground.of.facts.all(is_it).len()
    };
    let before = silent(ground);
    let services = &ground.of.stage.services;
    services.signal(COLLECTOR, Signal::STOP).unwrap();
    let start = Instant::now();
    poll::until_true("a while", SOON, || start.elapsed() > WITHIN * 2).unwrap();
    services.signal(COLLECTOR, Signal::CONT).unwrap();
    let start = Instant::now();
    poll::until_true("a while", SOON, || start.elapsed() > WITHIN * 2).unwrap();
    assert_eq!(
        silent(ground),
        before,
        "nobody was silent but the collector"
    );
}

#[test]
fn a_host_that_is_silent_or_blind_is_an_alert_within_three_seconds() {
    let Some(mut ground) = Ground::set("alive", "") else {
        return;
    };
    for _ in 0..rounds() {
        each_way_to_be_silent(&mut ground);
    }
    collector_stands_still(&mut ground);
    for _ in 0..rounds() {
        each_way_to_be_blind(&mut ground);
    }
    ground.judges();
}

/// A copy of the agent, with its keys and its state, as a copied host has it.
struct Twin(Child);

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn copied(ground: &Ground) -> Twin {
    let folder = &ground.of.stage.folder;
    let root = folder.root().display().to_string();
    let from = fs::read_to_string(folder.at("agent.toml")).unwrap();
    let own = from
        .replace(&format!("{root}/agent\""), &format!("{root}/copy\""))
        .replace(&format!("{root}/bpf\""), &format!("{root}/copy-bpf\""))
        .replace(
            &folder.agent_socket().display().to_string(),
            &folder.at("copy.sock").display().to_string(),
        )
        .replace(
            &folder.host_krl().display().to_string(),
            &folder.at("copy.krl").display().to_string(),
        );
    write(&folder.at("copy.toml"), &own, 0o644).unwrap();
    let mut copy = command("cp", ["-a"]);
    command::stdout(copy.args([folder.at("agent"), folder.at("copy")])).unwrap();
    let log = fs::File::create(folder.at("log").join("copy.log")).unwrap();
    let mut agent = command(folder.program(AGENT), ["run", "--config"]);
    agent.arg(folder.at("copy.toml")).stdin(Stdio::null());
    agent.stdout(log.try_clone().unwrap()).stderr(log);
    Twin(agent.spawn().unwrap())
}

#[test]
fn a_copied_host_is_an_alert_within_three_seconds_of_its_first_word() {
    let Some(mut ground) = Ground::set("copied", "") else {
        return;
    };
    let from = ground.of.facts.count();
    let copy = copied(&ground);
    poll::until_true("the copy's stream", SOON, || {
        ground.said("copy", "The collector is connected.") > 0
    })
    .unwrap();
    let start = Instant::now();
    for rule in ["agent-twice", "numbers-reused"] {
        let is_it = |fact: &Fact| fact.is_alert() && fact.text("/alert/rule") == rule;
        ground.of.facts.wait_after(from, rule, SOON, is_it).unwrap();
        println!("copy: {rule} after {} ms", start.elapsed().as_millis());
        ground
            .took
            .push((format!("host copied: {rule}"), start.elapsed()));
    }
    drop(copy);
    let folder = ground.of.stage.folder.clone();
    let mut detach = command(folder.program(AGENT), ["detach", "--config"]);
    command::stdout(detach.arg(folder.at("copy.toml"))).unwrap();
    ground.judges();
}

fn orders(ground: &Ground) -> Vec<Value> {
    let mut asked = monitorctl(&ground.of.stage.folder, ["orders", "-o", "ndjson"]).unwrap();
    let said = command::stdout(&mut asked).unwrap();
    let orders = said.lines().map(serde_json::from_str);
    orders.collect::<Result<_, _>>().unwrap()
}

#[test]
fn leases_on_a_silent_host_end_by_policy_and_run_on_where_it_comes_back() {
    let lost = "[lost_host]\nleases = \"shorten\"\nlease_seconds = 5\n";
    let Some(mut ground) = Ground::set("leases", lost) else {
        return;
    };
    let (stage, facts) = (&ground.of.stage, &ground.of.facts);
    let mut scene = Scene::open(stage, facts, &ground.of.timeline, "alice").unwrap();
    scene.arrives().unwrap();
    let stands = |ground: &Ground, states: &[&str]| {
        let is_so = || {
            let orders = orders(ground);
            let of_order = |order: &Value| {
                let text = order.pointer("/order/state").or(order.get("state"));
                text.and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            orders
                .iter()
                .any(|order| states.contains(&of_order(order).as_str()))
        };
        let waited = poll::until_true("the order's state", SOON, is_so);
        assert!(waited.is_ok(), "{states:?}: {:?}", orders(ground));
    };
    ground.tells("agent stands still, briefly", "agent-silent", |ground| {
        ground.agent_signal(Signal::STOP);
    });
    stands(&ground, &["proposed"]);
    ground.mends(|ground| ground.agent_signal(Signal::CONT));
    stands(&ground, &["expired"]);
    let alert = ground.tells("agent stands still, for good", "agent-silent", |ground| {
        ground.agent_signal(Signal::STOP);
    });
    assert!(!alert.text("/alert/order").is_empty(), "{:?}", alert.value);
    stands(&ground, &["broker_answered"]);
    // The agent comes back, and ends what is left there.
    ground.mends(|ground| ground.agent_signal(Signal::CONT));
    stands(&ground, &["enforced"]);
    ground.judges();
}
