//! Sees: raw, packet and similar sockets that a session makes; sockets that it
//! binds to a port, lets listen, and connections that it accepts, over IP.
//! Misses: sockets that were made before the session and passed to it; unix
//! sockets that listen. Minimum kernel: 5.12. Cost: each of these calls.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use monitor_common::{Kind, Ring, Socket, SocketOperation};

use super::{
    change_fd::argument,
    open::file_of,
    security::{ALLOW, Arguments, DENY, security_hook},
};
use crate::{
    credential::Actor,
    kernel::{Object, probe},
    offsets as at, sink, task,
};

const INET: u16 = 2;
const INET6: u16 = 10;
const NETLINK: u16 = 16;
const PACKET: u16 = 17;
const XDP: u16 = 44;
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

/// What the kernel's socket says of itself.
struct Facts {
    family: u16,
    socket_type: u16,
    protocol: u16,
}

#[inline(always)]
fn facts(sk: Object) -> Option<Facts> {
    Some(Facts {
        family: probe(sk, &at::SOCK_FAMILY)?,
        socket_type: probe(sk, &at::SOCK_TYPE)?,
        protocol: probe(sk, &at::SOCK_PROTOCOL)?,
    })
}

#[inline(always)]
const fn is_ip(family: u16) -> bool {
    family == INET || family == INET6
}

/// Whether it sees or sends what is not its own.
#[inline(always)]
const fn is_raw(facts: &Facts) -> bool {
    facts.family == PACKET
        || facts.family == XDP
        || (facts.socket_type == RAW && facts.family != NETLINK)
}

#[inline(always)]
fn created<C: Arguments>(ctx: &C) -> i32 {
    let kernels_own: i32 = ctx.argument(4);
    let family: u32 = ctx.argument(1);
    let socket_type: u32 = ctx.argument(2);
    let protocol: u32 = ctx.argument(3);
    let facts = Facts {
        family: family as u16,
        socket_type: (socket_type & 0xf) as u16,
        protocol: protocol as u16,
    };
    if kernels_own != 0 || !is_raw(&facts) {
        return ALLOW;
    }
    on::<C>(core::ptr::null(), &facts, SocketOperation::CREATED)
}

#[inline(always)]
fn bound<C: Arguments>(ctx: &C) -> i32 {
    /// Behind the family, in `sockaddr_in` and `sockaddr_in6` alike.
    const PORT_AT: usize = 2;
    let address: Object = ctx.argument(1);
    let Some((sk, facts)) = of_socket(ctx.argument(0)) else {
        return ALLOW;
    };
    let port: Option<u16> = crate::kernel::probe_at(address.wrapping_byte_add(PORT_AT));
    if !is_ip(facts.family) || port.unwrap_or(0) == 0 {
        return ALLOW;
    }
    let actor = Actor::here::<C>();
    if actor.session.is_none() {
        return ALLOW;
    }
    tell(&actor, sk, &facts, SocketOperation::BOUND, |told| {
        told.local_port = u16::from_be(port.unwrap_or(0));
        told.local_addr = given_address(address, facts.family);
    });
    if actor.refused { DENY } else { ALLOW }
}

/// The address in a `sockaddr`, which the kernel has copied.
#[inline(always)]
fn given_address(address: Object, family: u16) -> [u8; 16] {
    const V4_AT: usize = 4;
    const V6_AT: usize = 8;
    if family == INET {
        let v4: Option<[u8; 4]> = crate::kernel::probe_at(address.wrapping_byte_add(V4_AT));
        mapped(v4.unwrap_or_default())
    } else {
        let v6: Option<[u8; 16]> = crate::kernel::probe_at(address.wrapping_byte_add(V6_AT));
        v6.unwrap_or_default()
    }
}

#[inline(always)]
const fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3],
    ]
}

#[inline(always)]
fn listening<C: Arguments>(ctx: &C) -> i32 {
    match of_socket(ctx.argument(0)) {
        Some((sk, facts)) if is_ip(facts.family) => on::<C>(sk, &facts, SocketOperation::LISTENING),
        _ => ALLOW,
    }
}

#[inline(always)]
fn accepted<C: Arguments>(ctx: &C) -> i32 {
    let sk: Object = ctx.argument(0);
    if let Some(facts) = facts(sk)
        && is_ip(facts.family)
    {
        on::<C>(sk, &facts, SocketOperation::ACCEPTED);
    }
    ALLOW
}

/// `socket(family, type, protocol)` returned a descriptor.
#[btf_tracepoint(function = "sys_exit")]
pub fn socket_syscall(ctx: BtfTracePointContext) -> i32 {
    if let Some((sk, facts)) = of_descriptor(ctx.arg::<u64>(1))
        && is_raw(&facts)
    {
        on::<BtfTracePointContext>(sk, &facts, SocketOperation::CREATED);
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
    at_descriptor(ctx.arg(1), SocketOperation::ACCEPTED);
    0
}

#[inline(always)]
fn at_descriptor(descriptor: u64, operation: SocketOperation) {
    if let Some((sk, facts)) = of_descriptor(descriptor)
        && is_ip(facts.family)
    {
        on::<BtfTracePointContext>(sk, &facts, operation);
    }
}

/// The kernel's socket behind a descriptor of the current task.
#[inline(always)]
fn of_descriptor(descriptor: u64) -> Option<(Object, Facts)> {
    of_socket(socket_of(descriptor as u32)?)
}

/// The open socket behind a descriptor of the current task.
#[inline(always)]
pub fn socket_of(descriptor: u32) -> Option<Object> {
    const FORMAT: u16 = 0o170_000;
    const SOCKET: u16 = 0o140_000;
    // SAFETY: the helper gives the current task.
    let file = unsafe { file_of(crate::kernel::current_task(), descriptor) }?;
    let inode: Object = probe(file, &at::FILE_INODE)?;
    let mode: u16 = probe(inode, &at::INODE_MODE)?;
    if mode & FORMAT != SOCKET {
        return None;
    }
    probe(file, &at::FILE_PRIVATE)
}

#[inline(always)]
fn of_socket(socket: Object) -> Option<(Object, Facts)> {
    let sk: Object = probe(socket, &at::SOCKET_SK)?;
    Some((sk, facts(sk)?))
}

/// Tells of a socket of a session, with the addresses that it has.
#[inline(always)]
fn on<C: Arguments>(sk: Object, facts: &Facts, operation: SocketOperation) -> i32 {
    let actor = Actor::here::<C>();
    if actor.session.is_none() {
        return ALLOW;
    }
    tell(&actor, sk, facts, operation, |told| {
        if is_ip(facts.family) && operation != SocketOperation::CREATED {
            fill_addresses(told, sk);
        }
    });
    if actor.refused { DENY } else { ALLOW }
}

#[inline(always)]
fn fill_addresses(told: &mut Socket, sk: Object) {
    told.local_port = probe(sk, &at::SOCK_PORT_LOCAL).unwrap_or(0);
    let peer_port: u16 = probe(sk, &at::SOCK_PORT_PEER).unwrap_or(0);
    told.peer_port = u16::from_be(peer_port);
    if told.family == INET {
        let local: Option<[u8; 4]> = probe(sk, &at::SOCK_V4_LOCAL);
        told.local_addr = mapped(local.unwrap_or_default());
        let peer: Option<[u8; 4]> = probe(sk, &at::SOCK_V4_PEER);
        told.peer_addr = mapped(peer.unwrap_or_default());
    } else {
        told.local_addr = probe(sk, &at::SOCK_V6_LOCAL).unwrap_or_default();
        told.peer_addr = probe(sk, &at::SOCK_V6_PEER).unwrap_or_default();
    }
}

#[inline(always)]
fn tell(
    actor: &Actor,
    sk: Object,
    facts: &Facts,
    operation: SocketOperation,
    fill: impl FnOnce(&mut Socket),
) {
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
    told.local_addr = [0; 16];
    told.peer_addr = [0; 16];
    told.local_port = 0;
    told.peer_port = 0;
    told.family = facts.family;
    told.socket_type = facts.socket_type;
    told.protocol = facts.protocol;
    told.operation = operation;
    told.netns = namespace(sk).unwrap_or(told.header.netns);
    told.flags = if actor.refused { Socket::DENIED } else { 0 };
    told.reserved = 0;
    fill(told);
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}

/// The network namespace of a socket.
#[inline(always)]
fn namespace(sk: Object) -> Option<u32> {
    if sk.is_null() {
        return None;
    }
    let net: Object = probe(sk, &at::SOCK_NET)?;
    probe(net, &at::NET_INUM)
}
