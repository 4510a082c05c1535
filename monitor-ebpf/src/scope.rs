//! Whether a session's grants open a destination: asked before the first packet.
//!
//! In: a mark, an address and a port. Out: open, told, or refused, with the
//! table that says so. Bound: [`SCOPE_GRANTS_MAX`] look-ups. A session without
//! a row costs one look-up, a task without a session none.

use aya_ebpf::{btf_maps::lpm_trie::Key, helpers::generated::bpf_ktime_get_boot_ns};
use monitor_common::{
    Fault, SessionMark,
    scope::{
        GrantScope, SCOPE_GRANTED, SCOPE_GRANTS_MAX, SCOPE_NUMBER_BITS, SCOPE_OPEN,
        SCOPE_RANGES_MAX, SCOPE_REFUSED, ScopeCell, ScopeLease,
    },
};

use crate::maps::{SCOPE_LEASE, SCOPES, SESSION_SCOPES, ScopedAddress, fault};

const ADDRESS_BITS: u32 = 128;

/// What is said of a connection.
#[derive(Clone, Copy)]
pub struct Ruling {
    /// The table that does not open it; 0 where it is open.
    pub version: u64,
    /// Whether it is refused.
    pub refused: bool,
    /// Whether the session has a table at all: what it says changes with time.
    pub is_scoped: bool,
}

impl Ruling {
    /// Nothing speaks against it.
    pub const OPEN: Self = Self {
        version: 0,
        refused: false,
        is_scoped: false,
    };
}

/// The time, and what holds of the tables at it.
#[derive(Clone, Copy)]
struct Now {
    unix_ns: u64,
    /// The collector is away longer than its lease.
    is_away: bool,
    when_away: u32,
}

#[inline(always)]
fn now() -> Option<Now> {
    let lease = SCOPE_LEASE.get_ptr(0)?;
    // SAFETY: a map value lives as long as the program.
    let lease = unsafe { lease.read_volatile() };
    // SAFETY: the helper has no precondition.
    let boot_ns = unsafe { bpf_ktime_get_boot_ns() };
    Some(Now {
        unix_ns: boot_ns.wrapping_add(lease.unix_minus_boot_ns),
        is_away: boot_ns >= lease.until_boot_ns,
        when_away: lease.when_away,
    })
}

/// Asks the tables of a session. `peer` is an IPv6 or IPv4-mapped address in
/// network byte order, `port` in host byte order.
#[inline(always)]
pub fn ask(session: SessionMark, peer: [u32; 4], port: u16) -> Ruling {
    let Some(row) = SESSION_SCOPES.get_ptr(session.0) else {
        return Ruling::OPEN;
    };
    let Some(now) = now() else {
        return Ruling::OPEN;
    };
    let open = Ruling {
        is_scoped: true,
        ..Ruling::OPEN
    };
    if now.is_away && now.when_away == ScopeLease::AWAY_RELEASE {
        return open;
    }
    let tightened = now.is_away && now.when_away == ScopeLease::AWAY_TIGHTEN;
    // SAFETY: a map value lives as long as the program.
    let count = unsafe { (*row).count } as usize;
    let (mut granted, mut weakest) = (false, SCOPE_GRANTED);
    for at in 0..SCOPE_GRANTS_MAX {
        if at >= count {
            break;
        }
        // SAFETY: a field of a map value, within its bounds.
        let grant = unsafe {
            (&raw const (*row).grants)
                .cast::<GrantScope>()
                .add(at)
                .read()
        };
        let said = say(&grant, peer, port, now.unix_ns);
        if said == SCOPE_GRANTED {
            granted = true;
        } else if said < weakest {
            weakest = said;
        }
    }
    // Grants that open it are enough; tightened, none may be without.
    let is_open = (granted && !tightened) || weakest == SCOPE_OPEN || weakest == SCOPE_GRANTED;
    if is_open {
        return open;
    }
    Ruling {
        // SAFETY: a field of a map value.
        version: unsafe { (*row).version },
        refused: weakest == SCOPE_REFUSED,
        is_scoped: true,
    }
}

/// What one grant says.
#[inline(always)]
fn say(grant: &GrantScope, addr: [u32; 4], port: u16, unix_ns: u64) -> u8 {
    let scope = grant.scope;
    let address = ScopedAddress { scope, addr };
    let key = Key::new(SCOPE_NUMBER_BITS + ADDRESS_BITS, address);
    let Some(cell) = SCOPES.get(&key) else {
        fault(Fault::ScopeMissing);
        return SCOPE_OPEN;
    };
    let answer = of_port(cell, port);
    let holds = grant.from_unix_ns <= unix_ns && unix_ns < grant.until_unix_ns;
    if answer == SCOPE_GRANTED && !holds {
        grant.over as u8
    } else {
        answer
    }
}

/// The last range that begins at or before the port, by halving.
#[inline(always)]
fn of_port(cell: &ScopeCell, port: u16) -> u8 {
    let first = (&raw const cell.first).cast::<u16>();
    let mut at = 0_usize;
    let mut half = SCOPE_RANGES_MAX / 2;
    while half > 0 {
        let middle = (at + half) & (SCOPE_RANGES_MAX - 1);
        // SAFETY: within the array, which the mask shows.
        if unsafe { first.add(middle).read_volatile() } <= port {
            at = middle;
        }
        half /= 2;
    }
    let answer = (&raw const cell.answer).cast::<u8>();
    // SAFETY: as above.
    unsafe { answer.add(at & (SCOPE_RANGES_MAX - 1)).read_volatile() }
}
