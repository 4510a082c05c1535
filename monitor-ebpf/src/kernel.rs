//! Reading kernel memory at offsets that user space found.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel},
};

use crate::offsets::ABSENT;

/// A kernel object.
pub type Object = *const c_void;

/// The current task, as a pointer that the verifier knows the type of.
#[inline(always)]
pub fn current_task() -> Object {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_get_current_task_btf() }.cast()
}

/// Reads a field of an object that the verifier knows the type of: one load,
/// which gives zero where memory cannot be read.
///
/// # Safety
/// `object` must come from a context, a helper or another such load, and
/// `offset` must be that of a field of type `T`.
#[inline(always)]
pub unsafe fn load<T: Copy>(object: Object, offset: &Global<u32>) -> T {
    let field = object.wrapping_byte_add(offset.load() as usize).cast::<T>();
    // SAFETY: the verifier checks the access, and the kernel catches faults.
    unsafe { field.read_volatile() }
}

/// Reads a field of any object by the helper that catches faults.
#[inline(always)]
pub fn probe<T: Copy>(object: Object, offset: &Global<u32>) -> Option<T> {
    probe_at(object.wrapping_byte_add(offset.load() as usize))
}

/// Reads a value at any address by the helper that catches faults.
#[inline(always)]
pub fn probe_at<T: Copy>(address: Object) -> Option<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the destination is as long as told; the helper checks the source.
    let failed =
        unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address) };
    // SAFETY: `T` is `Copy` and an integer or pointer here; all bytes are set.
    (failed == 0).then(|| unsafe { value.assume_init() })
}

/// Whether this kernel has the field.
#[inline(always)]
pub fn has(offset: &Global<u32>) -> bool {
    offset.load() != ABSENT
}

/// Writes zeros, word by word: for more than a few bytes the compiler would call
/// a function, and Linux 6.1 judges programs with functions far more strictly
/// (it keeps every number exact, and so follows every path by itself).
///
/// # Safety
/// `to` must be aligned to 8, with `WORDS` words of room.
#[inline(always)]
pub unsafe fn zero<const WORDS: usize>(to: *mut u64) {
    for word in 0..WORDS {
        // SAFETY: the caller vouches for the room.
        unsafe { to.wrapping_add(word).write_volatile(0) };
    }
}
