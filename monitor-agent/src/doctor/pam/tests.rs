use std::fs;

use super::*;
use crate::doctor::State;

const HOOK: &str = "session required pam_exec.so quiet /usr/sbin/monitor-agent pam-session --socket /run/monitor-agent/agent.sock\n";
const LOGIN: &str = "session    required     pam_loginuid.so\n";
const ENV: &str = "session    required     pam_env.so user_readenv=1\n";

fn host(services: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("etc/pam.d")).unwrap();
    fs::create_dir_all(folder.path().join("usr/sbin")).unwrap();
    fs::write(folder.path().join("usr/sbin/monitor-agent"), "").unwrap();
    for (name, text) in services {
        fs::write(folder.path().join("etc/pam.d").join(name), text).unwrap();
    }
    folder
}

/// Names and findings of all that is not well, each with a cost.
fn gaps_of(services: &[(&str, &str)], config: Option<&Config>) -> Vec<(String, String)> {
    let host = host(services);
    let found = findings(Root::at(host.path()), "sshd", config);
    let gaps = found.into_iter().filter(|found| found.state != State::Ok);
    gaps.map(|gap| {
        assert!(!gap.cost.is_empty() && !gap.advice.is_empty(), "{gap:?}");
        (gap.name, gap.finding)
    })
    .collect()
}

fn gaps(lines: &[&str]) -> Vec<(String, String)> {
    gaps_of(&[("sshd", &lines.concat())], None)
}

#[track_caller]
fn one(gaps: &[(String, String)], name: &str, says: &str) {
    assert!(
        matches!(gaps, [(found, finding)] if found == name && finding.contains(says)),
        "{name}, {says}: {gaps:?}"
    );
}

#[test]
fn a_hook_straight_after_the_login_id_is_well() {
    assert_eq!(gaps(&[LOGIN, HOOK, ENV]), []);
}

#[test]
fn no_hook_or_one_that_is_a_comment_is_none() {
    one(&gaps(&[LOGIN, ENV]), "session hook", "in no session line");
    one(
        &gaps(&[LOGIN, "#", HOOK]),
        "session hook",
        "in no session line",
    );
    let host = host(&[("sshd", LOGIN)]);
    let found = findings(Root::at(host.path()), "sshd", None);
    let gap = found.iter().find(|gap| gap.name == "session hook").unwrap();
    assert!(
        gap.advice.contains("straight after /etc/pam.d/sshd:1"),
        "{gap:?}"
    );
}

#[test]
fn order_is_judged_across_included_files_with_both_lines() {
    one(
        &gaps(&[HOOK, LOGIN]),
        "session hook order",
        "/etc/pam.d/sshd:1 is before pam_loginuid.so (/etc/pam.d/sshd:2)",
    );
    one(
        &gaps(&[LOGIN, ENV, HOOK]),
        "session hook order",
        "after pam_env.so (/etc/pam.d/sshd:2)",
    );
    let sshd = format!("@include common-session\n{HOOK}");
    let services: &[_] = &[
        ("sshd", sshd.as_str()),
        ("common-session", &[LOGIN, ENV].concat()),
    ];
    one(
        &gaps_of(services, None),
        "session hook order",
        "common-session:2",
    );
    assert_eq!(
        gaps(&[LOGIN, "session required pam_env.so user_readenv=0\n", HOOK]),
        []
    );
}

#[test]
fn a_hook_that_may_be_passed_by_is_told_with_what_passes_it() {
    let leaves = "session sufficient pam_radius.so\n";
    one(
        &gaps(&[LOGIN, leaves, HOOK]),
        "session hook order",
        "/etc/pam.d/sshd:2 can end or jump",
    );
}

#[test]
fn a_hook_whose_failure_lets_in_is_told() {
    for control in ["optional", "sufficient", "[default=ignore]"] {
        let hook = HOOK.replace("required", control);
        one(
            &gaps(&[LOGIN, &hook]),
            "session hook control",
            "lets the login go on",
        );
    }
    let strict = HOOK.replace("required", "[success=ok default=die]");
    assert_eq!(gaps(&[LOGIN, &strict]), []);
    let closing = HOOK.replace("quiet", "quiet type=close_session");
    one(&gaps(&[LOGIN, &closing]), "session hook control", "type=");
}

#[test]
fn a_login_id_that_is_not_set_or_need_not_be_is_told() {
    one(&gaps(&[HOOK]), "login id module", "in no session line");
    let optional = LOGIN.replace("required", "optional");
    one(
        &gaps(&[&optional, HOOK]),
        "login id module",
        "/etc/pam.d/sshd:1",
    );
}

#[test]
fn hook_without_its_program_or_at_another_socket_is_told() {
    let gone = HOOK.replace("/usr/sbin", "/opt");
    one(
        &gaps(&[LOGIN, &gone]),
        "session hook program",
        "/opt/monitor-agent is not there",
    );
    let text = crate::config::DEFAULT.replace("/run/monitor-agent/agent.sock", "/run/x.sock");
    let config = Config::parse(&text, Path::new("/etc/monitor/agent.toml")).unwrap();
    let sshd = [LOGIN, HOOK].concat();
    let found = gaps_of(&[("sshd", &sshd)], Some(&config));
    one(
        &found,
        "session hook program",
        "the agent listens at /run/x.sock",
    );
}

#[test]
fn a_hook_twice_or_in_another_type_is_told() {
    one(
        &gaps(&[LOGIN, HOOK, HOOK]),
        "session hook",
        "sshd:3: once more",
    );
    let auth = HOOK.replace("session required", "auth required");
    let found = gaps(&[LOGIN, HOOK, &auth]);
    one(
        &found,
        "session hook",
        "sshd:3: the hook stands in a line of the type auth",
    );
}

#[test]
fn a_hook_that_su_and_jobs_run_too_is_told() {
    let common = [LOGIN, HOOK].concat();
    let services: &[_] = &[
        ("sshd", "@include common-session\n"),
        ("common-session", &common),
        ("su", "@include common-session\n"),
        ("cron", "@include common-session\n"),
        ("other", "@include common-session\n"),
    ];
    one(
        &gaps_of(services, None),
        "session hook elsewhere",
        "/etc/pam.d/common-session:2: it runs for su, cron too",
    );
}

#[test]
fn jobs_without_a_login_id_are_told_and_no_hook_is_asked_of_them() {
    let sshd = [LOGIN, HOOK].concat();
    let services: &[_] = &[
        ("sshd", sshd.as_str()),
        ("cron", "session required pam_unix.so\n"),
        ("atd", LOGIN),
    ];
    one(&gaps_of(services, None), "jobs of cron", "/etc/pam.d/cron");
}

#[test]
fn no_service_at_all_and_lines_of_noise_are_findings() {
    one(
        &gaps_of(&[], None),
        "session hook",
        "there is no /etc/pam.d/sshd",
    );
    let sshd = [LOGIN, HOOK, "@include gone\n"].concat();
    one(
        &gaps_of(&[("sshd", &sshd)], None),
        "PAM files",
        "/etc/pam.d/sshd:3",
    );
}
