use monitor_model::id::Source;
use rusqlite::params;

use super::{
    read::{Filter, Reader, Span},
    *,
};
use crate::testing::{credential, event_id, judged, log_key, whole};

mod coverage;
mod older;
mod removal;
mod sealed;
mod small;
mod tampering;

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn filled(folder: &Path, entries: u64) -> Ledger {
    let mut ledger = Ledger::open(folder, &tenant(), None).unwrap();
    for sequence in 1..=entries {
        let event = credential(
            event_id("jump-1", Source::Priority { cpu: 0 }, sequence),
            "acme",
            "/srv/acme/key",
        );
        ledger
            .append(judged(event), UnixNs(1_000 + sequence))
            .unwrap();
    }
    ledger.commit(UnixNs(0)).unwrap();
    ledger
}

/// Adds an entry; all of one ledger are of one stream.
fn add(ledger: &mut Ledger, sequence: u64) {
    let id = event_id("jump-1", Source::Priority { cpu: 0 }, sequence);
    let event = credential(id, "acme", "/srv/acme/key");
    ledger
        .append(judged(event), UnixNs(1_000 + sequence))
        .unwrap();
}

fn signing(folder: &Path) -> Ledger {
    let signer = log_key().signer("acme").unwrap();
    Ledger::open(folder, &tenant(), Some(signer)).unwrap()
}

fn sizes(folder: &Path) -> Vec<u64> {
    let connection = Connection::open(Ledger::path(folder, &tenant())).unwrap();
    let mut statement = connection
        .prepare("SELECT size FROM checkpoint ORDER BY size")
        .unwrap();
    let sizes = statement
        .query_map([], |row| row.get(0).map(number))
        .unwrap();
    sizes.collect::<Result<_, _>>().unwrap()
}

fn tamper(folder: &Path, sql: &str) {
    let connection = Connection::open(Ledger::path(folder, &tenant())).unwrap();
    connection
        .pragma_update(None, "foreign_keys", "OFF")
        .unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0);
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let head = filled(folder.path(), 5).head().clone();
    assert_eq!(head.position, 5);
    assert_eq!(
        Ledger::open(folder.path(), &tenant(), None).unwrap().head(),
        &head
    );
    assert_eq!(whole(folder.path(), "acme"), head.position);
}

#[test]
fn what_was_not_committed_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = filled(folder.path(), 2);
    let event = credential(
        event_id("jump-1", Source::Agent, 9),
        "acme",
        "/srv/acme/key",
    );
    ledger.append(judged(event), UnixNs(9_000)).unwrap();
    drop(ledger);
    assert_eq!(
        Ledger::open(folder.path(), &tenant(), None)
            .unwrap()
            .head()
            .position,
        2
    );
}

#[test]
fn a_changed_block_is_found_when_the_ledger_is_opened() {
    for sql in [
        "UPDATE block SET content = CAST(substr(content, 1, 20) || X'FE' || substr(content, 22) AS BLOB)",
        "UPDATE block SET hashes = CAST(X'00' || substr(hashes, 2) AS BLOB)",
        "UPDATE block SET stored_to = stored_to * 1000",
        "UPDATE block SET at_from = 0",
        "UPDATE block SET count = 4",
        "UPDATE block SET first = 2",
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path(), 5));
        tamper(folder.path(), sql);
        let error = Ledger::open(folder.path(), &tenant(), None).unwrap_err();
        assert!(error.to_string().contains("position 1"), "{sql}: {error}");
    }
}

#[test]
fn a_ledger_of_another_tenant_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 1));
    let globex = TenantId::new("globex").unwrap();
    std::fs::copy(
        Ledger::path(folder.path(), &tenant()),
        Ledger::path(folder.path(), &globex),
    )
    .unwrap();
    assert!(matches!(
        Ledger::open(folder.path(), &globex, None),
        Err(LedgerError::Foreign { key: "tenant", .. })
    ));
}

#[test]
fn sequences_and_pages_come_back_as_stored() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = filled(folder.path(), 5);
    let mut stored = Intervals::default();
    let stream = Stream::from(&event_id("jump-1", Source::Priority { cpu: 0 }, 1));
    ledger.sequences(&stream, &mut stored).unwrap();
    assert!(stored.contains(5) && !stored.contains(6) && stored.len() == 1);
    let reader = Reader::open(folder.path(), &tenant()).unwrap();
    let span = Span {
        after: UnixNs(1_001),
        up_to: UnixNs(1_004),
        limit: 2,
    };
    let (entries, seen) = reader.page(span, &Filter::default()).unwrap();
    assert_eq!(
        entries
            .iter()
            .map(|entry| entry.position)
            .collect::<Vec<_>>(),
        [2, 3]
    );
    assert_eq!(seen, UnixNs(1_003));
    let (entries, seen) = reader
        .page(Span { limit: 9, ..span }, &Filter::default())
        .unwrap();
    assert_eq!((entries.len(), seen), (3, UnixNs(1_004)));
    let none = Filter {
        kinds: vec![monitor_model::event::Kind::Exec],
        ..Filter::default()
    };
    assert!(reader.page(span, &none).unwrap().0.is_empty());
    let some = Filter {
        kinds: vec![monitor_model::event::Kind::Credential],
        principals: vec!["alice".parse().unwrap()],
        hosts: vec!["jump-1".parse().unwrap()],
        ..Filter::default()
    };
    assert_eq!(reader.page(span, &some).unwrap().0.len(), 2);
    assert!(some.admits(&entries[0]) && !none.admits(&entries[0]));
    assert_eq!(
        reader
            .find(&entries[1].judged.event.id)
            .unwrap()
            .unwrap()
            .position,
        entries[1].position
    );
}

#[test]
fn a_checkpoint_is_signed_once_a_second_while_entries_come() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = signing(folder.path());
    let every = u64::try_from(CHECKPOINT_EVERY.as_nanos()).unwrap();
    for (sequence, now) in [
        (1, every),
        (2, 2 * every - 1),
        (3, 2 * every),
        (4, 2 * every + 1),
    ] {
        add(&mut ledger, sequence);
        ledger.commit(UnixNs(now)).unwrap();
    }
    assert_eq!(sizes(folder.path()), [1, 3]);
    assert!(ledger.is_unsealed());
    ledger.commit(UnixNs(3 * every)).unwrap();
    assert_eq!(sizes(folder.path()), [1, 3, 4], "without a new entry, too");
    assert!(!ledger.is_unsealed());
    ledger.commit(UnixNs(9 * every)).unwrap();
    assert_eq!(sizes(folder.path()), [1, 3, 4]);
    assert_eq!(whole(folder.path(), "acme"), 4);
}

#[test]
fn the_newest_checkpoints_are_kept_and_no_more_than_the_maximum() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = signing(folder.path());
    let max = monitor_ledger::file::CHECKPOINTS_MAX;
    for sequence in 1..=max + 5 {
        add(&mut ledger, sequence);
        ledger
            .tree
            .sign(&ledger.connection, &ledger.path, UnixNs(0))
            .unwrap();
    }
    ledger.commit(UnixNs(0)).unwrap();
    assert_eq!(sizes(folder.path()), (6..=max + 5).collect::<Vec<_>>());
}

#[test]
fn a_ledger_that_lost_what_was_signed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = signing(folder.path());
    (1..=5).for_each(|sequence| add(&mut ledger, sequence));
    ledger.commit(UnixNs::MAX).unwrap();
    drop(ledger);
    tamper(folder.path(), "DELETE FROM block");
    let error = Ledger::open(folder.path(), &tenant(), None).unwrap_err();
    assert!(
        matches!(error, LedgerError::Broken { position: 1, .. }),
        "{error}"
    );
}
