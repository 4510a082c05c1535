//! The judgement of connections as a table: one grant, compiled. Pure.
//!
//! The kernel asks the table before the first packet, the collector judges the
//! event afterwards. So that both agree, a table is made by asking the judge:
//! for each network that policy and grant tell apart, for each range of ports,
//! under every set of facts of the socket that zones tell apart. Only what is
//! out of scope under all of them may be refused.
//!
//! - [`blocks`]: networks that nest. [`modes`]: what becomes of which reason.
//!   [`table`]: what an agent is given.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    clock::UnixNs,
    event::{Action, Attribution, Destination, Event, Lineage, Protocol},
    grant::{Grant, GrantState},
    id::{AgentName, BootId, EventId, GrantId, SessionId, Source},
    judge::judge_under,
    policy::{Admission, Policy},
    tenant::{Tenant, Zone},
    verdict::{OutReason, Verdict},
};

pub mod blocks;
pub mod modes;
pub mod table;

pub use blocks::Block;
use blocks::Nest;
pub use modes::{Away, Mode, ModeRule, Modes};
pub use table::{ScopeTable, Scoped};

/// Most networks that one compiled grant tells apart.
pub const CELLS_MAX: usize = 4_096;
/// Most ranges of ports that one network tells apart.
pub const RANGES_MAX: usize = 64;

/// Reasons that hold of what nobody's grant is about.
const ELSEWHERE: [OutReason; 4] = [
    OutReason::UnknownDestination,
    OutReason::AmbiguousDestination,
    OutReason::ProviderOwned,
    OutReason::WrongTenant,
];
/// Reasons that hold of what a grant opens, while it does not hold.
const OVER: [OutReason; 3] = [
    OutReason::Expired,
    OutReason::Revoked,
    OutReason::NotStarted,
];

/// What a compiled grant says of a destination. The weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Says {
    /// Everybody may, or it is switched off.
    Open,
    /// It does not open it; that is told.
    Observed,
    /// It does not open it; that is refused.
    Refused,
    /// It opens it, while it holds.
    Granted,
}

impl From<Mode> for Says {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Off => Self::Open,
            Mode::Observe => Self::Observed,
            Mode::Enforce => Self::Refused,
        }
    }
}

/// Ports from here to the next range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// First port.
    pub first: u16,
    /// What is said of them.
    pub says: Says,
}

/// What is said of a network, but for the longer networks in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    /// The network.
    pub block: Block,
    /// Ascending; the first begins at port 0.
    pub ranges: Vec<Range>,
}

/// One grant, compiled under one policy for one jump host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CompiledGrant {
    /// Which.
    pub grant: GrantId,
    /// First instant at which it holds.
    pub from: UnixNs,
    /// First instant at which it holds no more.
    pub until: UnixNs,
    /// What becomes, while it does not hold, of what it opens.
    pub over: Mode,
    /// Networks, a shorter one before those in it. Every address is in one.
    pub cells: Vec<Cell>,
}

impl CompiledGrant {
    /// Whether it never refuses and never tells anything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let mut said = self.cells.iter().flat_map(|cell| &cell.ranges);
        said.all(|range| match range.says {
            Says::Open => true,
            Says::Granted => self.over == Mode::Off,
            Says::Observed | Says::Refused => false,
        })
    }

    /// What it says of a destination at an instant, as the kernel finds it:
    /// `Granted` is only said while the grant holds.
    #[must_use]
    pub fn says(&self, address: IpAddr, port: u16, at: UnixNs) -> Says {
        let covering = self.cells.iter().filter(|cell| cell.block.has(address));
        let Some(cell) = covering.max_by_key(|cell| cell.block.bits()) else {
            return Says::Open;
        };
        let fitting = cell.ranges.iter().take_while(|range| range.first <= port);
        let says = fitting.last().map_or(Says::Open, |range| range.says);
        let holds = self.from <= at && at < self.until;
        match says {
            Says::Granted if !holds => self.over.into(),
            Says::Open | Says::Observed | Says::Refused | Says::Granted => says,
        }
    }
}

/// What becomes of a connection of a session that stands on these grants: open
/// where one opens it, else the weakest of what they say. `tightened`: only
/// where all open it.
#[must_use]
pub fn ruling(said: &[Says], tightened: bool) -> Says {
    let granted = said.contains(&Says::Granted);
    let others = said.iter().filter(|says| **says != Says::Granted);
    match others.min() {
        Some(weakest) if tightened || !granted => *weakest,
        Some(_) | None => Says::Open,
    }
}

/// Why a grant cannot be compiled. Its sessions are then not refused anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Too many networks.
    #[error(
        "it takes {cells} networks to tell what it opens, at most {CELLS_MAX} fit: state fewer and larger ones"
    )]
    Cells {
        /// How many.
        cells: usize,
    },
    /// Too many ranges of ports.
    #[error(
        "it takes {ranges} ranges of ports to tell what it opens on {network}, at most {RANGES_MAX} fit: state fewer ports, or ranges"
    )]
    Ranges {
        /// Where.
        network: Block,
        /// How many.
        ranges: usize,
    },
}

/// Compiles one grant. Only its window, its tenant and tier, and its list of
/// destinations count.
///
/// # Errors
/// [`Unfit`] when it does not fit the kernel's tables.
pub fn compile(
    policy: &Policy,
    grant: &Grant,
    jump_host: &AgentName,
    modes: &Modes,
) -> Result<CompiledGrant, Unfit> {
    let ended = match &grant.state {
        GrantState::Standing => UnixNs::MAX,
        GrantState::Ended { at, .. } => *at,
    };
    let mut compiler = Compiler::new(policy, grant, jump_host, modes);
    let over = OVER.map(|reason| modes.of(&grant.tenant, reason));
    Ok(CompiledGrant {
        grant: grant.id.clone(),
        from: grant.not_before,
        until: grant.expires.min(ended),
        over: over.into_iter().min().unwrap_or(Mode::Off),
        cells: compiler.cells()?,
    })
}

/// Asks the judge what becomes of single destinations.
struct Compiler<'a> {
    policy: &'a Policy,
    modes: &'a Modes,
    /// The grant, as if nobody had ended it.
    grant: [Grant; 1],
    /// A connection of a session that stands on the grant, while it holds.
    event: Event,
}

impl<'a> Compiler<'a> {
    fn new(policy: &'a Policy, grant: &Grant, jump_host: &AgentName, modes: &'a Modes) -> Self {
        let event = Event {
            id: EventId {
                agent: jump_host.clone(),
                boot: BootId::from_parts(UnixNs(0), 0),
                source: Source::Agent,
                sequence: 0,
            },
            at: grant.not_before,
            boot_ns: 0,
            process: None,
            attribution: Attribution {
                session: Some(SessionId::from_parts(UnixNs(0), 0)),
                principal: Some(grant.principal.clone()),
                tenant: Some(grant.tenant.clone()),
                grants: vec![grant.id.clone()],
                lineage: Lineage::Kernel,
                reason: None,
                way: Vec::new(),
            },
            action: Action::SessionEnded {
                session: SessionId::from_parts(UnixNs(0), 0),
            },
        };
        let grant = Grant {
            state: GrantState::Standing,
            ..grant.clone()
        };
        Self {
            policy,
            modes,
            grant: [grant],
            event,
        }
    }

    fn grant(&self) -> &Grant {
        let [grant] = &self.grant;
        grant
    }

    fn cells(&mut self) -> Result<Vec<Cell>, Unfit> {
        let mut blocks = Block::always();
        blocks.extend(self.networks().into_iter().filter_map(Block::of));
        let mut nest = Nest::default();
        let mut cells: Vec<Cell> = Vec::new();
        for (block, inside) in blocks::own_addresses(&blocks) {
            let outer = nest.enter(block);
            let ranges = self.ranges(block, inside)?;
            if outer.is_some_and(|outer| cells.get(outer).is_some_and(|cell| cell.ranges == ranges))
            {
                continue;
            }
            nest.keep(block, cells.len());
            cells.push(Cell { block, ranges });
        }
        if cells.len() > CELLS_MAX {
            return Err(Unfit::Cells { cells: cells.len() });
        }
        Ok(cells)
    }

    /// Networks in which something else may hold than around them: those of the
    /// grant, its tenant and the provider, and other zones within them. Where
    /// it matters whose the rest is, every zone's.
    fn networks(&self) -> BTreeSet<ipnet::IpNet> {
        let grant = self.grant();
        let of_modes = ELSEWHERE.map(|reason| self.modes.of(&grant.tenant, reason));
        let [first, rest @ ..] = of_modes;
        let is_alike = rest.iter().all(|mode| *mode == first);
        let everywhere = !is_alike || self.policy.unknown() != Admission::OwnerGrant;
        let zones = self.policy.zones();
        let concerned =
            |tenant: &&Tenant| everywhere || tenant.id == grant.tenant || tenant.id.is_provider();
        let tenants = zones.tenants().iter().filter(concerned);
        let of_zones = tenants.flat_map(|tenant| &tenant.zones);
        let of_zones = of_zones.flat_map(Zone::all_networks);
        let of_grant = grant.scope.destinations.iter().map(|rule| rule.network);
        let stated: BTreeSet<_> = of_zones.chain(of_grant).collect();
        let within = stated
            .iter()
            .flat_map(|network| zones.networks_within(network));
        let within: Vec<_> = within.collect();
        stated.into_iter().chain(within).collect()
    }

    /// What is said of an address, by ranges of ports.
    fn ranges(&mut self, block: Block, address: IpAddr) -> Result<Vec<Range>, Unfit> {
        let zones: Vec<_> = self.policy.zones().covering(address).collect();
        let of_zones = zones.iter().flat_map(|(_, zone)| &zone.ports);
        let rules = self.grant().scope.destinations.iter();
        let rules = rules.filter(|rule| rule.network.contains(&address));
        let mut firsts = BTreeSet::from([0]);
        for ports in of_zones.copied().chain(rules.map(|rule| rule.ports)) {
            firsts.insert(ports.first);
            firsts.extend(ports.last.checked_add(1));
        }
        let mut ranges: Vec<Range> = Vec::new();
        for first in firsts {
            let says = self.say(&zones, address, first);
            if ranges.last().is_none_or(|last| last.says != says) {
                ranges.push(Range { first, says });
            }
        }
        if ranges.len() > RANGES_MAX {
            return Err(Unfit::Ranges {
                network: block,
                ranges: ranges.len(),
            });
        }
        Ok(ranges)
    }

    fn say(&mut self, zones: &[(&Tenant, &Zone)], address: IpAddr, port: u16) -> Says {
        let tenant = self.grant().tenant.clone();
        let by_socket = zones.iter().filter(|(_, zone)| zone.depends_on_socket());
        let (own, others): (Vec<_>, Vec<_>) =
            by_socket.partition(|(owner, _)| owner.id == tenant || owner.id.is_provider());
        let mut reasons: Vec<OutReason> = Vec::new();
        if !others.is_empty() {
            reasons.extend([OutReason::WrongTenant, OutReason::AmbiguousDestination]);
        }
        let mut granted = false;
        let neither = Zone::default();
        // Whatever the facts are under which a zone decides, it does so under
        // its own alone.
        for zone in std::iter::once(&neither).chain(own.into_iter().map(|(_, zone)| zone)) {
            let to = facts_of(zone, zones, address, port);
            self.event.action = Action::Connect {
                destination: to,
                denied: false,
                scope: None,
            };
            match judge_under(self.policy, self.grant.as_slice(), &self.event).verdict {
                Verdict::InScope { .. } => granted = true,
                Verdict::OutOfScope { reason, .. } => reasons.push(reason),
                Verdict::Exempt { .. } | Verdict::Unattributed { .. } => return Says::Open,
            }
        }
        if granted {
            return Says::Granted;
        }
        let modes = reasons.iter().map(|reason| self.modes.of(&tenant, *reason));
        modes.min().unwrap_or(Mode::Off).into()
    }
}

/// A destination of which exactly the facts hold that a zone states, and what
/// else zones of this address state does not.
fn facts_of(zone: &Zone, zones: &[(&Tenant, &Zone)], address: IpAddr, port: u16) -> Destination {
    let stated: BTreeSet<u32> = zones.iter().filter_map(|(_, zone)| zone.mark).collect();
    let other = (0..=u32::MAX).find(|mark| !stated.contains(mark));
    // No interface has an empty name; a socket whose interface is not known
    // would fit all.
    let interface = zone.interface.clone().unwrap_or_default();
    Destination {
        address,
        port,
        protocol: Protocol::Tcp,
        interface: Some(interface),
        interface_index: 0,
        net_ns: 0,
        net_ns_name: zone.net_ns.clone(),
        mark: zone.mark.or(other).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
