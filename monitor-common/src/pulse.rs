//! The agent's own sign of life, as the probes saw it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    ABI_VERSION,
    header::{Header, Kind},
};

/// The agent sent [`Pulse::SIGNAL`] to itself, and a probe saw it. Its sequence
/// is 0: it uses up no number, and nothing of it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Pulse {
    /// The agent's thread that sent it.
    pub header: Header,
}

impl Pulse {
    /// `SIGURG` of signal(7): what nobody catches is ignored, and still seen.
    pub const SIGNAL: u32 = 23;

    /// The pulse that these bytes of a ring are; none where they are a record,
    /// or not whole. [`crate::decode()`] knows records only.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<&Self> {
        let pulse = Self::ref_from_bytes(bytes).ok()?;
        let header = &pulse.header;
        let is_whole = usize::try_from(header.size) == Ok(bytes.len());
        (header.kind == Kind::PULSE && header.abi == ABI_VERSION && is_whole).then_some(pulse)
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    #[test]
    fn a_pulse_is_told_from_records_and_from_parts_of_one() {
        let mut pulse = Pulse::new_zeroed();
        pulse.header.kind = Kind::PULSE;
        pulse.header.abi = ABI_VERSION;
        pulse.header.size = 120;
        assert_eq!(Pulse::of(pulse.as_bytes()), Some(&pulse));
        assert_eq!(Pulse::of(&pulse.as_bytes()[8..]), None);
        assert!(crate::decode(pulse.as_bytes()).is_err(), "no record");
        for change in [
            |header: &mut Header| header.kind = Kind::SIGNAL,
            |header: &mut Header| header.abi = ABI_VERSION + 1,
            |header: &mut Header| header.size = 128,
        ] {
            let mut other = pulse;
            change(&mut other.header);
            assert_eq!(Pulse::of(other.as_bytes()), None);
        }
    }
}
