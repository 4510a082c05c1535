//! What counts as a secret: lists and patterns.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

/// What an argument is, as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// None with a secret.
    None,
    /// The next argument is the secret.
    ValueFollows,
    /// The rest of the argument, from here on, is.
    ValueFrom(usize),
}

/// Programs with short options for passwords, and those options. A value may
/// stand in the same argument; where it may also follow, that is said.
const SHORT: &[(&str, &str, Place)] = &[
    ("mysql", "-p", Place::Joined),
    ("mysqldump", "-p", Place::Joined),
    ("mysqladmin", "-p", Place::Joined),
    ("mysqlimport", "-p", Place::Joined),
    ("mysqlshow", "-p", Place::Joined),
    ("mariadb", "-p", Place::Joined),
    ("mariadb-dump", "-p", Place::Joined),
    ("mariadb-admin", "-p", Place::Joined),
    ("7z", "-p", Place::Joined),
    ("7za", "-p", Place::Joined),
    ("rar", "-p", Place::Joined),
    ("unrar", "-p", Place::Joined),
    ("sshpass", "-p", Place::Both),
    ("az", "-p", Place::Login),
    ("buildah", "-p", Place::Login),
    ("docker", "-p", Place::Login),
    ("nerdctl", "-p", Place::Login),
    ("oras", "-p", Place::Login),
    ("skopeo", "-p", Place::Login),
    ("skopeo", "--creds", Place::Colon),
    ("skopeo", "--src-creds", Place::Colon),
    ("skopeo", "--dest-creds", Place::Colon),
    ("podman", "--creds", Place::Colon),
    ("buildah", "--creds", Place::Colon),
    ("etcdctl", "--user", Place::Colon),
    ("podman", "-p", Place::Login),
    ("helm", "-p", Place::Login),
    ("oc", "-p", Place::Login),
    ("mongo", "-p", Place::Both),
    ("mongosh", "-p", Place::Both),
    ("mongodump", "-p", Place::Both),
    ("mongorestore", "-p", Place::Both),
    ("redis-cli", "-a", Place::Both),
    ("ldapsearch", "-w", Place::Both),
    ("ldapmodify", "-w", Place::Both),
    ("ldapadd", "-w", Place::Both),
    ("ldapdelete", "-w", Place::Both),
    ("ldapwhoami", "-w", Place::Both),
    ("ldappasswd", "-w", Place::Both),
    ("ldappasswd", "-s", Place::Both),
    ("ldappasswd", "-a", Place::Both),
    ("sqlcmd", "-P", Place::Both),
    ("bcp", "-P", Place::Both),
    ("isql", "-P", Place::Both),
    ("ipmitool", "-P", Place::Both),
    ("zip", "-P", Place::Both),
    ("unzip", "-P", Place::Both),
    ("ssh-keygen", "-N", Place::Both),
    ("ssh-keygen", "-P", Place::Both),
    ("xfreerdp", "/p:", Place::Joined),
    ("xfreerdp3", "/p:", Place::Joined),
    ("rdesktop", "-p", Place::Both),
    ("winexe", "-U", Place::Percent),
    ("smbclient", "-U", Place::Percent),
    ("rpcclient", "-U", Place::Percent),
    ("net", "-U", Place::Percent),
    ("curl", "-u", Place::Colon),
    ("curl", "--user", Place::Colon),
    ("curl", "-U", Place::Colon),
    ("curl", "--proxy-user", Place::Colon),
    ("openssl", "-k", Place::Both),
    ("openssl", "-K", Place::Both),
    ("snmpget", "-A", Place::Both),
    ("snmpget", "-X", Place::Both),
    ("snmpget", "-c", Place::Both),
    ("snmpwalk", "-A", Place::Both),
    ("snmpwalk", "-X", Place::Both),
    ("snmpwalk", "-c", Place::Both),
    ("usermod", "-p", Place::Both),
    ("useradd", "-p", Place::Both),
    ("mosquitto_pub", "-P", Place::Both),
    ("mosquitto_sub", "-P", Place::Both),
];

/// Where a program expects the value of a short option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the same argument only; the bare option asks on the terminal.
    Joined,
    /// In the same argument or in the next.
    Both,
    /// As `Both`, after the word `login`: elsewhere the option means something
    /// else.
    Login,
    /// `user%password`.
    Percent,
    /// `user:password`.
    Colon,
}

/// Ends of option names whose value tells where a secret is, not what it is.
const NOT_ENDS: &[&str] = &[
    "-file",
    "_file",
    "-path",
    "_path",
    "-stdin",
    "-env",
    "-prompt",
    "-command",
    "-cmd",
    "-fd",
    "-dir",
    "-name",
    "-id",
    "_id",
    "-type",
    "-url",
    "-length",
    "-min",
    "-max",
    "-expiry",
    "-ttl",
    "file",
    "-authentication",
];

/// Whether a program is known to take passwords by short options.
#[must_use]
pub fn takes_passwords(program: &[u8]) -> bool {
    SHORT
        .iter()
        .any(|(known, _, _)| known.as_bytes() == program)
}

/// Whether an argument is an option rather than a value. A password may begin
/// with a dash; one that looks like a long option or a single letter is taken
/// for an option.
#[must_use]
pub fn is_plain_option(argument: &[u8]) -> bool {
    match argument {
        [b'-', b'-', first, ..] => first.is_ascii_lowercase(),
        [b'-', only] => only.is_ascii_alphabetic(),
        _ => false,
    }
}

/// The compiled patterns. Group 1 of each is the secret.
#[derive(Debug)]
pub struct Rules {
    option: Option<Regex>,
    inside: Vec<Regex>,
}

/// Names whose value is a secret, as they end: `db-password`, `AWS_SECRET_ACCESS_KEY`.
const NAME: &str = r"(?:pass(?:word|wd|phrase|code)?|pwd|passin|passout|secret(?:s)?|token|api[-_]?key|access[-_]?key|secret[-_]?key|private[-_]?key|encryption[-_]?key|account[-_]?key|shared[-_]?key|master[-_]?key|auth[-_]?key|client[-_]?secret|bearer|credential(?:s)?|psk)";

/// A value without quotes ends at these; one in quotes at the quote.
const VALUE: &str = r#"("[^"]+"|'[^']+'|[^\s"'&;,|)<>}]+)"#;

impl Rules {
    /// Compiles the patterns.
    #[must_use]
    pub fn new() -> Self {
        let option = format!(r"^--?((?:[a-z0-9]+[-_.])*{NAME})(?:=(.*))?$");
        let inside = [
            // Keys.
            r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$))".to_owned(),
            // Headers.
            r#"(?:proxy-)?authorization\s*[:=]\s*["']?(?:[a-z0-9_-]+\s+)?([^\s"',;]+)"#.to_owned(),
            r#"(?:x-[a-z0-9-]*(?:token|key|secret|auth|password)|private-token|job-token|cookie|set-cookie)\s*:\s*([^"'\r\n]+)"#.to_owned(),
            r"\bbearer\s+([a-z0-9._~+/=-]{8,})".to_owned(),
            // Passwords in URLs, and tokens in place of a user.
            r"[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@".to_owned(),
            r"[a-z][a-z0-9+.-]*://([a-z0-9_-]{20,})@".to_owned(),
            // Tokens of known make.
            r"(?-i)\b((?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16})\b".to_owned(),
            r"(?-i)\b((?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}))".to_owned(),
            r"(?-i)\b((?:glpat|gldt|glrt)-[A-Za-z0-9_-]{20,})".to_owned(),
            r"(?-i)\b(xox[abeoprs]-[A-Za-z0-9-]{10,})".to_owned(),
            r"(?-i)\b((?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,})".to_owned(),
            r"(?-i)\b(sk-(?:[A-Za-z0-9]+-)*[A-Za-z0-9_-]{20,})".to_owned(),
            r"(?-i)\b(AIza[0-9A-Za-z_-]{35})".to_owned(),
            r"(?-i)\b(ya29\.[0-9A-Za-z_-]{10,})".to_owned(),
            r"(?-i)\b(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)".to_owned(),
            r"(?-i)\b(hv[sbr]\.[A-Za-z0-9_-]{20,})".to_owned(),
            r"(?-i)\b((?:npm_|dop_v1_|pypi-|dckr_pat_|ATATT3x|SG\.)[A-Za-z0-9_.-]{20,})".to_owned(),
            // openssl's -passin pass:SECRET.
            r"^pass:(.+)$".to_owned(),
            // NAME=VALUE, "name": "value", name: value; in shell commands, JSON, query strings.
            format!(r#"(?:^|[^a-z0-9])(?:[a-z0-9]+[-_.])*{NAME}\d?["']?\s*[=:]\s*{VALUE}"#),
            format!(r"(?:^|[^a-z0-9])(?:PGPASSWORD|MYSQL_PWD|SSHPASS|REDISCLI_AUTH|LDAPTLS_KEY|VAULT_TOKEN|sig|x-amz-signature|x-amz-security-token|signature)=\s*{VALUE}"),
            // --password VALUE inside a shell command.
            format!(r"(?:^|\s)--?(?:[a-z0-9]+[-_])*{NAME}\s+{VALUE}"),
            // -pSECRET and -p SECRET of programs inside a shell command.
            r#"\b(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump)\s(?:[^|;&]*\s)?-p([^\s"']+)"#.to_owned(),
            r#"\bsshpass\s+-p\s*("[^"]+"|'[^']+'|\S+)"#.to_owned(),
            r#"\bredis-cli\s(?:[^|;&]*\s)?-a\s*("[^"]+"|'[^']+'|\S+)"#.to_owned(),
            r#"\bcurl\s(?:[^|;&]*\s)?(?:-u|--user)[\s=]*["']?[^\s:"']+:([^\s"']+)"#.to_owned(),
        ];
        Self {
            option: compile(&option),
            inside: inside
                .iter()
                .filter_map(|pattern| compile(pattern))
                .collect(),
        }
    }

    /// Whether an argument of some program, after the word `login` or not, is
    /// an option with a secret.
    #[must_use]
    pub fn flag(&self, programs: (&[&[u8]], bool), argument: &[u8]) -> Flag {
        match short(programs, argument) {
            Flag::None => self.long(argument),
            found @ (Flag::ValueFollows | Flag::ValueFrom(_)) => found,
        }
    }

    fn long(&self, argument: &[u8]) -> Flag {
        let Some(found) = self
            .option
            .as_ref()
            .and_then(|option| option.captures(argument))
        else {
            return Flag::None;
        };
        let name = found
            .get(1)
            .map(|name| name.as_bytes().to_ascii_lowercase())
            .unwrap_or_default();
        if NOT_ENDS.iter().any(|end| name.ends_with(end.as_bytes())) {
            return Flag::None;
        }
        match found.get(2) {
            Some(value) if value.is_empty() => Flag::None,
            // Inside a value that is a URL or a header, only the secret goes.
            Some(value) => Flag::ValueFrom(value.start()),
            None => Flag::ValueFollows,
        }
    }

    /// Where secrets stand inside an argument, first to last, none overlapping.
    #[must_use]
    pub fn spans(&self, argument: &[u8]) -> Vec<Range<usize>> {
        let mut spans: Vec<Range<usize>> = self
            .inside
            .iter()
            // Nearly always nothing: room for captures costs more than to look.
            .filter(|pattern| pattern.is_match(argument))
            .flat_map(|pattern| pattern.captures_iter(argument))
            .filter_map(|found| found.get(1).map(|secret| secret.range()))
            .chain(super::shell::spans(argument))
            .filter(|span| !span.is_empty())
            .collect();
        spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.start < last.end => last.end = last.end.max(span.end),
                _ => merged.push(span),
            }
        }
        merged
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new()
    }
}

/// A pattern that does not compile is found by a test that counts them.
fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern)
        .case_insensitive(true)
        .unicode(false)
        .build()
        .ok()
}

/// Whether an argument is a short option with a secret of one of the programs
/// that were named before it.
pub(super) fn short((programs, logs_in): (&[&[u8]], bool), argument: &[u8]) -> Flag {
    for (known, option, place) in SHORT {
        if !programs.contains(&known.as_bytes()) {
            continue;
        }
        let Some(rest) = argument.strip_prefix(option.as_bytes()) else {
            continue;
        };
        let rest_from = option.len();
        match place {
            Place::Login if !logs_in => {}
            Place::Joined if rest.is_empty() => {}
            Place::Both | Place::Login | Place::Percent | Place::Colon if rest.is_empty() => {
                return Flag::ValueFollows;
            }
            Place::Percent | Place::Colon => {
                let sign = if *place == Place::Percent { b'%' } else { b':' };
                if let Some(at) = rest.iter().position(|byte| *byte == sign) {
                    return Flag::ValueFrom(rest_from + at + 1);
                }
            }
            Place::Joined | Place::Both | Place::Login => return Flag::ValueFrom(rest_from),
        }
    }
    Flag::None
}
