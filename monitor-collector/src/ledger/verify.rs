//! Checks a ledger: the chain, the places, and that what is searched by is what was stored.

use std::path::Path;

use monitor_model::{clock::UnixNs, id::TenantId};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};

use super::{Head, Ledger, LedgerError, RowError, chain, integer, number, read};

/// Checks the whole ledger of a tenant and says where it ends. Opens the file
/// for reading only.
///
/// # Errors
/// [`LedgerError::Broken`] names the first position that is wrong.
pub fn verify(data_dir: &Path, tenant: &TenantId) -> Result<Head, LedgerError> {
    let path = Ledger::path(data_dir, tenant);
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(|source| {
            LedgerError::Sqlite {
                path: path.clone(),
                source,
            }
        })?;
    super::check_meta(&connection, &path, tenant)?;
    walk(&connection, &path, tenant, 0)
}

/// Checks the last entries and says where the ledger ends.
pub(super) fn tail(
    connection: &Connection,
    path: &Path,
    tenant: &TenantId,
    entries: u64,
) -> Result<Head, LedgerError> {
    let last: Option<i64> = connection
        .query_row("SELECT max(position) FROM entry", [], |row| row.get(0))
        .map_err(|source| LedgerError::Sqlite {
            path: path.into(),
            source,
        })?;
    walk(
        connection,
        path,
        tenant,
        number(last.unwrap_or(0)).saturating_sub(entries),
    )
}

/// Checks every entry after a position.
fn walk(
    connection: &Connection,
    path: &Path,
    tenant: &TenantId,
    after: u64,
) -> Result<Head, LedgerError> {
    let sqlite = |source| LedgerError::Sqlite {
        path: path.into(),
        source,
    };
    let mut head = start(connection, tenant, after)
        .map_err(sqlite)?
        .ok_or_else(|| LedgerError::Broken {
            path: path.into(),
            position: after,
            cause: "the entry is missing or its hash is none".to_owned(),
        })?;
    let mut statement = connection
        .prepare(&format!(
            "{} WHERE position > ?1 ORDER BY position",
            read::SELECT
        ))
        .map_err(sqlite)?;
    let mut rows = statement.query([integer(after)]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        head = check(row, &head).map_err(|cause| LedgerError::Broken {
            path: path.into(),
            position: head.position + 1,
            cause,
        })?;
    }
    Ok(head)
}

fn start(connection: &Connection, tenant: &TenantId, after: u64) -> rusqlite::Result<Option<Head>> {
    if after == 0 {
        return Ok(Some(Head {
            position: 0,
            hash: chain::first(tenant),
            stored_at: UnixNs(0),
        }));
    }
    let select = "SELECT hash, stored_at FROM entry WHERE position = ?1";
    connection
        .query_row(select, [integer(after)], |row| {
            Ok(Head {
                position: after,
                hash: row.get(0)?,
                stored_at: UnixNs(number(row.get(1)?)),
            })
        })
        .optional()
}

/// Checks one entry against the one before.
fn check(row: &Row<'_>, before: &Head) -> Result<Head, String> {
    let raw = read::Raw::of(row).map_err(|error| error.to_string())?;
    if raw.position != before.position + 1 {
        return Err(format!(
            "the next entry found is {}; entries are missing",
            raw.position
        ));
    }
    if raw.stored_at <= before.stored_at {
        return Err(format!(
            "stored at {}, not after the entry before",
            raw.stored_at
        ));
    }
    let hash = chain::link(&before.hash, &raw.event, &raw.judgement, raw.stored_at);
    if hash != raw.hash {
        return Err("its bytes are not those that were hashed".to_owned());
    }
    columns(row, &raw).map_err(|error| error.to_string())?;
    Ok(Head {
        position: raw.position,
        hash,
        stored_at: raw.stored_at,
    })
}

/// A column that does not say what the entry says.
#[derive(Debug, thiserror::Error)]
enum ColumnError {
    #[error(transparent)]
    Row(#[from] RowError),
    #[error("column {column} says {found:?}, the stored bytes say {stored:?}")]
    Differs {
        column: &'static str,
        found: String,
        stored: String,
    },
}

/// What is searched by must be what was stored, or an entry could be hidden.
fn columns(row: &Row<'_>, raw: &read::Raw) -> Result<(), ColumnError> {
    let judged = raw.decode()?;
    let event = &judged.event;
    let text = |index: usize| row.get::<_, Option<String>>(index).map_err(RowError::from);
    let count = |index: usize| row.get::<_, i64>(index).map_err(RowError::from);
    let who = &event.attribution;
    let pairs = [
        (
            "agent",
            text(5)?.unwrap_or_default(),
            event.id.agent.to_string(),
        ),
        (
            "boot",
            text(6)?.unwrap_or_default(),
            event.id.boot.to_string(),
        ),
        (
            "source",
            text(7)?.unwrap_or_default(),
            event.id.source.to_string(),
        ),
        (
            "sequence",
            count(8)?.to_string(),
            integer(event.id.sequence).to_string(),
        ),
        ("at", count(9)?.to_string(), integer(event.at.0).to_string()),
        (
            "kind",
            text(10)?.unwrap_or_default(),
            event.action.kind().to_string(),
        ),
        (
            "verdict",
            text(11)?.unwrap_or_default(),
            judged.judgement.verdict.kind().to_string(),
        ),
        (
            "session",
            text(12)?.unwrap_or_default(),
            who.session.map(|id| id.to_string()).unwrap_or_default(),
        ),
        (
            "principal",
            text(13)?.unwrap_or_default(),
            who.principal
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
    ];
    for (column, found, stored) in pairs {
        if found != stored {
            return Err(ColumnError::Differs {
                column,
                found,
                stored,
            });
        }
    }
    Ok(())
}
