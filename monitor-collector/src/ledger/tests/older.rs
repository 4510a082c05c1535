//! Files of the layouts before: taken over when they are whole, left alone when not.

use monitor_ledger::{
    block::Opened,
    chain,
    file::{Block, Content},
    postings,
};

use super::*;

const ROWS: &str = "
CREATE TABLE entry (
    position INTEGER PRIMARY KEY, stored_at INTEGER NOT NULL UNIQUE,
    stream INTEGER NOT NULL REFERENCES stream (id), sequence INTEGER NOT NULL, at INTEGER NOT NULL,
    kind TEXT NOT NULL, verdict TEXT NOT NULL, session TEXT, principal TEXT,
    event BLOB NOT NULL, judgement BLOB NOT NULL, hash BLOB NOT NULL, UNIQUE (stream, sequence)
);
CREATE INDEX entry_session ON entry (session) WHERE session IS NOT NULL;
CREATE INDEX entry_alarming ON entry (stored_at) WHERE verdict IN ('out_of_scope', 'unattributed');";

/// Makes a file what it was in a layout before: rows instead of blocks, in 1
/// with a chain of hashes instead of the tree.
fn make(folder: &Path, layout: &str) {
    let connection = Connection::open(Ledger::path(folder, &tenant())).unwrap();
    let sql = format!("{} ORDER BY first", monitor_ledger::file::SELECT);
    let blocks: Vec<Block> = {
        let mut statement = connection.prepare(&sql).unwrap();
        let blocks = statement.query_map([], Block::of).unwrap();
        blocks.collect::<Result<_, _>>().unwrap()
    };
    connection.execute_batch(ROWS).unwrap();
    let mut link = chain::first("acme");
    for block in blocks {
        let Content::Kept(content) = &block.content else {
            panic!("{block:?}");
        };
        let opened = Opened::new(content).unwrap();
        let records = (block.first..).zip(opened.records()).zip(block.hashes());
        for ((position, parts), hash) in records {
            let parts = parts.unwrap();
            let (event, judgement) = monitor_ledger::file::decode(&parts).unwrap();
            link = chain::link(&link, parts.event, parts.judgement, parts.stored_at_unix_ns);
            let hash = if layout == "1" { &link } else { hash };
            let who = &event.attribution;
            let values = params![
                integer(position),
                integer(parts.stored_at_unix_ns),
                integer(event.id.sequence),
                integer(event.at.0),
                event.action.kind().as_str(),
                judgement.verdict.kind().as_str(),
                who.session.map(|id| id.to_string()),
                who.principal.as_ref().map(ToString::to_string),
                parts.event,
                parts.judgement,
                hash,
            ];
            connection
                .execute(
                    "INSERT INTO entry VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    values,
                )
                .unwrap();
        }
    }
    let mut drop = format!(
        "DROP TABLE posting; DROP TABLE run; DROP TABLE terms; DROP TABLE numbers; DROP TABLE block; UPDATE meta SET value = '{layout}' WHERE key = 'layout';"
    );
    if layout == "1" {
        drop += "DROP TABLE node; DROP TABLE checkpoint; DELETE FROM meta WHERE key = 'blinding'";
    }
    connection.execute_batch(&drop).unwrap();
}

#[test]
fn an_older_ledger_is_taken_over_and_goes_on() {
    for layout in ["1", "2"] {
        let folder = tempfile::tempdir().unwrap();
        let root = {
            let mut ledger = filled(folder.path(), 600);
            ledger.commit(UnixNs(0)).unwrap();
            ledger.head().clone()
        };
        make(folder.path(), layout);
        let mut ledger = signing(folder.path());
        if layout == "2" {
            assert_eq!(ledger.head(), &root, "the tree is the same");
        }
        add(&mut ledger, 601);
        ledger.commit(UnixNs::MAX).unwrap();
        assert_eq!(ledger.head().position, 601);
        assert_eq!(whole(folder.path(), "acme"), 601);
        assert_eq!(sizes(folder.path()), [601]);
    }
}

/// Makes a file what it was in layout 3: a row for each term of each block.
fn make_postings(folder: &Path) {
    let connection = Connection::open(Ledger::path(folder, &tenant())).unwrap();
    let blocks: Vec<u64> = {
        let mut statement = connection.prepare("SELECT first FROM block").unwrap();
        let blocks = statement.query_map([], |row| Ok(number(row.get(0)?)));
        blocks.unwrap().collect::<Result<_, _>>().unwrap()
    };
    let mut rows = Vec::new();
    for block in blocks {
        let terms = postings::of_block(&connection, block).unwrap();
        rows.extend(terms.into_iter().flatten().map(|term| (term, block)));
        if let Some((run, _)) = postings::run_of(&connection, block).unwrap() {
            let lists = postings::lists(&connection, run).unwrap();
            let its = lists.into_iter().filter(|(_, list)| list.contains(&block));
            rows.extend(its.map(|(term, _)| (term, block)));
        }
    }
    connection
        .execute_batch(
            "DROP TABLE posting; DROP TABLE run; DROP TABLE terms;
             UPDATE meta SET value = '3' WHERE key = 'layout';
             CREATE TABLE posting (
                 term INTEGER NOT NULL, block INTEGER NOT NULL REFERENCES block (first),
                 PRIMARY KEY (term, block)
             ) WITHOUT ROWID;",
        )
        .unwrap();
    for (term, block) in rows {
        let values = params![term, integer(block)];
        connection
            .execute("INSERT INTO posting VALUES (?1, ?2)", values)
            .unwrap();
    }
}

#[test]
fn what_blocks_of_an_older_ledger_are_found_by_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let root = {
        // Blocks of one entry, but that none becomes part of a larger one.
        let mut ledger = signing(folder.path());
        for sequence in 1..=300 {
            add(&mut ledger, sequence);
            ledger.end_block();
            ledger.commit(UnixNs(sequence)).unwrap();
        }
        add(&mut ledger, 301);
        ledger.commit(UnixNs::MAX).unwrap();
        ledger.head().clone()
    };
    make_postings(folder.path());
    let ledger = signing(folder.path());
    assert_eq!(ledger.head(), &root);
    drop(ledger);
    assert_eq!(whole(folder.path(), "acme"), 301);
}

#[test]
fn a_broken_older_ledger_is_not_taken_over_and_left_as_it_is() {
    for (layout, sql) in [
        (
            "1",
            "UPDATE entry SET principal = 'mallory' WHERE position = 3",
        ),
        (
            "1",
            "UPDATE entry SET judgement = CAST(judgement || X'00' AS BLOB) WHERE position = 3",
        ),
        ("1", "DELETE FROM entry WHERE position = 3"),
        (
            "2",
            "UPDATE entry SET verdict = 'exempt' WHERE position = 3",
        ),
        (
            "2",
            "UPDATE entry SET stored_at = stored_at * 1000 WHERE position = 3",
        ),
        (
            "2",
            "UPDATE entry SET hash = zeroblob(32) WHERE position = 3",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path(), 5));
        make(folder.path(), layout);
        tamper(folder.path(), sql);
        let before = std::fs::read(Ledger::path(folder.path(), &tenant())).unwrap();
        for _ in 0..2 {
            let error = Ledger::open(folder.path(), &tenant(), None).unwrap_err();
            assert!(
                matches!(error, LedgerError::Broken { position: 3, .. }),
                "{layout} {sql}: {error}"
            );
        }
        assert_eq!(
            std::fs::read(Ledger::path(folder.path(), &tenant())).unwrap(),
            before
        );
    }
}
