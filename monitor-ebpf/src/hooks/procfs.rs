//! Sees: opens of the files of `/proc` that reach into another process: its
//! memory, its environment, its login id. Told of a process other than the
//! opener's own. The names are the kernel's own dentries, not what was typed.
//! No program of its own: what looks at opens calls this for files that are
//! not watched.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use monitor_common::{
    Change, HostChange, Kind, Memory, MemoryAccess, ProcessRef, Ring, file::PathTail,
};

use super::security::{ALLOW, Arguments, DENY};
use crate::{
    credential::{Actor, UNKNOWN, syscall_of},
    kernel::{Object, current_task, has, probe, zero},
    offsets as at, peer, sink, task,
    watch::Access,
};

/// `PROC_SUPER_MAGIC` of linux/magic.h.
const MAGIC: u64 = 0x9fa0;
const FMODE_WRITE: u32 = 2;

/// A file of this kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    Memory,
    Environment,
    LoginUid,
}

/// A file of this kind, and the process that it reaches into.
struct Reach {
    file: File,
    target: ProcessRef,
}

/// In the moment of the open. What reaches memory is asked of the ptrace hook
/// as well, which tells it.
///
/// # Safety
/// The pointers must be typed ones.
#[inline(always)]
pub unsafe fn opened_now<C: Arguments>(file: Object, inode: Object) -> i32 {
    // SAFETY: the caller vouches for the pointers.
    let Some(kind) = (unsafe { kind::<crate::watch::Direct>(file, inode) }) else {
        return ALLOW;
    };
    if kind == File::Memory {
        return ALLOW;
    }
    let actor = Actor::here::<C>();
    // SAFETY: the task is the current one.
    let syscall = unsafe { syscall_of(actor.task) }.unwrap_or(UNKNOWN);
    // SAFETY: the caller vouches for the pointers.
    let told = unsafe { tell::<crate::watch::Direct>(&actor, kind, file, inode, syscall) };
    if told && actor.refused { DENY } else { ALLOW }
}

/// After the open.
///
/// # Safety
/// The pointers must fit the kind of access.
#[inline(always)]
pub unsafe fn opened<C: Arguments, A: Access>(file: Object, inode: Object, syscall: u32) {
    // SAFETY: the caller vouches for the pointers.
    if let Some(kind) = unsafe { kind::<A>(file, inode) } {
        let actor = Actor::here::<C>();
        // SAFETY: as above.
        unsafe { tell::<A>(&actor, kind, file, inode, syscall) };
    }
}

#[inline(always)]
unsafe fn kind<A: Access>(file: Object, inode: Object) -> Option<File> {
    // SAFETY: a field of an inode.
    let super_block: Object = unsafe { A::read(inode, &at::INODE_SB) };
    // SAFETY: a field of a super block.
    if unsafe { A::read::<u64>(super_block, &at::SUPER_BLOCK_MAGIC) } != MAGIC {
        return None;
    }
    // SAFETY: a field of an open file.
    let dentry: Object = unsafe { A::read(file, &at::FILE_PATH_DENTRY) };
    // SAFETY: a field of a dentry.
    let length: u32 = unsafe { A::read(dentry, &at::DENTRY_NAME_LENGTH) };
    if length != 3 && length != 7 && length != 8 {
        return None;
    }
    // SAFETY: a field of a dentry.
    let name: Object = unsafe { A::read(dentry, &at::DENTRY_NAME) };
    let mut bytes = [0_u8; 8];
    // SAFETY: at most eight bytes; the helper checks the source.
    unsafe { bpf_probe_read_kernel(bytes.as_mut_ptr().cast(), length & 15, name) };
    match u64::from_le_bytes(bytes) {
        MEM => Some(File::Memory),
        ENVIRON => Some(File::Environment),
        LOGINUID => Some(File::LoginUid),
        _ => None,
    }
}

const MEM: u64 = u64::from_le_bytes(*b"mem\0\0\0\0\0");
const ENVIRON: u64 = u64::from_le_bytes(*b"environ\0");
const LOGINUID: u64 = u64::from_le_bytes(*b"loginuid");

/// Whether there was something to tell.
#[inline(always)]
unsafe fn tell<A: Access>(
    actor: &Actor,
    kind: File,
    file: Object,
    inode: Object,
    syscall: u32,
) -> bool {
    let Some(target) = target(inode) else {
        return false;
    };
    if kind == File::LoginUid {
        // SAFETY: a field of an open file.
        let mode: u32 = unsafe { A::read(file, &at::FILE_MODE) };
        if mode & FMODE_WRITE == 0 {
            return false;
        }
        tell_login_uid(actor, target);
        return true;
    }
    // SAFETY: the helper gives the current task.
    if target.pid == unsafe { task::process_id(current_task()) } {
        return false;
    }
    tell_memory(actor, &Reach { file: kind, target }, syscall);
    true
}

#[inline(always)]
fn tell_memory(actor: &Actor, reach: &Reach, syscall: u32) {
    let Some(record) = sink::reserve::<Memory>(Ring::Priority) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let memory = unsafe { &mut *record };
    // SAFETY: the task is the current one.
    unsafe {
        task::fill(
            &raw mut memory.header,
            Kind::MEMORY,
            actor.task,
            actor.session,
        );
    };
    memory.target = reach.target;
    memory.access = if reach.file == File::Memory {
        MemoryAccess::MEMORY_FILE
    } else {
        MemoryAccess::ENVIRONMENT
    };
    memory.mode = 0;
    memory.syscall = syscall;
    memory.flags = if actor.refused { Memory::DENIED } else { 0 };
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}

#[inline(always)]
fn tell_login_uid(actor: &Actor, target: ProcessRef) {
    let Some(record) = sink::reserve::<HostChange>(Ring::Priority) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let change = unsafe { &mut *record };
    // SAFETY: the task is the current one.
    unsafe {
        task::fill(
            &raw mut change.header,
            Kind::HOST_CHANGE,
            actor.task,
            actor.session,
        );
    };
    change.target = target;
    change.number = 0;
    change.change = Change::LOGIN_UID;
    change.flags = if actor.refused { HostChange::DENIED } else { 0 };
    change.path = PathTail { bytes: 0, flags: 0 };
    change.detail_bytes = 0;
    change.reserved = 0;
    // SAFETY: 64 bytes, behind a multiple of 8.
    unsafe { zero::<8>((&raw mut change.detail).cast()) };
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}

/// The process whose folder the inode lies in. The kernel's own threads have
/// nothing to reach into: lists of processes ask for it all the same.
#[inline(always)]
fn target(inode: Object) -> Option<ProcessRef> {
    if !has(&at::PROC_INODE_INODE) || !has(&at::PROC_INODE_PID) {
        return None;
    }
    let outer = inode.wrapping_byte_sub(at::PROC_INODE_INODE.load() as usize);
    let pid: Object = probe(outer, &at::PROC_INODE_PID)?;
    peer::of_pid_with_memory(pid)
}
