//! Brings files of layout 1 (a chain of hashes, no tree) to this layout.
//!
//! The chain is checked from its first link to its last; where it is broken,
//! the file is left as it is. Everything happens in one transaction.

use std::path::Path;

use monitor_ledger::{
    Hash, chain,
    file::{self, LAYOUT, LAYOUT_CHAIN, Row, SCHEMA_TREE, SELECT},
    leaf::Blinding,
    merkle::Frontier,
};
use monitor_model::id::TenantId;
use rusqlite::{Connection, TransactionBehavior, params};
use tracing::info;

use super::{LedgerError, integer, meta};

/// Takes over a file of layout 1; leaves any other alone.
pub(super) fn chained(
    connection: &mut Connection,
    path: &Path,
    tenant: &TenantId,
    blinding: &Blinding,
) -> Result<(), LedgerError> {
    if meta(connection, path, "layout")? != LAYOUT_CHAIN
        || meta(connection, path, "tenant")? != tenant.as_str()
    {
        return Ok(());
    }
    let sqlite = |source| LedgerError::sqlite(path, source);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    transaction.execute_batch(SCHEMA_TREE).map_err(sqlite)?;
    let mut link = chain::first(tenant.as_str());
    let mut frontier = Frontier::default();
    // One at a time: rows are changed while they are read.
    while let Some(row) = next(&transaction, path, frontier.size())? {
        let position = frontier.size() + 1;
        if row.position != position {
            let cause = format!(
                "the next entry found is {}; entries are missing",
                row.position
            );
            return Err(LedgerError::broken(path, position, cause));
        }
        link = chain::link(&link, &row.event, &row.judgement, row.stored_at_unix_ns);
        if row.hash != link {
            let cause = "its bytes are not those that were hashed";
            return Err(LedgerError::broken(path, position, cause));
        }
        row.check_columns()
            .map_err(|fault| LedgerError::broken(path, position, fault))?;
        enter(
            &transaction,
            row.position,
            row.leaf(blinding).hash(),
            &mut frontier,
        )
        .map_err(sqlite)?;
    }
    transaction
        .execute("UPDATE meta SET value = ?1 WHERE key = 'layout'", [LAYOUT])
        .and_then(|_| {
            let secret = file::blinding_text(blinding);
            transaction.execute("INSERT INTO meta VALUES ('blinding', ?1)", [secret])
        })
        .and_then(|_| transaction.commit())
        .map_err(sqlite)?;
    info!(%tenant, entries = frontier.size(), chain = %crate::hex::text(&link),
        "Ledger taken over: its chain was whole, a tree takes its place.");
    Ok(())
}

fn next(connection: &Connection, path: &Path, after: u64) -> Result<Option<Row>, LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    let sql = format!("{SELECT} WHERE position > ?1 ORDER BY position LIMIT 1");
    let mut statement = connection.prepare_cached(&sql).map_err(sqlite)?;
    let mut rows = statement.query([integer(after)]).map_err(sqlite)?;
    let row = rows.next().map_err(sqlite)?;
    row.map(Row::of)
        .transpose()
        .map_err(|error| LedgerError::broken(path, after + 1, error))
}

fn enter(
    connection: &Connection,
    position: u64,
    hash: Hash,
    frontier: &mut Frontier,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE entry SET hash = ?1 WHERE position = ?2")?
        .execute(params![hash, integer(position)])?;
    let mut kept = Vec::new();
    frontier.push(hash, |one| kept.push(one));
    for one in kept {
        connection
            .prepare_cached("INSERT INTO node (level, place, hash) VALUES (?1, ?2, ?3)")?
            .execute(params![one.level, integer(one.index), one.hash])?;
    }
    Ok(())
}
