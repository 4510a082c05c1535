//! Sequence numbers, rings, wake-ups, scratch memory.
//!
//! In: a record. Out: the same, numbered, in its ring. Bound: the ring. Loss:
//! the number is used up and `RingCounters::dropped` counts it. Pulses alone have
//! no number.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE},
    helpers::generated::{
        bpf_get_smp_processor_id, bpf_ringbuf_discard, bpf_ringbuf_output, bpf_ringbuf_query,
        bpf_ringbuf_reserve, bpf_ringbuf_submit,
    },
};
use monitor_common::{
    Credential, Exec, Fault, Header, Kind, Pulse, Ring, SessionMark,
    exec::{ARGV_BYTES_MAX, GIVEN_BYTES_MAX, INTERPRETER_BYTES_MAX},
    file::{COMPONENT_BYTES_MAX, PATH_BYTES_MAX},
    ring::RingWake,
};

use crate::{
    atomic::Number,
    kernel::Object,
    maps::{BULK, PRIORITY, RING_COUNTERS, RING_WAKE, SCRATCH, SCRATCHES, fault},
    task,
};

const FIXED_BYTES: usize = if size_of::<Exec>() > size_of::<Credential>() {
    size_of::<Exec>()
} else {
    size_of::<Credential>()
};
/// What the kernel puts before each record of a ring, and rounds it up to.
const RECORD_HEADER_BYTES: u64 = 16;
/// Bytes of a path while it is walked: its last component may stick out.
pub const PATH_ROOM: usize = PATH_BYTES_MAX + COMPONENT_BYTES_MAX;
/// Most bytes of a record.
pub const RECORD_BYTES_MAX: usize =
    FIXED_BYTES + PATH_ROOM + ARGV_BYTES_MAX + GIVEN_BYTES_MAX + INTERPRETER_BYTES_MAX;

/// A buffer in which a record of unknown length is made.
#[repr(C)]
pub struct Scratch {
    /// 1 while a program uses it.
    busy: u64,
    record: [u8; RECORD_BYTES_MAX],
}

impl Scratch {
    /// Takes a buffer of this processor. `None` is counted as a lost record.
    #[inline(always)]
    pub fn take(ring: Ring) -> Option<*mut Self> {
        for index in 0..SCRATCHES as u32 {
            let Some(scratch) = SCRATCH.get_ptr_mut(index) else {
                continue;
            };
            // SAFETY: a map value; `busy` is its first field.
            if unsafe { Number::at(scratch.cast()) }.swap(1) == 0 {
                return Some(scratch);
            }
        }
        lost(ring);
        fault(Fault::ScratchBusy);
        None
    }

    /// Gives the buffer back.
    ///
    /// # Safety
    /// `scratch` must come from [`Scratch::take`] and not be used afterwards.
    #[inline(always)]
    pub unsafe fn release(scratch: *mut Self) {
        // SAFETY: a map value; `busy` is its first field.
        unsafe { Number::at(scratch.cast()) }.store(0);
    }

    /// Where the record begins.
    #[inline(always)]
    pub fn record(scratch: *mut Self) -> *mut u8 {
        scratch
            .cast::<u8>()
            .wrapping_add(core::mem::offset_of!(Self, record))
    }
}

#[inline(always)]
fn map(ring: Ring) -> *mut c_void {
    match ring {
        Ring::Priority => ptr::from_ref(&PRIORITY).cast_mut().cast(),
        Ring::Bulk => ptr::from_ref(&BULK).cast_mut().cast(),
    }
}

/// Takes the next number of this processor and ring.
#[inline(always)]
fn number(ring: Ring) -> u64 {
    let Some(counters) = RING_COUNTERS.get_ptr_mut(u32::from(ring.number())) else {
        return 0;
    };
    // SAFETY: a map value; `produced` is its first field.
    unsafe { Number::at(counters.cast()) }.fetch_add(1) + 1
}

/// Counts the record of a number already taken as dropped.
#[inline(always)]
fn dropped(ring: Ring) {
    let Some(counters) = RING_COUNTERS.get_ptr_mut(u32::from(ring.number())) else {
        return;
    };
    // SAFETY: a map value; `dropped` is its second field.
    unsafe { Number::at(counters.cast::<u64>().wrapping_add(1)) }.fetch_add(1);
}

/// Whether a flood may be told: births and ends of processes have half of the
/// bulk ring to themselves.
#[inline(always)]
pub fn has_room_for_flood() -> bool {
    !half_full(Ring::Bulk)
}

/// Whether a record of so many bytes has room in a ring now.
#[inline(always)]
pub fn has_room_for(ring: Ring, bytes: u64) -> bool {
    // SAFETY: a query of a ring has no precondition.
    let waiting = unsafe { bpf_ringbuf_query(map(ring), u64::from(BPF_RB_AVAIL_DATA)) };
    // SAFETY: as above.
    let size = unsafe { bpf_ringbuf_query(map(ring), u64::from(BPF_RB_RING_SIZE)) };
    waiting + RECORD_HEADER_BYTES + bytes <= size
}

/// Uses up a number for a record that could not be made, or is one too many.
#[inline(always)]
pub fn lost(ring: Ring) {
    number(ring);
    dropped(ring);
}

/// Writes what only the ring knows into a header; whether the record is urgent.
///
/// # Safety
/// `header` must point to a header in a map value or ring record.
#[inline(always)]
unsafe fn stamp(header: *mut Header, ring: Ring, bytes: u32) -> bool {
    // SAFETY: the caller vouches for `header`.
    let header = unsafe { &mut *header };
    header.size = bytes;
    header.ring = ring.number();
    // SAFETY: the helper has no precondition.
    header.cpu = unsafe { bpf_get_smp_processor_id() } as u16;
    header.sequence = number(ring);
    header.is_urgent()
}

/// Sends a record that was made in a buffer; whether it found room.
///
/// # Safety
/// `record` must begin a buffer whose first `bytes` bytes are written, in a map value.
#[inline(always)]
pub unsafe fn output(ring: Ring, record: *mut u8, bytes: usize) -> bool {
    if bytes > RECORD_BYTES_MAX {
        lost(ring);
        return false;
    }
    // SAFETY: a record begins with its header.
    let urgent = unsafe { stamp(record.cast(), ring, bytes as u32) } && ring == Ring::Priority;
    let flags = wake_flags(ring, urgent);
    // SAFETY: the verifier checks that `bytes` lie in the buffer.
    let failed = unsafe { bpf_ringbuf_output(map(ring), record.cast(), bytes as u64, flags) } < 0;
    if failed {
        dropped(ring);
    }
    wake_late(ring, urgent, flags);
    !failed
}

/// Makes room for a record of fixed size; `None` is counted as dropped.
/// Every record taken must be given to [`submit`].
#[inline(always)]
pub fn reserve<T>(ring: Ring) -> Option<*mut T> {
    // SAFETY: the verifier sees that the record is submitted.
    let record = unsafe { bpf_ringbuf_reserve(map(ring), size_of::<T>() as u64, 0) };
    if record.is_null() {
        lost(ring);
        return None;
    }
    Some(record.cast())
}

/// Sends a pulse, which has no number: a sign of life is neither missed nor
/// stored. One that finds no room is not there.
///
/// # Safety
/// `task` must be the current task.
#[inline(always)]
pub unsafe fn pulse(task: Object) {
    let ring = Ring::Priority;
    // SAFETY: the record is submitted below.
    let record = unsafe { bpf_ringbuf_reserve(map(ring), size_of::<Pulse>() as u64, 0) };
    if record.is_null() {
        return;
    }
    let header: *mut Header = record.cast();
    // SAFETY: a pulse is a header; the caller vouches for the task.
    unsafe { task::fill(header, Kind::PULSE, task, SessionMark::NONE) };
    // SAFETY: it is ours until it is submitted.
    let filled = unsafe { &mut *header };
    filled.size = size_of::<Pulse>() as u32;
    filled.ring = ring.number();
    // SAFETY: the helper has no precondition.
    filled.cpu = unsafe { bpf_get_smp_processor_id() } as u16;
    filled.sequence = 0;
    let flags = wake_flags(ring, false);
    // SAFETY: the record comes from `bpf_ringbuf_reserve`.
    unsafe { bpf_ringbuf_submit(record, flags) };
    wake_late(ring, false, flags);
}

/// Sends a record from [`reserve`].
///
/// # Safety
/// `record` must come from [`reserve`], begin with a [`Header`], be wholly
/// written and not be used afterwards.
#[inline(always)]
pub unsafe fn submit<T>(ring: Ring, record: *mut T) {
    // SAFETY: the caller vouches that a header comes first.
    let urgent = unsafe { stamp(record.cast(), ring, size_of::<T>() as u32) };
    let flags = wake_flags(ring, urgent);
    // SAFETY: the record comes from `bpf_ringbuf_reserve`.
    unsafe { bpf_ringbuf_submit(record.cast(), flags) };
    wake_late(ring, urgent, flags);
}

/// Whether the reader waits and this record should wake it; if so, it counts
/// as woken from here on. One that sleeps is woken by anything on the priority
/// ring, one that lingers by what is urgent, both by a ring half full.
#[inline(always)]
fn take_wake(ring: Ring, urgent: bool) -> bool {
    let Some(wake) = RING_WAKE.get_ptr_mut(u32::from(ring.number())) else {
        return false;
    };
    // SAFETY: a map value; `state` is its first field.
    let state = unsafe { Number::at(wake.cast()) };
    let now = state.load();
    if now == RingWake::AWAKE {
        return false;
    }
    let sleeps = now == RingWake::ASLEEP && ring == Ring::Priority;
    if !sleeps && !urgent && !half_full(ring) {
        return false;
    }
    state.swap(RingWake::AWAKE) != RingWake::AWAKE
}

#[inline(always)]
fn half_full(ring: Ring) -> bool {
    // SAFETY: a query of a ring has no precondition.
    let waiting = unsafe { bpf_ringbuf_query(map(ring), u64::from(BPF_RB_AVAIL_DATA)) };
    // SAFETY: as above.
    let size = unsafe { bpf_ringbuf_query(map(ring), u64::from(BPF_RB_RING_SIZE)) };
    waiting >= size / 2
}

#[inline(always)]
fn wake_flags(ring: Ring, urgent: bool) -> u64 {
    u64::from(if take_wake(ring, urgent) {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    })
}

/// Wakes a reader that fell asleep between the choice of the flags and the
/// record's arrival: it had looked before the record was there.
#[inline(always)]
fn wake_late(ring: Ring, urgent: bool, flags: u64) {
    if flags == u64::from(BPF_RB_FORCE_WAKEUP) || !take_wake(ring, urgent) {
        return;
    }
    // SAFETY: the record is discarded at once, which wakes.
    let record = unsafe { bpf_ringbuf_reserve(map(ring), 8, 0) };
    if !record.is_null() {
        // SAFETY: the record comes from `bpf_ringbuf_reserve`.
        unsafe { bpf_ringbuf_discard(record, u64::from(BPF_RB_FORCE_WAKEUP)) };
    }
}
