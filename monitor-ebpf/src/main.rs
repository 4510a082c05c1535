//! The kernel programs of monitor.
//!
//! # Layout
//! - [`hooks`]: one program family a file; each says what it sees and misses.
//! - [`task`]: the header of a record, from the current task.
//! - [`marks`]: which session a task belongs to, and how marks spread.
//! - [`scope`]: whether a session's grants open a destination.
//! - [`sink`]: sequence numbers, rings, wake-ups, scratch memory.
//! - [`flood`]: what is told one by one; [`sums`]: what is counted.
//! - [`switch`]: by which the kernel comes to one version of the programs.
//! - [`twice`]: second looks, where the kernel may keep a program back.
//! - [`watch`]: whether a file is watched; [`credential`]: the record of it.
//! - [`peer`]: another process that a record speaks of.
//! - [`sock`]: the kernel's sockets.
//! - [`path`]: the walk from a dentry to the root.
//! - [`atomic`]: numbers that several processors change.
//! - [`kernel`]: reading kernel memory at offsets that user space found.
//! - [`offsets`]: those offsets, set at load.
//! - [`maps`]: every map.
//!
//! Kernel structures are read at offsets that the agent takes from the running
//! kernel's BTF, by field name, before it loads these programs: rustc emits no
//! CO-RE relocations. A family whose fields are missing is not loaded.

#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod atomic;
mod credential;
mod flood;
mod hooks;
mod kernel;
mod maps;
mod marks;
mod offsets;
mod path;
mod peer;
mod scope;
mod sink;
mod sock;
mod sums;
mod switch;
mod task;
mod twice;
mod watch;

/// The kernel lends its GPL-only helpers to programs of a compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
