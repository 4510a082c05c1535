//! What goes wrong is said: what it was, and what would be right.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use monitor_tests::command::{self, command};
use monitor_tests::poll;
use monitor_tests::stage::lock::{Lock, Patience};
use monitor_tests::stage::network::Network;
use monitor_tests::stage::{Folder, certificates, config};
use monitor_tests::test_stage::{self, TestStage};

/// How long a program may take to give up.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(30);

/// Runs to an end that must be a failure; what it said.
fn failing(program: &mut Command) -> String {
    let mut child = program
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = poll::until(
        "the end of a program that must fail",
        GIVES_UP_WITHIN,
        || Ok(child.try_wait()?),
    );
    if ended.is_err() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(ended.is_ok(), "it did not give up: {said}");
    assert!(!output.status.success(), "it should fail: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// A copy of a configuration file with one text replaced.
fn changed(folder: &Folder, file: &str, from: &str, to: &str) -> std::path::PathBuf {
    let text = fs::read_to_string(folder.at(file)).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}: {text}");
    let copy = folder.at(format!("changed-{file}"));
    fs::write(&copy, text.replace(from, to)).unwrap();
    copy
}

fn run(folder: &Folder, program: &str, file: &Path) -> Command {
    let mut run = command(folder.program(program), ["run", "--config"]);
    run.arg(file);
    run
}

fn has_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn wrong_configuration_names_file_key_and_what_would_be_right() {
    let Some(ground) = test_stage::whole("configuration").unwrap() else {
        return;
    };
    let folder = &ground.stage.folder;
    for (program, file) in [
        ("monitor-agent", "agent.toml"),
        ("monitor-collector", "collector.toml"),
        ("monitor-broker", "broker.toml"),
    ] {
        let unknown = changed(folder, file, "[tls]", "[tsl]");
        for how in ["run", "check-config"] {
            let said = failing(command(folder.program(program), [how, "--config"]).arg(&unknown));
            has_all(&said, &[&unknown.display().to_string(), "tsl", "tls"]);
        }
        let missing = folder.at("no-such-file.toml");
        has_all(
            &failing(&mut run(folder, program, &missing)),
            &["no-such-file.toml"],
        );
        command::stdout(
            command(folder.program(program), ["check-config", "--config"]).arg(folder.at(file)),
        )
        .unwrap();
    }
    let zone = changed(folder, "collector.toml", "10.20.0.0/24", "10.20.0.0/99");
    has_all(
        &failing(&mut run(folder, "monitor-collector", &zone)),
        &["10.20.0.0/99", "changed-collector.toml"],
    );
}

#[test]
fn port_in_use_names_the_port() {
    let Some(ground) = test_stage::whole("port").unwrap() else {
        return;
    };
    let folder = &ground.stage.folder;
    for (program, file) in [
        ("monitor-collector", "collector.toml"),
        ("monitor-broker", "broker.toml"),
    ] {
        let data = format!("{}\"", program.trim_start_matches("monitor-"));
        let other = changed(folder, file, &format!("/{data}"), &format!("/other-{data}"));
        let text = fs::read_to_string(&other).unwrap();
        let listen = text
            .lines()
            .find(|line| line.starts_with("listen"))
            .unwrap();
        let address = listen.split('"').nth(1).unwrap();
        has_all(
            &failing(&mut run(folder, program, &other)),
            &[address, "in use"],
        );
    }
}

#[test]
fn wrong_certificate_is_told_on_both_sides() {
    let Some(mut ground) = test_stage::whole("certificate").unwrap() else {
        return;
    };
    // Of the right authority, in the wrong role.
    let said = refused_reader(
        &ground,
        &[
            ("MONITOR_CERTIFICATE", "agent.pem"),
            ("MONITOR_KEY", "agent.key"),
        ],
    );
    has_all(&said, &["agent"]);
    // Of another authority.
    let folder = ground.stage.folder.clone();
    let other = folder.at("other-pki");
    command::stdout(command(folder.program("monitorctl"), ["pki", "init", "--dir"]).arg(&other))
        .unwrap();
    let mut issue = command(folder.program("monitorctl"), ["pki", "issue", "--dir"]);
    issue.arg(&other).args(["--role", "soc", "--name", "eve"]);
    command::stdout(&mut issue).unwrap();
    let said = refused_reader(
        &ground,
        &[
            ("MONITOR_CERTIFICATE", "../other-pki/eve.pem"),
            ("MONITOR_KEY", "../other-pki/eve.key"),
        ],
    );
    has_all(&said.to_lowercase(), &["certificate"]);
    let said = refused_reader(&ground, &[("MONITOR_CA", "../other-pki/ca.pem")]);
    has_all(&said.to_lowercase(), &["certificate"]);
    // A file that is none, for a service.
    let wrong = changed(
        &folder,
        "collector.toml",
        "pki/collector.pem",
        "collector.toml",
    );
    has_all(
        &failing(&mut run(&folder, "monitor-collector", &wrong)),
        &["collector.toml"],
    );
    ground.stage.services.check().unwrap();
}

/// `monitorctl` with some of its files replaced; it must fail.
fn refused_reader(ground: &TestStage, files: &[(&str, &str)]) -> String {
    certificates_exist(ground);
    let folder = &ground.stage.folder;
    let mut sessions = config::monitorctl(folder, ["sessions"]).unwrap();
    for (variable, file) in files {
        sessions.env(variable, folder.at("pki").join(file));
    }
    failing(&mut sessions)
}

/// A copy of the agent's certificate under a name without digits.
fn certificates_exist(ground: &TestStage) {
    let pki = ground.stage.folder.at("pki");
    for end in ["pem", "key"] {
        fs::copy(
            pki.join(format!("{}.{end}", certificates::AGENT)),
            pki.join(format!("agent.{end}")),
        )
        .unwrap();
    }
}

#[test]
fn agent_without_root_says_what_it_needs() {
    let Some(mut ground) = test_stage::whole("rootless").unwrap() else {
        return;
    };
    let folder = ground.stage.folder.clone();
    ground.stage.services.kill("monitor-agent").unwrap();
    let mut rootless = command(
        "setpriv",
        ["--reuid=65534", "--regid=65534", "--clear-groups"],
    );
    rootless
        .arg(folder.program("monitor-agent"))
        .args(["run", "--config"])
        .arg(folder.at("agent.toml"));
    has_all(&failing(&mut rootless).to_lowercase(), &["root"]);
}

#[test]
fn missing_kernel_feature_is_named_with_what_would_help() {
    let Some(mut ground) = test_stage::whole("feature").unwrap() else {
        return;
    };
    ground.stage.services.kill("monitor-agent").unwrap();
    let folder = &ground.stage.folder;
    // The kernel's type information is hidden from this one process.
    let script = "mount -t tmpfs tmpfs /sys/kernel/btf && exec \"$@\"";
    let mut blind = command(
        "unshare",
        [
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ],
    );
    blind
        .arg(folder.program("monitor-agent"))
        .args(["run", "--config"])
        .arg(folder.at("agent.toml"));
    has_all(&failing(&mut blind), &["BTF", "CONFIG_DEBUG_INFO_BTF"]);
}

#[test]
fn second_agent_says_that_one_runs() {
    let Some(ground) = test_stage::whole("second").unwrap() else {
        return;
    };
    let folder = &ground.stage.folder;
    let said = failing(&mut run(folder, "monitor-agent", &folder.at("agent.toml")));
    has_all(&said, &["agent"]);
    assert!(
        ["already", "running", "in use", "another"]
            .iter()
            .any(|word| said.contains(word)),
        "{said}"
    );
}

#[test]
fn stage_without_root_says_what_needs_it() {
    if !test_stage::can_run() {
        return;
    }
    // A copy where nobody may run it.
    let place = tempfile::tempdir_in("/var/tmp").unwrap();
    let copy = place.path().join("monitor-stage");
    fs::copy(env!("CARGO_BIN_EXE_monitor-stage"), &copy).unwrap();
    command::stdout(command("chmod", ["755"]).arg(place.path()).arg(&copy)).unwrap();
    let mut rootless = command(
        "setpriv",
        ["--reuid=65534", "--regid=65534", "--clear-groups"],
    );
    rootless.arg(&copy).arg("monitor-demo-rootless");
    has_all(&failing(&mut rootless), &["root is needed", "sudo"]);
}

#[test]
fn range_that_is_in_use_is_refused_with_its_route() {
    if !test_stage::can_run() {
        return;
    }
    let _lock = Lock::take(Patience::Wait(Duration::from_secs(600))).unwrap();
    let _route = Route::add();
    let text = Network::lay().unwrap_err().to_string();
    has_all(
        &text,
        &[
            "10.20.0.0/24",
            "10.20.0.0/16",
            "routed on this machine already",
        ],
    );
}

/// A route over the demo's addresses, taken away in any case.
struct Route;

impl Route {
    fn add() -> Self {
        command::stdout(&mut command(
            "ip",
            ["route", "add", "blackhole", "10.20.0.0/16"],
        ))
        .unwrap();
        Self
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        let removed = command::stdout(&mut command(
            "ip",
            ["route", "del", "blackhole", "10.20.0.0/16"],
        ));
        if let Err(error) = removed {
            eprintln!("{error:#}");
        }
    }
}

#[test]
fn service_that_ends_is_told_with_its_last_words() {
    let Some(mut ground) = test_stage::whole("ends").unwrap() else {
        return;
    };
    let pid = ground.stage.services.pid("monitor-collector").unwrap();
    monitor_tests::processes::Process::of(pid).unwrap().kill();
    let told = poll::until("the death of the collector", GIVES_UP_WITHIN, || {
        Ok(ground.stage.services.check().err())
    })
    .unwrap();
    has_all(
        &told.to_string(),
        &["monitor-collector", "ended by itself", "last lines"],
    );
}
