//! What sessions may reach, as tables that are asked before a first packet.
//!
//! User space compiles each grant into cells of `SCOPES`, under a number that
//! is used once; `SESSION_SCOPES` says under which numbers a mark stands;
//! `SCOPE_LEASE` until when all of it holds without the collector. User space
//! writes all three. A mark without a row may reach everything.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most cells, over all compiled grants.
pub const SCOPE_CELLS_MAX: usize = 65_536;
/// Most ranges of ports that a cell tells apart.
pub const SCOPE_RANGES_MAX: usize = 64;
/// Most grants under which one mark stands.
pub const SCOPE_GRANTS_MAX: usize = 8;
/// Most marks with a row: sessions and their jobs.
pub const SCOPED_MARKS_MAX: usize = 8_192;
/// Bits of [`ScopeKey::prefix_bits`] that stand for the number alone.
pub const SCOPE_NUMBER_BITS: u32 = 32;

/// Key of `SCOPES`, a table in which the longest prefix wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ScopeKey {
    /// Bits that count of what follows: [`SCOPE_NUMBER_BITS`] and those of the
    /// address.
    pub prefix_bits: u32,
    /// Number of the compiled grant.
    pub scope: u32,
    /// Network: IPv6, or IPv4-mapped IPv6; network byte order.
    pub addr: [u8; 16],
}

/// Value of `SCOPES`: what a grant says of a network, by ranges of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ScopeCell {
    /// First port of each range, ascending from 0, host byte order. A range
    /// ends before the next one begins. What is left over repeats 65535.
    pub first: [u16; SCOPE_RANGES_MAX],
    /// What is said of each range: the `SCOPE_` constants. What is left over
    /// repeats what is said of the last port.
    pub answer: [u8; SCOPE_RANGES_MAX],
}

/// Nothing is refused, and nothing told: everybody may, or it is switched off.
pub const SCOPE_OPEN: u8 = 0;
/// Not opened by the grant; it is told, and not refused.
pub const SCOPE_OBSERVED: u8 = 1;
/// Not opened by the grant, and refused.
pub const SCOPE_REFUSED: u8 = 2;
/// Opened by the grant, while it holds.
pub const SCOPE_GRANTED: u8 = 3;

impl ScopeCell {
    /// What is said of a port: one of the `SCOPE_` constants.
    #[must_use]
    pub fn of_port(&self, port: u16) -> u8 {
        let ranges = self.first.iter().zip(&self.answer);
        let fitting = ranges.take_while(|(first, _)| **first <= port);
        fitting.last().map_or(SCOPE_OPEN, |(_, answer)| *answer)
    }
}

/// One grant of a session.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct GrantScope {
    /// First instant at which it holds, nanoseconds since 1970.
    pub from_unix_ns: u64,
    /// First instant at which it holds no more.
    pub until_unix_ns: u64,
    /// Its number in [`ScopeKey::scope`].
    pub scope: u32,
    /// What it says, while it does not hold, of what it opens: one of
    /// [`SCOPE_OPEN`], [`SCOPE_OBSERVED`], [`SCOPE_REFUSED`].
    pub over: u32,
}

/// Value of `SESSION_SCOPES`, whose key is the mark.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SessionScopes {
    /// The collector's table that it comes from.
    pub version: u64,
    /// How many of `grants` count.
    pub count: u32,
    /// Zero.
    pub reserved: u32,
    /// The session's grants. One that opens a destination is enough.
    pub grants: [GrantScope; SCOPE_GRANTS_MAX],
}

/// The value of `SCOPE_LEASE`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct ScopeLease {
    /// Nanoseconds since boot; from then on the collector counts as away.
    pub until_boot_ns: u64,
    /// Unix time less time since boot, nanoseconds, two's complement.
    pub unix_minus_boot_ns: u64,
    /// What holds then: one of the `AWAY_` constants.
    pub when_away: u32,
    /// Zero.
    pub reserved: u32,
}

impl ScopeLease {
    /// The tables hold on.
    pub const AWAY_KEEP: u32 = 0;
    /// Only what every grant of a session opens.
    pub const AWAY_TIGHTEN: u32 = 1;
    /// Nothing is refused.
    pub const AWAY_RELEASE: u32 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_the_answer_of_its_range() {
        let mut cell = ScopeCell {
            first: [u16::MAX; SCOPE_RANGES_MAX],
            answer: [SCOPE_OBSERVED; SCOPE_RANGES_MAX],
        };
        cell.first[..3].copy_from_slice(&[0, 443, 444]);
        cell.answer[..3].copy_from_slice(&[SCOPE_REFUSED, SCOPE_GRANTED, SCOPE_OBSERVED]);
        let said = [0, 442, 443, 444, u16::MAX].map(|port| cell.of_port(port));
        let (no, yes, told) = (SCOPE_REFUSED, SCOPE_GRANTED, SCOPE_OBSERVED);
        assert_eq!(said, [no, no, yes, told, told]);
    }
}
