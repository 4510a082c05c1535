//! Tells what was counted of a flood: run with `BPF_PROG_TEST_RUN` by the agent,
//! never attached. Argument: the place of the sum. Minimum kernel: 5.12 (atomic
//! operations that return the old value).

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

use crate::sums;

#[raw_tracepoint]
pub fn tell_sum(ctx: RawTracePointContext) -> i32 {
    let place: u64 = ctx.arg(0);
    sums::tell(place as u32);
    0
}
