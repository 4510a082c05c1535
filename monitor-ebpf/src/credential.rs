//! What all hooks on watched files have in common: who acts, whether it is
//! refused, and the record of it.

use aya_ebpf::helpers::generated::bpf_task_pt_regs;
use monitor_common::{
    Credential, Kind, Operation, SessionMark,
    file::{PATH_BYTES_MAX, PathTail},
    mark::SessionControl,
};

use crate::{
    flood::{self, Way},
    hooks::{security::Arguments, syscall::number},
    kernel::{Object, current_task, load},
    marks, offsets as at,
    path::{NO_FILE, identify, unknown, walk, walk_dentry},
    sink::{self, Scratch},
    sums, task,
    watch::Hit,
};

/// Stands for a number that is not known.
pub const UNKNOWN: u32 = u32::MAX;
const IO_URING_ENTER: u32 = 426;

/// Who acts, and whether that is refused.
#[derive(Clone, Copy)]
pub struct Actor {
    /// The current task.
    pub task: Object,
    /// Its session.
    pub session: SessionMark,
    /// The session is contained or killed, and this hook can refuse.
    pub refused: bool,
}

impl Actor {
    /// The current task, seen by a hook of this kind.
    #[inline(always)]
    pub fn here<C: Arguments>() -> Self {
        let task = current_task();
        // SAFETY: the helper gives the current task.
        let session = unsafe { marks::of_task(task) };
        let refused = C::CAN_DENY
            && !session.is_none()
            && marks::state(session) != SessionControl::STATE_OPEN;
        Self {
            task,
            session,
            refused,
        }
    }
}

/// What is done, by which call.
#[derive(Clone, Copy)]
pub struct Act {
    /// See [`Credential::operation`].
    pub operation: Operation,
    /// See [`Credential::flags`].
    pub flags: u32,
    /// See [`Credential::open_flags`].
    pub open_flags: u32,
    /// See [`Credential::open_mode`].
    pub open_mode: u32,
    /// See [`Credential::syscall`].
    pub syscall: u32,
    /// See [`Credential::descriptor`].
    pub descriptor: u32,
}

impl Act {
    /// An act in the middle of a system call of the current task.
    #[inline(always)]
    pub fn now(operation: Operation, task: Object) -> Self {
        // SAFETY: `task` is the current task.
        let (syscall, flags) = match unsafe { syscall_of(task) } {
            None => (UNKNOWN, Credential::IO_URING),
            Some(IO_URING_ENTER) => (IO_URING_ENTER, Credential::IO_URING),
            Some(syscall) => (syscall, 0),
        };
        Self {
            operation,
            flags,
            open_flags: 0,
            open_mode: 0,
            syscall,
            descriptor: UNKNOWN,
        }
    }
}

/// The system call that a task is in; none for a worker of `io_uring`.
///
/// # Safety
/// `task` must be the current task.
#[inline(always)]
pub unsafe fn syscall_of(task: Object) -> Option<u32> {
    const PF_IO_WORKER: u32 = 0x10;
    // SAFETY: a field of a task.
    let flags: u32 = unsafe { load(task, &at::TASK_FLAGS) };
    if flags & PF_IO_WORKER != 0 {
        return None;
    }
    // SAFETY: the caller vouches for `task`.
    let regs = unsafe { bpf_task_pt_regs(task.cast_mut().cast()) } as Object;
    Some(number(regs))
}

/// What a record speaks of.
#[derive(Clone, Copy)]
pub enum Subject {
    /// An open file and its inode.
    File {
        /// The open file.
        file: Object,
        /// Its inode.
        inode: Object,
    },
    /// A name, the inode that it has or will have (or null), and the name that
    /// it gets (or null).
    Name {
        /// The name.
        dentry: Object,
        /// The inode.
        inode: Object,
        /// The other name.
        other: Object,
    },
}

/// Sends the record of an act on a watched file.
#[inline(always)]
pub fn tell(actor: &Actor, subject: Subject, hit: &Hit, act: &Act) {
    let way = flood::way(actor, subject, hit, act);
    if way.is_told() {
        return;
    }
    let Some(scratch) = Scratch::take(way.ring()) else {
        if let Some(place) = way.sum() {
            sums::give_up(place);
        }
        return;
    };
    // SAFETY: a scratch record has room for the largest kind.
    unsafe { tell_in(Scratch::record(scratch), actor, subject, (hit, way), act) };
    // SAFETY: it was taken above.
    unsafe { Scratch::release(scratch) };
}

#[inline(always)]
unsafe fn tell_in(
    record: *mut u8,
    actor: &Actor,
    subject: Subject,
    (hit, way): (&Hit, Way),
    act: &Act,
) {
    // SAFETY: a scratch record has room for the largest kind.
    let credential = unsafe { &mut *record.cast::<Credential>() };
    let header = &raw mut credential.header;
    // SAFETY: `task` is the current task.
    unsafe { task::fill(header, Kind::CREDENTIAL, actor.task, actor.session) };
    credential.other = PathTail { bytes: 0, flags: 0 };
    credential.operation = act.operation;
    credential.flags = act.flags
        | if actor.refused { Credential::DENIED } else { 0 }
        | if hit.is_learned() {
            Credential::LEARNED
        } else {
            0
        };
    credential.watch_id = hit.watch_id();
    credential.levels = hit.levels();
    credential.open_flags = act.open_flags;
    credential.open_mode = act.open_mode;
    credential.syscall = act.syscall;
    credential.descriptor = act.descriptor;
    credential.first_boot_ns = credential.header.boot_ns;
    credential.count = 1;
    credential.reserved = 0;
    let inode = match subject {
        Subject::File { inode, .. } | Subject::Name { inode, .. } => inode,
    };
    credential.file = if inode.is_null() {
        NO_FILE
    } else {
        identify(inode).unwrap_or_else(unknown)
    };
    // SAFETY: a scratch record has room for two paths.
    let bytes = unsafe { fill_paths(record, credential, subject) };
    let place = way.sum();
    if bytes > 2 * PATH_BYTES_MAX {
        if let Some(place) = place {
            sums::give_up(place);
        }
        return;
    }
    let bytes = size_of::<Credential>() + bytes;
    let Some(place) = place else {
        // SAFETY: all of it is written.
        unsafe { sink::output(way.ring(), record, bytes) };
        return;
    };
    // SAFETY: all of it is written, and the place comes from there.
    if !unsafe { sums::keep(place, record, bytes) } {
        sink::lost(way.ring());
    }
}

/// Writes the labels behind the fixed part; how many bytes.
#[inline(always)]
unsafe fn fill_paths(record: *mut u8, credential: &mut Credential, subject: Subject) -> usize {
    let room = record.wrapping_add(size_of::<Credential>());
    let path = &raw mut credential.path;
    let (dentry, other) = match subject {
        Subject::File { file, .. } => {
            // SAFETY: a scratch record has room for a path.
            unsafe { walk(file, room, path) };
            return credential.path.bytes as usize;
        }
        Subject::Name { dentry, other, .. } => (dentry, other),
    };
    // SAFETY: as above.
    unsafe { walk_dentry(dentry, room, path) };
    let first = credential.path.bytes as usize;
    if other.is_null() || first > PATH_BYTES_MAX {
        return first;
    }
    // SAFETY: behind a path is room for another.
    unsafe { walk_dentry(other, room.wrapping_add(first), &raw mut credential.other) };
    first + credential.other.bytes as usize
}
