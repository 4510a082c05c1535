//! Sees: every successful start of a program, with the file that runs (the
//! interpreter of a script) and the arguments that it was given.
//! Misses: nothing known. Minimum kernel: 5.11.
//! Second look: `task_exec_again`, for starts that are not in `STARTED`.
//!
//! `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use monitor_common::{
    Exec, Fault, Kind, Ring, SessionMark,
    exec::{ARGV_BYTES_MAX, GIVEN_BYTES_MAX, INTERPRETER_BYTES_MAX},
};

use super::{arguments, identity, script};
use crate::switch::switched;
use crate::{
    kernel::{Object, has, load, probe},
    maps::{STARTED, fault},
    marks, offsets as at,
    path::{NO_FILE, identify, unknown, walk},
    sink::{self, PATH_ROOM, Scratch},
    task,
    twice::has_second_look,
};

switched!(task_exec, "tp_btf", 0);

#[btf_tracepoint(function = "sched_process_exec")]
pub fn task_exec(ctx: BtfTracePointContext) -> i32 {
    let current: Object = ctx.arg(0);
    if has_second_look() {
        // Full is impossible: the oldest gives way.
        let _ = STARTED.insert(current as u64, start_of(current), 0);
    }
    started(current, ctx.arg(2))
}

switched!(task_exec_again, "tp_btf", 0);

#[btf_tracepoint(function = "sched_process_exec")]
pub fn task_exec_again(ctx: BtfTracePointContext) -> i32 {
    let current: Object = ctx.arg(0);
    if let Some(told) = STARTED.get_ptr(current as u64) {
        // SAFETY: a map value lives as long as the program.
        if unsafe { told.read() } == start_of(current) {
            return 0;
        }
    }
    fault(Fault::StartToldAgain);
    started(current, ctx.arg(2))
}

/// Tells one start of a program from all others of tasks at this address.
#[inline(always)]
fn start_of(current: Object) -> u64 {
    // SAFETY: a field of a task.
    let programs: u64 = unsafe { load(current, &at::TASK_SELF_EXEC_ID) };
    // SAFETY: `current` is a task.
    unsafe { task::start_boot_ns(current) }.wrapping_add(programs)
}

#[inline(always)]
fn started(current: Object, bprm: Object) -> i32 {
    // SAFETY: the tracepoint gives a task.
    let session = unsafe { marks::of_task(current) };
    // SAFETY: the tracepoint gives the task that leads its process.
    unsafe { marks::let_go(current) };
    if let Some(scratch) = Scratch::take(Ring::Priority) {
        // SAFETY: the tracepoint gives the current task and its new program.
        unsafe { tell(Scratch::record(scratch), current, bprm, session) };
        // SAFETY: it was taken above.
        unsafe { Scratch::release(scratch) };
    }
    if !session.is_none() {
        // SAFETY: the tracepoint gives the current task.
        unsafe { identity::after_exec(current, session) };
        // SAFETY: the tracepoint gives the current task.
        unsafe { marks::hold_back(current, session) };
    }
    0
}

#[inline(always)]
unsafe fn tell(record: *mut u8, current: Object, bprm: Object, session: SessionMark) {
    // SAFETY: a scratch record has room for the largest kind.
    let exec = unsafe { &mut *record.cast::<Exec>() };
    // SAFETY: `current` is the current task.
    unsafe { task::fill(&raw mut exec.header, Kind::EXEC, current, session) };
    // SAFETY: a field of a new program.
    let file: Object = unsafe { load(bprm, &at::BINPRM_FILE) };
    let inode: Option<Object> = probe(file, &at::FILE_INODE);
    exec.exe = inode.and_then(identify).unwrap_or_else(unknown);
    exec.script = NO_FILE;
    exec.argv_digest = 0;
    exec.terminal = controlling_terminal(current).unwrap_or(0);
    exec.given_bytes = 0;
    exec.interpreter_bytes = 0;
    exec.flags = 0;
    let tail = record.wrapping_add(size_of::<Exec>());
    // SAFETY: a scratch record has room for path and arguments.
    unsafe { walk(file, tail, &raw mut exec.path) };
    let path_bytes = exec.path.bytes as usize;
    if path_bytes > PATH_ROOM {
        return;
    }
    // SAFETY: `current` is a task; behind the path is room for arguments.
    let argv_bytes = unsafe { read_argv(exec, current, tail.wrapping_add(path_bytes)) };
    if exec.argv_bytes_true > ARGV_BYTES_MAX as u64
        && let Some(digest) = arguments::take_digest(bprm)
    {
        exec.argv_digest = digest;
        exec.flags |= Exec::DIGEST_KNOWN;
    }
    let room = tail.wrapping_add(path_bytes).wrapping_add(argv_bytes);
    // SAFETY: behind the arguments is room for both names.
    let names_bytes = unsafe { read_names(exec, bprm, room) };
    let bytes = size_of::<Exec>() + path_bytes + argv_bytes + names_bytes;
    // SAFETY: all of it is written.
    unsafe { sink::output(Ring::Priority, record, bytes) };
}

/// The number of the terminal that controls a process; none where there is
/// none. It may go away meanwhile: what is read then is a label that is wrong.
#[inline(always)]
fn controlling_terminal(current: Object) -> Option<u64> {
    if !has(&at::SIGNAL_TERMINAL) || !has(&at::TERMINAL_DRIVER) {
        return None;
    }
    // SAFETY: a field of a task.
    let signal: Object = unsafe { load(current, &at::TASK_SIGNAL) };
    // SAFETY: a field of a signal structure.
    let terminal: Object = unsafe { load(signal, &at::SIGNAL_TERMINAL) };
    if terminal.is_null() {
        return None;
    }
    let driver: Object = probe(terminal, &at::TERMINAL_DRIVER)?;
    let index: u32 = probe(terminal, &at::TERMINAL_INDEX)?;
    let major: u32 = probe(driver, &at::TERMINAL_DRIVER_MAJOR)?;
    let first: u32 = probe(driver, &at::TERMINAL_DRIVER_MINOR_START)?;
    Some(u64::from(major) << 20 | u64::from(first.wrapping_add(index)))
}

/// Reads the path as given and, for a script, the interpreter's name: the
/// kernel's copies of both. Gives their bytes.
#[inline(always)]
unsafe fn read_names(exec: &mut Exec, bprm: Object, room: *mut u8) -> usize {
    let given: Object = probe(bprm, &at::BINPRM_FILENAME).unwrap_or(core::ptr::null());
    let interpreter: Object = probe(bprm, &at::BINPRM_INTERP).unwrap_or(core::ptr::null());
    // SAFETY: the caller vouches for the room.
    let given_bytes = unsafe { read_name(room, given, GIVEN_BYTES_MAX) };
    if given_bytes == GIVEN_BYTES_MAX - 1 {
        exec.flags |= Exec::GIVEN_CUT;
    }
    exec.given_bytes = given_bytes as u32;
    if interpreter == given {
        exec.flags |= Exec::SCRIPT_SEEN;
        return given_bytes;
    }
    if let Some(script) = script::take(bprm) {
        exec.script = script;
        exec.flags |= Exec::SCRIPT_SEEN | Exec::SCRIPT_KNOWN;
    }
    // SAFETY: the caller vouches for the room.
    let bytes = unsafe {
        read_name(
            room.wrapping_add(given_bytes),
            interpreter,
            INTERPRETER_BYTES_MAX,
        )
    };
    exec.interpreter_bytes = bytes as u32;
    given_bytes + bytes
}

/// Reads a string of the kernel; gives its length without the end mark.
#[inline(always)]
unsafe fn read_name(room: *mut u8, name: Object, bytes_max: usize) -> usize {
    // SAFETY: the caller vouches for the room; the helper checks the source.
    let length = unsafe { bpf_probe_read_kernel_str(room.cast(), bytes_max as u32, name) };
    if length <= 0 || length as usize > bytes_max {
        return 0;
    }
    length as usize - 1
}

/// Reads the arguments behind the path. The pages are there: execve has just
/// written them.
#[inline(always)]
unsafe fn read_argv(exec: &mut Exec, current: Object, room: *mut u8) -> usize {
    // SAFETY: a field of a task.
    let mm: Object = unsafe { load(current, &at::TASK_MM) };
    // SAFETY: a field of a memory descriptor.
    let start: u64 = unsafe { load(mm, &at::MM_ARG_START) };
    // SAFETY: a field of a memory descriptor.
    let end: u64 = unsafe { load(mm, &at::MM_ARG_END) };
    let wanted = end.saturating_sub(start);
    exec.argv_bytes_true = wanted;
    let mut bytes = if wanted > ARGV_BYTES_MAX as u64 {
        ARGV_BYTES_MAX
    } else {
        wanted as usize
    };
    // SAFETY: `bytes` of room; the helper checks the source.
    if unsafe { bpf_probe_read_user(room.cast(), bytes as u32, start as Object) } != 0 {
        exec.flags |= Exec::ARGV_UNREADABLE;
        bytes = 0;
    }
    exec.argv_bytes = bytes as u32;
    bytes
}
