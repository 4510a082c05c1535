//! Sees: the end of every task of a session; tells that of processes, and of
//! the session with its last task.
//! Misses: nothing known. Minimum kernel: 5.11 (task storage).
//! Second look: `task_exit_again`; a task departs once.
//!
//! `TP_PROTO(struct task_struct *p)`, from 6.16 `(struct task_struct *p, bool group_dead)`

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Exit, Kind, Ring, SessionEnded, SessionMark};

use crate::switch::switched;
use crate::{
    kernel::{Object, load},
    marks, offsets as at, sink, task,
};

switched!(task_exit, "tp_btf", 0);

#[btf_tracepoint(function = "sched_process_exit")]
pub fn task_exit(ctx: BtfTracePointContext) -> i32 {
    ended(ctx.arg(0))
}

switched!(task_exit_again, "tp_btf", 0);

#[btf_tracepoint(function = "sched_process_exit")]
pub fn task_exit_again(ctx: BtfTracePointContext) -> i32 {
    ended(ctx.arg(0))
}

#[inline(always)]
fn ended(current: Object) -> i32 {
    // SAFETY: the tracepoint gives a task.
    let session = unsafe { marks::of_task(current) };
    if session.is_none() {
        return 0;
    }
    // SAFETY: the current task ends.
    let departure = unsafe { marks::depart(current, session) };
    if departure.process_ended {
        // SAFETY: the tracepoint gives the current task.
        unsafe { tell_exit(current, session) };
    }
    if departure.session_ended {
        // SAFETY: the tracepoint gives the current task.
        unsafe { tell_session_ended(current, session) };
    }
    0
}

#[inline(always)]
unsafe fn tell_exit(current: Object, session: SessionMark) {
    let Some(record) = sink::reserve::<Exit>(Ring::Bulk) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let exit = unsafe { &mut *record };
    // SAFETY: `current` is the current task.
    unsafe { task::fill(&raw mut exit.header, Kind::EXIT, current, session) };
    // SAFETY: a field of a task.
    exit.exit_code = unsafe { load(current, &at::TASK_EXIT_CODE) };
    exit.reserved = 0;
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Bulk, record) };
}

#[inline(always)]
unsafe fn tell_session_ended(current: Object, session: SessionMark) {
    let Some(record) = sink::reserve::<SessionEnded>(Ring::Priority) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let ended = unsafe { &mut *record };
    // SAFETY: `current` is the current task.
    unsafe { task::fill(&raw mut ended.header, Kind::SESSION_ENDED, current, session) };
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}
