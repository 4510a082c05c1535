//! Which entries of a grant's scope an access touched. Pure.

use std::fmt;

use serde::Serialize;

use crate::{evaluate::Target, grant::Scope};

/// A part of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Networks and ports.
    Destinations,
    /// Credential files.
    Credentials,
    /// Executables.
    Programs,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Destinations, Self::Credentials, Self::Programs];

    /// The name on screens and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Destinations => "destinations",
            Self::Credentials => "credentials",
            Self::Programs => "programs",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One entry of a scope. Grants never change, so its place names it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// In which part.
    pub part: Part,
    /// Its place there, from 0. Of a part without entries, 0 is all of it.
    pub place: u16,
}

impl Scope {
    /// Every entry; a part without entries counts as one.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let of = |part| {
            let length = self.texts(part).len().max(1);
            (0..u16::try_from(length).unwrap_or(u16::MAX)).map(move |place| Entry { part, place })
        };
        Part::ALL.into_iter().flat_map(of).collect()
    }

    /// An entry as it was written; `*` for all of a part without entries.
    #[must_use]
    pub fn entry_text(&self, entry: Entry) -> String {
        let mut texts = self.texts(entry.part).into_iter();
        let text = texts.nth(entry.place.into());
        text.unwrap_or_else(|| "*".to_owned())
    }

    /// The entries that cover an access; empty where none does.
    #[must_use]
    pub fn touched(&self, target: &Target<'_>) -> Vec<Entry> {
        let (part, is_all, places) = match target {
            Target::Destination(to) => {
                let fit = |(place, rule): (usize, &crate::grant::DestinationRule)| {
                    rule.contains(to.address, to.port).then_some(place)
                };
                let places = self.destinations.iter().enumerate().filter_map(fit);
                let is_all = self.destinations.is_empty();
                (Part::Destinations, is_all, places.collect())
            }
            Target::Credential(path) => {
                let patterns = &self.credentials;
                (
                    Part::Credentials,
                    patterns.is_empty(),
                    patterns.fitting(path),
                )
            }
            Target::Program(path) => {
                let patterns = &self.programs;
                (Part::Programs, patterns.is_empty(), patterns.fitting(path))
            }
            // Any live grant does: none of its entries was needed.
            Target::Shared => return Vec::new(),
        };
        let places = if is_all { vec![0] } else { places };
        let entry = |place| {
            let place = u16::try_from(place).ok()?;
            Some(Entry { part, place })
        };
        places.into_iter().filter_map(entry).collect()
    }

    fn texts(&self, part: Part) -> Vec<String> {
        match part {
            Part::Destinations => self.destinations.iter().map(ToString::to_string).collect(),
            Part::Credentials => self.credentials.texts().to_vec(),
            Part::Programs => self.programs.texts().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bytes::PathLabel, grant::PathPatterns};

    #[test]
    fn every_entry_that_covers_an_access_is_touched_and_no_other() {
        let patterns = |texts: &[&str]| {
            PathPatterns::new(texts.iter().map(ToString::to_string).collect()).unwrap()
        };
        let scope = Scope {
            destinations: vec![],
            credentials: patterns(&["/srv/acme/*", "/srv/other", "/srv/**"]),
            programs: patterns(&["/usr/bin/cat"]),
        };
        let path = |text: &str| PathLabel {
            text: text.into(),
            truncated: false,
        };
        let (key, cat, ls) = (path("/srv/acme/key"), path("/usr/bin/cat"), path("/bin/ls"));
        let touched = |target: Target<'_>| -> Vec<String> {
            let entries = scope.touched(&target).into_iter();
            entries.map(|entry| scope.entry_text(entry)).collect()
        };
        assert_eq!(
            touched(Target::Credential(&key)),
            ["/srv/acme/*", "/srv/**"]
        );
        assert_eq!(touched(Target::Program(&cat)), ["/usr/bin/cat"]);
        assert!(touched(Target::Program(&ls)).is_empty());
        assert!(touched(Target::Shared).is_empty());
        let all: Vec<_> = scope
            .entries()
            .iter()
            .map(|e| scope.entry_text(*e))
            .collect();
        assert_eq!(
            all,
            ["*", "/srv/acme/*", "/srv/other", "/srv/**", "/usr/bin/cat"]
        );
    }
}
