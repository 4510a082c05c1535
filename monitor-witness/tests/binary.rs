//! The program itself: keys, configuration, requests over plain connections, and kill -9.

#![expect(clippy::unwrap_used, reason = "tests may")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use monitor_ledger::{
    Hash,
    checkpoint::sign,
    cosignature::{self, WitnessKey},
    key::{LogKey, LogSigner},
    merkle::{empty_root, leaf_hash, node_hash},
    proof::Tree,
};
use monitor_witness::{config::DEFAULT, store::Store};

/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(20);

fn witness(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_monitor-witness"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn signer() -> LogSigner {
    let key = LogKey::new("monitor.example", &[7; 32]).unwrap();
    key.signer("acme").unwrap()
}

/// A program that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

struct Scene {
    folder: tempfile::TempDir,
    config: String,
    key: WitnessKey,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("witness.key").display().to_string();
        let made = witness(&["key", "--out", &key, "--name", "witness.example"]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        let shown = witness(&["show-key", "--key", &key]);
        assert_eq!(shown.stdout, made.stdout);
        let verifier = signer().verifier().as_str().to_owned();
        let config = DEFAULT
            .replace("127.0.0.1:7445", "127.0.0.1:0")
            .replace("/var/lib/monitor-witness", "data");
        let config = format!("{config}\n[[log]]\nkey = {verifier:?}\n");
        let path = folder.path().join("witness.toml");
        std::fs::write(&path, config).unwrap();
        Self {
            key: WitnessKey::parse(&text(&made.stdout)).unwrap(),
            config: path.display().to_string(),
            folder,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the program and waits until it listens.
    fn start(&self, more: &[&str]) -> (Running, String) {
        let listen = self.data().join("listen");
        _ = std::fs::remove_file(&listen);
        let child = Command::new(env!("CARGO_BIN_EXE_monitor-witness"))
            .args(["run", "--config", &self.config])
            .args(more)
            .stderr(Stdio::null())
            .spawn();
        let mut running = Running(child.unwrap());
        let address = until(|| {
            assert!(running.0.try_wait().unwrap().is_none(), "it ended early");
            let address = std::fs::read_to_string(&listen).ok()?;
            address.ends_with('\n').then(|| address.trim().to_owned())
        });
        (running, address)
    }
}

fn until<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(
            began.elapsed() < DEADLINE,
            "it did not come to hold in time"
        );
        std::thread::yield_now();
    }
}

/// A log of up to two leaves, whose proofs can be written by hand.
fn tree(size: u64) -> (Tree, Vec<Hash>) {
    let (one, two) = (leaf_hash(b"one"), leaf_hash(b"two"));
    let root = match size {
        0 => empty_root(),
        1 => one,
        _ => node_hash(&one, &two),
    };
    (Tree { size, root }, vec![two])
}

fn body(old: u64, proof: &[Hash], tree: &Tree) -> Vec<u8> {
    let hashes: Vec<String> = proof.iter().map(|hash| STANDARD.encode(hash)).collect();
    let lines = [vec![format!("old {old}")], hashes].concat();
    let head = format!("{}\n\n", lines.join("\n"));
    [head.into_bytes(), sign(&signer(), tree).unwrap()].concat()
}

fn request(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nHost: witness\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Head and body of the answer.
fn ask(address: &str, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn post(address: &str, body: &[u8]) -> (String, String) {
    ask(address, &request(body))
}

/// The newest size that is on disk.
fn known(data: &Path) -> Option<u64> {
    let path = Store::path(data);
    let connection =
        rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .ok()?;
    let size: Option<i64> = connection
        .query_row("SELECT max(size) FROM log", [], |row| row.get(0))
        .ok()?;
    size.and_then(|size| u64::try_from(size).ok())
}

#[test]
fn every_answer_has_the_status_of_the_protocol() {
    let scene = Scene::new();
    let checked = witness(&["check-config", "--config", &scene.config]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let (_running, address) = scene.start(&["--new"]);
    let (one, _) = tree(1);
    let (two, proof) = tree(2);
    let status = |body: &[u8], status: &str| {
        let (head, body) = post(&address, body);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{head}\n{body}"
        );
        (head, body)
    };
    status(b"old 0\n", "400");
    status(&body(2, &[], &one), "400");
    let stranger = LogKey::new("other.example", &[7; 32]).unwrap();
    let strange = sign(&stranger.signer("acme").unwrap(), &one).unwrap();
    status(&[b"old 0\n\n", strange.as_slice()].concat(), "404");
    let forged = LogKey::new("monitor.example", &[8; 32]).unwrap();
    let forged = sign(&forged.signer("acme").unwrap(), &one).unwrap();
    status(&[b"old 0\n\n", forged.as_slice()].concat(), "403");
    let (_, lines) = status(&body(0, &[], &one), "200");
    let note = sign(&signer(), &one).unwrap();
    let joined = cosignature::join(&note, lines.as_bytes(), &scene.key).unwrap();
    cosignature::open(&joined, &scene.key).unwrap();
    let (head, size) = status(&body(0, &[], &two), "409");
    assert!(
        head.to_lowercase()
            .contains("content-type: text/x.tlog.size"),
        "{head}"
    );
    assert_eq!(size, "1\n");
    let other = Tree {
        size: 1,
        root: [5; 32],
    };
    let (head, size) = status(&body(1, &[], &other), "409");
    assert!(head.to_lowercase().contains("text/x.tlog.size"), "{head}");
    assert_eq!(size, "1\n");
    status(&body(1, &[[5; 32]], &two), "422");
    status(&body(1, &proof, &two), "200");
    status(&vec![b'a'; 70_000], "413");
    let (head, _) = ask(
        &address,
        b"GET /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n",
    );
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
    let (head, _) = ask(
        &address,
        b"GET / HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n",
    );
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    let logs = text(&witness(&["logs", "--config", &scene.config]).stdout);
    assert!(logs.starts_with("monitor.example/acme 2 "), "{logs}");
    assert!(logs.contains("2 contradictions"), "{logs}");
    let kept = witness(&[
        "refused",
        "--config",
        &scene.config,
        "--log",
        "monitor.example/acme",
    ]);
    assert_eq!(
        text(&kept.stdout).matches("monitor.example/acme\n").count(),
        2
    );
}

#[test]
fn what_was_on_disk_when_it_was_killed_is_gone_on_from() {
    let scene = Scene::new();
    let (mut running, address) = scene.start(&["--new"]);
    // The answer is never read: it is killed when the disk has the new size.
    let mut stream = TcpStream::connect(&address).unwrap();
    stream
        .write_all(&request(&body(0, &[], &tree(1).0)))
        .unwrap();
    until(|| known(&scene.data()).filter(|size| *size == 1));
    running.0.kill().unwrap();
    running.0.wait().unwrap();
    drop(stream);
    // It does not begin anew by itself, nor over what is there.
    let again = witness(&["run", "--config", &scene.config, "--new"]);
    assert!(text(&again.stderr).contains("start without --new"));
    let (_running, address) = scene.start(&[]);
    let (head, size) = post(&address, &body(0, &[], &tree(1).0));
    assert!(
        head.starts_with("HTTP/1.1 409") && size == "1\n",
        "{head}\n{size}"
    );
    let (two, proof) = tree(2);
    // The other history that the kill could have let in.
    let (head, _) = post(&address, &body(0, &[], &two));
    assert!(head.starts_with("HTTP/1.1 409"), "{head}");
    let (head, _) = post(&address, &body(1, &[], &tree(1).0));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (head, _) = post(&address, &body(1, &proof, &two));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[test]
fn a_witness_that_lost_its_state_does_not_start() {
    let scene = Scene::new();
    let run = witness(&["run", "--config", &scene.config]);
    let said = text(&run.stderr);
    assert!(!run.status.success() && said.contains("--new"), "{said}");
    let printed = witness(&["config", "--default"]);
    assert_eq!(text(&printed.stdout), DEFAULT);
}
