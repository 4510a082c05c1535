//! Sees: the first use of a watched file through a descriptor that the session
//! neither opened nor received: inherited across sessions, or opened before the
//! probes were there. Read, written, mapped; once for each open file and
//! session. Refuses it for a session that is contained or killed.
//! Misses: files that were never opened by a name while the probes looked, and
//! lie below a watched directory without being watched themselves.
//! Minimum kernel: 5.12. Cost: every read and write of the machine pays one
//! test of a bit.
//!
//! `int file_permission(struct file *file, int mask)`
//! `int mmap_file(struct file *file, unsigned long reqprot, unsigned long prot,
//! unsigned long flags)`

use monitor_common::Operation;

use super::{
    open,
    security::{ALLOW, Arguments, DENY, security_hook},
};
use crate::{
    credential::{Act, Actor},
    kernel::{Object, current_task},
    offsets as at,
    watch::{self, Access, Direct},
};

security_hook! {
    file_permission_lsm, file_permission_fentry => file_permission
}

security_hook! {
    mmap_file_lsm, mmap_file_fentry => mmap_file
}

#[inline(always)]
fn file_permission<C: Arguments>(ctx: &C) -> i32 {
    let file: Object = ctx.argument(0);
    // SAFETY: the hook gives an open file.
    unsafe { used::<C>(file, Operation::USED_ELSEWHERE) }
}

#[inline(always)]
fn mmap_file<C: Arguments>(ctx: &C) -> i32 {
    let file: Object = ctx.argument(0);
    // Memory without a file.
    if file.is_null() {
        return ALLOW;
    }
    // SAFETY: the hook gives an open file.
    unsafe { used::<C>(file, Operation::MAPPED) }
}

#[inline(always)]
unsafe fn used<C: Arguments>(file: Object, operation: Operation) -> i32 {
    // SAFETY: the caller vouches for `file`.
    let inode: Object = unsafe { Direct::read(file, &at::FILE_INODE) };
    // SAFETY: as above.
    if !unsafe { watch::is_marked::<Direct>(inode) } {
        return ALLOW;
    }
    // SAFETY: as above.
    unsafe { used_marked::<C>(file, inode, operation) }
}

#[inline(always)]
unsafe fn used_marked<C: Arguments>(file: Object, inode: Object, operation: Operation) -> i32 {
    // SAFETY: the caller vouches for the pointers.
    if !unsafe { watch::is_regular::<Direct>(inode) } {
        return ALLOW;
    }
    let actor = Actor::here::<C>();
    // SAFETY: a field of an inode.
    let number: u64 = unsafe { Direct::read(inode, &at::INODE_INO) };
    if watch::is_remembered(file, number, actor.session) {
        return ALLOW;
    }
    // SAFETY: the caller vouches for the pointers.
    let Some(hit) = (unsafe { open::look_at_file::<Direct>(file, inode) }) else {
        return ALLOW;
    };
    let act = Act::now(operation, current_task());
    // SAFETY: as above.
    unsafe { open::on_hit::<Direct>(&actor, file, inode, &hit, act) };
    if actor.refused { DENY } else { ALLOW }
}
