//! Whatever is done to a ledger or a bundle, the check finds it: kinds of
//! tampering, each at places at the edges of tiles and checkpoints, each on parts.
//!
//! The kinds are listed in `docs/reference/ledger.md`.

use std::{fs, path::PathBuf};

use monitor_ledger::{
    block::{Filling, Opened},
    bundle,
    check::{CheckError, Report, Trust, file, folder},
    checkpoint::Checkpoint,
    file::{Block, Content, KeptCheckpoint, kept},
    key::LogKey,
    leaf::{Blinding, Leaf, Parts},
    merkle::Frontier,
    postings,
    seal::Secrets,
};

use super::*;

/// Entries of the ledger that is tampered with.
const SIZE: u64 = 520;
/// Where checkpoints are.
const SIGNED: [u64; 4] = [100, 256, 300, SIZE];
/// Where it is tampered with: at the ends, and at the edges of tiles, blocks and checkpoints.
const PLACES: [u64; 10] = [1, 2, 100, 101, 255, 256, 257, 512, 519, SIZE];

type Act = Box<dyn Fn(&Connection, u64)>;
type Change = fn(&mut Vec<u8>);

/// The ledger as it was written, and what a client holds.
struct Scene {
    folder: tempfile::TempDir,
    trust: Trust,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = signing(folder.path());
        for sequence in 1..=SIZE {
            let id = event_id("jump-1", Source::Priority { cpu: 0 }, sequence);
            let event = credential(id, "acme", &format!("/srv/acme/key-{sequence}"));
            let stored_at = UnixNs(1_000 + 10 * sequence);
            ledger.append(judged(event), stored_at).unwrap();
            if SIGNED.contains(&sequence) {
                ledger.seal(UnixNs(0)).unwrap();
            }
        }
        drop(ledger);
        let connection = Connection::open(Ledger::path(folder.path(), &tenant())).unwrap();
        let held = checkpoints(&connection).pop().unwrap().note;
        let trust = Trust {
            keys: vec![log_key().signer("acme").unwrap().verifier().clone()],
            held: vec![held],
            ..Trust::default()
        };
        Self { folder, trust }
    }

    /// A copy of the ledger, opened so that it can be tampered with.
    fn copy(&self) -> (tempfile::TempDir, PathBuf, Connection) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ledger")).unwrap();
        let path = Ledger::path(folder.path(), &tenant());
        fs::copy(Ledger::path(self.folder.path(), &tenant()), &path).unwrap();
        let connection = Connection::open(&path).unwrap();
        let fast =
            "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA journal_mode = DELETE;";
        connection.execute_batch(fast).unwrap();
        (folder, path, connection)
    }

    fn check(&self, act: impl Fn(&Connection)) -> Result<Report, CheckError> {
        let (_folder, path, connection) = self.copy();
        connection.execute_batch("BEGIN").unwrap();
        act(&connection);
        connection.execute_batch("COMMIT").unwrap();
        drop(connection);
        file::check(&path, "acme", &self.trust)
    }

    fn blinding(&self) -> Blinding {
        let path = Ledger::path(self.folder.path(), &tenant());
        file_blinding(&Connection::open(path).unwrap())
    }

    fn bundle(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let newest = Checkpoint::read(&self.trust.held[0]).unwrap();
        let mut writer = bundle::Writer::new(folder.path(), "acme", newest.tree).unwrap();
        let path = Ledger::path(self.folder.path(), &tenant());
        let rows = records(&Connection::open(path).unwrap());
        let blinding = self.blinding();
        for (position, record) in (1..).zip(rows) {
            let leaf = Leaf::new(&blinding, position, record.parts());
            let Record {
                event, judgement, ..
            } = record;
            let blinds = blinding.at(position);
            let event = bundle::Opened {
                blind: &blinds.0,
                part: &event,
            };
            let judgement = bundle::Opened {
                blind: &blinds.1,
                part: &judgement,
            };
            writer.record(&leaf, Some(event), Some(judgement)).unwrap();
        }
        writer
            .end(&self.trust.held[0], self.trust.keys[0].as_str())
            .unwrap();
        folder
    }
}

fn file_secrets(connection: &Connection) -> Secrets {
    Secrets::read(connection, "acme", None).unwrap()
}

fn file_blinding(connection: &Connection) -> Blinding {
    *file_secrets(connection).blinding()
}

fn checkpoints(connection: &Connection) -> Vec<KeptCheckpoint> {
    let sql = "SELECT size, note, key FROM checkpoint ORDER BY size";
    let mut statement = connection.prepare(sql).unwrap();
    statement
        .query_map([], kept)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// A record as it lies in a block, with the hash that is kept of it.
#[derive(Clone)]
struct Record {
    stored_at: u64,
    event: Vec<u8>,
    judgement: Vec<u8>,
    hash: monitor_ledger::Hash,
}

impl Record {
    fn parts(&self) -> Parts<'_> {
        Parts {
            stored_at_unix_ns: self.stored_at,
            event: &self.event,
            judgement: &self.judgement,
        }
    }
}

fn blocks(connection: &Connection) -> Vec<Block> {
    let sql = format!("{} ORDER BY first", monitor_ledger::file::SELECT);
    let mut statement = connection.prepare(&sql).unwrap();
    let blocks = statement.query_map([], Block::of).unwrap();
    blocks.collect::<Result<_, _>>().unwrap()
}

fn records_of(block: &Block) -> Vec<Record> {
    let Content::Kept(content) = &block.content else {
        panic!("{block:?}");
    };
    let opened = Opened::new(content).unwrap();
    let records = opened.records().zip(block.hashes()).map(|(parts, hash)| {
        let parts = parts.unwrap();
        Record {
            stored_at: parts.stored_at_unix_ns,
            event: parts.event.to_vec(),
            judgement: parts.judgement.to_vec(),
            hash: *hash,
        }
    });
    records.collect()
}

fn records(connection: &Connection) -> Vec<Record> {
    blocks(connection).iter().flat_map(records_of).collect()
}

fn set(connection: &Connection, sql: &str, position: u64) {
    assert!(
        connection.execute(sql, [integer(position)]).unwrap() > 0,
        "{sql}"
    );
}

/// The block that a position is in.
fn block_at(connection: &Connection, position: u64) -> Block {
    let mut all = blocks(connection).into_iter().rev();
    all.find(|block| block.first <= position).unwrap()
}

/// Changes one record in its block, and nothing else.
fn bend(connection: &Connection, position: u64, change: impl Fn(&mut Record)) {
    let block = block_at(connection, position);
    let mut records = records_of(&block);
    change(&mut records[usize::try_from(position - block.first).unwrap()]);
    let hashes: Vec<u8> = records.iter().flat_map(|record| record.hash).collect();
    let sql = "UPDATE block SET content = ?2, hashes = ?3 WHERE first = ?1";
    let values = params![integer(block.first), packed(&records), hashes];
    connection.execute(sql, values).unwrap();
}

/// Records as a block has them.
fn packed(records: &[Record]) -> Vec<u8> {
    let mut plain = Vec::new();
    for record in records {
        plain.extend(record.stored_at.to_be_bytes());
        for part in [&record.event, &record.judgement] {
            plain.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            plain.extend(part);
        }
    }
    zstd::bulk::compress(&plain, 3).unwrap()
}

/// Another path in the event: it decodes, and every column fits.
fn forge(record: &mut Record) {
    let bytes = &mut record.event;
    let at = bytes.windows(4).position(|four| four == b"/srv").unwrap();
    bytes[at + 1] = b't';
}

/// Whether hashes are made to fit as well: all that can be done without the key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Index,
    Hashes,
}

/// Writes all records anew, with all that they are found by.
fn rewrite(connection: &Connection, mut records: Vec<Record>, fit: Fit) {
    let blinding = file_blinding(connection);
    connection
        .execute_batch(
            "DELETE FROM block; DELETE FROM numbers; DELETE FROM stream;
             DELETE FROM terms; DELETE FROM run; DELETE FROM posting",
        )
        .unwrap();
    if fit == Fit::Hashes {
        connection.execute("DELETE FROM node", []).unwrap();
        let mut frontier = Frontier::default();
        for (position, record) in (1..).zip(&mut records) {
            record.hash = Leaf::new(&blinding, position, record.parts()).hash();
            frontier.push(record.hash, |one| {
                monitor_ledger::file::put_node(connection, &one).unwrap();
            });
        }
    }
    let mut filling = Filling::default();
    let last = u64::try_from(records.len()).unwrap();
    for (position, record) in (1..).zip(&records) {
        let parts = record.parts();
        let (event, judgement) = monitor_ledger::file::decode(&parts).unwrap();
        filling.push(&parts, &event, judgement.verdict.kind(), &record.hash);
        if filling.is_full() || position == last {
            let filling = std::mem::take(&mut filling);
            let full = filling.end(position).unwrap().unwrap();
            let secrets = file_secrets(connection);
            full.put(connection, &secrets, monitor_ledger::file::stream_number)
                .unwrap();
        }
    }
}

/// Writes what becomes of the records.
fn edit(connection: &Connection, fit: Fit, change: impl Fn(&mut Vec<Record>)) {
    let mut records = records(connection);
    change(&mut records);
    rewrite(connection, records, fit);
}

/// Changes of one record's parts, by name: the record itself is named.
fn changes() -> Vec<(&'static str, Act)> {
    let part = |name, change: fn(&mut Record)| -> (&'static str, Act) {
        (
            name,
            Box::new(move |connection, at| bend(connection, at, change)),
        )
    };
    vec![
        part("event: first byte", |record| record.event[0] ^= 1),
        part("event: last byte", |record| {
            *record.event.last_mut().unwrap() ^= 0x80;
        }),
        part("event: a byte less", |record| {
            record.event.pop();
        }),
        part("event: a byte more", |record| record.event.push(0)),
        part("event: another path", forge),
        part("judgement: first byte", |record| record.judgement[0] ^= 1),
        part("judgement: none", |record| record.judgement.clear()),
        part("judgement: a byte more", |record| record.judgement.push(0)),
        part("parts exchanged", |record| {
            std::mem::swap(&mut record.event, &mut record.judgement);
        }),
        part("hash: a bit", |record| record.hash[31] ^= 1),
        part("time", |record| record.stored_at += 1),
    ]
}

/// Changes of the block that a record is in, by name: one of its records is named.
fn changes_of_block() -> Vec<(&'static str, Act)> {
    let column = |name: &'static str| -> (&'static str, Act) {
        let act = move |connection: &Connection, at| {
            let first = block_at(connection, at).first;
            set(connection, &name.replace("THIS", "WHERE first = ?1"), first);
        };
        (name, Box::new(act))
    };
    let found = |name: &'static str| -> (&'static str, Act) {
        let act = move |connection: &Connection, at| {
            let first = block_at(connection, at).first;
            set(connection, &name.replace("THIS", "WHERE block = ?1"), first);
        };
        (name, Box::new(act))
    };
    vec![
        column("UPDATE block SET count = count + 1 THIS"),
        column("UPDATE block SET count = count - 1 THIS"),
        column("UPDATE block SET count = 0 THIS"),
        column("UPDATE block SET stored_from = stored_from - 1 THIS"),
        column("UPDATE block SET stored_to = stored_to + 1 THIS"),
        column("UPDATE block SET at_from = at_from - 1 THIS"),
        column("UPDATE block SET at_to = at_to + 1 THIS"),
        column("UPDATE block SET first = first + 100000 THIS"),
        column("UPDATE block SET hashes = CAST(hashes || X'00' AS BLOB) THIS"),
        column("UPDATE block SET hashes = substr(hashes, 1, length(hashes) - 1) THIS"),
        column("UPDATE block SET hashes = substr(hashes, 1, length(hashes) - 32) THIS"),
        column("UPDATE block SET hashes = CAST(hashes || zeroblob(32) AS BLOB) THIS"),
        column("UPDATE block SET content = zeroblob(0) THIS"),
        column("UPDATE block SET content = substr(content, 1, length(content) - 1) THIS"),
        column("UPDATE block SET content = substr(content, 2) THIS"),
        column("UPDATE block SET content = CAST(content || X'00' AS BLOB) THIS"),
        column("UPDATE block SET content = 'text' THIS"),
        column("UPDATE block SET content = NULL, leaves = zeroblob(76 * count) THIS"),
        column("DELETE FROM block THIS"),
        found("DELETE FROM numbers THIS"),
        found("UPDATE numbers SET low = low - 1 THIS"),
        found("UPDATE numbers SET high = high + 1 THIS"),
        found("UPDATE numbers SET ranges = X'0100' THIS"),
        found("UPDATE numbers SET stream = 77 THIS"),
        found("UPDATE numbers SET block = block + 1 THIS"),
        found("INSERT INTO numbers SELECT stream, low + 1, high, block, ranges FROM numbers THIS"),
        found("DELETE FROM terms THIS"),
        found("UPDATE terms SET codes = substr(codes, 9) THIS"),
        found("UPDATE terms SET codes = substr(codes, 2) THIS"),
        found("UPDATE terms SET codes = CAST(codes || X'7fffffffffffffff' AS BLOB) THIS"),
        found("UPDATE terms SET codes = 'text' THIS"),
        found("UPDATE terms SET block = block + 1 THIS"),
        found("INSERT INTO terms SELECT block + 1, codes FROM terms THIS"),
    ]
}

/// Changes of a run, and of which there are.
const OF_RUNS: [&str; 16] = [
    "DELETE FROM posting",
    "DELETE FROM posting WHERE term = (SELECT min(term) FROM posting)",
    "INSERT INTO posting SELECT run, 7, blocks FROM posting LIMIT 1",
    "UPDATE posting SET term = 7 WHERE term = (SELECT min(term) FROM posting)",
    "UPDATE posting SET blocks = X'01' WHERE term = (SELECT min(term) FROM posting)",
    "UPDATE posting SET blocks = X'' WHERE term = (SELECT min(term) FROM posting)",
    "UPDATE posting SET blocks = CAST(blocks || X'ff' AS BLOB) WHERE term = (SELECT max(term) FROM posting)",
    "UPDATE posting SET blocks = 'text' WHERE term = (SELECT max(term) FROM posting)",
    "UPDATE posting SET run = 257",
    "UPDATE run SET first = 2",
    "UPDATE run SET last = 1",
    "UPDATE run SET last = 258",
    "UPDATE run SET last = 513",
    "DELETE FROM run",
    "INSERT INTO run VALUES (513, 513)",
    "INSERT INTO terms VALUES (1, X'')",
];

/// What moves, adds or removes records, or rewrites hashes along: by name.
fn moves() -> Vec<(String, Act)> {
    type Edit = fn(&mut Vec<Record>, usize);
    let edits: [(&str, Edit); 8] = [
        ("changed", |records, at| forge(&mut records[at])),
        ("time changed", |records, at| records[at].stored_at += 1),
        ("removed", |records, at| {
            records.remove(at);
        }),
        ("inserted", |records, at| {
            let id = event_id("jump-1", Source::Priority { cpu: 0 }, 9_000);
            let forged = judged(credential(id, "acme", "/srv/acme/forged"));
            let record = Record {
                stored_at: records[at].stored_at - 5,
                judgement: judgement_bytes(&forged.judgement),
                event: forged.event_bytes,
                hash: records[at].hash,
            };
            records.insert(at, record);
        }),
        ("doubled", |records, at| {
            let mut again = records[at].clone();
            again.stored_at += 5;
            records.insert(at + 1, again);
        }),
        (
            "exchanged with another, but for the times",
            |records, at| {
                let other = if at == 0 { 2 } else { at - 1 };
                records.swap(at, other);
                let (one, two) = (records[at].stored_at, records[other].stored_at);
                (records[at].stored_at, records[other].stored_at) = (two, one);
            },
        ),
        ("exchanged with another", |records, at| {
            records.swap(at, if at == 0 { 2 } else { at - 1 });
        }),
        ("cut off from there on", Vec::truncate),
    ];
    let mut acts: Vec<(String, Act)> = Vec::new();
    for (name, change) in edits {
        for (fit, with) in [(Fit::Index, ""), (Fit::Hashes, ", all hashes made to fit")] {
            let act = move |connection: &Connection, at: u64| {
                let at = usize::try_from(at).unwrap() - 1;
                edit(connection, fit, |records| change(records, at));
            };
            acts.push((format!("{name}{with}"), Box::new(act)));
        }
    }
    let cut = |connection: &Connection, at: u64| {
        let keep = usize::try_from(at).unwrap() - 1;
        edit(connection, Fit::Hashes, |records| records.truncate(keep));
        set(connection, "DELETE FROM checkpoint WHERE size >= ?1", at);
    };
    let name = "cut off from there on, all hashes made to fit, checkpoints removed";
    acts.push((name.to_owned(), Box::new(cut)));
    let remove = |connection: &Connection, at: u64| {
        let (block, secrets) = (block_at(connection, at), file_secrets(connection));
        let places = (block.first..).zip(records_of(&block));
        let leaves: Vec<Leaf> = places
            .map(|(at, record)| Leaf::new(secrets.blinding(), at, record.parts()))
            .collect();
        let terms = postings::of_block(connection, block.first).unwrap();
        let terms = terms.into_iter().flatten().collect();
        block.remove(connection, &leaves, &terms).unwrap();
    };
    let name = "content removed as the collector does, and no entry says so";
    acts.push((name.to_owned(), Box::new(remove)));
    acts
}

/// What is done beside the entries.
fn besides() -> Vec<(String, Act)> {
    let mut acts: Vec<(String, Act)> = Vec::new();
    for sql in [
        "UPDATE node SET hash = zeroblob(32) WHERE level = 1 AND place = 0",
        "UPDATE node SET hash = zeroblob(32) WHERE level = 1 AND place = 1",
        "UPDATE node SET place = 2 WHERE level = 1 AND place = 1",
        "DELETE FROM node WHERE level = 1 AND place = 0",
        "DELETE FROM node WHERE level = 1 AND place = 1",
        "INSERT INTO node VALUES (1, 2, zeroblob(32))",
        "INSERT INTO node VALUES (2, 0, zeroblob(32))",
        "INSERT INTO stream VALUES (77, 'jump-2', 'b', 'a')",
        "INSERT INTO meta VALUES ('more', '1')",
        "UPDATE meta SET value = 'globex' WHERE key = 'tenant'",
        "UPDATE meta SET value = '1' WHERE key = 'layout'",
        "DELETE FROM meta WHERE key = 'tenant'",
        "DELETE FROM meta WHERE key = 'blinding'",
        "UPDATE meta SET value = 'BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=' WHERE key = 'blinding'",
        "DROP INDEX block_at",
        "CREATE TRIGGER hide AFTER INSERT ON block BEGIN DELETE FROM block; END",
        "ALTER TABLE block ADD COLUMN more TEXT",
        "ALTER TABLE block RENAME TO hidden; CREATE VIEW block AS SELECT * FROM hidden",
        "INSERT INTO posting VALUES (1, 7, X'00')",
        "INSERT INTO terms VALUES (900, X'0000000000000007')",
        "INSERT INTO numbers VALUES (1, 9000, 9000, 900, X'A84600')",
        "UPDATE stream SET agent = 'jump-2'",
        "UPDATE stream SET boot = 'b'",
    ] {
        acts.push((
            sql.to_owned(),
            Box::new(move |connection, _| connection.execute_batch(sql).unwrap()),
        ));
    }
    for size in SIGNED {
        for sql in [
            "UPDATE checkpoint SET size = size + 1 WHERE size = ?1",
            "UPDATE checkpoint SET key = replace(key, 'monitor.test', 'monitor.tesu') WHERE size = ?1",
            "UPDATE checkpoint SET key = '' WHERE size = ?1",
            "UPDATE checkpoint SET note = CAST(replace(CAST(note AS TEXT), '/acme', '/acmf') AS BLOB) WHERE size = ?1",
            "UPDATE checkpoint SET note = CAST(substr(CAST(note AS TEXT), 1, 60) AS BLOB) WHERE size = ?1",
            "UPDATE checkpoint SET note = (SELECT note FROM checkpoint AS other WHERE other.size != ?1 LIMIT 1) WHERE size = ?1",
        ] {
            let name = format!("{sql} ({size})");
            acts.push((
                name,
                Box::new(move |connection, _| set(connection, sql, size)),
            ));
        }
    }
    acts
}

fn is_named(error: &CheckError, place: u64) -> bool {
    matches!(error, CheckError::Broken { fault, .. } if (fault.first..=fault.last).contains(&place))
}

#[test]
#[expect(clippy::print_stdout, reason = "the number is there to be read")]
fn every_kind_of_tampering_with_a_ledger_is_found() {
    let scene = Scene::new();
    let report = scene.check(|_| {}).unwrap();
    assert_eq!(
        (report.records, report.nodes, report.checkpoints),
        (SIZE, 2, 5)
    );
    assert_eq!(
        (report.unsigned, report.held, report.key_unproved),
        (0, 1, false)
    );
    assert!(report.proofs >= 8, "{report:?}");
    let mut kinds = 0;
    for place in PLACES {
        for (name, act) in changes() {
            let error = scene.check(|connection| act(connection, place));
            let error = error.expect_err(&format!("{name} at {place}"));
            let CheckError::Broken { fault, .. } = &error else {
                panic!("{name} at {place}: {error}");
            };
            assert_eq!((fault.first, fault.last), (place, place), "{name}: {error}");
            kinds += 1;
        }
        for (name, act) in moves() {
            let error = scene.check(|connection| act(connection, place));
            let error = error.expect_err(&format!("{name} at {place}"));
            let other = if place == 1 { 3 } else { place - 1 };
            let around = [place, other, place + 1];
            assert!(
                around.iter().any(|at| is_named(&error, *at)),
                "{name} at {place}: {error}"
            );
            kinds += 1;
        }
        // What checkpoints ended as small blocks became part of full ones.
        let first = (place - 1) / 256 * 256 + 1;
        let last = SIZE.min(first + 255);
        for (name, act) in changes_of_block() {
            let error = scene.check(|connection| act(connection, place));
            let error = error.expect_err(&format!("{name} at {place}"));
            assert!(
                (first..=last).any(|at| is_named(&error, at)),
                "{name} at {place}: {error}"
            );
            kinds += 1;
        }
    }
    for (name, act) in besides() {
        let found = scene.check(|connection| act(connection, 0));
        assert!(found.is_err(), "{name}: {found:?}");
        kinds += 1;
    }
    let gather = |connection: &Connection| postings::gather(connection, 513).unwrap();
    scene.check(gather).unwrap();
    for sql in OF_RUNS {
        let found = scene.check(|connection| {
            gather(connection);
            connection.execute_batch(sql).unwrap();
        });
        assert!(found.is_err(), "{sql}: {found:?}");
        kinds += 1;
    }
    assert!(kinds >= 200, "{kinds}");
    println!("{kinds} kinds of tampering with a ledger were found");
}

#[test]
fn a_ledger_signed_anew_by_another_is_found_by_the_key_that_was_handed_over() {
    let scene = Scene::new();
    let forger = LogKey::new("monitor.test", &[8; 32])
        .unwrap()
        .signer("acme")
        .unwrap();
    let sign = |connection: &Connection| {
        edit(connection, Fit::Hashes, |records| forge(&mut records[6]));
        let mut frontier = Frontier::default();
        for record in records(connection) {
            frontier.push(record.hash, |_| {});
        }
        let tree = monitor_ledger::proof::Tree {
            size: frontier.size(),
            root: frontier.root(),
        };
        let note = monitor_ledger::checkpoint::sign(&forger, &tree).unwrap();
        connection.execute("DELETE FROM checkpoint", []).unwrap();
        let values = params![integer(tree.size), note, forger.verifier().as_str()];
        connection
            .execute("INSERT INTO checkpoint VALUES (?1, ?2, ?3)", values)
            .unwrap();
    };
    assert!(scene.check(sign).is_err());
    // Without anything from before, nothing tells the two apart but the report.
    let (_folder, path, connection) = scene.copy();
    sign(&connection);
    drop(connection);
    let report = file::check(&path, "acme", &Trust::default()).unwrap();
    assert!(report.key_unproved);
    assert_eq!(report.key, forger.verifier().as_str());
}

#[test]
fn a_ledger_that_is_gone_is_found_by_the_checkpoint_held() {
    let scene = Scene::new();
    let error = folder::covers(&["globex".to_owned()], &scene.trust).unwrap_err();
    assert!(error.to_string().contains("monitor.test/acme"), "{error}");
    folder::covers(&["globex".to_owned(), "acme".to_owned()], &scene.trust).unwrap();
}

#[test]
fn what_no_checkpoint_signs_is_told() {
    let scene = Scene::new();
    let (_folder, path, connection) = scene.copy();
    connection
        .execute("DELETE FROM checkpoint WHERE size = 520", [])
        .unwrap();
    drop(connection);
    let trust = Trust {
        held: Vec::new(),
        ..scene.trust.clone()
    };
    assert_eq!(file::check(&path, "acme", &trust).unwrap().unsigned, 220);
    assert_eq!(
        file::check(&path, "acme", &scene.trust).unwrap().unsigned,
        0
    );
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
#[expect(clippy::print_stdout, reason = "the number is there to be read")]
fn every_kind_of_tampering_with_a_bundle_is_found() {
    let scene = Scene::new();
    let bundle = scene.bundle();
    let check = || bundle::check(bundle.path(), &scene.trust);
    let report = check().unwrap();
    assert_eq!(
        (report.records, report.withheld, report.unsigned),
        (SIZE, 0, 0)
    );
    assert_eq!(report.proofs, 4);
    let changes: [(&str, Change); 7] = [
        ("first byte", |bytes| bytes[0] ^= 1),
        ("middle byte", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }),
        ("last byte", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("a byte less", |bytes| bytes.truncate(bytes.len() - 1)),
        ("a byte more", |bytes| bytes.push(b'\n')),
        ("half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("nothing left", Vec::clear),
    ];
    let mut kinds = 0;
    let all = files(bundle.path());
    for path in &all {
        let before = fs::read(path).unwrap();
        for (name, change) in changes {
            let mut bytes = before.clone();
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
            assert!(check().is_err(), "{name} of {}", path.display());
            kinds += 1;
        }
        fs::remove_file(path).unwrap();
        assert!(check().is_err(), "{} gone", path.display());
        let beside = path.with_extension("more");
        fs::write(path, &before).unwrap();
        fs::write(&beside, b"x").unwrap();
        assert!(check().is_err(), "{} added", beside.display());
        fs::remove_file(&beside).unwrap();
        for other in all.iter().filter(|other| *other > path) {
            let theirs = fs::read(other).unwrap();
            fs::write(path, &theirs).unwrap();
            fs::write(other, &before).unwrap();
            assert!(
                check().is_err(),
                "{} and {} exchanged",
                path.display(),
                other.display()
            );
            fs::write(other, theirs).unwrap();
            fs::write(path, &before).unwrap();
            kinds += 1;
        }
        kinds += 2;
    }
    check().unwrap();
    assert!(kinds >= 100, "{kinds}");
    println!("{kinds} kinds of tampering with a bundle were found");
}

#[test]
fn a_bundle_with_parts_withheld_is_whole_and_says_how_many() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    let newest = Checkpoint::read(&scene.trust.held[0]).unwrap();
    let mut writer = bundle::Writer::new(folder.path(), "acme", newest.tree).unwrap();
    let path = Ledger::path(scene.folder.path(), &tenant());
    let blinding = scene.blinding();
    for (position, record) in (1..).zip(records(&Connection::open(path).unwrap())) {
        let leaf = Leaf::new(&blinding, position, record.parts());
        let blind = &blinding.at(position).0;
        let event = bundle::Opened {
            blind,
            part: &record.event,
        };
        writer.record(&leaf, Some(event), None).unwrap();
    }
    writer
        .end(&scene.trust.held[0], scene.trust.keys[0].as_str())
        .unwrap();
    let report = bundle::check(folder.path(), &scene.trust).unwrap();
    assert_eq!((report.records, report.withheld), (SIZE, SIZE));
}
