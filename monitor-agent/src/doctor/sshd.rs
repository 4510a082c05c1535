//! How the sshd of this host is set up, by its own word (`sshd -T`).

use std::{collections::HashMap, path::Path, process::Command};

use super::Finding;

/// Where sshd usually is.
const PLACES: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"];

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
    findings
}

/// Name, whether a value is right, and what it costs otherwise.
type Wanted = (&'static str, fn(&str) -> bool, &'static str);

const WANTED: [Wanted; 5] = [
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
                    authorizedprincipalscommand /usr/sbin/monitor-agent principals --socket /s %u %t %k\n";
        let states: Vec<_> = settings(text).iter().map(|finding| finding.state).collect();
        let (ok, warning) = (State::Ok, State::Warning);
        assert_eq!(states, [ok, warning, ok, warning, ok]);
    }
}
