//! Sees: a process that attaches to another one with the right to read and
//! write its memory: ptrace, `process_vm_readv` and `_writev`, `/proc/PID/mem`,
//! `pidfd_getfd`, gdb, strace. Refuses it to a session that is contained.
//! Misses: reads of `/proc/PID/environ`, which the hooks on opens tell; on the
//! tracepoint tier all that `process_madvise` and the like learn.
//! Minimum kernel: 5.12. Cost: paid by who attaches.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Kind, Memory, MemoryAccess, ProcessRef, Ring};

use super::{
    change_fd::argument,
    security::{ALLOW, Arguments, DENY, security_hook},
    syscall::number,
};
use crate::{
    credential::{Actor, UNKNOWN, syscall_of},
    kernel::Object,
    peer, sink, task,
};

const MODE_ATTACH: u32 = 2;
const MODE_NOAUDIT: u32 = 4;

security_hook! {
    /// `int ptrace_access_check(struct task_struct *child, unsigned int mode)`
    memory_lsm, memory_fentry => access
}

security_hook! {
    /// `int ptrace_traceme(struct task_struct *parent)`
    traceme_lsm, traceme_fentry => traceme
}

#[inline(always)]
fn access<C: Arguments>(ctx: &C) -> i32 {
    let child: Object = ctx.argument(0);
    let mode: u32 = ctx.argument(1);
    // Programs that list processes ask for less, or without noise.
    if mode & MODE_ATTACH == 0 || mode & MODE_NOAUDIT != 0 {
        return ALLOW;
    }
    // SAFETY: the hook gives a task.
    let target = unsafe { peer::of_task(child) };
    now::<C>(target, MemoryAccess::ATTACHED, mode)
}

#[inline(always)]
fn traceme<C: Arguments>(ctx: &C) -> i32 {
    let parent: Object = ctx.argument(0);
    // SAFETY: the hook gives a task.
    let target = unsafe { peer::of_task(parent) };
    now::<C>(target, MemoryAccess::TRACED_BY_PARENT, 0)
}

#[inline(always)]
fn now<C: Arguments>(target: ProcessRef, access: MemoryAccess, mode: u32) -> i32 {
    let actor = Actor::here::<C>();
    // SAFETY: the task is the current one.
    let syscall = unsafe { syscall_of(actor.task) }.unwrap_or(UNKNOWN);
    tell(&actor, target, access, (mode, syscall));
    if actor.refused { DENY } else { ALLOW }
}

/// `ptrace(request, pid, ...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn ptrace_syscall(ctx: BtfTracePointContext) -> i32 {
    const TRACEME: u64 = 0;
    const ATTACH: u64 = 16;
    const SEIZE: u64 = 0x4206;
    let regs: Object = ctx.arg(0);
    let request = argument(regs, 0);
    let actor = Actor::here::<BtfTracePointContext>();
    if request == TRACEME {
        // SAFETY: the task is the current one.
        let parent = unsafe { task::parent(actor.task) };
        // SAFETY: the parent is a task.
        let target = unsafe { peer::of_task(parent) };
        tell(
            &actor,
            target,
            MemoryAccess::TRACED_BY_PARENT,
            (0, number(regs)),
        );
    } else if request == ATTACH || request == SEIZE {
        by_number(&actor, argument(regs, 1), regs);
    }
    0
}

/// `process_vm_readv(pid, ...)` and `process_vm_writev(pid, ...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn process_vm_syscall(ctx: BtfTracePointContext) -> i32 {
    let regs: Object = ctx.arg(0);
    let actor = Actor::here::<BtfTracePointContext>();
    by_number(&actor, argument(regs, 0), regs);
    0
}

#[inline(always)]
fn by_number(actor: &Actor, pid: u64, regs: Object) {
    // SAFETY: the task is the current one.
    if pid as u32 == unsafe { task::process_id(actor.task) } {
        return;
    }
    let target = peer::of_number(pid as u32, task::is_in_initial_pid_namespace(actor.task));
    tell(actor, target, MemoryAccess::ATTACHED, (0, number(regs)));
}

#[inline(always)]
fn tell(actor: &Actor, target: ProcessRef, access: MemoryAccess, (mode, syscall): (u32, u32)) {
    let Some(record) = sink::reserve::<Memory>(Ring::Priority) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let memory = unsafe { &mut *record };
    // SAFETY: the task is the current one.
    unsafe {
        task::fill(
            &raw mut memory.header,
            Kind::MEMORY,
            actor.task,
            actor.session,
        );
    };
    memory.target = target;
    memory.access = access;
    memory.mode = mode;
    memory.syscall = syscall;
    memory.flags = if actor.refused { Memory::DENIED } else { 0 };
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}
