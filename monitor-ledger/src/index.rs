//! What the records of a block are found by, beside their bytes.
//!
//! In: the records of one block, in order. Out: the spans of time that they
//! are from, the numbers of their streams, and the terms that they can be
//! searched by. Everything follows from the records: the check makes it again
//! and compares. Terms are keyed digests: who has the file and not its secret
//! cannot look up whom it speaks of.

use std::collections::{BTreeSet, HashSet};

use monitor_model::{
    event::{Event, Kind, objects},
    id::{AgentName, PrincipalId, SessionId},
    verdict::VerdictKind,
};
use prost::encoding::{decode_varint, encode_varint};
use sha2::{Digest as _, Sha256};

use crate::{intervals::Intervals, leaf::Blinding, sequences::Stream};

/// Beginnings of objects are kept at every so many bytes...
const OBJECT_STEP: usize = 4;
/// ... up to this many.
const OBJECT_BYTES_MAX: usize = 128;

/// What a record is searched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term<'a> {
    /// Its session.
    Session(SessionId),
    /// Its principal.
    Principal(&'a PrincipalId),
    /// Its host.
    Host(&'a AgentName),
    /// Its kind.
    Kind(Kind),
    /// Its verdict.
    Verdict(VerdictKind),
    /// The beginning of one of its objects: [`Term::object`] makes it.
    Object(&'a [u8]),
}

impl<'a> Term<'a> {
    /// What an object that begins so is searched by: as much of the beginning
    /// as is kept. None where it is too short to narrow anything down.
    #[must_use]
    pub fn object(prefix: &'a [u8]) -> Option<Self> {
        let length = prefix.len().min(OBJECT_BYTES_MAX) / OBJECT_STEP * OBJECT_STEP;
        let kept = prefix.get(..length).filter(|kept| !kept.is_empty());
        kept.map(Self::Object)
    }

    /// What is kept of it in a ledger: the first eight bytes of SHA-256 over
    /// the ledger's secret and the term.
    #[must_use]
    pub fn code(&self, blinding: &Blinding) -> i64 {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        code(&bytes, blinding)
    }

    fn write(&self, into: &mut Vec<u8>) {
        let (tag, value): (u8, &[u8]) = match self {
            Self::Session(id) => return into.extend([&[1], &id.to_bytes()[..]].concat()),
            Self::Principal(id) => (2, id.as_str().as_bytes()),
            Self::Host(id) => (3, id.as_str().as_bytes()),
            Self::Kind(kind) => (4, kind.as_str().as_bytes()),
            Self::Verdict(kind) => (5, kind.as_str().as_bytes()),
            Self::Object(prefix) => (6, prefix),
        };
        into.push(tag);
        into.extend(value);
    }
}

fn code(term: &[u8], blinding: &Blinding) -> i64 {
    let mut digest = Sha256::new_with_prefix(blinding.0);
    digest.update(b"term");
    digest.update(term);
    let whole: [u8; 32] = digest.finalize().into();
    whole
        .first_chunk()
        .map_or(0, |first| i64::from_be_bytes(*first))
}

/// First and last of something.
pub type Span = (u64, u64);

/// What the records of one block are found by.
#[derive(Clone, Debug, Default)]
pub struct Index {
    stored: Option<Span>,
    at: Option<Span>,
    numbers: Vec<(Stream, Vec<u64>)>,
    terms: HashSet<Vec<u8>>,
    /// Objects whose terms are there.
    objects: HashSet<Vec<u8>>,
    scratch: Vec<u8>,
}

impl Index {
    /// Takes the next record.
    pub fn take(&mut self, stored_at_unix_ns: u64, event: &Event, verdict: VerdictKind) {
        widen(&mut self.stored, stored_at_unix_ns);
        widen(&mut self.at, event.at.0);
        self.number(event);
        let who = &event.attribution;
        let terms = [
            who.session.map(Term::Session),
            who.principal.as_ref().map(Term::Principal),
            Some(Term::Host(&event.id.agent)),
            Some(Term::Kind(event.action.kind())),
            Some(Term::Verdict(verdict)),
        ];
        for term in terms.into_iter().flatten() {
            self.term(term);
        }
        for object in objects(event) {
            if self.objects.contains(object.as_ref()) {
                continue;
            }
            let lengths = (OBJECT_STEP..=object.len().min(OBJECT_BYTES_MAX)).step_by(OBJECT_STEP);
            for beginning in lengths.filter_map(|length| object.get(..length)) {
                self.term(Term::Object(beginning));
            }
            self.objects.insert(object.into_owned());
        }
    }

    /// Takes the records of another, which follow.
    pub fn absorb(&mut self, other: Self) {
        for (span, theirs) in [(&mut self.stored, other.stored), (&mut self.at, other.at)] {
            if let Some((low, high)) = theirs {
                widen(span, low);
                widen(span, high);
            }
        }
        for (stream, numbers) in other.numbers {
            let known = self.numbers.iter_mut().find(|(known, _)| *known == stream);
            match known {
                Some((_, known)) => known.extend(numbers),
                None => self.numbers.push((stream, numbers)),
            }
        }
        self.terms.extend(other.terms);
        self.objects.extend(other.objects);
    }

    fn term(&mut self, term: Term<'_>) {
        self.scratch.clear();
        term.write(&mut self.scratch);
        if !self.terms.contains(&self.scratch) {
            self.terms.insert(self.scratch.clone());
        }
    }

    fn number(&mut self, event: &Event) {
        let id = &event.id;
        let is_its = |(stream, _): &(Stream, Vec<u64>)| {
            stream.source == id.source && stream.boot == id.boot && stream.agent == id.agent
        };
        if let Some(at) = self.numbers.iter().rposition(is_its) {
            if let Some((_, numbers)) = self.numbers.get_mut(at) {
                numbers.push(id.sequence);
            }
        } else {
            self.numbers.push((Stream::from(id), vec![id.sequence]));
        }
    }

    /// When the first and the last were stored, nanoseconds since 1970.
    #[must_use]
    pub fn stored(&self) -> Span {
        self.stored.unwrap_or_default()
    }

    /// When the earliest and the latest happened, nanoseconds since 1970.
    #[must_use]
    pub fn at(&self) -> Span {
        self.at.unwrap_or_default()
    }

    /// The numbers of each stream.
    pub fn numbers(&self) -> impl Iterator<Item = (&Stream, Numbers)> {
        self.numbers
            .iter()
            .map(|(stream, numbers)| (stream, Numbers::new(numbers.clone())))
    }

    /// What they are searched by, as it is kept.
    #[must_use]
    pub fn terms(&self, blinding: &Blinding) -> BTreeSet<i64> {
        self.terms.iter().map(|term| code(term, blinding)).collect()
    }
}

fn widen(span: &mut Option<Span>, value: u64) {
    *span = Some(span.map_or((value, value), |(low, high)| {
        (low.min(value), high.max(value))
    }));
}

/// Sequence numbers of one stream: ranges, ascending, that do not touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers(Vec<Span>);

impl Numbers {
    fn new(mut numbers: Vec<u64>) -> Self {
        numbers.sort_unstable();
        let mut ranges: Vec<Span> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, last)) if number <= last.saturating_add(1) => *last = number.max(*last),
                _ => ranges.push((number, number)),
            }
        }
        Self(ranges)
    }

    /// The ranges, first and last inclusive.
    #[must_use]
    pub fn ranges(&self) -> &[Span] {
        &self.0
    }

    /// The lowest and the highest number.
    #[must_use]
    pub fn span(&self) -> Span {
        let first = self.0.first().map_or(0, |(first, _)| *first);
        (first, self.0.last().map_or(0, |(_, last)| *last))
    }

    /// Whether a number is one of them.
    #[must_use]
    pub fn contain(&self, number: u64) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        let range = after.checked_sub(1).and_then(|at| self.0.get(at));
        range.is_some_and(|(_, last)| number <= *last)
    }

    /// As they are kept: for each range the distance from the one before, and
    /// how many follow its first, both as variable-length integers.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut before = 0;
        for (first, last) in &self.0 {
            encode_varint(first - before, &mut bytes);
            encode_varint(last - first, &mut bytes);
            before = *last;
        }
        bytes
    }

    /// Reads what was kept; none when it is no such thing.
    #[must_use]
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        let (mut ranges, mut before) = (Vec::new(), 0u64);
        while !bytes.is_empty() {
            let distance = decode_varint(&mut bytes).ok()?;
            let more = decode_varint(&mut bytes).ok()?;
            let first = before.checked_add(distance)?;
            let last = first.checked_add(more)?;
            if !ranges.is_empty() && distance < 2 {
                return None;
            }
            ranges.push((first, last));
            before = last;
        }
        Some(Self(ranges))
    }
}

impl From<&Intervals> for Numbers {
    fn from(held: &Intervals) -> Self {
        Self(held.ranges_from(0).collect())
    }
}

impl From<&Numbers> for Intervals {
    fn from(numbers: &Numbers) -> Self {
        let mut held = Self::default();
        for (first, last) in numbers.ranges() {
            held.insert_range(*first, *last);
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terms_differ_by_kind_of_term_value_and_ledger() {
        let (one, two) = (Blinding([1; 32]), Blinding([2; 32]));
        let principal = PrincipalId::new("exec").unwrap();
        let host = AgentName::new("exec").unwrap();
        let codes = [
            Term::Principal(&principal).code(&one),
            Term::Host(&host).code(&one),
            Term::Kind(Kind::Exec).code(&one),
            Term::Kind(Kind::Exec).code(&two),
            Term::Kind(Kind::Exit).code(&one),
        ];
        let distinct: BTreeSet<i64> = codes.into_iter().collect();
        assert_eq!(distinct.len(), codes.len());
        assert_eq!(Term::Host(&host).code(&one), codes[1]);
    }

    #[test]
    fn every_beginning_of_an_object_finds_it_or_narrows_nothing() {
        let object = b"/srv/globex/kubeconfig";
        let kept: Vec<&[u8]> = (4..=object.len())
            .step_by(4)
            .map(|to| &object[..to])
            .collect();
        for to in 0..=object.len() {
            match Term::object(&object[..to]) {
                None => assert!(to < OBJECT_STEP),
                Some(Term::Object(asked)) => assert!(kept.contains(&asked), "{to}"),
                Some(other) => panic!("{other:?}"),
            }
        }
        let long = [b'x'; 500];
        assert_eq!(
            Term::object(&long),
            Some(Term::Object(&long[..OBJECT_BYTES_MAX]))
        );
    }

    proptest! {
        #[test]
        fn numbers_come_back_and_contain_what_they_were_made_of(
            numbers in prop::collection::btree_set(1u64..300, 1..80)) {
            let made = Numbers::new(numbers.iter().rev().copied().collect());
            prop_assert_eq!(Numbers::parse(&made.to_bytes()), Some(made.clone()));
            prop_assert_eq!(Numbers::from(&Intervals::from(&made)), made.clone());
            for number in 0..301 {
                prop_assert_eq!(made.contain(number), numbers.contains(&number));
            }
            let count: u64 = made.ranges().iter().map(|(first, last)| last - first + 1).sum();
            prop_assert_eq!(count, u64::try_from(numbers.len()).unwrap());
        }

        #[test]
        fn any_bytes_are_numbers_or_none_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(numbers) = Numbers::parse(&bytes) {
                _ = numbers.span();
                prop_assert_eq!(Numbers::parse(&numbers.to_bytes()), Some(numbers));
            }
        }
    }
}
