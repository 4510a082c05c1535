//! Sees: tasks that are about to be born in a session that is to be killed, and
//! refuses their birth. Misses: nothing known. Minimum kernel: 5.15.
//!
//! `int task_alloc(struct task_struct *task, unsigned long clone_flags)`

use aya_ebpf::{macros::lsm, programs::LsmContext};
use monitor_common::mark::SessionControl;

use super::security::{ALLOW, DENY};
use crate::{kernel::current_task, marks};

#[lsm]
pub fn task_alloc_lsm(_ctx: LsmContext) -> i32 {
    // SAFETY: the helper gives the current task.
    let session = unsafe { marks::of_task(current_task()) };
    if session.is_none() || marks::state(session) != SessionControl::STATE_KILLED {
        return ALLOW;
    }
    marks::kill_if_wanted(session);
    DENY
}
