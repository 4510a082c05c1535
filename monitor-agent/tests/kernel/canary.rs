//! A secret that is planted in a session is found nowhere behind the kernel.
//!
//! Records go from the probes of the running kernel through the worker (decode,
//! attribute, redact) to the spool on disk and to the bytes of the uplink.

use std::{
    fmt::Write as _,
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};

use monitor_agent::{
    attribute::{Attributor, Origin, SharedSessions, ThisHost},
    counters::Counters,
    kernel::TimeOffset,
    pipeline::worker::{Parts, Worker},
    redact::Redactor,
    spool::{Spool, SpoolReader},
    watch::SharedLabels,
};
use monitor_common::{Record, decode};
use monitor_model::{
    clock::{SystemClock, UnixNs},
    event::{Action, Event},
    id::BootId,
};
use monitor_proto::decode_event;

use crate::{
    actor::Actor,
    rig::{DEADLINE, LIMITS, Rig},
};

/// Found nowhere else. Not a word that a rule knows by itself.
const CANARY: &str = "kanarienvogel-Q7x9";

/// Ways to give a program a secret; `SECRET` stands for it. The programs need not be
/// there: a stand-in of their name does nothing.
const WAYS: &[&str] = &[
    "mysql -u root -pSECRET shop",
    "mysql --password=SECRET",
    "env PGPASSWORD=SECRET true",
    "sh -c 'export API_TOKEN=\"SECRET\"; true'",
    "sh -c \"sh -c 'curl -u bob:SECRET http://localhost/'\"",
    "curl -H 'Authorization: Bearer SECRET' http://localhost/",
    "curl -H 'Cookie: sid=SECRET' http://localhost/",
    "curl 'http://bob:SECRET@localhost/?token=SECRET'",
    "sshpass -p SECRET true",
    "smbclient -U bob%SECRET //h/s",
    "docker login -u bob -p SECRET",
    "kubectl create secret generic a --from-literal=b=SECRET",
    "vault kv put secret/a b=SECRET",
    "openssl rsa -passin pass:SECRET",
    "sh -c 'echo bob:SECRET | chpasswd'",
    "sh -c 'echo SECRET | sudo -S true'",
    "sh -c 'printf x > /dev/null # -----BEGIN PRIVATE KEY-----SECRET'",
    "./token=SECRET",
    "./script-password=SECRET",
];

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn worker(rig: &Rig, folder: &Path, counters: &Arc<Counters>) -> Worker<ThisHost> {
    let origin = Origin {
        agent: "jump-1".parse().unwrap(),
        boot: BootId::from_parts(UnixNs(1), 1),
    };
    let (spool, recovered) = Spool::open(&folder.join("spool.db"), origin.boot, 1 << 30).unwrap();
    let sessions = SharedSessions::default();
    let labels = SharedLabels::open(&folder.join("state.db")).unwrap();
    let host = ThisHost::open(rig.probes.clone()).unwrap();
    let parts = Parts {
        attributor: Attributor::new(origin.clone(), sessions.clone(), labels, host),
        origin,
        spool: spool.into(),
        redactor: Redactor::open(&folder.join("redaction.key"))
            .unwrap()
            .into(),
        sessions,
        marks: rig.probes.clone(),
        counters: Arc::clone(counters),
        clock: Arc::new(SystemClock),
    };
    Worker::new(parts, recovered, "e1".to_owned())
}

/// Reads both rings up to the end of the rig's session; how many records held
/// the canary.
fn read(rig: &mut Rig, worker: &mut Worker<ThisHost>) -> usize {
    let started = std::time::Instant::now();
    let (mut planted, mut ended) = (0, false);
    while !ended {
        assert!(started.elapsed() < DEADLINE, "the session did not end");
        rig.rings
            .priority
            .wait(std::time::Duration::from_millis(20))
            .unwrap();
        for ring in [&mut rig.rings.priority, &mut rig.rings.bulk] {
            let batch = ring.read_batch(LIMITS);
            let ours: Vec<&[u8]> = batch
                .records()
                .filter(|bytes| decode(bytes).unwrap().header().session == rig.mark)
                .collect();
            planted += ours.iter().filter(|bytes| holds(bytes)).count();
            let is_end = |bytes: &&[u8]| matches!(decode(bytes), Ok(Record::SessionEnded(_)));
            ended |= ours.iter().any(is_end);
            worker.take_records(ours.into_iter(), TimeOffset::now());
            let mut closed = worker.close();
            closed.write().unwrap();
            worker.finish(closed);
            let cursor = batch.cursor();
            ring.commit(cursor);
        }
    }
    planted
}

fn holds(bytes: &[u8]) -> bool {
    let canary = CANARY.as_bytes();
    bytes.windows(canary.len()).any(|found| found == canary)
}

/// Stand-ins for programs that this machine may not have, and files whose names
/// hold the secret.
fn stand_ins(folder: &Path) {
    for name in [
        "mysql",
        "curl",
        "sshpass",
        "smbclient",
        "docker",
        "kubectl",
        "vault",
        "openssl",
        "chpasswd",
        "sudo",
    ] {
        std::os::unix::fs::symlink("/bin/true", folder.join(name)).unwrap();
    }
    fs::copy("/bin/true", folder.join(format!("token={CANARY}"))).unwrap();
    let script = folder.join(format!("script-password={CANARY}"));
    fs::write(&script, "#!/bin/sh\n:\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(script, mode).unwrap();
}

#[test]
fn planted_secret_is_nowhere_on_disk_in_metrics_or_in_logs() {
    let Some(mut rig) = Rig::new() else { return };
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _told = tracing::subscriber::set_default(subscriber);
    let (state, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    stand_ins(programs.path());
    let mut script = format!("cd {0}; PATH={0}:$PATH; ", programs.path().display());
    for way in WAYS {
        let way = way.replace("SECRET", CANARY);
        let _ = write!(script, "{way} > /dev/null 2>&1 < /dev/null; ");
    }
    let counters = Arc::<Counters>::default();
    let mut worker = worker(&rig, state.path(), &counters);
    let actor = Actor::shell(&format!("{script} true")).marked(&rig.probes, rig.mark);
    actor.act();
    let planted = read(&mut rig, &mut worker);
    assert!(planted >= WAYS.len(), "the kernel told {planted}");

    let reader = SpoolReader::open(&state.path().join("spool.db")).unwrap();
    let (mut after, mut events) = (0, Vec::<Event>::new());
    while let Some(batch) = reader.next(after).unwrap() {
        after = batch.number;
        for event in &batch.events {
            let event_of = decode_event(event).unwrap();
            assert!(!holds(event), "in the bytes of the uplink: {event_of:?}");
            events.push(event_of);
        }
    }
    let redacted = events
        .iter()
        .filter(|event| matches!(event.action, Action::Exec { redacted: 1.., .. }))
        .count();
    assert!(redacted >= WAYS.len(), "{redacted}: {events:#?}");
    drop(worker);
    for file in fs::read_dir(state.path()).unwrap() {
        let path = file.unwrap().path();
        assert!(!holds(&fs::read(&path).unwrap()), "in {}", path.display());
    }
    assert!(!holds(counters.to_string().as_bytes()));
    assert!(counters.secrets_removed.get() >= WAYS.len() as u64);
    assert!(!holds(&log.0.lock().unwrap()), "in the log");
}
