//! Content goes when its time is over; what proves it stays, and an entry says so.

use monitor_ledger::check::{CheckError, Trust, file};
use monitor_model::event::{Action, RemovalReason};

use super::*;
use crate::{
    ledger::{evidence::Evidence, removal::Swept},
    testing::{event, session_id},
};

const HELD: u128 = 9;

/// Entries 1 to 600 in blocks of 100, those of the third block in a session that is held.
fn scene(folder: &Path) -> Ledger {
    let mut ledger = signing(folder);
    for sequence in 1..=600 {
        let id = event_id("jump-1", Source::Priority { cpu: 0 }, sequence);
        let mut event = credential(id, "acme", &format!("/srv/acme/key-{sequence}"));
        if (201..=300).contains(&sequence) {
            event.attribution.session = Some(session_id(HELD));
        }
        let stored_at = UnixNs(1_000 + sequence);
        ledger.append(judged(event), stored_at).unwrap();
        if sequence % 100 == 0 {
            ledger.end_block();
            ledger.seal(UnixNs(sequence)).unwrap();
        }
    }
    ledger
}

fn is_held(event: &Event) -> bool {
    event.attribution.session == Some(session_id(HELD))
}

/// Stores the entry that says what was removed, in a block of its own.
fn say(ledger: &mut Ledger, sequence: u64, swept: &Swept) {
    let (first, last) = swept.removed.unwrap();
    let action = Action::Removed {
        first,
        last,
        reason: RemovalReason::Retention,
        contract: "MSA-7".into(),
        held_back: swept.held_back,
    };
    let event = event(event_id("collector", Source::Collector, sequence), action);
    ledger
        .append(judged(event), UnixNs(2_000 + sequence))
        .unwrap();
    ledger.seal(UnixNs::MAX).unwrap();
}

fn check(folder: &Path) -> Result<monitor_ledger::check::Report, CheckError> {
    file::check(&Ledger::path(folder, &tenant()), "acme", &Trust::default())
}

fn found(folder: &Path, filter: &Filter) -> Vec<u64> {
    let span = Span {
        after: UnixNs(0),
        up_to: UnixNs::MAX,
        limit: 10_000,
    };
    let reader = Reader::open(folder, &tenant()).unwrap();
    let entries = reader.page(span, filter).unwrap().0;
    entries.iter().map(|entry| entry.position).collect()
}

#[test]
fn what_is_over_is_removed_and_still_proved() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = scene(folder.path());
    let root = ledger.head().hash;
    let swept = ledger.sweep(1, UnixNs(1_451), &is_held).unwrap();
    let expected = Swept {
        removed: Some((1, 400)),
        held_back: 100,
        next: None,
    };
    assert_eq!(swept, expected, "401 to 500 are not all over");
    say(&mut ledger, 1, &swept);
    drop(ledger);
    let report = check(folder.path()).unwrap();
    assert_eq!((report.records, report.withheld), (601, 600));
    assert_eq!((report.unsigned, report.streams), (0, 2));
    let all = Filter::default();
    let kept: Vec<u64> = (201..=300).chain(401..=601).collect();
    assert_eq!(found(folder.path(), &all), kept);
    // Nothing of it is found, nor lies on disk.
    let name = event_id("jump-1", Source::Priority { cpu: 0 }, 7);
    let reader = Reader::open(folder.path(), &tenant()).unwrap();
    assert!(reader.find(&name).unwrap().is_none());
    // The ledger goes on, knows what it had, and proves it.
    let mut ledger = signing(folder.path());
    let mut known = Intervals::default();
    let stream = Stream::from(&name);
    ledger.sequences(&stream, &mut known).unwrap();
    assert!(known.contains(7) && known.len() == 1);
    add(&mut ledger, 2_001);
    ledger.commit(UnixNs::MAX).unwrap();
    let evidence = Evidence::open(folder.path(), &tenant()).unwrap();
    let (leaf, proof) = evidence.inclusion(7, 602).unwrap();
    let proves = monitor_ledger::proof::proves_inclusion;
    assert!(proves(&proof.hashes, &leaf, 6, 602, &proof.root));
    let (last, _) = evidence.inclusion(600, 602).unwrap();
    assert_eq!(last, root);
    let entries = evidence.entries(99, 204).unwrap();
    let shown: Vec<bool> = entries.iter().map(|entry| entry.stored.is_some()).collect();
    assert_eq!(shown.iter().filter(|shown| **shown).count(), 100);
    let places: Vec<u64> = entries.iter().map(|entry| entry.position).collect();
    assert_eq!(places, (99..=302).collect::<Vec<_>>(), "without holes");
}

#[test]
fn content_that_is_gone_without_an_entry_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = scene(folder.path());
    ledger.sweep(1, UnixNs(1_151), &|_| false).unwrap();
    ledger.commit(UnixNs::MAX).unwrap();
    drop(ledger);
    let error = check(folder.path()).unwrap_err();
    let CheckError::Broken { fault, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((fault.first, fault.last), (1, 100), "{error}");
}

#[test]
fn an_entry_that_tells_of_a_removal_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = scene(folder.path());
    let swept = ledger.sweep(1, UnixNs(1_351), &|_| false).unwrap();
    assert_eq!(swept.removed, Some((1, 300)));
    say(&mut ledger, 1, &swept);
    let swept = ledger.sweep(1, UnixNs::MAX, &|_| false).unwrap();
    assert_eq!(swept.removed, Some((301, 600)));
    say(&mut ledger, 2, &swept);
    let swept = ledger.sweep(1, UnixNs::MAX, &|_| false).unwrap();
    assert_eq!(swept, Swept::default());
    drop(ledger);
    let report = check(folder.path()).unwrap();
    assert_eq!((report.records, report.withheld), (602, 1_200));
    assert_eq!(found(folder.path(), &Filter::default()), [601, 602]);
    let ledger = signing(folder.path());
    assert_eq!(ledger.head().position, 602);
}

#[test]
fn what_was_not_committed_was_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = scene(folder.path());
    ledger.sweep(1, UnixNs::MAX, &|_| false).unwrap();
    drop(ledger);
    assert_eq!(found(folder.path(), &Filter::default()).len(), 600);
    assert_eq!(check(folder.path()).unwrap().withheld, 0);
}

#[test]
fn removed_content_is_not_on_disk_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = scene(folder.path());
    let path = Ledger::path(folder.path(), &tenant());
    let connection = Connection::open(&path).unwrap();
    let content: Vec<u8> = connection
        .query_row("SELECT content FROM block WHERE first = 1", [], |row| {
            row.get(0)
        })
        .unwrap();
    let part = &content[content.len() / 2..content.len() / 2 + 48];
    let is_on_disk = || {
        std::fs::read_dir(folder.path().join("ledger"))
            .unwrap()
            .any(|file| {
                let bytes = std::fs::read(file.unwrap().path()).unwrap();
                bytes.windows(part.len()).any(|window| window == part)
            })
    };
    assert!(is_on_disk());
    let swept = ledger.sweep(1, UnixNs::MAX, &|_| false).unwrap();
    say(&mut ledger, 1, &swept);
    drop(ledger);
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    connection.query_row(checkpoint, [], |_| Ok(())).unwrap();
    drop(connection);
    assert!(!is_on_disk());
}
