//! Sees: signals by which one process makes another dump its memory, and
//! signals of a session to processes of another; and the agent's signal to
//! itself, which comes back as its pulse.
//! Misses: signals that the kernel sends by itself; all others.
//! Minimum kernel: 5.12. Cost: every signal of the machine pays three
//! comparisons.
//!
//! `TP_PROTO(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Kind, Pulse, Ring, Signal};

use crate::switch::switched;
use crate::{
    kernel::{Object, current_task, probe},
    marks, offsets as at, peer, sink, task,
};

/// Signals that dump memory where nobody catches them (signal(7)).
const DUMPS: u32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 24 | 1 << 25 | 1 << 31;

switched!(signal_sent, "tp_btf", 0);

#[btf_tracepoint(function = "signal_generate")]
pub fn signal_sent(ctx: BtfTracePointContext) -> i32 {
    let signal: u32 = ctx.arg(0);
    let target: Object = ctx.arg(2);
    if !is_asked_for(&ctx) {
        return 0;
    }
    let current = current_task();
    // SAFETY: the helper and the tracepoint give tasks.
    if unsafe { task::process_id(current) } == unsafe { task::process_id(target) } {
        // SAFETY: the helper gives a task.
        if signal == Pulse::SIGNAL && unsafe { task::is_agent(current) } {
            // SAFETY: it is the current one.
            unsafe { sink::pulse(current) };
        }
        return 0;
    }
    // SAFETY: the helper gives a task.
    let session = unsafe { marks::of_task(current) };
    // SAFETY: the tracepoint gives a task.
    let to = unsafe { marks::of_task(target) };
    let dumps = signal < 32 && DUMPS >> signal & 1 != 0;
    let crosses = !session.is_none() && !to.is_none() && session != to;
    if !dumps && !crosses {
        return 0;
    }
    let Some(record) = sink::reserve::<Signal>(Ring::Priority) else {
        return 0;
    };
    // SAFETY: the record is ours until it is submitted.
    let told = unsafe { &mut *record };
    // SAFETY: `current` is the current task.
    unsafe { task::fill(&raw mut told.header, Kind::SIGNAL, current, session) };
    // SAFETY: the tracepoint gives a task.
    told.target = unsafe { peer::of_task(target) };
    told.signal = signal;
    told.reserved = 0;
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
    0
}

/// Whether a process sent it by kill, sigqueue or tgkill.
#[inline(always)]
fn is_asked_for(ctx: &BtfTracePointContext) -> bool {
    const SI_USER: i32 = 0;
    const SI_QUEUE: i32 = -1;
    const SI_TKILL: i32 = -6;
    /// Below are no addresses but signs: "no information", "the kernel's own".
    const SIGNS_END: u64 = 3;
    let address: u64 = ctx.arg(1);
    if address < SIGNS_END {
        return false;
    }
    let info: Object = ctx.arg(1);
    // Newer verifiers do not take it for an address: it may be a sign.
    let code: Option<i32> = probe(info, &at::SIGINFO_CODE);
    matches!(code, Some(SI_USER | SI_QUEUE | SI_TKILL))
}
