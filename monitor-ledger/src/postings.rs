//! Which blocks have a term.
//!
//! The terms of a block lie in one row of its own until [`RUN_BLOCKS`] blocks
//! have such rows. Then they are turned around: a *run* says of each term which
//! of its blocks have it. Both are written at the end of a table; a row for
//! each term and block would be a page of the file for each of them.
//!
//! In: the terms of blocks, as they are put, joined and removed. Out: blocks
//! that have terms, in order. Bound: the rows of [`RUN_BLOCKS`] blocks in memory
//! while they are turned around.

use std::collections::{BTreeMap, BTreeSet};

use prost::encoding::{decode_varint, encode_varint};
use rusqlite::{Connection, OptionalExtension as _, params, types::Type};

use crate::file::{integer, number};

/// Blocks that have rows of their own before they become a run.
pub const RUN_BLOCKS: u64 = 128;

/// The tables: `terms` has a row for each block that is in no run, of ascending
/// codes, eight bytes each, big-endian; `posting` says which blocks of a run have
/// a term.
pub const SCHEMA_TERMS: &str = "
CREATE TABLE terms (block INTEGER PRIMARY KEY, codes BLOB NOT NULL);
CREATE TABLE run (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE posting (
    run INTEGER NOT NULL, term INTEGER NOT NULL, blocks BLOB NOT NULL, PRIMARY KEY (run, term)
) WITHOUT ROWID;
";

/// Which blocks of a run have which term.
pub type Lists = BTreeMap<i64, Vec<u64>>;

/// Puts the terms of a block.
///
/// # Errors
/// Those of SQLite.
pub fn put(connection: &Connection, block: u64, terms: &BTreeSet<i64>) -> rusqlite::Result<()> {
    let codes: Vec<u8> = terms.iter().flat_map(|term| term.to_be_bytes()).collect();
    connection
        .prepare_cached("INSERT INTO terms VALUES (?1, ?2)")?
        .execute(params![integer(block), codes])?;
    Ok(())
}

/// Forgets the terms of the blocks from a position on; none is in a run.
///
/// # Errors
/// Those of SQLite.
pub fn cut(connection: &Connection, first: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM terms WHERE block >= ?1")?
        .execute([integer(first)])?;
    Ok(())
}

/// Forgets the terms of one block, whose they are.
///
/// # Errors
/// Those of SQLite.
pub fn forget(connection: &Connection, block: u64, terms: &BTreeSet<i64>) -> rusqlite::Result<()> {
    let rows = connection
        .prepare_cached("DELETE FROM terms WHERE block = ?1")?
        .execute([integer(block)])?;
    let Some((run, _)) = run_of(connection, block)?.filter(|_| rows == 0) else {
        return Ok(());
    };
    for term in terms {
        let mut blocks = list(connection, run, *term)?;
        blocks.retain(|other| *other != block);
        let sql = if blocks.is_empty() {
            "DELETE FROM posting WHERE run = ?1 AND term = ?2 AND ?3 IS NOT NULL"
        } else {
            "UPDATE posting SET blocks = ?3 WHERE run = ?1 AND term = ?2"
        };
        connection.prepare_cached(sql)?.execute(params![
            integer(run),
            term,
            to_bytes(run, &blocks)
        ])?;
    }
    Ok(())
}

/// How many blocks before a position have rows of their own.
///
/// # Errors
/// Those of SQLite.
pub fn waiting(connection: &Connection, before: u64) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM terms WHERE block < ?1")?
        .query_row([integer(before)], |row| row.get(0).map(number))
}

/// Makes the blocks before a position that have rows of their own one run; none
/// where there are no such blocks.
///
/// # Errors
/// Those of SQLite.
pub fn gather(connection: &Connection, before: u64) -> rusqlite::Result<()> {
    let mut lists = Lists::new();
    let mut span: Option<(u64, u64)> = None;
    let sql = "SELECT block, codes FROM terms WHERE block < ?1 ORDER BY block";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([integer(before)])?;
    while let Some(row) = rows.next()? {
        let (block, codes) = of_row(row)?;
        span = Some((span.map_or(block, |(first, _)| first), block));
        for term in codes {
            lists.entry(term).or_default().push(block);
        }
    }
    let Some((run, last)) = span else {
        return Ok(());
    };
    connection
        .prepare_cached("INSERT INTO run VALUES (?1, ?2)")?
        .execute([integer(run), integer(last)])?;
    let mut posting = connection.prepare_cached("INSERT INTO posting VALUES (?1, ?2, ?3)")?;
    for (term, blocks) in lists {
        posting.execute(params![integer(run), term, to_bytes(run, &blocks)])?;
    }
    connection
        .prepare_cached("DELETE FROM terms WHERE block < ?1")?
        .execute([integer(before)])?;
    Ok(())
}

/// Which blocks are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Each a list of terms of which a block has one. At least one list.
    pub lists: &'a [Vec<i64>],
    /// From this block on.
    pub low: u64,
    /// Up to and with this one.
    pub high: u64,
    /// The last first.
    pub backwards: bool,
    /// At most so many.
    pub limit: usize,
}

/// The blocks that are wanted, of those that are kept, in order.
///
/// # Errors
/// Those of SQLite, and of `keep`.
pub fn find(
    connection: &Connection,
    wanted: &Wanted<'_>,
    mut keep: impl FnMut(u64) -> rusqlite::Result<bool>,
) -> rusqlite::Result<Vec<u64>> {
    let mut found = Vec::new();
    // Runs are older than the blocks that have rows of their own.
    if wanted.backwards {
        in_rows(connection, wanted, &mut found, &mut keep)?;
        in_runs(connection, wanted, &mut found, &mut keep)?;
    } else {
        in_runs(connection, wanted, &mut found, &mut keep)?;
        in_rows(connection, wanted, &mut found, &mut keep)?;
    }
    Ok(found)
}

type Keep<'a> = dyn FnMut(u64) -> rusqlite::Result<bool> + 'a;

fn in_runs(
    connection: &Connection,
    wanted: &Wanted<'_>,
    found: &mut Vec<u64>,
    keep: &mut Keep<'_>,
) -> rusqlite::Result<()> {
    let order = if wanted.backwards { "DESC" } else { "ASC" };
    let sql =
        format!("SELECT first FROM run WHERE first <= ?2 AND last >= ?1 ORDER BY first {order}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([integer(wanted.low), integer(wanted.high)])?;
    while found.len() < wanted.limit
        && let Some(row) = rows.next()?
    {
        let mut blocks = common(connection, number(row.get(0)?), wanted.lists)?;
        if wanted.backwards {
            blocks.reverse();
        }
        for block in blocks {
            let is_within = (wanted.low..=wanted.high).contains(&block);
            if is_within && found.len() < wanted.limit && keep(block)? {
                found.push(block);
            }
        }
    }
    Ok(())
}

/// The blocks of a run that have a term of each list.
fn common(connection: &Connection, run: u64, lists: &[Vec<i64>]) -> rusqlite::Result<Vec<u64>> {
    let mut common: Option<Vec<u64>> = None;
    for terms in lists {
        let mut union = BTreeSet::new();
        for term in terms {
            union.extend(list(connection, run, *term)?);
        }
        let both = match common {
            None => union.into_iter().collect(),
            Some(before) => before
                .into_iter()
                .filter(|block| union.contains(block))
                .collect(),
        };
        common = Some(both);
        if common.as_ref().is_some_and(Vec::is_empty) {
            break;
        }
    }
    Ok(common.unwrap_or_default())
}

fn in_rows(
    connection: &Connection,
    wanted: &Wanted<'_>,
    found: &mut Vec<u64>,
    keep: &mut Keep<'_>,
) -> rusqlite::Result<()> {
    let order = if wanted.backwards { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT block, codes FROM terms WHERE block >= ?1 AND block <= ?2 ORDER BY block {order}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([integer(wanted.low), integer(wanted.high)])?;
    while found.len() < wanted.limit
        && let Some(row) = rows.next()?
    {
        let codes = row.get_ref(1)?.as_blob()?;
        let has = |term: &i64| {
            let codes = codes.as_chunks().0;
            codes
                .binary_search_by_key(term, |code| i64::from_be_bytes(*code))
                .is_ok()
        };
        let block = number(row.get(0)?);
        if wanted.lists.iter().all(|terms| terms.iter().any(has)) && keep(block)? {
            found.push(block);
        }
    }
    Ok(())
}

/// The terms of a block that has a row of its own.
///
/// # Errors
/// Those of SQLite. What cannot be read is one of them.
pub fn of_block(connection: &Connection, block: u64) -> rusqlite::Result<Option<Vec<i64>>> {
    let row = connection
        .prepare_cached("SELECT block, codes FROM terms WHERE block = ?1")?
        .query_row([integer(block)], of_row)
        .optional()?;
    Ok(row.map(|(_, codes)| codes))
}

/// The first and the last block of the run that a block is in; none where it is
/// in no run.
///
/// # Errors
/// Those of SQLite.
pub fn run_of(connection: &Connection, block: u64) -> rusqlite::Result<Option<(u64, u64)>> {
    let sql = "SELECT first, last FROM run WHERE first <= ?1 ORDER BY first DESC LIMIT 1";
    let run = connection
        .prepare_cached(sql)?
        .query_row([integer(block)], |row| {
            Ok((number(row.get(0)?), number(row.get(1)?)))
        })
        .optional()?;
    Ok(run.filter(|(_, last)| block <= *last))
}

/// All lists of a run.
///
/// # Errors
/// Those of SQLite. What cannot be read is one of them.
pub fn lists(connection: &Connection, run: u64) -> rusqlite::Result<Lists> {
    let sql = "SELECT term, blocks FROM posting WHERE run = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([integer(run)], |row| {
        let blocks = parse(run, row.get_ref(1)?.as_blob()?).ok_or_else(|| wrong(1))?;
        Ok((row.get(0)?, blocks))
    })?;
    rows.collect()
}

fn list(connection: &Connection, run: u64, term: i64) -> rusqlite::Result<Vec<u64>> {
    let sql = "SELECT blocks FROM posting WHERE run = ?1 AND term = ?2";
    let read =
        |row: &rusqlite::Row<'_>| parse(run, row.get_ref(0)?.as_blob()?).ok_or_else(|| wrong(0));
    let blocks = connection
        .prepare_cached(sql)?
        .query_row(params![integer(run), term], read)
        .optional()?;
    Ok(blocks.unwrap_or_default())
}

/// A row of `terms`.
fn of_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u64, Vec<i64>)> {
    let (codes, rest) = row.get_ref(1)?.as_blob()?.as_chunks();
    if !rest.is_empty() {
        return Err(wrong(1));
    }
    let codes = codes.iter().map(|code| i64::from_be_bytes(*code));
    Ok((number(row.get(0)?), codes.collect()))
}

fn wrong(column: usize) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, "a list of blocks or terms".to_owned(), Type::Blob)
}

/// Ascending blocks of a run, as the distance of each from the one before; of
/// the first, from the run's.
fn to_bytes(run: u64, blocks: &[u64]) -> Vec<u8> {
    let (mut bytes, mut before) = (Vec::new(), run);
    for block in blocks {
        encode_varint(block.saturating_sub(before), &mut bytes);
        before = *block;
    }
    bytes
}

/// Reads what was kept; none when it is no such thing.
fn parse(run: u64, mut bytes: &[u8]) -> Option<Vec<u64>> {
    let (mut blocks, mut before) = (Vec::new(), run);
    while !bytes.is_empty() {
        let distance = decode_varint(&mut bytes).ok()?;
        let block = before.checked_add(distance)?;
        if distance == 0 && !blocks.is_empty() {
            return None;
        }
        blocks.push(block);
        before = block;
    }
    Some(blocks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Blocks with their terms, in a file where `gathered` says after which a run was made.
    fn file(blocks: &BTreeMap<u64, BTreeSet<i64>>, gathered: &[u64]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA_TERMS).unwrap();
        for (block, terms) in blocks {
            put(&connection, *block, terms).unwrap();
            if gathered.contains(block) {
                gather(&connection, block + 1).unwrap();
            }
        }
        connection
    }

    fn world() -> impl Strategy<Value = (BTreeMap<u64, BTreeSet<i64>>, Vec<u64>)> {
        let terms = prop::collection::btree_set(-4i64..6, 0..5);
        let blocks = prop::collection::btree_map(1u64..2_000, terms, 1..24);
        blocks.prop_flat_map(|blocks| {
            let names: Vec<u64> = blocks.keys().copied().collect();
            let gathered = prop::sample::subsequence(names.clone(), 0..=names.len().min(4));
            (Just(blocks), gathered)
        })
    }

    fn slowly(blocks: &BTreeMap<u64, BTreeSet<i64>>, wanted: &Wanted<'_>) -> Vec<u64> {
        let has =
            |terms: &BTreeSet<i64>, list: &Vec<i64>| list.iter().any(|one| terms.contains(one));
        let mut found: Vec<u64> = blocks
            .iter()
            .filter(|(block, _)| (wanted.low..=wanted.high).contains(block) && **block % 3 != 0)
            .filter(|(_, terms)| wanted.lists.iter().all(|list| has(terms, list)))
            .map(|(block, _)| *block)
            .collect();
        if wanted.backwards {
            found.reverse();
        }
        found.truncate(wanted.limit);
        found
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_a_slow_look_finds(
            (mut blocks, gathered) in world(),
            lists in prop::collection::vec(prop::collection::vec(-4i64..6, 1..3), 1..3),
            (low, high) in (0u64..1_500, 0u64..2_500), backwards: bool, limit in 1usize..9,
            forgotten in any::<prop::sample::Index>()) {
            let connection = file(&blocks, &gathered);
            let wanted = Wanted { lists: &lists, low, high, backwards, limit };
            let found = |blocks: &BTreeMap<_, _>| {
                let found = find(&connection, &wanted, |block| Ok(block % 3 != 0)).unwrap();
                (found, slowly(blocks, &wanted))
            };
            let (fast, slow) = found(&blocks);
            prop_assert_eq!(fast, slow);
            let block = *forgotten.get(&blocks.keys().copied().collect::<Vec<_>>());
            forget(&connection, block, &blocks[&block]).unwrap();
            blocks.remove(&block);
            let (fast, slow) = found(&blocks);
            prop_assert_eq!(fast, slow, "without {}", block);
        }

        #[test]
        fn a_run_says_what_its_blocks_said((blocks, _) in world()) {
            let connection = file(&blocks, &[]);
            let (first, last) = (*blocks.keys().next().unwrap(), *blocks.keys().last().unwrap());
            prop_assert_eq!(waiting(&connection, last + 1).unwrap(), u64::try_from(blocks.len()).unwrap());
            gather(&connection, last + 1).unwrap();
            prop_assert_eq!(waiting(&connection, last + 1).unwrap(), 0);
            prop_assert_eq!(run_of(&connection, last).unwrap(), Some((first, last)));
            let mut expected = Lists::new();
            for (block, terms) in &blocks {
                for term in terms {
                    expected.entry(*term).or_default().push(*block);
                }
            }
            prop_assert_eq!(lists(&connection, first).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_blocks_or_none_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), run: u64) {
            if let Some(blocks) = parse(run, &bytes) {
                prop_assert_eq!(parse(run, &to_bytes(run, &blocks)), Some(blocks));
            }
        }
    }
}
