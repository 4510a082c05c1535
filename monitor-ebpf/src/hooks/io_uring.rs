//! Sees: opens of watched files by `io_uring`, when they complete; charged to
//! the process that owns the ring, whose workers have its mark.
//! Misses: direct descriptors, which enter no table of the process; a
//! descriptor that another thread replaces before the hook looks.
//! Minimum kernel: 5.15. Where opens are seen by [`super::file_open`], this is
//! not attached.
//!
//! Up to Linux 6.9 `TP_PROTO(void *ctx, void *req, u64 user_data, int res,
//! ...)`, since then `TP_PROTO(struct io_ring_ctx *ctx, void *req, struct
//! io_uring_cqe *cqe)`

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Credential, Operation};

use super::open::returned_descriptor;
use crate::switch::switched;
use crate::{
    credential::{Act, UNKNOWN},
    kernel::{Object, probe},
    offsets as at,
};

const OPENAT: u8 = 18;
const OPENAT2: u8 = 28;

switched!(io_uring_open, "tp_btf", 0);

#[btf_tracepoint(function = "io_uring_complete")]
pub fn io_uring_open(ctx: BtfTracePointContext) -> i32 {
    let request: Object = ctx.arg(1);
    if request.is_null() {
        return 0;
    }
    let Some(OPENAT | OPENAT2) = probe::<u8>(request, &at::IO_REQUEST_OPCODE) else {
        return 0;
    };
    // 0 is a descriptor of the process, other numbers a direct one.
    if probe::<u32>(request, &at::IO_OPEN_SLOT) != Some(0) {
        return 0;
    }
    let result = if at::IO_COMPLETE_ARGUMENTS.load() > 3 {
        let result: i64 = ctx.arg(3);
        Some(result as i32)
    } else {
        let completion: Object = ctx.arg(2);
        probe::<i32>(completion, &at::IO_COMPLETION_RESULT)
    };
    if let Some(descriptor @ 0..) = result {
        returned_descriptor(Act {
            operation: Operation::OPENED,
            flags: Credential::IO_URING,
            open_flags: 0,
            open_mode: 0,
            syscall: UNKNOWN,
            descriptor: descriptor as u32,
        });
    }
    0
}
