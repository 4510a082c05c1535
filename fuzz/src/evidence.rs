//! What is handed over as evidence, and what a witness is sent.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use monitor_ledger::{
    bundle::{Opened, Writer, check},
    check::Trust,
    checkpoint,
    key::{LogKey, LogSigner},
    leaf::{Blinding, Leaf, Parts},
    merkle::Frontier,
    proof::Tree,
    receipt::Receipt,
};
use monitor_witness::submission::Submission;
use tempfile::TempDir;

/// Records of the bundle: more than one level, and a tile that is not full.
const RECORDS: u64 = 5;

/// A bundle that is whole, and its files in the order of their paths.
struct Ground {
    folder: TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Ground {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.ok()?;
        write(folder.path())?;
        let mut files = Vec::new();
        gather(folder.path(), &mut files)?;
        files.sort();
        check(folder.path(), &Trust::default()).ok()?;
        Some(Self { folder, files })
    }

    /// Puts the bytes in the place of the file that the first byte names, and what
    /// was there back afterwards.
    fn checks(&self, place: u8, bytes: &[u8]) -> Option<bool> {
        let (path, whole) = self.files.get(usize::from(place) % self.files.len())?;
        fs::write(path, bytes).ok()?;
        let is_whole = check(self.folder.path(), &Trust::default()).is_ok();
        fs::write(path, whole).ok()?;
        Some(is_whole)
    }
}

/// The log of the bundle.
fn signer() -> Option<LogSigner> {
    let key = LogKey::new("fuzz.example", &[9; 32]).ok()?;
    key.signer("acme").ok()
}

fn write(folder: &Path) -> Option<()> {
    let (blinding, log) = (Blinding([3; 32]), signer()?);
    let leaf = |position| {
        let parts = Parts {
            stored_at_unix_ns: position,
            event: &[],
            judgement: &[],
        };
        Leaf::new(&blinding, position, parts)
    };
    let mut frontier = Frontier::default();
    for position in 1..=RECORDS {
        frontier.push(leaf(position).hash(), |_| {});
    }
    let tree = Tree {
        size: RECORDS,
        root: frontier.root(),
    };
    let mut writer = Writer::new(folder, "acme", tree).ok()?;
    for position in 1..=RECORDS {
        let (_, judgement) = blinding.at(position);
        let judgement = Opened {
            blind: &judgement,
            part: &[],
        };
        // What an event is made of is for other targets.
        writer.record(&leaf(position), None, Some(judgement)).ok()?;
    }
    let note = checkpoint::sign(&log, &tree).ok()?;
    writer.cosigned(&note).ok()?;
    writer.end(&note, log.verifier().as_str()).ok()
}

fn gather(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) -> Option<()> {
    for entry in fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() {
            gather(&path, files)?;
        } else {
            files.push((path.clone(), fs::read(&path).ok()?));
        }
    }
    Some(())
}

thread_local! {
    static GROUND: RefCell<Option<Ground>> = const { RefCell::new(None) };
}

/// One file of a bundle: what it holds, and that the others fit no more.
pub(crate) fn bundle(bytes: &[u8]) -> bool {
    let Some((place, bytes)) = bytes.split_first() else {
        return false;
    };
    GROUND.with_borrow_mut(|ground| {
        if ground.is_none() {
            *ground = Ground::new();
        }
        let checked = ground
            .as_ref()
            .and_then(|ground| ground.checks(*place, bytes));
        assert!(checked.is_some(), "the bundle's ground cannot be used");
        checked == Some(true)
    })
}

/// What a witness is sent.
pub(crate) fn submission(bytes: &[u8]) -> bool {
    // An answer to it is looked at by other targets.
    let Ok(submission) = Submission::read(bytes) else {
        return false;
    };
    let size = submission.checkpoint.tree.size;
    assert!(
        submission.check_order().is_ok() == (submission.old <= size),
        "{submission:?} goes on from what comes later"
    );
    let _ = Receipt::open(&submission.note, &[]);
    true
}
