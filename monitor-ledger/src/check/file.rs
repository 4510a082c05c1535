//! Checks a tenant's SQLite file: its tables, every block and record, the tree, the checkpoints.

use std::path::Path;

use monitor_model::event::Event;
use rusqlite::{Connection, OptionalExtension as _, params};

use self::terms::Terms;
use super::{CheckError, Fault, Report, Trust, Walk, prove};
use crate::{
    cosignature,
    file::{self, Block, Content, LAYOUT, SCHEMA, SCHEMA_TREE, Stored, StoredError},
    index::{Index, Span},
    leaf::Leaf,
    merkle::{Hash, Kept},
    postings::SCHEMA_TERMS,
    proof::Tree,
    seal::{Secrets, SecretsError},
    tile,
};

/// Checks the file of a tenant's ledger, which is opened for reading only.
///
/// # Errors
/// [`CheckError::Broken`] names the first record that is wrong.
pub fn check(path: &Path, tenant: &str, trust: &Trust) -> Result<Report, CheckError> {
    // Before the file: what was cosigned is in it by then.
    let place = cosignature::beside(path);
    let cosigned = cosignature::read(&place).map_err(|source| CheckError::File {
        path: place,
        source,
    })?;
    let connection = file::open(path).map_err(|source| sqlite(path, source))?;
    // One state of the file, though its writer goes on.
    connection
        .execute_batch("BEGIN")
        .map_err(|source| sqlite(path, source))?;
    layout(&connection, path)?;
    let secrets = secrets(&connection, path, tenant, trust)?;
    let trust = trust.of_tenant(tenant);
    match whole(&connection, &secrets, &trust, cosigned.as_deref()) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(fault)) => Err(CheckError::Broken {
            path: path.into(),
            fault,
        }),
        Err(StoredError::Sqlite(source)) => Err(sqlite(path, source)),
        Err(StoredError::Missing(missing)) => Err(CheckError::Broken {
            path: path.into(),
            fault: Fault::at(missing.first + 1, missing.to_string()),
        }),
    }
}

fn secrets(
    connection: &Connection,
    path: &Path,
    tenant: &str,
    trust: &Trust,
) -> Result<Secrets, CheckError> {
    Secrets::read(connection, tenant, trust.seal.as_ref()).map_err(|error| match error {
        SecretsError::Sqlite(source) => sqlite(path, source),
        SecretsError::Gone => CheckError::Broken {
            path: path.into(),
            fault: Fault::at(1, error.to_string()),
        },
        SecretsError::Sealed | SecretsError::OtherKey | SecretsError::NoRandom => {
            CheckError::Seal {
                path: path.into(),
                source: error,
            }
        }
    })
}

fn sqlite(path: &Path, source: rusqlite::Error) -> CheckError {
    let code = source.sqlite_error_code();
    let is_damage = matches!(
        code,
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    );
    let path = path.to_path_buf();
    if is_damage {
        let fault = Fault::at(1, format!("the file is damaged: {source}"));
        return CheckError::Broken { path, fault };
    }
    CheckError::Sqlite { path, source }
}

fn layout(connection: &Connection, path: &Path) -> Result<(), CheckError> {
    let found: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'layout'", [], |row| {
            row.get(0)
        })
        .optional()
        .map_err(|source| sqlite(path, source))?;
    let found = found.unwrap_or_default();
    if found == LAYOUT {
        return Ok(());
    }
    Err(CheckError::Layout {
        path: path.into(),
        found,
        known: LAYOUT,
    })
}

type Checked<T> = Result<Result<T, Fault>, StoredError>;

/// Hands a fault out of a function that can fail otherwise, too.
macro_rules! sound {
    ($checked:expr) => {
        match $checked {
            Ok(value) => value,
            Err(fault) => return Ok(Err(fault)),
        }
    };
}

mod terms;

fn whole(
    connection: &Connection,
    secrets: &Secrets,
    trust: &Trust,
    cosigned: Option<&[u8]>,
) -> Checked<Report> {
    sound!(tables(connection, secrets)?);
    let mut walk = Walk::new(secrets.tenant());
    let mut trees = sound!(checkpoints(connection, &mut walk, trust)?);
    trees.extend(sound!(walk.held(trust)));
    if let Some(note) = cosigned {
        trees.push(sound!(walk.cosigned(note, trust)));
    }
    let found = sound!(records(connection, secrets, &mut walk)?);
    let size = walk.next() - 1;
    sound!(nodes(connection, size)?);
    sound!(streams(connection)?);
    sound!(damage(connection)?);
    let mut report = sound!(walk.end());
    sound!(found.compare(connection, size)?);
    report.proofs = sound!(prove(&Stored(connection), &trees)?);
    Ok(Ok(report))
}

/// Tables, indexes and what the file says of itself are as they were made: a
/// view or trigger could show something else than is there.
fn tables(connection: &Connection, secrets: &Secrets) -> Checked<()> {
    let tenant = secrets.tenant();
    let made = Connection::open_in_memory()?;
    made.execute_batch(SCHEMA)?;
    made.execute_batch(SCHEMA_TERMS)?;
    made.execute_batch(SCHEMA_TREE)?;
    if schema(&made)? != schema(connection)? {
        return Ok(Err(Fault::at(
            1,
            "the file's tables are not those that are made",
        )));
    }
    let mut statement = connection.prepare("SELECT key, value FROM meta ORDER BY key")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(String, String)> = rows.collect::<Result<_, _>>()?;
    let says = |key: &str, value: &str| found.iter().any(|(k, v)| k == key && v == value);
    let count = if secrets.is_sealed() { 4 } else { 3 };
    if found.len() != count || !says("layout", LAYOUT) || !says("tenant", tenant) {
        let cause = format!("the file does not say of itself that it is {tenant}'s, and no more");
        return Ok(Err(Fault::at(1, cause)));
    }
    Ok(Ok(()))
}

fn schema(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let sql = "SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

fn checkpoints(connection: &Connection, walk: &mut Walk, trust: &Trust) -> Checked<Vec<Tree>> {
    let sql = "SELECT size, note, key FROM checkpoint ORDER BY size";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut trees = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(kept) = file::kept(row) else {
            return Ok(Err(Fault::at(
                1,
                "a checkpoint's columns are of other types",
            )));
        };
        let tree = sound!(walk.checkpoint(&kept.note, &kept.key, trust));
        if tree.size != kept.size {
            let cause = format!(
                "the checkpoint of {} is kept as that of {}",
                tree.size, kept.size
            );
            return Ok(Err(Fault::at(kept.size, cause)));
        }
        trees.push(tree);
    }
    Ok(Ok(trees))
}

fn records(connection: &Connection, secrets: &Secrets, walk: &mut Walk) -> Checked<Found> {
    let mut statement = connection.prepare(&format!("{} ORDER BY first", file::SELECT))?;
    let mut rows = statement.query([])?;
    let mut kept = Found::default();
    while let Some(row) = rows.next()? {
        let position = walk.next();
        let block = match Block::of(row) {
            Ok(block) => block,
            Err(error) => {
                let cause = format!("a column is not as it was written: {error}");
                return Ok(Err(Fault::at(position, cause)));
            }
        };
        if block.first != position {
            let cause = format!("missing: the next record found is {}", block.first);
            return Ok(Err(Fault::at(position, cause)));
        }
        if let Some(index) = sound!(content(connection, &block, secrets, walk)?) {
            sound!(columns(&block, &index));
            sound!(found(connection, &block, &index, secrets, &mut kept)?);
        }
    }
    Ok(Ok(kept))
}

/// Goes through the records of a block; none where they were removed.
fn content(
    connection: &Connection,
    block: &Block,
    secrets: &Secrets,
    walk: &mut Walk,
) -> Checked<Option<Index>> {
    let mut hashes = block.hashes().iter();
    let mut record = |walk: &mut Walk, leaf: &Leaf, event: Option<&Event>| -> Checked<()> {
        let position = walk.next();
        if hashes.next() != Some(&leaf.hash()) {
            let cause = "its bytes are not those that were hashed";
            return Ok(Err(Fault::at(position, cause)));
        }
        for kept in sound!(walk.record(leaf, event)) {
            sound!(node(connection, &kept)?);
            walk.report.nodes += 1;
        }
        Ok(Ok(()))
    };
    let mut index = Index::default();
    let opened = sound!(block.open(secrets).map_err(|error| of_block(block, error)));
    match (&opened, &block.content) {
        (Some(opened), _) => {
            for parts in opened.records() {
                let position = walk.next();
                let at = |cause: String| Fault::at(position, cause);
                let parts = sound!(parts.map_err(|error| at(error.to_string())));
                let leaf = Leaf::new(secrets.blinding(), position, parts);
                let decoded = file::decode(&parts);
                // Told only of what is what was hashed.
                let event = decoded.as_ref().ok().map(|(event, _)| event);
                sound!(record(walk, &leaf, event)?);
                let (event, judgement) = sound!(
                    decoded.map_err(|error| at(format!("its bytes cannot be decoded: {error}")))
                );
                index.take(parts.stored_at_unix_ns, &event, judgement.verdict.kind());
                walk.removals.take(&event);
            }
        }
        (None, Content::Removed(leaves)) => {
            for leaf in leaves {
                sound!(record(walk, leaf, None)?);
                walk.report.withheld += 2;
            }
        }
        (None, Content::Kept(_)) => {}
    }
    let count = walk.next() - block.first;
    let hashes = u64::try_from(block.hashes.len()).unwrap_or(u64::MAX);
    if count == 0 || count != block.count || hashes != count * 32 {
        let cause = format!(
            "it says that it has {} records and {hashes} bytes of hashes, it has {count} records",
            block.count
        );
        return Ok(Err(of_block(block, cause)));
    }
    if opened.is_none() {
        walk.removals.found(block.first, block.first + count - 1);
    }
    Ok(Ok(opened.map(|_| index)))
}

/// What is kept of a subtree is its root.
fn node(connection: &Connection, kept: &Kept) -> Checked<()> {
    let sql = "SELECT hash FROM node WHERE level = ?1 AND place = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let key = (kept.level, file::integer(kept.index));
    let found = statement
        .query_row(key, |row| row.get::<_, Hash>(0))
        .optional();
    Ok(compare(kept, found.ok().flatten()))
}

fn of_block(block: &Block, cause: impl std::fmt::Display) -> Fault {
    Fault {
        first: block.first,
        last: block.first + block.count.max(1) - 1,
        cause: format!("block {}: {}", block.first, cause),
    }
}

/// Its columns say what its records say.
fn columns(block: &Block, index: &Index) -> Result<(), Fault> {
    let stored = |(low, high): Span| (file::integer(low), file::integer(high));
    for (column, found, made) in [
        ("stored", block.stored, index.stored()),
        ("at", block.at, index.at()),
    ] {
        if stored(found) != stored(made) {
            let cause = format!("column {column} says {found:?}, its records say {made:?}");
            return Err(of_block(block, cause));
        }
    }
    Ok(())
}

/// What was found of what records are searched by.
#[derive(Default)]
struct Found {
    numbers: u64,
    terms: Terms,
}

impl Found {
    /// There is no more than belongs to some record.
    fn compare(self, connection: &Connection, size: u64) -> Checked<()> {
        // Of a block whose records were removed nothing is left to make its
        // numbers from again.
        let known = "numbers WHERE block NOT IN (SELECT first FROM block WHERE content IS NULL)";
        sound!(count(connection, known, self.numbers, size)?);
        self.terms.end(connection, size)
    }
}

/// A table has as many rows as belong to some record.
fn count(connection: &Connection, table: &str, belong: u64, size: u64) -> Checked<()> {
    let sql = format!("SELECT count(*) FROM {table}");
    let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    if file::number(count) == belong {
        return Ok(Ok(()));
    }
    let table = table.split(' ').next().unwrap_or_default();
    let cause = format!("{count} rows of {table} are kept where {belong} belong");
    let (first, last) = (1, size.max(1));
    Ok(Err(Fault { first, last, cause }))
}

/// What records are searched by is there, for each block.
fn found(
    connection: &Connection,
    block: &Block,
    index: &Index,
    secrets: &Secrets,
    kept: &mut Found,
) -> Checked<()> {
    let sql = "SELECT high, ranges FROM numbers WHERE block = ?1 AND low = ?2 AND stream =
               (SELECT id FROM stream WHERE agent = ?3 AND boot = ?4 AND source = ?5)";
    let mut statement = connection.prepare_cached(sql)?;
    for (stream, numbers) in index.numbers() {
        let (low, high) = numbers.span();
        let (boot, source) = (stream.boot.to_string(), stream.source.to_string());
        let first = file::integer(block.first);
        let key = params![
            first,
            file::integer(low),
            stream.agent.as_str(),
            boot,
            source
        ];
        let row = statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)));
        if row.optional().ok().flatten() != Some((file::integer(high), numbers.to_bytes())) {
            let cause = format!("its numbers of {} {source} are not kept", stream.agent);
            return Ok(Err(of_block(block, cause)));
        }
        kept.numbers += 1;
    }
    let terms = index.terms(secrets.blinding());
    kept.terms.take(connection, block, terms)
}

/// Compares the root of a subtree with what is kept of it.
fn compare(kept: &Kept, found: Option<Hash>) -> Result<(), Fault> {
    if found == Some(kept.hash) {
        return Ok(());
    }
    let width = 256u64.saturating_pow(u32::from(kept.level));
    Err(Fault {
        first: kept.index.saturating_mul(width) + 1,
        last: (kept.index + 1).saturating_mul(width),
        cause: "the hash kept over these records is not theirs".to_owned(),
    })
}

/// No more hashes are kept than records make.
fn nodes(connection: &Connection, size: u64) -> Checked<()> {
    let expected: u64 = (1..tile::LEVELS_MAX)
        .map(|level| tile::in_level(level, size))
        .sum();
    let count: i64 = connection.query_row("SELECT count(*) FROM node", [], |row| row.get(0))?;
    if file::number(count) == expected {
        return Ok(Ok(()));
    }
    let cause = format!("{count} hashes of subtrees are kept where {expected} belong");
    Ok(Err(Fault::at(size + 1, cause)))
}

/// Every stream is one of some record.
fn streams(connection: &Connection) -> Checked<()> {
    let sql = "SELECT agent FROM stream WHERE id NOT IN (SELECT stream FROM numbers)";
    let stray: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(match stray {
        None => Ok(()),
        Some(agent) => Err(Fault::at(
            1,
            format!("a stream of {agent} is kept that no record is of"),
        )),
    })
}

/// Indexes hold what tables hold, or a search would not find what is there.
fn damage(connection: &Connection) -> Checked<()> {
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(if said == "ok" {
        Ok(())
    } else {
        Err(Fault::at(1, format!("the file is damaged: {said}")))
    })
}
