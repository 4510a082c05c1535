//! Sees: the end of every system call, and hands those that a program wants to
//! that program: one slot each, called like a jump, so that none can disturb
//! another. Costs every system call of the machine two look-ups, so the agent
//! attaches it only where a family needs it.
//! Misses: what `io_uring` does. Minimum kernel: 5.11.
//!
//! `TP_PROTO(struct pt_regs *regs, long ret)`

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::syscall::{SYSCALL_IA32, SYSCALL_NUMBERS_MAX};

use crate::switch::switched;
use crate::{
    kernel::{Object, current_task, has, load},
    maps::{SYSCALL_PROGRAMS, SYSCALL_SLOTS},
    marks, offsets as at,
};

/// A connection that goes on in the background.
const EINPROGRESS: i64 = 115;

switched!(syscall_exit, "tp_btf", 0);

#[btf_tracepoint(function = "sys_exit")]
pub fn syscall_exit(ctx: BtfTracePointContext) -> i32 {
    let returned: i64 = ctx.arg(1);
    if returned < 0 && returned != -EINPROGRESS {
        return 0;
    }
    let regs: Object = ctx.arg(0);
    let Some(slot) = SYSCALL_SLOTS.get_ptr(entry(regs)) else {
        return 0;
    };
    // SAFETY: a map value lives as long as the program.
    let slot = unsafe { *slot };
    if slot != 0 {
        // SAFETY: the context is handed on as it is.
        unsafe { SYSCALL_PROGRAMS.tail_call(&ctx, slot) };
    }
    0
}

/// Number of the call, as the caller's own architecture counts.
#[inline(always)]
pub fn number(regs: Object) -> u32 {
    /// Bit in the number of an x32 call.
    const X32: u64 = 0x4000_0000;
    // SAFETY: a field of the saved registers.
    let number: u64 = unsafe { load(regs, &at::PT_REGS_SYSCALL) };
    (number & !X32) as u32
}

/// Whether the caller is a 32-bit program, which counts calls otherwise.
#[inline(always)]
pub fn is_ia32() -> bool {
    const TS_COMPAT: u32 = 2;
    if !has(&at::TASK_THREAD_STATUS) {
        return false;
    }
    // SAFETY: a field of a task.
    let status: u32 = unsafe { load(current_task(), &at::TASK_THREAD_STATUS) };
    status & TS_COMPAT != 0
}

#[inline(always)]
fn entry(regs: Object) -> u32 {
    let number = number(regs);
    if number >= SYSCALL_NUMBERS_MAX {
        return u32::MAX;
    }
    if is_ia32() {
        number + SYSCALL_IA32
    } else {
        number
    }
}

/// Sees: newborn tasks, before their first instruction. Kills those of killed
/// sessions and stops those of frozen ones: a task that was being born when the
/// session was told so has nobody else to stop it.
#[btf_tracepoint(function = "sys_exit")]
pub fn syscall_birth(ctx: BtfTracePointContext) -> i32 {
    let returned: i64 = ctx.arg(1);
    if returned != 0 {
        return 0;
    }
    let current = current_task();
    // SAFETY: the helper gives the current task.
    let session = unsafe { marks::of_task(current) };
    if !session.is_none() {
        // SAFETY: the helper gives the current task.
        unsafe { marks::hold_back(current, session) };
    }
    0
}
