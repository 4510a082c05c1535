use monitor_model::id::Source;

use super::{
    read::{Filter, Reader, Span},
    *,
};
use crate::testing::{credential, event_id, judged};

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn filled(folder: &Path, entries: u64) -> Ledger {
    let mut ledger = Ledger::open(folder, &tenant()).unwrap();
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
    ledger.commit().unwrap();
    ledger
}

fn tamper(folder: &Path, sql: &str) {
    let connection = Connection::open(Ledger::path(folder, &tenant())).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0);
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let head = filled(folder.path(), 5).head().clone();
    assert_eq!(head.position, 5);
    assert_eq!(
        Ledger::open(folder.path(), &tenant()).unwrap().head(),
        &head
    );
    assert_eq!(verify::verify(folder.path(), &tenant()).unwrap(), head);
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
        Ledger::open(folder.path(), &tenant())
            .unwrap()
            .head()
            .position,
        2
    );
}

#[test]
fn one_changed_byte_is_found_and_its_position_named() {
    for sql in [
        "UPDATE entry SET event = CAST(substr(event, 1, 20) || X'FE' || substr(event, 22) AS BLOB) WHERE position = 3",
        "UPDATE entry SET judgement = CAST(judgement || X'00' AS BLOB) WHERE position = 3",
        "UPDATE entry SET stored_at = stored_at * 1000 WHERE position = 3",
        "UPDATE entry SET principal = 'mallory' WHERE position = 3",
        "UPDATE entry SET verdict = 'exempt' WHERE position = 3",
        "DELETE FROM entry WHERE position = 3",
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path(), 5));
        tamper(folder.path(), sql);
        let error = verify::verify(folder.path(), &tenant()).expect_err(sql);
        assert!(
            matches!(error, LedgerError::Broken { position: 3, .. }),
            "{sql}: {error}"
        );
        let error = Ledger::open(folder.path(), &tenant()).unwrap_err();
        assert!(error.to_string().contains("position 3"), "{sql}: {error}");
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
        Ledger::open(folder.path(), &globex),
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
