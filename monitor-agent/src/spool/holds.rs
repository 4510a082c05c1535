//! What a batch holds, beside the batch: so that one whose bytes are not what was
//! written is found before it is sent, and its numbers can be named as missing.
//!
//! Bound: one range for each run of numbers, so a few for each batch; a checksum of
//! 32 bits for each of the two. They find what a disk does, not what root does.

use std::collections::BTreeMap;

use monitor_model::id::{BootId, Source};
use prost::Message as _;

use super::Spooled;

/// Numbers of one stream that a batch holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The boot.
    pub boot: BootId,
    /// The stream.
    pub source: Source,
    /// First number.
    pub first: u64,
    /// Last number; those between are there, too.
    pub last: u64,
}

/// As it is kept; `monitor-verify` reads it, too.
#[derive(Clone, PartialEq, prost::Message)]
struct Ranges {
    #[prost(message, repeated, tag = "1")]
    ranges: Vec<Range>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Range {
    #[prost(bytes = "vec", tag = "1")]
    boot: Vec<u8>,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(uint64, tag = "3")]
    first: u64,
    #[prost(uint64, tag = "4")]
    last: u64,
}

/// What these events are.
pub(super) fn encoded(events: &[Spooled]) -> Vec<u8> {
    let mut streams: BTreeMap<(BootId, Source), Vec<(u64, u64)>> = BTreeMap::new();
    for event in events {
        let runs = streams.entry((event.boot, event.source)).or_default();
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(event.sequence) => {
                *last = event.sequence;
            }
            Some(_) | None => runs.push((event.sequence, event.sequence)),
        }
    }
    let ranges = streams.into_iter().flat_map(|((boot, source), runs)| {
        runs.into_iter().map(move |(first, last)| Range {
            boot: boot.to_bytes().to_vec(),
            source: source.to_string(),
            first,
            last,
        })
    });
    let ranges = ranges.collect();
    Ranges { ranges }.encode_to_vec()
}

/// What was kept of a batch; none where that makes no sense.
pub(super) fn decoded(bytes: &[u8]) -> Option<Vec<Held>> {
    let found = Ranges::decode(bytes).ok()?;
    let held = |range: Range| {
        let held = Held {
            boot: BootId::from_slice(&range.boot).ok()?,
            source: range.source.parse().ok()?,
            first: range.first,
            last: range.last,
        };
        (held.first <= held.last).then_some(held)
    };
    found.ranges.into_iter().map(held).collect()
}

/// The checksum of what is kept.
pub(super) fn checksum(bytes: &[u8]) -> i64 {
    crc32fast::hash(bytes).into()
}

#[cfg(test)]
mod tests {
    use monitor_model::clock::UnixNs;

    use super::*;

    #[test]
    fn numbers_that_end_before_they_begin_are_none() {
        let boot = BootId::from_parts(UnixNs::from_seconds(1), 1);
        let kept = |first, last| {
            let range = Range {
                boot: boot.to_bytes().to_vec(),
                source: Source::Agent.to_string(),
                first,
                last,
            };
            let ranges = vec![range];
            decoded(&Ranges { ranges }.encode_to_vec())
        };
        assert_eq!(kept(3, 4).unwrap().len(), 1);
        assert_eq!(kept(4, 3), None);
    }
}
