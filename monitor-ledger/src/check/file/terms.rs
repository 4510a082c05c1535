//! Terms are there for each block, and no more: a search finds every record.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{Checked, count, of_block};
use crate::{
    check::Fault,
    file::{Block, number},
    postings::{self, Lists},
};

/// What was found of them.
#[derive(Default)]
pub(super) struct Terms {
    /// Blocks with rows of their own.
    rows: u64,
    /// Lists of runs that were compared.
    lists: u64,
    run: Option<Run>,
}

/// A run as its blocks would make it.
struct Run {
    first: u64,
    last: u64,
    made: Lists,
}

impl Terms {
    /// Takes the next block, with the terms that its records make.
    pub(super) fn take(
        &mut self,
        connection: &Connection,
        block: &Block,
        terms: BTreeSet<i64>,
    ) -> Checked<()> {
        let missing = || {
            let cause =
                "a search would not find its records: its terms are not those that are kept";
            Ok(Err(of_block(block, cause)))
        };
        match postings::of_block(connection, block.first) {
            Ok(Some(kept)) if terms.iter().eq(&kept) => {
                self.rows += 1;
                return Ok(Ok(()));
            }
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => return missing(),
        }
        let Some((first, last)) = postings::run_of(connection, block.first)? else {
            return missing();
        };
        if self.run.as_ref().is_none_or(|run| run.first != first) {
            sound!(self.end_run(connection));
        }
        let made = Lists::new();
        let run = self.run.get_or_insert(Run { first, last, made });
        for term in terms {
            run.made.entry(term).or_default().push(block.first);
        }
        Ok(Ok(()))
    }

    /// Compares the run that its blocks made with what is kept.
    fn end_run(&mut self, connection: &Connection) -> Result<(), Fault> {
        let Some(Run { first, last, made }) = self.run.take() else {
            return Ok(());
        };
        // What cannot be read is not what was written.
        let kept = postings::lists(connection, first).unwrap_or_default();
        if kept == made {
            self.lists += u64::try_from(made.len()).unwrap_or(u64::MAX);
            return Ok(());
        }
        let terms: BTreeSet<&i64> = made.keys().chain(kept.keys()).collect();
        let differ = |term: &i64| {
            let blocks = |lists: &Lists| -> BTreeSet<u64> {
                lists.get(term).into_iter().flatten().copied().collect()
            };
            let (made, kept) = (blocks(&made), blocks(&kept));
            made.symmetric_difference(&kept).copied().collect()
        };
        let differing: BTreeSet<u64> = terms
            .into_iter()
            .flat_map(|term| -> Vec<u64> { differ(term) })
            .collect();
        let block = differing.first().copied().unwrap_or(first);
        let cause = format!(
            "a search would not find the records of block {block}: its terms in the run of {first} are not those that are kept"
        );
        Err(Fault {
            first: block,
            last: last.max(block),
            cause,
        })
    }

    /// There is no more than belongs to some block.
    pub(super) fn end(mut self, connection: &Connection, size: u64) -> Checked<()> {
        sound!(self.end_run(connection));
        sound!(count(connection, "terms", self.rows, size)?);
        sound!(count(connection, "posting", self.lists, size)?);
        runs(connection, size)
    }
}

/// Runs begin and end with blocks, one after the other, before the blocks that
/// have rows of their own.
fn runs(connection: &Connection, size: u64) -> Checked<()> {
    let sql = "SELECT first, last, last IN (SELECT first FROM block) AND first IN (SELECT first FROM block)
               FROM run ORDER BY first";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut before = 0;
    while let Some(row) = rows.next()? {
        let (first, last) = (number(row.get(0)?), number(row.get(1)?));
        let are_blocks: bool = row.get(2)?;
        if first <= before || last < first || !are_blocks {
            let cause = format!("a run is kept from {first} to {last}, where none belongs");
            let last = last.clamp(first, size.max(first));
            return Ok(Err(Fault { first, last, cause }));
        }
        before = last;
    }
    let sql = "SELECT coalesce(min(block), ?1) FROM terms";
    let row: i64 = connection.query_row(sql, [i64::MAX], |row| row.get(0))?;
    if number(row) > before {
        return Ok(Ok(()));
    }
    let cause = "its terms are kept beside the run that it is in";
    Ok(Err(Fault::at(number(row), cause)))
}
