//! Sees: the first datagram of a UDP socket to each peer, sent without
//! connecting, over IPv4 and IPv6, before it leaves. Refuses it for a session
//! that is contained, and where the session's grants do not open the peer
//! ([`crate::scope`]).
//! Misses: raw and packet sockets, unix datagrams. Further datagrams to the
//! same peer are let through, or refused for want of a grant, untold, as long as
//! the socket's flow is among the newest that are remembered. A socket remembers the flow that it told last by
//! itself, which is all that most datagrams need.
//! Minimum kernel: 5.8. Attached to the root of cgroup v2. Cost: one look-up in
//! the socket's storage for each datagram that is sent without connecting; a
//! session whose grants are asked pays for the asking each time.

use aya_ebpf::{
    bindings::bpf_sock, helpers::generated::bpf_get_socket_cookie, macros::cgroup_sock_addr,
    programs::SockAddrContext,
};

use super::connect::{ALLOW, DENY, peer_v4, peer_v6, rule, socket_of, tell};
use crate::switch::switched;
use crate::{
    atomic::Number,
    kernel::{Object, current_task},
    maps::{FLOWS, Flow, FlowKey, SENT, SESSIONS_EPOCH, Sent},
    marks, task,
};

switched!(send_v4, "cgroup/sendmsg4", ALLOW);

#[cgroup_sock_addr(sendmsg4)]
pub fn send_v4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the kernel gives a valid context.
    let peer = unsafe { peer_v4(&ctx) };
    // SAFETY: as above.
    unsafe { on_send(&ctx, peer) }
}

switched!(send_v6, "cgroup/sendmsg6", ALLOW);

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
    // SAFETY: the context is valid.
    let socket = unsafe { socket_of(ctx.sock_addr) };
    // SAFETY: the context is valid, and the socket its own.
    let flow = unsafe { flow(ctx, socket, current, peer) };
    // SAFETY: the context's socket.
    if unsafe { is_last_told(socket, &flow) } {
        return ALLOW;
    }
    // SAFETY: `current` is the current task.
    let session = unsafe { marks::of_process(current) };
    // SAFETY: the context is valid.
    let ruling = unsafe { rule(ctx.sock_addr, session, peer) };
    // What is refused because the session is contained is told each time.
    let is_contained = ruling.refused && ruling.version == 0;
    let key = FlowKey {
        // SAFETY: the helper takes the context.
        cookie: unsafe { bpf_get_socket_cookie(ctx.sock_addr.cast()) },
        session,
        peer,
        port: flow.port,
        bound_ifindex: flow.bound_ifindex,
        so_mark: flow.so_mark,
        refused: u32::from(ruling.refused),
    };
    let is_told = !is_contained && FLOWS.get_ptr(key).is_some();
    if !is_told {
        // SAFETY: the context is valid.
        unsafe { tell(ctx.sock_addr, current, session, peer, ruling) };
    }
    if !is_told && !is_contained {
        // A flow that cannot be remembered is told again: none is lost.
        let _ = FLOWS.insert(key, 1, 0);
    }
    if ruling.refused {
        return DENY;
    }
    // What a table says ends with its grants, and is asked each time.
    if !ruling.is_scoped {
        // SAFETY: the context's socket.
        unsafe { remember(socket, flow) };
    }
    ALLOW
}

/// Who sends where to, and what counts of sessions now.
#[inline(always)]
unsafe fn flow(
    ctx: &SockAddrContext,
    socket: *mut bpf_sock,
    current: Object,
    peer: [u32; 4],
) -> Flow {
    let (mut bound_ifindex, mut so_mark) = (0, 0);
    if !socket.is_null() {
        // SAFETY: the socket is there.
        bound_ifindex = unsafe { (*socket).bound_dev_if };
        // SAFETY: as above.
        so_mark = unsafe { (*socket).mark };
    }
    let epoch = SESSIONS_EPOCH
        .get_ptr(0)
        // SAFETY: a map value lives as long as the program.
        .map_or(0, |epoch| unsafe { epoch.read_volatile() });
    Flow {
        // SAFETY: `current` is a task.
        start_boot_ns: unsafe { task::start_boot_ns(current) },
        // SAFETY: `current` is a task.
        pid: unsafe { task::process_id(current) },
        epoch,
        peer,
        // SAFETY: a field of the context.
        port: unsafe { (*ctx.sock_addr).user_port },
        bound_ifindex,
        so_mark,
        reserved: 0,
    }
}

/// Whether the socket told this flow last. The version is read by an atomic
/// addition of nothing, which no read is moved across.
#[inline(always)]
unsafe fn is_last_told(socket: *mut bpf_sock, flow: &Flow) -> bool {
    if socket.is_null() {
        return false;
    }
    // SAFETY: the caller vouches for the socket.
    let Some(sent) = (unsafe { SENT.get(socket) }) else {
        return false;
    };
    // SAFETY: the first word of a value of socket storage.
    let version = unsafe { Number::at(sent.cast()) };
    let before = version.fetch_add(0);
    // SAFETY: a field of a value.
    let last = unsafe { &raw const (*sent).flow };
    // SAFETY: a value of socket storage lives as long as the program.
    let is_same = unsafe { last.read_volatile() } == *flow;
    is_same && before != Sent::BUSY && version.fetch_add(0) == before
}

/// Remembers what was told, unless another processor is at it.
#[inline(always)]
unsafe fn remember(socket: *mut bpf_sock, flow: Flow) {
    if socket.is_null() {
        return;
    }
    // SAFETY: the caller vouches for the socket.
    let Some(sent) = (unsafe { SENT.get_or_insert(socket) }) else {
        return;
    };
    // SAFETY: the first word of a value of socket storage.
    let version = unsafe { Number::at(sent.cast()) };
    let before = version.swap(Sent::BUSY);
    if before == Sent::BUSY {
        return;
    }
    // SAFETY: a field of a value.
    let last = unsafe { &raw mut (*sent).flow };
    // SAFETY: a value of socket storage; nobody else writes now.
    unsafe { last.write_volatile(flow) };
    version.swap(before.wrapping_add(1));
}
