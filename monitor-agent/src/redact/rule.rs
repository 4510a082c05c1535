//! Which rule found a secret, and where.

use std::ops::Range;

/// What kind of rule found a secret. The name stands in the sign that takes the
/// secret's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A private key in PEM.
    PrivateKey,
    /// A token of known make.
    Token,
    /// An option, variable or field with a telling name.
    Name,
    /// An option that a known program takes a secret by.
    Option,
    /// A place among the arguments of a known program.
    Argument,
    /// A header of HTTP.
    Header,
    /// The user's part of a URL.
    Url,
    /// What is written to a program that reads a secret.
    Input,
    /// A statement of SQL, a script of expect, Python or PowerShell.
    Statement,
}

impl Rule {
    /// Every rule.
    pub const ALL: &[Self] = &[
        Self::PrivateKey,
        Self::Token,
        Self::Name,
        Self::Option,
        Self::Argument,
        Self::Header,
        Self::Url,
        Self::Input,
        Self::Statement,
    ];

    /// Its name in signs and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrivateKey => "private-key",
            Self::Token => "token",
            Self::Name => "name",
            Self::Option => "option",
            Self::Argument => "argument",
            Self::Header => "header",
            Self::Url => "url",
            Self::Input => "input",
            Self::Statement => "statement",
        }
    }
}

/// A secret inside a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which bytes.
    pub range: Range<usize>,
    /// By which rule.
    pub rule: Rule,
}

/// First to last, none overlapping: of two that do, the earlier rule's name
/// stays (of equal beginnings the longer one's), and all bytes go.
#[must_use]
pub fn merged(mut found: Vec<Found>) -> Vec<Found> {
    found.retain(|one| !one.range.is_empty());
    found.sort_by_key(|one| (one.range.start, std::cmp::Reverse(one.range.end), one.rule));
    let mut merged: Vec<Found> = Vec::with_capacity(found.len());
    for one in found {
        match merged.last_mut() {
            Some(last) if one.range.start < last.range.end => {
                last.range.end = last.range.end.max(one.range.end);
            }
            _ => merged.push(one),
        }
    }
    merged
}
