//! Sees: tasks that are about to be born in a session that is to be killed or
//! that stands still, and refuses their birth. Misses: nothing known. Minimum
//! kernel: 5.15.
//!
//! `int task_alloc(struct task_struct *task, unsigned long clone_flags)`

use aya_ebpf::{macros::lsm, programs::LsmContext};
use monitor_common::mark::SessionControl;

use super::security::{ALLOW, DENY};
use crate::switch::switched;
use crate::{kernel::current_task, marks};

/// `ERESTARTNOINTR` of `linux/errno.h`: the call is made again once the signal
/// is dealt with, and its caller never learns of it. The kernel itself answers
/// a fork so that a signal interrupts.
const AGAIN: i32 = -513;

switched!(task_alloc_lsm, "lsm", ALLOW);

#[lsm]
pub fn task_alloc_lsm(_ctx: LsmContext) -> i32 {
    let current = current_task();
    // SAFETY: the helper gives the current task.
    let session = unsafe { marks::of_task(current) };
    if session.is_none() {
        return ALLOW;
    }
    match marks::state(session) {
        SessionControl::STATE_KILLED => {
            // SAFETY: the helper gives the current task.
            unsafe { marks::hold_back(current, session) };
            DENY
        }
        SessionControl::STATE_FROZEN => {
            // SAFETY: the helper gives the current task.
            unsafe { marks::hold_back(current, session) };
            AGAIN
        }
        _ => ALLOW,
    }
}
