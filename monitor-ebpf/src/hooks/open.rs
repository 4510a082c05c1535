//! Sees: the open of a watched file, or of any file below a watched directory,
//! by its inode: through whatever name, link, mount or namespace. Also kills
//! newborn tasks of killed sessions, which return from their own birth here.
//! Misses: opens by io_uring; a descriptor that another thread replaces before
//! the hook looks; descriptors that arrive over a socket.
//! Minimum kernel: 5.11. Cost: every system call pays an empty program; every
//! open pays seven reads and one look-up.
//!
//! `TP_PROTO(struct pt_regs *regs, long ret)`

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{
    Credential, Fault, Kind, Operation, Ring,
    file::PathTail,
    watch::{WATCH_LEVELS_MAX, WatchKey, WatchValue},
};

use crate::{
    kernel::{Object, current_task, has, load, probe, probe_at},
    maps::{WATCH, WATCH_DEVICES, fault},
    marks, offsets as at,
    path::{identify, unknown, walk},
    sink::{self, PATH_ROOM, Scratch},
    task,
};

/// What a system call is to this hook.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Open,
    Birth,
    Other,
}

/// A watched file was hit.
struct Hit {
    watch_id: u32,
    levels: u32,
}

#[btf_tracepoint(function = "sys_exit")]
pub fn syscall_exit(ctx: BtfTracePointContext) -> i32 {
    let regs: Object = ctx.arg(0);
    let returned: i64 = ctx.arg(1);
    if returned < 0 {
        return 0;
    }
    // SAFETY: a field of the saved registers.
    let number: u64 = unsafe { load(regs, &at::PT_REGS_SYSCALL) };
    let current = current_task();
    // SAFETY: `current` is the current task.
    match unsafe { classify(number as u32, current) } {
        // SAFETY: `current` is the current task.
        Call::Open => unsafe { on_open(current, returned as u32, number as u32) },
        // SAFETY: `current` is the current task.
        Call::Birth if returned == 0 => unsafe { on_birth(current) },
        Call::Birth | Call::Other => {}
    }
    0
}

/// A 32-bit caller on x86 counts system calls otherwise.
#[inline(always)]
unsafe fn classify(number: u32, current: Object) -> Call {
    const TS_COMPAT: u32 = 2;
    /// Bit in the number of an x32 call.
    const X32: u32 = 0x4000_0000;
    if has(&at::TASK_THREAD_STATUS) {
        // SAFETY: a field of a task.
        let status: u32 = unsafe { load(current, &at::TASK_THREAD_STATUS) };
        if status & TS_COMPAT != 0 {
            return classify_ia32(number);
        }
    }
    let number = number & !X32;
    if number == at::NR_OPENAT.load()
        || number == at::NR_OPEN.load()
        || number == at::NR_OPENAT2.load()
        || number == at::NR_CREAT.load()
        || number == at::NR_OPEN_BY_HANDLE_AT.load()
    {
        Call::Open
    } else if number == at::NR_CLONE.load()
        || number == at::NR_CLONE3.load()
        || number == at::NR_VFORK.load()
        || number == at::NR_FORK.load()
    {
        Call::Birth
    } else {
        Call::Other
    }
}

/// Numbers from `arch/x86/entry/syscalls/syscall_32.tbl`.
#[inline(always)]
fn classify_ia32(number: u32) -> Call {
    match number {
        5 | 8 | 295 | 342 | 437 => Call::Open,
        2 | 120 | 190 | 435 => Call::Birth,
        _ => Call::Other,
    }
}

#[inline(always)]
unsafe fn on_birth(current: Object) {
    // SAFETY: `current` is the current task.
    let session = unsafe { marks::of_task(current) };
    if !session.is_none() {
        marks::kill_if_wanted(session);
    }
}

#[inline(always)]
unsafe fn on_open(current: Object, descriptor: u32, syscall: u32) {
    // SAFETY: `current` is the current task.
    let Some(file) = (unsafe { file_of(current, descriptor) }) else {
        fault(Fault::DescriptorRaced);
        return;
    };
    let Some((key, inode)) = key_of(file) else {
        fault(Fault::KernelUnreadable);
        return;
    };
    let hit = match hit_by_inode(key, inode) {
        Some(hit) => Some(hit),
        None if WATCH_DEVICES.get_ptr(key.device).is_some() => hit_by_directory(file, key.device),
        None => None,
    };
    let Some(hit) = hit else { return };
    let Some(scratch) = Scratch::take(Ring::Priority) else {
        return;
    };
    let open = Open {
        current,
        file,
        inode,
        descriptor,
        syscall,
        hit,
    };
    // SAFETY: a scratch record has room for the largest kind.
    unsafe { tell(Scratch::record(scratch), &open) };
    // SAFETY: it was taken above.
    unsafe { Scratch::release(scratch) };
}

/// The open file behind a descriptor of the current task.
#[inline(always)]
unsafe fn file_of(current: Object, descriptor: u32) -> Option<Object> {
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

#[inline(always)]
fn key_of(file: Object) -> Option<(WatchKey, Object)> {
    let inode: Object = probe(file, &at::FILE_INODE)?;
    let super_block: Object = probe(inode, &at::INODE_SB)?;
    let device: u32 = probe(super_block, &at::SUPER_BLOCK_DEV)?;
    let number: u64 = probe(inode, &at::INODE_INO)?;
    Some((
        WatchKey {
            device: u64::from(device),
            inode: number,
        },
        inode,
    ))
}

/// Whether the inode itself is watched. One that took over the number of a
/// watched inode has another generation, and is not.
#[inline(always)]
fn hit_by_inode(key: WatchKey, inode: Object) -> Option<Hit> {
    let watch = WATCH.get_ptr(key)?;
    // SAFETY: a map value lives as long as the program.
    let watch: WatchValue = unsafe { watch.read() };
    if watch.flags & WatchValue::GENERATION_KNOWN != 0 {
        let generation: u32 = probe(inode, &at::INODE_GENERATION)?;
        if generation != watch.generation {
            return None;
        }
    }
    Some(Hit {
        watch_id: watch.watch_id,
        levels: 0,
    })
}

/// Whether a directory above the file, on the same file system, is watched.
#[inline(always)]
fn hit_by_directory(file: Object, device: u64) -> Option<Hit> {
    let mut dentry: Object = probe(file, &at::FILE_PATH_DENTRY)?;
    for level in 1..=WATCH_LEVELS_MAX as u32 {
        let parent: Object = probe(dentry, &at::DENTRY_PARENT)?;
        if parent == dentry {
            return None;
        }
        dentry = parent;
        let inode: Object = probe(dentry, &at::DENTRY_INODE)?;
        let key = WatchKey {
            device,
            inode: probe(inode, &at::INODE_INO)?,
        };
        if let Some(mut hit) = hit_by_inode(key, inode) {
            hit.levels = level;
            return Some(hit);
        }
    }
    fault(Fault::WatchTooDeep);
    None
}

struct Open {
    current: Object,
    file: Object,
    inode: Object,
    descriptor: u32,
    syscall: u32,
    hit: Hit,
}

#[inline(always)]
unsafe fn tell(record: *mut u8, open: &Open) {
    // SAFETY: `current` is the current task.
    let session = unsafe { marks::of_task(open.current) };
    // SAFETY: a scratch record has room for the largest kind.
    let credential = unsafe { &mut *record.cast::<Credential>() };
    // SAFETY: `current` is the current task.
    unsafe {
        task::fill(
            &raw mut credential.header,
            Kind::CREDENTIAL,
            open.current,
            session,
        );
    };
    credential.file = identify(open.inode).unwrap_or_else(unknown);
    credential.other = PathTail { bytes: 0, flags: 0 };
    credential.operation = Operation::OPENED;
    credential.flags = 0;
    credential.watch_id = open.hit.watch_id;
    credential.levels = open.hit.levels;
    credential.open_flags = probe(open.file, &at::FILE_FLAGS).unwrap_or(0);
    credential.open_mode = probe(open.file, &at::FILE_MODE).unwrap_or(0);
    credential.syscall = open.syscall;
    credential.descriptor = open.descriptor;
    // SAFETY: a scratch record has room for a path.
    unsafe {
        walk(
            open.file,
            record.wrapping_add(size_of::<Credential>()),
            &raw mut credential.path,
        );
    };
    let path_bytes = credential.path.bytes as usize;
    if path_bytes > PATH_ROOM {
        return;
    }
    // SAFETY: all of it is written.
    unsafe { sink::output(Ring::Priority, record, size_of::<Credential>() + path_bytes) };
}
