//! Sees: the open of a watched file, or of any file below a watched directory,
//! by its inode: through whatever name, link, mount or namespace.
//! Misses: a descriptor that another thread replaces before the hook looks;
//! opens by `io_uring` ([`super::io_uring`] sees them).
//! Minimum kernel: 5.12. Cost: every open pays seven reads and one look-up.
//!
//! `TP_PROTO(struct pt_regs *regs, long ret)`

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Fault, Operation};

use crate::{
    credential::{Act, Actor, Subject, UNKNOWN, tell},
    hooks::{input, procfs, syscall::number},
    kernel::{Object, current_task, load, probe, probe_at},
    maps::fault,
    marks, offsets as at, task,
    watch::{self, Access, Hit, Probed},
};

/// Opened as a path only: its content needs another open, which is seen.
const FMODE_PATH: u32 = 0x4000;
const FMODE_READ: u32 = 1;
const FMODE_WRITE: u32 = 2;
/// The open made the file.
const FMODE_CREATED: u32 = 0x10_0000;
/// Opened by execve (`f_flags`).
const FMODE_EXEC: u32 = 0x20;
const O_TRUNC: u32 = 0o1000;
const O_NOATIME: u32 = 0o1_000_000;

#[btf_tracepoint(function = "sys_exit")]
pub fn open_syscall(ctx: BtfTracePointContext) -> i32 {
    let regs: Object = ctx.arg(0);
    let returned: i64 = ctx.arg(1);
    if returned >= 0 {
        let act = Act {
            operation: Operation::OPENED,
            flags: 0,
            open_flags: 0,
            open_mode: 0,
            syscall: number(regs),
            descriptor: returned as u32,
        };
        returned_descriptor(act);
    }
    0
}

/// Tells of the file behind a descriptor that a call returned.
#[inline(always)]
pub fn returned_descriptor(act: Act) {
    let task = current_task();
    // SAFETY: `task` is the current task.
    let Some(file) = (unsafe { file_of(task, act.descriptor) }) else {
        fault(Fault::DescriptorRaced);
        return;
    };
    // SAFETY: any pointer can be read with care.
    let mode: u32 = unsafe { Probed::read(file, &at::FILE_MODE) };
    if mode & FMODE_PATH != 0 {
        return;
    }
    // SAFETY: as above.
    let inode: Object = unsafe { Probed::read(file, &at::FILE_INODE) };
    // SAFETY: as above.
    unsafe { input::fifo::<BtfTracePointContext, Probed>(file, inode) };
    // SAFETY: as above.
    let Some(hit) = (unsafe { look_at_file::<Probed>(file, inode) }) else {
        // SAFETY: as above.
        unsafe { procfs::opened::<BtfTracePointContext, Probed>(file, inode, act.syscall) };
        return;
    };
    let actor = Actor::here::<BtfTracePointContext>();
    // SAFETY: as above.
    unsafe { on_hit::<Probed>(&actor, file, inode, &hit, act) };
}

/// The watch of an open file.
///
/// # Safety
/// The pointers must fit the kind of access.
#[inline(always)]
pub unsafe fn look_at_file<A: Access>(file: Object, inode: Object) -> Option<Hit> {
    // SAFETY: the caller vouches for the pointers.
    if let Some(hit) = unsafe { watch::look_at_node::<A>(inode) } {
        return Some(hit);
    }
    // SAFETY: a field of an open file.
    let dentry: Object = unsafe { A::read(file, &at::FILE_PATH_DENTRY) };
    // SAFETY: a field of a dentry.
    let named: Object = unsafe { A::read(dentry, &at::DENTRY_INODE) };
    if named != inode {
        // SAFETY: an inode.
        return unsafe { look_by_alias::<A>(inode) };
    }
    // SAFETY: the caller vouches for the pointers.
    let subject = unsafe { watch::Subject::new::<A>(inode, dentry) };
    // SAFETY: as above.
    unsafe { watch::look::<A>(&subject) }
}

/// The watch of an inode whose open file has the name of another one: overlayfs
/// before Linux 6.5 opens the file below it so. One of its own names serves.
#[inline(always)]
unsafe fn look_by_alias<A: Access>(inode: Object) -> Option<Hit> {
    // SAFETY: the caller vouches for it.
    let device = unsafe { watch::device_of::<A>(inode) };
    let link: Object = probe(inode, &at::INODE_ALIASES)?;
    let dentry = if link.is_null() {
        link
    } else {
        link.wrapping_byte_sub(at::DENTRY_ALIAS.load() as usize)
    };
    let subject = watch::Subject {
        inode,
        dentry,
        device,
    };
    // SAFETY: any pointer can be read with care.
    unsafe { watch::look::<Probed>(&subject) }
}

/// Tells of an open file, and remembers that it was.
///
/// # Safety
/// The pointers must fit the kind of access.
#[inline(always)]
pub unsafe fn on_hit<A: Access>(actor: &Actor, file: Object, inode: Object, hit: &Hit, act: Act) {
    // SAFETY: a field of an open file.
    let open_flags: u32 = unsafe { A::read(file, &at::FILE_FLAGS) };
    // SAFETY: a field of an open file.
    let open_mode: u32 = unsafe { A::read(file, &at::FILE_MODE) };
    let writes = open_mode & (FMODE_WRITE | FMODE_CREATED) != 0 || open_flags & O_TRUNC != 0;
    if hit.changes_only() && !writes {
        return;
    }
    // SAFETY: the caller vouches for the pointers.
    if !writes && unsafe { is_own_look::<A>(actor, inode, open_flags) } {
        return;
    }
    let operation = if act.operation != Operation::OPENED {
        act.operation
    } else if open_flags & FMODE_EXEC != 0 {
        Operation::EXECUTED
    } else if open_mode & FMODE_CREATED != 0 {
        Operation::CREATED
    } else {
        Operation::OPENED
    };
    let act = Act {
        operation,
        open_flags,
        open_mode,
        ..act
    };
    // SAFETY: the caller vouches for the pointers.
    if !actor.refused && unsafe { watch::is_regular::<A>(inode) } {
        // SAFETY: as above.
        unsafe { keep::<A>(actor, file, inode, hit, open_mode) };
    }
    tell(actor, Subject::File { file, inode }, hit, &act);
}

/// Whether the agent lists a directory to know what it is to watch, or looks
/// which key a file holds: that with a flag that nothing else of it uses.
#[inline(always)]
unsafe fn is_own_look<A: Access>(actor: &Actor, inode: Object, open_flags: u32) -> bool {
    // SAFETY: the caller vouches for the pointers.
    let is_look = open_flags & O_NOATIME != 0 || unsafe { watch::is_directory::<A>(inode) };
    // SAFETY: the task is the current one.
    is_look && unsafe { task::is_agent(actor.task) }
}

/// Remembers who opened the file, and the file where it has further names.
#[inline(always)]
unsafe fn keep<A: Access>(actor: &Actor, file: Object, inode: Object, hit: &Hit, mode: u32) {
    // SAFETY: the caller vouches for the pointers.
    let device = unsafe { watch::device_of::<A>(inode) };
    // SAFETY: a field of an inode.
    let number: u64 = unsafe { A::read(inode, &at::INODE_INO) };
    watch::remember(file, device, number, actor.session);
    // SAFETY: a field of an inode.
    let links: u32 = unsafe { A::read(inode, &at::INODE_NLINK) };
    if hit.levels() > 0 && links > 1 && !hit.is_learned() {
        // SAFETY: the caller vouches for the pointers.
        unsafe { watch::learn::<A>(device, inode, hit) };
    }
    if mode & FMODE_READ != 0 {
        // SAFETY: the task is the current one.
        unsafe { marks::hold(actor.task) };
    }
}

/// The open file behind a descriptor of the current task.
///
/// # Safety
/// `current` must be the current task.
#[inline(always)]
pub unsafe fn file_of(current: Object, descriptor: u32) -> Option<Object> {
    if descriptor == UNKNOWN {
        return None;
    }
    // SAFETY: a field of a task.
    let files: Object = unsafe { load(current, &at::TASK_FILES) };
    let table: Object = probe(files, &at::FILES_FDT)?;
    let descriptors_max: u32 = probe(table, &at::FDTABLE_MAX_FDS)?;
    if descriptor >= descriptors_max {
        return None;
    }
    let array: Object = probe(table, &at::FDTABLE_FD)?;
    let file: Object =
        probe_at(array.wrapping_byte_add(descriptor as usize * size_of::<Object>()))?;
    (!file.is_null()).then_some(file)
}
