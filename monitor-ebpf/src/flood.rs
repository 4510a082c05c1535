//! Floods: one process does the same to one watched file over and over.
//!
//! In: who acts, on what, how. Out: the ring that tells of it. The first
//! [`ONE_FILE`] of a second go to the priority ring; the next ones to that half of
//! the bulk ring which births and ends of processes leave; and of what is more,
//! or finds no room, a number is used up and counted as dropped. So who floods
//! hides nothing else: neither another's acts, nor another file or another act
//! of its own; and nobody waits behind a flood. Many processes of one session are
//! counted together, too. Bound: [`FLOODS_MAX`] acts of processes are counted at a time; the one that was quiet longest is forgotten.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use monitor_common::Ring;

use crate::{
    atomic::Number,
    credential::{Act, Actor},
    maps::FLOODS,
    sink, task,
};

/// Of one process: records of one act on one file in a second on the priority
/// ring, and on both.
const ONE_FILE: (u64, u64) = (32, 256);
/// Of one session: of all acts on all watched files.
const ALL_FILES: (u64, u64) = (8_192, 16_384);
/// Most entries of [`FLOODS`].
pub const FLOODS_MAX: usize = 16_384;
/// Nanoseconds to what is a second here.
const SECOND_BITS: u32 = 30;
const FMODE_WRITE: u32 = 2;

/// Who does what to which file.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FloodKey {
    /// A process; for all acts its session, where it is in one.
    who: [u8; 16],
    /// 0 stands for all.
    inode: u64,
    /// 0 stands for all; else the operation, and whether it writes.
    act: u64,
}

/// How much of it there was.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Flood {
    second: u64,
    count: u64,
}

/// The ring that tells of an act on a file; none, whose number is used up.
#[inline(always)]
pub fn ring(actor: &Actor, inode: u64, act: &Act) -> Option<Ring> {
    // SAFETY: the helper has no precondition.
    let second = unsafe { bpf_ktime_get_boot_ns() } >> SECOND_BITS;
    let process = process(actor);
    let writes = u64::from(act.open_mode & FMODE_WRITE != 0);
    let this = FloodKey {
        who: process,
        inode,
        act: u64::from(act.operation.0) | writes << 32,
    };
    let all = FloodKey {
        who: if actor.session.is_none() {
            process
        } else {
            actor.session.0
        },
        inode: 0,
        act: 0,
    };
    let (this, all) = (before(this, second), before(all, second));
    if this < ONE_FILE.0 && all < ALL_FILES.0 {
        Some(Ring::Priority)
    } else if this < ONE_FILE.1 && all < ALL_FILES.1 && sink::has_room_for_flood() {
        Some(Ring::Bulk)
    } else {
        sink::lost(Ring::Bulk);
        None
    }
}

#[inline(always)]
fn process(actor: &Actor) -> [u8; 16] {
    // SAFETY: it is the current task.
    let start = unsafe { task::start_boot_ns(actor.task) };
    // SAFETY: as above.
    let pid = unsafe { task::process_id(actor.task) };
    (u128::from(start) << 64 | u128::from(pid)).to_ne_bytes()
}

/// Counts one; how many there were in this second before it. Processors that begin
/// a second at the same time may count a few less.
#[inline(always)]
fn before(key: FloodKey, second: u64) -> u64 {
    let Some(flood) = FLOODS.get_ptr_mut(key) else {
        // One that finds no room is counted from its next act on.
        let _ = FLOODS.insert(key, Flood { second, count: 1 }, 0);
        return 0;
    };
    let numbers: *mut u64 = flood.cast();
    // SAFETY: the first field of a map value.
    let since = unsafe { Number::at(numbers) };
    // SAFETY: the second.
    let count = unsafe { Number::at(numbers.wrapping_add(1)) };
    if since.load() != second {
        since.store(second);
        count.store(1);
        return 0;
    }
    count.fetch_add(1)
}
