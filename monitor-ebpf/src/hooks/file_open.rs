//! Sees: every open of a watched file, in the moment that the kernel decides
//! about it: through whatever name, link, mount, handle or namespace, by
//! whatever call, `io_uring` and execve included. Refuses it for a session that
//! is contained or killed. Opens of FIFOs by sessions ([`super::input`]).
//! Misses: nothing known; opens as a path only are not told (`O_PATH`).
//! Minimum kernel: 5.12. Cost: an open of an unwatched file pays some 60
//! instructions and some 20 for each directory above it.
//!
//! `int file_open(struct file *file)`

use monitor_common::Operation;

use super::{
    input, open, procfs,
    security::{ALLOW, Arguments, DENY, security_hook},
};
use crate::{
    credential::{Act, Actor},
    kernel::{Object, current_task},
    offsets as at,
    watch::{Access, Direct},
};

security_hook! {
    file_open_lsm, file_open_fentry => file_open
}

#[inline(always)]
fn file_open<C: Arguments>(ctx: &C) -> i32 {
    let file: Object = ctx.argument(0);
    // SAFETY: the hook gives an open file.
    let inode: Object = unsafe { Direct::read(file, &at::FILE_INODE) };
    // SAFETY: as above.
    unsafe { input::fifo::<C, Direct>(file, inode) };
    // SAFETY: as above.
    let Some(hit) = (unsafe { open::look_at_file::<Direct>(file, inode) }) else {
        // SAFETY: as above.
        return unsafe { procfs::opened_now::<C>(file, inode) };
    };
    let actor = Actor::here::<C>();
    let act = Act::now(Operation::OPENED, current_task());
    // SAFETY: as above.
    unsafe { open::on_hit::<Direct>(&actor, file, inode, &hit, act) };
    if actor.refused { DENY } else { ALLOW }
}
