//! Whatever is done to a ledger or a bundle, the check finds it: kinds of
//! tampering, each at places at the edges of tiles and checkpoints, each on parts.
//!
//! The kinds are listed in `docs/reference/ledger.md`.

use std::{fs, path::PathBuf};

use monitor_ledger::{
    bundle,
    check::{CheckError, Report, Trust, file, folder},
    checkpoint::Checkpoint,
    file::{KeptCheckpoint, kept},
    key::LogKey,
    leaf::{Blinding, Leaf, Parts},
    merkle::Frontier,
};

use super::*;

/// Entries of the ledger that is tampered with.
const SIZE: u64 = 520;
/// Where checkpoints are.
const SIGNED: [u64; 4] = [100, 256, 300, SIZE];
/// Where it is tampered with: at the ends, and at the edges of tiles and checkpoints.
const PLACES: [u64; 8] = [1, 2, 255, 256, 257, 512, 519, SIZE];

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
        let rows = parts(&Connection::open(path).unwrap());
        let blinding = self.blinding();
        for (position, (stored_at, event, judgement)) in (1..).zip(rows) {
            let leaf = leaf(&blinding, position, (stored_at, &event, &judgement));
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

fn file_blinding(connection: &Connection) -> Blinding {
    monitor_ledger::file::blinding(connection).unwrap().unwrap()
}

fn leaf(blinding: &Blinding, position: u64, parts: (u64, &[u8], &[u8])) -> Leaf {
    let parts = Parts {
        stored_at_unix_ns: parts.0,
        event: parts.1,
        judgement: parts.2,
    };
    Leaf::new(blinding, position, parts)
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

fn parts(connection: &Connection) -> Vec<(u64, Vec<u8>, Vec<u8>)> {
    let sql = "SELECT stored_at, event, judgement FROM entry ORDER BY position";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok((number(row.get(0)?), row.get(1)?, row.get(2)?))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

fn set(connection: &Connection, sql: &str, position: u64) {
    assert!(
        connection.execute(sql, [integer(position)]).unwrap() > 0,
        "{sql}"
    );
}

/// Changes a blob of an entry.
fn bend(connection: &Connection, column: &str, position: u64, change: impl Fn(&mut Vec<u8>)) {
    let read = format!("SELECT {column} FROM entry WHERE position = ?1");
    let mut bytes: Vec<u8> = connection
        .query_row(&read, [integer(position)], |row| row.get(0))
        .unwrap();
    change(&mut bytes);
    let write = format!("UPDATE entry SET {column} = ?2 WHERE position = ?1");
    connection
        .execute(&write, params![integer(position), bytes])
        .unwrap();
}

/// Another path in the event: it decodes, and every column fits.
fn forge(connection: &Connection, position: u64) {
    bend(connection, "event", position, |bytes| {
        let at = bytes.windows(4).position(|four| four == b"/srv").unwrap();
        bytes[at + 1] = b't';
    });
}

/// Makes all hashes fit what is there: all that can be done without the key.
fn rebuild(connection: &Connection) {
    connection.execute("DELETE FROM node", []).unwrap();
    let mut frontier = Frontier::default();
    let blinding = file_blinding(connection);
    for (position, (stored_at, event, judgement)) in (1..).zip(parts(connection)) {
        let hash = leaf(&blinding, position, (stored_at, &event, &judgement)).hash();
        let sql = "UPDATE entry SET hash = ?1 WHERE stored_at = ?2";
        connection
            .execute(sql, params![hash, integer(stored_at)])
            .unwrap();
        frontier.push(hash, |one| {
            let sql = "INSERT INTO node VALUES (?1, ?2, ?3)";
            connection
                .execute(sql, params![one.level, integer(one.index), one.hash])
                .unwrap();
        });
    }
}

/// Moves the entries from one on by a step, the furthest first.
fn shift(connection: &Connection, from: u64, step: i64) {
    let order = if step > 0 { "DESC" } else { "ASC" };
    let sql = format!("SELECT position FROM entry WHERE position >= ?1 ORDER BY position {order}");
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement
        .query_map([integer(from)], |row| row.get::<_, i64>(0))
        .unwrap();
    let positions: Vec<i64> = rows.collect::<Result<_, _>>().unwrap();
    for position in positions {
        let sql = "UPDATE entry SET position = ?1 WHERE position = ?2";
        connection
            .execute(sql, [position + step, position])
            .unwrap();
    }
}

fn cut(connection: &Connection, from: u64) {
    set(connection, "DELETE FROM entry WHERE position >= ?1", from);
}

/// Changes of one entry's parts, by name.
fn changes() -> Vec<(&'static str, Act)> {
    let column = |name: &'static str, sql: &'static str| -> (&'static str, Act) {
        (
            name,
            Box::new(move |connection, at| set(connection, sql, at)),
        )
    };
    let blob = |name, column: &'static str, change: fn(&mut Vec<u8>)| -> (&'static str, Act) {
        (
            name,
            Box::new(move |connection, at| bend(connection, column, at, change)),
        )
    };
    vec![
        blob("event: first byte", "event", |bytes| bytes[0] ^= 1),
        blob("event: last byte", "event", |bytes| {
            *bytes.last_mut().unwrap() ^= 0x80;
        }),
        blob("event: a byte less", "event", |bytes| {
            bytes.truncate(bytes.len() - 1);
        }),
        blob("event: a byte more", "event", |bytes| bytes.push(0)),
        blob("judgement: first byte", "judgement", |bytes| bytes[0] ^= 1),
        blob("judgement: none", "judgement", Vec::clear),
        blob("judgement: a byte more", "judgement", |bytes| bytes.push(0)),
        blob("hash: a bit", "hash", |bytes| bytes[31] ^= 1),
        blob("hash: a byte less", "hash", |bytes| bytes.truncate(31)),
        column(
            "stored_at",
            "UPDATE entry SET stored_at = stored_at + 1 WHERE position = ?1",
        ),
        column(
            "sequence",
            "UPDATE entry SET sequence = 9000 WHERE position = ?1",
        ),
        column("at", "UPDATE entry SET at = at + 1 WHERE position = ?1"),
        column("kind", "UPDATE entry SET kind = 'exec' WHERE position = ?1"),
        column(
            "verdict",
            "UPDATE entry SET verdict = 'exempt' WHERE position = ?1",
        ),
        column(
            "session",
            "UPDATE entry SET session = NULL WHERE position = ?1",
        ),
        column(
            "principal",
            "UPDATE entry SET principal = 'mallory' WHERE position = ?1",
        ),
        column(
            "stream: none",
            "UPDATE entry SET stream = 77 WHERE position = ?1",
        ),
        (
            "stream: of another host",
            Box::new(|connection, at| {
                let sql = "INSERT INTO stream SELECT 77, 'jump-2', boot, source FROM stream";
                connection.execute(sql, []).unwrap();
                set(
                    connection,
                    "UPDATE entry SET stream = 77 WHERE position = ?1",
                    at,
                );
            }),
        ),
    ]
}

/// What moves, adds or removes entries, or rewrites hashes along: by name.
#[expect(clippy::too_many_lines, reason = "a list")]
fn moves() -> Vec<(&'static str, Act)> {
    let remove = |connection: &Connection, at| {
        set(connection, "DELETE FROM entry WHERE position = ?1", at);
    };
    let insert = |connection: &Connection, at: u64| {
        shift(connection, at, 1);
        let id = event_id("jump-1", Source::Priority { cpu: 0 }, 9_000);
        let forged = judged(credential(id, "acme", "/srv/acme/forged"));
        let before = 1_000 + 10 * (at - 1) + 5;
        connection
            .execute(
                "INSERT INTO entry SELECT ?1, ?2, stream, 9000, at, kind, verdict, session, principal, ?3, ?4, hash
                 FROM entry ORDER BY position LIMIT 1",
                params![integer(at), integer(before), forged.event_bytes, judgement_bytes(&forged.judgement)],
            )
            .unwrap();
    };
    vec![
        (
            "changed, all hashes made to fit",
            Box::new(|connection, at| {
                forge(connection, at);
                rebuild(connection);
            }),
        ),
        (
            "stored_at changed, all hashes made to fit",
            Box::new(|connection, at| {
                set(
                    connection,
                    "UPDATE entry SET stored_at = stored_at + 1 WHERE position = ?1",
                    at,
                );
                rebuild(connection);
            }),
        ),
        (
            "removed",
            Box::new(move |connection, at| remove(connection, at)),
        ),
        (
            "removed, the rest moved up",
            Box::new(move |connection, at| {
                remove(connection, at);
                shift(connection, at + 1, -1);
            }),
        ),
        (
            "removed, the rest moved up, all hashes made to fit",
            Box::new(move |connection, at| {
                remove(connection, at);
                shift(connection, at + 1, -1);
                rebuild(connection);
            }),
        ),
        ("inserted", Box::new(insert)),
        (
            "inserted, all hashes made to fit",
            Box::new(move |connection, at| {
                insert(connection, at);
                rebuild(connection);
            }),
        ),
        (
            "exchanged with another",
            Box::new(|connection, at| {
                exchange(connection, at);
            }),
        ),
        (
            "exchanged with another, all hashes made to fit",
            Box::new(|connection, at| {
                exchange(connection, at);
                rebuild(connection);
            }),
        ),
        ("cut off from there on", Box::new(cut)),
        (
            "cut off from there on, all hashes made to fit, checkpoints removed",
            Box::new(|connection, at| {
                cut(connection, at);
                rebuild(connection);
                set(connection, "DELETE FROM checkpoint WHERE size >= ?1", at);
            }),
        ),
    ]
}

/// Two entries change places, with all but their times.
fn exchange(connection: &Connection, at: u64) {
    let other = if at == 1 { 3 } else { at - 1 };
    let columns = ["sequence", "event", "judgement", "hash"];
    let read = |position| {
        let sql = "SELECT sequence, event, judgement, hash FROM entry WHERE position = ?1";
        let values = connection.query_row(sql, [integer(position)], |row| {
            (0..columns.len())
                .map(|index| row.get::<_, rusqlite::types::Value>(index))
                .collect()
        });
        values.unwrap()
    };
    let (one, two): (Vec<_>, Vec<_>) = (read(at), read(other));
    set(
        connection,
        "UPDATE entry SET sequence = 8000 WHERE position = ?1",
        at,
    );
    for (position, values) in [(other, one), (at, two)] {
        for (column, value) in columns.iter().zip(values) {
            let sql = format!("UPDATE entry SET {column} = ?1 WHERE position = ?2");
            connection
                .execute(&sql, params![value, integer(position)])
                .unwrap();
        }
    }
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
        "DROP INDEX entry_session",
        "CREATE TRIGGER hide AFTER INSERT ON entry BEGIN DELETE FROM entry; END",
        "ALTER TABLE entry ADD COLUMN more TEXT",
        "ALTER TABLE entry RENAME TO hidden; CREATE VIEW entry AS SELECT * FROM hidden",
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
            assert!(
                is_named(&error, place) || is_named(&error, other),
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
        forge(connection, 7);
        rebuild(connection);
        let rows = parts(connection);
        let mut frontier = Frontier::default();
        let blinding = file_blinding(connection);
        for (position, (stored_at, event, judgement)) in (1..).zip(rows) {
            let leaf = leaf(&blinding, position, (stored_at, &event, &judgement));
            frontier.push(leaf.hash(), |_| {});
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
    for (position, (stored_at, event, judgement)) in
        (1..).zip(parts(&Connection::open(path).unwrap()))
    {
        let leaf = leaf(&blinding, position, (stored_at, &event, &judgement));
        let blind = &blinding.at(position).0;
        let event = bundle::Opened {
            blind,
            part: &event,
        };
        writer.record(&leaf, Some(event), None).unwrap();
    }
    writer
        .end(&scene.trust.held[0], scene.trust.keys[0].as_str())
        .unwrap();
    let report = bundle::check(folder.path(), &scene.trust).unwrap();
    assert_eq!((report.records, report.withheld), (SIZE, SIZE));
}
