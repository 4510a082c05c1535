//! Records in blocks: what lies in a tenant's file.
//!
//! A block holds up to [`BLOCK_RECORDS_MAX`] records that were put on disk
//! together, one after another, compressed. In: the parts of records. Out: the
//! bytes of a block; and back, for whoever reads. Bound: a block is
//! ended at [`BLOCK_BYTES_ABOUT`] bytes before compression, and one beyond
//! [`BLOCK_BYTES_MAX`] is not read.

use std::io;

use monitor_model::{event::Event, verdict::VerdictKind};

use crate::{
    file::{Block, Content},
    index::Index,
    leaf::Parts,
    merkle::Hash,
};

/// Most records of a block.
pub const BLOCK_RECORDS_MAX: usize = 256;
/// A block is ended when it has this many bytes before compression; its last
/// record may go beyond.
pub const BLOCK_BYTES_ABOUT: usize = 256 << 10;
/// Most bytes of a block before compression: larger than any record.
pub const BLOCK_BYTES_MAX: usize = 64 << 20;
/// Bytes before each part of a record, and of its time.
const LENGTH: usize = 4;
const TIME: usize = 8;
/// Level of compression: the fastest of zstd's ordinary ones.
const LEVEL: i32 = 1;

/// Why a block cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// It does not decompress.
    #[error("its content does not decompress: {0}")]
    Compression(#[from] io::Error),
    /// It is not what was sealed there, or cannot be sealed.
    #[error("its content does not open: it is not what was sealed there")]
    Seal,
    /// It ends within a record.
    #[error("its content ends within a record")]
    Short,
}

/// A block that is being filled.
#[derive(Debug, Default)]
pub struct Filling {
    plain: Vec<u8>,
    hashes: Vec<u8>,
    index: Index,
}

/// A block that is to be put into a file.
#[derive(Debug)]
pub struct Full<'a> {
    /// The block.
    pub block: Block,
    /// What its records are found by.
    pub index: &'a Index,
}

impl Filling {
    /// Adds a record: its parts, what was decoded of them, its hash in the tree.
    pub fn push(&mut self, parts: &Parts<'_>, event: &Event, verdict: VerdictKind, hash: &Hash) {
        write(parts, &mut self.plain);
        self.index.take(parts.stored_at_unix_ns, event, verdict);
        self.hashes.extend(hash);
    }

    /// How many records there are.
    #[must_use]
    pub const fn records(&self) -> usize {
        self.hashes.len() / size_of::<Hash>()
    }

    /// What its records are found by.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Adds the records of another, which follow.
    pub fn absorb(&mut self, other: Self) {
        if self.hashes.is_empty() {
            *self = other;
            return;
        }
        self.plain.extend(other.plain);
        self.hashes.extend(other.hashes);
        self.index.absorb(other.index);
    }

    /// Whether the next record belongs into another block.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        is_full(self.records(), self.plain.len())
    }

    /// The same, if it had the records of another as well.
    #[must_use]
    pub const fn is_full_with(&self, other: &Self) -> bool {
        is_full(
            self.records() + other.records(),
            self.plain.len() + other.plain.len(),
        )
    }

    /// The block, its last record being at this position; none when there are
    /// no records.
    ///
    /// # Errors
    /// [`BlockError::Compression`] when there is no memory for it.
    pub fn end(&self, last: u64) -> Result<Option<Full<'_>>, BlockError> {
        let count = u64::try_from(self.records()).unwrap_or(u64::MAX);
        if count == 0 {
            return Ok(None);
        }
        let content = zstd::bulk::compress(&self.plain, LEVEL)?;
        let index = &self.index;
        let block = Block {
            first: (last + 1).saturating_sub(count),
            count,
            stored: index.stored(),
            at: index.at(),
            hashes: self.hashes.clone(),
            content: Content::Kept(content),
        };
        Ok(Some(Full { block, index }))
    }
}

const fn is_full(records: usize, bytes: usize) -> bool {
    records >= BLOCK_RECORDS_MAX || bytes >= BLOCK_BYTES_ABOUT
}

fn write(parts: &Parts<'_>, into: &mut Vec<u8>) {
    into.extend(parts.stored_at_unix_ns.to_be_bytes());
    for part in [parts.event, parts.judgement] {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        into.extend(length.to_be_bytes());
        into.extend(part);
    }
}

/// The records of a block, decompressed.
#[derive(Clone, Debug)]
pub struct Opened(Vec<u8>);

impl Opened {
    /// Decompresses a block.
    ///
    /// # Errors
    /// [`BlockError::Compression`].
    pub fn new(content: &[u8]) -> Result<Self, BlockError> {
        let length = zstd::zstd_safe::get_frame_content_size(content)
            .ok()
            .flatten()
            .and_then(|length| usize::try_from(length).ok())
            .filter(|length| *length <= BLOCK_BYTES_MAX)
            .ok_or_else(|| {
                io::Error::other("its length is not told, or beyond what a block has")
            })?;
        Ok(Self(zstd::bulk::decompress(content, length)?))
    }

    /// Its records, in order.
    pub fn records(&self) -> impl Iterator<Item = Result<Parts<'_>, BlockError>> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = record(rest).ok_or(BlockError::Short);
            match record {
                Ok((parts, after)) => {
                    rest = after;
                    Some(Ok(parts))
                }
                Err(error) => {
                    rest = &[];
                    Some(Err(error))
                }
            }
        })
    }
}

fn record(bytes: &[u8]) -> Option<(Parts<'_>, &[u8])> {
    let (time, rest) = bytes.split_first_chunk::<TIME>()?;
    let (event, rest) = part(rest)?;
    let (judgement, rest) = part(rest)?;
    let parts = Parts {
        stored_at_unix_ns: u64::from_be_bytes(*time),
        event,
        judgement,
    };
    Some((parts, rest))
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use monitor_model::{
        clock::UnixNs,
        event::{Action, Attribution, Lineage},
        id::{BootId, EventId, Source},
    };
    use proptest::prelude::*;

    use super::*;

    type Owned = (u64, Vec<u8>, Vec<u8>);

    fn parts((stored_at_unix_ns, event, judgement): &Owned) -> Parts<'_> {
        Parts {
            stored_at_unix_ns: *stored_at_unix_ns,
            event,
            judgement,
        }
    }

    fn packed(records: &[Owned]) -> Vec<u8> {
        let mut plain = Vec::new();
        for record in records {
            write(&parts(record), &mut plain);
        }
        zstd::bulk::compress(&plain, LEVEL).unwrap()
    }

    fn unpacked(content: &[u8]) -> Result<Vec<Owned>, BlockError> {
        let opened = Opened::new(content)?;
        opened
            .records()
            .map(|parts| {
                let Parts {
                    stored_at_unix_ns,
                    event,
                    judgement,
                } = parts?;
                Ok((stored_at_unix_ns, event.to_vec(), judgement.to_vec()))
            })
            .collect()
    }

    fn event(sequence: u64) -> Event {
        Event {
            id: EventId {
                agent: "jump-1".parse().unwrap(),
                boot: BootId::from_parts(UnixNs(0), 1),
                source: Source::Agent,
                sequence,
            },
            at: UnixNs(sequence),
            boot_ns: 1,
            process: None,
            attribution: Attribution {
                session: None,
                principal: None,
                tenant: None,
                grants: Vec::new(),
                lineage: Lineage::Unattributed,
                reason: None,
                way: Vec::new(),
            },
            action: Action::Exit { status: 0 },
        }
    }

    #[test]
    fn a_block_is_full_at_its_bounds_and_knows_its_place() {
        let mut filling = Filling::default();
        assert!(filling.end(7).unwrap().is_none());
        for sequence in 1..=u64::try_from(BLOCK_RECORDS_MAX).unwrap() {
            assert!(!filling.is_full());
            let record = (sequence, b"e".to_vec(), vec![]);
            filling.push(
                &parts(&record),
                &event(sequence),
                VerdictKind::Exempt,
                &[7; 32],
            );
        }
        assert!(filling.is_full());
        let full = filling.end(300).unwrap().unwrap();
        assert_eq!((full.block.first, full.block.count), (45, 256));
        assert_eq!((full.block.stored, full.block.at), ((1, 256), (1, 256)));
        assert_eq!(full.block.hashes().len(), 256);
        let mut filling = Filling::default();
        let large = (1, vec![0; BLOCK_BYTES_ABOUT], vec![]);
        filling.push(&parts(&large), &event(1), VerdictKind::Exempt, &[7; 32]);
        assert!(filling.is_full());
    }

    #[test]
    fn what_says_that_it_is_endless_is_not_read() {
        // A frame of zstd whose header tells a length of 2^40 bytes.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
        frame.extend((1u64 << 40).to_le_bytes());
        assert!(matches!(
            Opened::new(&frame),
            Err(BlockError::Compression(_))
        ));
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were(records in prop::collection::vec(
            (any::<u64>(), prop::collection::vec(any::<u8>(), 0..80), prop::collection::vec(any::<u8>(), 0..80)), 1..40)) {
            prop_assert_eq!(unpacked(&packed(&records)).unwrap(), records);
        }

        #[test]
        fn any_bytes_give_an_error_or_records_and_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..200, flip in 1u8..) {
            _ = unpacked(&bytes);
            let mut packed = packed(&[(7, bytes.clone(), bytes)]);
            let at = at % packed.len();
            packed[at] ^= flip;
            _ = unpacked(&packed);
        }
    }
}
