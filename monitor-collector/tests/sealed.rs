//! The program with its files sealed: at the first start with a key, with another
//! key in its place, and killed while that is put there.

#![expect(clippy::unwrap_used, reason = "tests may")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use monitor_collector::ledger::{Judged, Ledger};
use monitor_ledger::{
    key::LogKey,
    seal::{Home, SealKey},
};
use monitor_model::{
    clock::UnixNs,
    event::{Action, Attribution, Event, Lineage},
    id::{BootId, EventId, SessionId, Source, TenantId},
    judge::{World, judge},
    policy::{Policy, Terms},
    session::{Binding, Credential, Session, SessionState},
    tenant::Tenant,
};

mod program;

use program::{Running, certify, collector, configuration, signal, text};

/// Sessions that are in the ledger before there is a key.
const SESSIONS: u64 = 400;
/// What each of them has in it.
const WORDS: [&str; 3] = ["alice", "INC-4711", "SHA256:of-alice"];

/// A folder with certificates, keys and the collector's data.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        let folder = scene.0.path();
        certify(folder);
        let key = LogKey::new("monitor.example", &[7; 32]).unwrap();
        key.store(&scene.at("ledger.key")).unwrap();
        for number in 1..=3 {
            let key = SealKey::new([number; 32]);
            key.store(&scene.at(&format!("seal-{number}.key"))).unwrap();
        }
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    /// The configuration, with one of the keys or without.
    fn config(&self, seal: Option<u8>) -> String {
        let path = self.at("collector.toml");
        let mut text = configuration();
        if let Some(number) = seal {
            let line = format!("seal = \"seal-{number}.key\"");
            text = text.replace("# seal = \"seal.key\"", &line);
            assert!(text.contains(&line));
        }
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Runs the collector until it listens, and ends it.
    fn run(&self, seal: Option<u8>) {
        let config = self.config(seal);
        // One of a start before says where that one listened.
        _ = std::fs::remove_file(self.at("data/listen"));
        let child = Command::new(env!("CARGO_BIN_EXE_monitor-collector"))
            .args(["run", "--config", &config])
            .stderr(Stdio::null())
            .spawn();
        let mut running = Running(child.unwrap());
        let began = Instant::now();
        while !self.at("data/listen").exists() {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "it never listened"
            );
            assert!(running.0.try_wait().unwrap().is_none(), "it ended early");
            std::thread::yield_now();
        }
        signal(&running.0, "-TERM");
        assert!(running.0.wait().unwrap().success());
    }

    fn verified(&self, number: u8) -> Output {
        collector(&[
            "verify",
            "--data-dir",
            &self.name("data"),
            "--seal-key",
            &self.name(&format!("seal-{number}.key")),
        ])
    }

    fn reseal(&self, (old, new): (u8, u8), contents: bool) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monitor-collector"));
        command.args(["reseal", "--data-dir", &self.name("data")]);
        command.args(["--seal-key", &self.name(&format!("seal-{old}.key"))]);
        command.args(["--new-key", &self.name(&format!("seal-{new}.key"))]);
        command.args(contents.then_some("--contents"));
        command
    }

    /// Which of these is in some file of the collector's.
    fn found(&self) -> Vec<&'static str> {
        let mut all = Vec::new();
        bytes(&self.at("data"), &mut all);
        let holds = |word: &&&str| all.windows(word.len()).any(|part| part == word.as_bytes());
        WORDS.iter().filter(holds).copied().collect()
    }
}

fn bytes(folder: &Path, into: &mut Vec<u8>) {
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            bytes(&path, into);
        } else {
            into.extend(std::fs::read(path).unwrap());
        }
    }
}

fn opened(number: u64) -> Event {
    let agent: monitor_model::id::AgentName = "jump-1".parse().unwrap();
    let session = Session {
        id: SessionId::from_parts(UnixNs(1), number.into()),
        host: agent.clone(),
        account: "ops".into(),
        principal: Some("alice".parse().unwrap()),
        tenant: Some("acme".parse().unwrap()),
        grants: Vec::new(),
        ticket: "INC-4711".into(),
        tier: None,
        credential: Credential::SshCertificate {
            serial: number,
            key_id: "v1;eng=alice".into(),
            ca_fingerprint: "SHA256:x".into(),
            key_fingerprint: "SHA256:of-alice".into(),
        },
        peer: None,
        peer_port: 0,
        leader_pid: 7,
        binding: Binding::Certificate,
        way: Vec::new(),
        audit_session: None,
        opened_at: UnixNs(number),
        ended_at: None,
        adopted: false,
        state: SessionState::Live,
        frozen: None,
    };
    Event {
        id: EventId {
            agent,
            boot: BootId::from_parts(UnixNs(0), 1),
            source: Source::Agent,
            sequence: number,
        },
        at: UnixNs(number),
        boot_ns: number,
        process: None,
        attribution: Attribution {
            session: Some(session.id),
            principal: session.principal.clone(),
            tenant: session.tenant.clone(),
            grants: Vec::new(),
            lineage: Lineage::Kernel,
            reason: None,
            way: Vec::new(),
        },
        action: Action::SessionOpened {
            session: Box::new(session),
        },
    }
}

/// Sessions of a client that are in its ledger already.
fn fill(data: &Path) {
    let acme: TenantId = "acme".parse().unwrap();
    let tenant = |name: &str| Tenant {
        id: TenantId::new(name).unwrap(),
        zones: Vec::new(),
    };
    let terms = Terms {
        tenants: vec![tenant("acme"), tenant("provider")],
        ..Terms::default()
    };
    let world = World {
        policy: Arc::new(Policy::new(terms, "1-test".into()).unwrap()),
        grants: [].into(),
    };
    let mut ledger = Ledger::open(Home::new(data, None), &acme, None).unwrap();
    for number in 1..=SESSIONS {
        let event = opened(number);
        let judged = Judged {
            event_bytes: monitor_proto::encode_event(&event),
            judgement: judge(&world, &event),
            event,
        };
        ledger.append(judged, UnixNs(number)).unwrap();
    }
    ledger.commit(UnixNs(SESSIONS)).unwrap();
}

#[test]
fn files_in_clear_are_sealed_at_the_next_start_and_open_with_their_key_alone() {
    let scene = Scene::new();
    std::fs::create_dir(scene.at("data")).unwrap();
    fill(&scene.at("data"));
    scene.run(None);
    assert_eq!(scene.found(), WORDS, "the state has them in clear");
    scene.run(Some(1));
    assert_eq!(scene.found(), [""; 0]);
    for (seal, why) in [
        (None, "it is sealed: give the key"),
        (Some(2), "with another"),
    ] {
        let refused = collector(&["run", "--config", &scene.config(seal)]);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{said}");
    }
    scene.run(Some(1));
}

#[test]
fn another_key_is_put_in_the_place_of_the_old_one_whenever_that_is_killed() {
    let scene = Scene::new();
    std::fs::create_dir(scene.at("data")).unwrap();
    fill(&scene.at("data"));
    scene.run(Some(1));
    let before = scene.verified(1);
    assert!(before.status.success(), "{}", text(&before.stdout));
    let mut killed = 0;
    for (keys, contents) in [((1, 2), false), ((2, 3), true), ((3, 1), true)] {
        // Longer each time, until it comes to its end.
        for step in 1..100 {
            let mut command = scene.reseal(keys, contents);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let (mut running, began) = (Running(command.spawn().unwrap()), Instant::now());
            let ended = loop {
                if let Some(status) = running.0.try_wait().unwrap() {
                    break Some(status);
                }
                if began.elapsed() > Duration::from_millis(step * step) {
                    break None;
                }
                std::thread::yield_now();
            };
            if let Some(status) = ended {
                assert!(status.success());
                break;
            }
            killed += 1;
        }
        let done = scene.reseal(keys, contents).output().unwrap();
        let said = text(&done.stdout);
        assert!(
            done.status.success() && said.contains("was sealed with the new key before"),
            "{said}{}",
            text(&done.stderr)
        );
        let (old, new) = keys;
        let after = scene.verified(new);
        assert_eq!(text(&after.stdout), text(&before.stdout), "the same roots");
        assert!(!scene.verified(old).status.success());
    }
    assert!(killed > 3, "it was killed {killed} times");
    scene.run(Some(1));
    let refused = scene.reseal((2, 3), false).output().unwrap();
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("with another"),
        "{said}"
    );
}
