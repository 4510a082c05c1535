//! The configuration files of the three programs, and one for `monitorctl`.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::certificates::{AGENT, ANALYST};
use super::folder::write;
use super::services::{Ports, free_ports};
use super::{BREAK_GLASS_ACCOUNT, Folder, Shape, TENANTS, network};
use crate::command::{command, stdout};

/// Who is registered with the agent, where cases are played.
const DIRECTORY: &str = "directory.toml";

/// Writes them all, with loopback ports that are free.
///
/// # Errors
/// No port is free, or the disk refused.
pub fn write_all(folder: &Folder, shape: Shape, best_tier: Option<&str>) -> Result<Ports> {
    let [collector, broker] = free_ports()?;
    let ports = Ports { collector, broker };
    write(
        &folder.at("broker.toml"),
        &broker_text(folder, ports),
        0o644,
    )?;
    write(
        &folder.at("collector.toml"),
        &collector_text(folder, ports, shape)?,
        0o644,
    )?;
    write(
        &folder.at("agent.toml"),
        &agent_text(folder, ports, shape, best_tier),
        0o644,
    )?;
    if shape.is_for_cases() {
        write(&folder.at(DIRECTORY), &directory_text(), 0o644)?;
    }
    write(
        &folder.at("monitorctl.env"),
        &reader_text(folder, ports),
        0o644,
    )?;
    write(&folder.at("issuer.env"), &issuer_text(folder, ports), 0o644)?;
    Ok(ports)
}

fn tls(folder: &Folder, name: &str) -> String {
    let pki = folder.at("pki");
    let pki = pki.display();
    format!(
        "[tls]\nca = \"{pki}/ca.pem\"\ncertificate = \"{pki}/{name}.pem\"\nkey = \"{pki}/{name}.key\"\n"
    )
}

fn broker_text(folder: &Folder, ports: Ports) -> String {
    format!(
        "listen = \"127.0.0.1:{}\"\n\
         data_dir = \"{root}/broker\"\n\
         krl = \"{krl}\"\n\
         certificate_seconds_max = 3600\n\
         {tls}\
         [collector]\naddress = \"https://localhost:{}\"\n",
        ports.broker,
        ports.collector,
        root = folder.root().display(),
        krl = folder.krl().display(),
        tls = tls(folder, "broker"),
    )
}

/// Two tenants with the same addresses, told apart by interface; and the
/// policy: one access out of scope is told, the second of a session revokes,
/// but where cases are played.
fn collector_text(folder: &Folder, ports: Ports, shape: Shape) -> Result<String> {
    let mut text = format!(
        "listen = \"127.0.0.1:{}\"\n\
         data_dir = \"{root}/collector\"\n\
         {tls}\
         [broker]\naddress = \"https://localhost:{}\"\n\
         [response]\nmode = \"enforce\"\n{most}\
         [ledger]\nkey = \"{key}\"\n",
        ports.collector,
        ports.broker,
        root = folder.root().display(),
        tls = tls(folder, "collector"),
        key = folder.ledger_key().display(),
        most = if shape == Shape::Host { "" } else { NO_STORM },
    );
    if shape == Shape::Host {
        return Ok(text);
    }
    for (tenant, own) in TENANTS.iter().zip(network::OWN) {
        write!(
            text,
            "[[tenant]]\nid = \"{tenant}\"\n  [[tenant.zone]]\n  name = \"lan\"\n  \
             networks = [\"{}\"]\n  interface = \"{}\"\n",
            network::RANGE,
            network::interface(tenant),
        )?;
        if shape.is_for_cases() {
            let networks = own.networks;
            write!(
                text,
                "  [[tenant.zone]]\n  name = \"own\"\n  networks = {networks:?}\n"
            )?;
        }
    }
    if shape.is_for_cases() {
        text.push_str(STANDARD_THAT_TELLS);
        return Ok(text);
    }
    for (id, severity, response, after) in [
        ("out-of-scope", "high", "notify", 1),
        ("out-of-scope-again", "critical", "revoke", 2),
    ] {
        write!(
            text,
            "[[rule]]\nid = \"{id}\"\nverdicts = [\"out_of_scope\"]\n\
             kinds = [\"credential\", \"connect\"]\nseverity = \"{severity}\"\n\
             technique = \"T1078\"\nresponse = \"{response}\"\nafter = {after}\nwindow_seconds = 3600\n"
        )?;
    }
    Ok(text)
}

/// Whoever measures or kills programs cuts off many people one after another:
/// rules may do as much as can be allowed to them.
const NO_STORM: &str = "sessions_max = 100000\nengineers_max = 100000\n";

/// For cases: the rules that come with the collector, all of them, and time for a
/// machine in software emulation to say that it lives. A case goes on after what is out of scope: the two that revoke only tell.
const STANDARD_THAT_TELLS: &str = r#"[alert]
standard = true
silent_seconds = 60
[[rule]]
id = "out-of-scope-again"
verdicts = ["out_of_scope"]
kinds = ["credential", "connect"]
severity = "critical"
technique = "T1078"
response = "notify"
after = 2
window_seconds = 3600
[[rule]]
id = "cascade"
verdicts = ["out_of_scope"]
kinds = ["credential", "connect"]
severity = "critical"
technique = "T1199"
response = "notify"
counted = "tenants"
by = "principal"
after = 2
window_seconds = 86400
"#;

/// The host's own jobs that cases play, registered as an administrator would.
const WORKLOADS: [(&str, &str, &str); 3] = [
    (
        "updates",
        "apt-daily-upgrade.service",
        "upgrades of packages",
    ),
    ("rotation", "logrotate.service", "rotation of logs"),
    (
        "backup",
        "nightly-backup.service",
        "nightly backup of the host",
    ),
];

fn directory_text() -> String {
    let mut text = String::new();
    for (id, unit, purpose) in WORKLOADS {
        // A String takes whatever is written.
        let _ = write!(
            text,
            "[[workload]]\nid = \"{id}\"\nunit = \"{unit}\"\nowner = \"carol\"\n\
             purpose = \"{purpose}\"\nexpires = 2099-01-01T00:00:00Z\n"
        );
    }
    text
}

fn agent_text(folder: &Folder, ports: Ports, shape: Shape, best_tier: Option<&str>) -> String {
    let mut text = String::new();
    if shape.is_for_cases() {
        // A String takes whatever is written.
        let _ = writeln!(text, "directory = \"{}\"", folder.at(DIRECTORY).display());
    }
    text.push_str(&scene_agent_text(folder, ports));
    if let Some(tier) = best_tier {
        // A String takes whatever is written.
        let _ = writeln!(text, "[probes]\nbest_tier = \"{tier}\"");
    }
    // The scene is judged by its own files alone, whatever machine it plays on.
    if shape == Shape::Scene {
        text.push_str("[catalogue]\nenabled = false\n");
    }
    if shape.is_for_cases() {
        let root = folder.root().display();
        for (place, class) in [("cases/{tenant}/**", "case"), ("end/key", "end")] {
            // A String takes whatever is written.
            let _ = write!(
                text,
                "[[watch]]\npattern = \"{root}/{place}\"\nclass = \"{class}\"\n"
            );
        }
    }
    text
}

fn scene_agent_text(folder: &Folder, ports: Ports) -> String {
    format!(
        "state_dir = \"{root}/agent\"\n\
         socket = \"{socket}\"\n\
         pin_dir = \"{root}/bpf\"\n\
         [collector]\naddress = \"https://localhost:{}\"\n\
         {tls}\
         [krl]\npath = \"{krl}\"\n\
         [ssh]\nprincipals_users = [\"nobody\"]\nbreak_glass_accounts = [\"{BREAK_GLASS_ACCOUNT}\"]\n\
         user_ca = \"{ca}\"\n\
         [[watch]]\npattern = \"{root}/srv/{{tenant}}/kubeconfig\"\nclass = \"kubeconfig\"\n",
        ports.collector,
        root = folder.root().display(),
        socket = folder.agent_socket().display(),
        ca = folder.user_ca().display(),
        krl = folder.host_krl().display(),
        tls = tls(folder, AGENT),
    )
}

/// For `monitorctl`, as a soc analyst.
fn reader_text(folder: &Folder, ports: Ports) -> String {
    let pki = folder.at("pki");
    let pki = pki.display();
    format!(
        "export MONITOR_COLLECTOR=https://localhost:{}\n\
         export MONITOR_CA={pki}/ca.pem\n\
         export MONITOR_CERTIFICATE={pki}/{ANALYST}.pem\n\
         export MONITOR_KEY={pki}/{ANALYST}.key\n",
        ports.collector
    )
}

/// For the client commands of `monitor-broker`, as an admin.
fn issuer_text(folder: &Folder, ports: Ports) -> String {
    let pki = folder.at("pki");
    let pki = pki.display();
    format!(
        "export MONITOR_BROKER=https://localhost:{}\n\
         export MONITOR_CA={pki}/ca.pem\n\
         export MONITOR_CERTIFICATE={pki}/admin.pem\n\
         export MONITOR_KEY={pki}/admin.key\n",
        ports.broker
    )
}

/// `monitorctl` with these arguments, as the analyst.
///
/// # Errors
/// The file of its variables cannot be read.
pub fn monitorctl<'a>(
    folder: &Folder,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<Command> {
    let mut monitorctl = command(folder.program("monitorctl"), arguments);
    monitorctl.envs(variables(folder, "monitorctl.env")?);
    Ok(monitorctl)
}

/// What `monitorctl` says to these arguments as JSON, as the analyst: the record,
/// or the last of several.
///
/// # Errors
/// It fails, or says no JSON.
pub fn monitorctl_json<'a>(
    folder: &Folder,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<Value> {
    let mut monitorctl = monitorctl(folder, arguments)?;
    let said = stdout(monitorctl.args(["-o", "json"]))?;
    let last = said.trim().lines().last().unwrap_or_default();
    // One record a line, or one record over several.
    let record = serde_json::from_str(&said).or_else(|_| serde_json::from_str(last));
    record.context(said)
}

/// The variables of an env file, to give to a child.
///
/// # Errors
/// The file cannot be read.
pub fn variables(folder: &Folder, name: &str) -> Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(folder.at(name))?;
    let pairs = text
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    Ok(pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}
