//! One body, two programs: a hook of the BPF security module, and the entry of
//! the kernel function `security_...` that calls it. Both get the same
//! arguments; only the first can refuse.

use aya_ebpf::{
    Argument,
    programs::{BtfTracePointContext, FEntryContext, LsmContext},
};

/// Go on.
pub const ALLOW: i32 = 0;
/// Refuse: `EPERM`.
pub const DENY: i32 = -1;

/// What a hook answers. Two answers by two ways: of one that is computed, the
/// verifier does not know that it is an error number or none.
#[inline(always)]
pub fn answer(verdict: i32) -> i32 {
    if verdict == ALLOW {
        return ALLOW;
    }
    // SAFETY: no instruction; the compiler may not merge the ways.
    #[cfg(target_arch = "bpf")]
    unsafe {
        core::arch::asm!("");
    };
    DENY
}

/// Arguments of a hook, whatever it is attached to.
pub trait Arguments {
    /// Whether what the body returns counts.
    const CAN_DENY: bool;

    /// The `n`th, from 0.
    fn argument<T: Argument>(&self, n: usize) -> T;
}

impl Arguments for LsmContext {
    const CAN_DENY: bool = true;

    #[inline(always)]
    fn argument<T: Argument>(&self, n: usize) -> T {
        self.arg(n)
    }
}

impl Arguments for FEntryContext {
    const CAN_DENY: bool = false;

    #[inline(always)]
    fn argument<T: Argument>(&self, n: usize) -> T {
        self.arg(n)
    }
}

impl Arguments for BtfTracePointContext {
    const CAN_DENY: bool = false;

    #[inline(always)]
    fn argument<T: Argument>(&self, n: usize) -> T {
        self.arg(n)
    }
}

/// Makes the two programs of one body, and the two by which the kernel comes to
/// them. The agent's table says what each is attached to.
macro_rules! security_hook {
    ($(#[$doc:meta])* $lsm:ident, $fentry:ident => $body:ident) => {
        $crate::switch::switched!($lsm, "lsm", $crate::hooks::security::ALLOW);
        $crate::switch::switched!($fentry, "fentry", 0);
        $crate::hooks::security::both! { $(#[$doc])* $lsm, $fentry => $body }
    };
}
pub(crate) use security_hook;

/// Makes the two programs of one body.
macro_rules! both {
    ($(#[$doc:meta])* $lsm:ident, $fentry:ident => $body:ident) => {
        $(#[$doc])*
        #[aya_ebpf::macros::lsm]
        pub fn $lsm(ctx: aya_ebpf::programs::LsmContext) -> i32 {
            $crate::hooks::security::answer($body(&ctx))
        }

        $(#[$doc])*
        #[aya_ebpf::macros::fentry]
        pub fn $fentry(ctx: aya_ebpf::programs::FEntryContext) -> i32 {
            let _ = $body(&ctx);
            0
        }
    };
}
pub(crate) use both;
