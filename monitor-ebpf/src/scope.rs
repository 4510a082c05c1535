//! Whether a session's grants open a destination: asked before the first packet.
//!
//! In: a mark, an address and a port. Out: open, told, or refused, with the
//! table that says so. Bound: [`SCOPE_GRANTS_MAX`] look-ups. A session without
//! a row costs one look-up, a task without a session none.

use aya_ebpf::{btf_maps::lpm_trie::Key, helpers::generated::bpf_ktime_get_boot_ns};
use monitor_common::{
    Fault, SessionMark,
    scope::{
        GrantScope, SCOPE_GRANTED, SCOPE_GRANTS_MAX, SCOPE_NUMBER_BITS, SCOPE_OBSERVED, SCOPE_OPEN,
        SCOPE_RANGES_MAX, SCOPE_REFUSED, ScopeCell, ScopeLease,
    },
};

use crate::maps::{SCOPE_LEASE, SCOPES, SESSION_SCOPES, ScopedAddress, fault};

const ADDRESS_BITS: u32 = 128;
/// Bits of an answer.
const ANSWERS: u64 = 3;

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
    // One bit for each answer. It begins with a zero that the verifier cannot
    // know: of numbers that it knows it follows every way by itself.
    // SAFETY: a field of a map value.
    let zero = unsafe { &raw const (*row).reserved };
    // SAFETY: as above.
    let mut said = u64::from(unsafe { zero.read_volatile() });
    for at in 0..SCOPE_GRANTS_MAX {
        if at >= count {
            break;
        }
        // SAFETY: a field of a map value.
        let grants = unsafe { &raw const (*row).grants }.cast::<GrantScope>();
        // SAFETY: within its bounds.
        let grant = unsafe { grants.add(at) };
        // SAFETY: a part of it.
        let grant = unsafe { grant.read() };
        let Some(answer) = say(&grant, peer, port, now.unix_ns) else {
            fault(Fault::ScopeMissing);
            return open;
        };
        said |= 1 << (answer & ANSWERS);
    }
    let has = |answer: u8| said & (1 << answer) != 0;
    // Grants that open it are enough; tightened, none may be without.
    if (has(SCOPE_GRANTED) && !tightened) || has(SCOPE_OPEN) {
        return open;
    }
    if !has(SCOPE_OBSERVED) && !has(SCOPE_REFUSED) {
        return open;
    }
    Ruling {
        // SAFETY: a field of a map value.
        version: unsafe { (*row).version },
        refused: !has(SCOPE_OBSERVED),
        is_scoped: true,
    }
}

/// What one grant says; none where the kernel has no cell of it.
#[inline(always)]
fn say(grant: &GrantScope, addr: [u32; 4], port: u16, unix_ns: u64) -> Option<u64> {
    let scope = grant.scope;
    let address = ScopedAddress { scope, addr };
    let key = Key::new(SCOPE_NUMBER_BITS + ADDRESS_BITS, address);
    let answer = u64::from(of_port(SCOPES.get(&key)?, port));
    let holds = !is_before(unix_ns, grant.from_unix_ns) & is_before(unix_ns, grant.until_unix_ns);
    // All bits where it is opened by a grant that does not hold, else none.
    let is_granted = (answer & (answer >> 1) & 1).wrapping_neg();
    let is_over = is_granted & !holds;
    Some((answer & !is_over) | (u64::from(grant.over) & is_over))
}

/// All bits where one instant comes before another, else none; to 2 ns. Without
/// a branch, as below.
#[inline(always)]
fn is_before(one: u64, other: u64) -> u64 {
    (opaque((one >> 1).wrapping_sub(other >> 1)) >> 63).wrapping_neg()
}

/// The last range that begins at or before the port, by halving. Without a
/// branch: the verifier would follow each way through the halves by itself.
#[inline(always)]
fn of_port(cell: &ScopeCell, port: u16) -> u8 {
    const LAST: u64 = SCOPE_RANGES_MAX as u64 - 1;
    let first = (&raw const cell.first).cast::<u16>();
    let mut at = 0_u64;
    let mut half = SCOPE_RANGES_MAX as u64 / 2;
    while half > 0 {
        let middle = ((at + half) & LAST) as usize;
        // SAFETY: within the array, which the mask shows.
        let begins = unsafe { first.add(middle) };
        // SAFETY: a part of the cell.
        let begins = unsafe { begins.read_volatile() };
        // All bits where the range begins behind the port, else none.
        let behind = opaque(u64::from(port).wrapping_sub(u64::from(begins)));
        let behind = (behind >> 63).wrapping_neg();
        at = (at + (half & !behind)) & LAST;
        half /= 2;
    }
    let answer = (&raw const cell.answer).cast::<u8>();
    // SAFETY: within the array, which the mask shows.
    let answer = unsafe { answer.add((at & LAST) as usize) };
    // SAFETY: a part of the cell.
    unsafe { answer.read_volatile() }
}

/// The same number, of which the compiler knows nothing: it would make a branch
/// of what is computed with it.
#[inline(always)]
fn opaque(number: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    let number = {
        let mut same = number;
        // SAFETY: a move of a register to itself.
        unsafe { core::arch::asm!("{0} = {0}", inout(reg) same, options(pure, nomem, nostack)) };
        same
    };
    number
}
