//! Connections, datagrams and sockets.

use super::{Family, Hook, Tier, cgroup};

pub(super) const HOOKS: &[Hook] = &[
    Hook {
        family: Family::ConnectV4,
        tier: Tier::Tracepoint,
        programs: &[cgroup("connect_v4")],
        needs: &[],
        kernel_min: (5, 12),
        sees: "TCP and connected UDP over IPv4; can refuse them",
        misses: "nothing known",
    },
    Hook {
        family: Family::ConnectV6,
        tier: Tier::Tracepoint,
        programs: &[cgroup("connect_v6")],
        needs: &[],
        kernel_min: (5, 12),
        sees: "TCP and connected UDP over IPv6; can refuse them",
        misses: "nothing known",
    },
];
