//! Floods: one process does the same to one watched file over and over.
//!
//! In: who acts, on what, how. Out: the way in which it is told. The first
//! [`ONE_FILE`] of a second go to the priority ring; the next ones to that half of
//! the bulk ring which births and ends of processes leave; what is more, or finds
//! no room, is counted ([`crate::sums`]) and told as one record. So who floods
//! hides nothing else: neither another's acts, nor another file or another act
//! of its own; and nobody waits behind a flood. Many processes of one session are
//! counted together, too. Bound: [`FLOODS_MAX`] acts of processes are watched at a
//! time; the one that was quiet longest is forgotten, and its next acts are told
//! one by one again. Loss: where no sum can be made, a number is used up and counted
//! as dropped.

use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use monitor_common::Ring;

use crate::{
    atomic::Number,
    credential::{Act, Actor, Subject},
    maps::FLOODS,
    sink,
    sums::{self, Counted},
    task,
    watch::{self, Hit},
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

/// How an act is told. One number, of which the verifier knows nothing: else it
/// would follow all that comes behind once for each way.
#[derive(Clone, Copy)]
pub struct Way(u32);

impl Way {
    const PRIORITY: u32 = 0;
    const BULK: u32 = 1;
    const TOLD: u32 = 2;
    /// From here on: the place of a sum that begins with this act.
    const SUM: u32 = 3;

    /// Whether there is nothing more to be done.
    #[inline(always)]
    pub const fn is_told(self) -> bool {
        self.0 == Self::TOLD
    }

    /// The ring whose number is used up if the act cannot be told.
    #[inline(always)]
    pub const fn ring(self) -> Ring {
        if self.0 == Self::PRIORITY {
            Ring::Priority
        } else {
            Ring::Bulk
        }
    }

    /// The place of the sum that the record is for.
    #[inline(always)]
    pub const fn sum(self) -> Option<u32> {
        self.0.checked_sub(Self::SUM)
    }
}

/// How an act on a file is told. Who is given the place of a sum must keep a record
/// there, or give it up.
#[inline(always)]
pub fn way(actor: &Actor, subject: Subject, hit: &Hit, act: &Act) -> Way {
    // SAFETY: the helper has no precondition.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let file = sums::file_of(subject);
    let way = match ring(actor, now >> SECOND_BITS, file.inode, act) {
        Some(Ring::Priority) => Way::PRIORITY,
        Some(Ring::Bulk) => Way::BULK,
        None => match sums::count(&sums::key(actor, &file, hit, act), now) {
            Counted::Added => Way::TOLD,
            Counted::Begun(place) => place + Way::SUM,
            Counted::NoRoom => {
                sink::lost(Ring::Bulk);
                Way::TOLD
            }
        },
    };
    Way(watch::launder(way))
}

/// The ring that tells of an act on a file; none, which is counted.
#[inline(always)]
fn ring(actor: &Actor, second: u64, inode: u64, act: &Act) -> Option<Ring> {
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
