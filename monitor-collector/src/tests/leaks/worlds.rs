//! What happened: acme's own story, the same in every world, and what others did.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use monitor_model::{
    alert::AlertState,
    clock::{Clock, UnixNs},
    contain::ContainMode,
    event::{
        Action, Attribution, Carrier, Destination, Event, Evidence, HostChange, Lineage,
        LocalAddress, MemoryAccess, NoSession, Operation, ProcessRef, Protocol, Receipt, Step,
    },
    grant::GrantKind,
    id::{BootId, EventId, OrderId, SessionId},
    revocation::{Cause, Mode, Target},
    session::Credential,
};
use monitor_proto::v1::{self, alert_service_server::AlertService as _};
use monitor_transport::identity::Identity;
use tokio_util::sync::CancellationToken;

use super::{Source, questions::of};
use crate::{
    config::Config,
    core::{Batch, Core, alerts::Handling, orders::Wanted},
    ingest::agents::Agents,
    ledger::Ledger,
    reads::{COUNTED_MAX, Reads},
    service::{Edge, Seats, cursor::Seal, reads::Counted},
    state::read::{AlertFilter, StateReader},
    testing::{at_seconds, credential, event_id, grant, ledger_key, opened, session_id},
    writer::Writer,
};

/// Everything of other tenants bears it.
pub(super) const MARK: &str = "zq7";
/// When people ask.
const LATER: u64 = 100_000;

/// Whether an answer's bytes hold the mark.
pub(super) fn marked(bytes: &[u8]) -> bool {
    bytes
        .windows(MARK.len())
        .any(|part| part.eq_ignore_ascii_case(MARK.as_bytes()))
}

/// Another tenant.
pub(super) struct Other {
    pub(super) tenant: &'static str,
    pub(super) grant: &'static str,
    pub(super) ticket: &'static str,
    pub(super) network: &'static str,
    /// How much more there is of it.
    pub(super) busy: u64,
}

/// Who is there besides acme.
pub(super) enum Story {
    /// Nobody.
    Alone,
    /// Another tenant, on the same hosts, that has nothing to do with acme.
    Beside(Other),
    /// Another tenant whose people touch acme's things, and the other way round.
    Crossed(Other),
}

/// A clock that is set.
#[derive(Debug)]
struct Set(AtomicU64);

impl Clock for Set {
    fn now(&self) -> UnixNs {
        UnixNs(self.0.load(Ordering::Relaxed))
    }
}

/// A collector's edge over what happened.
pub(super) struct World {
    pub(super) edge: Edge,
    pub(super) auditor: Identity,
    pub(super) policy_version: String,
    /// The boot of the collector's own stream in each ledger, which follows from the
    /// ledger's secret, and what stands for it in questions and answers.
    voices: Vec<(BootId, BootId)>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    pub(super) fn play(story: &Story) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), story);
        let clock = Arc::new(Set(AtomicU64::new(at_seconds(0).0)));
        let told: Arc<dyn Clock> = clock.clone();
        let mut play = Play {
            core: Core::open(&config, told).unwrap(),
            clock,
        };
        play.own_grants();
        match story {
            Story::Alone => {
                play.own(None);
            }
            Story::Beside(other) => {
                play.of_other(other);
                play.own(Some(other));
                play.more_of_other(other);
            }
            Story::Crossed(other) => {
                play.of_other(other);
                play.own(Some(other));
                play.crossing(other, &config);
                play.more_of_other(other);
            }
        }
        // What became of the orders is in the ledgers before anybody asks.
        while play.core.has_to_say() {
            play.store(Vec::new());
        }
        play.core.seal().unwrap();
        let Play { core, clock, .. } = play;
        drop(core);
        let voices = voices(&config);
        clock.0.store(at_seconds(LATER).0, Ordering::Relaxed);
        let stop = CancellationToken::new();
        let (config, told) = (Arc::new(config), clock.clone());
        let started = Writer::start(Arc::clone(&config), told, stop.clone());
        let (writer, _) = started.unwrap();
        let policy_version = writer.tables().borrow().policy.version().to_owned();
        let edge = Edge {
            home: config.home().unwrap(),
            // What is asked becomes entries, with the words of who asks and stamps of
            // their own: `tests::reads` looks at those.
            reads: Counted::deaf(Reads::new(config.aggregate, COUNTED_MAX)),
            config,
            writer,
            agents: Arc::new(Agents::listening(std::time::Duration::from_secs(3))),
            clock,
            seal: Seal::new([7; 32]),
            stop: stop.clone(),
            seats: Seats::new(64, 16),
            outside: Seats::new(64, 16),
        };
        Self {
            edge,
            auditor: "monitor://auditor/eve?tenant=acme".parse().unwrap(),
            policy_version,
            voices,
            stop,
            _folder: folder,
        }
    }
}

impl World {
    /// With what stands for the ledgers' own, in place of it.
    pub(super) fn neutral(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for (own, neutral) in &self.voices {
            bytes = replaced(&bytes, &own.to_bytes(), &neutral.to_bytes());
            let (own, neutral) = (own.to_string(), neutral.to_string());
            bytes = replaced(&bytes, own.as_bytes(), neutral.as_bytes());
        }
        bytes
    }

    /// The boot that is meant here.
    pub(super) fn own(&self, boot: &mut Vec<u8>) {
        let mut voices = self.voices.iter();
        if let Some((own, _)) = voices.find(|(_, neutral)| neutral.to_bytes() == **boot) {
            *boot = own.to_bytes().to_vec();
        }
    }

    /// The alerts in a tenant's ledger, as somebody sees them.
    pub(super) async fn alerts_of(&self, who: &Identity, tenant: &str) -> Vec<v1::Alert> {
        let asked = v1::ListAlertsRequest {
            tenant: tenant.into(),
            ..Default::default()
        };
        let found = self.edge.list_alerts(of(who, asked)).await.unwrap();
        found.into_inner().alerts
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(from.len()).position(|part| part == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

fn voices(config: &Config) -> Vec<(BootId, BootId)> {
    let home = config.home().unwrap();
    let tenants = config.terms.tenants.iter();
    let voice = |tenant: &monitor_model::tenant::Tenant| {
        let ledger = Ledger::open(&home, &tenant.id, None).unwrap();
        let neutral = match tenant.id.as_str() {
            "acme" => 1,
            "provider" => 2,
            _ => 3,
        };
        let own = ledger.voice(&config.name).boot;
        (own, BootId::from_parts(UnixNs(1_000_000), neutral))
    };
    tenants.map(voice).collect()
}

fn config(folder: &Path, story: &Story) -> Config {
    let others = match story {
        Story::Alone => String::new(),
        Story::Beside(other) | Story::Crossed(other) => format!(
            "[[tenant]]\nid = {:?}\n[[tenant.zone]]\nname = \"zq7 zone\"\nnetworks = [{:?}]\n\
             [[credential]]\ntemplate = \"/srv/{}/*\"\ntenant = {:?}\nowner = \"zq7dora\"\n",
            other.tenant, other.network, other.tenant, other.tenant
        ),
    };
    let sigma = folder.join("sigma");
    std::fs::create_dir_all(&sigma).unwrap();
    if !others.is_empty() {
        std::fs::write(sigma.join("zq7.yml"), "title: zq7\nlevel: [").unwrap();
    }
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = {:?}\n[tls]\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"\n\
         [ledger]\nkey = {:?}\n[alert]\nstandard = true\nsigma = {sigma:?}\n\
         [[tenant]]\nid = \"acme\"\n[[tenant.zone]]\nname = \"office\"\nnetworks = [\"10.1.0.0/16\"]\n{others}",
        folder.join("data"),
        ledger_key(folder),
    );
    Config::parse(&folder.join("collector.toml"), &text).unwrap()
}

/// Somebody's session.
#[derive(Clone)]
struct Who {
    session: SessionId,
    name: &'static str,
    tenant: String,
    grant: String,
    ticket: String,
}

fn alice() -> Who {
    Who {
        session: session_id(1),
        name: "alice",
        tenant: "acme".into(),
        grant: "01ALICE".into(),
        ticket: "INC-4711".into(),
    }
}

fn bob() -> Who {
    Who {
        session: session_id(2),
        name: "bob",
        tenant: "acme".into(),
        grant: "01BOB".into(),
        ticket: "INC-4712".into(),
    }
}

fn stranger(other: &Other, session: u128, name: &'static str) -> Who {
    Who {
        session: session_id(session),
        name,
        tenant: other.tenant.into(),
        grant: other.grant.into(),
        ticket: other.ticket.into(),
    }
}

fn priority(host: &str, number: u64) -> EventId {
    event_id(host, Source::Priority { cpu: 0 }, number)
}

fn bulk(number: u64) -> EventId {
    event_id("jump-1", Source::Bulk { cpu: 1 }, number)
}

fn done(id: EventId, who: &Who, action: Action) -> Event {
    let mut event = crate::testing::event(id, action);
    event.attribution = Attribution {
        session: Some(who.session),
        principal: Some(who.name.parse().unwrap()),
        tenant: Some(who.tenant.parse().unwrap()),
        grants: vec![who.grant.parse().unwrap()],
        lineage: Lineage::Kernel,
        reason: None,
        way: Vec::new(),
    };
    event
}

fn login(id: EventId, who: &Who, serial: u64) -> Event {
    let mut event = opened(id, who.session, who.name, serial);
    let Action::SessionOpened { session } = &mut event.action else {
        panic!("{event:?}")
    };
    session.tenant = Some(who.tenant.parse().unwrap());
    session.grants = vec![who.grant.parse().unwrap()];
    session.ticket.clone_from(&who.ticket);
    session.peer = Some("192.0.2.9".parse().unwrap());
    if let Credential::SshCertificate { key_id, .. } = &mut session.credential {
        *key_id = format!(
            "v1;eng={};tenant={};grant={}",
            who.name, who.tenant, who.grant
        );
    }
    event.attribution.tenant.clone_from(&session.tenant);
    event.attribution.grants.clone_from(&session.grants);
    event
}

fn ran(id: EventId, who: &Who, path: &str) -> Event {
    let exe = monitor_model::event::FileObject {
        device: 1,
        inode: 9,
        generation: 0,
        path: label(path),
    };
    done(
        id,
        who,
        Action::Exec {
            argv: vec![path.into(), "--all".into()],
            argv_bytes: 30,
            argv_truncated: false,
            redacted: 0,
            argv_digest: None,
            script: None,
            given: path.into(),
            interpreter: "".into(),
            exe,
        },
    )
}

fn connected(id: EventId, who: &Who, address: &str) -> Event {
    let destination = Destination {
        address: address.parse().unwrap(),
        port: 443,
        protocol: Protocol::Tcp,
        interface: None,
        interface_index: 0,
        net_ns: 1,
        net_ns_name: None,
        mark: 0,
    };
    done(
        id,
        who,
        Action::Connect {
            destination,
            denied: false,
            scope: None,
        },
    )
}

fn read(id: EventId, who: &Who, tenant: &str, path: &str) -> Event {
    let action = credential(id.clone(), tenant, path).action;
    done(id, who, action)
}

fn label(text: &str) -> monitor_model::bytes::PathLabel {
    monitor_model::bytes::PathLabel {
        text: text.into(),
        truncated: false,
    }
}

fn process(pid: u32, session: SessionId, exe: &str) -> ProcessRef {
    ProcessRef {
        pid,
        start_boot_ns: Some(5),
        session: Some(session),
        holds_credentials: true,
        exe: Some(label(exe)),
    }
}

/// Nobody's: what a host does by itself.
fn of_host(id: EventId) -> Event {
    let mut event = ran(id, &alice(), "/usr/sbin/cron");
    event.attribution = Attribution {
        session: None,
        principal: None,
        tenant: None,
        grants: Vec::new(),
        lineage: Lineage::Unattributed,
        reason: Some(NoSession::NoMark),
        way: Vec::new(),
    };
    event
}

/// A world while it comes about.
struct Play {
    core: Core,
    clock: Arc<Set>,
}

impl Play {
    fn at(&self, seconds: u64) {
        self.clock.0.store(at_seconds(seconds).0, Ordering::Relaxed);
    }

    /// Takes events of a second, as of it.
    fn take(&mut self, seconds: u64, mut events: Vec<Event>) {
        self.at(seconds);
        for event in &mut events {
            event.at = at_seconds(seconds);
        }
        let agent = events[0].id.agent.clone();
        let events = events
            .into_iter()
            .map(|event| {
                let bytes = monitor_proto::encode_event(&event);
                (event, bytes)
            })
            .collect();
        let batch = Batch {
            agent,
            events,
            aside: Vec::new(),
        };
        self.store(vec![batch]);
    }

    fn store(&mut self, batches: Vec<Batch>) {
        let stored = self.core.take_in(batches).unwrap();
        self.core.settle(&stored.entries).unwrap();
        self.core.publish().unwrap();
    }

    fn give(&mut self, id: &str, principal: &str, tenant: &str, ticket: &str) {
        let mut given = grant(id, principal, tenant);
        given.ticket = ticket.into();
        self.core.put_grant(given).unwrap().unwrap();
        self.core.publish().unwrap();
    }

    fn own_grants(&mut self) {
        self.give("01ALICE", "alice", "acme", "INC-4711");
        self.give("01BOB", "bob", "acme", "INC-4712");
        let mut broken = grant("01GLASS", "alice", "acme");
        broken.kind = GrantKind::BreakGlass;
        broken.not_before = at_seconds(0);
        broken.expires = at_seconds(3_600);
        self.core.put_grant(broken).unwrap().unwrap();
        self.give("01OVER", "bob", "acme", "INC-1");
        let over = "01OVER".parse().unwrap();
        self.core.end_grant(&over, "done").unwrap().unwrap();
        self.core.publish().unwrap();
    }

    /// What is acme's alone. Numbers of the host that others use are the host's
    /// own where there are none.
    fn own(&mut self, other: Option<&Other>) {
        let (alice, bob) = (alice(), bob());
        self.take(
            100,
            vec![login(event_id("jump-1", Source::Agent, 1), &alice, 7)],
        );
        self.take(
            101,
            vec![login(event_id("jump-2", Source::Agent, 1), &bob, 8)],
        );
        let p = |number| priority("jump-1", number);
        self.take(110, vec![ran(p(1), &alice, "/usr/bin/kubectl")]);
        self.take(111, vec![connected(p(2), &alice, "10.1.0.5")]);
        self.take(112, vec![read(p(3), &alice, "acme", "/srv/acme/key")]);
        for number in 1..=6 {
            let event = match other {
                Some(other) => ran(bulk(number), &stranger(other, 90, "zq7zoe"), "/opt/zq7"),
                None => of_host(bulk(number)),
            };
            self.take(112 + number, vec![event]);
        }
        // 4 and 5 never come.
        let target = process(40, alice.session, "/usr/bin/ssh-agent");
        let memory = Action::Memory {
            target: target.clone(),
            access: MemoryAccess::Attached,
            syscall: None,
            denied: false,
        };
        self.take(130, vec![done(p(6), &alice, memory)]);
        let socket = LocalAddress::Unix {
            path: "/run/acme".into(),
        };
        let local = Action::LocalConnect {
            socket,
            object: None,
            peer: Some(target),
            denied: false,
        };
        self.take(131, vec![done(p(7), &alice, local)]);
        for number in 8..60 {
            let event = match number % 3 {
                0 => ran(p(number), &alice, &format!("/usr/bin/tool{number}")),
                1 => connected(p(number), &alice, &format!("10.1.0.{number}")),
                _ => read(p(number), &alice, "acme", &format!("/srv/acme/key{number}")),
            };
            self.take(140 + number, vec![event]);
        }
        let q = |number| priority("jump-2", number);
        self.take(220, vec![read(q(1), &bob, "acme", "/srv/acme/bob")]);
        self.take(221, vec![connected(q(2), &bob, "198.51.100.1")]);
        let ended = Action::SessionEnded {
            session: bob.session,
        };
        let id = event_id("jump-2", Source::Agent, 2);
        self.take(222, vec![done(id, &bob, ended)]);
    }

    /// Another tenant's grants, sessions and events, before acme's.
    fn of_other(&mut self, other: &Other) {
        self.at(20);
        self.give(other.grant, "zq7carl", other.tenant, other.ticket);
        self.give("ZQ7-OVER", "zq7carl", other.tenant, other.ticket);
        let over = "ZQ7-OVER".parse().unwrap();
        self.core.end_grant(&over, "zq7 is done").unwrap().unwrap();
        let carl = stranger(other, 91, "zq7carl");
        let host = "zq7host";
        self.take(30, vec![login(event_id(host, Source::Agent, 1), &carl, 91)]);
        self.take(31, vec![ran(priority(host, 1), &carl, "/opt/zq7/bin")]);
        let path = format!("/srv/{}/zq7", other.tenant);
        self.take(
            32,
            vec![read(priority(host, 2), &carl, other.tenant, &path)],
        );
        self.take(33, vec![connected(priority(host, 3), &carl, "203.0.113.9")]);
    }

    /// And after: more than acme has, with alerts and orders.
    fn more_of_other(&mut self, other: &Other) {
        let carl = stranger(other, 91, "zq7carl");
        for number in 0..other.busy {
            let path = format!("/opt/zq7/{number}");
            self.take(
                5_000 + number,
                vec![ran(priority("zq7host", 10 + number), &carl, &path)],
            );
        }
        self.order(900, Target::Session(carl.session));
        self.core.seal().unwrap();
    }

    fn order(&mut self, number: u128, target: Target) {
        let wanted = Wanted {
            id: OrderId::from_parts(at_seconds(1), number),
            target,
            mode: Mode::Kill,
            not_after: None,
            author: "soc/boss".into(),
            cause: Cause {
                text: "zq7 wants it".into(),
                alert: None,
                event: None,
                initiator: "boss".into(),
            },
            kernel_event: None,
            alert: None,
        };
        self.core.order(wanted).unwrap().unwrap();
        self.core.publish().unwrap();
    }

    /// What others did to acme, acme's to others, and one session for both.
    fn crossing(&mut self, other: &Other, config: &Config) {
        let (alice, carol) = (alice(), stranger(other, 3, "carol"));
        let id = event_id("jump-1", Source::Agent, 2);
        self.take(1_000, vec![login(id, &carol, 9)]);
        let p = |number| priority("jump-1", 100 + number);
        self.take(1_001, vec![read(p(1), &carol, "acme", "/srv/acme/key")]);
        self.take(1_002, vec![connected(p(2), &carol, "10.1.0.5")]);
        let theirs = process(66, carol.session, "/opt/zq7/agent");
        let events = between(&alice, &theirs, other);
        for (number, action) in (10..).zip(events) {
            let mut event = done(p(number), &alice, action);
            event.attribution.way = vec![Step {
                carrier: Carrier::SshHop,
                name: "zq7 hop".into(),
                at: None,
                session: Some(carol.session),
            }];
            event.attribution.grants.push(other.grant.parse().unwrap());
            self.take(1_010 + number, vec![event]);
        }
        let mut both = login(event_id("jump-1", Source::Agent, 3), &dave(), 10);
        if let Action::SessionOpened { session } = &mut both.action {
            session.grants.push(other.grant.parse().unwrap());
            if let Credential::SshCertificate { key_id, .. } = &mut session.credential {
                key_id.push_str(";also=");
                key_id.push_str(other.grant);
            }
        }
        self.take(1_100, vec![both]);
        let path = format!("/srv/{}/zq7key", other.tenant);
        for number in 50..55 {
            let event = read(p(number), &alice, other.tenant, &path);
            self.take(1_100 + number, vec![event]);
        }
        self.at(1_200);
        self.order(901, Target::Session(alice.session));
        self.order(902, Target::Engineer("bob".parse().unwrap()));
        self.note(config);
    }

    /// Somebody writes of others into an alert of acme's.
    fn note(&mut self, config: &Config) {
        let reader = StateReader::open(&config.data_dir).unwrap();
        let filter = AlertFilter {
            ledgers: vec!["acme".parse().unwrap()],
            ..AlertFilter::default()
        };
        let raised = reader.alerts(&filter, UnixNs::MAX, 1).unwrap();
        let handling = Handling {
            alert: raised[0].alert.id,
            state: AlertState::Acknowledged,
            author: "soc/sam".into(),
            note: "as in zq7".into(),
        };
        self.core.handle(handling).unwrap().unwrap();
        self.core.publish().unwrap();
    }
}

fn dave() -> Who {
    Who {
        session: session_id(4),
        name: "dave",
        ..alice()
    }
}

/// Everything in which a session of acme's meets another's process.
fn between(alice: &Who, theirs: &ProcessRef, other: &Other) -> Vec<Action> {
    let them = theirs.session;
    vec![
        Action::Memory {
            target: theirs.clone(),
            access: MemoryAccess::MemoryFile,
            syscall: None,
            denied: false,
        },
        Action::Signal {
            target: theirs.clone(),
            number: 11,
        },
        Action::LocalConnect {
            socket: LocalAddress::Unix {
                path: "/run/shared".into(),
            },
            object: None,
            peer: Some(theirs.clone()),
            denied: false,
        },
        Action::Host {
            change: HostChange::ALL[0],
            number: 1,
            detail: "".into(),
            path: None,
            target: Some(theirs.clone()),
            denied: false,
        },
        Action::Contradiction {
            process: theirs.clone(),
            evidence: Evidence::ControlGroup,
            value: "/user.slice/zq7.scope".into(),
            says: them,
        },
        Action::Survivors {
            session: alice.session,
            processes: vec![theirs.clone(), process(40, alice.session, "/usr/bin/tmux")],
            total: 2,
        },
        Action::JobStarted {
            job: session_id(5),
            leader: theirs.clone(),
        },
        Action::Contained {
            receipt: Receipt {
                left: 1,
                expired: Some(other.grant.parse().unwrap()),
                foreign: Some(other.tenant.parse().unwrap()),
                ..Receipt::new(
                    OrderId::from_parts(at_seconds(1), 77),
                    alice.session,
                    ContainMode::Kill,
                    at_seconds(1_000),
                )
            },
        },
        shared_key(other),
    ]
}

/// A credential of acme's, of which the watch list says that it is another's.
fn shared_key(other: &Other) -> Action {
    let mut action = credential(priority("jump-1", 1), other.tenant, "/srv/acme/both").action;
    if let Action::Credential { operation, .. } = &mut action {
        *operation = Operation::Read;
    }
    action
}
