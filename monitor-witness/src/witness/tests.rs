use std::path::Path;

use monitor_ledger::{
    Hash,
    checkpoint::sign,
    key::{LogKey, LogSigner},
    merkle::{fold, leaf_hash},
    proof::{self, Hashes, Missing},
};

use super::*;
use crate::{logs::Log, store::Beginning};

const NOW: UnixNs = UnixNs::from_seconds(1_790_000_000);

/// A log's leaves.
struct Leaves(Vec<Hash>);

impl Hashes for Leaves {
    type Error = Missing;

    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, Missing> {
        let width = 256usize.pow(u32::from(level));
        let groups = self.0.chunks_exact(width).map(|group| fold(group).unwrap());
        let (skip, take) = (first.try_into().unwrap(), count.try_into().unwrap());
        Ok(groups.skip(skip).take(take).collect())
    }
}

impl Leaves {
    fn new(text: &str, size: u64) -> Self {
        let leaf = |number| leaf_hash(format!("{text} {number}").as_bytes());
        Self((0..size).map(leaf).collect())
    }

    fn note(&self, size: u64) -> Vec<u8> {
        let root = proof::root(self, size).unwrap();
        sign(&signer("acme"), &Tree { size, root }).unwrap()
    }

    /// A body that says that the tree of one size goes on from another.
    fn body(&self, old: u64, size: u64) -> Vec<u8> {
        let path = proof::consistency(self, old, size).unwrap();
        body(old, &path, &self.note(size))
    }
}

fn body(old: u64, path: &[Hash], note: &[u8]) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut text = format!("old {old}\n");
    for hash in path {
        text += &STANDARD.encode(hash);
        text.push('\n');
    }
    text.push('\n');
    [text.as_bytes(), note].concat()
}

fn signer(tenant: &str) -> LogSigner {
    let key = LogKey::new("monitor.example", &[7; 32]).unwrap();
    key.signer(tenant).unwrap()
}

fn key() -> CosigningKey {
    CosigningKey::new("witness.example", &[9; 32]).unwrap()
}

fn witness(folder: &Path, beginning: Beginning, logs_max: u64) -> Witness {
    let logs = Logs(vec![Log {
        key: signer("acme").verifier().clone(),
        origin_prefix: Some("monitor.example/".to_owned()),
    }]);
    let store = Store::open(folder, beginning).unwrap();
    Witness::new(key(), logs, logs_max, store)
}

#[test]
fn what_goes_on_from_what_was_signed_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let witness = witness(folder.path(), Beginning::New, 10);
    let leaves = Leaves::new("a", 700);
    let mut old = 0;
    for size in [1, 2, 255, 256, 257, 257, 700] {
        let line = witness
            .add_checkpoint(&leaves.body(old, size), NOW)
            .unwrap();
        let note = leaves.note(size);
        let joined = cosignature::join(&note, &line, &key().verifier()).unwrap();
        let cosigned = cosignature::open(&joined, &key().verifier()).unwrap();
        assert_eq!(cosigned.checkpoint.tree.size, size);
        assert_eq!(cosigned.at_unix_s, 1_790_000_000);
        old = size;
    }
}

#[test]
fn another_size_is_told_that_which_was_signed() {
    let folder = tempfile::tempdir().unwrap();
    let witness = witness(folder.path(), Beginning::New, 10);
    let leaves = Leaves::new("a", 20);
    let told = |old, size| witness.add_checkpoint(&leaves.body(old, size), NOW);
    assert!(matches!(told(3, 5), Err(Refusal::Size { size: 0 })));
    told(0, 5).unwrap();
    assert!(matches!(told(0, 9), Err(Refusal::Size { size: 5 })));
    assert!(matches!(told(6, 9), Err(Refusal::Size { size: 5 })));
    // An older tree is not signed again.
    assert!(matches!(told(3, 4), Err(Refusal::Size { size: 5 })));
    assert!(matches!(
        witness.add_checkpoint(&body(9, &[], &leaves.note(5)), NOW),
        Err(Refusal::Malformed(SubmissionError::Order {
            old: 9,
            size: 5
        }))
    ));
    told(5, 9).unwrap();
}

#[test]
fn another_history_is_refused_and_kept_as_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let witness = witness(folder.path(), Beginning::New, 10);
    let (told, other) = (Leaves::new("told", 20), Leaves::new("other", 20));
    witness.add_checkpoint(&told.body(0, 7), NOW).unwrap();
    for (old, size) in [(7, 7), (0, 7), (3, 7)] {
        assert!(matches!(
            witness.add_checkpoint(&other.body(old, size), NOW),
            Err(Refusal::Root { size: 7 })
        ));
    }
    assert!(matches!(
        witness.add_checkpoint(&other.body(7, 12), NOW),
        Err(Refusal::Proof { old: 7, size: 12 })
    ));
    let empty = body(7, &[], &other.note(12));
    assert!(matches!(
        witness.add_checkpoint(&empty, NOW),
        Err(Refusal::Proof { .. })
    ));
    let store = witness.store.lock().unwrap();
    let kept = store.refused("monitor.example/acme").unwrap();
    assert_eq!(kept, [other.note(12), other.note(7)]);
    assert_eq!(store.known().unwrap()[0].tree.size, 7);
    drop(store);
    witness.add_checkpoint(&told.body(7, 12), NOW).unwrap();
}

#[test]
fn a_proof_where_none_belongs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let witness = witness(folder.path(), Beginning::New, 10);
    let leaves = Leaves::new("a", 5);
    let padded = body(0, &[[1; 32]], &leaves.note(5));
    assert!(matches!(
        witness.add_checkpoint(&padded, NOW),
        Err(Refusal::Proof { old: 0, size: 5 })
    ));
    witness.add_checkpoint(&leaves.body(0, 5), NOW).unwrap();
    let padded = body(5, &[[1; 32]], &leaves.note(5));
    assert!(matches!(
        witness.add_checkpoint(&padded, NOW),
        Err(Refusal::Proof { .. })
    ));
}

#[test]
fn unknown_logs_and_strange_keys_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let witness = witness(folder.path(), Beginning::New, 2);
    let tree = Tree {
        size: 1,
        root: [1; 32],
    };
    let add = |signer: &LogSigner| {
        let note = sign(signer, &tree).unwrap();
        witness.add_checkpoint(&body(0, &[], &note), NOW)
    };
    let stranger = LogKey::new("monitor.example", &[8; 32]).unwrap();
    assert!(matches!(
        add(&stranger.signer("acme").unwrap()),
        Err(Refusal::Unsigned(_))
    ));
    let elsewhere = LogKey::new("other.example", &[7; 32]).unwrap();
    assert!(matches!(
        add(&elsewhere.signer("acme").unwrap()),
        Err(Refusal::Unknown { .. })
    ));
    add(&signer("acme")).unwrap();
    add(&signer("globex")).unwrap();
    assert!(matches!(
        add(&signer("initech")),
        Err(Refusal::Full { most: 2 })
    ));
}

#[test]
fn an_answer_that_was_lost_after_it_was_on_disk_is_had_again() {
    let folder = tempfile::tempdir().unwrap();
    let leaves = Leaves::new("a", 9);
    // The witness ends between the disk and the answer.
    let ended = witness(folder.path(), Beginning::New, 10);
    ended.add_checkpoint(&leaves.body(0, 5), NOW).unwrap();
    drop(ended);
    let again = witness(folder.path(), Beginning::GoesOn, 10);
    assert!(matches!(
        again.add_checkpoint(&leaves.body(0, 5), NOW),
        Err(Refusal::Size { size: 5 })
    ));
    again.add_checkpoint(&leaves.body(5, 5), NOW).unwrap();
    again.add_checkpoint(&leaves.body(5, 9), NOW).unwrap();
}
