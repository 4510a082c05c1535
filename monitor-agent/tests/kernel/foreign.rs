//! From the kernel's event to a frozen session, without a collector: through
//! the worker, the agent's own decision, and the way of orders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use monitor_agent::{
    attribute::{Attributor, Origin, SharedJobs, SharedSessions, ThisHost},
    contain::{
        Containment, Receipts,
        foreign::{CarryOut, Foreign, OnForeign},
        unstored::Storing,
    },
    counters::Counters,
    kernel::{FileIdentity, SessionState as Held, TimeOffset, WatchEntry},
    marks,
    note::{Note, Notes},
    pipeline::{
        Pipeline, Taken,
        worker::{Parts, Worker},
    },
    redact::Redactor,
    spool::Spool,
    standing::Standing,
    watch::{Label, SharedLabels},
};
use monitor_common::{Record, SessionMark, decode};
use monitor_model::{
    clock::{SystemClock, UnixNs},
    contain::ContainMode,
    event::Action,
    grant::{Grant, GrantKind, GrantState, Holder, Scope, Tier},
    id::BootId,
    session::{Binding, Credential, Session, SessionState},
};
use monitor_proto::v1;
use tokio::sync::{mpsc, watch};

use crate::{
    actor::Actor,
    rig::{DEADLINE, LIMITS, Rig, until},
};

/// How often a session uses another tenant's credential;
/// `MONITOR_TEST_FOREIGN` gives another number.
const USES: u32 = 5;

/// What answers by itself, and what it says of it.
struct Alone {
    worker: Worker<ThisHost>,
    sessions: SharedSessions,
    carries_out: CarryOut,
    counters: Arc<Counters>,
    notes: mpsc::Receiver<Note>,
}

fn alone(rig: &Rig, folder: &Path, labels: SharedLabels) -> Alone {
    let origin = Origin {
        agent: "jump-1".parse().unwrap(),
        boot: BootId::from_parts(UnixNs(1), 1),
    };
    let (spool, recovered) = Spool::open(&folder.join("spool.db"), origin.boot, 1 << 30).unwrap();
    let sessions = SharedSessions::default();
    let standing = Standing::open(&folder.join("standing.db")).unwrap();
    let grants = vec![v1::Grant::from(&grant())];
    standing.replace_grants(v1::GrantTable { grants }).unwrap();
    let (way, notes) = Notes::channel();
    let containment = Arc::new(Containment {
        standing,
        sessions: sessions.clone(),
        jobs: SharedJobs::default(),
        marks: rig.probes.clone(),
        notes: way,
        counters: Arc::default(),
        clock: Arc::new(SystemClock),
        receipts: Receipts::default(),
        turns: Arc::default(),
        contact: String::new(),
    });
    let (foreign, carries_out) = Foreign::new(OnForeign::Freeze, &containment).unwrap();
    let host = ThisHost::open(rig.probes.clone()).unwrap();
    let counters = Arc::<Counters>::default();
    let parts = Parts {
        attributor: Attributor::new(origin.clone(), sessions.clone(), labels, host),
        origin,
        spool: spool.into(),
        redactor: Redactor::open(&folder.join("redaction.key"))
            .unwrap()
            .into(),
        sessions: sessions.clone(),
        marks: rig.probes.clone(),
        counters: Arc::clone(&counters),
        clock: Arc::new(SystemClock),
    };
    Alone {
        counters,
        worker: Worker::new(parts, recovered, "e1".to_owned()).answering(Some(foreign)),
        sessions,
        carries_out,
        notes,
    }
}

fn grant() -> Grant {
    Grant {
        id: "G1".parse().unwrap(),
        principal: "alice".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        ticket: "INC-1".into(),
        purpose: "test".into(),
        approved_by: "bob".parse().unwrap(),
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: UnixNs(0),
        expires: UnixNs::from_seconds(4_000_000_000),
        scope: Scope::default(),
        state: GrantState::Standing,
        holder: Holder::Staff,
        task: String::new(),
        review: None,
    }
}

fn session(mark: SessionMark, leader_pid: u32) -> Session {
    Session {
        id: marks::session_of(mark).unwrap(),
        host: "jump-1".parse().unwrap(),
        account: "deploy".into(),
        principal: Some("alice".parse().unwrap()),
        tenant: Some("acme".parse().unwrap()),
        grants: vec!["G1".parse().unwrap()],
        ticket: "INC-1".into(),
        tier: None,
        credential: Credential::Other {
            method: "test".into(),
        },
        peer: None,
        peer_port: 0,
        leader_pid,
        binding: Binding::Certificate,
        way: Vec::new(),
        audit_session: None,
        opened_at: UnixNs(1),
        ended_at: None,
        adopted: false,
        state: SessionState::Live,
        frozen: None,
    }
}

#[test]
fn a_session_stands_still_milliseconds_after_it_used_a_foreign_credential() {
    let Some(mut rig) = Rig::new() else { return };
    let wanted = std::env::var("MONITOR_TEST_FOREIGN");
    let wanted = wanted.map_or(USES, |number| number.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (labels, file) = watched(&rig, folder.path());
    let mut alone = alone(&rig, folder.path(), labels);
    let runtime = runtime();
    runtime.spawn(alone.carries_out.run());
    let (mut held, mut frozen) = (Vec::new(), Vec::new());
    for number in 0..wanted {
        let mut mark = rig.mark.0;
        mark[8..12].copy_from_slice(&number.to_ne_bytes());
        let mark = SessionMark(mark);
        let script = format!("read secret < {}; while :; do :; done", file.display());
        let actor = Actor::shell(&script).marked(&rig.probes, mark);
        let opened = session(mark, actor.child.id());
        alone.sessions.lock().put(opened).unwrap();
        let mut child = actor.go();
        let at = used(&mut rig, &mut alone.worker, mark);
        let note = runtime.block_on(alone.notes.recv()).unwrap();
        let Action::Contained { receipt } = note.action else {
            panic!("{:?}", note.action)
        };
        assert_eq!(receipt.mode, ContainMode::Freeze);
        assert_eq!((receipt.frozen, receipt.left), (1, 0), "{receipt:?}");
        assert_eq!(receipt.foreign, Some("globex".parse().unwrap()));
        held.push(receipt.denied_at.since(at));
        frozen.push(receipt.frozen_at.unwrap().since(at));
        rig.probes.kill_session(mark).unwrap();
        child.wait().unwrap();
    }
    eprintln!(
        "{wanted} uses; held {}; frozen {}",
        told(held),
        told(frozen)
    );
}

/// A credential of another tenant's.
fn watched(rig: &Rig, folder: &Path) -> (SharedLabels, PathBuf) {
    let file = folder.join("kubeconfig");
    std::fs::write(&file, "secret").unwrap();
    let labels = SharedLabels::open(&folder.join("labels.db")).unwrap();
    let mut label = Label::of_class("kubeconfig");
    label.tenant = Some("globex".parse().unwrap());
    let watch = WatchEntry::all(FileIdentity::of(&file).unwrap(), labels.id(&label).unwrap());
    rig.probes.watch_set(&[watch]).unwrap();
    (labels, file)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_session_is_held_while_the_disk_is_busy() {
    let Some(rig) = Rig::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (labels, file) = watched(&rig, folder.path());
    let alone = alone(&rig, folder.path(), labels);
    let (probes, mark, pins) = (Arc::clone(&rig.probes), rig.mark, rig.pins);
    let runtime = runtime();
    runtime.spawn(alone.carries_out.run());
    let busy = rusqlite::Connection::open(folder.path().join("spool.db")).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (newest, _newest) = watch::channel(0);
    let (_acked, acked) = watch::channel(0);
    let pipeline = Pipeline {
        worker: alone.worker,
        rings: rig.rings,
        probes: rig.probes,
        notes: alone.notes,
        acked,
        newest,
        storing: Storing::channel().0,
        counters: Arc::clone(&alone.counters),
        taken: Taken::default(),
        seen: Arc::default(),
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = runtime.spawn(pipeline.run(async {
        let _ = stopped.await;
    }));
    let mut other = mark.0;
    other[8] ^= 0xff;
    let mut first = Actor::shell("/bin/true")
        .marked(&probes, SessionMark(other))
        .go();
    first.wait().unwrap();
    // From now on a reading waits for the disk.
    until("a reading that waits for the disk", || {
        alone.counters.records_read.get() > 0
    });
    let script = format!("read secret < {}; while :; do :; done", file.display());
    let actor = Actor::shell(&script).marked(&probes, mark);
    alone
        .sessions
        .lock()
        .put(session(mark, actor.child.id()))
        .unwrap();
    let mut child = actor.go();
    until("the session is held", || {
        let row = probes.session(mark).unwrap();
        row.is_some_and(|row| row.state == Held::Frozen)
    });
    assert_eq!(alone.counters.events_spooled.get(), 0, "nothing is on disk");
    busy.execute_batch("ROLLBACK").unwrap();
    until("it is on disk", || alone.counters.events_spooled.get() > 0);
    probes.kill_session(mark).unwrap();
    child.wait().unwrap();
    stop.send(()).unwrap();
    runtime.block_on(running).unwrap().unwrap();
    drop((runtime, probes, pins));
}

/// Reads as the agent does until the credential was used; when it was.
fn used(rig: &mut Rig, worker: &mut Worker<ThisHost>, mark: SessionMark) -> UnixNs {
    let started = std::time::Instant::now();
    let mut at = BTreeMap::new();
    while !at.contains_key(&mark) {
        assert!(started.elapsed() < DEADLINE, "the credential was not used");
        rig.rings.priority.wait(Duration::from_millis(20)).unwrap();
        for ring in [&mut rig.rings.priority, &mut rig.rings.bulk] {
            let batch = ring.read_batch(LIMITS);
            let offset = TimeOffset::now();
            worker.take_records(batch.records(), offset);
            for bytes in batch.records() {
                if let Ok(Record::Credential { credential, .. }) = decode(bytes) {
                    let header = &credential.header;
                    let unix_ns = offset.unix_ns(header.boot_ns);
                    at.insert(header.session, UnixNs(u64::try_from(unix_ns).unwrap()));
                }
            }
            let mut closed = worker.close();
            closed.write().unwrap();
            worker.finish(closed);
            ring.commit(batch.cursor());
        }
    }
    at[&mark]
}

fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!("p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100))
}
