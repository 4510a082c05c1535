//! Seals a file that was not sealed, in one transaction.

use std::path::Path;

use monitor_ledger::{
    file::{Block, Content, SELECT},
    seal::{SealKey, Secrets},
};
use rusqlite::{Connection, TransactionBehavior, params};
use tracing::info;

use super::{LedgerError, integer, put_meta};
use crate::entropy;

/// Seals every block, and the secret. What was in clear is overwritten: pages
/// are zeroed as they are freed, and the log is emptied.
pub(super) fn seal(
    connection: &mut Connection,
    path: &Path,
    plain: &Secrets,
    key: &SealKey,
) -> Result<Secrets, LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    let own = entropy::random().map_err(|source| LedgerError::Folder {
        path: "/dev/urandom".into(),
        source,
    })?;
    let secrets = Secrets::new(plain.tenant(), *plain.blinding(), Some(own));
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    let mut next = 1;
    while let Some(block) = block_from(&transaction, next).map_err(sqlite)? {
        next = block.first + 1;
        let Content::Kept(content) = block.content else {
            continue;
        };
        let content = secrets
            .seal(block.first, content)
            .map_err(|error| LedgerError::broken(path, block.first, error))?;
        transaction
            .prepare_cached("UPDATE block SET content = ?2 WHERE first = ?1")
            .and_then(|mut update| update.execute(params![integer(block.first), content]))
            .map_err(sqlite)?;
    }
    let rows = secrets
        .rows(Some(key))
        .map_err(|error| LedgerError::seal(path, error))?;
    for (name, value) in rows {
        put_meta(&transaction, name, &value).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)?;
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .map_err(sqlite)?;
    info!(
        tenant = secrets.tenant(),
        "Ledger sealed: it was in clear before."
    );
    Ok(secrets)
}

/// The block at a position or the next after it.
fn block_from(connection: &Connection, position: u64) -> rusqlite::Result<Option<Block>> {
    let sql = format!("{SELECT} WHERE first >= ?1 ORDER BY first LIMIT 1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([integer(position)])?;
    rows.next()?.map(Block::of).transpose()
}
