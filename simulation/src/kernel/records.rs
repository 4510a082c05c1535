//! Acts as records, byte for byte as the probes write them.

use monitor_agent::marks::mark_of;
use monitor_common::{
    ABI_VERSION, Connect, Exit, Fork, Header, Kind, Ring, SessionEnded, SessionMark, Signal,
    header::AUDIT_UNSET,
};
use monitor_model::id::SessionId;
use zerocopy::{FromZeros as _, IntoBytes};

use crate::chance::Chance;

/// Bytes of the record that tells the end of a session.
pub(super) const END_BYTES: usize = size_of::<SessionEnded>();
/// The network namespace of everybody.
const NET_NS: u32 = 100;

/// Something that a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Connect,
    Signal,
    Fork,
    Exit,
    /// The last process of a session is gone.
    End,
}

/// Where and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) cpu: u16,
    pub(super) number: u64,
    pub(super) boot_ns: u64,
    pub(super) session: Option<SessionId>,
    pub(super) pid: u32,
}

impl Act {
    /// What people do.
    pub(super) fn any(chance: &mut Chance) -> Self {
        match chance.within(0..4) {
            0 => Self::Connect,
            1 => Self::Signal,
            2 => Self::Fork,
            _ => Self::Exit,
        }
    }

    pub(super) const fn ring(self) -> Ring {
        match self {
            Self::Connect | Self::Signal | Self::End => Ring::Priority,
            Self::Fork | Self::Exit => Ring::Bulk,
        }
    }

    /// Its record, aligned, and how many bytes of it count.
    pub(super) fn record(self, place: &Place) -> (Vec<u64>, usize) {
        match self {
            Self::Connect => {
                let mut record = Connect::new_zeroed();
                record.header = self.header(place, Kind::CONNECT, size_of::<Connect>());
                record.addr = std::net::Ipv4Addr::new(10, 0, 0, 1)
                    .to_ipv6_mapped()
                    .octets();
                (record.port, record.family, record.protocol) = (443, 2, 6);
                (record.socket_type, record.netns) = (1, NET_NS);
                words(&record)
            }
            Self::Signal => {
                let mut record = Signal::new_zeroed();
                record.header = self.header(place, Kind::SIGNAL, size_of::<Signal>());
                record.signal = 15;
                words(&record)
            }
            Self::Fork => {
                let mut record = Fork::new_zeroed();
                record.header = self.header(place, Kind::FORK, size_of::<Fork>());
                record.child_pid = place.pid + 1;
                record.child_start_boot_ns = place.boot_ns;
                words(&record)
            }
            Self::Exit => {
                let mut record = Exit::new_zeroed();
                record.header = self.header(place, Kind::EXIT, size_of::<Exit>());
                words(&record)
            }
            Self::End => {
                let mut record = SessionEnded::new_zeroed();
                record.header = self.header(place, Kind::SESSION_ENDED, END_BYTES);
                words(&record)
            }
        }
    }

    fn header(self, place: &Place, kind: Kind, bytes: usize) -> Header {
        let mut header = Header::new_zeroed();
        header.kind = kind;
        header.abi = ABI_VERSION;
        header.size = u32::try_from(bytes).unwrap_or(0);
        header.sequence = place.number;
        header.boot_ns = place.boot_ns;
        header.session = place.session.map_or(SessionMark::NONE, mark_of);
        header.start_boot_ns = 77;
        header.pid = place.pid;
        header.tid = place.pid;
        header.ppid = 1;
        header.loginuid = AUDIT_UNSET;
        header.audit_session = AUDIT_UNSET;
        (header.netns, header.mntns, header.pidns) = (NET_NS, 5, 6);
        header.cpu = place.cpu;
        header.ring = self.ring().number();
        header.comm = *b"work\0\0\0\0\0\0\0\0\0\0\0\0";
        header
    }
}

fn words(record: &(impl IntoBytes + zerocopy::Immutable)) -> (Vec<u64>, usize) {
    let bytes = record.as_bytes();
    let mut words = vec![0_u64; bytes.len().div_ceil(size_of::<u64>())];
    for (to, from) in words.as_mut_bytes().iter_mut().zip(bytes) {
        *to = *from;
    }
    (words, bytes.len())
}
