//! Secrets in the statements of languages: SQL, expect, Python, PowerShell.
//!
//! The patterns need no more than what stands beside the secret, and `regex`
//! reads a text in a time that grows with its length alone.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::rule::{Found, Rule};

/// Each has the secret as its first group.
const PATTERNS: &[&str] = &[
    // SQL: IDENTIFIED [WITH x] BY '...', PASSWORD '...', PASSWORD('...').
    r#"\bidentified\s+(?:with\s+\S+\s+)?(?:by|as)\s+(?:password\s+)?['"]([^'"]+)"#,
    r"\bpassword\s*\(?\s*'([^']+)",
    // PowerShell.
    r#"\bconvertto-securestring\s+(?:-string\s+)?['"]([^'"$]+)"#,
    // expect: send "...\r".
    r#"\bsend(?:_user)?\s+(?:--\s+)?["{]([^"$\\}]{3,})\\[rn]"#,
    // Python: auth=('user', '...').
    r#"\bauth\s*=\s*\(\s*['"][^'"]*['"]\s*,\s*['"]([^'"]+)"#,
    // lftp: open -u user,... host.
    r"\bopen\s+-u\s+[^\s,]+,(\S+)",
];

/// The patterns, compiled.
#[derive(Debug)]
pub(super) struct Statements {
    any: RegexSet,
    each: Vec<Regex>,
}

impl Statements {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// When one of them is none.
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            any: RegexSetBuilder::new(PATTERNS)
                .case_insensitive(true)
                .unicode(false)
                .build()?,
            each: PATTERNS
                .iter()
                .map(|pattern| {
                    RegexBuilder::new(pattern)
                        .case_insensitive(true)
                        .unicode(false)
                        .build()
                })
                .collect::<Result<_, _>>()?,
        })
    }

    /// Where secrets stand.
    pub(super) fn find(&self, text: &[u8], found: &mut Vec<Found>) {
        for pattern in self
            .any
            .matches(text)
            .into_iter()
            .filter_map(|at| self.each.get(at))
        {
            let secrets = pattern
                .captures_iter(text)
                .filter_map(|captures| captures.get(1));
            found.extend(secrets.map(|secret| Found {
                range: secret.range(),
                rule: Rule::Statement,
            }));
        }
    }
}
