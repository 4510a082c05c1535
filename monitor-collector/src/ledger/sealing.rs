//! Seals a file that was not sealed, and puts another key in the place of the one
//! that it is sealed with; each in one transaction.

use std::path::Path;

use monitor_ledger::{
    file::{Block, Content, SELECT},
    seal::{SealKey, Secrets, SecretsError},
};
use monitor_model::id::TenantId;
use rusqlite::{Connection, TransactionBehavior, params};
use tracing::info;

use super::{Ledger, LedgerError, Remains, check_meta, fresh, integer, put_meta, take_over};
use crate::{
    entropy,
    reseal::{Keys, Outcome, Renewal, Stage},
};

impl Ledger {
    /// Puts the new key in the place of the old one, in the file of a tenant's
    /// ledger that nobody writes. `told` is called before and after the commit.
    ///
    /// # Errors
    /// [`LedgerError::Seal`] where neither key opens it, [`LedgerError::Busy`]
    /// where somebody reads it; the others as [`Ledger::open`].
    pub fn reseal(
        data_dir: &Path,
        tenant: &TenantId,
        keys: &Keys,
        renewal: Renewal,
        told: &mut dyn FnMut(Stage),
    ) -> Result<Outcome, LedgerError> {
        let path = Self::path(data_dir, tenant);
        let fresh = fresh(tenant, true)?;
        let mut connection = super::open_file(&path, &fresh, Some(&keys.new))?;
        let read = |connection: &Connection, key| Secrets::read(connection, tenant.as_str(), key);
        // A file of a layout before becomes one of this, with the key that it has.
        let key = match read(&connection, Some(&keys.new)) {
            Ok(_) => &keys.new,
            Err(_) => &keys.old,
        };
        take_over::older(&mut connection, &path, &fresh, Some(key))?;
        check_meta(&connection, &path, tenant)?;
        let secrets =
            read(&connection, Some(key)).map_err(|error| LedgerError::seal(&path, error))?;
        let mut written = || told(Stage::Written);
        let outcome = if !secrets.is_sealed() {
            renew(&mut connection, &path, &secrets, &keys.new, &mut written)?;
            Outcome::Sealed
        } else if *key == keys.new {
            Outcome::Already
        } else {
            match renewal {
                Renewal::Keys => wrap(&mut connection, &path, &secrets, &keys.new, &mut written)?,
                Renewal::Contents => {
                    renew(&mut connection, &path, &secrets, &keys.new, &mut written)?;
                }
            }
            Outcome::Resealed
        };
        told(Stage::Committed);
        finish(&connection, &path)?;
        Ok(outcome)
    }
}

/// Seals every block, and the secret. What was in clear is overwritten: pages
/// are zeroed as they are freed; [`finish`] empties the log.
pub(super) fn seal(
    connection: &mut Connection,
    path: &Path,
    plain: &Secrets,
    key: &SealKey,
) -> Result<Secrets, LedgerError> {
    let secrets = renew(connection, path, plain, key, &mut || ())?;
    info!(
        tenant = secrets.tenant(),
        "Ledger sealed: it was in clear before."
    );
    Ok(secrets)
}

/// Empties the log of a file, where something of before may be in it: also after
/// a crash.
pub(super) fn finish(connection: &Connection, path: &Path) -> Result<(), LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    if Remains::of(connection).map_err(sqlite)? == Remains::Nowhere {
        return Ok(());
    }
    if !super::emptied(connection).map_err(sqlite)? {
        return Err(LedgerError::Busy { path: path.into() });
    }
    Remains::Nowhere.note(connection).map_err(sqlite)
}

/// Seals every block and the secret with a new key of the ledger's own.
fn renew(
    connection: &mut Connection,
    path: &Path,
    from: &Secrets,
    key: &SealKey,
    written: &mut dyn FnMut(),
) -> Result<Secrets, LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    let own = entropy::random().map_err(|source| LedgerError::Folder {
        path: "/dev/urandom".into(),
        source,
    })?;
    let secrets = Secrets::new(from.tenant(), *from.blinding(), Some(own));
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    let mut next = 1;
    while let Some(block) = block_from(&transaction, next).map_err(sqlite)? {
        next = block.first + 1;
        let Content::Kept(kept) = block.content else {
            continue;
        };
        let content = from
            .open(block.first, &kept)
            .and_then(|content| secrets.seal(block.first, content.into_owned()))
            .map_err(|error| LedgerError::broken(path, block.first, error))?;
        transaction
            .prepare_cached("UPDATE block SET content = ?2 WHERE first = ?1")
            .and_then(|mut update| update.execute(params![integer(block.first), content]))
            .map_err(sqlite)?;
    }
    put(&transaction, path, &secrets, key)?;
    written();
    transaction.commit().map_err(sqlite)?;
    Ok(secrets)
}

/// Puts the ledger's own key under another.
fn wrap(
    connection: &mut Connection,
    path: &Path,
    secrets: &Secrets,
    key: &SealKey,
    written: &mut dyn FnMut(),
) -> Result<(), LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    put(&transaction, path, secrets, key)?;
    written();
    transaction.commit().map_err(sqlite)
}

/// Writes down what the file is read with, and that its log is to be emptied.
fn put(
    connection: &Connection,
    path: &Path,
    secrets: &Secrets,
    key: &SealKey,
) -> Result<(), LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    let rows = secrets.rows(Some(key));
    let rows = rows.map_err(|error: SecretsError| LedgerError::seal(path, error))?;
    for (name, value) in rows {
        put_meta(connection, name, &value).map_err(sqlite)?;
    }
    Remains::Log.note(connection).map_err(sqlite)
}

/// The block at a position or the next after it.
fn block_from(connection: &Connection, position: u64) -> rusqlite::Result<Option<Block>> {
    let sql = format!("{SELECT} WHERE first >= ?1 ORDER BY first LIMIT 1");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([integer(position)])?;
    rows.next()?.map(Block::of).transpose()
}
