//! Checks the end of a file when it is opened, and reads the small blocks that
//! it ends with: a whole check would keep a start waiting.

use std::path::Path;

use monitor_ledger::{
    block::Filling,
    file::{self, Block, Content, SELECT},
    leaf::Leaf,
    seal::Secrets,
};
use monitor_model::{clock::UnixNs, event::Kind};
use rusqlite::Connection;

use super::{Head, LedgerError, integer};

/// The first block of the last so many entries. It looks at two rows, however
/// many there are.
const BEGIN: &str = "SELECT coalesce((SELECT first FROM block WHERE first <=
    (SELECT first + count FROM block ORDER BY first DESC LIMIT 1) - ?1 ORDER BY first DESC LIMIT 1), 1)";

/// Checks the blocks of about the last entries, says where the ledger ends, and
/// gives what lies in the small blocks there that may still become one.
pub(super) fn check(
    connection: &Connection,
    path: &Path,
    secrets: &Secrets,
    entries: u64,
) -> Result<(Head, Filling), LedgerError> {
    let sqlite = |source| LedgerError::sqlite(path, source);
    let begin: i64 = connection
        .query_row(BEGIN, [integer(entries)], |row| row.get(0))
        .map_err(sqlite)?;
    let mut head = Head {
        position: super::number(begin).saturating_sub(1),
        hash: [0; 32],
        stored_at: UnixNs(0),
    };
    let mut tail = Filling::default();
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
        let (next, filling) = whole(&block, path, secrets, head)?;
        head = next;
        tail = match filling {
            Some(small) if !small.is_full_with(&tail) => {
                tail.absorb(small);
                tail
            }
            Some(small) if !small.is_full() => small,
            Some(_) | None => Filling::default(),
        };
    }
    Ok((head, tail))
}

/// Checks a block that follows a head, and gives the next, with its entries
/// where others may be added to them.
fn whole(
    block: &Block,
    path: &Path,
    secrets: &Secrets,
    mut head: Head,
) -> Result<(Head, Option<Filling>), LedgerError> {
    let (mut filling, mut hashes) = (Filling::default(), block.hashes().iter());
    let mut is_alone = false;
    let opened = block
        .open(secrets)
        .map_err(|error| LedgerError::broken(path, block.first, error))?;
    let Some(opened) = opened else {
        return Ok((removed(block, path, head)?, None));
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
        filling.push(&parts, &event, judgement.verdict.kind(), &hash);
        is_alone |= event.action.kind() == Kind::Removed;
        head = Head {
            position,
            hash,
            stored_at,
        };
    }
    let index = filling.index();
    let is_as_told = block.first + block.count == head.position + 1
        && block.hashes.len() == 32 * block.hashes().len()
        && hashes.next().is_none()
        && (block.stored, block.at) == (index.stored(), index.at());
    if !is_as_told {
        let cause = "its columns do not say what its entries say";
        return Err(LedgerError::broken(path, block.first, cause));
    }
    Ok((head, (!is_alone).then_some(filling)))
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

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn where_the_end_begins_is_found_without_going_through_the_file() {
        let connection = Connection::open_in_memory().unwrap();
        let table = "CREATE TABLE block (first INTEGER PRIMARY KEY, count INTEGER NOT NULL)";
        connection.execute_batch(table).unwrap();
        for number in 0..1_000 {
            let row = [number * 256 + 1, 256];
            let insert = "INSERT INTO block VALUES (?1, ?2)";
            connection.execute(insert, row).unwrap();
        }
        let mut statement = connection.prepare(BEGIN).unwrap();
        let begin: i64 = statement.query_row([600], |row| row.get(0)).unwrap();
        assert_eq!(begin, 997 * 256 + 1);
        let steps = statement.get_status(StatementStatus::FullscanStep);
        assert!(steps <= 2, "{steps} rows");
    }
}
