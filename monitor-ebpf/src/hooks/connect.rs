//! Sees: every connect of a TCP or UDP socket, over IPv4 and IPv6, after the
//! kernel copied the address and before the first packet; io_uring's too.
//! Refuses it for a session that is contained, and where the session's grants do
//! not open the peer ([`crate::scope`]).
//! Misses: other protocols, which [`super::local`] tells; datagrams sent without
//! connecting, which [`super::send`] tells.
//! Minimum kernel: 5.8 (ring buffer). Attached to the root of cgroup v2.

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_addr},
    helpers::generated::bpf_get_netns_cookie,
    macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use monitor_common::{Connect, Kind, Ring, SessionMark, mark::SessionControl};

use crate::switch::switched;
use crate::{
    kernel::{Object, current_task, has, probe},
    marks, offsets as at,
    scope::{self, Ruling},
    sink, task,
};

/// Go on.
pub const ALLOW: i32 = 1;
/// Refuse: `EPERM`.
pub const DENY: i32 = 0;

switched!(connect_v4, "cgroup/connect4", ALLOW);

#[cgroup_sock_addr(connect4)]
pub fn connect_v4(ctx: SockAddrContext) -> i32 {
    // SAFETY: the kernel gives a valid context.
    let peer = unsafe { peer_v4(&ctx) };
    // SAFETY: as above.
    unsafe { on_connect(&ctx, peer) }
}

switched!(connect_v6, "cgroup/connect6", ALLOW);

#[cgroup_sock_addr(connect6)]
pub fn connect_v6(ctx: SockAddrContext) -> i32 {
    // SAFETY: the kernel gives a valid context.
    let peer = unsafe { peer_v6(&ctx) };
    // SAFETY: as above.
    unsafe { on_connect(&ctx, peer) }
}

/// The peer as an IPv4-mapped IPv6 address, network byte order.
///
/// # Safety
/// The context must be valid, and that of an IPv4 socket's hook.
#[inline(always)]
pub unsafe fn peer_v4(ctx: &SockAddrContext) -> [u32; 4] {
    // SAFETY: the caller vouches for the context.
    let peer = unsafe { (*ctx.sock_addr).user_ip4 };
    [0, 0, 0xffff_u32.to_be(), peer]
}

/// The peer, network byte order.
///
/// # Safety
/// The context must be valid, and that of an IPv6 socket's hook.
#[inline(always)]
pub unsafe fn peer_v6(ctx: &SockAddrContext) -> [u32; 4] {
    // SAFETY: the caller vouches for the context.
    let peer = unsafe { &raw const (*ctx.sock_addr).user_ip6 }.cast::<u32>();
    // SAFETY: word by word, as the verifier wants it; there are four.
    let word = |at: usize| unsafe { peer.wrapping_add(at).read_volatile() };
    [word(0), word(1), word(2), word(3)]
}

#[inline(always)]
unsafe fn on_connect(ctx: &SockAddrContext, peer: [u32; 4]) -> i32 {
    let current = current_task();
    // SAFETY: `current` is the current task.
    let session = unsafe { marks::of_process(current) };
    // SAFETY: the context is valid.
    let ruling = unsafe { rule(ctx.sock_addr, session, peer) };
    // SAFETY: the context is valid.
    unsafe { tell(ctx.sock_addr, current, session, peer, ruling) };
    if ruling.refused { DENY } else { ALLOW }
}

/// What is said of a peer: nothing, where there is no session.
///
/// # Safety
/// The context must be valid.
#[inline(always)]
pub unsafe fn rule(ctx: *mut bpf_sock_addr, session: SessionMark, peer: [u32; 4]) -> Ruling {
    if session.is_none() {
        return Ruling::OPEN;
    }
    // SAFETY: a field of the context.
    let port = u16::from_be(unsafe { (*ctx).user_port } as u16);
    let ruling = scope::ask(session, peer, port);
    Ruling {
        refused: ruling.refused || marks::state(session) != SessionControl::STATE_OPEN,
        ..ruling
    }
}

/// Tells where a socket goes.
///
/// # Safety
/// The context must be valid, `current` the current task.
#[inline(always)]
pub unsafe fn tell(
    ctx: *mut bpf_sock_addr,
    current: Object,
    session: SessionMark,
    peer: [u32; 4],
    ruling: Ruling,
) {
    let Some(record) = sink::reserve::<Connect>(Ring::Priority) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let connect = unsafe { &mut *record };
    // SAFETY: `current` is the current task.
    unsafe { task::fill(&raw mut connect.header, Kind::CONNECT, current, session) };
    // SAFETY: sixteen bytes either way; alignment of the record is 8.
    unsafe { (&raw mut connect.addr).cast::<[u32; 4]>().write(peer) };
    connect.flags = if ruling.refused { Connect::DENIED } else { 0 };
    connect.scope_version = ruling.version;
    // SAFETY: the context is valid.
    unsafe { fill_socket(connect, ctx) };
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}

#[inline(always)]
unsafe fn fill_socket(connect: &mut Connect, ctx: *mut bpf_sock_addr) {
    // SAFETY: the helper takes the context.
    connect.netns_cookie = unsafe { bpf_get_netns_cookie(ctx.cast()) };
    // SAFETY: a field of the context.
    connect.port = u16::from_be(unsafe { (*ctx).user_port } as u16);
    // SAFETY: a field of the context.
    connect.family = unsafe { (*ctx).family } as u16;
    // SAFETY: a field of the context.
    connect.protocol = unsafe { (*ctx).protocol } as u16;
    // SAFETY: a field of the context.
    connect.socket_type = unsafe { (*ctx).type_ } as u16;
    connect.bound_ifindex = 0;
    connect.so_mark = 0;
    connect.netns = 0;
    // SAFETY: the context is valid.
    let sk = unsafe { socket_of(ctx) };
    if sk.is_null() {
        return;
    }
    // SAFETY: the socket is there.
    connect.bound_ifindex = unsafe { (*sk).bound_dev_if };
    // SAFETY: the socket is there.
    connect.so_mark = unsafe { (*sk).mark };
    if has(&at::SOCK_ADDR_SK) && has(&at::SOCK_NET) {
        connect.netns = socket_namespace(ctx.cast_const().cast()).unwrap_or(0);
    }
}

/// The context's socket; may be null.
///
/// # Safety
/// The context must be valid.
#[inline(always)]
pub unsafe fn socket_of(ctx: *mut bpf_sock_addr) -> *mut bpf_sock {
    // SAFETY: a field of the context.
    let socket = unsafe { &raw const (*ctx).__bindgen_anon_1 }.cast::<*mut bpf_sock>();
    // SAFETY: the union has one member, the pointer.
    unsafe { socket.read() }
}

/// The verifier lets nobody add to a socket pointer, so it is read once more,
/// as a number, from the kernel's side of the context.
#[inline(always)]
fn socket_namespace(ctx: Object) -> Option<u32> {
    let sk: Object = probe(ctx, &at::SOCK_ADDR_SK)?;
    let net: Object = probe(sk, &at::SOCK_NET)?;
    probe(net, &at::NET_INUM)
}
