//! Entries that answer a question, page by page, in the order in which they
//! were stored.
//!
//! In: ledgers, a question, and a part of what was stored. Out: the entries
//! that answer it, and where to go on. Bound: [`LOOKED_AT_MAX`] entries over
//! all ledgers a page, or [`LOOKED_AT_MIN`] of each; of what fits, keys alone
//! are held until the page is cut, and one block of each ledger; a page ends at
//! [`PAGE_BYTES_MAX`]. Loss: none; a page may come back short.

use std::{
    collections::HashMap,
    ops::{ControlFlow, Range},
    time::Duration,
};

use monitor_model::{clock::UnixNs, event::Event};
use rusqlite::OptionalExtension as _;

use super::{
    Entry, LedgerError, judgement_bytes, number,
    read::{Filter, Reader, Span},
    scan::Scan,
};

/// Most entries that one page looks at, over all ledgers.
pub const LOOKED_AT_MAX: u64 = 100_000;
/// Most entries of each ledger that one page looks at, where ledgers are many.
pub const LOOKED_AT_MIN: u64 = 1_000;
/// Most bytes of a page, but that it has one entry: gRPC's clients take messages
/// of 4 MiB.
pub const PAGE_BYTES_MAX: usize = 3 << 20;
/// How far a host's clock may be ahead of the collector's for its events to be
/// found by when they happened.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Which entry comes first, by when it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one that was stored last.
    NewestFirst,
    /// The one that was stored first.
    OldestFirst,
}

/// What is looked for.
pub struct Question<'a> {
    /// Which entries.
    pub filter: &'a Filter,
    /// Whether an event's objects are asked for, as its reader sees it.
    pub admits: &'a dyn Fn(&Event) -> bool,
    /// When they happened, by their host's clock.
    pub happened: Range<UnixNs>,
    /// In which order.
    pub order: Order,
}

impl std::fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question")
            .field("filter", &self.filter)
            .field("happened", &self.happened)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

/// One page of what was found.
#[derive(Debug)]
pub struct Found {
    /// The entries, in the order that was asked for.
    pub entries: Vec<Entry>,
    /// Where to go on: newest first, what was stored up to this instant is left
    /// to look at; oldest first, what was stored after it. None when all of the
    /// span was looked at.
    pub next: Option<UnixNs>,
}

/// An entry that fits, of one of the ledgers.
#[derive(Clone, Copy, Debug)]
struct Key {
    stored_at: UnixNs,
    position: u64,
    reader: usize,
}

/// Looks for entries within a span of what was stored, over several ledgers.
///
/// # Errors
/// [`LedgerError::Sqlite`]; [`LedgerError::Broken`] for an entry that cannot be decoded.
pub fn search(
    readers: &[Reader],
    question: &Question<'_>,
    span: Span,
) -> Result<Found, LedgerError> {
    let ledgers = u64::try_from(readers.len()).unwrap_or(u64::MAX).max(1);
    let share = (LOOKED_AT_MAX / ledgers).max(LOOKED_AT_MIN);
    bounded(readers, question, span, (share, PAGE_BYTES_MAX))
}

/// The same, with so many entries of each ledger looked at, and so many bytes.
fn bounded(
    readers: &[Reader],
    question: &Question<'_>,
    span: Span,
    (share, bytes_max): (u64, usize),
) -> Result<Found, LedgerError> {
    let span = Span {
        after: span.after.max(never_before(question.happened.start)),
        ..span
    };
    let mut keys = Vec::new();
    let mut places = Vec::new();
    for (index, reader) in readers.iter().enumerate() {
        let looked = reader.look(question, span, share)?;
        let found = looked.keys.into_iter();
        keys.extend(found.map(|(stored_at, position)| Key {
            stored_at,
            position,
            reader: index,
        }));
        places.extend(looked.place);
    }
    let mut next = cut(&mut keys, places, (question.order, span.limit));
    let mut entries: Vec<Entry> = Vec::with_capacity(keys.len());
    let mut bytes = 0;
    let mut read: HashMap<usize, LastRead> = HashMap::new();
    for key in keys {
        let Some(reader) = readers.get(key.reader) else {
            continue;
        };
        let entry = read
            .entry(key.reader)
            .or_default()
            .at(reader, key.position)?;
        bytes += entry.judged.event_bytes.len() + judgement_bytes(&entry.judged.judgement).len();
        if let Some(last) = entries.last().filter(|_| bytes > bytes_max) {
            next = Some(beyond(question.order, last.stored_at));
            break;
        }
        entries.push(entry);
    }
    Ok(Found { entries, next })
}

/// When the newest entry of these ledgers was stored; 0 when there is none.
///
/// # Errors
/// [`LedgerError::Sqlite`].
pub fn newest(readers: &[Reader]) -> Result<UnixNs, LedgerError> {
    let mut newest = UnixNs(0);
    for reader in readers {
        newest = newest.max(reader.newest()?);
    }
    Ok(newest)
}

/// Nothing that happened from `start` on was stored up to this instant.
fn never_before(start: UnixNs) -> UnixNs {
    let ahead = u64::try_from(CLOCK_AHEAD_MAX.as_nanos()).unwrap_or(u64::MAX);
    UnixNs(start.0.saturating_sub(ahead))
}

/// Orders keys, drops those beyond what every ledger was looked at or beyond
/// the page, and says where to go on.
fn cut(keys: &mut Vec<Key>, places: Vec<UnixNs>, (order, limit): (Order, u32)) -> Option<UnixNs> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut next = match order {
        Order::NewestFirst => places.into_iter().max(),
        Order::OldestFirst => places.into_iter().min(),
    };
    if let Some(place) = next {
        keys.retain(|key| match order {
            Order::NewestFirst => key.stored_at > place,
            Order::OldestFirst => key.stored_at <= place,
        });
    }
    keys.sort_by_key(|key| key.stored_at);
    if order == Order::NewestFirst {
        keys.reverse();
    }
    if keys.len() > limit {
        keys.truncate(limit);
        next = keys.last().map(|last| beyond(order, last.stored_at));
    }
    next
}

/// The place that lies just beyond an entry.
fn beyond(order: Order, stored_at: UnixNs) -> UnixNs {
    match order {
        Order::NewestFirst => UnixNs(stored_at.0.saturating_sub(1)),
        Order::OldestFirst => stored_at,
    }
}

/// What one ledger holds of a page.
#[derive(Debug, Default)]
struct Looked {
    /// What fits: when it was stored, and its position.
    keys: Vec<(UnixNs, u64)>,
    /// The place up to which was looked; none when that is all of the span.
    place: Option<UnixNs>,
}

impl Reader {
    /// Looks for what answers the question among so many entries of a span.
    fn look(&self, question: &Question<'_>, span: Span, share: u64) -> Result<Looked, LedgerError> {
        let Question {
            filter,
            admits,
            happened,
            order,
        } = question;
        let wanted = Scan {
            after: span.after,
            up_to: span.up_to,
            happened: happened.clone(),
            terms: self.terms(filter),
            backwards: *order == Order::NewestFirst,
        };
        let limit = usize::try_from(span.limit).unwrap_or(usize::MAX);
        let (mut looked, mut left) = (Looked::default(), share.max(1));
        self.scan(&wanted, |entry| {
            left -= 1;
            if filter.admits(&entry)
                && (filter.object_prefix.is_empty() || admits(&entry.judged.event))
            {
                looked.keys.push((entry.stored_at, entry.position));
            }
            if left > 0 && looked.keys.len() < limit {
                return ControlFlow::Continue(());
            }
            looked.place = Some(beyond(*order, entry.stored_at));
            ControlFlow::Break(())
        })?;
        Ok(looked)
    }

    /// When the newest entry was stored; 0 when there is none.
    fn newest(&self) -> Result<UnixNs, LedgerError> {
        let sql = "SELECT stored_to FROM block ORDER BY stored_from DESC LIMIT 1";
        let found = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut asked| asked.query_row([], |row| row.get(0)).optional());
        let found = found.map_err(|source| self.sqlite(source))?;
        Ok(UnixNs(number(found.unwrap_or(0))))
    }
}

/// The block of a ledger that was read last: what is asked for next is mostly in it.
#[derive(Debug, Default)]
struct LastRead(Vec<Entry>);

impl LastRead {
    /// The entry at a position, which must be there.
    fn at(&mut self, reader: &Reader, position: u64) -> Result<Entry, LedgerError> {
        let is_it = |entry: &&Entry| entry.position == position;
        if let Some(entry) = self.0.iter().find(is_it) {
            return Ok(entry.clone());
        }
        self.0 = reader.block_at(position)?;
        let found = self.0.iter().find(is_it).cloned();
        found.ok_or_else(|| reader.broken(position, "the entry is missing"))
    }
}

#[cfg(test)]
mod tests;
