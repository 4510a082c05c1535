//! A witness's signature on a checkpoint: `c2sp.org/tlog-cosignature`, version 1.
//!
//! It says: of all trees of this log that I have seen, each the beginning of
//! the next, this is the largest, at this time. Keys have the texts of
//! [`crate::key`], with an algorithm of their own, so that a witness's key
//! signs no log and a log's key cosigns nothing.
//!
//! ```text
//! — witness.example <base 64: key id, time in seconds (8 bytes, big-endian), signature>
//! ```

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{
    SIGNATURE_LENGTH, Signature as Ed25519, Signer as _, SigningKey, VerifyingKey,
};
use signed_note::{Note, NoteError, Signature, Verifier, VerifierList};

use crate::{
    checkpoint::{CHECKPOINT_BYTES_MAX, Checkpoint, CheckpointError},
    key::{self, KeyError},
};

/// A timestamped signature of Ed25519, as signed notes number it.
const COSIGNATURE: u8 = 4;

/// The key of a witness. Its text is a secret.
#[derive(Clone)]
pub struct CosigningKey {
    name: String,
    signing: SigningKey,
}

impl fmt::Debug for CosigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CosigningKey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl CosigningKey {
    /// A key from 32 random bytes.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        key::check_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            signing: SigningKey::from_bytes(seed),
        })
    }

    /// Reads a key file, which must be its owner's alone (mode 0600 or less).
    ///
    /// # Errors
    /// [`KeyError`] names the file, or [`KeyError::WitnessText`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let text = key::read_secret(path)?;
        let (name, seed) = key::parse_secret(&text, COSIGNATURE).ok_or(KeyError::WitnessText)?;
        Self::new(&name, &seed)
    }

    /// Writes a new key file, mode 0600, on disk before this returns. A file
    /// that is there is left alone.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub fn store(&self, path: &Path) -> Result<(), KeyError> {
        let text = key::secret_text(&self.name, &self.signing, COSIGNATURE);
        key::write_secret(path, &text)
    }

    /// What its signatures are checked with.
    #[must_use]
    pub fn verifier(&self) -> WitnessKey {
        WitnessKey::new(&self.name, self.signing.verifying_key())
    }

    /// The signature line for a checkpoint's text (without signatures), at a
    /// time in seconds since 1970.
    ///
    /// # Errors
    /// [`NoteError`]: with a name of ours, none.
    pub fn cosign(&self, text: &[u8], at_unix_s: u64) -> Result<Vec<u8>, NoteError> {
        let signature = self.signing.sign(&message(text, at_unix_s)).to_bytes();
        let stamped = [at_unix_s.to_be_bytes().as_slice(), &signature].concat();
        let id = self.verifier().id;
        Ok(Signature::new(self.name.clone(), id, stamped)?.to_bytes())
    }
}

/// A key to check a witness's signatures with: no secret.
#[derive(Clone)]
pub struct WitnessKey {
    text: String,
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WitnessKey").field(&self.text).finish()
    }
}

impl PartialEq for WitnessKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for WitnessKey {}

impl WitnessKey {
    fn new(name: &str, key: VerifyingKey) -> Self {
        let tagged = key::tagged(COSIGNATURE, &key.to_bytes());
        let id = signed_note::key_id(name, &tagged);
        Self {
            text: format!("{name}+{id:08x}+{}", STANDARD.encode(tagged)),
            name: name.to_owned(),
            id,
            key,
        }
    }

    /// Reads a key's text, `NAME+ID+DATA`.
    ///
    /// # Errors
    /// [`KeyError::WitnessVerifier`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let read = || {
            let mut parts = text.splitn(3, '+');
            let (name, _, data) = (parts.next()?, parts.next()?, parts.next()?);
            let name = Some(name).filter(|name| signed_note::is_key_name_valid(name))?;
            let data = STANDARD.decode(data).ok()?;
            let bytes: [u8; 32] = data.strip_prefix(&[COSIGNATURE])?.try_into().ok()?;
            // One way to write a key: the id must be its own.
            let key = Self::new(name, VerifyingKey::from_bytes(&bytes).ok()?);
            (key.text == text).then_some(key)
        };
        read().ok_or(KeyError::WitnessVerifier)
    }

    /// `NAME+ID+DATA`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Verifier for WitnessKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk::<8>() else {
            return false;
        };
        let Ok(signature) = <&[u8; SIGNATURE_LENGTH]>::try_from(signature) else {
            return false;
        };
        let message = message(text, u64::from_be_bytes(*time));
        let signature = Ed25519::from_bytes(signature);
        self.key.verify_strict(&message, &signature).is_ok()
    }
}

/// A checkpoint that a witness signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// When it was signed by the witness's clock, in seconds since 1970.
    pub at_unix_s: u64,
}

/// Reads a note that must be signed by this witness. Whether the log signed it
/// is for [`Checkpoint::open`] to say.
///
/// # Errors
/// [`CheckpointError`].
pub fn open(note: &[u8], key: &WitnessKey) -> Result<Cosigned, CheckpointError> {
    let checkpoint = Checkpoint::read(note)?;
    let note = Note::from_bytes(note)?;
    let (signatures, _) = note.verify(&VerifierList::new(vec![Box::new(key.clone())]))?;
    let stamped = signatures.first().map(Signature::signature);
    let time = stamped.and_then(|stamped| stamped.split_first_chunk::<8>());
    let (time, _) = time.ok_or(NoteError::UnverifiedNote)?;
    Ok(Cosigned {
        checkpoint,
        at_unix_s: u64::from_be_bytes(*time),
    })
}

/// A checkpoint with a witness's answer under it. Of the lines, those of this
/// witness are taken, and no other.
///
/// # Errors
/// [`CheckpointError::Note`] when none of the lines is its signature on this checkpoint.
pub fn join(checkpoint: &[u8], lines: &[u8], key: &WitnessKey) -> Result<Vec<u8>, CheckpointError> {
    let answer = Note::from_bytes(&[checkpoint, lines].concat())?;
    let (signatures, _) = answer.verify(&VerifierList::new(vec![Box::new(key.clone())]))?;
    let mut joined = checkpoint.to_vec();
    joined.extend(signatures.iter().flat_map(Signature::to_bytes));
    Ok(joined)
}

/// Where the newest checkpoint that was cosigned lies: beside a ledger's file.
#[must_use]
pub fn beside(ledger: &Path) -> PathBuf {
    ledger.with_extension("cosigned")
}

/// Reads a cosigned checkpoint; none when there is no file.
///
/// # Errors
/// What the system says, or that it is larger than [`CHECKPOINT_BYTES_MAX`].
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let most = u64::try_from(CHECKPOINT_BYTES_MAX).unwrap_or(u64::MAX);
    let mut note = Vec::new();
    file.take(most + 1).read_to_end(&mut note)?;
    if note.len() > CHECKPOINT_BYTES_MAX {
        let what = format!("more than {CHECKPOINT_BYTES_MAX} bytes: no checkpoint");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Some(note))
}

/// The text of a note, without its signatures.
///
/// # Errors
/// [`CheckpointError::Note`].
pub fn text(note: &[u8]) -> Result<Vec<u8>, CheckpointError> {
    Ok(Note::from_bytes(note)?.text().to_vec())
}

fn message(text: &[u8], at_unix_s: u64) -> Vec<u8> {
    let header = format!("cosignature/v1\ntime {at_unix_s}\n");
    [header.as_bytes(), text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkpoint,
        key::{LogKey, LogSigner, VerifierKey},
        proof::Tree,
    };

    const TREE: Tree = Tree {
        size: 4_711,
        root: [5; 32],
    };

    fn signer() -> LogSigner {
        let key = LogKey::new("monitor.example", &[7; 32]).unwrap();
        key.signer("acme").unwrap()
    }

    fn witness(seed: u8) -> CosigningKey {
        CosigningKey::new("witness.example/w1", &[seed; 32]).unwrap()
    }

    #[test]
    fn a_cosigned_checkpoint_is_read_with_both_keys_and_with_no_others() {
        let (signer, witness) = (signer(), witness(9));
        let note = checkpoint::sign(&signer, &TREE).unwrap();
        let line = witness
            .cosign(&text(&note).unwrap(), 1_679_315_147)
            .unwrap();
        let joined = join(&note, &line, &witness.verifier()).unwrap();
        let cosigned = open(&joined, &witness.verifier()).unwrap();
        assert_eq!(
            (cosigned.checkpoint.tree, cosigned.at_unix_s),
            (TREE, 1_679_315_147)
        );
        assert_eq!(
            Checkpoint::open(&joined, signer.verifier()).unwrap(),
            cosigned.checkpoint
        );
        let other = super::tests::witness(8);
        assert!(open(&joined, &other.verifier()).is_err());
        assert!(open(&note, &witness.verifier()).is_err());
        // Lines of others are left out.
        let strange = other.cosign(&text(&note).unwrap(), 1).unwrap();
        let both = [strange.as_slice(), &line].concat();
        assert_eq!(join(&note, &both, &witness.verifier()).unwrap(), joined);
        assert!(join(&note, &strange, &witness.verifier()).is_err());
    }

    #[test]
    fn each_changed_byte_of_a_cosigned_checkpoint_is_refused() {
        let (signer, witness) = (signer(), witness(9));
        let note = checkpoint::sign(&signer, &TREE).unwrap();
        let line = witness
            .cosign(&text(&note).unwrap(), 1_679_315_147)
            .unwrap();
        let joined = [note.as_slice(), &line].concat();
        for place in 0..joined.len() - 1 {
            let mut bent = joined.clone();
            bent[place] ^= 1;
            let is_whole = open(&bent, &witness.verifier()).is_ok()
                && Checkpoint::open(&bent, signer.verifier()).is_ok();
            assert!(!is_whole, "byte {place}");
        }
    }

    /// The example of c2sp.org/tlog-cosignature: its message, signed by hand.
    #[test]
    fn the_message_is_that_of_the_specification() {
        let text =
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let message = format!("cosignature/v1\ntime 1679315147\n{text}");
        let witness = witness(9);
        let line = witness.cosign(text.as_bytes(), 1_679_315_147).unwrap();
        let line = String::from_utf8(line).unwrap();
        let data = line.trim_end().rsplit(' ').next().unwrap();
        let data = STANDARD.decode(data).unwrap();
        assert_eq!(data.len(), 4 + 8 + 64);
        let id = signed_note::key_id(
            "witness.example/w1",
            &[&[4], witness.signing.verifying_key().as_bytes().as_slice()].concat(),
        );
        assert_eq!(data[..4], id.to_be_bytes());
        assert_eq!(data[4..12], 1_679_315_147u64.to_be_bytes());
        let signature = Ed25519::from_slice(&data[12..]).unwrap();
        let key = witness.signing.verifying_key();
        key.verify_strict(message.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn keys_come_back_and_those_of_logs_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("witness.key");
        let key = witness(9);
        key.store(&path).unwrap();
        let loaded = CosigningKey::load(&path).unwrap();
        assert_eq!(loaded.verifier(), key.verifier());
        assert!(key.store(&path).is_err());
        let text = key.verifier().as_str().to_owned();
        assert_eq!(WitnessKey::parse(&text).unwrap(), key.verifier());
        assert!(VerifierKey::parse(&text).is_err());
        assert!(matches!(LogKey::load(&path), Err(KeyError::Text)));
        for wrong in [
            "",
            "a+b",
            signer().verifier().as_str(),
            &text.replace("w1", "w2"),
            &text[..text.len() - 4],
        ] {
            assert!(WitnessKey::parse(wrong).is_err(), "{wrong}");
        }
        let log = folder.path().join("ledger.key");
        let log_key = LogKey::new("monitor.example", &[7; 32]).unwrap();
        log_key.store(&log).unwrap();
        assert!(matches!(
            CosigningKey::load(&log),
            Err(KeyError::WitnessText)
        ));
    }
}
