//! Entries that answer a question, page by page, in the order in which they
//! were stored.
//!
//! In: ledgers, a question, and a part of what was stored. Out: the entries
//! that answer it, and where to go on. Bound: [`LOOKED_AT_MAX`] entries over
//! all ledgers a page, or [`LOOKED_AT_MIN`] of each; of what fits, keys alone
//! are held until the page is cut; a page ends at [`PAGE_BYTES_MAX`]. Loss: none;
//! a page may come back short.
//!
//! All SQL of searches is here, a function a query.

use std::{ops::Range, time::Duration};

use monitor_model::{clock::UnixNs, event::Event};
use rusqlite::{OptionalExtension as _, params};

use super::{
    Entry, LedgerError, integer, judgement_bytes, number,
    read::{Filter, Reader, Span, json},
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
    for key in keys {
        let Some(entry) = readers
            .get(key.reader)
            .map(|reader| reader.at(key.position))
            .transpose()?
        else {
            continue;
        };
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
        let (Some(first), Some(last)) =
            (self.first_after(span.after)?, self.last_up_to(span.up_to)?)
        else {
            return Ok(Looked::default());
        };
        let order = question.order;
        let (first, last, edge) = match order {
            Order::NewestFirst if last.saturating_sub(first) >= share => {
                (last - share + 1, last, Some(last - share + 1))
            }
            Order::OldestFirst if last.saturating_sub(first) >= share => {
                (first, first + share - 1, Some(first + share - 1))
            }
            Order::NewestFirst | Order::OldestFirst => (first, last, None),
        };
        let keys = self.fitting(question, first..last.saturating_add(1), span.limit)?;
        let full = u32::try_from(keys.len()).unwrap_or(u32::MAX) >= span.limit;
        let place = match (keys.last(), edge) {
            (Some((stored_at, _)), _) if full => Some(beyond(order, *stored_at)),
            (_, Some(edge)) => Some(beyond(order, self.at(edge)?.stored_at)),
            (_, None) => None,
        };
        Ok(Looked { keys, place })
    }

    /// The first position that was stored after an instant.
    fn first_after(&self, instant: UnixNs) -> Result<Option<u64>, LedgerError> {
        self.one(
            "SELECT position FROM entry WHERE stored_at > ?1 ORDER BY stored_at LIMIT 1",
            integer(instant.0),
        )
    }

    /// The last position that was stored up to an instant.
    fn last_up_to(&self, instant: UnixNs) -> Result<Option<u64>, LedgerError> {
        self.one(
            "SELECT position FROM entry WHERE stored_at <= ?1 ORDER BY stored_at DESC LIMIT 1",
            integer(instant.0),
        )
    }

    /// When the newest entry was stored.
    fn newest(&self) -> Result<UnixNs, LedgerError> {
        let sql = "SELECT max(stored_at) FROM entry WHERE stored_at > ?1";
        Ok(UnixNs(self.one(sql, 0)?.unwrap_or(0)))
    }

    /// One number that a query answers with.
    fn one(&self, sql: &str, value: i64) -> Result<Option<u64>, LedgerError> {
        let found = self.connection.prepare_cached(sql).and_then(|mut asked| {
            let row = |row: &rusqlite::Row<'_>| row.get::<_, Option<i64>>(0);
            asked.query_row([value], row).optional()
        });
        let found = found.map_err(|source| self.sqlite(source))?;
        Ok(found.flatten().map(number))
    }

    /// Keys of entries among some positions that answer the question, in its
    /// order, at most so many.
    fn fitting(
        &self,
        question: &Question<'_>,
        positions: Range<u64>,
        limit: u32,
    ) -> Result<Vec<(UnixNs, u64)>, LedgerError> {
        let Question {
            filter, happened, ..
        } = question;
        let direction = match question.order {
            Order::NewestFirst => "DESC",
            Order::OldestFirst => "ASC",
        };
        // Objects are in the event alone, and reading that costs.
        let object = if filter.object_prefix.is_empty() {
            "NULL"
        } else {
            "event"
        };
        let sql = format!(
            "SELECT stored_at, position, {object} FROM entry JOIN stream ON stream.id = entry.stream
             WHERE position >= ?1 AND position < ?2 AND at >= ?3 AND (at < ?4 OR ?4 = ?10)
             AND (?5 = '[]' OR principal IN (SELECT value FROM json_each(?5)))
             AND (?6 = '[]' OR session IN (SELECT value FROM json_each(?6)))
             AND (?7 = '[]' OR agent IN (SELECT value FROM json_each(?7)))
             AND (?8 = '[]' OR kind IN (SELECT value FROM json_each(?8)))
             AND (?9 = '[]' OR verdict IN (SELECT value FROM json_each(?9)))
             ORDER BY position {direction}"
        );
        let values = params![
            integer(positions.start),
            integer(positions.end),
            integer(happened.start.0),
            integer(happened.end.0),
            json(&filter.principals),
            json(&filter.sessions),
            json(&filter.hosts),
            json(&filter.kinds),
            json(&filter.verdicts),
            // What has no end reaches to the largest number, and that is in it.
            i64::MAX,
        ];
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let sqlite = |source| self.sqlite(source);
        let mut statement = self.connection.prepare_cached(&sql).map_err(sqlite)?;
        let mut rows = statement.query(values).map_err(sqlite)?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next().map_err(sqlite)?
        {
            let stored_at = UnixNs(number(row.get(0).map_err(sqlite)?));
            let position = number(row.get(1).map_err(sqlite)?);
            let event: Option<Vec<u8>> = row.get(2).map_err(sqlite)?;
            if self.admits(question, position, event)? {
                found.push((stored_at, position));
            }
        }
        Ok(found)
    }

    /// Whether an event that was read for its objects has one that is asked for.
    fn admits(
        &self,
        question: &Question<'_>,
        position: u64,
        event: Option<Vec<u8>>,
    ) -> Result<bool, LedgerError> {
        let Some(event) = event else { return Ok(true) };
        let event = monitor_proto::decode_event(&event)
            .map_err(|error| self.broken(position, &error.to_string()))?;
        Ok((question.admits)(&event))
    }

    /// The entry at a position, which must be there.
    fn at(&self, position: u64) -> Result<Entry, LedgerError> {
        let mut found = None;
        self.each(position..=position, |entry, _| {
            found = Some(entry);
            false
        })?;
        found.ok_or_else(|| self.broken(position, "the entry is missing"))
    }
}

#[cfg(test)]
mod tests;
