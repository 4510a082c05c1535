//! Records of the kernel's rings.

use monitor_common::{Record, decode};
use zerocopy::IntoBytes as _;

/// A record is at an address that is a multiple of eight, as in a ring.
pub(crate) fn record(bytes: &[u8]) -> bool {
    let mut words = vec![0_u64; bytes.len().div_ceil(8)];
    let aligned = words.as_mut_bytes().get_mut(..bytes.len());
    let Some(aligned) = aligned else { return false };
    aligned.copy_from_slice(bytes);
    let Ok(record) = decode(aligned) else {
        return false;
    };
    let mut spelled = 0_usize;
    let mut spell = |piece: &[u8]| spelled = spelled.saturating_add(piece.len());
    match record {
        Record::Exec { path, .. } => path.spell(&mut spell),
        Record::Credential { path, other, .. } => {
            path.spell(&mut spell);
            other.spell(&mut spell);
        }
        Record::HostChange { .. }
        | Record::Fork(_)
        | Record::Exit(_)
        | Record::Connect(_)
        | Record::LocalConnect(_)
        | Record::Socket(_)
        | Record::Memory(_)
        | Record::Identity(_)
        | Record::Signal(_)
        | Record::SessionEnded(_) => {}
    }
    assert!(
        usize::try_from(record.header().size) == Ok(bytes.len()),
        "a record of another size than it tells"
    );
    true
}
