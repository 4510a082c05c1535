//! Who a file is, for user space: run with `BPF_PROG_TEST_RUN` in the thread
//! that asks, never attached. Arguments: a descriptor of that thread, and the
//! key of the answer. Minimum kernel: 5.11.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use monitor_common::watch::Identified;

use crate::{
    hooks::open::file_of,
    kernel::{Object, current_task, probe},
    maps::IDENTIFIED,
    offsets as at,
};

#[raw_tracepoint]
pub fn identify_fd(ctx: RawTracePointContext) -> i32 {
    let descriptor: u64 = ctx.arg(0);
    let ticket: u64 = ctx.arg(1);
    // SAFETY: the helper gives the current task.
    let file = unsafe { file_of(current_task(), descriptor as u32) };
    if let Some(found) = file.and_then(identified) {
        // Without room there is no answer, which user space sees.
        let _ = IDENTIFIED.insert(ticket, found, 0);
    }
    0
}

#[inline(always)]
fn identified(file: Object) -> Option<Identified> {
    let inode: Object = probe(file, &at::FILE_INODE)?;
    let super_block: Object = probe(inode, &at::INODE_SB)?;
    let device: u32 = probe(super_block, &at::SUPER_BLOCK_DEV)?;
    let mode: u16 = probe(inode, &at::INODE_MODE)?;
    Some(Identified {
        device: u64::from(device),
        inode: probe(inode, &at::INODE_INO)?,
        generation: probe(inode, &at::INODE_GENERATION)?,
        mode: u32::from(mode),
        node: probe(inode, &at::INODE_RDEV)?,
        found: 1,
    })
}
