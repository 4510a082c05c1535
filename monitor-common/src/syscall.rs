//! The dispatcher on the end of system calls: which program looks at which
//! call.

/// Numbers of system calls that the table covers, for 64-bit callers and for
/// 32-bit ones each.
pub const SYSCALL_NUMBERS_MAX: u32 = 512;
/// Entries of `SYSCALL_SLOTS`: numbers of 64-bit callers, then those of 32-bit
/// callers on x86.
pub const SYSCALL_ENTRIES: usize = 1_024;
/// Where the numbers of 32-bit callers begin.
pub const SYSCALL_IA32: u32 = SYSCALL_NUMBERS_MAX;
/// Slots for programs; slot 0 stays empty: no program.
pub const SYSCALL_SLOTS_MAX: u32 = 32;
