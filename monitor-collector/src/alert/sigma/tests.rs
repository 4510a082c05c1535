use std::time::Duration;

use monitor_model::{
    event::{Action, Destination, Operation, Protocol},
    id::Source,
};

use super::*;
use crate::{
    alert::{
        Answer,
        rule::Rule,
        tests::{alerter_of, answer},
    },
    testing::{credential, entry_of, event, event_id},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/alert/sigma/rules")
}

#[test]
fn it_is_told_which_rules_run_and_which_do_not_and_why() {
    let (rules, files) = read(&folder()).unwrap();
    let ends: Vec<String> = rules
        .iter()
        .map(|rule| {
            rule.id
                .replace("sigma:6f1b1a60-6d0e-4c8f-9a55-0f5b3a5f", "")
        })
        .collect();
    assert_eq!(ends, ["6a01", "6a02", "6a03"]);
    for (path, part) in [
        ("broken.yaml", "no rule: "),
        (
            "category.yml",
            "for category dns_query; known are process_creation",
        ),
        ("no_condition.yml", "undefined identifiers"),
        (
            "parent.yml",
            "not known here: ParentImage; known are Image, CommandLine",
        ),
        ("service.yml", "logs of service sshd"),
        ("twice.yml", "another file has a rule of this id"),
        ("windows.yml", "for product windows; only linux"),
    ] {
        let file = files.iter().find(|file| file.path == path).unwrap();
        let why = file.refused.as_deref().unwrap_or("it runs");
        assert!(why.contains(part), "{path}: {why}");
    }
    let refused = files.iter().filter(|file| file.refused.is_some());
    assert_eq!((files.len(), refused.count()), (10, 7));
    assert_eq!(
        (rules[0].severity, rules[0].technique.as_str()),
        (Severity::High, "T1560.001")
    );
}

#[test]
fn too_many_files_and_folders_too_deep_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut deep = folder.path().to_owned();
    for _ in 0..=DEPTH_MAX {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    assert!(
        read(folder.path())
            .unwrap_err()
            .to_string()
            .contains("8 deep")
    );
    let folder = tempfile::tempdir().unwrap();
    for number in 0..=FILES_MAX {
        fs::write(folder.path().join(format!("{number}.yml")), "").unwrap();
    }
    assert!(
        read(folder.path())
            .unwrap_err()
            .to_string()
            .contains("more than 5000 files")
    );
    let folder = tempfile::tempdir().unwrap();
    let large = usize::try_from(FILE_BYTES_MAX).unwrap() + 1;
    fs::write(folder.path().join("large.yml"), "#".repeat(large)).unwrap();
    let (_, files) = read(folder.path()).unwrap();
    assert!(
        files[0]
            .refused
            .as_deref()
            .unwrap()
            .contains("at most 65536")
    );
}

/// The Sigma rule that an action raises an alert by.
fn told(action: Action, exe: &str) -> Option<String> {
    let (rules, _) = read(&folder()).unwrap();
    let dedupe = Duration::from_secs(60);
    let rules = rules.into_iter().map(|rule| Rule::of_sigma(rule, dedupe));
    let mut alerter = alerter_of(rules.collect());
    let id = event_id("jump-3", Source::Priority { cpu: 0 }, 1);
    let mut event = event(id.clone(), action);
    event.process = credential(id, "acme", "/x").process;
    let process = event.process.as_mut().unwrap();
    process.exe.as_mut().unwrap().text = exe.into();
    match answer(&mut alerter, &entry_of(event, 1)) {
        Answer::Raise(raised) => Some(
            raised
                .alert
                .rule
                .replace("sigma:6f1b1a60-6d0e-4c8f-9a55-0f5b3a5f", ""),
        ),
        Answer::Nothing | Answer::Fold(_) => None,
    }
}

fn ran(argv: &[&str], cut: bool) -> Action {
    let id = event_id("jump-3", Source::Priority { cpu: 0 }, 1);
    let Action::Credential { object, .. } = credential(id, "acme", "/usr/bin/tar").action else {
        panic!("no credential")
    };
    Action::Exec {
        exe: object,
        argv: argv.iter().map(|&argument| argument.into()).collect(),
        argv_bytes: 4,
        argv_truncated: cut,
        redacted: 0,
        argv_digest: None,
        script: None,
        given: "tar".into(),
        interpreter: "".into(),
    }
}

fn connected(address: &str, port: u16) -> Action {
    Action::Connect {
        destination: Destination {
            address: address.parse().unwrap(),
            port,
            protocol: Protocol::Tcp,
            interface: None,
            interface_index: 0,
            net_ns: 1,
            net_ns_name: None,
            mark: 0,
        },
        denied: false,
        scope: None,
    }
}

fn used(operation: Operation, path: &str) -> Action {
    let id = event_id("jump-3", Source::Priority { cpu: 0 }, 1);
    let mut action = credential(id, "acme", path).action;
    if let Action::Credential { operation: how, .. } = &mut action {
        *how = operation;
    }
    action
}

#[test]
fn programs_connections_and_files_raise_alerts_that_name_the_sigma_rule() {
    let keys = "/home/ops/.ssh/authorized_keys";
    for (action, exe, expected) in [
        (
            ran(&["tar", "cf", "/tmp/x", "/etc/ssl"], false),
            "",
            Some("6a01"),
        ),
        (ran(&["tar", "cf", "/srv/x", "/etc/ssl"], false), "", None),
        (
            ran(&["tar", "--list", "/tmp/x", "/etc/ssl"], false),
            "",
            None,
        ),
        // What was cut is not looked at.
        (ran(&["tar", "cf", "/tmp/x", "/etc/ssl"], true), "", None),
        (connected("192.0.2.1", 1_024), "/bin/bash", Some("6a02")),
        (connected("192.0.2.1", 1_023), "/bin/bash", None),
        (connected("10.1.1.1", 4_444), "/bin/bash", None),
        (connected("192.0.2.1", 4_444), "/usr/bin/curl", None),
        (used(Operation::Write, keys), "/usr/bin/vim", Some("6a03")),
        (used(Operation::Read, keys), "/usr/bin/vim", None),
        // Made in a folder, under a name that is not told.
        (used(Operation::Created, keys), "/usr/bin/vim", None),
        (used(Operation::Write, keys), "/usr/bin/viminfo", None),
    ] {
        let found = told(action.clone(), exe);
        assert_eq!(found.as_deref(), expected, "{action:?}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error_of_the_configuration() {
    let text = "listen = \"127.0.0.1:0\"\ndata_dir = \"d\"\n[tls]\nca = \"c\"\ncertificate = \"c\"\nkey = \"k\"\n[alert]\nsigma = \"/nonexistent\"\n";
    let path = Path::new("/etc/collector.toml");
    let error = crate::config::Config::parse(path, text).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains(":8: alert.sigma") && error.contains("give a folder"),
        "{error}"
    );
    let there = text.replace("/nonexistent", folder().to_str().unwrap());
    let config = crate::config::Config::parse(path, &there).unwrap();
    assert_eq!(config.sigma_files.len(), 10);
    assert_eq!(
        config
            .rules
            .iter()
            .filter(|rule| rule.id.starts_with("sigma:"))
            .count(),
        3
    );
}
