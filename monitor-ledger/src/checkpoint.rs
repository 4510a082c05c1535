//! The tree's size and root, signed: `c2sp.org/tlog-checkpoint` in a `c2sp.org/signed-note`.
//!
//! ```text
//! monitor.example/acme
//! 4711
//! <root in base 64>
//!
//! — monitor.example/acme <signature>
//! ```

use base64::{Engine as _, engine::general_purpose::STANDARD};
use signed_note::{Note, NoteError, VerifierList};

use crate::{
    key::{LogSigner, VerifierKey},
    proof::Tree,
};

/// Largest checkpoint in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 65_536;

/// Why a text is no checkpoint to rely on.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It is no note, or not signed by the key.
    #[error("checkpoint: {0}")]
    Note(#[from] NoteError),
    /// It is a note, but no checkpoint.
    #[error(
        "checkpoint: line {line} is not {wanted}; give the file as it was handed out, all lines of it"
    )]
    Line {
        /// The line, from 1.
        line: usize,
        /// What it should be.
        wanted: &'static str,
    },
    /// It is of another log.
    #[error("checkpoint of {found:?}, not of {wanted:?}")]
    Origin {
        /// The log it is of.
        found: String,
        /// The log it should be of.
        wanted: String,
    },
}

/// A tree's size and root, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// The tree.
    pub tree: Tree,
}

impl Checkpoint {
    /// Reads a note without checking who signed it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn read(note: &[u8]) -> Result<Self, CheckpointError> {
        Self::of(&Note::from_bytes(note)?)
    }

    /// Reads a note that must be signed by this key, for the log of its name.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::from_bytes(note)?;
        note.verify(&VerifierList::new(vec![Box::new(key.verifier.clone())]))?;
        let checkpoint = Self::of(&note)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin {
                found: checkpoint.origin,
                wanted: key.name().to_owned(),
            });
        }
        Ok(checkpoint)
    }

    fn of(note: &Note) -> Result<Self, CheckpointError> {
        let wrong = |line, wanted| CheckpointError::Line { line, wanted };
        let text = std::str::from_utf8(note.text()).map_err(|_| wrong(1, "text"))?;
        let mut lines = text.lines();
        let origin = lines.next().filter(|origin| !origin.is_empty());
        let size = lines.next().and_then(|size| {
            // One way to write a number: no sign, no leading zeros.
            let number: u64 = size.parse().ok()?;
            (number.to_string() == size).then_some(number)
        });
        let root = lines.next().and_then(|root| {
            let bytes = STANDARD.decode(root).ok()?;
            <[u8; 32]>::try_from(bytes).ok()
        });
        Ok(Self {
            origin: origin.ok_or_else(|| wrong(1, "the log's name"))?.to_owned(),
            tree: Tree {
                size: size.ok_or_else(|| wrong(2, "the tree's size"))?,
                root: root.ok_or_else(|| wrong(3, "the root, 32 bytes in base 64"))?,
            },
        })
    }
}

/// Signs a tree.
///
/// # Errors
/// [`CheckpointError::Note`]: with an origin of ours, none.
pub fn sign(signer: &LogSigner, tree: &Tree) -> Result<Vec<u8>, CheckpointError> {
    let text = format!(
        "{}\n{}\n{}\n",
        signer.origin(),
        tree.size,
        STANDARD.encode(tree.root)
    );
    let mut note = Note::new(text.as_bytes(), &[])?;
    note.add_sigs(&[&signer.signer])?;
    Ok(note.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LogKey;

    fn signer(tenant: &str) -> LogSigner {
        LogKey::new("monitor.example", &[7; 32])
            .unwrap()
            .signer(tenant)
            .unwrap()
    }

    const TREE: Tree = Tree {
        size: 4_711,
        root: [5; 32],
    };

    #[test]
    fn a_signed_tree_is_read_here_and_by_another_implementation() {
        let signer = signer("acme");
        let note = sign(&signer, &TREE).unwrap();
        let ours = Checkpoint::open(&note, signer.verifier()).unwrap();
        assert_eq!(
            (ours.origin.as_str(), ours.tree),
            ("monitor.example/acme", TREE)
        );
        assert_eq!(Checkpoint::read(&note).unwrap(), ours);
        let text = Note::from_bytes(&note).unwrap();
        let theirs = tlog_tiles::checkpoint::Checkpoint::from_bytes(text.text()).unwrap();
        assert_eq!((theirs.size(), theirs.hash().0), (TREE.size, TREE.root));
        assert_eq!(theirs.origin(), ours.origin);
    }

    #[test]
    fn each_changed_byte_and_each_other_key_is_refused() {
        let note = sign(&signer("acme"), &TREE).unwrap();
        for place in 0..note.len() - 1 {
            let mut bent = note.clone();
            bent[place] ^= 1;
            assert!(
                Checkpoint::open(&bent, signer("acme").verifier()).is_err(),
                "byte {place}"
            );
        }
        assert!(Checkpoint::open(&note, signer("globex").verifier()).is_err());
        let other = LogKey::new("monitor.example", &[8; 32]).unwrap();
        assert!(Checkpoint::open(&note, other.signer("acme").unwrap().verifier()).is_err());
    }

    #[test]
    fn notes_that_are_no_checkpoints_say_which_line() {
        let signer = signer("acme");
        for (text, line) in [
            ("\n1\n\n", "line 1"),
            ("o\n01\n\n", "line 2"),
            ("o\n-1\n\n", "line 2"),
            ("o\n1\nAAAA\n", "line 3"),
            ("o\n1\n", "line 3"),
        ] {
            let mut note = Note::new(text.as_bytes(), &[]).unwrap();
            note.add_sigs(&[&signer.signer]).unwrap();
            let error = Checkpoint::read(&note.to_bytes()).unwrap_err().to_string();
            assert!(error.contains(line), "{text:?}: {error}");
        }
    }
}
