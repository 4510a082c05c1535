//! What came against what was expected: pure.
//!
//! Events are chosen by what happened and to which object, whoever they are
//! attributed to; only then is looked whose they are and how they were judged.
//! So a wrong attribution is found, and is not "not seen".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::expect::{OneOf, Sight, Whose};
use crate::facts::Fact;

/// Whose an event is where nothing is said.
const OWN: &[Whose] = &[Whose::Own];

/// A file as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Object {
    /// As `st_dev` shows it.
    pub device: u64,
    /// The inode.
    pub inode: u64,
}

/// What the names in an expectation stand for.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Objects by the text in `object`; several where a path meant one thing
    /// before, and another after.
    pub objects: BTreeMap<String, Vec<Object>>,
    /// Variables, without the dollar.
    pub variables: Vec<(String, String)>,
    /// The session that plays the script.
    pub own: String,
    /// The sessions that this one opened on the same host.
    pub inner: Vec<String>,
    /// The session of the other engineer.
    pub other: String,
}

impl Names {
    /// A text with its variables replaced, the longest name first.
    #[must_use]
    pub fn replace(&self, text: &str) -> String {
        let mut variables: Vec<_> = self.variables.iter().collect();
        variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let mut text = text.to_owned();
        for (name, value) in variables {
            text = text.replace(&format!("${name}"), value);
        }
        text
    }
}

/// What one expectation found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The expectation.
    pub name: String,
    /// How many should be.
    pub wanted: String,
    /// How many were.
    pub found: usize,
    /// Whether that is right.
    pub seen: bool,
    /// Whether all are of the right session; none where it was not asked.
    pub attributed: Option<bool>,
    /// Whether all have the right verdict; none where it was not asked.
    pub judged: Option<bool>,
    /// How many were given to whom they belong.
    #[serde(default)]
    pub right: usize,
    /// How many were given to nobody.
    #[serde(default)]
    pub unnamed: usize,
    /// How many were given to somebody else.
    #[serde(default)]
    pub wrong: usize,
    /// How they are known (lineages), or why not (reasons): how many each.
    #[serde(default)]
    pub grounds: BTreeMap<String, usize>,
    /// What differs, in words.
    pub differs: Vec<String>,
}

impl Found {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.differs.is_empty()
    }
}

/// Looks for what must be seen.
#[must_use]
pub fn look_for(sight: &Sight, facts: &[Fact], names: &Names) -> Found {
    let events: Vec<&Fact> = facts
        .iter()
        .filter(|fact| fits(sight, fact, names))
        .collect();
    let mut found = Found {
        name: sight.name.clone(),
        wanted: sight.wanted(),
        found: events.len(),
        seen: sight.takes(events.len()),
        attributed: None,
        judged: None,
        right: 0,
        unnamed: 0,
        wrong: 0,
        grounds: BTreeMap::new(),
        differs: Vec::new(),
    };
    if !found.seen {
        found.differs.push(count_differs(sight, &events, facts));
    }
    if events.is_empty() {
        return found;
    }
    attribute(sight, &events, names, &mut found);
    if let Some(verdict) = &sight.verdict {
        let wrong: Vec<&&Fact> = events
            .iter()
            .filter(|fact| fact.verdict() != verdict)
            .collect();
        found.judged = Some(wrong.is_empty());
        for one in wrong {
            let said = one.text("/verdict_text");
            found.differs.push(format!(
                "{}: judged {said:?} instead of {verdict}",
                sight.name
            ));
        }
    }
    found
}

/// Whose the events are, how that is known, and how many have a wrong name.
fn attribute(sight: &Sight, events: &[&Fact], names: &Names, found: &mut Found) {
    let whose = sight.session.as_ref().map_or(OWN, OneOf::all);
    let is_right = |fact: &Fact| whose.iter().any(|one| is_of(*one, fact, names));
    let mut differs = Vec::new();
    for fact in events {
        // A session in which two were named has nobody's name.
        let is_nobodys =
            fact.session().is_empty() || fact.text("/event/attribution/lineage") == "unattributed";
        let count = match (fact.session(), is_right(fact)) {
            ("", _) => &mut found.unnamed,
            (_, false) => &mut found.wrong,
            (_, true) if is_nobodys => &mut found.unnamed,
            (_, true) => &mut found.right,
        };
        *count = count.saturating_add(1);
        let ground = if is_nobodys {
            fact.text("/event/attribution/reason")
        } else {
            fact.text("/event/attribution/lineage")
        };
        let count = found.grounds.entry(ground.to_owned()).or_default();
        *count = count.saturating_add(1);
        if !is_right(fact) {
            differs.push(format!(
                "attributed to {} instead of {}",
                in_words(fact.session(), names),
                whose_in_words(whose)
            ));
        }
        if fact.session().is_empty() && fact.text("/event/attribution/reason").is_empty() {
            differs.push("no session, and no reason why".to_owned());
        }
        for (wanted, place) in [(&sight.lineage, "lineage"), (&sight.reason, "reason")] {
            let Some(wanted) = wanted else { continue };
            let is = fact.text(&format!("/event/attribution/{place}"));
            if !wanted.all().iter().any(|one| one == is) {
                let all = wanted.all().join(" or ");
                differs.push(format!("{place} {is:?} instead of {all}"));
            }
        }
    }
    let looks_at_it = sight.lineage.is_some() || sight.reason.is_some();
    if looks_at_it || !whose.contains(&Whose::Any) {
        found.attributed = Some(differs.is_empty());
    }
    let name = |differs: String| format!("{}: {differs}", sight.name);
    found.differs.extend(differs.into_iter().map(name));
}

/// Looks for what must not be said; gives back what was said nevertheless.
#[must_use]
pub fn look_for_forbidden(sight: &Sight, facts: &[Fact], names: &Names) -> Vec<String> {
    let is_whole = |fact: &&Fact| {
        fits(sight, fact, names)
            && sight.session.as_ref().is_none_or(|whose| {
                let mut whose = whose.all().iter();
                whose.any(|one| is_of(*one, fact, names))
            })
            && sight
                .verdict
                .as_ref()
                .is_none_or(|verdict| fact.verdict() == verdict)
    };
    let said = facts.iter().filter(is_whole);
    said.map(|fact| format!("must not be said, and was: {}", fact.text("/what")))
        .collect()
}

/// What was told of the same kind instead, so that who reads can see why.
fn count_differs(sight: &Sight, events: &[&Fact], facts: &[Fact]) -> String {
    let near: Vec<String> = facts
        .iter()
        .filter(|fact| fact.is_event(&sight.kind))
        .filter(|fact| {
            events.is_empty()
                || events
                    .iter()
                    .any(|event| event.text("/event/id") == fact.text("/event/id"))
        })
        .map(|fact| fact.text("/what").to_owned())
        .collect();
    let some = near
        .iter()
        .rev()
        .take(4)
        .rev()
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    let told = if near.is_empty() {
        format!("nothing of kind {} was told", sight.kind)
    } else {
        format!("{} of kind {} told: {some}", near.len(), sight.kind)
    };
    format!(
        "{}: seen {} times instead of {}; {told}",
        sight.name,
        events.len(),
        sight.wanted()
    )
}

fn fits(sight: &Sight, fact: &Fact, names: &Names) -> bool {
    fact.is_event(&sight.kind)
        && sight.operation.as_ref().is_none_or(|wanted| {
            wanted
                .all()
                .iter()
                .any(|one| fact.text("/event/action/operation") == one)
        })
        && is_object(
            sight.object.as_ref(),
            fact,
            object_place(&sight.kind),
            names,
        )
        && is_object(sight.script.as_ref(), fact, "/event/action/script", names)
        && sight
            .program
            .as_ref()
            .is_none_or(|wanted| wanted.all().iter().any(|one| program_of(fact) == one))
        && sight.destination.as_ref().is_none_or(|wanted| {
            wanted
                .all()
                .iter()
                .any(|one| goes_to(fact, &names.replace(one)))
        })
        && sight
            .fields
            .iter()
            .all(|(place, wanted)| has_field(fact, place, wanted, names))
}

/// The file name of what the process runs: after an exec the new one.
fn program_of(fact: &Fact) -> &str {
    let places = [
        "/event/action/exe/path/text",
        "/event/process/exe/text",
        "/event/process/comm",
    ];
    let file = places
        .into_iter()
        .map(|place| fact.text(place))
        .find(|text| !text.is_empty());
    let file = file.unwrap_or_default();
    let file = file.strip_suffix(" (deleted)").unwrap_or(file);
    file.rsplit('/').next().unwrap_or_default()
}

fn object_place(kind: &str) -> &'static str {
    match kind {
        "exec" => "/event/action/exe",
        _ => "/event/action/object",
    }
}

fn is_object(wanted: Option<&OneOf<String>>, fact: &Fact, place: &str, names: &Names) -> bool {
    let Some(wanted) = wanted else { return true };
    let number = |field: &str| fact.number(&format!("{place}/{field}"));
    let (Some(device), Some(inode)) = (number("device"), number("inode")) else {
        return false;
    };
    let object = Object { device, inode };
    let mut meant = wanted
        .all()
        .iter()
        .filter_map(|name| names.objects.get(name))
        .flatten();
    meant.any(|one| *one == object)
}

/// `ADDRESS:PORT`, either of them `*`. IPv4 within IPv6 is IPv4.
fn goes_to(fact: &Fact, wanted: &str) -> bool {
    let Some((address, port)) = wanted.rsplit_once(':') else {
        return false;
    };
    let address = address.trim_matches(['[', ']']);
    let is_there = fact.text("/event/action/destination/address");
    let port_there = fact.number("/event/action/destination/port");
    let same = match (
        address.parse::<std::net::IpAddr>(),
        is_there.parse::<std::net::IpAddr>(),
    ) {
        (Ok(a), Ok(b)) => a == b,
        _ => address == is_there,
    };
    (address == "*" || same) && (port == "*" || port.parse().ok() == port_there)
}

fn has_field(fact: &Fact, place: &str, wanted: &toml::Value, names: &Names) -> bool {
    let pointer = if place.starts_with('/') {
        place.to_owned()
    } else {
        format!("/event/action/{}", place.replace('.', "/"))
    };
    let is = fact
        .value
        .pointer(&pointer)
        .unwrap_or(&serde_json::Value::Null);
    is_value(is, wanted, names)
}

fn is_value(is: &serde_json::Value, wanted: &toml::Value, names: &Names) -> bool {
    match wanted {
        toml::Value::Array(any) => any.iter().any(|one| is_value(is, one, names)),
        toml::Value::String(text) => {
            let text = names.replace(text);
            match (text.as_str(), text.strip_prefix('~')) {
                ("*", _) => !is.is_null(),
                (_, Some(part)) => is.as_str().is_some_and(|is| is.contains(part)),
                // A number in a variable is a text there.
                _ => {
                    is.as_str() == Some(&text)
                        || is.as_u64().is_some_and(|is| text.parse() == Ok(is))
                }
            }
        }
        toml::Value::Integer(number) => {
            is.as_i64() == Some(*number) || is.as_u64() == u64::try_from(*number).ok()
        }
        toml::Value::Boolean(yes) => is.as_bool() == Some(*yes),
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => false,
    }
}

fn is_of(whose: Whose, fact: &Fact, names: &Names) -> bool {
    match whose {
        Whose::Own => fact.session() == names.own,
        Whose::Inner => names.inner.iter().any(|inner| fact.session() == inner),
        Whose::Other => !names.other.is_empty() && fact.session() == names.other,
        Whose::None => fact.session().is_empty(),
        Whose::Any => true,
    }
}

fn in_words(session: &str, names: &Names) -> String {
    match session {
        "" => "nobody".to_owned(),
        own if own == names.own => "the own session".to_owned(),
        other if other == names.other => "the other engineer's session".to_owned(),
        inner if names.inner.iter().any(|one| one == inner) => "an inner session".to_owned(),
        third => format!("session {third}"),
    }
}

fn whose_in_words(whose: &[Whose]) -> String {
    let word = |one: &Whose| match one {
        Whose::Own => "the own session",
        Whose::Inner => "an inner session",
        Whose::Other => "the other engineer's session",
        Whose::None => "nobody",
        Whose::Any => "anybody",
    };
    whose.iter().map(word).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
