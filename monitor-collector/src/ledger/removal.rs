//! Removes the content of entries whose time is over; what proves them stays.
//!
//! In: until when, and what a legal hold keeps. Out: what was removed, on disk
//! with the next [`Ledger::commit`], which must store an entry that says so.
//! Whole blocks go: one with an entry that is held, or that tells of a removal,
//! stays. Bound: [`BLOCKS_AT_ONCE`] blocks a call.

use std::collections::BTreeSet;

use monitor_ledger::{
    block::{Filling, Opened},
    file::{self, Block, SELECT},
    index::Index,
    leaf::Leaf,
};
use monitor_model::{
    clock::UnixNs,
    event::{Event, Kind},
};
use rusqlite::params;

use super::{Ledger, LedgerError, integer};

/// Blocks that are looked at in one call.
pub const BLOCKS_AT_ONCE: u32 = 256;

/// What became of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The first and last position whose content was removed; some between them
    /// may be kept. None where nothing was.
    pub removed: Option<(u64, u64)>,
    /// Entries that a hold kept.
    pub held_back: u64,
    /// Where to go on; none at the end.
    pub next: Option<u64>,
}

/// A block that was read to be removed.
enum Read {
    /// It goes.
    Over {
        leaves: Vec<Leaf>,
        terms: BTreeSet<i64>,
    },
    /// A hold keeps it.
    Held,
    /// It tells of a removal, which is what proves that one.
    Tells,
}

impl Ledger {
    /// Removes the content of blocks from a position on whose entries were all
    /// stored before an instant.
    ///
    /// # Errors
    /// [`LedgerError`]; the ledger must then be opened anew.
    pub fn sweep(
        &mut self,
        first: u64,
        before: UnixNs,
        is_held: &dyn Fn(&Event) -> bool,
    ) -> Result<Swept, LedgerError> {
        let blocks = self
            .blocks_before(first, before)
            .map_err(|source| LedgerError::sqlite(&self.path, source))?;
        let mut swept = Swept::default();
        let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
        for block in &blocks {
            let last = block.first + block.count.saturating_sub(1);
            match self.read_over(block, is_held)? {
                Read::Over { leaves, terms } => {
                    self.begin()
                        .and_then(|()| block.remove(&self.connection, &leaves, &terms))
                        .map_err(|source| LedgerError::sqlite(&self.path, source))?;
                    // Nothing of it is put into another block again.
                    self.tail = Filling::default();
                    let begin = swept.removed.map_or(block.first, |(begin, _)| begin);
                    swept.removed = Some((begin, last));
                }
                Read::Held => swept.held_back += block.count,
                Read::Tells => {}
            }
            swept.next = (count >= BLOCKS_AT_ONCE).then_some(last + 1);
        }
        Ok(swept)
    }

    fn blocks_before(&self, first: u64, before: UnixNs) -> rusqlite::Result<Vec<Block>> {
        let sql = format!(
            "{SELECT} WHERE first >= ?1 AND stored_to < ?2 AND content IS NOT NULL
             ORDER BY first LIMIT ?3"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let values = params![integer(first), integer(before.0), BLOCKS_AT_ONCE];
        let blocks = statement.query_map(values, Block::of)?;
        blocks.collect()
    }

    fn read_over(
        &self,
        block: &Block,
        is_held: &dyn Fn(&Event) -> bool,
    ) -> Result<Read, LedgerError> {
        let broken = |position, cause: String| LedgerError::broken(&self.path, position, cause);
        let opened = block
            .open(&self.secrets)
            .map_err(|error| broken(block.first, error.to_string()))?;
        let (mut leaves, mut index) = (Vec::new(), Index::default());
        let (mut held, mut tells) = (false, false);
        for parts in opened.iter().flat_map(Opened::records) {
            let position = block.first + u64::try_from(leaves.len()).unwrap_or(u64::MAX);
            let parts = parts.map_err(|error| broken(position, error.to_string()))?;
            let (event, judgement) =
                file::decode(&parts).map_err(|error| broken(position, error.to_string()))?;
            leaves.push(Leaf::new(self.secrets.blinding(), position, parts));
            index.take(parts.stored_at_unix_ns, &event, judgement.verdict.kind());
            tells |= event.action.kind() == Kind::Removed;
            held |= is_held(&event);
        }
        Ok(if tells {
            Read::Tells
        } else if held {
            Read::Held
        } else {
            let terms = index.terms(self.secrets.blinding());
            Read::Over { leaves, terms }
        })
    }
}
