//! Goes through the blocks of a ledger, in order, as far as somebody wants.
//!
//! In: which places, and terms that an entry has. Out: entries, one by one,
//! decoded. What blocks are found by narrows down which are read; whether an
//! entry is wanted its reader says. Bound: one block in memory, and the names
//! of [`BLOCKS_AT_ONCE`].

use std::ops::{ControlFlow, Range};

use monitor_ledger::{
    file::{self, Block, SELECT},
    leaf::Parts,
    postings::{self, Wanted},
};
use monitor_model::clock::UnixNs;
use rusqlite::{OptionalExtension as _, params};

use super::{Entry, Judged, LedgerError, integer, number, read::Reader};

/// Names of blocks that are looked up at once.
const BLOCKS_AT_ONCE: usize = 256;

/// Whenever it happened.
const ALWAYS: Range<UnixNs> = UnixNs(0)..UnixNs::MAX;

/// Which entries are gone through.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// Stored after this instant.
    pub(super) after: UnixNs,
    /// Stored up to and with this instant.
    pub(super) up_to: UnixNs,
    /// They happened within this span, by their host's clock; its end is not in
    /// it, but that the largest has none.
    pub(super) happened: Range<UnixNs>,
    /// Each a list of which an entry has one.
    pub(super) terms: Vec<Vec<i64>>,
    /// The newest first.
    pub(super) backwards: bool,
}

impl Scan {
    /// Everything, the oldest first.
    pub(super) const fn all() -> Self {
        Self {
            after: UnixNs(0),
            up_to: UnixNs::MAX,
            happened: ALWAYS,
            terms: Vec::new(),
            backwards: false,
        }
    }

    fn admits(&self, entry: &Entry) -> bool {
        entry.stored_at > self.after
            && entry.stored_at <= self.up_to
            && entry.judged.event.at >= self.happened.start
            && (entry.judged.event.at < self.happened.end || self.happened.end == UnixNs::MAX)
    }
}

impl Reader {
    /// Asks several things of one state of the file, though its writer goes on:
    /// a small block may be part of a larger one in the next.
    pub(super) fn steady<T>(
        &self,
        ask: impl FnOnce() -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        if !self.connection.is_autocommit() {
            return ask();
        }
        let transaction = self.connection.unchecked_transaction();
        let transaction = transaction.map_err(|error| self.sqlite(error))?;
        let answer = ask()?;
        transaction.commit().map_err(|error| self.sqlite(error))?;
        Ok(answer)
    }

    /// Goes through entries for as long as they are wanted.
    pub(super) fn scan(
        &self,
        scan: &Scan,
        take: impl FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        self.steady(|| self.go_through(scan, take))
    }

    fn go_through(
        &self,
        scan: &Scan,
        mut take: impl FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let (mut low, mut high) = self.bounds(scan).map_err(|error| self.sqlite(error))?;
        loop {
            let names = self.names(scan, low, high);
            let names = names.map_err(|error| self.sqlite(error))?;
            for name in &names {
                let mut entries = self.block(*name)?;
                if scan.backwards {
                    entries.reverse();
                }
                for entry in entries {
                    if scan.admits(&entry) && take(entry).is_break() {
                        return Ok(());
                    }
                }
            }
            let Some(seen) = names.last() else {
                return Ok(());
            };
            if scan.backwards {
                high = seen - 1;
            } else {
                low = seen + 1;
            }
        }
    }

    /// The first and the last block that can hold what is gone through.
    fn bounds(&self, scan: &Scan) -> rusqlite::Result<(i64, i64)> {
        let sql =
            "SELECT first FROM block WHERE stored_from <= ?1 ORDER BY stored_from DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut newest = |at: UnixNs| {
            let row = statement.query_row([integer(at.0)], |row| row.get(0));
            row.optional()
        };
        let (low, high) = (newest(scan.after)?, newest(scan.up_to)?);
        Ok((low.unwrap_or(0), high.unwrap_or(-1)))
    }

    /// Names of the next blocks that have the terms.
    fn names(&self, scan: &Scan, low: i64, high: i64) -> rusqlite::Result<Vec<i64>> {
        if scan.terms.is_empty() {
            return self.names_by_time(scan, low, high);
        }
        let wanted = Wanted {
            lists: &scan.terms,
            low: number(low),
            high: number(high),
            backwards: scan.backwards,
            limit: BLOCKS_AT_ONCE,
        };
        if high < low {
            return Ok(Vec::new());
        }
        let sql = "SELECT 1 FROM block WHERE first = ?1 AND at_to >= ?2 AND at_from <= ?3";
        let mut happened = self.connection.prepare_cached(sql)?;
        let is_always = scan.happened == ALWAYS;
        let (start, end) = (integer(scan.happened.start.0), integer(scan.happened.end.0));
        let names = postings::find(&self.connection, &wanted, |block| {
            Ok(is_always || happened.exists([integer(block), start, end])?)
        })?;
        Ok(names.into_iter().map(integer).collect())
    }

    /// Names of the next blocks, whatever terms they have.
    fn names_by_time(&self, scan: &Scan, low: i64, high: i64) -> rusqlite::Result<Vec<i64>> {
        let order = if scan.backwards { "DESC" } else { "ASC" };
        let from = if scan.happened == ALWAYS {
            "SELECT first FROM block WHERE first >= ?1 AND first <= ?2 AND ?3 <= ?4"
        } else {
            // Rows of blocks are far apart, the index is not.
            "SELECT first FROM block INDEXED BY block_at
             WHERE first >= ?1 AND first <= ?2 AND at_to >= ?3 AND at_from <= ?4"
        };
        let sql = format!("{from} ORDER BY first {order} LIMIT ?5");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (start, end) = (integer(scan.happened.start.0), integer(scan.happened.end.0));
        let limit = i64::try_from(BLOCKS_AT_ONCE).unwrap_or(i64::MAX);
        let names = statement.query_map([low, high, start, end, limit], |row| row.get(0))?;
        names.collect()
    }

    /// The entries of the block that a position is in; none where there is no such block.
    pub(super) fn block_at(&self, position: u64) -> Result<Vec<Entry>, LedgerError> {
        self.steady(|| {
            let name = self.name_at(position)?;
            name.map_or_else(|| Ok(Vec::new()), |name| self.block(name))
        })
    }

    /// The name of the block that a position is in, or is after.
    pub(super) fn name_at(&self, position: u64) -> Result<Option<i64>, LedgerError> {
        let sql = "SELECT first FROM block WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
        let found = self.connection.prepare_cached(sql).and_then(|mut asked| {
            asked
                .query_row([integer(position)], |row| row.get(0))
                .optional()
        });
        found.map_err(|source| self.sqlite(source))
    }

    pub(super) fn broken(&self, position: u64, cause: &str) -> LedgerError {
        LedgerError::broken(&self.path, position, cause)
    }

    /// A block by its name.
    pub(super) fn row(&self, name: i64) -> Result<Block, LedgerError> {
        let sql = format!("{SELECT} WHERE first = ?1");
        let block = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row(params![name], Block::of));
        block.map_err(|error| self.sqlite(error))
    }

    /// The entries of a block, in order; none where they were removed.
    pub(super) fn block(&self, name: i64) -> Result<Vec<Entry>, LedgerError> {
        let block = self.row(name)?;
        let mut entries = Vec::with_capacity(block.hashes().len());
        self.each_of(&block, |entry, _| entries.push(entry))?;
        Ok(entries)
    }

    /// Hands out the entries of a block, each with its parts as they are stored.
    pub(super) fn each_of(
        &self,
        block: &Block,
        mut take: impl FnMut(Entry, &Parts<'_>),
    ) -> Result<(), LedgerError> {
        let opened = block
            .open(self.secrets())
            .map_err(|error| self.broken(block.first, &error.to_string()))?;
        let Some(opened) = opened else {
            return Ok(());
        };
        let places = (block.first..).zip(block.hashes());
        for ((position, hash), parts) in places.zip(opened.records()) {
            let broken = |cause: String| self.broken(position, &cause);
            let parts = parts.map_err(|error| broken(error.to_string()))?;
            let (event, judgement) =
                file::decode(&parts).map_err(|error| broken(error.to_string()))?;
            let entry = Entry {
                ledger: self.tenant.clone(),
                position,
                stored_at: UnixNs(parts.stored_at_unix_ns),
                hash: *hash,
                judged: Judged {
                    event_bytes: parts.event.to_vec(),
                    event,
                    judgement,
                },
            };
            take(entry, &parts);
        }
        Ok(())
    }
}
