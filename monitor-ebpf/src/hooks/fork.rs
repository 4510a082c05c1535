//! Sees: every new task; the mark spreads here. Tells processes of sessions.
//! Misses: io_uring workers (they have the mark of their process).
//! Minimum kernel: 5.11 (task storage). Second look: `task_fork_again`, for
//! tasks that have no mark yet.
//!
//! `TP_PROTO(struct task_struct *parent, struct task_struct *child)`

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Fork, Kind, Ring, SessionMark, mark::TaskMark};

use crate::switch::switched;
use crate::{kernel::Object, marks, sink, task};

switched!(task_fork, "tp_btf", 0);

#[btf_tracepoint(function = "sched_process_fork")]
pub fn task_fork(ctx: BtfTracePointContext) -> i32 {
    born(ctx.arg(0), ctx.arg(1))
}

switched!(task_fork_again, "tp_btf", 0);

#[btf_tracepoint(function = "sched_process_fork")]
pub fn task_fork_again(ctx: BtfTracePointContext) -> i32 {
    let child: Object = ctx.arg(1);
    // SAFETY: the tracepoint gives tasks.
    if unsafe { marks::is_marked(child) } {
        return 0;
    }
    born(ctx.arg(0), child)
}

#[inline(always)]
fn born(parent: Object, child: Object) -> i32 {
    // SAFETY: the tracepoint gives tasks.
    let session = unsafe { marks::of_task(parent) };
    // SAFETY: the tracepoint gives tasks.
    let holds = unsafe { marks::holds(parent) };
    if session.is_none() {
        if holds {
            // SAFETY: the tracepoint gives tasks.
            unsafe { marks::hold(child) };
        }
        return 0;
    }
    let flags = if holds { TaskMark::HOLDS } else { 0 };
    // SAFETY: the tracepoint gives tasks.
    unsafe { marks::inherit(child, session, flags) };
    // SAFETY: the tracepoint gives tasks.
    if unsafe { task::process_id(child) } == unsafe { task::thread_id(child) } {
        // SAFETY: the tracepoint gives tasks.
        unsafe { tell(parent, child, session) };
    }
    // SAFETY: the parent is the current task.
    unsafe { marks::hold_back(parent, session) };
    0
}

#[inline(always)]
unsafe fn tell(parent: Object, child: Object, session: SessionMark) {
    let Some(record) = sink::reserve::<Fork>(Ring::Bulk) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let fork = unsafe { &mut *record };
    // SAFETY: `parent` is the current task.
    unsafe { task::fill(&raw mut fork.header, Kind::FORK, parent, session) };
    // SAFETY: `child` is a task.
    fork.child_start_boot_ns = unsafe { task::start_boot_ns(child) };
    // SAFETY: `child` is a task.
    fork.child_pid = unsafe { task::process_id(child) };
    fork.reserved = 0;
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Bulk, record) };
}
