//! How the sshd of this host is set up, by its own word (`sshd -T`) and by its
//! PAM service.

use std::{collections::HashMap, fs, path::Path, process::Command};

use super::Finding;

/// Where sshd usually is.
const PLACES: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"];
/// Its PAM service.
const PAM: &str = "/etc/pam.d/sshd";

/// Looks at sshd.
pub(super) fn findings() -> Vec<Finding> {
    let Some(sshd) = PLACES.into_iter().find(|path| Path::new(path).exists()) else {
        let advice = "logins by ssh cannot be bound; install openssh-server";
        return vec![Finding::warning("sshd", "not found", advice)];
    };
    let output = match Command::new(sshd).arg("-T").output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("nothing").to_owned();
            let advice = "its settings cannot be checked; run doctor as root";
            return vec![Finding::warning(
                "sshd",
                format!("{sshd} -T failed: {said}"),
                advice,
            )];
        }
        Err(error) => {
            let advice = "its settings cannot be checked";
            return vec![Finding::warning("sshd", format!("{sshd}: {error}"), advice)];
        }
    };
    let mut findings = vec![Finding::ok("sshd", sshd)];
    findings.extend(settings(&String::from_utf8_lossy(&output.stdout)));
    findings.push(pam(&fs::read_to_string(PAM).unwrap_or_default()));
    findings
}

/// Where the hook stands among the lines of a PAM service: before it the audit
/// session must be set, and nothing read that the user can write.
fn pam(text: &str) -> Finding {
    const NAME: &str = "session hook";
    let lines = || {
        let lines = text.lines().map(str::trim);
        lines.filter(|line| line.trim_start_matches('-').starts_with("session"))
    };
    let Some(hook) = lines().position(|line| line.contains("pam-session")) else {
        let advice = "no login is bound to a session; add, straight after pam_loginuid.so: session required pam_exec.so quiet /usr/sbin/monitor-agent pam-session --socket /run/monitor-agent/agent.sock";
        return Finding::warning(NAME, format!("not in {PAM}"), advice);
    };
    let before = |module: &str| lines().take(hook).any(|line| line.contains(module));
    if before("pam_env.so") {
        let advice = "pam_env can read a file of the user, who can write another's certificate there; put the hook before it, straight after pam_loginuid.so";
        return Finding::warning(NAME, format!("after pam_env.so in {PAM}"), advice);
    }
    if !before("pam_loginuid.so") {
        let advice = "the audit session is not known yet; put the hook straight after it";
        return Finding::warning(NAME, format!("not after pam_loginuid.so in {PAM}"), advice);
    }
    Finding::ok(NAME, PAM)
}

/// Name, whether a value is right, and what it costs otherwise.
type Wanted = (&'static str, fn(&str) -> bool, &'static str);

const WANTED: [Wanted; 7] = [
    (
        "usepam",
        |value| value == "yes",
        "no login is bound to a session; set UsePAM yes",
    ),
    (
        "exposeauthinfo",
        |value| value == "yes",
        "the session hook does not see the certificate, and every login is unattributed; set ExposeAuthInfo yes",
    ),
    (
        "trustedusercakeys",
        |value| value != "none" && !value.is_empty(),
        "certificates of the broker are not accepted; set TrustedUserCAKeys to its ca.pub",
    ),
    (
        "revokedkeys",
        |value| value != "none" && !value.is_empty(),
        "the broker's revocations are not seen by sshd (the agent still refuses them); set RevokedKeys to its krl",
    ),
    (
        "authorizedkeysfile",
        |value| value == "none",
        "whoever can write there lets in keys that belong to nobody, and a CA of their own that signs in anybody's name; set AuthorizedKeysFile none",
    ),
    (
        "authorizedkeyscommand",
        |value| value == "none",
        "keys that it prints belong to nobody, and a CA among them signs in anybody's name; set AuthorizedKeysCommand none",
    ),
    (
        "authorizedprincipalscommand",
        |value| value.contains("monitor-agent"),
        "refused logins get as far as the session hook; set AuthorizedPrincipalsCommand /usr/sbin/monitor-agent principals --socket /run/monitor-agent/agent.sock %u %t %k",
    ),
];

fn settings(text: &str) -> Vec<Finding> {
    let settings: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    WANTED
        .into_iter()
        .map(|(key, right, advice)| {
            let name = format!("sshd {key}");
            let value = settings.get(key).copied().unwrap_or("none");
            if right(value) {
                Finding::ok(&name, value)
            } else {
                Finding::warning(&name, value, advice)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn settings_are_judged_one_by_one() {
        let text = "usepam yes\nexposeauthinfo no\ntrustedusercakeys /etc/ssh/ca.pub\nrevokedkeys none\n\
                    authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\nauthorizedkeyscommand none\n\
                    authorizedprincipalscommand /usr/sbin/monitor-agent principals --socket /s %u %t %k\n";
        let states: Vec<_> = settings(text).iter().map(|finding| finding.state).collect();
        let (ok, warning) = (State::Ok, State::Warning);
        assert_eq!(states, [ok, warning, ok, warning, warning, ok, ok]);
    }

    #[test]
    fn a_session_hook_is_wanted_where_no_user_can_speak_to_it() {
        let hook = "session required pam_exec.so quiet /usr/sbin/monitor-agent pam-session";
        let login = "session    required     pam_loginuid.so";
        let env = "session    required     pam_env.so user_readenv=1";
        let told = |lines: &[&str]| {
            let found = pam(&lines.join("\n"));
            (found.state, found.finding)
        };
        assert_eq!(told(&[login, hook, env]).0, State::Ok);
        let (state, finding) = told(&[login, env, hook]);
        assert!(state == State::Warning && finding.contains("after pam_env.so"));
        let (state, finding) = told(&[hook, login, env]);
        assert!(state == State::Warning && finding.contains("not after pam_loginuid.so"));
        let (state, finding) = told(&[login, &format!("# {hook}"), env]);
        assert!(state == State::Warning && finding.contains("not in"));
    }
}
