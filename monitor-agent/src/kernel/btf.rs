//! A reader of the kernel's BTF: where a field lies, by name.
//!
//! In: BTF bytes, in the byte order of this machine. Out: offsets and sizes.
//! Bound: the bytes; nothing is copied but one number a type. Any bytes give an
//! answer or an error, never a panic. The format: Linux,
//! Documentation/bpf/btf.rst.

use std::{fs, io, path::Path};

/// `btf_header.magic`.
const MAGIC: u16 = 0xEB9F;
/// Deepest nesting of anonymous members and chain of qualifiers that is followed.
const DEPTH_MAX: u32 = 32;

/// Kinds that this reader looks into; the others it only steps over.
mod kind {
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const POINTER: u32 = 2;
    pub(super) const FUNCTION: u32 = 12;
    pub(super) const PROTOTYPE: u32 = 13;
}

/// Why bytes are not BTF.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    File(#[from] io::Error),
    /// It ends in the middle of something.
    #[error("ends in the middle of something, at byte {at}")]
    Short {
        /// Where.
        at: usize,
    },
    /// It begins with something else.
    #[error("begins with {found:#06x}, not with {MAGIC:#06x}")]
    Magic {
        /// What it begins with.
        found: u16,
    },
    /// The loader of kernel programs cannot read what this reader can.
    #[error("cannot be read by the loader of kernel programs")]
    Loader,
    /// A kind of type that is newer than this reader.
    #[error("holds a type of kind {kind}, which is newer than this reader")]
    Kind {
        /// The number.
        kind: u32,
    },
}

/// The types of a kernel.
#[derive(Debug)]
pub(super) struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Where each type begins; the first is type 1.
    types: Vec<usize>,
}

/// One type's fixed part.
#[derive(Clone, Copy, Debug)]
struct Head {
    name: u32,
    kind: u32,
    /// Members, parameters or values.
    entries: usize,
    /// Members hold a bit field's size in the upper byte of their offset.
    bit_fields: bool,
    /// Bytes, or the type that this one is made from.
    size_or_type: u32,
}

/// One member of a structure.
#[derive(Clone, Copy, Debug)]
struct Member {
    name: u32,
    kind_of: u32,
    offset_bits: u32,
}

impl Btf {
    /// Reads a file such as `/sys/kernel/btf/vmlinux`.
    pub(super) fn from_file(path: &Path) -> Result<Self, BtfError> {
        Self::parse(fs::read(path)?)
    }

    /// Finds where each type begins.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let short = |at| BtfError::Short { at };
        let magic = bytes
            .get(..2)
            .and_then(|two| two.try_into().ok())
            .map(u16::from_ne_bytes);
        match magic {
            Some(MAGIC) => {}
            Some(found) => return Err(BtfError::Magic { found }),
            None => return Err(short(0)),
        }
        let header = |at: usize| word(&bytes, at).ok_or(BtfError::Short { at });
        let base = header(4)?;
        let begin = base.saturating_add(header(8)?);
        let end = begin.saturating_add(header(12)?);
        let strings = base.saturating_add(header(16)?);
        let mut btf = Self {
            bytes,
            strings,
            types: Vec::new(),
        };
        let mut at = begin;
        while at < end {
            let head = btf.head_at(at).ok_or_else(|| short(at))?;
            let tail = head
                .tail_bytes()
                .ok_or(BtfError::Kind { kind: head.kind })?;
            btf.types.push(at);
            at = at.saturating_add(12).saturating_add(tail);
        }
        if at > btf.bytes.len() {
            Err(short(at))
        } else {
            Ok(btf)
        }
    }

    /// Size in bytes of a structure.
    pub(super) fn size_of(&self, structure: &str) -> Option<u32> {
        self.structure(structure).map(|(_, head)| head.size_or_type)
    }

    /// Offset in bytes of a field, through nested and anonymous structures:
    /// `f_path.mnt`. None when there is no such field, or it is a bit field
    /// that begins within a byte.
    pub(super) fn offset_of(&self, structure: &str, path: &str) -> Option<u32> {
        let (mut at, mut head) = self.structure(structure)?;
        let mut bits = 0_u32;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let (inner, member) = self.member(at, head, name, DEPTH_MAX)?;
            bits = bits.checked_add(inner)?;
            if names.peek().is_some() {
                (at, head) = self.composite(member.kind_of)?;
            }
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Which parameter of a function has this name, from 0.
    pub(super) fn parameter(&self, function: &str, name: &str) -> Option<u32> {
        let (_, head) = self.named(kind::FUNCTION, function)?;
        let (at, prototype) = self.type_of(head.size_or_type)?;
        let found = (0..prototype.entries).position(|index| {
            let place = at.checked_add(12 + index * 8);
            let offset = place.and_then(|place| word(&self.bytes, place));
            offset
                .and_then(|offset| u32::try_from(offset).ok())
                .is_some_and(|offset| self.is_named(offset, name))
        });
        found.and_then(|index| u32::try_from(index).ok())
    }

    /// How many arguments a tracepoint gives to its programs: one less than the
    /// function that `btf_trace_NAME` points to.
    pub(super) fn tracepoint_arguments(&self, event: &str) -> Option<u32> {
        let (_, typedef) = self.named(kind::TYPEDEF, &format!("btf_trace_{event}"))?;
        let (_, pointer) = self.type_of(typedef.size_or_type)?;
        if pointer.kind != kind::POINTER {
            return None;
        }
        let (_, prototype) = self.type_of(pointer.size_or_type)?;
        let parameters = u32::try_from(prototype.entries).ok()?;
        (prototype.kind == kind::PROTOTYPE)
            .then(|| parameters.checked_sub(1))
            .flatten()
    }

    fn type_of(&self, id: u32) -> Option<(usize, Head)> {
        let at = *self.types.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        Some((at, self.head_at(at)?))
    }

    fn named(&self, kind: u32, name: &str) -> Option<(usize, Head)> {
        self.types
            .iter()
            .filter_map(|&at| Some((at, self.head_at(at)?)))
            .find(|(_, head)| head.kind == kind && self.is_named(head.name, name))
    }

    fn structure(&self, name: &str) -> Option<(usize, Head)> {
        self.named(kind::STRUCT, name)
    }

    /// A member by name with its offset in bits; looks into anonymous members.
    fn member(&self, at: usize, head: Head, name: &str, depth: u32) -> Option<(u32, Member)> {
        let depth = depth.checked_sub(1)?;
        for index in 0..head.entries {
            let member = self.member_at(at, head, index)?;
            if self.is_named(member.name, name) {
                return Some((member.offset_bits, member));
            }
            if self.is_named(member.name, "")
                && let Some((inner_at, inner)) = self.composite(member.kind_of)
                && let Some((bits, found)) = self.member(inner_at, inner, name, depth)
            {
                return Some((member.offset_bits.checked_add(bits)?, found));
            }
        }
        None
    }

    /// The structure or union that a type is, behind typedefs and qualifiers.
    fn composite(&self, mut id: u32) -> Option<(usize, Head)> {
        for _ in 0..DEPTH_MAX {
            let at = *self.types.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
            let head = self.head_at(at)?;
            match head.kind {
                kind::STRUCT | kind::UNION => return Some((at, head)),
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::TYPE_TAG => {
                    id = head.size_or_type;
                }
                _ => return None,
            }
        }
        None
    }

    fn head_at(&self, at: usize) -> Option<Head> {
        let info = u32::try_from(word(&self.bytes, at.checked_add(4)?)?).ok()?;
        Some(Head {
            name: u32::try_from(word(&self.bytes, at)?).ok()?,
            kind: (info >> 24) & 0x1f,
            entries: usize::try_from(info & 0xffff).ok()?,
            bit_fields: info >> 31 == 1,
            size_or_type: u32::try_from(word(&self.bytes, at.checked_add(8)?)?).ok()?,
        })
    }

    fn member_at(&self, at: usize, head: Head, index: usize) -> Option<Member> {
        let at = at.checked_add(12)?.checked_add(index.checked_mul(12)?)?;
        let number = |at: usize| u32::try_from(word(&self.bytes, at)?).ok();
        let offset = number(at.checked_add(8)?)?;
        Some(Member {
            name: number(at)?,
            kind_of: number(at.checked_add(4)?)?,
            offset_bits: if head.bit_fields {
                offset & 0x00ff_ffff
            } else {
                offset
            },
        })
    }

    fn is_named(&self, name: u32, wanted: &str) -> bool {
        let begin = usize::try_from(name)
            .ok()
            .and_then(|name| self.strings.checked_add(name));
        let rest = begin
            .and_then(|begin| self.bytes.get(begin..))
            .and_then(|rest| rest.strip_prefix(wanted.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }
}

impl Head {
    /// Bytes behind the fixed part; none for a kind that is not known.
    fn tail_bytes(&self) -> Option<usize> {
        let each = |bytes: usize| self.entries.checked_mul(bytes);
        match self.kind {
            // Pointers, forward declarations, qualifiers, functions, floats.
            2 | 7..=12 | 16 | kind::TYPE_TAG => Some(0),
            // Integers, variables, declaration tags.
            1 | 14 | 17 => Some(4),
            // Arrays.
            3 => Some(12),
            // Structures, unions, data sections, 64-bit enumerations.
            kind::STRUCT | kind::UNION | 15 | 19 => each(12),
            // Enumerations, prototypes.
            6 | 13 => each(8),
            _ => None,
        }
    }
}

/// A 32-bit number at a place.
fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_ne_bytes(four.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn running() -> Option<Btf> {
        match Btf::from_file(Path::new("/sys/kernel/btf/vmlinux")) {
            Ok(btf) => Some(btf),
            Err(error) => {
                eprintln!("SKIPPED: this kernel's BTF {error}");
                None
            }
        }
    }

    #[test]
    fn fields_of_the_running_kernel_are_found() {
        let Some(btf) = running() else { return };
        assert!(btf.size_of("task_struct").unwrap() > 1_000);
        assert_eq!(btf.size_of("upid"), Some(16));
        // Named, nested, through a typedef, in an anonymous union, a bit field.
        assert!(btf.offset_of("task_struct", "pid").unwrap() > 0);
        let (mnt, dentry) = (
            btf.offset_of("path", "mnt"),
            btf.offset_of("path", "dentry"),
        );
        assert_eq!((mnt, dentry), (Some(0), Some(8)));
        assert!(btf.offset_of("sock", "__sk_common.skc_net.net").unwrap() > 0);
        assert!(btf.offset_of("inode", "i_nlink").is_some());
        assert_eq!(
            btf.offset_of("signal_struct", "live.counter"),
            btf.offset_of("signal_struct", "live")
        );
        assert_eq!(btf.parameter("security_file_open", "file"), Some(0));
        assert_eq!(btf.parameter("security_file_open", "no_such"), None);
        assert_eq!(btf.tracepoint_arguments("sys_exit"), Some(2));
        assert_eq!(btf.tracepoint_arguments("no_such"), None);
        for (structure, path) in [
            ("no_such", "x"),
            ("task_struct", "no_such"),
            ("task_struct", "pid.x"),
            ("path", ""),
        ] {
            assert_eq!(btf.offset_of(structure, path), None, "{structure}.{path}");
        }
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let Some(Btf { bytes, .. }) = running() else {
            return;
        };
        for length in [0, 1, 2, 10, 24, 25, bytes.len() / 2] {
            assert!(Btf::parse(bytes[..length].to_vec()).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_or_an_error(tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = vec![];
            bytes.extend(MAGIC.to_ne_bytes());
            bytes.extend([1, 0]);
            for number in [24_u32, 0, 200, 200, 90] {
                bytes.extend(number.to_ne_bytes());
            }
            bytes.extend(tail);
            if let Ok(btf) = Btf::parse(bytes) {
                let _ = (btf.size_of("a"), btf.offset_of("a", "b.c"));
            }
        }
    }
}
