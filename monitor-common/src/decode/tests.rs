//! Any bytes give a record or an error.

extern crate std;

use std::{string::String, vec, vec::Vec};

use proptest::prelude::*;
use zerocopy::{FromZeros, IntoBytes};

use super::*;
use crate::file::PathTail;

/// Bytes at an address that is a multiple of eight.
struct Aligned {
    words: Vec<u64>,
    bytes: usize,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Self {
        let mut words = vec![0u64; bytes.len().div_ceil(8)];
        words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        Self {
            words,
            bytes: bytes.len(),
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.words.as_bytes()[..self.bytes]
    }
}

fn exec_bytes(path: &[u8], argv: &[u8]) -> Vec<u8> {
    let mut exec = Exec::new_zeroed();
    exec.header.kind = Kind::EXEC;
    exec.header.abi = ABI_VERSION;
    exec.path.bytes = u32::try_from(path.len()).unwrap();
    exec.argv_bytes = u32::try_from(argv.len()).unwrap();
    let size = size_of::<Exec>() + path.len() + argv.len();
    exec.header.size = u32::try_from(size).unwrap();
    let mut bytes = exec.as_bytes().to_vec();
    bytes.extend_from_slice(path);
    bytes.extend_from_slice(argv);
    bytes
}

fn spelled(path: PathLabel<'_>) -> String {
    let mut bytes = Vec::new();
    path.spell(|piece| bytes.extend_from_slice(piece));
    String::from_utf8(bytes).unwrap()
}

#[test]
fn exec_gives_path_and_arguments() {
    let bytes = Aligned::new(&exec_bytes(b"cat\0bin\0usr\0", b"cat\0x\0"));
    let Ok(Record::Exec { path, argv, .. }) = decode(bytes.bytes()) else {
        panic!("no exec")
    };
    assert_eq!(spelled(path), "/usr/bin/cat");
    assert_eq!(argv, b"cat\0x\0");
}

#[test]
fn path_that_lacks_its_root_says_so() {
    assert_eq!(
        spelled(PathLabel::new(b"c\0b\0", PathTail::TOO_DEEP)),
        "…/b/c"
    );
    assert_eq!(
        spelled(PathLabel::new(b"memfd:x\0", PathTail::DETACHED)),
        "memfd:x"
    );
    assert_eq!(spelled(PathLabel::new(b"", 0)), "/");
}

#[test]
fn tail_longer_than_the_record_is_refused() {
    let mut bytes = exec_bytes(b"cat\0", b"");
    let mut exec = Exec::read_from_prefix(&bytes).unwrap().0;
    exec.argv_bytes = 1;
    bytes[..size_of::<Exec>()].copy_from_slice(exec.as_bytes());
    assert_eq!(
        decode(Aligned::new(&bytes).bytes()),
        Err(DecodeError::Short {
            needed: 1,
            given: 0
        })
    );
}

#[test]
fn other_version_unknown_kind_and_wrong_size_are_told_apart() {
    let mut header = Header::new_zeroed();
    header.abi = ABI_VERSION;
    header.kind = Kind(999);
    header.size = 120;
    assert_eq!(
        decode(Aligned::new(header.as_bytes()).bytes()),
        Err(DecodeError::UnknownKind { kind: 999 })
    );
    header.size = 121;
    assert_eq!(
        decode(Aligned::new(header.as_bytes()).bytes()),
        Err(DecodeError::Size {
            told: 121,
            given: 120
        })
    );
    header.abi = ABI_VERSION + 1;
    assert_eq!(
        decode(Aligned::new(header.as_bytes()).bytes()),
        Err(DecodeError::Abi {
            told: ABI_VERSION + 1
        })
    );
}

#[test]
fn device_number_of_stat_becomes_the_kernels() {
    // makedev(254, 1) and makedev(0x12345, 0x6789a), as glibc encodes them.
    assert_eq!(crate::file::device_from_stat(0xfe01), 254 << 20 | 1);
    let device = (0x1_2345_u64 & 0xfff) << 8
        | (0x1_2345_u64 & !0xfff) << 32
        | 0x6_789a & 0xff
        | (0x6_789a & !0xff) << 12;
    assert_eq!(
        crate::file::device_from_stat(device),
        0x1_2345 << 20 | 0x6_789a
    );
}

proptest! {
    #[test]
    fn any_bytes_give_a_record_or_an_error(
        kind in 0u16..15,
        size in prop_oneof![Just(None), any::<u32>().prop_map(Some)],
        ring in 0u8..4,
        tail in proptest::collection::vec(any::<u8>(), 0..512),
        cut in 0usize..700,
    ) {
        let mut header = Header::new_zeroed();
        header.kind = Kind(kind);
        header.abi = ABI_VERSION;
        header.ring = ring;
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(&tail);
        bytes.truncate(cut);
        let told = size.unwrap_or(u32::try_from(bytes.len()).unwrap());
        if let Some(field) = bytes.get_mut(4..8) {
            field.copy_from_slice(&told.to_ne_bytes());
        }
        if let Ok(record) = decode(Aligned::new(&bytes).bytes()) {
            prop_assert_eq!(usize::try_from(record.header().size), Ok(bytes.len()));
            if let Record::Exec { path, .. } | Record::Credential { path, .. } | Record::HostChange { path, .. } = record {
                path.spell(|_| ());
            }
        }
    }

    #[test]
    fn pure_noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(Aligned::new(&bytes).bytes());
        let _ = decode(&bytes);
    }
}
