use std::{fs, path::PathBuf};

use super::*;
use crate::doctor::State;

const RIGHT: &str = "usepam yes\nexposeauthinfo yes\ntrustedusercakeys /etc/ssh/ca.pub\nrevokedkeys /etc/ssh/krl\n\
    authorizedkeysfile none\nauthorizedkeyscommand none\npasswordauthentication no\n\
    authorizedprincipalscommand /usr/sbin/monitor-agent principals --socket /run/monitor-agent/agent.sock %u %t %k\n\
    authorizedprincipalscommanduser nobody\n";

fn gaps(text: &str, version: &str, config: Option<&Config>) -> Vec<String> {
    let lines = Lines::default();
    let view = View {
        lines: &lines,
        version,
        config,
    };
    let found = view.everywhere(&settings(text)).into_iter();
    let gaps = found.filter(|found| found.state != State::Ok);
    gaps.map(|gap| {
        assert!(!gap.cost.is_empty() && !gap.advice.is_empty(), "{gap:?}");
        gap.name
    })
    .collect()
}

#[test]
fn settings_are_judged_one_by_one_each_with_its_cost() {
    assert!(gaps(RIGHT, "OpenSSH_9.2p1", None).is_empty());
    for (from, to, name) in [
        ("usepam yes", "usepam no", "sshd usepam"),
        (
            "revokedkeys /etc/ssh/krl",
            "revokedkeys none",
            "sshd revokedkeys",
        ),
        (
            "keysfile none",
            "keysfile .ssh/authorized_keys",
            "sshd authorizedkeysfile",
        ),
        (
            "passwordauthentication no",
            "passwordauthentication yes",
            "sshd passwordauthentication",
        ),
    ] {
        let text = RIGHT.replace(from, to);
        assert_eq!(gaps(&text, "OpenSSH_9.2p1", None), [name]);
    }
    assert!(gaps("", "", None).contains(&"sshd usepam".to_owned()));
}

#[test]
fn exposed_auth_info_is_needed_by_old_ones_only() {
    let text = RIGHT.replace("exposeauthinfo yes", "exposeauthinfo no");
    for version in ["OpenSSH_9.2p1", "OpenSSH_7.6p1", "OpenSSH_10.0p2"] {
        assert!(gaps(&text, version, None).is_empty(), "{version}");
    }
    for version in ["OpenSSH_7.5p1", "of an unknown version", "OpenSSH_x"] {
        assert_eq!(
            gaps(&text, version, None),
            ["sshd exposeauthinfo"],
            "{version}"
        );
    }
}

#[test]
fn agent_that_does_not_answer_who_asks_for_principals_is_told() {
    let config = |text: &str| Config::parse(text, Path::new("/etc/monitor/agent.toml")).unwrap();
    let usual = config(crate::config::DEFAULT);
    assert!(gaps(RIGHT, "OpenSSH_9.2p1", Some(&usual)).is_empty());
    let other = RIGHT.replace("user nobody", "user daemon");
    assert_eq!(
        gaps(&other, "OpenSSH_9.2p1", Some(&usual)),
        ["sshd authorizedprincipalscommanduser"]
    );
    let moved = config(&crate::config::DEFAULT.replace("/run/monitor-agent/agent.sock", "/x.sock"));
    assert_eq!(
        gaps(RIGHT, "OpenSSH_9.2p1", Some(&moved)),
        ["sshd authorizedprincipalscommand"]
    );
}

#[test]
fn an_sshd_of_a_login_and_a_second_one_are_told() {
    let daemon = |pid, login_id| Daemon {
        pid,
        program: "/usr/sbin/sshd".into(),
        options: vec!["-f".to_owned(), "/etc/x".to_owned()],
        login_id,
    };
    assert!(of_daemons(&[daemon(1, None)]).is_empty());
    let found = of_daemons(&[daemon(1, Some(1_000)), daemon(2, None)]);
    let names: Vec<_> = found.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["sshd login id", "sshd, another"]);
    assert!(found.iter().all(|found| !found.cost.is_empty()));
    assert!(found[1].finding.ends_with("/usr/sbin/sshd -f /etc/x"));
}

/// A real sshd with a configuration of its own; none where there is none here.
fn real(text: &str) -> Option<Vec<Finding>> {
    // The machine's, or the one that `cargo xtask setup` unpacked.
    let unpacked =
        std::env::var_os("MONITOR_CACHE").map(|cache| Path::new(&cache).join("sshd/usr/sbin/sshd"));
    let places = PLACES.into_iter().map(PathBuf::from).chain(unpacked);
    let Some(program) = places.into_iter().find(|place| place.exists()) else {
        eprintln!("SKIPPED: this machine has no sshd");
        return None;
    };
    // Its unit makes it, where it is a service.
    _ = fs::create_dir_all("/run/sshd");
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    let file = folder.path().join("etc/ssh/sshd_config");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::create_dir_all(folder.path().join("etc/pam.d")).unwrap();
    fs::write(&file, format!("HostKey {}\n{text}", key.display())).unwrap();
    let sshd = Sshd {
        program,
        options: vec!["-f".to_owned(), file.display().to_string()],
    };
    let root = Root::at(folder.path());
    Some(sshd.findings(root, Path::new(CONFIG), None))
}

fn finding<'a>(found: &'a [Finding], name: &str) -> Vec<&'a str> {
    let named = found.iter().filter(|found| found.name == name);
    named.map(|found| found.finding.as_str()).collect()
}

#[test]
fn a_real_sshd_says_what_is_in_force_and_what_blocks_change() {
    let Some(found) = real(
        "UsePAM yes\nAuthorizedKeysFile none\nPasswordAuthentication no\nMatch User ops\n  \
         PasswordAuthentication yes\n  AuthorizedKeysFile .k\nMatch Address 10.0.0.0/8\n  \
         X11Forwarding no\nMatch Group no-such-group\n  X11Forwarding no\n",
    ) else {
        return;
    };
    assert!(finding(&found, "sshd")[0].contains("OpenSSH_"), "{found:?}");
    assert_eq!(
        finding(&found, "sshd usepam"),
        ["yes (/etc/ssh/sshd_config:2)"]
    );
    let password = finding(&found, "sshd passwordauthentication");
    assert_eq!(password[0], "no (/etc/ssh/sshd_config:4)");
    assert!(
        password[1].starts_with(
            "yes (/etc/ssh/sshd_config:6) for Match User ops (/etc/ssh/sshd_config:5)"
        ),
        "{password:?}"
    );
    assert_eq!(finding(&found, "sshd authorizedkeysfile").len(), 2);
    let untried = finding(&found, "sshd Match");
    assert!(
        untried.len() == 1 && untried[0].contains("no-such-group"),
        "{untried:?}"
    );
    assert_eq!(finding(&found, "sshd exposeauthinfo").len(), 1);
}

#[test]
fn a_real_sshd_that_refuses_its_configuration_is_told_by_its_own_words() {
    let Some(found) = real("NoSuchSetting yes\n") else {
        return;
    };
    let said = finding(&found, "sshd");
    assert!(
        said[0].contains("NoSuchSetting") || said[0].contains("onfiguration"),
        "{said:?}"
    );
    assert!(!finding(&found, "session hook").is_empty());
}
