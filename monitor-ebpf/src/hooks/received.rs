//! Sees: descriptors of watched files that arrive over a socket (`SCM_RIGHTS`)
//! or by `pidfd_getfd`, where [`super::file_receive`] cannot be had. Which
//! descriptors arrived is read from the receiver's own message buffer; what
//! they are, from the kernel's table.
//! Misses: a receiver that changes its buffer before the hook looks; more than
//! one control message in a message; descriptors behind the 32nd of a recvmsg
//! (recvmmsg: the eighth of a message, the fourth message); 32-bit programs;
//! `io_uring`.
//! Minimum kernel: 5.12. Cost: paid only by these calls, and by the dispatcher.
//!
//! `TP_PROTO(struct pt_regs *regs, long ret)`

use core::mem::MaybeUninit;

use aya_ebpf::{
    helpers::generated::{bpf_get_current_pid_tgid, bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use monitor_common::Operation;

use super::{
    change_fd::argument,
    open::returned_descriptor,
    syscall::{is_ia32, number},
};
use crate::{
    credential::Act,
    kernel::Object,
    maps::{RECEIVED_AT, SYSCALL_PROGRAMS, SYSCALL_SLOTS},
};

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
/// Descriptors that are looked at in one call.
const PLACES: u32 = 32;
/// `sizeof(struct mmsghdr)`.
const MESSAGE_BYTES: usize = 64;

/// `struct user_msghdr`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Message {
    name: u64,
    name_bytes: u64,
    parts: u64,
    parts_count: u64,
    control: u64,
    control_bytes: u64,
    flags: u64,
}

/// `struct cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Control {
    bytes: u64,
    level: i32,
    kind: i32,
}

#[btf_tracepoint(function = "sys_exit")]
pub fn getfd_syscall(ctx: BtfTracePointContext) -> i32 {
    let regs: Object = ctx.arg(0);
    let returned: i64 = ctx.arg(1);
    if returned >= 0 {
        returned_descriptor(received(number(regs), returned as u32));
    }
    0
}

/// One message, of up to 32 descriptors.
#[btf_tracepoint(function = "sys_exit")]
pub fn recvmsg_syscall(ctx: BtfTracePointContext) -> i32 {
    look(&ctx, 1, PLACES)
}

/// Several messages, of up to 8 descriptors: the call returns how many.
#[btf_tracepoint(function = "sys_exit")]
pub fn recvmmsg_syscall(ctx: BtfTracePointContext) -> i32 {
    let returned: i64 = ctx.arg(1);
    look(&ctx, returned as u32, 8)
}

const fn received(syscall: u32, descriptor: u32) -> Act {
    Act {
        operation: Operation::RECEIVED,
        flags: 0,
        open_flags: 0,
        open_mode: 0,
        syscall,
        descriptor,
    }
}

/// What is at a place of a call's messages.
enum Place {
    Descriptor(u32),
    /// This message has no more.
    NextMessage,
    End,
}

/// Looks at one descriptor and begins anew for the next: a program has room for
/// one path, and a kernel for 33 such jumps.
#[inline(always)]
fn look(ctx: &BtfTracePointContext, messages: u32, each: u32) -> i32 {
    let regs: Object = ctx.arg(0);
    let returned: i64 = ctx.arg(1);
    if returned < 0 || is_ia32() {
        return 0;
    }
    // SAFETY: the helper has no precondition.
    let thread = unsafe { bpf_get_current_pid_tgid() };
    let at = match RECEIVED_AT.get_ptr(thread) {
        // SAFETY: a map value lives as long as the program.
        Some(at) => unsafe { *at as u32 },
        None => 0,
    };
    let next = match place(argument(regs, 1) as Object, messages, each, at) {
        Place::Descriptor(descriptor) => {
            returned_descriptor(received(number(regs), descriptor));
            at + 1
        }
        Place::NextMessage => (at / each + 1) * each,
        Place::End => PLACES,
    };
    if next < PLACES && RECEIVED_AT.insert(thread, u64::from(next), 0).is_ok() {
        jump(ctx, number(regs));
    }
    // The end, or no more jumps.
    if at != 0 || next < PLACES {
        let _ = RECEIVED_AT.remove(thread);
    }
    0
}

/// Begins anew; comes back only where that fails.
#[inline(always)]
fn jump(ctx: &BtfTracePointContext, syscall: u32) {
    if let Some(slot) = SYSCALL_SLOTS.get_ptr(syscall) {
        // SAFETY: a map value lives as long as the program.
        let slot = unsafe { *slot };
        // SAFETY: the context is handed on as it is.
        unsafe { SYSCALL_PROGRAMS.tail_call(ctx, slot) };
    }
}

#[inline(always)]
fn place(first: Object, messages: u32, each: u32, at: u32) -> Place {
    let (message, index) = (at / each, at % each);
    if message >= messages {
        return Place::End;
    }
    let message: Option<Message> = user(first.wrapping_byte_add(message as usize * MESSAGE_BYTES));
    let Some(message) = message else {
        return Place::End;
    };
    if message.control == 0 || message.control_bytes < size_of::<Control>() as u64 {
        return Place::NextMessage;
    }
    let control = message.control as Object;
    let Some(head) = user::<Control>(control) else {
        return Place::NextMessage;
    };
    let descriptors = head.bytes.saturating_sub(size_of::<Control>() as u64) / 4;
    if head.level != SOL_SOCKET || head.kind != SCM_RIGHTS || u64::from(index) >= descriptors {
        return Place::NextMessage;
    }
    let at = control.wrapping_byte_add(size_of::<Control>() + index as usize * 4);
    match user(at) {
        Some(descriptor) => Place::Descriptor(descriptor),
        None => Place::NextMessage,
    }
}

#[inline(always)]
fn user<T: Copy>(address: Object) -> Option<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the destination is as long as told; the helper checks the source.
    let failed =
        unsafe { bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, address) };
    // SAFETY: integers only; all bytes are set.
    (failed == 0).then(|| unsafe { value.assume_init() })
}
