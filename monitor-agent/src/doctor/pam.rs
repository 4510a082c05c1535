//! Whether PAM runs the agent's hook at each login by ssh, in the right place.
//!
//! What each place costs is what the agent makes of it: `login/desk` binds and
//! marks, `attribute/expected` knows a person's own files by the login id.

use std::path::Path;

use super::{Finding, root::Root};
use crate::config::Config;

mod stack;

use stack::{Entry, Stack};

/// The line as it should stand.
const LINE: &str = "session required pam_exec.so quiet /usr/sbin/monitor-agent pam-session --socket /run/monitor-agent/agent.sock";
/// Where services stand.
const FOLDER: &str = "/etc/pam.d";
/// What changes the person within a session, or runs what sessions left: a
/// login of its own there cuts the way to the session.
const WITHIN: [&str; 12] = [
    "su",
    "su-l",
    "sudo",
    "sudo-i",
    "runuser",
    "runuser-l",
    "cron",
    "crond",
    "atd",
    "systemd-user",
    "polkit-1",
    "doas",
];
/// Daemons of jobs.
const OF_JOBS: [&str; 3] = ["cron", "crond", "atd"];
const NO_NAME: &str = "every login by ssh is nobody's: no session is bound, so its events have no engineer, tenant or grant and are told as unattributed (no mark), and revoked engineers are let in";
const NO_LOGIN_ID: &str = "events of such a login have no login id and no audit session, or those of whoever started sshd: a person's use of their own keys and tokens is not told apart (never expected, always judged), and events cannot be joined with auditd's records. Session, engineer and grant are known all the same, by the kernel's mark";

/// Looks at the service of sshd, and at those that must not have the hook.
pub(super) fn findings(root: Root<'_>, service: &str, config: Option<&Config>) -> Vec<Finding> {
    let mut findings = of_sshd(root, service, config);
    findings.extend(elsewhere(root, service));
    findings.extend(jobs(root));
    findings
}

fn of_sshd(root: Root<'_>, service: &str, config: Option<&Config>) -> Vec<Finding> {
    const NAME: &str = "session hook";
    let Some(stack) = Stack::read(root, service, "session") else {
        let found = format!("there is no {FOLDER}/{service} and no {FOLDER}/other");
        return vec![Finding::warning(NAME, found, format!("add {LINE}")).costs(NO_NAME)];
    };
    let mut findings: Vec<_> = stack.odd.iter().map(|odd| is_odd(odd)).collect();
    findings.push(login_id(&stack, service));
    findings.extend(other_types(root, service));
    let Some(hook) = stack.entries.iter().position(Entry::is_hook) else {
        let place = login_id_place(&stack);
        let found = format!("in no session line of the PAM service {service}");
        findings.push(Finding::warning(NAME, found, format!("add {place}: {LINE}")).costs(NO_NAME));
        return findings;
    };
    let gaps = of_hook(root, &stack, hook, config);
    if gaps.is_empty()
        && let Some(entry) = stack.entries.get(hook)
    {
        findings.push(Finding::ok(NAME, entry.at.to_string()));
    }
    findings.extend(gaps);
    findings
}

fn is_odd(odd: &str) -> Finding {
    Finding::warning("PAM files", odd, "correct the line or the file").costs(
        "libpam makes no sense of it: what should stand there does not run, and libpam may refuse every login; what doctor says of the order is of the lines that can be read",
    )
}

/// Where the hook goes.
fn login_id_place(stack: &Stack) -> String {
    let found = stack
        .entries
        .iter()
        .find(|entry| entry.is("pam_loginuid.so"));
    match found {
        Some(entry) => format!("straight after {}", entry.at),
        None => "as the first session lines, with `session required pam_loginuid.so` before it"
            .to_owned(),
    }
}

fn login_id(stack: &Stack, service: &str) -> Finding {
    const NAME: &str = "login id module";
    const ADVICE: &str = "session required pam_loginuid.so";
    let Some(entry) = stack
        .entries
        .iter()
        .find(|entry| entry.is("pam_loginuid.so"))
    else {
        let found = format!("pam_loginuid.so is in no session line of the PAM service {service}");
        let advice = format!("add, before the session hook: {ADVICE}");
        return Finding::warning(NAME, found, advice).costs(NO_LOGIN_ID);
    };
    if entry.control.is_binding() {
        return Finding::ok(NAME, entry.at.to_string());
    }
    let found = format!(
        "{}: a failure of pam_loginuid.so lets the login go on",
        entry.at
    );
    let advice = format!("make it: {ADVICE}");
    let cost = format!("where it fails, {NO_LOGIN_ID}");
    Finding::warning(NAME, found, advice).costs(cost)
}

/// The hook in a line of another type refuses all.
fn other_types(root: Root<'_>, service: &str) -> Vec<Finding> {
    let found = ["auth", "account", "password"].into_iter().filter_map(|kind| {
        let stack = Stack::read(root, service, kind)?;
        let entry = stack.entries.iter().find(|entry| entry.is_hook())?;
        let found = format!("{}: the hook stands in a line of the type {kind}", entry.at);
        let finding = Finding::warning("session hook", found, format!("make it: {LINE}"));
        Some(finding.costs("the hook answers at the opening of a session only and fails otherwise: where the line is required nobody can log in"))
    });
    found.collect()
}

/// Everything that is wrong with the hook's own line and what is before it.
fn of_hook(root: Root<'_>, stack: &Stack, hook: usize, config: Option<&Config>) -> Vec<Finding> {
    let Some(entry) = stack.entries.get(hook) else {
        return Vec::new();
    };
    let mut gaps = order(stack, hook, entry);
    gaps.extend(control(entry));
    gaps.extend(program(root, entry, config));
    if let Some(again) = stack
        .entries
        .iter()
        .skip(hook + 1)
        .find(|entry| entry.is_hook())
    {
        let found = format!("{}: once more, after {}", again.at, entry.at);
        let gap = Finding::warning("session hook", found, "remove one of the lines");
        gaps.push(gap.costs("each login opens two sessions, and its processes move from the first to the second: the first ends at once, and the list of logins shows a login that was none"));
    }
    gaps
}

fn order(stack: &Stack, hook: usize, entry: &Entry) -> Vec<Finding> {
    const NAME: &str = "session hook order";
    let at = &entry.at;
    let place = login_id_place(stack);
    let mut gaps = Vec::new();
    let first = |module: &str| stack.entries.iter().position(|entry| entry.is(module));
    if let Some(login_id) = first("pam_loginuid.so").filter(|login_id| *login_id > hook)
        && let Some(found) = stack.entries.get(login_id)
    {
        let found = format!("{at} is before pam_loginuid.so ({})", found.at);
        gaps.push(Finding::warning(NAME, found, format!("put the hook {place}")).costs("the hook reads the audit session before it is set: the session's record names none, or that of whoever started sshd, and cannot be joined with auditd's records. Who it is, and the events' own login ids, are right"));
    }
    let mut before = stack.entries.iter().take(hook);
    let env =
        before.find(|entry| entry.is("pam_env.so") && entry.value("user_readenv") != Some("0"));
    if let Some(env) = env {
        let found = format!("{at} is after pam_env.so ({})", env.at);
        gaps.push(Finding::warning(NAME, found, format!("put the hook {place}, or give pam_env.so user_readenv=0")).costs("pam_env.so can read a file of the user (where user_readenv=1, or the module is old), who can write another's certificate there as SSH_AUTH_INFO_0: the login then carries that engineer's name and grant, and is told with full confidence"));
    }
    if let Some(leaves) = stack.leaves_before(hook) {
        let found = format!(
            "{} can end or jump over the lines before {at} is reached ({})",
            leaves.at, leaves.module
        );
        let advice = format!("put the hook before it, {place}");
        gaps.push(Finding::warning(NAME, found, advice).costs("where it does, the hook does not run: that login is nobody's, its events are unattributed, and a revoked engineer is let in"));
    }
    gaps
}

fn control(entry: &Entry) -> Vec<Finding> {
    const NAME: &str = "session hook control";
    let mut gaps = Vec::new();
    if !entry.control.is_binding() {
        let found = format!("{}: a failure of the hook lets the login go on", entry.at);
        let advice =
            "make it `session required`; accounts for emergencies are named by --break-glass";
        gaps.push(Finding::warning(NAME, found, advice).costs("whom the agent refuses (revoked, without a grant, or while no agent answers) is let in all the same, without a mark: what they do is unattributed"));
    } else if entry.control.may_end() {
        let found = format!("{}: the lines after it do not run", entry.at);
        gaps.push(
            Finding::warning(NAME, found, "make it `session required`")
                .costs("no attribution; limits and other modules after it are left out"),
        );
    }
    if entry
        .value("type")
        .is_some_and(|kind| kind != "open_session")
    {
        let found = format!("{}: type= keeps it from the opening of sessions", entry.at);
        gaps.push(Finding::warning(NAME, found, "take type= out").costs(NO_NAME));
    }
    gaps
}

/// The program behind the hook, and the socket that it asks.
fn program(root: Root<'_>, entry: &Entry, config: Option<&Config>) -> Vec<Finding> {
    const NAME: &str = "session hook program";
    const COST: &str = "the hook fails, and nobody can log in but by --break-glass or where its line is optional; then their logins are unattributed";
    let words = || entry.arguments.iter().map(String::as_str);
    let mut gaps = Vec::new();
    match words().find(|word| word.starts_with('/')) {
        Some(program) if root.exists(Path::new(program)) => {}
        Some(program) => {
            let found = format!("{}: {program} is not there", entry.at);
            gaps.push(Finding::warning(NAME, found, "give the path of monitor-agent").costs(COST));
        }
        None => {
            let found = format!("{}: names no program by its whole path", entry.at);
            gaps.push(Finding::warning(NAME, found, "give the path of monitor-agent").costs(COST));
        }
    }
    let spaced = words().skip_while(|word| *word != "--socket").nth(1);
    let joined = words().find_map(|word| word.strip_prefix("--socket="));
    let asked = spaced.or(joined).unwrap_or("/run/monitor-agent/agent.sock");
    if let Some(config) = config.filter(|config| config.socket != Path::new(asked)) {
        let listens = config.socket.display();
        let found = format!(
            "{} asks {asked}, and the agent listens at {listens}",
            entry.at
        );
        let advice = format!("give the hook --socket {listens}");
        gaps.push(Finding::warning(NAME, found, advice).costs(COST));
    }
    gaps
}

/// The hook in services that run within sessions.
fn elsewhere(root: Root<'_>, sshd: &str) -> Vec<Finding> {
    let services = WITHIN.into_iter().filter(|service| *service != sshd);
    let found = services.filter_map(|service| {
        // Where the service is not there, `other` would answer for it.
        let stack = root
            .exists(&Path::new(FOLDER).join(service))
            .then(|| Stack::read(root, service, "session"))??;
        let entry = stack.entries.iter().find(|entry| entry.is_hook())?;
        Some((service, entry.at.to_string()))
    });
    let found: Vec<_> = found.collect();
    let (Some((_, at)), names) = (
        found.first(),
        found
            .iter()
            .map(|(service, _)| *service)
            .collect::<Vec<_>>(),
    ) else {
        return Vec::new();
    };
    let finding = format!("{at}: it runs for {} too", names.join(", "));
    let advice = format!(
        "take it out of shared files, and put it into {FOLDER}/{sshd} alone; su and sudo keep the mark, jobs of cron and at are found by the file that they came from: none needs a hook"
    );
    vec![Finding::warning("session hook elsewhere", finding, advice).costs("each su, sudo or job opens a session of its own, without a certificate: what is done in it is taken from the engineer's session, and is nobody's (or, with less confidence, whose the account is)")]
}

/// Jobs have the login id of their account from PAM as well.
fn jobs(root: Root<'_>) -> Vec<Finding> {
    let services = OF_JOBS.into_iter().filter_map(|service| {
        let file = Path::new(FOLDER).join(service);
        let stack = root.exists(&file).then(|| Stack::read(root, service, "session"))??;
        let has = stack.entries.iter().any(|entry| entry.is("pam_loginuid.so"));
        (!has).then(|| {
            let found = format!("pam_loginuid.so is in no session line of {}", file.display());
            let advice = "add: session required pam_loginuid.so";
            Finding::warning(&format!("jobs of {service}"), found, advice).costs("jobs have no login id, or that of whoever started the daemon: a person's job that uses that person's own files is judged, not expected. Whose job it is does not depend on it, and no hook is needed there: that is found by the file")
        })
    });
    services.collect()
}

#[cfg(test)]
mod tests;
