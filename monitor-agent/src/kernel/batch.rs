//! Records taken from a ring together, and how far that was.

use zerocopy::IntoBytes;

/// Most of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records.
    pub records_max: usize,
    /// Bytes of records. A batch has at least one record, however long.
    pub bytes_max: usize,
}

/// Up to where a ring was read. Committing it frees the room before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub(super) position: u64,
}

/// Records in the order of the ring.
#[derive(Debug)]
pub struct Batch {
    /// Records one behind the other, each from a new word on.
    words: Vec<u64>,
    /// For each, its first word and its bytes.
    records: Vec<(usize, usize)>,
    cursor: Cursor,
}

impl Batch {
    pub(super) const fn new(words: Vec<u64>, records: Vec<(usize, usize)>, position: u64) -> Self {
        let cursor = Cursor { position };
        Self {
            words,
            records,
            cursor,
        }
    }

    /// The bytes of each record, aligned to 8, for [`monitor_common::decode()`].
    #[must_use]
    pub fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.records.iter().map(|(first, bytes)| {
            let words = self.words.get(*first..).unwrap_or_default();
            words.as_bytes().get(..*bytes).unwrap_or_default()
        })
    }

    /// How many records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What to commit once all of it is safe.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }
}
