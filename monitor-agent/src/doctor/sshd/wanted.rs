//! The settings of sshd that binding a login stands on: what each should be, and
//! what it costs otherwise.

/// What a setting should be.
pub(super) struct Wanted {
    pub key: &'static str,
    pub right: fn(&str) -> bool,
    /// What it costs otherwise.
    pub cost: &'static str,
    /// What would be right.
    pub change: &'static str,
}

const NO_CERTIFICATE: &str = "who logs in by it shows no certificate: the session stands on no grant, so nothing is in scope for it, and its engineer is known with less confidence, by the account alone (binding `account`, where the directory gives it to one person), else not at all";

pub(super) const WANTED: [Wanted; 11] = [
    Wanted {
        key: "usepam",
        right: |value| value == "yes",
        cost: "the session hook does not run: every login is nobody's, its events have no engineer, tenant or grant and are told as unattributed (no mark), and revoked engineers get as far as their certificate does",
        change: "set UsePAM yes",
    },
    Wanted {
        key: "trustedusercakeys",
        right: is_set,
        cost: "certificates of the broker open nothing: whoever logs in does so without a grant, known at best by a registered key or a personal account",
        change: "set TrustedUserCAKeys to the broker's ca.pub",
    },
    Wanted {
        key: "revokedkeys",
        right: is_set,
        cost: "no attribution: sshd does not see the broker's revocations, and the agent alone refuses them",
        change: "set RevokedKeys to the broker's krl",
    },
    Wanted {
        key: "authorizedkeysfile",
        right: |value| value == "none",
        cost: "whoever can write there lets in keys that belong to nobody: their sessions stand on no grant, and are known with less confidence (binding `key`, where the directory has the key, or `account`), else not at all; and a CA of their own that signs in anybody's name",
        change: "set AuthorizedKeysFile none",
    },
    Wanted {
        key: "authorizedkeyscommand",
        right: |value| value == "none",
        cost: "keys that it prints belong to nobody: their sessions stand on no grant, and are known by the directory's key or account at best; and a CA among them signs in anybody's name",
        change: "set AuthorizedKeysCommand none",
    },
    Wanted {
        key: "authorizedprincipalscommand",
        right: |value| value.contains("monitor-agent"),
        cost: "no attribution: refused logins get as far as the session hook, which refuses them",
        change: "set AuthorizedPrincipalsCommand /usr/sbin/monitor-agent principals --socket /run/monitor-agent/agent.sock %u %t %k",
    },
    Wanted {
        key: "passwordauthentication",
        right: |value| value != "yes",
        cost: NO_CERTIFICATE,
        change: "set PasswordAuthentication no",
    },
    Wanted {
        key: "kbdinteractiveauthentication",
        right: |value| value != "yes",
        cost: NO_CERTIFICATE,
        change: "set KbdInteractiveAuthentication no, unless AuthenticationMethods wants it beside publickey",
    },
    Wanted {
        key: "hostbasedauthentication",
        right: |value| value != "yes",
        cost: NO_CERTIFICATE,
        change: "set HostbasedAuthentication no",
    },
    Wanted {
        key: "gssapiauthentication",
        right: |value| value != "yes",
        cost: NO_CERTIFICATE,
        change: "set GSSAPIAuthentication no",
    },
    Wanted {
        key: "kerberosauthentication",
        right: |value| value != "yes",
        cost: NO_CERTIFICATE,
        change: "set KerberosAuthentication no",
    },
];

fn is_set(value: &str) -> bool {
    value != "none" && !value.is_empty()
}
