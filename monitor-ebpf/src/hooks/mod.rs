//! One program family a file. The agent's table of families
//! (`kernel/hooks.rs` there) says which program serves which family on which
//! tier; a program not named there is never loaded.

pub mod connect;
pub mod exec;
pub mod exit;
pub mod fork;
pub mod open;
pub mod security;
pub mod syscall;
pub mod trial;
