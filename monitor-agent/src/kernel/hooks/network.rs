//! Connections, datagrams and sockets.

use super::{Attach, Family, Hook, Program, Tier, cgroup, fentry, lsm, syscall, syscalls};
use crate::kernel::offsets::Need;

/// A row of a control group's hook.
const fn of_cgroup(
    family: Family,
    programs: &'static [Program],
    (sees, misses): (&'static str, &'static str),
) -> Hook {
    Hook {
        family,
        tier: Tier::Tracepoint,
        programs,
        needs: &[],
        kernel_min: (5, 12),
        sees,
        misses,
    }
}

/// A row about sockets; the tier is that of its programs.
const fn of_sockets(
    family: Family,
    programs: &'static [Program],
    (sees, misses): (&'static str, &'static str),
) -> Hook {
    let tier = match programs {
        [
            Program {
                attach: Attach::Lsm(_),
                ..
            },
            ..,
        ] => Tier::Lsm,
        [
            Program {
                attach: Attach::Fentry(_),
                ..
            },
            ..,
        ] => Tier::Fentry,
        _ => Tier::Tracepoint,
    };
    Hook {
        family,
        tier,
        programs,
        needs: &[Need::Sockets, Need::Open, Need::Arguments],
        kernel_min: (5, 15),
        sees,
        misses,
    }
}

const NOTHING: &str = "nothing known";
const OTHERS: &str = "unix, vsock, SCTP and raw sockets that a session connects";
const OTHERS_MISSED: &str = "unix datagrams sent without connecting; netlink";
const CREATED: &str = "raw, packet and similar sockets that a session makes";
const BOUND: &str = "IP sockets that a session binds to a port";
const LISTENING: &str = "IP sockets that a session lets listen";
const ACCEPTED: &str = "IP connections that a session accepts, with both addresses";

pub(super) const HOOKS: &[Hook] = &[
    of_cgroup(
        Family::ConnectV4,
        &[cgroup("connect_v4")],
        ("TCP and connected UDP over IPv4; can refuse them", NOTHING),
    ),
    of_cgroup(
        Family::ConnectV6,
        &[cgroup("connect_v6")],
        ("TCP and connected UDP over IPv6; can refuse them", NOTHING),
    ),
    of_cgroup(
        Family::SendV4,
        &[cgroup("send_v4")],
        (
            "the first UDP datagram of a socket to each peer, over IPv4; can refuse all",
            "how many follow",
        ),
    ),
    of_cgroup(
        Family::SendV6,
        &[cgroup("send_v6")],
        (
            "the first UDP datagram of a socket to each peer, over IPv6; can refuse all",
            "how many follow",
        ),
    ),
    of_sockets(
        Family::ConnectOther,
        &[
            lsm("connect_other_lsm", "socket_connect"),
            lsm("connect_unix_lsm", "unix_stream_connect"),
        ],
        (OTHERS, OTHERS_MISSED),
    ),
    of_sockets(
        Family::ConnectOther,
        &[
            fentry("connect_other_fentry", "security_socket_connect"),
            fentry("connect_unix_fentry", "security_unix_stream_connect"),
        ],
        (OTHERS, OTHERS_MISSED),
    ),
    of_sockets(
        Family::ConnectOther,
        &[syscalls(
            "connect_syscall",
            &[syscall!(SYS_connect, "connect", 362)],
        )],
        (
            OTHERS,
            "unix datagrams sent without connecting; netlink; the address of a vsock; io_uring",
        ),
    ),
    of_sockets(
        Family::SocketCreated,
        &[lsm("socket_create_lsm", "socket_post_create")],
        (CREATED, NOTHING),
    ),
    of_sockets(
        Family::SocketCreated,
        &[fentry(
            "socket_create_fentry",
            "security_socket_post_create",
        )],
        (CREATED, NOTHING),
    ),
    of_sockets(
        Family::SocketCreated,
        &[syscalls(
            "socket_syscall",
            &[syscall!(SYS_socket, "socket", 359)],
        )],
        (CREATED, "io_uring"),
    ),
    of_sockets(
        Family::Bind,
        &[lsm("socket_bind_lsm", "socket_bind")],
        (BOUND, "ports that the kernel chooses"),
    ),
    of_sockets(
        Family::Bind,
        &[fentry("socket_bind_fentry", "security_socket_bind")],
        (BOUND, "ports that the kernel chooses"),
    ),
    of_sockets(
        Family::Bind,
        &[syscalls("bind_syscall", &[syscall!(SYS_bind, "bind", 361)])],
        (BOUND, "io_uring"),
    ),
    of_sockets(
        Family::Listen,
        &[lsm("socket_listen_lsm", "socket_listen")],
        (LISTENING, NOTHING),
    ),
    of_sockets(
        Family::Listen,
        &[fentry("socket_listen_fentry", "security_socket_listen")],
        (LISTENING, NOTHING),
    ),
    of_sockets(
        Family::Listen,
        &[syscalls(
            "listen_syscall",
            &[syscall!(SYS_listen, "listen", 363)],
        )],
        (LISTENING, "io_uring"),
    ),
    of_sockets(
        Family::Accept,
        &[lsm("socket_accept_lsm", "sock_graft")],
        (ACCEPTED, NOTHING),
    ),
    of_sockets(
        Family::Accept,
        &[fentry("socket_accept_fentry", "security_sock_graft")],
        (ACCEPTED, NOTHING),
    ),
    of_sockets(
        Family::Accept,
        &[syscalls(
            "accept_syscall",
            &[
                syscall!(SYS_accept, "accept"),
                syscall!(SYS_accept4, "accept4", 364),
            ],
        )],
        (ACCEPTED, "io_uring"),
    ),
];
