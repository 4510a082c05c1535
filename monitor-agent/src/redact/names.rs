//! Names whose value is a secret: `--db-password`, `AWS_SECRET_ACCESS_KEY`,
//! `"clientSecret"`.
//!
//! In: a name, and a value. Out: whether the value is a secret by its name, and
//! whether it only says where a secret is. A name tells by its end, with the
//! signs between its words left out: so `password-file`, `secretName` and
//! `token_ttl` tell nothing.

/// What a telling name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// A password: any text may be one.
    Password,
    /// A key or token: a path to a file is none.
    Key,
}

/// Longest name that is looked at, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 96;

/// Ends of names of passwords.
const PASSWORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwords",
    "pwd",
    "passwort",
];

/// Ends of names of keys and tokens.
const KEYS: &[&str] = &[
    "secret",
    "secrets",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "encryptionkey",
    "accountkey",
    "sharedkey",
    "presharedkey",
    "masterkey",
    "authkey",
    "signingkey",
    "storagekey",
    "subscriptionkey",
    "licensekey",
    "sessionkey",
    "accesskeyid",
    "sessionid",
    "credential",
    "credentials",
    "secretaccesskey",
    "authpass",
    "bearer",
    "connectionkey",
    "deploykey",
    "storepass",
    "keypass",
    "userpass",
    "jwt",
    "requirepass",
    "masterauth",
    "_auth",
];

/// Last words that tell only if they stand alone between signs.
const WORDS: &[(&str, Telling)] = &[
    ("pass", Telling::Password),
    ("pw", Telling::Password),
    ("psk", Telling::Password),
    ("otp", Telling::Password),
    ("passin", Telling::Password),
    ("passout", Telling::Password),
    ("pin", Telling::Password),
    ("creds", Telling::Key),
];

/// Whole names, signs left out.
const WHOLE: &[(&str, Telling)] = &[
    ("sshpass", Telling::Password),
    ("rediscliauth", Telling::Password),
    ("jsessionid", Telling::Key),
    ("phpsessid", Telling::Key),
    ("xauth", Telling::Key),
];

/// Ends of names that end like a telling one and tell nothing.
const NOTHING: &[&str] = &[
    "bypass",
    "compass",
    "trespass",
    "multipass",
    "nexttoken",
    "startingtoken",
    "pagetoken",
    "requesttoken",
    "idempotencytoken",
    "continuetoken",
    "existingsecret",
    "pullsecret",
    "pullsecrets",
    "fromsecret",
    "publickey",
];

/// First words of names whose value is no secret: a switch, a number, a search.
const SWITCHES: &[&str] = &[
    "no", "ask", "prompt", "with", "without", "disable", "enable", "show", "hide", "require",
    "skip", "print", "reset", "change", "max", "min", "num", "generate", "rotate", "allow", "is",
    "has", "use", "list", "get", "ignore",
];

/// What a name tells; nothing for most.
pub(super) fn telling(name: &[u8]) -> Option<Telling> {
    if name.len() > NAME_BYTES_MAX || name.len() < 2 {
        return None;
    }
    let mut joined = [0_u8; NAME_BYTES_MAX];
    let mut length = 0;
    for (to, byte) in joined
        .iter_mut()
        .zip(name.iter().filter(|byte| byte.is_ascii_alphanumeric()))
    {
        *to = byte.to_ascii_lowercase();
        length += 1;
    }
    let joined = joined.get(..length).unwrap_or_default();
    // `password2` is one too.
    let joined = joined.trim_ascii_end();
    let joined = joined
        .strip_suffix(b"2")
        .or_else(|| joined.strip_suffix(b"1"))
        .unwrap_or(joined);
    if matches!(joined, b"pwd" | b"oldpwd")
        || NOTHING.iter().any(|end| joined.ends_with(end.as_bytes()))
    {
        return None;
    }
    let mut parts = name
        .split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty());
    let first = parts.next().unwrap_or_default();
    let last = parts.next_back().unwrap_or(first);
    if last.len() < name.len()
        && SWITCHES
            .iter()
            .any(|switch| first.eq_ignore_ascii_case(switch.as_bytes()))
    {
        return None;
    }
    if PASSWORDS.iter().any(|end| joined.ends_with(end.as_bytes())) {
        return Some(Telling::Password);
    }
    if KEYS.iter().any(|end| joined.ends_with(end.as_bytes())) {
        return Some(Telling::Key);
    }
    let whole = WHOLE.iter().find(|(whole, _)| whole.as_bytes() == joined);
    let word = WORDS
        .iter()
        .find(|(word, _)| is_last_word(last, word.as_bytes()));
    whole.or(word).map(|(_, telling)| *telling)
}

/// Whether a part of a name is a word, or ends with it as `dbPass` does.
fn is_last_word(part: &[u8], word: &[u8]) -> bool {
    let Some((before, end)) = part
        .len()
        .checked_sub(word.len())
        .and_then(|at| part.split_at_checked(at))
    else {
        return false;
    };
    end.eq_ignore_ascii_case(word)
        && (before.is_empty()
            || (end.first().is_some_and(u8::is_ascii_uppercase)
                && before.last().is_some_and(u8::is_ascii_lowercase))
            || (word == b"pass" && before.len() <= 4))
}

/// Values that are no secret, whatever their name says.
const PLAIN: &[&str] = &[
    "true",
    "false",
    "yes",
    "no",
    "none",
    "null",
    "nil",
    "undefined",
    "on",
    "off",
    "prompt",
    "ask",
    "never",
    "always",
    "0",
    "1",
    "stdin",
    "-",
    "*",
    "basic",
    "bearer",
    "required",
    "optional",
];

/// Beginnings of values that are paths for sure.
const FOLDERS: &[&str] = &[
    "/run/",
    "/etc/",
    "/root/",
    "/home/",
    "/var/",
    "/opt/",
    "/srv/",
    "/tmp/",
    "/dev/",
    "/proc/",
    "/usr/",
    "/mnt/",
    "~/",
    "./",
    "../",
    "/secrets/",
];

/// Whether a value names something else than a secret: a variable, a file, a
/// switch. `expands`: a shell reads it, so that any `$name` is a variable.
pub(super) fn is_reference(value: &[u8], telling: Telling, expands: bool) -> bool {
    is_variable(value, expands)
        || PLAIN
            .iter()
            .any(|plain| value.eq_ignore_ascii_case(plain.as_bytes()))
        || FOLDERS
            .iter()
            .any(|folder| value.starts_with(folder.as_bytes()))
        || value.starts_with(b"[redacted")
        || value.iter().all(|byte| *byte == b'*')
        || (telling == Telling::Key
            && (value.starts_with(b"/")
                || (value.len() <= 8 && value.iter().all(u8::is_ascii_digit))
                || value.starts_with(b"@")
                || value.starts_with(b"file:")
                || value.starts_with(b"env:")
                || value.starts_with(b"id=")))
}

/// Whether a value is a variable, a command whose output it is, or a place to
/// fill in.
pub(super) fn is_variable(value: &[u8], expands: bool) -> bool {
    match value {
        [] | [b'`', ..] | [b'$'] | [b'$', b'(' | b'{', ..] | [b'{', b'{', ..] => true,
        [b'<', .., b'>'] | [b'%', .., b'%'] => value.len() > 2,
        [b'$', rest @ ..] => {
            let name = rest.strip_prefix(b"env:").unwrap_or(rest);
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            name.iter().all(is_name)
                && (expands || !name.iter().any(u8::is_ascii_lowercase) || name.len() < rest.len())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_by_their_end() {
        for name in [
            "password",
            "PGPASSWORD",
            "db-password",
            "dbPassword",
            "AWS_SECRET_ACCESS_KEY",
            "apiKey",
            "pass",
            "db_pass",
            "SSHPASS",
            "token",
            "X-Vault-Token",
            "password2",
            "client_secret",
        ] {
            assert!(telling(name.as_bytes()).is_some(), "{name}");
        }
        for name in [
            "password-file",
            "PWD",
            "bypass",
            "secretName",
            "token_ttl",
            "max-token",
            "key",
            "no-password",
            "ask-pass",
            "AUTHOR",
            "keyboard",
            "existingSecret",
            "passive",
            "p",
        ] {
            assert_eq!(telling(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn variables_and_paths_are_no_secrets() {
        for value in [
            "$TOKEN",
            "${x}",
            "$(cat f)",
            "/run/secrets/x",
            "true",
            "{{ pw }}",
            "",
        ] {
            assert!(
                is_reference(value.as_bytes(), Telling::Password, false),
                "{value}"
            );
        }
        for value in ["$ecret", "$6$a$b", "/abc", "hunter2", "a$TOKEN"] {
            assert!(
                !is_reference(value.as_bytes(), Telling::Password, false),
                "{value}"
            );
        }
        assert!(is_reference(b"$pw", Telling::Password, true));
    }
}
