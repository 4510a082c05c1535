//! Sees: the descriptor of a watched file that arrives from another process,
//! over a socket (`SCM_RIGHTS`) or by `pidfd_getfd`. Refuses it for a session
//! that is contained or killed.
//! Misses: nothing known. Minimum kernel: 5.12.
//! Cost: paid only by who receives descriptors.
//!
//! `int file_receive(struct file *file)`

use monitor_common::Operation;

use super::{
    input, open,
    security::{ALLOW, Arguments, DENY, security_hook},
};
use crate::{
    credential::{Act, Actor},
    kernel::{Object, current_task},
    offsets as at,
    watch::{Access, Direct},
};

security_hook! {
    file_receive_lsm, file_receive_fentry => file_receive
}

#[inline(always)]
fn file_receive<C: Arguments>(ctx: &C) -> i32 {
    let file: Object = ctx.argument(0);
    // SAFETY: the hook gives an open file.
    let inode: Object = unsafe { Direct::read(file, &at::FILE_INODE) };
    // SAFETY: as above.
    unsafe { input::fifo::<C, Direct>(file, inode) };
    // SAFETY: as above.
    let Some(hit) = (unsafe { open::look_at_file::<Direct>(file, inode) }) else {
        return ALLOW;
    };
    let actor = Actor::here::<C>();
    let act = Act::now(Operation::RECEIVED, current_task());
    // SAFETY: as above.
    unsafe { open::on_hit::<Direct>(&actor, file, inode, &hit, act) };
    if actor.refused { DENY } else { ALLOW }
}
