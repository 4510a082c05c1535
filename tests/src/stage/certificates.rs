//! Certificates for mTLS, made on the spot by `monitorctl pki`, and the key of the
//! ledgers.

use anyhow::Result;

use super::Folder;
use super::network::FAR;
use crate::command::{self, command};

/// The name of the agent, which is the name of the host.
pub const AGENT: &str = "jump-1";
/// The analyst at the second terminal.
pub const ANALYST: &str = "soc";
/// What a server of the stage is dialled by.
pub const LOCAL: &[&str] = &[
    "--host",
    "localhost",
    "--host",
    "127.0.0.1",
    "--host",
    FAR.address,
];
/// Who registers grants and asks for certificates.
pub const ADMIN: &str = "admin";

/// Makes a CA, a certificate for each role, and the key of the ledgers.
///
/// # Errors
/// `monitorctl` failed, with what it said.
pub fn make(folder: &Folder) -> Result<()> {
    let pki = folder.at("pki");
    command::stdout(command(folder.program("monitorctl"), ["pki", "init", "--dir"]).arg(&pki))?;
    let roles: [(&str, &str, &[&str]); 5] = [
        ("agent", AGENT, &[]),
        ("collector", "collector", LOCAL),
        ("broker", "broker", LOCAL),
        ("soc", ANALYST, &[]),
        ("admin", ADMIN, &[]),
    ];
    for (role, name, more) in roles {
        issue(folder, role, name, more)?;
    }
    make_ledger_key(folder)
}

/// Makes the key that signs the ledgers' checkpoints.
fn make_ledger_key(folder: &Folder) -> Result<()> {
    let mut key = command(folder.program("monitor-collector"), ["ledger-key", "--out"]);
    key.arg(folder.ledger_key())
        .args(["--name", "demo.example"]);
    command::stdout(&mut key).map(drop)
}

/// Makes one more certificate.
///
/// # Errors
/// `monitorctl` failed, with what it said.
pub fn issue(folder: &Folder, role: &str, name: &str, more: &[&str]) -> Result<()> {
    let mut issue = command(folder.program("monitorctl"), ["pki", "issue", "--dir"]);
    issue
        .arg(folder.at("pki"))
        .args(["--role", role, "--name", name])
        .args(more);
    command::stdout(&mut issue).map(drop)
}
