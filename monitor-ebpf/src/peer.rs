//! Another process that a record speaks of.

use monitor_common::{
    ProcessRef, SessionMark,
    mark::{START_TICK_NS, TaskMark},
};

use crate::{
    kernel::{Object, load, probe},
    maps::PROCESS_MARKS,
    marks, offsets as at, task,
};

/// Not known.
pub const NOBODY: ProcessRef = ProcessRef {
    start_boot_ns: 0,
    session: SessionMark::NONE,
    pid: 0,
    flags: 0,
};

/// The process of a task.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn of_task(task: Object) -> ProcessRef {
    // SAFETY: a field of a task.
    let leader: Object = unsafe { load(task, &at::TASK_GROUP_LEADER) };
    ProcessRef {
        // SAFETY: `task` is a task.
        start_boot_ns: unsafe { task::start_boot_ns(task) },
        // SAFETY: `task` is a task.
        session: unsafe { marks::of_task(task) },
        // SAFETY: `task` is a task.
        pid: unsafe { task::process_id(task) },
        // SAFETY: `leader` is a task.
        flags: if unsafe { marks::holds(leader) } {
            TaskMark::HOLDS
        } else {
            0
        },
    }
}

/// The process that a kernel's `struct pid` stands for; [`NOBODY`] where there
/// is none (any more).
#[inline(always)]
pub fn of_pid(pid: Object) -> ProcessRef {
    task_of(pid).and_then(of_address).unwrap_or(NOBODY)
}

/// The same, unless it is a thread of the kernel: those have no memory.
#[inline(always)]
pub fn of_pid_with_memory(pid: Object) -> Option<ProcessRef> {
    const PF_KTHREAD: u32 = 0x0020_0000;
    let task = task_of(pid)?;
    let flags: u32 = probe(task, &at::TASK_FLAGS)?;
    if flags & PF_KTHREAD != 0 {
        return None;
    }
    of_address(task)
}

/// The first task that has this id.
#[inline(always)]
fn task_of(pid: Object) -> Option<Object> {
    if pid.is_null() {
        return None;
    }
    let link: Object = probe(pid, &at::PID_TASKS)?;
    (!link.is_null()).then(|| link.wrapping_byte_sub(at::TASK_PID_LINKS.load() as usize))
}

/// The process of a task that the verifier does not know as such.
#[inline(always)]
fn of_address(task: Object) -> Option<ProcessRef> {
    let leader: Object = probe(task, &at::TASK_GROUP_LEADER)?;
    let start_boot_ns: u64 = probe(leader, &at::TASK_START_BOOTTIME)?;
    let pid: u32 = probe(leader, &at::TASK_TGID)?;
    let mut process = ProcessRef {
        start_boot_ns,
        session: SessionMark::NONE,
        pid,
        flags: 0,
    };
    if let Some(mark) = PROCESS_MARKS.get_ptr(pid) {
        // SAFETY: a map value lives as long as the program.
        let mark = unsafe { mark.read() };
        if mark.start_ticks == start_boot_ns / START_TICK_NS {
            process.session = mark.session;
            process.flags = mark.flags as u32;
        }
    }
    Some(process)
}

/// A process of which only the id is known, as the caller gave it. In the
/// initial namespace of ids the tables of marks know more.
#[inline(always)]
pub fn of_number(pid: u32, is_initial_namespace: bool) -> ProcessRef {
    let mut process = ProcessRef { pid, ..NOBODY };
    if let Some(mark) = PROCESS_MARKS.get_ptr(pid)
        && is_initial_namespace
    {
        // SAFETY: a map value lives as long as the program.
        let mark = unsafe { mark.read() };
        process.session = mark.session;
        process.flags = mark.flags as u32;
    }
    process
}
