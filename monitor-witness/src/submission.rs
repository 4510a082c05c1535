//! What is sent to `add-checkpoint`, read.
//!
//! In: a request's body. Out: a [`Submission`]; nothing of it is believed yet.
//! Bound: the body's, which the server holds; [`PROOF_LINES_MAX`] hashes.
//!
//! ```text
//! old 20852014
//! <hash in base 64>          up to 63 lines
//!
//! <checkpoint with its signatures>
//! ```

use base64::{Engine as _, engine::general_purpose::STANDARD};
use monitor_ledger::{
    Hash,
    checkpoint::{Checkpoint, CheckpointError},
};

/// Most lines of a proof, as the protocol has it.
pub const PROOF_LINES_MAX: usize = 63;

/// A checkpoint, and the proof that it goes on from an older tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The size of the older tree.
    pub old: u64,
    /// The proof of consistency.
    pub proof: Vec<Hash>,
    /// The checkpoint, its signatures not checked.
    pub checkpoint: Checkpoint,
    /// The same as it was sent.
    pub note: Vec<u8>,
}

/// Why a body is no submission.
#[derive(Debug, thiserror::Error)]
pub enum SubmissionError {
    /// The first line is another.
    #[error("line 1 is not `old` and a size without leading zeros, as in: old 20852014")]
    Old,
    /// A line of the proof is none.
    #[error("line {line} is not a hash: 32 bytes in base 64")]
    Hash {
        /// The line, from 1.
        line: usize,
    },
    /// The proof is too long.
    #[error("the proof has more than {PROOF_LINES_MAX} lines")]
    Long,
    /// No empty line stands before the checkpoint.
    #[error("no empty line and checkpoint after the proof")]
    Short,
    /// What follows is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The older tree is larger.
    #[error("old is {old}, larger than the checkpoint's size, {size}")]
    Order {
        /// What the first line says.
        old: u64,
        /// The checkpoint's size.
        size: u64,
    },
}

impl Submission {
    /// Reads a body.
    ///
    /// # Errors
    /// [`SubmissionError`].
    pub fn read(body: &[u8]) -> Result<Self, SubmissionError> {
        let (first, mut rest) = line(body).ok_or(SubmissionError::Old)?;
        let old = size(first).ok_or(SubmissionError::Old)?;
        let mut proof = Vec::new();
        loop {
            let (text, after) = line(rest).ok_or(SubmissionError::Short)?;
            rest = after;
            if text.is_empty() {
                break;
            }
            if proof.len() == PROOF_LINES_MAX {
                return Err(SubmissionError::Long);
            }
            let hash = STANDARD.decode(text).ok();
            let hash = hash.and_then(|hash| Hash::try_from(hash).ok());
            let line = proof.len() + 2;
            proof.push(hash.ok_or(SubmissionError::Hash { line })?);
        }
        let checkpoint = Checkpoint::read(rest)?;
        Ok(Self {
            old,
            proof,
            checkpoint,
            note: rest.to_vec(),
        })
    }

    /// The size of the older tree is not beyond that of the checkpoint.
    ///
    /// # Errors
    /// [`SubmissionError::Order`].
    pub const fn check_order(&self) -> Result<(), SubmissionError> {
        let (old, size) = (self.old, self.checkpoint.tree.size);
        if old > size {
            return Err(SubmissionError::Order { old, size });
        }
        Ok(())
    }
}

/// A line without its end, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line, rest.strip_prefix(b"\n")?))
}

fn size(line: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(line.strip_prefix(b"old ")?).ok()?;
    let size: u64 = digits.parse().ok()?;
    // One way to write a number: no sign, no leading zeros.
    (size.to_string() == digits).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKPOINT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    const HASH: &str = "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n";

    fn told(body: &str) -> String {
        Submission::read(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        let body = format!("old 20852014\n{HASH}{HASH}\n{CHECKPOINT}");
        let read = Submission::read(body.as_bytes()).unwrap();
        assert_eq!((read.old, read.proof.len()), (20_852_014, 2));
        assert_eq!(read.checkpoint.origin, "example.com/behind-the-sofa");
        assert_eq!(read.checkpoint.tree.size, 20_852_163);
        assert_eq!(read.note, CHECKPOINT.as_bytes());
        read.check_order().unwrap();
        let body = format!("old 0\n\n{CHECKPOINT}");
        assert!(Submission::read(body.as_bytes()).unwrap().proof.is_empty());
        let body = format!("old 20852164\n\n{CHECKPOINT}");
        let late = Submission::read(body.as_bytes()).unwrap();
        assert!(late.check_order().is_err());
    }

    #[test]
    fn what_is_no_submission_is_told_with_its_line() {
        for old in ["", "old\n", "old 01\n", "old -1\n", "OLD 1\n", "old 1 \n"] {
            assert!(
                told(&format!("{old}\n\n{CHECKPOINT}")).contains("line 1"),
                "{old:?}"
            );
        }
        assert!(told(&format!("old 1\n{HASH}AAAA\n\n{CHECKPOINT}")).contains("line 3"));
        assert!(told("old 1\n").contains("no empty line"));
        assert!(told(&format!("old 1\n{CHECKPOINT}")).contains("line 2"));
        assert!(told("old 1\n\n").contains("checkpoint"));
        let many = HASH.repeat(PROOF_LINES_MAX + 1);
        assert!(told(&format!("old 1\n{many}\n{CHECKPOINT}")).contains("more than 63"));
        let most = HASH.repeat(PROOF_LINES_MAX);
        assert!(Submission::read(format!("old 1\n{most}\n{CHECKPOINT}").as_bytes()).is_ok());
    }

    #[test]
    fn no_cut_or_bent_body_is_a_panic() {
        let body = format!("old 20852014\n{HASH}\n{CHECKPOINT}");
        for place in 0..body.len() {
            let mut bent = body.clone().into_bytes();
            bent[place] ^= 0x55;
            _ = Submission::read(&bent);
            _ = Submission::read(&body.as_bytes()[..place]);
        }
    }
}
