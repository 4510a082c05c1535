//! Sees: connections of a session's sockets that are not TCP or UDP: unix
//! (path and abstract, with the socket's file and the process that listens),
//! vsock; and over IP what is neither (SCTP, raw), told as connections.
//! Refuses them to a session that is contained, and those over IP also where the
//! session's grants do not open the peer, where the tier can.
//! Misses: unix datagrams sent without connecting; netlink. On the tracepoint
//! tier the address of a vsock is the caller's own word.
//! Minimum kernel: 5.12. Cost: each connect of a session.

use aya_ebpf::{
    helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_kernel_str},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use monitor_common::{Connect, Kind, LocalConnect, Ring, local_connect::LOCAL_NAME_BYTES_MAX};

use super::{
    change_fd::argument,
    security::{ALLOW, Arguments, DENY, security_hook},
};
use crate::{
    credential::Actor,
    kernel::{Object, probe, probe_at},
    offsets as at,
    path::{NO_FILE, identify},
    peer, scope, sink,
    sock::{NETLINK, Sock, UNIX, VSOCK, given},
    task,
    watch::{self, Probed},
};

const TCP: u16 = 6;
const UDP: u16 = 17;
/// Its way is made of TCP connections, each of which is told.
const MPTCP: u16 = 262;
const DATAGRAMS: u16 = 2;

security_hook! {
    /// `int socket_connect(struct socket *sock, struct sockaddr *address, int addrlen)`
    connect_other_lsm, connect_other_fentry => connected
}

security_hook! {
    /// `int unix_stream_connect(struct sock *sock, struct sock *other, struct sock *newsk)`
    connect_unix_lsm, connect_unix_fentry => unix_connected
}

/// Whether the hooks of control groups tell it, or nobody wants to know.
#[inline(always)]
const fn is_told_elsewhere(sock: &Sock) -> bool {
    sock.family == NETLINK || (sock.is_ip() && matches!(sock.protocol, TCP | UDP | MPTCP))
}

/// Every family but unix streams, of which the next hook knows more.
#[inline(always)]
fn connected<C: Arguments>(ctx: &C) -> i32 {
    let address: Object = ctx.argument(1);
    let Some(socket) = Sock::of_socket(ctx.argument(0)) else {
        return ALLOW;
    };
    // A family of zero takes a connection back.
    let asked: u16 = probe_at(address).unwrap_or(0);
    let is_stream = socket.family == UNIX && socket.kind != DATAGRAMS;
    if is_told_elsewhere(&socket) || is_stream || asked == 0 {
        return ALLOW;
    }
    let actor = Actor::here::<C>();
    if actor.session.is_none() {
        return ALLOW;
    }
    if socket.is_ip() {
        return if tell_ip::<C>(&actor, &socket, given(address, asked)) {
            DENY
        } else {
            ALLOW
        };
    }
    let length: u32 = ctx.argument(2);
    tell_local(&actor, &socket, &Name::Given { address, length });
    if actor.refused { DENY } else { ALLOW }
}

/// The kernel has found who listens.
#[inline(always)]
fn unix_connected<C: Arguments>(ctx: &C) -> i32 {
    let actor = Actor::here::<C>();
    if actor.session.is_none() {
        return ALLOW;
    }
    if let Some(socket) = Sock::of(ctx.argument(0)) {
        let other = ctx.argument(1);
        let name = Name::Of {
            other,
            knows: other,
        };
        tell_local(&actor, &socket, &name);
    }
    if actor.refused { DENY } else { ALLOW }
}

/// `connect(descriptor, address, length)`
#[btf_tracepoint(function = "sys_exit")]
pub fn connect_syscall(ctx: BtfTracePointContext) -> i32 {
    let Some(socket) = Sock::of_descriptor(argument(ctx.arg(0), 0)) else {
        return 0;
    };
    if is_told_elsewhere(&socket) {
        return 0;
    }
    let actor = Actor::here::<BtfTracePointContext>();
    if actor.session.is_none() {
        return 0;
    }
    if socket.is_ip() {
        tell_ip::<BtfTracePointContext>(&actor, &socket, socket.peer());
    } else if socket.family == UNIX {
        let knows = socket.sk;
        let other: Object = probe(knows, &at::UNIX_PEER).unwrap_or(core::ptr::null());
        tell_local(&actor, &socket, &Name::Of { other, knows });
    } else {
        tell_local(&actor, &socket, &Name::Unknown);
    }
    0
}

/// Tells a connection over IP; whether it is refused.
#[inline(always)]
fn tell_ip<C: Arguments>(actor: &Actor, socket: &Sock, peer: ([u8; 16], u16)) -> bool {
    let (addr, port) = peer;
    let ruling = scope::ask(actor.session, words(&addr), port);
    let refused = actor.refused || (C::CAN_DENY && ruling.refused);
    let Some(record) = sink::reserve::<Connect>(Ring::Priority) else {
        return refused;
    };
    // SAFETY: the record is ours until it is submitted.
    let told = unsafe { &mut *record };
    // SAFETY: the task is the current one.
    unsafe {
        task::fill(
            &raw mut told.header,
            Kind::CONNECT,
            actor.task,
            actor.session,
        );
    };
    told.addr = addr;
    told.netns_cookie = 0;
    told.port = port;
    told.family = socket.family;
    told.protocol = socket.protocol;
    told.socket_type = socket.kind;
    told.bound_ifindex = probe(socket.sk, &at::SOCK_BOUND_IF).unwrap_or(0);
    told.so_mark = probe(socket.sk, &at::SOCK_MARK).unwrap_or(0);
    told.netns = socket.namespace().unwrap_or(0);
    told.flags = if refused { Connect::DENIED } else { 0 };
    told.scope_version = ruling.version;
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
    refused
}

/// An address as the tables of scopes have it.
#[inline(always)]
fn words(addr: &[u8; 16]) -> [u32; 4] {
    // SAFETY: sixteen bytes either way.
    unsafe {
        core::ptr::from_ref(addr)
            .cast::<[u32; 4]>()
            .read_unaligned()
    }
}

/// Where the name of the other end is.
enum Name {
    /// The other end itself; and the socket that knows who listens: the one
    /// that listens, before the connection, and one's own, after it.
    Of { other: Object, knows: Object },
    /// What the caller gave, in the kernel's copy.
    Given { address: Object, length: u32 },
    /// Nowhere.
    Unknown,
}

#[inline(always)]
fn tell_local(actor: &Actor, socket: &Sock, name: &Name) {
    let Some(record) = sink::reserve::<LocalConnect>(Ring::Priority) else {
        return;
    };
    // SAFETY: the record is ours until it is submitted.
    let told = unsafe { &mut *record };
    // SAFETY: the task is the current one.
    unsafe {
        task::fill(
            &raw mut told.header,
            Kind::LOCAL_CONNECT,
            actor.task,
            actor.session,
        );
    };
    told.peer = peer::NOBODY;
    told.socket = NO_FILE;
    told.family = socket.family;
    told.socket_type = socket.kind;
    told.protocol = socket.protocol;
    told.name_bytes = 0;
    told.port = 0;
    told.cid = 0;
    told.watch_id = 0;
    told.flags = if actor.refused {
        LocalConnect::DENIED
    } else {
        0
    };
    told.name = [0; 112];
    match *name {
        Name::Of { other, knows } => {
            if let Some(pid) = probe(knows, &at::SOCK_PEER_PID) {
                told.peer = peer::of_pid(pid);
            }
            fill_other(told, other);
        }
        Name::Given { address, length } => fill_given(told, address, length),
        Name::Unknown => {}
    }
    // SAFETY: every field is written.
    unsafe { sink::submit(Ring::Priority, record) };
}

/// What the kernel's socket at the other end says of itself.
#[inline(always)]
fn fill_other(told: &mut LocalConnect, other: Object) {
    if other.is_null() {
        return;
    }
    if let Some(address) = probe::<Object>(other, &at::UNIX_ADDRESS)
        && !address.is_null()
    {
        let length: u32 = probe(address, &at::UNIX_ADDRESS_LENGTH).unwrap_or(0);
        let name = address.wrapping_byte_add(at::UNIX_ADDRESS_NAME.load() as usize);
        fill_name(told, name, length);
    }
    let dentry: Object = probe(other, &at::UNIX_DENTRY).unwrap_or(core::ptr::null());
    let inode: Option<Object> = probe(dentry, &at::DENTRY_INODE);
    if let Some(inode) = inode
        && let Some(file) = identify(inode)
    {
        told.socket = file;
        // SAFETY: the kind of access takes any address.
        let subject = unsafe { watch::Subject::new::<Probed>(inode, dentry) };
        // SAFETY: as above.
        if let Some(hit) = unsafe { watch::look::<Probed>(&subject) } {
            told.watch_id = hit.watch_id();
            told.flags |= LocalConnect::WATCHED;
        }
    }
}

/// What the caller gave: of unix datagrams and of vsock.
#[inline(always)]
fn fill_given(told: &mut LocalConnect, address: Object, length: u32) {
    told.flags |= LocalConnect::NAME_GIVEN;
    if told.family == UNIX {
        fill_name(told, address, length);
    } else if told.family == VSOCK {
        // struct sockaddr_vm: family, reserved, port, cid.
        told.port = probe_at(address.wrapping_byte_add(4)).unwrap_or(0);
        told.cid = probe_at(address.wrapping_byte_add(8)).unwrap_or(0);
    }
}

/// A `sockaddr_un` of so many bytes. A name that begins with a zero byte is in
/// the abstract namespace and may hold any byte; another ends with one.
#[inline(always)]
fn fill_name(told: &mut LocalConnect, address: Object, length: u32) {
    const NAME_AT: u32 = 2;
    if length <= NAME_AT {
        return;
    }
    let name = address.wrapping_byte_add(NAME_AT as usize);
    let first: u8 = probe_at(name).unwrap_or(0);
    if first != 0 {
        // SAFETY: the field has room for the longest name; the helper checks
        // the source.
        let read = unsafe { bpf_probe_read_kernel_str(told.name.as_mut_ptr().cast(), 112, name) };
        if read > 0 {
            told.name_bytes = read as u16 - 1;
        }
        return;
    }
    told.flags |= LocalConnect::ABSTRACT;
    let mut bytes = length - NAME_AT - 1;
    let name = name.wrapping_byte_add(1);
    if bytes > LOCAL_NAME_BYTES_MAX as u32 {
        bytes = LOCAL_NAME_BYTES_MAX as u32;
    }
    // SAFETY: the field has room for the longest name; the helper checks the source.
    let failed = unsafe { bpf_probe_read_kernel(told.name.as_mut_ptr().cast(), bytes & 127, name) };
    if failed == 0 {
        told.name_bytes = bytes as u16;
    }
}
