//! Who a watched file is, asked once.
//!
//! To learn a file's generation it must be opened, and the probes tell every
//! opening of a watched file, the agent's own too. So what was learned is kept
//! by what `stat` says without opening: device, inode and time of birth. Kept
//! in `state.db` for this boot, because the probes go on watching while the
//! agent restarts. Bound: [`IDENTITIES_MAX`]; then everything is asked anew.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use monitor_common::watch::WATCHES_MAX;
use monitor_model::id::BootId;
use rusqlite::{Connection, params};

use crate::kernel::FileIdentity;

/// Most identities that are kept.
pub const IDENTITIES_MAX: usize = 2 * WATCHES_MAX;

/// What can be seen of a file without opening it, and stays with it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    device: u64,
    inode: u64,
    /// Nanoseconds since 1970; of its last change where the file system does
    /// not keep its birth.
    born_ns: u64,
}

impl Seen {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::metadata(path)?;
        let changed = || {
            let seconds = u64::try_from(found.ctime()).unwrap_or(0);
            let nanoseconds = u32::try_from(found.ctime_nsec()).unwrap_or(0);
            Duration::new(seconds, nanoseconds)
        };
        let born = found
            .created()
            .ok()
            .and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.unwrap_or_else(changed);
        let born_ns = u64::try_from(born.as_nanos()).unwrap_or(0);
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            born_ns,
        })
    }
}

/// What was learned.
#[derive(Debug, Default)]
pub struct Identities {
    known: HashMap<Seen, FileIdentity>,
    kept: Option<(Connection, BootId)>,
}

impl Identities {
    /// Goes on with what was learned in this boot.
    ///
    /// # Errors
    /// [`rusqlite::Error`].
    pub fn open(path: &Path, boot: BootId) -> Result<Self, rusqlite::Error> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(5))?;
        database.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;
             CREATE TABLE IF NOT EXISTS identities (
                 boot BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
                 born_ns INTEGER NOT NULL, kernel_device INTEGER NOT NULL, generation INTEGER,
                 is_directory INTEGER NOT NULL, PRIMARY KEY (device, inode, born_ns)) STRICT;",
        )?;
        database.execute("DELETE FROM identities WHERE boot <> ?1", [boot.to_bytes()])?;
        let known = {
            let mut rows = database.prepare(
                "SELECT device, inode, born_ns, kernel_device, generation, is_directory
                 FROM identities",
            )?;
            let number =
                |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::cast_unsigned);
            let found = rows.query_map([], |row| {
                let (device, inode) = (number(row, 0)?, number(row, 1)?);
                let seen = Seen {
                    device,
                    inode,
                    born_ns: number(row, 2)?,
                };
                let identity = FileIdentity {
                    device: number(row, 3)?,
                    inode,
                    generation: row.get(4)?,
                    is_directory: row.get(5)?,
                };
                Ok((seen, identity))
            })?;
            found.collect::<Result<HashMap<_, _>, _>>()?
        };
        Ok(Self {
            known,
            kept: Some((database, boot)),
        })
    }

    /// Who the file is that a path leads to now.
    ///
    /// # Errors
    /// What the system says, among it `NotFound`.
    pub fn of(&mut self, path: &Path) -> io::Result<FileIdentity> {
        let seen = Seen::of(path)?;
        if let Some(identity) = self.known.get(&seen) {
            return Ok(*identity);
        }
        let identity = FileIdentity::of(path)?;
        // Had it been replaced in between, the two would not be of one file.
        if Seen::of(path)? == seen {
            self.learn(seen, identity);
        }
        Ok(identity)
    }

    fn learn(&mut self, seen: Seen, identity: FileIdentity) {
        if self.known.len() >= IDENTITIES_MAX {
            self.known.clear();
        }
        self.known.insert(seen, identity);
        let Some((database, boot)) = &self.kept else {
            return;
        };
        // What is not kept is asked again after a restart, no more.
        let _ = database.execute(
            "INSERT OR REPLACE INTO identities VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                boot.to_bytes(),
                seen.device.cast_signed(),
                seen.inode.cast_signed(),
                seen.born_ns.cast_signed(),
                identity.device.cast_signed(),
                identity.generation,
                identity.is_directory,
            ],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_asked_once_also_over_a_restart_and_a_new_one_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (database, file) = (folder.path().join("state.db"), folder.path().join("key"));
        let boot = BootId::from_slice(&[1; 16]).unwrap();
        fs::write(&file, "").unwrap();
        let mut identities = Identities::open(&database, boot).unwrap();
        let first = identities.of(&file).unwrap();
        drop(identities);
        let mut identities = Identities::open(&database, boot).unwrap();
        assert_eq!(
            identities.known.values().copied().collect::<Vec<_>>(),
            [first]
        );
        assert_eq!(identities.of(&file).unwrap(), first);
        let other = folder.path().join("other");
        fs::write(&other, "").unwrap();
        fs::rename(&other, &file).unwrap();
        assert_ne!(identities.of(&file).unwrap(), first);
        assert_eq!(identities.known.len(), 2);
        drop(identities);
        let another = BootId::from_slice(&[2; 16]).unwrap();
        assert!(
            Identities::open(&database, another)
                .unwrap()
                .known
                .is_empty()
        );
    }
}
