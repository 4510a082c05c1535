use std::fs;

use monitor_model::{clock::UnixNs, contain::ContainMode, id::OrderId};

use monitor_proto::v1;
use prost::Message as _;

use super::*;
use crate::attribute::sessions::tests::session;

const MAX: u64 = 1 << 30;

fn boot(number: u128) -> BootId {
    BootId::from_parts(UnixNs::from_seconds(1_790_000_000), number)
}

/// An event of the first boot.
pub(crate) fn spooled(sequence: u64, bytes: &[u8]) -> Spooled {
    Spooled {
        boot: boot(1),
        source: Source::Agent,
        sequence,
        bytes: bytes.to_vec(),
    }
}

fn reading(events: &[&[u8]], done: u64) -> Reading {
    let stream = Stream {
        done,
        ahead: [done + 2, done + 3].into(),
        base: 4,
        dropped_named: 1,
    };
    Reading {
        events: (1..)
            .zip(events)
            .map(|(at, event)| spooled(at, event))
            .collect(),
        streams: vec![(Source::Bulk { cpu: 1 }, stream)],
        own_sequence: done,
        keep: Vec::new(),
        epoch: None,
        over: Vec::new(),
    }
}

fn all(path: &Path) -> Vec<(u64, Vec<Vec<u8>>)> {
    let reader = SpoolReader::open(path).unwrap();
    let mut after = 0;
    let mut found = Vec::new();
    while let Some(batch) = reader.next(after).unwrap() {
        after = batch.number;
        found.push((batch.number, batch.events));
    }
    found
}

#[test]
fn batches_and_positions_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, recovered) = Spool::open(&path, boot(1), MAX).unwrap();
    assert!(recovered.streams.is_empty() && recovered.epoch.is_none());
    spool.append(&reading(&[b"a", b"b"], 2)).unwrap();
    spool
        .append(&Reading {
            epoch: Some("e1".into()),
            ..reading(&[b"c"], 3)
        })
        .unwrap();
    drop(spool);
    let (spool, recovered) = Spool::open(&path, boot(1), MAX).unwrap();
    assert_eq!((spool.newest(), recovered.own_sequence), (2, 3));
    assert_eq!(recovered.epoch.as_deref(), Some("e1"));
    let stream = &recovered.streams[&Source::Bulk { cpu: 1 }];
    assert_eq!(*stream, reading(&[], 3).streams[0].1);
    assert_eq!(
        all(&path),
        [
            (1, vec![b"a".to_vec(), b"b".to_vec()]),
            (2, vec![b"c".to_vec()])
        ]
    );
}

#[test]
fn positions_of_another_boot_are_told_apart_until_they_are_forgotten_and_batches_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    spool.append(&reading(&[b"a"], 2)).unwrap();
    drop(spool);
    let (mut spool, recovered) = Spool::open(&path, boot(2), MAX).unwrap();
    assert!(recovered.streams.is_empty());
    assert_eq!(recovered.own_sequence, 0);
    let [earlier] = recovered.earlier.as_slice() else {
        panic!("{recovered:?}")
    };
    assert_eq!(earlier.boot, boot(1));
    spool
        .append(&Reading {
            over: vec![earlier.boot],
            ..Reading::default()
        })
        .unwrap();
    drop(spool);
    let (_, recovered) = Spool::open(&path, boot(2), MAX).unwrap();
    assert_eq!(recovered.earlier, []);
    assert_eq!(all(&path).len(), 1);
}

#[test]
fn acked_batches_go_and_numbers_are_never_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    for done in 1..=3 {
        spool.append(&reading(&[b"x"], done)).unwrap();
    }
    assert_eq!(spool.acked(2).unwrap(), 2);
    assert_eq!(all(&path), [(3, vec![b"x".to_vec()])]);
    assert_eq!(spool.acked(3).unwrap(), 1);
    assert_eq!(spool.bytes(), 0);
    drop(spool);
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    spool.append(&reading(&[b"y"], 4)).unwrap();
    assert_eq!(all(&path), [(4, vec![b"y".to_vec()])]);
}

#[test]
fn a_copy_taken_at_any_moment_holds_whole_readings_with_their_positions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    for done in 1..=20_u64 {
        spool
            .append(&reading(&[&done.to_le_bytes(), b"second"], done))
            .unwrap();
        // What a kill would leave: the files as they are now.
        let copy = tempfile::tempdir().unwrap();
        for name in ["spool.db", "spool.db-wal"] {
            fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        let there = copy.path().join("spool.db");
        let (found, recovered) = Spool::open(&there, boot(1), MAX).unwrap();
        assert_eq!(recovered.own_sequence, done);
        assert_eq!(recovered.streams[&Source::Bulk { cpu: 1 }].done, done);
        assert_eq!(found.newest(), done);
        assert_eq!(all(&there).len(), usize::try_from(done).unwrap());
    }
}

#[test]
fn a_torn_last_write_leaves_the_readings_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    spool.append(&reading(&[b"a"], 1)).unwrap();
    let wal = folder.path().join("spool.db-wal");
    let before = fs::metadata(&wal).unwrap().len();
    spool.append(&reading(&[b"b"], 2)).unwrap();
    let after = fs::metadata(&wal).unwrap().len();
    for cut in [before + 1, before + (after - before) / 2, after - 1] {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(&path, copy.path().join("spool.db")).unwrap();
        let bytes = fs::read(&wal).unwrap();
        let cut = usize::try_from(cut).unwrap();
        fs::write(copy.path().join("spool.db-wal"), &bytes[..cut]).unwrap();
        let (_, recovered) = Spool::open(&copy.path().join("spool.db"), boot(1), MAX).unwrap();
        assert_eq!(recovered.own_sequence, 1, "cut at {cut}");
        assert_eq!(all(&copy.path().join("spool.db")).len(), 1);
    }
}

#[test]
fn sessions_and_receipts_are_kept_with_their_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    let mut ended = session(2);
    ended.ended_at = Some(UnixNs(9));
    let receipt = Receipt {
        killed: 3,
        denied_at: UnixNs(2),
        gone_at: Some(UnixNs(3)),
        ..Receipt::new(
            OrderId::from_parts(UnixNs(1), 1),
            session(1).id,
            ContainMode::Kill,
            UnixNs(1),
        )
    };
    let keep = vec![
        Keep::Session(Box::new(session(1))),
        Keep::Session(Box::new(ended.clone())),
        Keep::Receipt(receipt.clone()),
    ];
    spool
        .append(&Reading {
            keep,
            ..reading(&[b"a"], 1)
        })
        .unwrap();
    drop(spool);
    let (_, recovered) = Spool::open(&path, boot(2), MAX).unwrap();
    assert_eq!(recovered.sessions, [ended, session(1)]);
    assert_eq!(recovered.receipts, [receipt]);
}

#[test]
fn the_oldest_ended_sessions_and_receipts_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    let most = u128::try_from(ENDED_MAX).unwrap();
    let keep = (0..most + 2).map(|number| {
        let mut ended = session(number);
        ended.ended_at = Some(UnixNs(u64::try_from(number).unwrap()));
        Keep::Session(Box::new(ended))
    });
    spool
        .append(&Reading {
            keep: keep.collect(),
            ..reading(&[], 1)
        })
        .unwrap();
    drop(spool);
    let (_, recovered) = Spool::open(&path, boot(1), MAX).unwrap();
    assert_eq!(recovered.sessions.len(), ENDED_MAX);
    assert_eq!(recovered.sessions[0].id, session(2).id);
}

#[test]
fn a_reading_larger_than_a_batch_becomes_several() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    let large = vec![1; BATCH_BYTES_MAX / 2];
    let huge = vec![2; BATCH_BYTES_MAX + 1];
    spool
        .append(&reading(&[&large, &large, &large, &huge, b"x"], 1))
        .unwrap();
    let sizes: Vec<usize> = all(&path).iter().map(|(_, events)| events.len()).collect();
    assert_eq!(sizes, [2, 1, 1, 1]);
}

#[test]
fn a_full_spool_leaves_the_bulk_ring_first_and_keeps_room_for_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), 64 << 20).unwrap();
    let mib = vec![1; 1 << 20];
    let mut rooms = Vec::new();
    for done in 1..=64 {
        spool.append(&reading(&[&mib], done)).unwrap();
        if rooms.last() != Some(&spool.room()) {
            rooms.push(spool.room());
        }
    }
    assert_eq!(rooms, [Room::All, Room::Priority, Room::Own]);
    spool.acked(60).unwrap();
    assert_eq!(spool.room(), Room::All);
}

#[test]
fn a_reading_that_could_not_be_written_is_written_whole_when_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    spool.database.busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let one = reading(&[b"a"], 1);
    assert!(spool.append(&one).is_err());
    assert_eq!((spool.newest(), spool.bytes()), (0, 0));
    other.execute_batch("ROLLBACK").unwrap();
    spool.append(&one).unwrap();
    assert_eq!(all(&path), [(1, vec![b"a".to_vec()])]);
}

#[test]
fn receipts_of_an_agent_that_could_only_kill_are_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let old = v1::Receipt {
        order: OrderId::from_parts(UnixNs(1), 1).to_bytes().to_vec(),
        session: session(1).id.to_bytes().to_vec(),
        killed: 3,
        ..v1::Receipt::default()
    };
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE receipts (
                 order_id BLOB NOT NULL, session BLOB NOT NULL, place INTEGER NOT NULL,
                 receipt BLOB NOT NULL, PRIMARY KEY (order_id, session)) STRICT;",
        )
        .unwrap();
    database
        .execute(
            "INSERT INTO receipts VALUES (?1, ?2, 1, ?3)",
            rusqlite::params![old.order, old.session, old.encode_to_vec()],
        )
        .unwrap();
    drop(database);
    for _ in 0..2 {
        let (_, recovered) = Spool::open(&path, boot(1), MAX).unwrap();
        let [receipt] = recovered.receipts.as_slice() else {
            panic!("{:?}", recovered.receipts)
        };
        assert_eq!((receipt.mode, receipt.killed), (ContainMode::Kill, 3));
    }
}

#[test]
fn a_torn_end_leaves_whole_readings_from_the_first_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    for done in 1..=12_u64 {
        spool
            .append(&reading(&[&done.to_le_bytes(), &[7; 3_000]], done))
            .unwrap();
    }
    let [main, log] = ["spool.db", "spool.db-wal"].map(|name| folder.path().join(name));
    let whole = fs::read(&log).unwrap();
    let mut found = Vec::new();
    for cut in (0..whole.len()).step_by(3_989).chain([whole.len()]) {
        // The power fails: what came after is not there, or is something else.
        let torn = whole[..cut].to_vec();
        let mut other = whole.clone();
        if let Some(byte) = other.get_mut(cut) {
            *byte ^= 0x40;
        }
        for log in [torn, other] {
            let copy = tempfile::tempdir().unwrap();
            let there = copy.path().join("spool.db");
            fs::copy(&main, &there).unwrap();
            fs::write(copy.path().join("spool.db-wal"), &log).unwrap();
            let (_, recovered) = Spool::open(&there, boot(1), MAX).unwrap();
            let batches = all(&there);
            let done = recovered.own_sequence;
            assert_eq!(u64::try_from(batches.len()).unwrap(), done, "cut at {cut}");
            for ((number, events), wanted) in batches.iter().zip(1_u64..) {
                assert_eq!(*number, wanted);
                assert_eq!(events, &[wanted.to_le_bytes().to_vec(), vec![7; 3_000]]);
            }
            let position = recovered.streams.get(&Source::Bulk { cpu: 1 });
            assert_eq!(position.map_or(0, |stream| stream.done), done);
            found.push(done);
        }
    }
    assert!(found.contains(&0) && found.contains(&12), "{found:?}");
    assert!(found.iter().any(|done| (1..12).contains(done)));
}

/// A spool with two batches, of two events and of one; and a hand on its file.
fn two_batches(folder: &Path) -> (Spool, SpoolReader, Connection) {
    let path = folder.join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    spool.append(&reading(&[b"a", b"b"], 2)).unwrap();
    let next = Reading {
        events: vec![spooled(3, b"c")],
        ..Reading::default()
    };
    spool.append(&next).unwrap();
    let reader = SpoolReader::open(&path).unwrap();
    (spool, reader, Connection::open(&path).unwrap())
}

/// Changes one bit of a column of the first batch.
fn rot(hand: &Connection, column: &str, at: usize, bit: u8) {
    let read = format!("SELECT {column} FROM batches WHERE number = 1");
    let mut bytes: Vec<u8> = hand.query_row(&read, [], |row| row.get(0)).unwrap();
    bytes[at] ^= 1 << bit;
    let write = format!("UPDATE batches SET {column} = ?1 WHERE number = 1");
    hand.execute(&write, [bytes]).unwrap();
}

fn damaged(reader: &SpoolReader) -> Damaged {
    let error = reader.next(0).unwrap_err();
    let SpoolError::Damaged(damaged) = error else {
        panic!("{error}");
    };
    damaged
}

fn held(first: u64, last: u64) -> Held {
    Held {
        boot: boot(1),
        source: Source::Agent,
        first,
        last,
    }
}

#[test]
fn any_bit_of_a_batch_that_is_not_as_written_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (_spool, reader, hand) = two_batches(folder.path());
    let length: u32 = hand
        .query_row(
            "SELECT length(batch) FROM batches WHERE number = 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(length > 4);
    let length = usize::try_from(length).unwrap();
    for (at, bit) in (0..length).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        rot(&hand, "batch", at, bit);
        let expected = Damaged {
            number: 1,
            held: Some(vec![held(1, 2)]),
        };
        assert_eq!(damaged(&reader), expected, "bit {bit} of byte {at}");
        rot(&hand, "batch", at, bit);
    }
    assert_eq!(reader.next(0).unwrap().unwrap().number, 1);
}

#[test]
fn what_a_batch_held_is_told_only_as_far_as_that_is_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let (_spool, reader, hand) = two_batches(folder.path());
    rot(&hand, "holds", 3, 0);
    assert_eq!(
        reader.next(0).unwrap().unwrap().number,
        1,
        "nobody needs it"
    );
    rot(&hand, "batch", 3, 0);
    let expected = Damaged {
        number: 1,
        held: None,
    };
    assert_eq!(damaged(&reader), expected);
}

#[test]
fn a_damaged_batch_is_put_aside_and_takes_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, reader, hand) = two_batches(folder.path());
    let before = spool.bytes();
    rot(&hand, "batch", 3, 0);
    let set_aside = Reading {
        keep: vec![Keep::Damaged(1)],
        ..Reading::default()
    };
    spool.append(&set_aside).unwrap();
    assert_eq!(reader.next(0).unwrap().unwrap().number, 2);
    assert!(spool.bytes() < before);
    let aside = "SELECT count(*) FROM damaged WHERE number = 1 AND holds IS NOT NULL";
    let aside: u64 = hand.query_row(aside, [], super::number).unwrap();
    assert_eq!(aside, 1);
    spool.append(&set_aside).unwrap();
    let waits: u64 = hand
        .query_row("SELECT sum(bytes) FROM batches", [], super::number)
        .unwrap();
    assert_eq!(spool.bytes(), waits);
}

#[test]
fn runs_of_numbers_are_kept_and_not_each() {
    let mut events: Vec<Spooled> = [1, 2, 3, 7, 8, 5].map(|at| spooled(at, b"x")).to_vec();
    events.push(Spooled {
        source: Source::Bulk { cpu: 1 },
        ..spooled(4, b"y")
    });
    let found = holds::decoded(&holds::encoded(&events)).unwrap();
    let mut own: Vec<_> = found
        .iter()
        .filter(|held| held.source == Source::Agent)
        .map(|held| (held.first, held.last))
        .collect();
    own.sort_unstable();
    assert_eq!(own, [(1, 3), (5, 5), (7, 8)]);
    assert_eq!(found.len(), 4);
}

#[test]
fn batches_of_an_agent_that_kept_no_checksums_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let hand = Connection::open(&path).unwrap();
    let before = "CREATE TABLE batches (number INTEGER PRIMARY KEY, bytes INTEGER NOT NULL,
        batch BLOB NOT NULL) STRICT";
    hand.execute_batch(before).unwrap();
    let batch = v1::Batch {
        number: 1,
        events: vec![b"of before".to_vec()],
    };
    let put = "INSERT INTO batches (number, bytes, batch) VALUES (?1, 1, ?2)";
    hand.execute(put, params![1, batch.encode_to_vec()])
        .unwrap();
    hand.execute(put, params![2, b"no batch"]).unwrap();
    let (_spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    let reader = SpoolReader::open(&path).unwrap();
    assert_eq!(reader.next(0).unwrap(), Some(batch));
    let error = reader.next(1).unwrap_err();
    let expected = Damaged {
        number: 2,
        held: None,
    };
    assert!(
        matches!(&error, SpoolError::Damaged(found) if *found == expected),
        "{error}"
    );
}

/// What is said where a spool cannot be opened.
fn refused(path: &Path) -> String {
    let error = Spool::open(path, boot(1), MAX).unwrap_err();
    assert!(matches!(error, SpoolError::Unusable { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_spool_that_is_no_database_any_more_is_refused_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    spool.append(&reading(&[b"a"], 1)).unwrap();
    drop(spool);
    let whole = fs::read(&path).unwrap();

    // Its first page is another's.
    let mut changed = whole.clone();
    changed[..100].fill(0x55);
    fs::write(&path, &changed).unwrap();
    let said = refused(&path);
    for words in [
        path.to_str().unwrap(),
        "not a database",
        "-wal and -shm",
        "restart the host",
    ] {
        assert!(said.contains(words), "{words:?} is not in: {said}");
    }

    // All but the first page is zeroes.
    let mut changed = whole;
    changed[4096..].fill(0);
    fs::write(&path, &changed).unwrap();
    assert!(refused(&path).contains("malformed"));
}

#[test]
fn a_spool_with_a_row_that_this_agent_did_not_write_is_refused_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    drop(Spool::open(&path, boot(1), MAX).unwrap());
    let hand = Connection::open(&path).unwrap();
    hand.execute(
        "INSERT INTO sessions VALUES (?1, 0, ?2)",
        params![[1_u8; 16], [0xff_u8; 3]],
    )
    .unwrap();
    assert!(refused(&path).contains("a row of sessions"));
}

#[test]
fn what_breaks_while_it_is_written_is_said_with_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let (mut spool, _) = Spool::open(&path, boot(1), MAX).unwrap();
    spool.append(&reading(&[b"a"], 1)).unwrap();
    spool
        .database
        .pragma_update(None, "wal_checkpoint", "TRUNCATE")
        .unwrap();
    let length = fs::metadata(&path).unwrap().len();
    let zeroes = vec![0; usize::try_from(length).unwrap() - 4096];
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &zeroes, 4096).unwrap();
    spool
        .database
        .pragma_update(None, "shrink_memory", "")
        .unwrap();
    let error = spool.append(&reading(&[b"b"], 2)).unwrap_err();
    assert!(error.to_string().contains("restart the host"), "{error}");
}
