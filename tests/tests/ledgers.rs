//! What the scene leaves in the ledgers, checked offline as a client would.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::process::Output;

use monitor_tests::command::{self, command};
use monitor_tests::scene;
use monitor_tests::stage::config;
use monitor_tests::test_stage::{self, TestStage};

/// A client's command line, with the analyst's certificate.
fn monitorctl(ground: &TestStage, arguments: &[&str]) -> Output {
    let folder = &ground.stage.folder;
    let mut monitorctl = config::monitorctl(folder, arguments.iter().copied()).unwrap();
    command::output(&mut monitorctl).unwrap()
}

/// The public half of the key, as it is handed to a client.
fn verifier_key(ground: &TestStage, tenant: &str) -> String {
    let folder = &ground.stage.folder;
    let mut show = command(folder.program("monitor-collector"), ["show-key", "--key"]);
    show.arg(folder.ledger_key()).args(["--tenant", tenant]);
    command::stdout(&mut show).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_client_checks_an_exported_ledger_and_finds_a_change() {
    let Some(mut ground) = test_stage::whole("ledgers").unwrap() else {
        return;
    };
    scene::play(&mut ground.stage, &ground.facts, &ground.timeline).unwrap();
    let client = tempfile::tempdir().unwrap();
    let (key, bundle) = (client.path().join("acme.key"), client.path().join("acme"));
    fs::write(&key, verifier_key(&ground, "acme")).unwrap();
    let exported = monitorctl(
        &ground,
        &["export", "--tenant", "acme", "--dir", text(&bundle)],
    );
    assert!(exported.status.success(), "{}", command::said(&exported));
    let verify = ["verify", text(&bundle), "--verifier-key", text(&key)];
    let verified = monitorctl(&ground, &verify);
    assert!(verified.status.success(), "{}", command::said(&verified));
    // The collector's own files, while it runs: the newest may not be signed yet.
    let data = ground.stage.folder.at("collector");
    let own = monitorctl(&ground, &["verify", text(&data)]);
    assert!(
        matches!(own.status.code(), Some(0 | 4)),
        "{}",
        command::said(&own)
    );
    let entries = files_of(&bundle);
    let largest = entries.iter().max_by_key(|path| size(path)).unwrap();
    let mut bytes = fs::read(largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(largest, bytes).unwrap();
    let broken = monitorctl(&ground, &verify);
    assert_eq!(broken.status.code(), Some(1), "{}", command::said(&broken));
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_of(&path));
        } else {
            files.push(path);
        }
    }
    files
}
