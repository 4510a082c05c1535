//! The program itself: configuration, a run, SIGTERM, and the check of its ledgers.

#![expect(clippy::unwrap_used, reason = "tests may")]

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

mod program;

use program::{Running, certify, collector, configuration, signal, text};

/// A folder with certificates and a configuration.
fn set_up(folder: &Path) -> String {
    certify(folder);
    let key = folder.join("ledger.key").display().to_string();
    let made = collector(&["ledger-key", "--out", &key, "--name", "monitor.example"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let path = folder.join("collector.toml");
    std::fs::write(&path, configuration()).unwrap();
    path.display().to_string()
}

/// Runs, where 256 descriptors may be open, and 512 if one asks.
fn started(config: &str) -> Running {
    let child = Command::new("bash")
        .args(["-c", "ulimit -Sn 256; ulimit -Hn 512; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_monitor-collector"))
        .args(["run", "--config", config, "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn();
    Running(child.unwrap())
}

/// The soft limit of a process (proc(5)).
fn open_files_max(of: &Child) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", of.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    line.unwrap().split_whitespace().nth(3).unwrap().to_owned()
}

#[test]
fn it_runs_until_sigterm_and_its_ledgers_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let config = set_up(folder.path());
    let checked = collector(&["check-config", "--config", &config]);
    let rules = monitor_collector::alert::rule::STANDARD.matches("\n[[rule]]\n");
    let expected = format!("ok, 2 tenants, 1 credentials, {} rules", rules.count());
    let said = text(&checked.stdout);
    assert!(
        checked.status.success() && said.contains(&expected),
        "{said}"
    );
    let mut running = started(&config);
    let (listen, began) = (folder.path().join("data/listen"), Instant::now());
    while !listen.exists() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it never listened"
        );
        assert!(running.0.try_wait().unwrap().is_none(), "it ended early");
        std::thread::yield_now();
    }
    assert_eq!(open_files_max(&running.0), "512");
    let second = collector(&["run", "--config", &config]);
    assert!(!second.status.success());
    let said = text(&second.stderr);
    assert!(said.contains("another collector is running"), "{said}");
    let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let mut until = |text: &str| {
        let found = lines.find(|line| line.as_ref().unwrap().contains(text));
        found
            .unwrap_or_else(|| panic!("it never said {text:?}"))
            .unwrap()
    };
    let said = until("Few files and connections may be open");
    assert!(said.contains("\"most\":512"), "{said}");
    let good = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, good.replace("any_grant\"  ", "anybody\"  ")).unwrap();
    signal(&running.0, "-HUP");
    let said = until("Configuration refused");
    assert!(
        said.contains("tenant.zone.admits") && said.contains("anybody"),
        "{said}"
    );
    std::fs::write(&config, good.replace("id = \"acme\"", "id = \"initech\"")).unwrap();
    signal(&running.0, "-HUP");
    let said = until("Configuration reloaded.");
    assert!(said.contains("\"policy\":\"2-"), "{said}");
    signal(&running.0, "-TERM");
    until("everything taken is on disk");
    assert!(running.0.wait().unwrap().success());
    let data = folder.path().join("data").display().to_string();
    let verified = collector(&["verify", "--data-dir", &data]);
    let said = text(&verified.stdout);
    assert!(
        verified.status.success()
            && said.contains("acme: ok, 0 entries")
            && said.contains("provider: ok"),
        "{said}"
    );
    let judged = collector(&["rejudge", "--data-dir", &data]);
    let said = text(&judged.stdout);
    assert!(
        judged.status.success() && said.contains("initech: 0 verdicts come out the same"),
        "{said}"
    );
}

#[test]
fn what_is_wrong_is_said_once_and_the_exit_code_tells() {
    let folder = tempfile::tempdir().unwrap();
    let config = set_up(folder.path());
    let text_before = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text_before.replace("silent_seconds = 3", "silent_seconds = 1"),
    )
    .unwrap();
    let before = text_before
        .lines()
        .take_while(|line| !line.starts_with("silent_seconds"));
    let line = before.count() + 1;
    let checked = collector(&["check-config", "--config", &config]);
    let said = text(&checked.stderr);
    assert!(
        !checked.status.success()
            && said.contains(&format!("collector.toml:{line}: alert.silent_seconds is 1"))
            && said.contains("3 to 86400"),
        "{said}"
    );
    let missing = collector(&["check-config", "--config", "/nonexistent.toml"]);
    let said = text(&missing.stderr);
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
    let verified = collector(&["verify", "--data-dir", &folder.path().display().to_string()]);
    assert!(!verified.status.success());
}

#[test]
fn the_default_configuration_is_printed() {
    let printed = collector(&["config", "--default"]);
    assert_eq!(text(&printed.stdout), monitor_collector::config::DEFAULT);
}
