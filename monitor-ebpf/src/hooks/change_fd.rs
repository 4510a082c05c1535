//! Sees: permissions, owner and size of a watched file set through a
//! descriptor, where the better hooks ([`super::change`]) cannot be had.
//! Misses: all changes by name. Minimum kernel: 5.12.
//! Cost: paid only by these calls, and by the dispatcher.
//!
//! `TP_PROTO(struct pt_regs *regs, long ret)`

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Fault, Operation};

use super::{
    open::{file_of, look_at_file},
    syscall::{is_ia32, number},
};
use crate::{
    credential::{Act, Actor, Subject, UNKNOWN, tell},
    kernel::{Object, current_task, has, load},
    maps::fault,
    offsets as at,
    watch::{Access, Probed},
};

#[btf_tracepoint(function = "sys_exit")]
pub fn mode_syscall(ctx: BtfTracePointContext) -> i32 {
    changed(&ctx, Operation::MODE_CHANGED)
}

#[btf_tracepoint(function = "sys_exit")]
pub fn owner_syscall(ctx: BtfTracePointContext) -> i32 {
    changed(&ctx, Operation::OWNER_CHANGED)
}

#[btf_tracepoint(function = "sys_exit")]
pub fn size_syscall(ctx: BtfTracePointContext) -> i32 {
    changed(&ctx, Operation::TRUNCATED)
}

#[btf_tracepoint(function = "sys_exit")]
pub fn attribute_syscall(ctx: BtfTracePointContext) -> i32 {
    changed(&ctx, Operation::ATTRIBUTES_CHANGED)
}

#[inline(always)]
fn changed(ctx: &BtfTracePointContext, operation: Operation) -> i32 {
    let regs: Object = ctx.arg(0);
    let returned: i64 = ctx.arg(1);
    if returned != 0 {
        return 0;
    }
    let task = current_task();
    let descriptor = argument(regs, 0) as u32;
    // SAFETY: `task` is the current task.
    let Some(file) = (unsafe { file_of(task, descriptor) }) else {
        fault(Fault::DescriptorRaced);
        return 0;
    };
    // SAFETY: any pointer can be read with care.
    let inode: Object = unsafe { Probed::read(file, &at::FILE_INODE) };
    // SAFETY: as above.
    let Some(hit) = (unsafe { look_at_file::<Probed>(file, inode) }) else {
        return 0;
    };
    let value = argument(regs, 1) as u32;
    let act = Act {
        operation,
        flags: 0,
        open_flags: if operation == Operation::MODE_CHANGED || operation == Operation::OWNER_CHANGED
        {
            value
        } else {
            0
        },
        open_mode: 0,
        syscall: number(regs),
        descriptor: UNKNOWN,
    };
    let actor = Actor::here::<BtfTracePointContext>();
    tell(&actor, Subject::File { file, inode }, &hit, &act);
    0
}

/// The first or second argument of a system call, as the caller put it into a
/// register.
#[inline(always)]
pub fn argument(regs: Object, which: u32) -> u64 {
    let ia32 = has(&at::PT_REGS_IA32_ARGUMENT_1) && is_ia32();
    let offset = match (which, ia32) {
        (0, false) => &at::PT_REGS_ARGUMENT_1,
        (0, true) => &at::PT_REGS_IA32_ARGUMENT_1,
        (_, false) => &at::PT_REGS_ARGUMENT_2,
        (_, true) => &at::PT_REGS_IA32_ARGUMENT_2,
    };
    // SAFETY: a field of the saved registers.
    unsafe { load(regs, offset) }
}
