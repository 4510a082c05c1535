//! Sees: raw, packet and similar sockets that a session makes; sockets that it
//! binds to a port, lets listen, and connections that it accepts, over IP.
//! Also unix connections of other sessions that it accepts, with who connected.
//! Misses: sockets that were made before the session and passed to it; unix
//! sockets that listen. Minimum kernel: 5.12. Cost: each of these calls.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Kind, Ring, Socket, SocketOperation};

use super::{
    change_fd::argument,
    security::{ALLOW, Arguments, DENY, security_hook},
};
use crate::{
    credential::Actor,
    kernel::{Object, probe},
    offsets as at, peer, sink,
    sock::{NETLINK, PACKET, Sock, UNIX, XDP, given},
    task,
};

const RAW: u16 = 3;

security_hook! {
    /// `int socket_post_create(struct socket *sock, int family, int type, int protocol, int kern)`
    socket_create_lsm, socket_create_fentry => created
}

security_hook! {
    /// `int socket_bind(struct socket *sock, struct sockaddr *address, int addrlen)`
    socket_bind_lsm, socket_bind_fentry => bound
}

security_hook! {
    /// `int socket_listen(struct socket *sock, int backlog)`
    socket_listen_lsm, socket_listen_fentry => listening
}

security_hook! {
    /// `void sock_graft(struct sock *sk, struct socket *parent)`
    socket_accept_lsm, socket_accept_fentry => accepted
}

/// Whether it sees or sends what is not its own.
#[inline(always)]
const fn is_raw(sock: &Sock) -> bool {
    sock.family == PACKET || sock.family == XDP || (sock.kind == RAW && sock.family != NETLINK)
}

#[inline(always)]
fn created<C: Arguments>(ctx: &C) -> i32 {
    let kernels_own: i32 = ctx.argument(4);
    let family: u32 = ctx.argument(1);
    let kind: u32 = ctx.argument(2);
    let protocol: u32 = ctx.argument(3);
    let sock = Sock {
        sk: core::ptr::null(),
        family: family as u16,
        kind: (kind & 0xf) as u16,
        protocol: protocol as u16,
    };
    if kernels_own != 0 || !is_raw(&sock) {
        return ALLOW;
    }
    on::<C>(&sock, SocketOperation::CREATED)
}

#[inline(always)]
fn bound<C: Arguments>(ctx: &C) -> i32 {
    let Some(sock) = Sock::of_socket(ctx.argument(0)) else {
        return ALLOW;
    };
    let (address, port) = given(ctx.argument(1), sock.family);
    if !sock.is_ip() || port == 0 {
        return ALLOW;
    }
    let actor = Actor::here::<C>();
    if actor.session.is_none() {
        return ALLOW;
    }
    tell(&actor, &sock, SocketOperation::BOUND, |told| {
        told.local_addr = address;
        told.local_port = port;
    });
    if actor.refused { DENY } else { ALLOW }
}

#[inline(always)]
fn listening<C: Arguments>(ctx: &C) -> i32 {
    match Sock::of_socket(ctx.argument(0)) {
        Some(sock) if sock.is_ip() => on::<C>(&sock, SocketOperation::LISTENING),
        _ => ALLOW,
    }
}

#[inline(always)]
fn accepted<C: Arguments>(ctx: &C) -> i32 {
    if let Some(sock) = Sock::of(ctx.argument(0)) {
        accepted_from::<C>(&sock);
    }
    ALLOW
}

#[inline(always)]
fn accepted_from<C: Arguments>(sock: &Sock) {
    if sock.is_ip() {
        on::<C>(sock, SocketOperation::ACCEPTED);
    } else if sock.family == UNIX {
        on_unix::<C>(sock);
    }
}

/// Who listens may have ended, and left the socket to who accepts: only here
/// both are known.
#[inline(always)]
fn on_unix<C: Arguments>(sock: &Sock) {
    let actor = Actor::here::<C>();
    if actor.session.is_none() {
        return;
    }
    let pid: Object = probe(sock.sk, &at::SOCK_PEER_PID).unwrap_or(core::ptr::null());
    let client = peer::of_pid(pid);
    if !client.session.is_none() && client.session != actor.session {
        tell(&actor, sock, SocketOperation::ACCEPTED, |told| {
            told.client = client;
        });
    }
}

/// `socket(family, type, protocol)` returned a descriptor.
#[btf_tracepoint(function = "sys_exit")]
pub fn socket_syscall(ctx: BtfTracePointContext) -> i32 {
    if let Some(sock) = Sock::of_descriptor(ctx.arg(1))
        && is_raw(&sock)
    {
        on::<BtfTracePointContext>(&sock, SocketOperation::CREATED);
    }
    0
}

/// `bind(descriptor, ...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn bind_syscall(ctx: BtfTracePointContext) -> i32 {
    at_descriptor(argument(ctx.arg(0), 0), SocketOperation::BOUND);
    0
}

/// `listen(descriptor, ...)`
#[btf_tracepoint(function = "sys_exit")]
pub fn listen_syscall(ctx: BtfTracePointContext) -> i32 {
    at_descriptor(argument(ctx.arg(0), 0), SocketOperation::LISTENING);
    0
}

/// `accept(...)` and `accept4(...)` returned a descriptor.
#[btf_tracepoint(function = "sys_exit")]
pub fn accept_syscall(ctx: BtfTracePointContext) -> i32 {
    if let Some(sock) = Sock::of_descriptor(ctx.arg(1)) {
        accepted_from::<BtfTracePointContext>(&sock);
    }
    0
}

#[inline(always)]
fn at_descriptor(descriptor: u64, operation: SocketOperation) {
    if let Some(sock) = Sock::of_descriptor(descriptor)
        && sock.is_ip()
    {
        on::<BtfTracePointContext>(&sock, operation);
    }
}

/// Tells of a socket of a session, with the addresses that it has.
#[inline(always)]
fn on<C: Arguments>(sock: &Sock, operation: SocketOperation) -> i32 {
    let actor = Actor::here::<C>();
    if actor.session.is_none() {
        return ALLOW;
    }
    tell(&actor, sock, operation, |told| {
        if sock.is_ip() && operation != SocketOperation::CREATED {
            (told.local_addr, told.local_port) = sock.local();
            (told.peer_addr, told.peer_port) = sock.peer();
        }
    });
    if actor.refused { DENY } else { ALLOW }
}

#[inline(always)]
fn tell(actor: &Actor, sock: &Sock, operation: SocketOperation, fill: impl FnOnce(&mut Socket)) {
    let Some(record) = sink::reserve::<Socket>(Ring::Priority) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let told = unsafe { &mut *record };
    // SAFETY: the task is the current one.
    unsafe {
        task::fill(
            &raw mut told.header,
            Kind::SOCKET,
            actor.task,
            actor.session,
        );
    };
    told.client = peer::NOBODY;
    told.local_addr = [0; 16];
    told.peer_addr = [0; 16];
    told.local_port = 0;
    told.peer_port = 0;
    told.family = sock.family;
    told.socket_type = sock.kind;
    told.protocol = sock.protocol;
    told.operation = operation;
    told.netns = sock.namespace().unwrap_or(told.header.netns);
    told.flags = if actor.refused { Socket::DENIED } else { 0 };
    told.reserved = 0;
    fill(told);
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}
