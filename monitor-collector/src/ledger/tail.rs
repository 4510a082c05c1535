//! Checks the end of a file when it is opened: a whole check would keep a start waiting.

use std::path::Path;

use monitor_ledger::{
    file::{self, Block, Content, SELECT},
    index::Index,
    leaf::Leaf,
    seal::Secrets,
};
use monitor_model::clock::UnixNs;
use rusqlite::Connection;

use super::{Head, LedgerError, integer};

/// Checks the blocks of about the last entries, and says where the ledger ends.
pub(super) fn check(
    connection: &Connection,
    path: &Path,
    secrets: &Secrets,
    entries: u64,
) -> Result<Head, LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    let begin = "SELECT coalesce((SELECT first FROM block WHERE first <=
                     (SELECT max(first + count) FROM block) - ?1 ORDER BY first DESC LIMIT 1), 1)";
    let begin: i64 = connection
        .query_row(begin, [integer(entries)], |row| row.get(0))
        .map_err(sqlite)?;
    let mut head = Head {
        position: super::number(begin).saturating_sub(1),
        hash: [0; 32],
        stored_at: UnixNs(0),
    };
    let sql = format!("{SELECT} WHERE first >= ?1 ORDER BY first");
    let mut statement = connection.prepare(&sql).map_err(sqlite)?;
    let mut rows = statement.query([begin]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        let next = head.position + 1;
        let block = Block::of(row).map_err(|error| LedgerError::broken(path, next, error))?;
        if block.first != next {
            let found = block.first;
            let cause = format!("the next entry found is {found}; entries are missing");
            return Err(LedgerError::broken(path, next, cause));
        }
        head = whole(&block, path, secrets, head)?;
    }
    Ok(head)
}

/// Checks a block that follows a head, and gives the next.
fn whole(
    block: &Block,
    path: &Path,
    secrets: &Secrets,
    mut head: Head,
) -> Result<Head, LedgerError> {
    let (mut index, mut hashes) = (Index::default(), block.hashes().iter());
    let opened = block
        .open(secrets)
        .map_err(|error| LedgerError::broken(path, block.first, error))?;
    let Some(opened) = opened else {
        return removed(block, path, head);
    };
    for parts in opened.records() {
        let position = head.position + 1;
        let broken = |cause: String| LedgerError::broken(path, position, cause);
        let parts = parts.map_err(|error| broken(error.to_string()))?;
        let stored_at = UnixNs(parts.stored_at_unix_ns);
        if stored_at <= head.stored_at {
            let cause = format!("stored at {stored_at}, not after the entry before");
            return Err(broken(cause));
        }
        let hash = Leaf::new(secrets.blinding(), position, parts).hash();
        if hashes.next() != Some(&hash) {
            return Err(broken(
                "its bytes are not those that were hashed".to_owned(),
            ));
        }
        let (event, judgement) = file::decode(&parts).map_err(|error| broken(error.to_string()))?;
        index.take(stored_at.0, &event, judgement.verdict.kind());
        head = Head {
            position,
            hash,
            stored_at,
        };
    }
    let is_as_told = block.first + block.count == head.position + 1
        && block.hashes.len() == 32 * block.hashes().len()
        && hashes.next().is_none()
        && (block.stored, block.at) == (index.stored(), index.at());
    if !is_as_told {
        let cause = "its columns do not say what its entries say";
        return Err(LedgerError::broken(path, block.first, cause));
    }
    Ok(head)
}

/// Checks a block whose records were removed by their leaves.
fn removed(block: &Block, path: &Path, mut head: Head) -> Result<Head, LedgerError> {
    let Content::Removed(leaves) = &block.content else {
        return Ok(head);
    };
    for (leaf, hash) in leaves.iter().zip(block.hashes()) {
        let (position, stored_at) = (head.position + 1, UnixNs(leaf.stored_at_unix_ns));
        if leaf.hash() != *hash || stored_at <= head.stored_at {
            let cause = "what is left of it is not what was hashed";
            return Err(LedgerError::broken(path, position, cause));
        }
        head = Head {
            position,
            hash: *hash,
            stored_at,
        };
    }
    if leaves.len() != block.hashes().len() || block.first + block.count != head.position + 1 {
        let cause = "its columns do not say what is left of its entries";
        return Err(LedgerError::broken(path, block.first, cause));
    }
    Ok(head)
}
