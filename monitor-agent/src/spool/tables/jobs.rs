//! Jobs, and who wrote what daemons act on.

use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    event::Attribution,
    id::SessionId,
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{Transaction, params};

use super::{Keep, SpoolError, most, row, signed};
use crate::attribute::jobs::{
    Job,
    written::{WRITINGS_MAX, Writing},
};

/// Jobs that had not ended.
pub(super) fn jobs(transaction: &Transaction<'_>) -> Result<Vec<Job>, SpoolError> {
    let mut rows = transaction.prepare("SELECT id, attribution FROM jobs")?;
    let found = rows.query_map([], |row| {
        Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let mut jobs = Vec::new();
    for pair in found {
        let (id, attribution) = pair?;
        jobs.push(Job {
            id: SessionId::from_slice(&id).map_err(|error| SpoolError::Row {
                table: "jobs",
                cause: error.to_string(),
            })?,
            attribution: read("jobs", &attribution)?,
        });
    }
    Ok(jobs)
}

/// Files that daemons act on, the oldest first.
pub(super) fn writings(transaction: &Transaction<'_>) -> Result<Vec<Writing>, SpoolError> {
    let mut rows = transaction
        .prepare("SELECT device, inode, at, uid, path, attribution FROM writings ORDER BY place")?;
    let mut found = rows.query([])?;
    let mut writings = Vec::new();
    while let Some(line) = found.next()? {
        let number = |at| line.get::<_, i64>(at).map(i64::cast_unsigned);
        writings.push(Writing {
            file: (number(0)?, number(1)?),
            at: UnixNs(number(2)?),
            uid: line.get(3)?,
            path: PathLabel {
                text: ByteText(line.get(4)?),
                truncated: false,
            },
            attribution: read("writings", &line.get::<_, Vec<u8>>(5)?)?,
        });
    }
    Ok(writings)
}

fn read(table: &'static str, bytes: &[u8]) -> Result<Attribution, SpoolError> {
    let message = v1::Attribution::decode(bytes).map_err(row(table))?;
    Attribution::try_from(message).map_err(row(table))
}

/// Keeps one of either; the oldest writings beyond the maximum go.
pub(super) fn put(transaction: &Transaction<'_>, keep: &Keep) -> Result<(), SpoolError> {
    match keep {
        Keep::Job(job) => {
            transaction.execute(
                "INSERT OR REPLACE INTO jobs (id, attribution) VALUES (?1, ?2)",
                params![
                    job.id.to_bytes(),
                    v1::Attribution::from(&job.attribution).encode_to_vec()
                ],
            )?;
        }
        Keep::JobEnded(id) => {
            transaction.execute("DELETE FROM jobs WHERE id = ?1", [id.to_bytes()])?;
        }
        Keep::Writing(writing) => {
            let (device, inode) = writing.file;
            // Numbers of devices and inodes use all their bits.
            transaction.execute(
                "INSERT OR REPLACE INTO writings
                 (device, inode, place, at, uid, path, attribution)
                 VALUES (?1, ?2, (SELECT coalesce(max(place), 0) + 1 FROM writings), ?3, ?4, ?5, ?6)",
                params![
                    device.cast_signed(),
                    inode.cast_signed(),
                    signed(writing.at.0)?,
                    writing.uid,
                    writing.path.text.0,
                    v1::Attribution::from(&writing.attribution).encode_to_vec()
                ],
            )?;
            transaction.execute(
                "DELETE FROM writings WHERE place <= (SELECT max(place) FROM writings) - ?1",
                [most(WRITINGS_MAX)],
            )?;
        }
        Keep::Session(_) | Keep::Receipt(_) | Keep::Damaged(_) => {}
    }
    Ok(())
}
