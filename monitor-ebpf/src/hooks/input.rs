//! Sees: what may bring one session's words to another's process without a
//! socket: FIFOs that a session opens (and pipes, by their names in /proc), and
//! input that it pushes into a terminal (`TIOCSTI`).
//! Misses: pipes that are inherited, whose ends the agent looks for; what is
//! written to the master of a terminal, by who got its descriptor; input of the
//! console's selection (`TIOCLINUX`); failed pushes of who may not (told where
//! the caller has `CAP_SYS_ADMIN`).
//! Minimum kernel: 5.12. Cost: opens pay two instructions for FIFOs, and calls
//! of ioctl on terminals a comparison.

use aya_ebpf::{
    helpers::generated::bpf_probe_read_kernel_str,
    macros::{btf_tracepoint, fentry},
    programs::{BtfTracePointContext, FEntryContext},
};
use monitor_common::{Kind, LocalConnect, ProcessRef, Ring};

use super::{change_fd::argument, open::file_of, security::Arguments};
use crate::switch::switched;
use crate::{
    credential::Actor,
    kernel::{Object, current_task, load, probe},
    offsets as at,
    path::{NO_FILE, identify},
    peer, sink, task,
    watch::Access,
};

const FORMAT: u16 = 0o170_000;
const FIFO: u16 = 0o010_000;
const FMODE_READ: u32 = 1;
const FMODE_WRITE: u32 = 2;
const TIOCSTI: u32 = 0x5412;
const CAP_SYS_ADMIN: u32 = 21;

/// Tells of an open file that is a FIFO.
///
/// # Safety
/// The pointers must fit the kind of access.
#[inline(always)]
pub unsafe fn fifo<C: Arguments, A: Access>(file: Object, inode: Object) {
    // SAFETY: a field of an inode.
    let mode: u16 = unsafe { A::read(inode, &at::INODE_MODE) };
    if mode & FORMAT != FIFO {
        return;
    }
    let actor = Actor::here::<C>();
    if actor.session.is_none() {
        return;
    }
    // SAFETY: a field of an open file.
    let mode: u32 = unsafe { A::read(file, &at::FILE_MODE) };
    let mut flags = LocalConnect::FIFO;
    if mode & FMODE_READ != 0 {
        flags |= LocalConnect::READS;
    }
    if mode & FMODE_WRITE != 0 {
        flags |= LocalConnect::WRITES;
    }
    // SAFETY: a field of an open file.
    let dentry: Object = unsafe { A::read(file, &at::FILE_PATH_DENTRY) };
    // SAFETY: a field of a dentry.
    let name: Object = unsafe { A::read(dentry, &at::DENTRY_NAME) };
    tell(&actor, inode, peer::NOBODY, (name, flags));
}

switched!(terminal_fentry, "fentry", 0);

/// `long tty_ioctl(struct file *file, unsigned int cmd, unsigned long arg)`
#[fentry]
pub fn terminal_fentry(ctx: FEntryContext) -> i32 {
    let command: u32 = ctx.arg(1);
    if command == TIOCSTI {
        let file: Object = ctx.arg(0);
        let actor = Actor::here::<FEntryContext>();
        // SAFETY: the task is the current one.
        let cred: Object = unsafe { load(actor.task, &at::TASK_CRED) };
        // SAFETY: a field of credentials; the first word of the set.
        let capabilities: u32 = unsafe { load(cred, &at::CRED_CAPABILITIES) };
        // Into its own terminal everybody may push, and nobody else is steered.
        if capabilities >> CAP_SYS_ADMIN & 1 != 0 {
            pushed(&actor, file);
        }
    }
    0
}

/// `ioctl(descriptor, command, ...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn ioctl_syscall(ctx: BtfTracePointContext) -> i32 {
    let regs: Object = ctx.arg(0);
    if argument(regs, 1) as u32 == TIOCSTI {
        // SAFETY: the helper gives the current task.
        let file = unsafe { file_of(current_task(), argument(regs, 0) as u32) };
        if let Some(file) = file {
            pushed(&Actor::here::<BtfTracePointContext>(), file);
        }
    }
    0
}

/// Tells of input pushed into the terminal that a file is. What the call took
/// was one, so the file's private data are those of a terminal.
#[inline(always)]
fn pushed(actor: &Actor, file: Object) {
    if actor.session.is_none() {
        return;
    }
    let Some(private) = probe::<Object>(file, &at::FILE_PRIVATE) else {
        return;
    };
    let Some(terminal) = probe::<Object>(private, &at::TERMINAL_FILE_TERMINAL) else {
        return;
    };
    let leader: Object = probe(terminal, &at::TERMINAL_SESSION).unwrap_or(core::ptr::null());
    let name = terminal.wrapping_byte_add(at::TERMINAL_NAME.load() as usize);
    let inode: Object = probe(file, &at::FILE_INODE).unwrap_or(core::ptr::null());
    let flags = LocalConnect::TERMINAL;
    tell(actor, inode, peer::of_pid(leader), (name, flags));
}

#[inline(always)]
fn tell(actor: &Actor, inode: Object, peer: ProcessRef, (name, flags): (Object, u32)) {
    let Some(record) = sink::reserve::<LocalConnect>(Ring::Priority) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let told = unsafe { &mut *record };
    // SAFETY: the task is the current one.
    unsafe {
        task::fill(
            &raw mut told.header,
            Kind::LOCAL_CONNECT,
            actor.task,
            actor.session,
        );
    };
    told.peer = peer;
    told.socket = identify(inode).unwrap_or(NO_FILE);
    told.family = 0;
    told.socket_type = 0;
    told.protocol = 0;
    told.name_bytes = 0;
    told.port = 0;
    told.cid = 0;
    told.watch_id = 0;
    told.flags = flags;
    told.name = [0; 112];
    // SAFETY: the field has room for as much; the helper checks the source.
    let read = unsafe { bpf_probe_read_kernel_str(told.name.as_mut_ptr().cast(), 112, name) };
    if read > 0 {
        told.name_bytes = read as u16 - 1;
    }
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}
