//! Which parts of a judged event are sent.
//!
//! In: paths of fields of `JudgedEvent`, where `event` stands for the message
//! that its bytes are. Out: the event with those parts alone. Bound:
//! [`PATHS_MAX`] paths of [`PATH_BYTES_MAX`] bytes. Loss: what was not asked
//! for; the hash too, where event or judgement come in part.

use std::{collections::BTreeMap, sync::LazyLock};

use prost::{DecodeError, Message as _};
use prost_reflect::{
    DescriptorError, DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor,
};

use crate::{DESCRIPTORS, v1};

/// Most paths of a mask.
pub const PATHS_MAX: usize = 100;
/// Longest path in bytes.
pub const PATH_BYTES_MAX: usize = 256;
/// Deepest path that is looked at to say which is the nearest.
const DEPTH_MAX: usize = 8;

static POOL: LazyLock<Result<DescriptorPool, DescriptorError>> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS));

/// Why paths are no mask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// More than [`PATHS_MAX`].
    #[error("{paths} paths; at most {PATHS_MAX} are taken")]
    TooMany {
        /// How many were given.
        paths: usize,
    },
    /// Longer than [`PATH_BYTES_MAX`].
    #[error("a path has {bytes} bytes; at most {PATH_BYTES_MAX} are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// No field is there.
    #[error("{path:?} is no field of JudgedEvent; the nearest is {nearest:?}")]
    Unknown {
        /// The path as given.
        path: String,
        /// The path of a field that is most like it.
        nearest: String,
    },
    /// It goes into what has no parts for a mask: a list, a number, a text.
    #[error("{path:?} goes into {whole:?}, which is sent as a whole; give that")]
    Within {
        /// The path as given.
        path: String,
        /// The path as far as it can go.
        whole: String,
    },
    /// The descriptors of this build cannot be read.
    #[error("the messages of this build are not known to itself: {0}")]
    Descriptors(String),
}

/// The parts of judged events that are sent.
#[derive(Clone, Debug)]
pub struct Mask {
    judged: MessageDescriptor,
    event: MessageDescriptor,
    parts: Parts,
}

/// Fields by number, and which parts of them.
type Parts = BTreeMap<u32, Part>;

/// How much of a field.
#[derive(Clone, Debug)]
enum Part {
    Whole,
    Some(Parts),
}

/// The messages that a path leads through.
#[derive(Clone, Debug)]
struct Messages {
    judged: MessageDescriptor,
    event: MessageDescriptor,
}

impl Mask {
    /// The mask of these paths; none where there are none, and everything is sent.
    ///
    /// # Errors
    /// [`MaskError`] names the path and what would be right.
    pub fn of(paths: &[String]) -> Result<Option<Self>, MaskError> {
        if paths.is_empty() {
            return Ok(None);
        }
        if paths.len() > PATHS_MAX {
            return Err(MaskError::TooMany { paths: paths.len() });
        }
        let messages = Messages::known()?;
        let mut parts = Parts::new();
        for path in paths {
            if path.len() > PATH_BYTES_MAX {
                return Err(MaskError::TooLong { bytes: path.len() });
            }
            let numbers = messages.numbers(path)?;
            put(&mut parts, &numbers);
        }
        let Messages { judged, event } = messages;
        Ok(Some(Self {
            judged,
            event,
            parts,
        }))
    }

    /// The parts of a judged event that the mask has. The hash is left out where
    /// the event or the judgement comes in part: nobody can check it then.
    ///
    /// # Errors
    /// When the event's bytes are not an event.
    pub fn apply(&self, mut judged: v1::JudgedEvent) -> Result<v1::JudgedEvent, DecodeError> {
        let mut parts = self.parts.clone();
        let mut in_part = false;
        for field in self.judged.fields() {
            let Some(Part::Some(within)) = parts.get(&field.number()) else {
                continue;
            };
            in_part = true;
            if is_event(&field) {
                let mut event =
                    DynamicMessage::decode(self.event.clone(), judged.event.as_slice())?;
                keep(&mut event, within);
                judged.event = event.encode_to_vec();
                // What is left of its bytes is all of the field.
                parts.insert(field.number(), Part::Whole);
            }
        }
        if in_part {
            judged.hash = Vec::new();
        }
        let mut message = DynamicMessage::new(self.judged.clone());
        message.transcode_from(&judged)?;
        keep(&mut message, &parts);
        message.transcode_to()
    }
}

impl Messages {
    fn known() -> Result<Self, MaskError> {
        let pool = POOL
            .as_ref()
            .map_err(|error| MaskError::Descriptors(error.to_string()))?;
        let message = |name: &str| {
            let found = pool.get_message_by_name(name);
            found.ok_or_else(|| MaskError::Descriptors(format!("{name} is missing")))
        };
        Ok(Self {
            judged: message("monitor.v1.JudgedEvent")?,
            event: message("monitor.v1.Event")?,
        })
    }

    /// The numbers of the fields that a path leads through.
    fn numbers(&self, path: &str) -> Result<Vec<u32>, MaskError> {
        let mut within = Some(self.judged.clone());
        let mut numbers = Vec::new();
        let mut gone = Vec::new();
        for name in path.split('.') {
            let Some(message) = within else {
                return Err(MaskError::Within {
                    path: path.to_owned(),
                    whole: gone.join("."),
                });
            };
            let Some(field) = message.get_field_by_name(name) else {
                return Err(MaskError::Unknown {
                    path: path.to_owned(),
                    nearest: self.nearest(path),
                });
            };
            numbers.push(field.number());
            gone.push(name);
            within = self.inside(&field);
        }
        Ok(numbers)
    }

    /// The message that a path can go on in; none where a field is sent as a whole.
    fn inside(&self, field: &FieldDescriptor) -> Option<MessageDescriptor> {
        if is_event(field) {
            return Some(self.event.clone());
        }
        let is_one = !field.is_list() && !field.is_map();
        field.kind().as_message().filter(|_| is_one).cloned()
    }

    /// The path that is most like this one.
    fn nearest(&self, path: &str) -> String {
        let mut all = Vec::new();
        self.paths("", &self.judged, DEPTH_MAX, &mut all);
        let nearest = all
            .into_iter()
            .min_by_key(|known| strsim::damerau_levenshtein(known, path));
        nearest.unwrap_or_default()
    }

    fn paths(
        &self,
        before: &str,
        message: &MessageDescriptor,
        depth: usize,
        into: &mut Vec<String>,
    ) {
        for field in message.fields() {
            let path = format!("{before}{}", field.name());
            if let Some(inside) = self.inside(&field).filter(|_| depth > 0) {
                self.paths(&format!("{path}."), &inside, depth - 1, into);
            }
            into.push(path);
        }
    }
}

/// Whether a field holds the bytes of an event.
fn is_event(field: &FieldDescriptor) -> bool {
    field.full_name() == "monitor.v1.JudgedEvent.event"
}

/// Adds a path. A field that is asked for as a whole stays whole.
fn put(parts: &mut Parts, numbers: &[u32]) {
    let Some((first, rest)) = numbers.split_first() else {
        return;
    };
    if rest.is_empty() {
        parts.insert(*first, Part::Whole);
        return;
    }
    let part = parts.entry(*first);
    match part.or_insert_with(|| Part::Some(Parts::new())) {
        Part::Whole => {}
        Part::Some(within) => put(within, rest),
    }
}

/// Removes from a message what is not among the parts, also what this build
/// does not know.
fn keep(message: &mut DynamicMessage, parts: &Parts) {
    message.take_unknown_fields().for_each(drop);
    let set: Vec<FieldDescriptor> = message.fields().map(|(field, _)| field).collect();
    for field in set {
        match parts.get(&field.number()) {
            None => message.clear_field(&field),
            Some(Part::Whole) => {}
            Some(Part::Some(within)) => {
                if let Some(inner) = message.get_field_mut(&field).as_message_mut() {
                    keep(inner, within);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judged() -> v1::JudgedEvent {
        let event = v1::Event {
            id: Some(v1::EventId {
                agent: "jump-1".into(),
                sequence: 7,
                ..Default::default()
            }),
            at_unix_ns: 5,
            boot_ns: 6,
            attribution: Some(v1::Attribution {
                principal: "alice".into(),
                tenant: "acme".into(),
                ..Default::default()
            }),
            action: Some(v1::event::Action::Exit(v1::Exit { status: 3 })),
            ..Default::default()
        };
        v1::JudgedEvent {
            event: event.encode_to_vec(),
            judgement: Some(v1::Judgement {
                ledger: "acme".into(),
                policy_version: "1".into(),
                ..Default::default()
            }),
            position: 9,
            hash: vec![1; 32],
            stored_at_unix_ns: 10,
        }
    }

    fn masked(paths: &[&str]) -> v1::JudgedEvent {
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let mask = Mask::of(&paths).unwrap().unwrap();
        mask.apply(judged()).unwrap()
    }

    fn refused(path: &str) -> String {
        Mask::of(&[path.to_owned()]).unwrap_err().to_string()
    }

    #[test]
    fn no_path_is_no_mask() {
        assert!(Mask::of(&[]).unwrap().is_none());
    }

    #[test]
    fn parts_of_the_encoded_event_are_sent_alone_and_without_the_hash() {
        let sent = masked(&[
            "position",
            "hash",
            "event.attribution.principal",
            "event.exit",
        ]);
        let event = v1::Event::decode(sent.event.as_slice()).unwrap();
        let wanted = v1::Event {
            attribution: Some(v1::Attribution {
                principal: "alice".into(),
                ..Default::default()
            }),
            action: Some(v1::event::Action::Exit(v1::Exit { status: 3 })),
            ..Default::default()
        };
        assert_eq!(event, wanted);
        let wanted = v1::JudgedEvent {
            event: sent.event.clone(),
            position: 9,
            ..Default::default()
        };
        assert_eq!(sent, wanted);
    }

    #[test]
    fn what_this_build_does_not_know_is_sent_with_the_whole_only() {
        let mut newer = judged();
        // Field 1000 of a newer agent: the number 1.
        newer.event.extend([0xc0, 0x3e, 1]);
        let sent = |path: &str| {
            let mask = Mask::of(&[path.to_owned()]).unwrap().unwrap();
            mask.apply(newer.clone()).unwrap().event
        };
        assert_eq!(sent("event"), newer.event);
        let part = v1::Event {
            at_unix_ns: 5,
            ..Default::default()
        };
        assert_eq!(sent("event.at_unix_ns"), part.encode_to_vec());
    }

    #[test]
    fn what_is_asked_for_as_a_whole_keeps_its_bytes_and_its_hash() {
        for paths in [
            ["event", "hash", "event.at_unix_ns"],
            ["event.at_unix_ns", "hash", "event"],
        ] {
            let sent = masked(&paths);
            assert_eq!((sent.event, sent.hash), (judged().event, judged().hash));
            assert_eq!((sent.position, sent.judgement), (0, None));
        }
        let sent = masked(&["hash", "judgement.ledger"]);
        assert!(sent.hash.is_empty() && sent.event.is_empty());
        assert_eq!(sent.judgement.unwrap().policy_version, "");
        assert_eq!(masked(&["hash", "position"]).hash, judged().hash);
    }

    #[test]
    fn a_path_that_does_not_exist_is_refused_with_the_nearest() {
        for (path, nearest) in [
            ("postion", "position"),
            ("event.atribution.session", "event.attribution.session"),
            ("attribution.principal", "event.attribution.principal"),
            ("judgement.ledgers", "judgement.ledger"),
            (
                "event.connect.destination.adress",
                "event.connect.destination.address",
            ),
        ] {
            let said = refused(path);
            assert!(said.ends_with(&format!("nearest is {nearest:?}")), "{said}");
        }
        for path in ["judgement.considered.grant", "position.x"] {
            let said = refused(path);
            let whole = path.rsplit_once('.').unwrap().0;
            assert!(said.contains(&format!("goes into {whole:?}")), "{said}");
        }
        assert!(refused(&"x".repeat(PATH_BYTES_MAX + 1)).contains("at most"));
        let many = vec!["event".to_owned(); PATHS_MAX + 1];
        assert!(Mask::of(&many).unwrap_err().to_string().contains("101"));
    }

    proptest! {
        #[test]
        fn any_path_gives_a_mask_or_an_error_and_never_a_panic(path in "[a-z_.]{0,40}") {
            if let Ok(Some(mask)) = Mask::of(&[path]) {
                mask.apply(judged()).unwrap();
            }
        }
    }
}
