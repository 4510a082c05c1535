//! Which session a task belongs to, and how marks spread.
//!
//! A task has the mark of its parent at birth, in task storage. Threads without
//! one (io_uring workers, threads older than the mark) have that of their
//! leading thread; where both fail, the process id tells.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_send_signal;
use monitor_common::{
    Fault, SessionMark,
    mark::{ProcessMark, START_TICK_NS, SessionControl, Stopped, TaskMark},
};

use crate::{
    atomic::Number,
    kernel::{Object, load, zero},
    maps::{PROCESS_MARKS, SESSION_CONTROL, SESSION_LIVE, STOPPED, TASK_MARKS, fault},
    offsets as at,
    task::{process_id, start_boot_ns, thread_id},
};

const SIGKILL: u32 = 9;
const SIGSTOP: u32 = 19;

/// The mark of a task, from task storage: for tracing programs.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn of_task(task: Object) -> SessionMark {
    // SAFETY: `task` is a task.
    if let Some(mark) = unsafe { own(task) } {
        return mark;
    }
    // SAFETY: `task` is a task.
    let is_leader = unsafe { process_id(task) } == unsafe { thread_id(task) };
    if !is_leader {
        // SAFETY: a field of a task.
        let leader: Object = unsafe { load(task, &at::TASK_GROUP_LEADER) };
        // SAFETY: `leader` is a task.
        if let Some(mark) = unsafe { own(leader) } {
            return mark;
        }
    }
    // SAFETY: `task` is a task.
    unsafe { of_process(task) }
}

/// The mark in the storage of this very task.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
unsafe fn own(task: Object) -> Option<SessionMark> {
    // SAFETY: `task` is a task.
    let mark = unsafe { TASK_MARKS.get(task) }?;
    // SAFETY: a value of task storage lives as long as the program.
    let session = unsafe { (*mark).session };
    (!session.is_none()).then_some(session)
}

/// Whether a task was given the mark of a session by itself.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn is_marked(task: Object) -> bool {
    // SAFETY: `task` is a task.
    unsafe { own(task) }.is_some()
}

/// The mark of a task by its process id: for programs that may not read task
/// storage.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn of_process(task: Object) -> SessionMark {
    // SAFETY: `task` is a task.
    let pid = unsafe { process_id(task) };
    let Some(mark) = PROCESS_MARKS.get_ptr(pid) else {
        return SessionMark::NONE;
    };
    // SAFETY: a map value lives as long as the program.
    let mark = unsafe { mark.read() };
    // SAFETY: `task` is a task.
    let start_ticks = unsafe { start_boot_ns(task) } / START_TICK_NS;
    if mark.start_ticks == start_ticks {
        mark.session
    } else {
        SessionMark::NONE
    }
}

/// What user space wants of a session: a `STATE_` of [`SessionControl`].
#[inline(always)]
pub fn state(session: SessionMark) -> u32 {
    let Some(control) = SESSION_CONTROL.get_ptr(session.0) else {
        fault(Fault::SessionRowMissing);
        return SessionControl::STATE_OPEN;
    };
    // SAFETY: a map value lives as long as the program.
    unsafe { (*control).state }
}

/// Kills or stops the current process, if that is wanted of its session.
///
/// # Safety
/// `current` must be the current task.
#[inline(always)]
pub unsafe fn hold_back(current: Object, session: SessionMark) {
    match state(session) {
        SessionControl::STATE_KILLED => send(SIGKILL),
        SessionControl::STATE_FROZEN => {
            // SAFETY: the caller vouches for `current`.
            unsafe { note_stopped(current, session) };
            send(SIGSTOP);
        }
        _ => {}
    }
}

/// Sends a signal to the current process.
#[inline(always)]
fn send(signal: u32) {
    // SAFETY: the helper has no precondition.
    if unsafe { bpf_send_signal(signal) } != 0 {
        fault(Fault::SignalFailed);
    }
}

/// Remembers that the process of a task is to go on with its session. Before
/// the signal: what is stopped is never forgotten.
#[inline(always)]
unsafe fn note_stopped(task: Object, session: SessionMark) {
    let stopped = Stopped {
        session,
        // SAFETY: `task` is a task.
        start_ticks: unsafe { start_boot_ns(task) } / START_TICK_NS,
    };
    // SAFETY: `task` is a task.
    let process = unsafe { process_id(task) };
    if STOPPED.insert(process, stopped, 0).is_err() {
        fault(Fault::ProcessTableFull);
    }
}

/// Whether the process of a task holds a watched file.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn holds(task: Object) -> bool {
    // SAFETY: a field of a task.
    let leader: Object = unsafe { load(task, &at::TASK_GROUP_LEADER) };
    // SAFETY: `leader` is a task.
    let Some(mark) = (unsafe { TASK_MARKS.get(leader) }) else {
        return false;
    };
    // SAFETY: a value of task storage lives as long as the program.
    let flags = unsafe { (*mark).flags };
    flags & TaskMark::HOLDS != 0
}

/// Says that the process of a task holds a watched file.
///
/// # Safety
/// `task` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn hold(task: Object) {
    // SAFETY: a field of a task.
    let leader: Object = unsafe { load(task, &at::TASK_GROUP_LEADER) };
    // A mark that is new here belongs to no session: such tasks are not
    // counted, and their session is told by their process id.
    let mut room = MaybeUninit::<TaskMark>::uninit();
    // SAFETY: as many bytes as a mark has.
    unsafe { zero::<{ size_of::<TaskMark>() / 8 }>(room.as_mut_ptr().cast()) };
    // SAFETY: all of it is set.
    let initial = unsafe { room.assume_init_mut() };
    // SAFETY: `leader` is a task.
    let Some(mark) = (unsafe { TASK_MARKS.get_or_insert(leader, initial) }) else {
        fault(Fault::MarkCopyFailed);
        return;
    };
    // SAFETY: a value of task storage lives as long as the program.
    unsafe { (*mark).flags |= TaskMark::HOLDS };
    // SAFETY: `task` is a task.
    if let Some(mark) = PROCESS_MARKS.get_ptr_mut(unsafe { process_id(task) }) {
        // SAFETY: a map value lives as long as the program.
        unsafe { (*mark).flags |= u64::from(TaskMark::HOLDS) };
    }
}

/// Says that another program was started, which holds nothing.
///
/// # Safety
/// `task` must be the current task, which leads its process after an exec.
#[inline(always)]
pub unsafe fn let_go(task: Object) {
    // SAFETY: `task` is a task.
    let Some(mark) = (unsafe { TASK_MARKS.get(task) }) else {
        return;
    };
    // SAFETY: a value of task storage lives as long as the program.
    unsafe { (*mark).flags &= !TaskMark::HOLDS };
    // SAFETY: `task` is a task.
    if let Some(mark) = PROCESS_MARKS.get_ptr_mut(unsafe { process_id(task) }) {
        // SAFETY: a map value lives as long as the program.
        unsafe { (*mark).flags &= !u64::from(TaskMark::HOLDS) };
    }
}

/// Gives a new task the mark of its parent.
///
/// # Safety
/// `child` must be a task pointer that the verifier knows as such.
#[inline(always)]
pub unsafe fn inherit(child: Object, session: SessionMark, flags: u32) {
    // SAFETY: a field of a task.
    let cred: Object = unsafe { load(child, &at::TASK_CRED) };
    let mut mark = TaskMark {
        session,
        exit_told: 0,
        departed: 0,
        // SAFETY: a field of credentials.
        uid: unsafe { load(cred, &at::CRED_UID) },
        // SAFETY: a field of credentials.
        euid: unsafe { load(cred, &at::CRED_EUID) },
        // SAFETY: a field of credentials.
        gid: unsafe { load(cred, &at::CRED_GID) },
        flags: flags | TaskMark::IDS_KNOWN,
    };
    // SAFETY: `child` is a task.
    if unsafe { TASK_MARKS.get_or_insert(child, &mut mark) }.is_some() {
        count_living(session, 1);
    } else {
        fault(Fault::MarkCopyFailed);
    }
    // SAFETY: `child` is a task.
    let pid = unsafe { process_id(child) };
    // SAFETY: `child` is a task.
    if pid != unsafe { thread_id(child) } {
        return;
    }
    // SAFETY: `child` is a task.
    let start_ticks = unsafe { start_boot_ns(child) } / START_TICK_NS;
    let mark = ProcessMark {
        session,
        start_ticks,
        flags: u64::from(flags),
    };
    if PROCESS_MARKS.insert(pid, mark, 0).is_err() {
        fault(Fault::ProcessTableFull);
    }
}

/// What the end of a task means for its session.
pub struct Departure {
    /// It was the last task of its process, and nobody told it yet.
    pub process_ended: bool,
    /// It was the last task of its session.
    pub session_ended: bool,
}

/// Takes a task that ends out of its session's books, once.
///
/// # Safety
/// `task` must be the current task, at its end.
#[inline(always)]
pub unsafe fn depart(task: Object, session: SessionMark) -> Departure {
    // SAFETY: `task` is a task.
    let counted = unsafe { is_marked(task) };
    // SAFETY: `task` is a task.
    if counted && !unsafe { first_to_depart(task) } {
        return Departure {
            process_ended: false,
            session_ended: false,
        };
    }
    let session_ended = counted && count_living(session, -1) == Some(0);
    // SAFETY: `task` is a task.
    let process_ended = unsafe { is_last_thread(task) } && unsafe { first_to_tell(task) };
    if process_ended {
        // SAFETY: `task` is a task.
        let pid = unsafe { process_id(task) };
        let _ = PROCESS_MARKS.remove(pid);
    }
    Departure {
        process_ended,
        session_ended,
    }
}

/// Adds to the living tasks of a session; gives their number.
#[inline(always)]
fn count_living(session: SessionMark, change: i64) -> Option<i64> {
    let (Some(live), Some(control)) = (
        SESSION_LIVE.get_ptr_mut(session.0),
        SESSION_CONTROL.get_ptr(session.0),
    ) else {
        fault(Fault::SessionRowMissing);
        return None;
    };
    // SAFETY: a map value; `tasks` is its only field.
    let before = unsafe { Number::at(live.cast()) }.fetch_add(change as u64);
    // SAFETY: a map value lives as long as the program.
    let adopted = unsafe { (*control).adopted };
    Some(before as i64 + change + i64::from(adopted))
}

/// Whether no thread of the process is left. The count was lowered before the
/// exit tracepoint.
#[inline(always)]
unsafe fn is_last_thread(task: Object) -> bool {
    // SAFETY: a field of a task.
    let signal: Object = unsafe { load(task, &at::TASK_SIGNAL) };
    // SAFETY: a field of a signal structure.
    unsafe { load::<i32>(signal, &at::SIGNAL_LIVE) == 0 }
}

/// Whether the departure of a marked task was not seen yet.
#[inline(always)]
unsafe fn first_to_depart(task: Object) -> bool {
    // SAFETY: `task` is a task.
    let Some(mark) = (unsafe { TASK_MARKS.get(task) }) else {
        return true;
    };
    let departed = mark.cast::<u64>().wrapping_add(3);
    // SAFETY: a value of task storage; `departed` is behind 24 bytes.
    unsafe { Number::at(departed) }.swap(1) == 0
}

/// Threads that end at the same moment all see that none is left; one tells.
#[inline(always)]
unsafe fn first_to_tell(task: Object) -> bool {
    // SAFETY: a field of a task.
    let leader: Object = unsafe { load(task, &at::TASK_GROUP_LEADER) };
    // SAFETY: `leader` is a task.
    let Some(mark) = (unsafe { TASK_MARKS.get(leader) }) else {
        return true;
    };
    let told = mark.cast::<u64>().wrapping_add(2);
    // SAFETY: a value of task storage; `exit_told` is behind 16 bytes.
    unsafe { Number::at(told) }.swap(1) == 0
}
