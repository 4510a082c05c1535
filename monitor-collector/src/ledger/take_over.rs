//! Brings files of the layouts before to this one: 1, rows in a chain of
//! hashes; 2, rows under a tree; 3, blocks, with a row for each term of each.
//!
//! Every row is checked, the chain from its first link to its last, the tree
//! by the hashes of its leaves; its newest checkpoint is checked when the file
//! is opened. Where something is wrong, the file is left as it is. Everything
//! happens in one transaction. Blocks stay as they are, and what they are found by
//! is not made anew: the check does that.

use std::{collections::BTreeSet, path::Path};

use monitor_ledger::{
    Hash,
    block::Filling,
    chain,
    file::{self, LAYOUT, SCHEMA, SCHEMA_TREE},
    leaf::{Leaf, Parts},
    merkle::Frontier,
    postings::{self, RUN_BLOCKS, SCHEMA_TERMS},
    seal::{SealKey, Secrets},
};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tracing::info;

use super::{LedgerError, integer, meta, number, put_meta};

/// Takes over a file of a layout before; leaves any other alone.
pub(super) fn older(
    connection: &mut Connection,
    path: &Path,
    fresh: &Secrets,
    key: Option<&SealKey>,
) -> Result<(), LedgerError> {
    let layout = meta(connection, path, "layout")?;
    if meta(connection, path, "tenant")? != fresh.tenant() {
        return Ok(());
    }
    let is_chain = layout == "1";
    match layout.as_str() {
        "1" | "2" => {}
        "3" => return postings_of_blocks(connection, path),
        _ => return Ok(()),
    }
    let sqlite = |source| LedgerError::sqlite(path, source);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    if is_chain {
        transaction
            .execute_batch(SCHEMA_TREE)
            .and_then(|()| {
                // It is sealed when all of it is there.
                let plain = Secrets::new(fresh.tenant(), *fresh.blinding(), None);
                let rows = plain.rows(None).unwrap_or_default();
                rows.iter()
                    .try_for_each(|(name, value)| put_meta(&transaction, name, value))
            })
            .map_err(sqlite)?;
    }
    let secrets = Secrets::read(&transaction, fresh.tenant(), key)
        .map_err(|error| LedgerError::seal(path, error))?;
    renew_tables(&transaction).map_err(sqlite)?;
    let rows = Rows {
        path,
        secrets,
        link: is_chain.then(|| chain::first(fresh.tenant())),
    };
    let entries = rows.take_over(&transaction)?;
    transaction
        .execute("UPDATE meta SET value = ?1 WHERE key = 'layout'", [LAYOUT])
        .and_then(|_| transaction.execute_batch("DROP TABLE old_entry; DROP TABLE old_stream"))
        .and_then(|()| transaction.commit())
        .map_err(sqlite)?;
    info!(
        tenant = fresh.tenant(),
        entries, layout, "Ledger taken over: its rows were whole, and lie in blocks now."
    );
    Ok(())
}

/// Puts the old tables aside and makes the new ones.
fn renew_tables(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "ALTER TABLE entry RENAME TO old_entry; ALTER TABLE stream RENAME TO old_stream",
    )?;
    // `meta` stays as it is.
    let (_, others) = SCHEMA.split_once(';').unwrap_or_default();
    transaction.execute_batch(others)?;
    transaction.execute_batch(SCHEMA_TERMS)
}

/// Turns the terms of layout 3 around: a row for each term and block.
fn postings_of_blocks(connection: &mut Connection, path: &Path) -> Result<(), LedgerError> {
    let turn = |connection: &mut Connection| -> rusqlite::Result<u64> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch("ALTER TABLE posting RENAME TO old_posting")?;
        transaction.execute_batch(SCHEMA_TERMS)?;
        let blocks = turn_around(&transaction)?;
        transaction.execute_batch("DROP TABLE old_posting")?;
        transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'layout'", [LAYOUT])?;
        transaction.commit()?;
        Ok(blocks)
    };
    let blocks = turn(connection).map_err(|source| LedgerError::sqlite(path, source))?;
    info!(
        path = %path.display(),
        blocks, "Ledger taken over: which blocks have a term is kept in runs now."
    );
    Ok(())
}

/// Puts the terms of each block, in order; says of how many.
fn turn_around(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    let (mut blocks, mut waiting) = (0, 0);
    let mut put = |block: u64, terms: &mut BTreeSet<i64>| -> rusqlite::Result<()> {
        if terms.is_empty() {
            return Ok(());
        }
        postings::put(transaction, block, terms)?;
        terms.clear();
        (blocks, waiting) = (blocks + 1, waiting + 1);
        if waiting >= RUN_BLOCKS {
            postings::gather(transaction, block + 1)?;
            waiting = 0;
        }
        Ok(())
    };
    let mut statement =
        transaction.prepare("SELECT block, term FROM old_posting ORDER BY block, term")?;
    let mut rows = statement.query([])?;
    let (mut block, mut terms) = (0, BTreeSet::new());
    while let Some(row) = rows.next()? {
        let next = number(row.get(0)?);
        if next != block {
            put(block, &mut terms)?;
            block = next;
        }
        terms.insert(row.get(1)?);
    }
    put(block, &mut terms)?;
    Ok(blocks)
}

/// A row as the layouts before had it.
struct Row {
    position: u64,
    stored_at_unix_ns: u64,
    event: Vec<u8>,
    judgement: Vec<u8>,
    hash: Hash,
    /// What it was searched by: sequence, time, kind, verdict, session, principal.
    searched: [Option<String>; 6],
}

impl Row {
    fn of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let mut searched = <[Option<String>; 6]>::default();
        for (at, column) in (5..).zip(&mut searched) {
            *column = row.get(at)?;
        }
        Ok(Self {
            position: number(row.get(0)?),
            stored_at_unix_ns: number(row.get(1)?),
            event: row.get(2)?,
            judgement: row.get(3)?,
            hash: row.get(4)?,
            searched,
        })
    }
}

const SELECT: &str = "
SELECT position, stored_at, event, judgement, hash, CAST(sequence AS TEXT), CAST(at AS TEXT), kind, verdict, session, principal
FROM old_entry ORDER BY position";

struct Rows<'a> {
    path: &'a Path,
    secrets: Secrets,
    /// The newest link of the chain; none where there is a tree.
    link: Option<Hash>,
}

impl Rows<'_> {
    fn take_over(mut self, transaction: &Transaction<'_>) -> Result<u64, LedgerError> {
        let path = self.path;
        let sqlite = |source| LedgerError::sqlite(path, source);
        let mut statement = transaction.prepare(SELECT).map_err(sqlite)?;
        let mut rows = statement.query([]).map_err(sqlite)?;
        let (mut frontier, mut filling) = (Frontier::default(), Filling::default());
        while let Some(row) = rows.next().map_err(sqlite)? {
            let position = frontier.size() + 1;
            let broken = |cause: String| LedgerError::broken(path, position, cause);
            let row = Row::of(row).map_err(|error| broken(error.to_string()))?;
            let (parts, hash) = self.checked(&row, position)?;
            let (event, judgement) =
                file::decode(&parts).map_err(|error| broken(error.to_string()))?;
            let who = &event.attribution;
            let told = [
                Some(integer(event.id.sequence).to_string()),
                Some(integer(event.at.0).to_string()),
                Some(event.action.kind().to_string()),
                Some(judgement.verdict.kind().to_string()),
                who.session.map(|id| id.to_string()),
                who.principal.as_ref().map(ToString::to_string),
            ];
            if told != row.searched {
                let cause = format!("its columns say {:?}, its bytes {told:?}", row.searched);
                return Err(broken(cause));
            }
            filling.push(&parts, &event, judgement.verdict.kind(), &hash);
            self.grow(transaction, &mut frontier, hash)
                .map_err(sqlite)?;
            if filling.is_full() {
                self.put(transaction, frontier.size(), &mut filling)?;
            }
        }
        self.put(transaction, frontier.size(), &mut filling)?;
        Ok(frontier.size())
    }

    /// The parts of a row that is what was hashed, and its hash in the tree.
    fn checked<'r>(
        &mut self,
        row: &'r Row,
        position: u64,
    ) -> Result<(Parts<'r>, Hash), LedgerError> {
        if row.position != position {
            let found = row.position;
            let cause = format!("the next entry found is {found}; entries are missing");
            return Err(LedgerError::broken(self.path, position, cause));
        }
        let parts = Parts {
            stored_at_unix_ns: row.stored_at_unix_ns,
            event: &row.event,
            judgement: &row.judgement,
        };
        let leaf = Leaf::new(self.secrets.blinding(), position, parts).hash();
        let mut expected = leaf;
        if let Some(link) = &mut self.link {
            *link = chain::link(link, &row.event, &row.judgement, row.stored_at_unix_ns);
            expected = *link;
        }
        if row.hash != expected {
            let cause = "its bytes are not those that were hashed";
            return Err(LedgerError::broken(self.path, position, cause));
        }
        Ok((parts, leaf))
    }

    /// Adds a leaf to a tree that was not there before.
    fn grow(
        &self,
        transaction: &Transaction<'_>,
        frontier: &mut Frontier,
        hash: Hash,
    ) -> rusqlite::Result<()> {
        let mut kept = Vec::new();
        frontier.push(hash, |one| kept.push(one));
        if self.link.is_some() {
            for one in &kept {
                file::put_node(transaction, one)?;
            }
        }
        Ok(())
    }

    fn put(
        &self,
        transaction: &Transaction<'_>,
        size: u64,
        filling: &mut Filling,
    ) -> Result<(), LedgerError> {
        let filling = std::mem::take(filling);
        let full = filling
            .end(size)
            .map_err(|error| LedgerError::broken(self.path, size, error))?;
        full.map_or(Ok(()), |full| {
            full.put(transaction, &self.secrets, file::stream_number)
                .map_err(|error| LedgerError::put(self.path, size, error))
        })
    }
}
