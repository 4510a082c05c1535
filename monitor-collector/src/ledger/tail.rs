//! Checks the end of a file when it is opened: a whole check would keep a start waiting.

use std::path::Path;

use monitor_ledger::{
    file::{Row, SELECT},
    leaf::Blinding,
};
use monitor_model::clock::UnixNs;
use rusqlite::Connection;

use super::{Head, LedgerError, integer, number};

/// Checks the last entries and says where the ledger ends.
pub(super) fn check(
    connection: &Connection,
    path: &Path,
    blinding: &Blinding,
    entries: u64,
) -> Result<Head, LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    let last: Option<i64> = connection
        .query_row("SELECT max(position) FROM entry", [], |row| row.get(0))
        .map_err(sqlite)?;
    let mut head = Head {
        position: number(last.unwrap_or(0)).saturating_sub(entries),
        hash: [0; 32],
        stored_at: UnixNs(0),
    };
    let sql = format!("{SELECT} WHERE position > ?1 ORDER BY position");
    let mut statement = connection.prepare(&sql).map_err(sqlite)?;
    let mut rows = statement.query([integer(head.position)]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let position = head.position + 1;
        let broken = |cause: String| LedgerError::broken(path, position, cause);
        let row = Row::of(row).map_err(|error| broken(error.to_string()))?;
        if row.position != position {
            let found = row.position;
            return Err(broken(format!(
                "the next entry found is {found}; entries are missing"
            )));
        }
        let stored_at = UnixNs(row.stored_at_unix_ns);
        if stored_at <= head.stored_at {
            return Err(broken(format!(
                "stored at {stored_at}, not after the entry before"
            )));
        }
        row.check(&row.leaf(blinding))
            .map_err(|fault| broken(fault.to_string()))?;
        head = Head {
            position,
            hash: row.hash,
            stored_at,
        };
    }
    Ok(head)
}
