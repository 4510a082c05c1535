//! Which places of the network sessions connected to: who accepts there, or
//! receives datagrams, does what was said.
//!
//! A connection is told before it has a port of its own, so it is not the flow
//! that is matched but where it goes: whoever accepts there after another
//! session connected there is steered. What was said before somebody began to
//! listen there does not count.
//!
//! Bound: [`PLACES_MAX`] places, [`RECEIVERS_MAX`] receivers; the longest known
//! makes room, and is counted.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use monitor_model::event::{
    Action, Destination, Event, Protocol, SocketAddress, SocketOperation, Step, handover::STEPS_MAX,
};

use super::{Around, Key};

/// Most places that are remembered.
const PLACES_MAX: usize = 16_384;
/// Most receivers of datagrams that are remembered.
const RECEIVERS_MAX: usize = 4_096;
/// The type of a datagram socket, by its Linux number.
const DATAGRAMS: u16 = 2;

/// An address and port, in a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    net_ns: u32,
    address: IpAddr,
    port: u16,
    has_datagrams: bool,
}

impl Place {
    /// Where a connection goes.
    pub(super) fn of(event: &Event, destination: &Destination) -> Self {
        // What goes to no address goes to this host.
        let address = match destination.address {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            other @ (IpAddr::V4(_) | IpAddr::V6(_)) => other,
        };
        Self {
            net_ns: net_ns(event, destination.net_ns),
            address,
            port: destination.port,
            has_datagrams: destination.protocol == Protocol::Udp,
        }
    }

    fn own(event: &Event, local: SocketAddress, (in_ns, socket_type): (u32, u16)) -> Self {
        Self {
            net_ns: net_ns(event, in_ns),
            address: local.address,
            port: local.port,
            has_datagrams: socket_type == DATAGRAMS,
        }
    }

    /// Whether what goes there arrives at a socket bound here.
    fn is_in(&self, bound: &Self, around: &mut impl Around) -> bool {
        let is_same = (self.net_ns, self.port, self.has_datagrams)
            == (bound.net_ns, bound.port, bound.has_datagrams);
        is_same
            && (self.address == bound.address
                || (bound.address.is_unspecified()
                    && (self.address.is_loopback()
                        || around.is_own_address(self.address, self.net_ns))))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// Where a socket's own namespace is not known it is the caller's.
fn net_ns(event: &Event, of_socket: u32) -> u32 {
    match (of_socket, &event.process) {
        (0, Some(process)) => process.net_ns,
        _ => of_socket,
    }
}

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Reached {
    places: HashMap<Place, Vec<Step>>,
    oldest: VecDeque<Place>,
    receivers: VecDeque<(Place, Key)>,
    listeners: VecDeque<(Place, Key)>,
    untaken: u64,
}

impl Reached {
    /// Somebody connects or sends; gives who receives his datagrams.
    pub(super) fn connect(
        &mut self,
        place: Place,
        steps: &[Step],
        around: &mut impl Around,
    ) -> Vec<Key> {
        if steps.is_empty() {
            return Vec::new();
        }
        if !self.places.contains_key(&place) {
            self.oldest.push_back(place);
        }
        let known = self.places.entry(place).or_default();
        for step in steps {
            known.retain(|told| told.session != step.session);
            if known.len() < STEPS_MAX {
                known.push(step.clone());
            } else {
                self.untaken += 1;
            }
        }
        if self.oldest.len() > PLACES_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.places.remove(&oldest);
            self.untaken += 1;
        }
        let receivers = self.receivers.iter();
        receivers
            .filter(|(bound, _)| place.is_in(bound, around))
            .map(|(_, key)| *key)
            .collect()
    }

    /// Something happened to a socket of a process; gives who reached it.
    pub(super) fn socket(
        &mut self,
        event: &Event,
        key: Key,
        around: &mut impl Around,
    ) -> Vec<Step> {
        let Action::Socket {
            operation,
            socket_type,
            local: Some(local),
            net_ns,
            ..
        } = &event.action
        else {
            return Vec::new();
        };
        let place = Place::own(event, *local, (*net_ns, *socket_type));
        match operation {
            SocketOperation::Accepted => self.places.get(&place).cloned().unwrap_or_default(),
            SocketOperation::Bound if place.has_datagrams => self.receives(place, key, around),
            SocketOperation::Listening => {
                self.listens(place, key);
                Vec::new()
            }
            SocketOperation::Bound | SocketOperation::Created => Vec::new(),
        }
    }

    /// Who sent there before may go on, untold.
    fn receives(&mut self, bound: Place, key: Key, around: &mut impl Around) -> Vec<Step> {
        remember(&mut self.receivers, (bound, key), &mut self.untaken);
        let mut reached = Vec::new();
        for (place, steps) in &self.places {
            if place.is_in(&bound, around) {
                reached.extend(steps.iter().cloned());
            }
        }
        reached
    }

    /// Nobody listened there before, so that no connection waits there: what
    /// went there before is forgotten. Two that listen at one place share it.
    fn listens(&mut self, bound: Place, key: Key) {
        let is_shared = self.listeners.iter().any(|(place, other)| {
            (place.net_ns, place.port) == (bound.net_ns, bound.port) && *other != key
        });
        remember(&mut self.listeners, (bound, key), &mut self.untaken);
        if is_shared {
            return;
        }
        let is_there = |place: &Place| {
            (place.net_ns, place.port, place.has_datagrams)
                == (bound.net_ns, bound.port, bound.has_datagrams)
                && (bound.address.is_unspecified() || bound.address == place.address)
        };
        self.places.retain(|place, _| !is_there(place));
        self.oldest.retain(|place| !is_there(place));
    }

    /// A process ended: it listens and receives no more.
    pub(super) fn ended(&mut self, key: Key) {
        self.listeners.retain(|(_, listener)| *listener != key);
        self.receivers.retain(|(_, receiver)| *receiver != key);
    }

    /// How many found no room, since this was last asked.
    pub(super) fn take_untaken(&mut self) -> u64 {
        std::mem::take(&mut self.untaken)
    }
}

fn remember(list: &mut VecDeque<(Place, Key)>, entry: (Place, Key), untaken: &mut u64) {
    if list.contains(&entry) {
        return;
    }
    list.push_back(entry);
    if list.len() > RECEIVERS_MAX {
        list.pop_front();
        *untaken += 1;
    }
}
