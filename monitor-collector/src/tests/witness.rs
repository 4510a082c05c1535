//! A witness beside the collector: over real TLS, with real files, and both histories of a fork.

use std::net::SocketAddr;

use monitor_ledger::{
    check::{CheckError, Report, Trust, file},
    checkpoint::sign,
    cosignature::{self, CosigningKey, WitnessKey},
    proof::Tree,
};
use monitor_model::{clock::UnixNs, id::Source, id::TenantId};
use monitor_proto::v1::{
    GetCheckpointRequest, GetCheckpointResponse, evidence_service_client::EvidenceServiceClient,
};
use monitor_witness::{
    config::Config as WitnessConfig,
    server::Bound,
    store::{Beginning, Store},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    ledger::{Ledger, cosigned},
    testing::{credential, event_id, judged, log_key},
    witness::{
        link::{Answer, Link},
        submission,
    },
};

/// A witness in this process, over TLS.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Running {
    async fn start(scene: &Scene, port: u16, beginning: Beginning) -> Self {
        let path = scene.path().join("witness.key");
        if !path.exists() {
            key().store(&path).unwrap();
        }
        let files = scene.files("monitor://collector/witness");
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\ndata_dir = {:?}\nkey = {path:?}\n[tls]\ncertificate = {:?}\nkey = {:?}\n[limits]\nbody_bytes_max = 65536\nlogs_max = 10\nrequests_per_minute = 100000\n[[log]]\nkey = {:?}\norigin_prefix = \"monitor.test/\"\n",
            scene.path().join("witness-data"),
            files.certificate,
            files.key,
            log_key().signer("acme").unwrap().verifier().as_str(),
        );
        let config = WitnessConfig::parse(Path::new("/test/witness.toml"), &text).unwrap();
        let clock = Arc::new(SystemClock);
        let bound = Bound::new(&config, clock, beginning).await.unwrap();
        let address = bound.address();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(bound.serve(stop.clone()));
        Self {
            address,
            stop,
            serving,
        }
    }

    async fn end(self) -> u16 {
        self.stop.cancel();
        self.serving.await.unwrap();
        self.address.port()
    }
}

fn key() -> CosigningKey {
    CosigningKey::new("witness.test", &[9; 32]).unwrap()
}

/// What the collector's configuration says of it.
fn ledger_table(scene: &Scene, port: u16) -> String {
    format!(
        "[ledger.witness]\nurl = \"https://localhost:{port}\"\nkey = {:?}\nca = {:?}\ntimeout_seconds = 5\nevery_seconds = 1\n",
        key().verifier().as_str(),
        scene.path().join("ca/ca.pem"),
    )
}

fn config(scene: &Scene, port: u16) -> crate::config::Witness {
    let config = scene.config_of("", &ledger_table(scene, port));
    config.witness.unwrap()
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn reads(first: u64, last: u64, path: &str) -> Vec<Event> {
    let read = |number| {
        let id = event_id("jump-1", Source::Bulk { cpu: 0 }, number);
        credential(id, "acme", path)
    };
    (first..=last).map(read).collect()
}

/// A ledger of so many entries below a folder, all signed with the collector's key.
fn history(folder: &Path, entries: u64, path: &str) {
    let signer = log_key().signer("acme").unwrap();
    let mut ledger = Ledger::open(folder, &acme(), Some(signer)).unwrap();
    let first = ledger.head().position + 1;
    for (position, event) in (first..).zip(reads(first, entries, path)) {
        let stored_at = UnixNs(1_000 + position);
        ledger.append(judged(event), stored_at).unwrap();
    }
    ledger.seal(UnixNs(0)).unwrap();
}

async fn checkpoint(soc: &mut EvidenceServiceClient<Channel>) -> GetCheckpointResponse {
    let tenant = "acme".to_owned();
    let answer = soc.get_checkpoint(GetCheckpointRequest { tenant }).await;
    answer.unwrap().into_inner()
}

/// Waits until so many entries are cosigned, and gives the note. To look adds
/// entries: what was read.
async fn cosigned_at(soc: &EvidenceServiceClient<Channel>, size: u64) -> Vec<u8> {
    eventually(async || {
        let answer = checkpoint(&mut soc.clone()).await;
        (answer.cosigned_size >= size).then_some(answer.cosigned_note)
    })
    .await
}

fn verified(folder: &Path, witness: &WitnessKey) -> Result<Report, CheckError> {
    let trust = Trust {
        keys: vec![log_key().signer("acme").unwrap().verifier().clone()],
        witnesses: vec![witness.clone()],
        ..Trust::default()
    };
    file::check(&Ledger::path(folder, &acme()), "acme", &trust)
}

/// Has the first checkpoint of a ledger signed.
async fn signed(link: &mut Link, folder: &Path) -> Vec<u8> {
    let first = submission::prepare(folder, &acme(), 0).unwrap().unwrap();
    let Answer::Signed(lines) = link.post(first.body).await.unwrap() else {
        panic!("the first checkpoint is signed");
    };
    cosignature::join(&first.note, &lines, &key().verifier()).unwrap()
}

/// A collector with this witness, and who looks at its evidence.
async fn collector(scene: &Scene, port: u16) -> (Collector, EvidenceServiceClient<Channel>) {
    let config = scene.config_of("", &ledger_table(scene, port));
    let collector = Collector::start(config, Arc::new(SystemClock))
        .await
        .unwrap();
    let channel = scene.dial("monitor://soc/carol", &collector).await;
    (collector, EvidenceServiceClient::new(channel))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_ledger_that_grows_is_cosigned_and_both_restarts_go_on() {
    let scene = Scene::new();
    let witness = Running::start(&scene, 0, Beginning::New).await;
    let port = witness.address.port();
    let (running, soc) = collector(&scene, port).await;
    let mut agent = Agent::connect(&scene, &running, "jump-1").await;
    agent.send(1, &reads(1, 300, "/srv/key")).await;
    agent.acked(1).await;
    let note = cosigned_at(&soc, 300).await;
    let cosigned = cosignature::open(&note, &key().verifier()).unwrap();
    assert_eq!(cosigned.checkpoint.origin, "monitor.test/acme");
    // The witness is away: nothing waits for it.
    witness.end().await;
    agent.send(2, &reads(301, 400, "/srv/key")).await;
    agent.acked(2).await;
    eventually(async || (checkpoint(&mut soc.clone()).await.size >= 400).then_some(())).await;
    let away = checkpoint(&mut soc.clone()).await;
    assert!((300..400).contains(&away.cosigned_size), "{away:?}");
    let witness = Running::start(&scene, port, Beginning::GoesOn).await;
    cosigned_at(&soc, 400).await;
    drop(agent);
    running.drain().await;
    // What was cosigned is forgotten here: the witness tells the size.
    std::fs::remove_file(cosignature::beside(&Ledger::path(
        &scene.data_dir(),
        &acme(),
    )))
    .unwrap();
    let (running, soc) = collector(&scene, port).await;
    cosigned_at(&soc, 400).await;
    running.drain().await;
    let report = verified(&scene.data_dir(), &key().verifier()).unwrap();
    assert!(
        report.records >= report.cosigned && report.cosigned >= 400,
        "{report:?}"
    );
    assert_eq!(report.witness, "witness.test");
    witness.end().await;
    let store = Store::open(&scene.path().join("witness-data"), Beginning::GoesOn).unwrap();
    assert_eq!(store.refused("monitor.test/acme").unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_is_refused_by_the_witness_and_found_by_the_check() {
    let scene = Scene::new();
    let witness = Running::start(&scene, 0, Beginning::New).await;
    let mut link = Link::new(&config(&scene, witness.address.port())).unwrap();
    let told = scene.path().join("told");
    history(&told, 300, "/srv/acme/key");
    let note = signed(&mut link, &told).await;
    cosigned::store(&told, &acme(), &note).unwrap();
    // Who has the collector's key and its machine writes other histories: as
    // long, longer, and shorter. Each is whole by all that the key can sign.
    for entries in [300, 400, 200] {
        let forged = scene.path().join(format!("forged-{entries}"));
        history(&forged, entries, "/srv/acme/none");
        let unsigned = verified(&forged, &key().verifier()).unwrap();
        assert_eq!((unsigned.witness.as_str(), unsigned.unsigned), ("", 0));
        cosigned::store(&forged, &acme(), &note).unwrap();
        let error = verified(&forged, &key().verifier()).unwrap_err();
        assert!(error.to_string().contains("cosigned"), "{error}");
    }
    for (entries, old, expected) in [
        (300, 300, 409),
        (300, 0, 409),
        (400, 300, 422),
        (400, 0, 409),
        (200, 0, 409),
    ] {
        let forged = scene.path().join(format!("forged-{entries}"));
        let body = submission::prepare(&forged, &acme(), old).unwrap().unwrap();
        match link.post(body.body).await.unwrap() {
            Answer::Size(size) => assert_eq!((expected, size), (409, 300)),
            Answer::Refused { status, .. } => assert_eq!(status, expected),
            Answer::Signed(_) => panic!("{entries} from {old} is signed"),
        }
    }
    // The history that was told goes on.
    history(&told, 500, "/srv/acme/key");
    let next = submission::prepare(&told, &acme(), 300).unwrap().unwrap();
    assert!(matches!(
        link.post(next.body).await.unwrap(),
        Answer::Signed(_)
    ));
    assert_eq!(verified(&told, &key().verifier()).unwrap().cosigned, 300);
    witness.end().await;
    let store = Store::open(&scene.path().join("witness-data"), Beginning::GoesOn).unwrap();
    assert_eq!(store.refused("monitor.test/acme").unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_over_another_history_takes_events_and_is_not_cosigned() {
    let scene = Scene::new();
    let witness = Running::start(&scene, 0, Beginning::New).await;
    let port = witness.address.port();
    let mut link = Link::new(&config(&scene, port)).unwrap();
    let told = scene.path().join("told");
    history(&told, 300, "/srv/acme/key");
    let note = signed(&mut link, &told).await;
    // What the collector finds has the same key, the same length, and what was cosigned.
    history(&scene.data_dir(), 300, "/srv/acme/none");
    cosigned::store(&scene.data_dir(), &acme(), &note).unwrap();
    let (running, soc) = collector(&scene, port).await;
    let mut agent = Agent::connect(&scene, &running, "jump-1").await;
    agent.send(1, &reads(301, 310, "/srv/key")).await;
    agent.acked(1).await;
    let state = scene.path().join("witness-data");
    eventually(async || {
        let store = Store::open(&state, Beginning::GoesOn).unwrap();
        (store.refused("monitor.test/acme").unwrap().len() == 1).then_some(())
    })
    .await;
    agent.send(2, &reads(311, 320, "/srv/key")).await;
    agent.acked(2).await;
    assert_eq!(checkpoint(&mut soc.clone()).await.cosigned_note, note);
    running.drain().await;
    witness.end().await;
    assert!(verified(&scene.data_dir(), &key().verifier()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_witness_did_not_sign_does_not_pass_for_it() {
    let folder = tempfile::tempdir().unwrap();
    history(folder.path(), 3, "/srv/acme/key");
    let body = submission::prepare(folder.path(), &acme(), 0)
        .unwrap()
        .unwrap();
    let line = key()
        .cosign(&cosignature::text(&body.note).unwrap(), 7)
        .unwrap();
    let note = [body.note.as_slice(), &line].concat();
    let place = cosignature::beside(&Ledger::path(folder.path(), &acme()));
    let check = |note: &[u8]| {
        std::fs::write(&place, note).unwrap();
        verified(folder.path(), &key().verifier())
    };
    let report = check(&note).unwrap();
    assert_eq!(
        (report.cosigned, report.witness.as_str()),
        (3, "witness.test")
    );
    assert_eq!(report.cosigned_at, Some(7_000_000_000));
    for place in 0..note.len() {
        let mut bent = note.clone();
        bent[place] ^= 1;
        let is_taken = check(&bent).is_ok_and(|report| !report.witness.is_empty());
        assert!(!is_taken, "byte {place}");
        let cut = check(&note[..place]);
        assert!(
            !cut.is_ok_and(|report| !report.witness.is_empty()),
            "{place} bytes"
        );
    }
    // A signature over no records is none over these.
    let empty = Tree {
        size: 0,
        root: monitor_ledger::merkle::empty_root(),
    };
    let nothing = sign(&log_key().signer("acme").unwrap(), &empty).unwrap();
    let text = cosignature::text(&nothing).unwrap();
    let line = key().cosign(&text, 7).unwrap();
    let report = check(&[nothing.as_slice(), &line].concat()).unwrap();
    assert_eq!((report.cosigned, report.witness.as_str()), (0, ""));
    // Another witness's signature is none of this one's.
    let other = CosigningKey::new("witness.test", &[8; 32]).unwrap();
    let line = other
        .cosign(&cosignature::text(&body.note).unwrap(), 7)
        .unwrap();
    let report = check(&[body.note.as_slice(), &line].concat()).unwrap();
    assert_eq!((report.cosigned, report.witness.as_str()), (3, ""));
}
