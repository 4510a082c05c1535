//! Sees: the open of a watched file, or of any file below a watched directory,
//! by its inode: through whatever name, link, mount or namespace.
//! Misses: opens by io_uring; a descriptor that another thread replaces before
//! the hook looks; descriptors that arrive over a socket.
//! Minimum kernel: 5.11. Cost: every open pays seven reads and one look-up.
//!
//! `TP_PROTO(struct pt_regs *regs, long ret)`

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{
    Credential, Fault, Kind, Operation, Ring,
    file::PathTail,
    watch::{WATCH_LEVELS_MAX, WatchKey, WatchValue},
};

use crate::{
    hooks::syscall::number,
    kernel::{Object, current_task, load, probe, probe_at},
    maps::{WATCH, WATCH_DEVICES, fault},
    marks, offsets as at,
    path::{identify, unknown, walk},
    sink::{self, PATH_ROOM, Scratch},
    task,
};

/// A watched file was hit.
struct Hit {
    watch_id: u32,
    levels: u32,
}

#[btf_tracepoint(function = "sys_exit")]
pub fn open_syscall(ctx: BtfTracePointContext) -> i32 {
    let regs: Object = ctx.arg(0);
    let returned: i64 = ctx.arg(1);
    if returned >= 0 {
        // SAFETY: the helper gives the current task.
        unsafe { on_open(current_task(), returned as u32, number(regs)) };
    }
    0
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
