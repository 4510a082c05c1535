//! Encryption at rest: what lies on disk says nothing without the key, and
//! everything else is as it was.

use monitor_ledger::{
    block::Opened,
    check::{CheckError, Trust, file},
    file::{Block, Content},
    seal::SealKey,
};

use super::*;

fn home(folder: &Path, key: u8) -> Home {
    Home::new(folder, Some(SealKey::new([key; 32])))
}

fn open(home: &Home) -> Result<Ledger, LedgerError> {
    Ledger::open(home, &tenant(), Some(log_key().signer("acme").unwrap()))
}

fn trust(key: Option<u8>) -> Trust {
    Trust {
        seal: key.map(|key| SealKey::new([key; 32])),
        ..Trust::default()
    }
}

/// The contents of blocks as the file has them.
fn contents(folder: &Path) -> Vec<Vec<u8>> {
    let connection = Connection::open(Ledger::path(folder, &tenant())).unwrap();
    let sql = format!("{} ORDER BY first", monitor_ledger::file::SELECT);
    let mut statement = connection.prepare(&sql).unwrap();
    let blocks = statement.query_map([], Block::of).unwrap();
    let content = |block: Block| match block.content {
        Content::Kept(content) => content,
        Content::Removed(_) => Vec::new(),
    };
    blocks.map(|block| content(block.unwrap())).collect()
}

/// Whether some file of the folder holds these bytes.
fn is_on_disk(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder.join("ledger"))
        .unwrap()
        .any(|file| {
            let all = std::fs::read(file.unwrap().path()).unwrap();
            all.windows(bytes.len()).any(|part| part == bytes)
        })
}

fn entries(home: &Home) -> u64 {
    let reader = Reader::open(home, &tenant()).unwrap();
    let span = Span {
        after: UnixNs(0),
        up_to: UnixNs::MAX,
        limit: 10_000,
    };
    let entries = reader.page(span, &Filter::default()).unwrap().0;
    u64::try_from(entries.len()).unwrap()
}

#[test]
fn a_sealed_ledger_says_nothing_without_its_key_and_all_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path(), 1);
    let mut ledger = open(&home).unwrap();
    (1..=300).for_each(|sequence| add(&mut ledger, sequence));
    ledger.commit(UnixNs::MAX).unwrap();
    drop(ledger);
    let kept = contents(folder.path());
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|content| Opened::new(content).is_err()));
    let path = Ledger::path(folder.path(), &tenant());
    let report = file::check(&path, "acme", &trust(Some(1))).unwrap();
    assert_eq!((report.records, report.unsigned), (300, 0));
    assert_eq!(entries(&home), 300);
    for key in [None, Some(2)] {
        let refused = file::check(&path, "acme", &trust(key));
        assert!(
            matches!(refused, Err(CheckError::Seal { .. })),
            "{refused:?}"
        );
    }
    let other = Home::new(folder.path(), Some(SealKey::new([2; 32])));
    for home in [Home::from(folder.path()), other] {
        let refused = open(&home).unwrap_err();
        assert!(matches!(refused, LedgerError::Seal { .. }), "{refused}");
    }
    let mut ledger = open(&home).unwrap();
    add(&mut ledger, 301);
    ledger.commit(UnixNs::MAX).unwrap();
    assert_eq!(entries(&home), 301);
}

#[test]
fn a_ledger_in_clear_is_sealed_when_there_is_a_key_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let head = {
        let mut ledger = signing(folder.path());
        (1..=600).for_each(|sequence| add(&mut ledger, sequence));
        ledger.commit(UnixNs::MAX).unwrap();
        ledger.head().clone()
    };
    let plain = contents(folder.path());
    assert!(plain.iter().all(|content| Opened::new(content).is_ok()));
    // A page of the file holds no whole content, but it does hold a part.
    let parts: Vec<&[u8]> = plain.iter().map(|content| &content[100..164]).collect();
    assert!(parts.iter().all(|part| is_on_disk(folder.path(), part)));
    let connection = Connection::open(Ledger::path(folder.path(), &tenant())).unwrap();
    let secret: String = connection
        .query_row("SELECT value FROM meta WHERE key = 'blinding'", [], |row| {
            row.get(0)
        })
        .unwrap();
    drop(connection);
    let home = home(folder.path(), 1);
    let ledger = open(&home).unwrap();
    assert_eq!(ledger.head(), &head, "the tree is the same");
    assert!(!parts.iter().any(|part| is_on_disk(folder.path(), part)));
    assert!(!is_on_disk(folder.path(), secret.as_bytes()));
    drop(ledger);
    let path = Ledger::path(folder.path(), &tenant());
    let report = file::check(&path, "acme", &trust(Some(1))).unwrap();
    assert_eq!((report.records, report.unsigned), (600, 0));
    assert_eq!(entries(&home), 600);
}

#[test]
fn blocks_that_change_places_do_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let home = home(folder.path(), 1);
    let mut ledger = open(&home).unwrap();
    for sequence in 1..=2 {
        add(&mut ledger, sequence);
        ledger.commit(UnixNs::MAX).unwrap();
    }
    drop(ledger);
    tamper(
        folder.path(),
        "UPDATE block SET content = (SELECT content FROM block WHERE first = 2) WHERE first = 1",
    );
    let error = open(&home).unwrap_err();
    assert!(error.to_string().contains("does not open"), "{error}");
    let path = Ledger::path(folder.path(), &tenant());
    let broken = file::check(&path, "acme", &trust(Some(1))).unwrap_err();
    assert!(broken.to_string().contains("does not open"), "{broken}");
}
