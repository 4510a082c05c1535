//! Sees: all arguments of a program whose record has room for the first ones
//! only; makes their digest, which the record of the exec carries.
//! Misses: nothing known. Minimum kernel: 5.17 (`bpf_loop`). Cost: each exec one
//! comparison; long arguments some five instructions a byte.
//!
//! A program of its own, attached before that of exec: Linux 6.1 judges a
//! program that has functions far more strictly, and a loop is one.
//!
//! `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_loop, bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use monitor_common::{
    digest::{Digest, DigestKey},
    exec::{ARGV_BYTES_MAX, ARGV_DIGEST_BYTES_MAX},
};

use crate::switch::switched;
use crate::{
    kernel::{Object, load},
    maps::DIGESTS,
    offsets as at,
};

/// Set by the agent, before anything is loaded.
#[unsafe(no_mangle)]
pub static DIGEST_KEY: Global<[u64; 2]> = Global::new([0, 0]);

const CHUNK_WORDS: usize = 32;
const CHUNK_BYTES: u64 = CHUNK_WORDS as u64 * 8;
/// What a function that is looped over gives: go on, or end.
const GO_ON: i64 = 0;
const END: i64 = 1;

/// Where the digest is.
struct State {
    /// User memory.
    at: u64,
    digest: Digest,
    /// A page was not there.
    has_failed: u64,
}

switched!(argv_digest, "tp_btf", 0);

#[btf_tracepoint(function = "sched_process_exec")]
pub fn argv_digest(ctx: BtfTracePointContext) -> i32 {
    let current: Object = ctx.arg(0);
    // SAFETY: a field of a task.
    let mm: Object = unsafe { load(current, &at::TASK_MM) };
    // SAFETY: a field of a memory descriptor.
    let start: u64 = unsafe { load(mm, &at::MM_ARG_START) };
    // SAFETY: a field of a memory descriptor.
    let end: u64 = unsafe { load(mm, &at::MM_ARG_END) };
    let bytes = end.saturating_sub(start);
    if bytes <= ARGV_BYTES_MAX as u64 || bytes > ARGV_DIGEST_BYTES_MAX {
        return 0;
    }
    if let Some(digest) = of(start, bytes) {
        let bprm: Object = ctx.arg(2);
        // Full is impossible: the oldest gives way.
        let _ = DIGESTS.insert(bprm as u64, digest, 0);
    }
    0
}

/// The digest of user memory. The pages are there: execve has just written them,
/// and until it returns no other process may write to them.
#[inline(always)]
fn of(start: u64, bytes: u64) -> Option<u64> {
    let mut state = State {
        at: start,
        digest: Digest::new(DigestKey(DIGEST_KEY.load())),
        has_failed: 0,
    };
    let told: *mut c_void = (&raw mut state).cast();
    // SAFETY: the function takes such a state, which outlives the loop.
    unsafe { bpf_loop((bytes / CHUNK_BYTES) as u32, chunk as *mut c_void, told, 0) };
    let words = bytes % CHUNK_BYTES / 8;
    // SAFETY: as above.
    unsafe { bpf_loop(words as u32, word as *mut c_void, told, 0) };
    let mut rest = 0_u64;
    let rest_bytes = (bytes & 7) as u32;
    // SAFETY: less than eight bytes; the helper checks the source.
    let failed =
        unsafe { bpf_probe_read_user((&raw mut rest).cast(), rest_bytes, state.at as Object) };
    (failed == 0 && state.has_failed == 0).then(|| state.digest.finish(rest, bytes))
}

extern "C" fn chunk(_: u64, state: *mut State) -> i64 {
    // SAFETY: the loop gives the state that it was given.
    unsafe { take::<CHUNK_WORDS>(state) }
}

extern "C" fn word(_: u64, state: *mut State) -> i64 {
    // SAFETY: the loop gives the state that it was given.
    unsafe { take::<1>(state) }
}

/// # Safety
/// `state` must be a state.
#[inline(always)]
unsafe fn take<const WORDS: usize>(state: *mut State) -> i64 {
    // SAFETY: the caller vouches for it.
    let state = unsafe { &mut *state };
    let mut words = MaybeUninit::<[u64; WORDS]>::uninit();
    let bytes = size_of::<[u64; WORDS]>();
    // SAFETY: as many bytes of room; the helper checks the source.
    let failed =
        unsafe { bpf_probe_read_user(words.as_mut_ptr().cast(), bytes as u32, state.at as Object) };
    if failed != 0 {
        state.has_failed = 1;
        return END;
    }
    // SAFETY: the helper has written all of it.
    let words = unsafe { words.assume_init_ref() };
    let mut digest = state.digest;
    for word in words {
        digest.word(*word);
    }
    state.digest = digest;
    state.at += bytes as u64;
    GO_ON
}

/// The digest of the arguments of a program that is being started, once.
#[inline(always)]
pub fn take_digest(bprm: Object) -> Option<u64> {
    let digest = DIGESTS.get_ptr(bprm as u64)?;
    // SAFETY: a map value lives as long as the program.
    let digest = unsafe { digest.read() };
    let _ = DIGESTS.remove(bprm as u64);
    Some(digest)
}
