//! Networks in one space of addresses, IPv4 mapped into IPv6, as they nest.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

/// Bits before an IPv4 address.
const MAPPED_BITS: u8 = 96;
/// `::ffff:0:0`
const MAPPED: u128 = 0xffff_0000_0000;

/// A network: IPv6, or IPv4-mapped IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    first: u128,
    bits: u8,
}

impl Block {
    /// A network; none for one that no socket reaches: IPv6 within the addresses
    /// that stand for IPv4.
    #[must_use]
    pub fn of(network: IpNet) -> Option<Self> {
        match network {
            IpNet::V4(network) => Self::new(
                MAPPED | u128::from(u32::from(network.network())),
                MAPPED_BITS + network.prefix_len(),
            ),
            IpNet::V6(network) => {
                let block = Self::new(u128::from(network.network()), network.prefix_len())?;
                (!V4.holds(block)).then_some(block)
            }
        }
    }

    /// The network of so many bits that an address is in; none for more than 128.
    #[must_use]
    pub fn new(address: u128, bits: u8) -> Option<Self> {
        let host = 128_u32.checked_sub(bits.into())?;
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        Some(Self {
            first: address & mask,
            bits,
        })
    }

    /// What is told apart under every policy: everything, IPv4, and the host's
    /// own.
    pub(super) fn always() -> Vec<Self> {
        let own = [
            (IpAddr::V4(Ipv4Addr::LOCALHOST), 8),
            (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32),
            (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
            (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 128),
        ];
        let own = own.into_iter();
        let own = own.filter_map(|(address, bits)| Self::of(IpNet::new(address, bits).ok()?));
        [ALL, V4].into_iter().chain(own).collect()
    }

    /// Its first address, as 16 bytes in network order.
    #[must_use]
    pub const fn address(self) -> [u8; 16] {
        self.first.to_be_bytes()
    }

    /// Bits that its addresses share, of 128.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// Whether it has an address.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        let number = match address {
            IpAddr::V4(address) => MAPPED | u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        Self::new(number, self.bits) == Some(self)
    }

    fn holds(self, other: Self) -> bool {
        self.bits <= other.bits && Self::new(other.first, self.bits) == Some(self)
    }

    fn last(self) -> u128 {
        self.first | u128::MAX.checked_shr(self.bits.into()).unwrap_or(0)
    }
}

const ALL: Block = Block { first: 0, bits: 0 };
const V4: Block = Block {
    first: MAPPED,
    bits: MAPPED_BITS,
};

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (address(self.first), self.bits) {
            (IpAddr::V4(v4), bits) if bits >= MAPPED_BITS => {
                write!(f, "{v4}/{}", bits - MAPPED_BITS)
            }
            (_, bits) => write!(f, "{}/{bits}", Ipv6Addr::from(self.first)),
        }
    }
}

fn address(number: u128) -> IpAddr {
    Ipv6Addr::from(number).to_canonical()
}

/// The networks, each once, a shorter one before those in it, each with an
/// address that is in no longer one. Those that have no such address are left
/// out: nobody ever asks for them.
pub(super) fn own_addresses(blocks: &[Block]) -> Vec<(Block, IpAddr)> {
    let mut blocks = blocks.to_vec();
    blocks.sort_unstable();
    blocks.dedup();
    let own = |(at, block): (usize, &Block)| {
        let inner = blocks.iter().skip(at + 1);
        let mut free = block.first;
        for inner in inner.take_while(|inner| inner.first <= block.last()) {
            if inner.first > free {
                break;
            }
            free = free.max(inner.last().checked_add(1)?);
        }
        (free <= block.last()).then(|| (*block, address(free)))
    };
    blocks.iter().enumerate().filter_map(own).collect()
}

/// The networks around the one that is looked at, the innermost last, each with
/// a number that the caller gave it.
#[derive(Debug, Default)]
pub(super) struct Nest(Vec<(Block, usize)>);

impl Nest {
    /// The number of the innermost network that was kept around a block.
    pub(super) fn enter(&mut self, block: Block) -> Option<usize> {
        while self.0.last().is_some_and(|(outer, _)| !outer.holds(block)) {
            self.0.pop();
        }
        self.0.last().map(|(_, number)| *number)
    }

    /// Keeps a network that was entered.
    pub(super) fn keep(&mut self, block: Block, number: usize) {
        self.0.push((block, number));
    }
}
