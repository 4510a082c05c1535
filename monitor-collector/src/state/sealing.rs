//! Seals a state that lay in clear, and puts another key in the place of the one
//! that it is sealed with.
//!
//! Each in one transaction. What lay in the file before is gone when this
//! returns: the file is written anew, without what SQLite left over in it, and its
//! log is emptied. A crash in between leaves a note in its header, and the next to
//! open the file does the rest.

use std::path::Path;

use monitor_ledger::seal::SealKey;
use rusqlite::{Connection, Transaction, TransactionBehavior, params, params_from_iter};
use tracing::info;

use super::{
    State, StateError,
    cover::{Cover, Own},
    open::{self, LAYOUT_SEALED, SEAL},
    rows::{CURSOR_KEY, SECRET},
    table::{TABLES, Table},
};
use crate::{
    entropy,
    ledger::{self, Remains, durable},
    reseal::{Keys, Outcome, Renewal, Stage},
};

/// Seals every row, under a new key.
pub(super) fn seal(
    connection: &mut Connection,
    path: &Path,
    key: &SealKey,
) -> Result<Cover, StateError> {
    let cover = renew(connection, path, &Cover::none(), key, &mut || ())?;
    info!(path = %path.display(), "State sealed: it was in clear before.");
    Ok(cover)
}

/// Puts the new key in the place of the old one.
pub(crate) fn reseal(
    data_dir: &Path,
    keys: &Keys,
    renewal: Renewal,
    told: &mut dyn FnMut(Stage),
) -> Result<Outcome, StateError> {
    let path = State::path(data_dir);
    let sqlite = |source| StateError::sqlite(&path, source);
    let mut connection = Connection::open(&path).map_err(sqlite)?;
    durable(&connection)
        .and_then(|()| overwriting(&connection))
        // A state of a version before may lack some of them.
        .and_then(|()| open::schema(&connection))
        .map_err(sqlite)?;
    let mut written = || told(Stage::Written);
    let outcome = match open::cover(&connection, &path, Some(&keys.new)) {
        Ok(cover) if cover.is_sealed() => Outcome::Already,
        Ok(plain) => {
            renew(&mut connection, &path, &plain, &keys.new, &mut written)?;
            Outcome::Sealed
        }
        Err(_) => {
            // What is wrong, if not the key, the old one says as well.
            let cover = open::cover(&connection, &path, Some(&keys.old))?;
            match renewal {
                Renewal::Keys => wrap(&mut connection, &path, keys, &mut written)?,
                Renewal::Contents => {
                    renew(&mut connection, &path, &cover, &keys.new, &mut written)?;
                }
            }
            Outcome::Resealed
        }
    };
    told(Stage::Committed);
    finish(&connection, &path)?;
    Ok(outcome)
}

/// From now on freed bytes are overwritten.
pub(super) fn overwriting(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "secure_delete", "ON")
}

/// Removes what is left of before, where something may be.
pub(super) fn finish(connection: &Connection, path: &Path) -> Result<(), StateError> {
    let sqlite = |source| StateError::sqlite(path, source);
    match Remains::of(connection).map_err(sqlite)? {
        Remains::Nowhere => return Ok(()),
        Remains::Log => {}
        Remains::Pages => connection.execute_batch("VACUUM").map_err(sqlite)?,
    }
    if !ledger::emptied(connection).map_err(sqlite)? {
        return Err(StateError::Busy { path: path.into() });
    }
    Remains::Nowhere.note(connection).map_err(sqlite)
}

/// Puts the state's own key under the new one.
fn wrap(
    connection: &mut Connection,
    path: &Path,
    keys: &Keys,
    written: &mut dyn FnMut(),
) -> Result<(), StateError> {
    let sqlite = |source| StateError::sqlite(path, source);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    let sql = "SELECT value FROM meta WHERE key = ?1";
    let kept: Vec<u8> = transaction
        .query_row(sql, [SEAL], |row| row.get(0))
        .map_err(sqlite)?;
    let seal = Own::open(&keys.old, &kept)
        .and_then(|own| own.under(&keys.new))
        .map_err(|source| StateError::seal(path, source))?;
    put_meta(&transaction, SEAL, &seal)
        .and_then(|()| Remains::Log.note(&transaction))
        .map_err(sqlite)?;
    written();
    transaction.commit().map_err(sqlite)
}

/// Writes every row anew, under a new key of the state's own.
fn renew(
    connection: &mut Connection,
    path: &Path,
    from: &Cover,
    key: &SealKey,
    written: &mut dyn FnMut(),
) -> Result<Cover, StateError> {
    let sqlite = |source| StateError::sqlite(path, source);
    let sealed = |source| StateError::seal(path, source);
    let own = entropy::random().map(Own::new);
    let own = own.map_err(|_| sealed(monitor_ledger::seal::SecretsError::NoRandom))?;
    let to = Cover::of(&own);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    let aside = |table: &&Table| {
        let name = table.name;
        transaction.execute_batch(&format!("ALTER TABLE {name} RENAME TO old_{name}"))
    };
    TABLES.iter().try_for_each(aside).map_err(sqlite)?;
    open::schema(&transaction).map_err(sqlite)?;
    let rewrite = Rewrite {
        path,
        transaction: &transaction,
        from,
        to: &to,
    };
    TABLES.iter().try_for_each(|table| rewrite.table(table))?;
    rewrite.cursor_key()?;
    let seal = own.under(key).map_err(sealed)?;
    put_meta(&transaction, SEAL, &seal)
        .and_then(|()| put_meta(&transaction, "layout", LAYOUT_SEALED.as_bytes()))
        .and_then(|()| Remains::Pages.note(&transaction))
        // The indexes of the old tables went with them.
        .and_then(|()| open::schema(&transaction))
        .map_err(sqlite)?;
    written();
    transaction.commit().map_err(sqlite)?;
    Ok(to)
}

/// Rows from one cover to another.
struct Rewrite<'a> {
    path: &'a Path,
    transaction: &'a Transaction<'a>,
    from: &'a Cover,
    to: &'a Cover,
}

impl Rewrite<'_> {
    fn table(&self, table: &Table) -> Result<(), StateError> {
        let (name, connection) = (table.name, self.transaction);
        let sqlite = |source| StateError::sqlite(self.path, source);
        let mut select = connection
            .prepare(&format!("SELECT * FROM old_{name}"))
            .map_err(sqlite)?;
        let mut insert = connection
            .prepare(&table.insert("INSERT"))
            .map_err(sqlite)?;
        let mut rows = select.query([]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let values = (0..table.columns.len()).map(|column| row.get(column));
            let values = values.collect::<rusqlite::Result<_>>().map_err(sqlite)?;
            let values = self.from.uncovered(table, values);
            let values = values.map_err(|error| StateError::row(self.path, name, "", error))?;
            let values = self.to.covered(table, values);
            let values = values.map_err(|source| StateError::seal(self.path, source))?;
            insert.execute(params_from_iter(values)).map_err(sqlite)?;
        }
        drop(rows);
        drop((select, insert));
        connection
            .execute_batch(&format!("DROP TABLE old_{name}"))
            .map_err(sqlite)
    }

    /// The one secret in `meta` but for the seal.
    fn cursor_key(&self) -> Result<(), StateError> {
        let sqlite = |source| StateError::sqlite(self.path, source);
        let mut select = self
            .transaction
            .prepare("SELECT key, value FROM meta WHERE key = ?1")
            .map_err(sqlite)?;
        let mut rows = select.query([CURSOR_KEY]).map_err(sqlite)?;
        let Some(row) = rows.next().map_err(sqlite)? else {
            return Ok(());
        };
        let values = vec![row.get(0).map_err(sqlite)?, row.get(1).map_err(sqlite)?];
        drop(rows);
        let wrong = |error| StateError::row(self.path, "key of cursors", CURSOR_KEY, error);
        let values = self.from.uncovered(&SECRET, values).map_err(wrong)?;
        let values = self.to.covered(&SECRET, values);
        let values = values.map_err(|source| StateError::seal(self.path, source))?;
        let sql = SECRET.insert("INSERT OR REPLACE");
        let put = self.transaction.execute(&sql, params_from_iter(values));
        put.map(|_| ()).map_err(sqlite)
    }
}

fn put_meta(connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
    connection.execute(sql, params![key, value]).map(|_| ())
}
