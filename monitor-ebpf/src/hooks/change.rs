//! Sees: what is done to the names, sizes, permissions, owners and attributes
//! of watched files and directories, and what is made, linked, moved and
//! removed below watched directories or at watched names: after the kernel's
//! own permissions allowed it, each once, as its own operation. Refuses it for
//! a session that is contained or killed. A file made by an open is told by the
//! open. Files that are linked or moved out stay watched.
//! Misses: set times. Access lists are attributes before Linux 6.2, and have
//! hooks of their own since.
//! Minimum kernel: 5.12. Cost: paid only by who changes the file system.

use monitor_common::{Credential, Operation};

use super::security::{ALLOW, Arguments, DENY, security_hook};
use crate::{
    credential::{Act, Actor, Subject, tell},
    kernel::{Object, current_task},
    offsets as at,
    watch::{self, Access, Direct, Hit},
};

const ATTR_MODE: u32 = 1;
const ATTR_UID: u32 = 2;
const ATTR_GID: u32 = 4;
const ATTR_SIZE: u32 = 8;
/// The kernel's own doing.
const ATTR_FORCE: u32 = 0x200;
/// Part of an open, which is told.
const ATTR_OPEN: u32 = 0x8000;

security_hook! {
    /// `int inode_create(struct inode *dir, struct dentry *dentry, umode_t mode)`
    inode_create_lsm, inode_create_fentry => create
}
security_hook! {
    /// `int inode_mkdir(struct inode *dir, struct dentry *dentry, umode_t mode)`
    inode_mkdir_lsm, inode_mkdir_fentry => make
}
security_hook! {
    /// `int inode_mknod(struct inode *dir, struct dentry *dentry, umode_t mode, dev_t dev)`
    inode_mknod_lsm, inode_mknod_fentry => make
}
security_hook! {
    /// `int inode_symlink(struct inode *dir, struct dentry *dentry, const char *old_name)`
    inode_symlink_lsm, inode_symlink_fentry => symlink
}
security_hook! {
    /// `int inode_unlink(struct inode *dir, struct dentry *dentry)`
    inode_unlink_lsm, inode_unlink_fentry => remove
}
security_hook! {
    /// `int inode_rmdir(struct inode *dir, struct dentry *dentry)`
    inode_rmdir_lsm, inode_rmdir_fentry => remove
}
security_hook! {
    /// `int inode_setxattr(struct mnt_idmap *idmap, struct dentry *dentry, ...)`
    inode_setxattr_lsm, inode_setxattr_fentry => set_attribute
}
security_hook! {
    /// `int inode_removexattr(struct mnt_idmap *idmap, struct dentry *dentry, ...)`
    inode_removexattr_lsm, inode_removexattr_fentry => set_attribute
}
security_hook! {
    /// `int inode_set_acl(struct mnt_idmap *idmap, struct dentry *dentry, ...)`
    inode_set_acl_lsm, inode_set_acl_fentry => set_attribute
}
security_hook! {
    /// `int inode_remove_acl(struct mnt_idmap *idmap, struct dentry *dentry, ...)`
    inode_remove_acl_lsm, inode_remove_acl_fentry => set_attribute
}
security_hook! {
    /// `int inode_setattr([struct mnt_idmap *idmap,] struct dentry *dentry, struct iattr *attr)`
    inode_setattr_lsm, inode_setattr_fentry => set_stat
}

/// What is done to a name.
struct Deed {
    operation: Operation,
    dentry: Object,
    /// The inode that the record is about; null where there is none.
    about: Object,
    open_flags: u32,
}

/// Tells a deed on a watched name; whether it is refused.
#[inline(always)]
fn done<C: Arguments>(hit: &Hit, deed: &Deed) -> i32 {
    let actor = Actor::here::<C>();
    let act = Act {
        open_flags: deed.open_flags,
        ..Act::now(deed.operation, current_task())
    };
    let subject = Subject::Name {
        dentry: deed.dentry,
        inode: deed.about,
        other: core::ptr::null(),
    };
    tell(&actor, subject, hit, &act);
    if actor.refused { DENY } else { ALLOW }
}

/// The watch of a name in a directory, and of the inode that has it.
///
/// # Safety
/// The pointers must be typed ones.
#[inline(always)]
unsafe fn look_at_name(directory: Object, dentry: Object) -> Option<Hit> {
    // SAFETY: the caller vouches for the pointers.
    unsafe { find_at_name(directory, dentry) }.found()
}

/// The same, for who compares several.
#[inline(always)]
unsafe fn find_at_name(directory: Object, dentry: Object) -> Hit {
    let subject = watch::Subject {
        // SAFETY: a field of a dentry.
        inode: unsafe { Direct::read(dentry, &at::DENTRY_INODE) },
        dentry,
        // SAFETY: the caller vouches for it.
        device: unsafe { watch::device_of::<Direct>(directory) },
    };
    // SAFETY: the caller vouches for the pointers.
    unsafe { watch::find::<Direct>(&subject) }
}

#[inline(always)]
fn new_name<C: Arguments>(ctx: &C, operation: Operation) -> i32 {
    let about: Object = ctx.argument(0);
    let dentry: Object = ctx.argument(1);
    // SAFETY: the hook gives an inode and a dentry.
    let Some(hit) = (unsafe { look_at_name(about, dentry) }) else {
        return ALLOW;
    };
    let deed = Deed {
        operation,
        dentry,
        about,
        open_flags: 0,
    };
    done::<C>(&hit, &deed)
}

/// A regular file: made by an open, which is told itself, or by mknod.
#[inline(always)]
fn create<C: Arguments>(ctx: &C) -> i32 {
    /// mknod and mknodat of 64-bit and 32-bit x86 and of arm64; none of the
    /// numbers makes a file elsewhere.
    const MKNOD: [u32; 5] = [133, 259, 14, 297, 33];
    let about: Object = ctx.argument(0);
    let dentry: Object = ctx.argument(1);
    // SAFETY: the hook gives an inode and a dentry.
    let Some(hit) = (unsafe { look_at_name(about, dentry) }) else {
        return ALLOW;
    };
    let actor = Actor::here::<C>();
    let act = Act::now(Operation::CREATED, current_task());
    let by_mknod = MKNOD.contains(&act.syscall);
    if !by_mknod && !actor.refused {
        return ALLOW;
    }
    let subject = Subject::Name {
        dentry,
        inode: about,
        other: core::ptr::null(),
    };
    tell(&actor, subject, &hit, &act);
    if actor.refused { DENY } else { ALLOW }
}

#[inline(always)]
fn make<C: Arguments>(ctx: &C) -> i32 {
    new_name(ctx, Operation::CREATED)
}

#[inline(always)]
fn symlink<C: Arguments>(ctx: &C) -> i32 {
    new_name(ctx, Operation::SYMLINKED)
}

#[inline(always)]
fn remove<C: Arguments>(ctx: &C) -> i32 {
    let directory: Object = ctx.argument(0);
    let dentry: Object = ctx.argument(1);
    // SAFETY: the hook gives an inode and a dentry.
    let Some(hit) = (unsafe { look_at_name(directory, dentry) }) else {
        return ALLOW;
    };
    // SAFETY: a field of a dentry.
    let about: Object = unsafe { Direct::read(dentry, &at::DENTRY_INODE) };
    let deed = Deed {
        operation: Operation::REMOVED,
        dentry,
        about,
        open_flags: 0,
    };
    let verdict = done::<C>(&hit, &deed);
    if verdict == ALLOW && hit.is_learned() && !about.is_null() {
        // SAFETY: an inode.
        unsafe { watch::unlearn_last_name::<Direct>(about) };
    }
    verdict
}

/// The dentry is the second argument.
#[inline(always)]
fn set_attribute<C: Arguments>(ctx: &C) -> i32 {
    let dentry: Object = ctx.argument(1);
    // SAFETY: the hook gives a dentry.
    unsafe { of_inode::<C>(dentry, Operation::ATTRIBUTES_CHANGED, 0) }
}

#[inline(always)]
fn set_stat<C: Arguments>(ctx: &C) -> i32 {
    let place = if C::CAN_DENY {
        at::SETATTR_DENTRY_LSM.load()
    } else {
        at::SETATTR_DENTRY_FENTRY.load()
    };
    // The argument of the context that is not taken is dead code to the
    // verifier: the place is a constant to it.
    if place == 0 {
        // SAFETY: the hook gives a dentry and attributes.
        unsafe { set_stat_of::<C>(ctx.argument(0), ctx.argument(1)) }
    } else {
        // SAFETY: as above.
        unsafe { set_stat_of::<C>(ctx.argument(1), ctx.argument(2)) }
    }
}

#[inline(always)]
unsafe fn set_stat_of<C: Arguments>(dentry: Object, attributes: Object) -> i32 {
    // SAFETY: a field of attributes.
    let valid: u32 = unsafe { Direct::read(attributes, &at::IATTR_VALID) };
    if valid & (ATTR_FORCE | ATTR_OPEN) != 0 {
        return ALLOW;
    }
    let (operation, value) = if valid & ATTR_UID != 0 {
        // SAFETY: a field of attributes.
        (Operation::OWNER_CHANGED, unsafe {
            Direct::read(attributes, &at::IATTR_UID)
        })
    } else if valid & ATTR_GID != 0 {
        (Operation::OWNER_CHANGED, u32::MAX)
    } else if valid & ATTR_MODE != 0 {
        // SAFETY: a field of attributes.
        (Operation::MODE_CHANGED, unsafe {
            u32::from(Direct::read::<u16>(attributes, &at::IATTR_MODE))
        })
    } else if valid & ATTR_SIZE != 0 {
        (Operation::TRUNCATED, 0)
    } else {
        return ALLOW;
    };
    // SAFETY: the caller vouches for the dentry.
    unsafe { of_inode::<C>(dentry, operation, value) }
}

/// A change of the inode that has a name.
#[inline(always)]
unsafe fn of_inode<C: Arguments>(dentry: Object, operation: Operation, value: u32) -> i32 {
    // SAFETY: a field of a dentry.
    let inode: Object = unsafe { Direct::read(dentry, &at::DENTRY_INODE) };
    if inode.is_null() {
        return ALLOW;
    }
    // SAFETY: the caller vouches for the dentry.
    let subject = unsafe { watch::Subject::new::<Direct>(inode, dentry) };
    // SAFETY: as above.
    let Some(hit) = (unsafe { watch::look::<Direct>(&subject) }) else {
        return ALLOW;
    };
    let deed = Deed {
        operation,
        dentry,
        about: inode,
        open_flags: value,
    };
    done::<C>(&hit, &deed)
}

security_hook! {
    /// `int inode_link(struct dentry *old, struct inode *dir, struct dentry *new)`
    inode_link_lsm, inode_link_fentry => link
}
security_hook! {
    /// `int inode_rename(struct inode *old_dir, struct dentry *old,
    /// struct inode *new_dir, struct dentry *new[, unsigned int flags])`
    inode_rename_lsm, inode_rename_fentry => rename
}

/// A name that becomes, or gets beside it, another.
struct Move {
    old: Object,
    new: Object,
    inode: Object,
    device: u64,
    operation: Operation,
    flags: u32,
}

#[inline(always)]
fn moved<C: Arguments>(from: Hit, to: Hit, step: &Move) -> i32 {
    let hit = if from.is_some() { from } else { to };
    if !hit.is_some() {
        return ALLOW;
    }
    let actor = Actor::here::<C>();
    if !actor.refused && needs_learning(from, to, step.operation) {
        // SAFETY: the hook gave the inode.
        unsafe { watch::learn::<Direct>(step.device, step.inode, &hit) };
    }
    let now = Act::now(step.operation, current_task());
    let act = Act {
        flags: now.flags | step.flags,
        ..now
    };
    let subject = Subject::Name {
        dentry: step.old,
        inode: step.inode,
        other: step.new,
    };
    tell(&actor, subject, &hit, &act);
    if actor.refused { DENY } else { ALLOW }
}

/// Whether the file would be reached past what makes it watched: it gets a name
/// outside, or takes the place of a file that is watched by itself.
#[inline(always)]
fn needs_learning(from: Hit, to: Hit, operation: Operation) -> bool {
    let links = operation == Operation::LINKED;
    if !from.is_some() {
        return links || to.is_own();
    }
    !from.is_own() && (links || !to.is_some())
}

#[inline(always)]
fn link<C: Arguments>(ctx: &C) -> i32 {
    let old: Object = ctx.argument(0);
    let directory: Object = ctx.argument(1);
    let new: Object = ctx.argument(2);
    // SAFETY: a field of a dentry.
    let inode: Object = unsafe { Direct::read(old, &at::DENTRY_INODE) };
    if inode.is_null() {
        return ALLOW;
    }
    // SAFETY: the hook gives an inode and dentries.
    let from = unsafe { find_at_name(directory, old) };
    // SAFETY: as above.
    let to = unsafe { find_at_name(directory, new) };
    let step = Move {
        old,
        new,
        inode,
        // SAFETY: an inode.
        device: unsafe { watch::device_of::<Direct>(inode) },
        operation: Operation::LINKED,
        flags: 0,
    };
    moved::<C>(from, to, &step)
}

#[inline(always)]
fn rename<C: Arguments>(ctx: &C) -> i32 {
    const RENAME_EXCHANGE: u32 = 2;
    let directory: Object = ctx.argument(0);
    let old: Object = ctx.argument(1);
    let new: Object = ctx.argument(3);
    // SAFETY: a field of a dentry.
    let inode: Object = unsafe { Direct::read(old, &at::DENTRY_INODE) };
    if inode.is_null() {
        return ALLOW;
    }
    // SAFETY: the hook gives inodes and dentries, all of one file system.
    let from = unsafe { find_at_name(directory, old) };
    // SAFETY: as above.
    let to = unsafe { find_at_name(directory, new) };
    // SAFETY: a field of a dentry.
    let replaced: Object = unsafe { Direct::read(new, &at::DENTRY_INODE) };
    // SAFETY: an inode.
    let device = unsafe { watch::device_of::<Direct>(inode) };
    // The module's hook is called once for each direction of an exchange, the
    // function only once.
    if !C::CAN_DENY
        && !replaced.is_null()
        && !from.is_some()
        && to.is_some()
        && ctx.argument::<u32>(4) & RENAME_EXCHANGE != 0
    {
        // SAFETY: an inode.
        unsafe { watch::learn::<Direct>(device, replaced, &to) };
    }
    let step = Move {
        old,
        new,
        inode,
        device,
        operation: Operation::RENAMED,
        flags: if replaced.is_null() {
            0
        } else {
            Credential::REPLACED
        },
    };
    moved::<C>(from, to, &step)
}
