//! A broker's key revocation list, as it travels to hosts: its bytes are kept as
//! they are, and nothing here reads which keys are on it.
//!
//! The outside is OpenSSH's PROTOCOL.krl, version 1: a header with the list's
//! number, then sections, each with its length. Pure.

use serde::Serialize;

use crate::clock::UnixNs;

/// Length of the header of an empty list. sshd takes a file of no bytes for a
/// list that revokes nothing.
pub const HEADER_BYTES: usize = 44;
/// Most bytes of a list that is carried to hosts.
pub const LIST_BYTES_MAX: usize = 2 << 20;
/// `SSHKRL\n\0`.
const MAGIC: u64 = 0x5353_484b_524c_0a00;
const FORMAT_VERSION: u32 = 1;
/// A section of this type has a second part.
const SECTION_SIGNATURE: u8 = 4;

/// A list as the broker published it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    /// Its number, ascending; it stands in the bytes, too.
    pub number: u64,
    /// The file.
    pub bytes: Vec<u8>,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// When the broker put it in place for itself.
    pub published_at: UnixNs,
}

impl RevocationList {
    /// Checks that it is whole and is the one that it is told to be; `digest` is
    /// the SHA-256 of its bytes.
    ///
    /// # Errors
    /// [`InvalidList`].
    pub fn check(&self, digest: [u8; 32]) -> Result<(), InvalidList> {
        let found = number(&self.bytes)?;
        if found != self.number {
            let told = self.number;
            return Err(InvalidList::Number { told, found });
        }
        if digest != self.sha256 {
            return Err(InvalidList::Digest);
        }
        Ok(())
    }
}

/// The list that sshd reads on a host, as its agent tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListInPlace {
    /// Its number; none while the agent has put none in place.
    pub number: Option<u64>,
    /// Since when.
    pub at: UnixNs,
    /// Why a newer one could not be put in place; empty when nothing is wrong.
    pub problem: String,
}

/// Why bytes are no list that a host may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidList {
    /// Too short or too long.
    #[error("it has {bytes} bytes; a list that is carried has {HEADER_BYTES} to {LIST_BYTES_MAX}")]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// Not OpenSSH's format.
    #[error("it is no key revocation list of OpenSSH, format version 1")]
    Format,
    /// It ends too early or too late.
    #[error("it is cut off, or something follows it")]
    Cut,
    /// The number beside it is another.
    #[error("it is told as number {told}, and says of itself that it is number {found}")]
    Number {
        /// What was told.
        told: u64,
        /// What stands in it.
        found: u64,
    },
    /// The digest beside it is another's.
    #[error("its SHA-256 is not the one that was told: it was changed on the way")]
    Digest,
}

/// The number of a list, when its outside is whole.
///
/// # Errors
/// [`InvalidList`].
pub fn number(list: &[u8]) -> Result<u64, InvalidList> {
    if !(HEADER_BYTES..=LIST_BYTES_MAX).contains(&list.len()) {
        return Err(InvalidList::Length { bytes: list.len() });
    }
    let mut rest = list;
    let magic = take(&mut rest).map(u64::from_be_bytes);
    let version = take(&mut rest).map(u32::from_be_bytes);
    if magic != Some(MAGIC) || version != Some(FORMAT_VERSION) {
        return Err(InvalidList::Format);
    }
    let number = take(&mut rest).map(u64::from_be_bytes);
    let number = number.ok_or(InvalidList::Cut)?;
    // When it was made, and flags.
    take::<16>(&mut rest).ok_or(InvalidList::Cut)?;
    // Reserved, and the comment.
    text(&mut rest)?;
    text(&mut rest)?;
    while let Some((&section, after)) = rest.split_first() {
        rest = after;
        text(&mut rest)?;
        if section == SECTION_SIGNATURE {
            text(&mut rest)?;
        }
    }
    Ok(number)
}

/// Passes over a string: its length in four bytes, and as many bytes.
fn text(rest: &mut &[u8]) -> Result<(), InvalidList> {
    let length = take(rest).map(u32::from_be_bytes).ok_or(InvalidList::Cut)?;
    let length = usize::try_from(length).map_err(|_| InvalidList::Cut)?;
    *rest = rest.get(length..).ok_or(InvalidList::Cut)?;
    Ok(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(number: u64, sections: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        bytes.extend(FORMAT_VERSION.to_be_bytes());
        bytes.extend(number.to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend([0; 4]);
        bytes.extend([0, 0, 0, 2]);
        bytes.extend(b"us");
        bytes.extend(sections);
        bytes
    }

    #[test]
    fn a_whole_list_says_its_number_and_a_broken_one_what_is_wrong() {
        assert_eq!(number(&list(7, &[])), Ok(7));
        assert_eq!(number(&list(u64::MAX, &[1, 0, 0, 0, 1, 9])), Ok(u64::MAX));
        let signed = [4, 0, 0, 0, 1, 9, 0, 0, 0, 1, 9];
        assert_eq!(number(&list(7, &signed)), Ok(7));
        let whole = list(7, &[1, 0, 0, 0, 1, 9]);
        for end in HEADER_BYTES..whole.len() {
            let cut = number(whole.get(..end).unwrap());
            assert!(end == 46 || cut == Err(InvalidList::Cut), "{end}: {cut:?}");
        }
        assert_eq!(number(&[]), Err(InvalidList::Length { bytes: 0 }));
        assert_eq!(number(&[0; 44]), Err(InvalidList::Format));
        let long = list(7, &vec![0; LIST_BYTES_MAX]);
        assert!(matches!(number(&long), Err(InvalidList::Length { .. })));
    }

    #[test]
    fn a_list_that_is_not_what_it_is_told_to_be_is_found() {
        let told = RevocationList {
            number: 7,
            bytes: list(7, &[]),
            sha256: [1; 32],
            published_at: UnixNs(1),
        };
        assert_eq!(told.check([1; 32]), Ok(()));
        assert_eq!(told.check([2; 32]), Err(InvalidList::Digest));
        let other = RevocationList { number: 8, ..told };
        let wrong = InvalidList::Number { told: 8, found: 7 };
        assert_eq!(other.check([1; 32]), Err(wrong));
    }
}
