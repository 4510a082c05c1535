//! The collector's program as tests of it start it.

use std::{
    path::Path,
    process::{Child, Command, Output},
};

use monitor_model::clock::{Clock as _, SystemClock};
use monitor_transport::{
    identity::Identity,
    pki::{Authority, Leaf},
};

/// What the program says to these arguments, at its end.
pub(crate) fn collector(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_monitor-collector"))
        .args(arguments)
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn signal(to: &Child, signal: &str) {
    let sent = Command::new("kill")
        .args([signal, &to.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// A collector that does not outlive its test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended need not be ended.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Puts the collector's certificate and key into a folder.
pub(crate) fn certify(folder: &Path) {
    let identity: Identity = "monitor://collector/collector".parse().unwrap();
    let authority = Authority::create(folder, SystemClock.now(), 2).unwrap();
    let leaf = Leaf {
        identity: &identity,
        hosts: &["localhost".to_owned()],
        not_before: SystemClock.now(),
        days: 1,
    };
    authority.issue(&leaf, folder).unwrap();
}

/// The configuration that comes with the collector, on any port, with its data in
/// the folder.
pub(crate) fn configuration() -> String {
    monitor_collector::config::DEFAULT
        .replace("127.0.0.1:7443", "127.0.0.1:0")
        .replace("/var/lib/monitor-collector", "data")
}
