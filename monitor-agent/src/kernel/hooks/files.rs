//! Watched files.

use super::{Family, Hook, Tier, syscall, syscalls};
use crate::kernel::offsets::Need;

pub(super) const HOOKS: &[Hook] = &[Hook {
    family: Family::Credential,
    tier: Tier::Tracepoint,
    programs: &[syscalls(
        "open_syscall",
        &[
            syscall!(x86 SYS_open, "open", 5),
            syscall!(SYS_openat, "openat", 295),
            syscall!(SYS_openat2, "openat2", 437),
            syscall!(x86 SYS_creat, "creat", 8),
            syscall!(SYS_open_by_handle_at, "open_by_handle_at", 342),
        ],
    )],
    needs: &[Need::Open, Need::Paths],
    kernel_min: (5, 12),
    sees: "opens of watched files by open, openat, openat2, creat, open_by_handle_at",
    misses: "a descriptor that another thread replaces at once",
}];
