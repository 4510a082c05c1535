//! Sees: the first datagram of a UDP socket to each peer, sent without
//! connecting, over IPv4 and IPv6, before it leaves. Refuses it for a session
//! that is contained.
//! Misses: raw and packet sockets, unix datagrams. Further datagrams to the
//! same peer are let through untold, as long as the socket's flow is among the
//! newest that are remembered.
//! Minimum kernel: 5.8. Attached to the root of cgroup v2. Cost: one look-up
//! for each datagram that is sent without connecting.

use aya_ebpf::{
    helpers::generated::bpf_get_socket_cookie, macros::cgroup_sock_addr, programs::SockAddrContext,
};
use monitor_common::mark::SessionControl;

use super::connect::{ALLOW, DENY, peer_v4, peer_v6, tell};
use crate::{
    kernel::current_task,
    maps::{FLOWS, FlowKey},
    marks,
};

#[cgroup_sock_addr(sendmsg4)]
pub fn send_v4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the kernel gives a valid context.
    let peer = unsafe { peer_v4(&ctx) };
    // SAFETY: as above.
    unsafe { on_send(&ctx, peer) }
}

#[cgroup_sock_addr(sendmsg6)]
pub fn send_v6(ctx: SockAddrContext) -> i32 {
    // SAFETY: the kernel gives a valid context.
    let peer = unsafe { peer_v6(&ctx) };
    // SAFETY: as above.
    unsafe { on_send(&ctx, peer) }
}

#[inline(always)]
unsafe fn on_send(ctx: &SockAddrContext, peer: [u32; 4]) -> i32 {
    let current = current_task();
    // SAFETY: `current` is the current task.
    let session = unsafe { marks::of_process(current) };
    let refuse = !session.is_none() && marks::state(session) != SessionControl::STATE_OPEN;
    let key = FlowKey {
        // SAFETY: the helper takes the context.
        cookie: unsafe { bpf_get_socket_cookie(ctx.sock_addr.cast()) },
        session,
        peer,
        // SAFETY: a field of the context.
        port: unsafe { (*ctx.sock_addr).user_port },
        reserved: 0,
    };
    if !refuse && FLOWS.get_ptr(key).is_some() {
        return ALLOW;
    }
    // SAFETY: the context is valid.
    unsafe { tell(ctx.sock_addr, current, session, peer, refuse) };
    if refuse {
        return DENY;
    }
    // A flow that cannot be remembered is told again: none is lost.
    let _ = FLOWS.insert(key, 1, 0);
    ALLOW
}
