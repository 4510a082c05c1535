//! What within a tenant a grant opens: networks with ports, and path patterns.

use std::{ffi::OsStr, fmt, net::IpAddr, os::unix::ffi::OsStrExt as _, str::FromStr};

use globset::{Glob, GlobSet, GlobSetBuilder};
use ipnet::IpNet;
use serde::Serialize;

use super::InvalidGrant;
use crate::bytes::PathLabel;

/// Most entries in one part of a scope.
pub const SCOPE_ENTRIES_MAX: usize = 256;

/// Inclusive port range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port, not below the first.
    pub last: u16,
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// Whether the port lies in the range.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("*"),
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

impl FromStr for PortRange {
    type Err = InvalidGrant;
    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let wrong = || InvalidGrant::Ports {
            text: text.to_owned(),
        };
        if text == "*" {
            return Ok(Self::ALL);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self {
            first: first.parse().map_err(|_| wrong())?,
            last: last.parse().map_err(|_| wrong())?,
        };
        if range.first > range.last {
            Err(wrong())
        } else {
            Ok(range)
        }
    }
}

/// A network and the ports on it: `10.20.0.0/24:443`, `[fd00::/64]:*`, `10.20.0.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DestinationRule {
    /// Network; a single address is a network of one.
    pub network: IpNet,
    /// Ports on it.
    pub ports: PortRange,
}

impl DestinationRule {
    /// Whether the address and port lie in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr, port: u16) -> bool {
        self.network.contains(&address) && self.ports.contains(port)
    }
}

impl fmt::Display for DestinationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            IpNet::V4(network) => write!(f, "{network}:{}", self.ports),
            IpNet::V6(network) => write!(f, "[{network}]:{}", self.ports),
        }
    }
}

impl FromStr for DestinationRule {
    type Err = InvalidGrant;
    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let wrong = || InvalidGrant::Destination {
            text: text.to_owned(),
        };
        let (network, ports) = match text.strip_prefix('[') {
            Some(rest) => {
                let (network, rest) = rest.split_once(']').ok_or_else(wrong)?;
                (
                    network,
                    if rest.is_empty() {
                        None
                    } else {
                        Some(rest.strip_prefix(':').ok_or_else(wrong)?)
                    },
                )
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => text
                .split_once(':')
                .map_or((text, None), |(network, ports)| (network, Some(ports))),
        };
        let network = network
            .parse::<IpNet>()
            .or_else(|_| network.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| wrong())?;
        let ports = ports.map_or(Ok(PortRange::ALL), str::parse)?;
        Ok(Self {
            network: network.trunc(),
            ports,
        })
    }
}

impl Serialize for DestinationRule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Path patterns. `*` stays within a directory, `**` does not.
///
/// Most are literals with `*`, and `**` as a whole component: those are matched
/// as they stand. The rest (`?`, `[...]`, `{...}`, escapes) is compiled, which
/// takes some thousand bytes each.
#[derive(Clone, Debug, Default)]
pub struct PathPatterns {
    texts: Vec<String>,
    /// The places of those that are matched as they stand.
    plain: Vec<usize>,
    /// The others, and their places.
    compiled: Option<Box<(GlobSet, Vec<usize>)>>,
}

impl PathPatterns {
    /// Reads the patterns.
    ///
    /// # Errors
    /// [`InvalidGrant::Pattern`] names the first that is not one;
    /// [`InvalidGrant::TooMany`] when there are more than [`SCOPE_ENTRIES_MAX`].
    pub fn new(texts: Vec<String>) -> Result<Self, InvalidGrant> {
        if texts.len() > SCOPE_ENTRIES_MAX {
            return Err(InvalidGrant::TooMany {
                entries: texts.len(),
            });
        }
        let mut builder = GlobSetBuilder::new();
        let (mut plain, mut others) = (Vec::new(), Vec::new());
        for (place, text) in texts.iter().enumerate() {
            let glob = glob(text)?;
            if is_plain(text) {
                plain.push(place);
            } else {
                builder.add(glob);
                others.push(place);
            }
        }
        let compiled = if others.is_empty() {
            None
        } else {
            let set = builder.build().map_err(|error| InvalidGrant::Pattern {
                text: texts.join(" "),
                cause: error.kind().to_string(),
            })?;
            Some(Box::new((set, others)))
        };
        Ok(Self {
            texts,
            plain,
            compiled,
        })
    }

    /// The patterns as written.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a whole path matches. A truncated path matches nothing.
    #[must_use]
    pub fn matches(&self, path: &PathLabel) -> bool {
        let compiled = |path| {
            let set = self.compiled.as_ref();
            set.is_some_and(|set| set.0.is_match(path))
        };
        let path_bytes = path.text.0.as_slice();
        !path.truncated
            && (self.fitting_plain(path_bytes).next().is_some()
                || compiled(OsStr::from_bytes(path_bytes)))
    }

    /// The places of the patterns that a whole path matches, ascending.
    #[must_use]
    pub fn fitting(&self, path: &PathLabel) -> Vec<usize> {
        if path.truncated {
            return Vec::new();
        }
        let path = path.text.0.as_slice();
        let mut places: Vec<usize> = self.fitting_plain(path).collect();
        if let Some((set, others)) = self.compiled.as_deref() {
            let found = set.matches(OsStr::from_bytes(path)).into_iter();
            places.extend(found.filter_map(|at| others.get(at)));
            places.sort_unstable();
        }
        places
    }

    fn fitting_plain(&self, path: &[u8]) -> impl Iterator<Item = usize> {
        self.plain.iter().copied().filter(move |&place| {
            let text = self.texts.get(place);
            text.is_some_and(|text| fast_glob::glob_match(text, path))
        })
    }
}

/// Whether a pattern has nothing special in it but `*`, and `**` as a whole
/// component.
fn is_plain(text: &str) -> bool {
    let is_special = |c: char| matches!(c, '?' | '[' | ']' | '{' | '}' | '\\' | '!');
    let is_whole = |component: &str| component == "**" || !component.contains("**");
    !text.contains(is_special) && text.split('/').all(is_whole)
}

/// Compiles one pattern. `*` stays within a directory, `**` does not.
pub(crate) fn glob(text: &str) -> Result<Glob, InvalidGrant> {
    let wrong = |cause: String| InvalidGrant::Pattern {
        text: text.to_owned(),
        cause,
    };
    if !text.starts_with('/') {
        return Err(wrong("it does not start with /".to_owned()));
    }
    globset::GlobBuilder::new(text)
        .literal_separator(true)
        .build()
        .map_err(|error| wrong(error.kind().to_string()))
}

impl PartialEq for PathPatterns {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for PathPatterns {}

impl Serialize for PathPatterns {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.texts.serialize(serializer)
    }
}

/// What within the tenant a grant opens. An empty part means: all of the tenant's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// Networks and ports.
    pub destinations: Vec<DestinationRule>,
    /// Credential files.
    pub credentials: PathPatterns,
    /// Executables.
    pub programs: PathPatterns,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::cases;

    /// Parts of patterns and paths; some longer, some with what `*` must not cross.
    fn text(part: &'static str) -> impl Strategy<Value = String> {
        proptest::collection::vec(part, 0..5).prop_map(|parts| format!("/{}", parts.join("/")))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases() / 500))]

        #[test]
        fn patterns_that_stand_as_they_are_match_what_compiled_ones_match(
            pattern in text("(\\*\\*|[ab.*]{1,3}|é)?"),
            paths in proptest::collection::vec(text("[ab.*é]{0,3}"), 50),
        ) {
            if let (true, Ok(compiled)) = (is_plain(&pattern), glob(&pattern)) {
                let matcher = compiled.compile_matcher();
                for path in paths {
                    let plain = fast_glob::glob_match(&pattern, &path);
                    prop_assert_eq!(plain, matcher.is_match(&path), "{} {}", pattern, path);
                }
            }
        }
    }

    #[test]
    fn places_are_those_of_all_patterns_however_they_are_matched() {
        let texts = ["/srv/*", "/srv/[ab]", "/srv/**", "/x", "/srv/{a,c}"];
        let texts = texts.map(ToString::to_string).to_vec();
        let patterns = PathPatterns::new(texts).unwrap();
        let fitting = |text: &str| {
            let path = PathLabel {
                text: text.into(),
                truncated: false,
            };
            assert_eq!(patterns.matches(&path), !patterns.fitting(&path).is_empty());
            patterns.fitting(&path)
        };
        assert_eq!(fitting("/srv/a"), [0, 1, 2, 4]);
        assert_eq!(fitting("/srv/b/c"), [2]);
        assert_eq!(fitting("/y"), [0; 0]);
    }

    #[test]
    fn destinations_survive_their_text_form() {
        for text in [
            "10.20.0.0/24:443",
            "10.20.0.0/24:*",
            "[fd00::/64]:8000-8999",
            "[fd00::/64]:*",
        ] {
            assert_eq!(text.parse::<DestinationRule>().unwrap().to_string(), text);
        }
        assert_eq!(
            "10.1.2.3".parse::<DestinationRule>().unwrap().to_string(),
            "10.1.2.3/32:*"
        );
        assert_eq!(
            "fd00::1".parse::<DestinationRule>().unwrap().to_string(),
            "[fd00::1/128]:*"
        );
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1:70000",
            "[fd00::1",
            "host:22",
            "10.0.0.1:9-1",
        ] {
            assert!(text.parse::<DestinationRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_star_stays_within_its_directory() {
        let patterns = PathPatterns::new(vec!["/srv/acme/*".into(), "/etc/**/key".into()]).unwrap();
        let path = |text: &str| PathLabel {
            text: text.into(),
            truncated: false,
        };
        assert!(patterns.matches(&path("/srv/acme/kubeconfig")));
        assert!(!patterns.matches(&path("/srv/acme/sub/kubeconfig")));
        assert!(patterns.matches(&path("/etc/a/b/key")));
        assert!(!patterns.matches(&PathLabel {
            text: "/srv/acme/x".into(),
            truncated: true
        }));
        assert!(PathPatterns::new(vec!["srv/*".into()]).is_err());
        assert!(PathPatterns::new(vec!["/srv/[".into()]).is_err());
    }
}
