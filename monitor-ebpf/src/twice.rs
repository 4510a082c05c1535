//! Second looks: programs that see again what the kernel may have kept from the
//! first.
//!
//! A program on a tracepoint is not run while the same program is in the middle
//! of its work on that processor. As long as tracepoints could not be preempted
//! that never was so; since they can be (Linux 7), a task that is interrupted
//! there keeps the program from all others of its processor until it goes on:
//! one in a thousand starts of programs was seen to go by. So births, ends and
//! starts have two programs, one after the other, and the second does nothing
//! where the first has been. Only where both are kept back something is missed:
//! the kernel counts it, and the agent tells the count.

use aya_ebpf::Global;

/// 1 where the agent attaches second looks. Set before anything is loaded.
#[unsafe(no_mangle)]
pub static SECOND_LOOKS: Global<u32> = Global::new(0);

/// Whether there are second looks.
#[inline(always)]
pub fn has_second_look() -> bool {
    SECOND_LOOKS.load() != 0
}
