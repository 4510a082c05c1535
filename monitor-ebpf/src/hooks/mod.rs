//! One program family a file. The agent's table of families
//! (`kernel/hooks.rs` there) says which program serves which family on which
//! tier; a program not named there is never loaded.

pub mod arguments;
pub mod birth;
pub mod change;
pub mod change_fd;
pub mod connect;
pub mod exec;
pub mod exit;
pub mod file_open;
pub mod file_receive;
pub mod file_use;
pub mod fork;
pub mod host_change;
pub mod identify;
pub mod identity;
pub mod input;
pub mod io_uring;
pub mod local;
pub mod memory;
pub mod open;
pub mod procfs;
pub mod received;
pub mod script;
pub mod security;
pub mod send;
pub mod signal;
pub mod socket;
pub mod sum;
pub mod syscall;
pub mod trial;
