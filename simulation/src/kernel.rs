//! The model of a host's kernel, and the truth of what it gave out.
//!
//! In: what engineers do. Out: records in two bounded rings, with a number for each
//! processor and ring, and counters, as the probes keep them; sessions and their
//! processes, as the probes' tables have them. It outlives the agent, and begins
//! anew when the host does. Bound: [`RING_MAX`] records of a ring; what finds no
//! room uses up its number and is counted. Loss: that, and what lies in the rings
//! when the host loses its power.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use monitor_agent::{kernel::SessionState, sequence::Counted};
use monitor_common::{Ring, ring::RingCounters};
use monitor_model::{
    clock::{Clock as _, UnixNs},
    id::{BootId, SessionId, Source},
    session::Session,
};
use zerocopy::IntoBytes as _;

use crate::{chance::Chance, clock::HostClock, trace::Trace};

mod marks;
mod records;

use records::Act;

/// Most records of one ring.
pub const RING_MAX: usize = 64;
/// Processors of a host.
const PROCESSORS: u16 = 2;
/// The first process id of a play: higher than any that a Linux kernel gives, so
/// that nothing of this machine is ever meant.
const FIRST_PID: u32 = 5_000_000;

/// The kernel of one host.
#[derive(Debug)]
pub struct Kernel {
    host: &'static str,
    clock: HostClock,
    trace: Trace,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chance: Chance,
    boot: Boot,
    past: Vec<Boot>,
    rings: [VecDeque<Slot>; 2],
    /// How many of each ring were read and are not freed.
    reading: [usize; 2],
    sessions: BTreeMap<SessionId, Known>,
    pid_next: u32,
    /// How often counters were taken since something happened.
    looks: u32,
}

/// A record in a ring.
#[derive(Clone, Debug)]
struct Slot {
    source: Source,
    number: u64,
    /// Aligned, as records in rings are.
    words: Vec<u64>,
    bytes: usize,
}

/// One life of a host.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Its name.
    pub id: BootId,
    /// What was counted, for each stream.
    pub counters: BTreeMap<Source, RingCounters>,
    /// Numbers whose record found no room.
    pub dropped: BTreeMap<Source, BTreeSet<u64>>,
    /// Numbers that lay in a ring when the power went; none while it is on.
    pub died: BTreeMap<Source, BTreeSet<u64>>,
    /// Whether the host is in another life by now.
    pub is_over: bool,
}

/// A session, and what was done to it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who it is.
    pub session: Session,
    /// Its living processes.
    pub processes: Vec<u32>,
    /// What the kernel does with it; none where it does not know it any more.
    pub state: Option<SessionState>,
    /// How often something was done to it: contained, held, frozen, killed.
    pub touched: u32,
    /// How often a kill found processes.
    pub killed: u32,
    /// Whether the login was let in.
    pub is_answered: bool,
}

/// Records that were read and lie in the ring still.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    slots: Vec<Slot>,
}

impl Taken {
    /// The records, in the order of the ring.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let slots = self.slots.iter();
        slots.map(|slot| slot.words.as_bytes().get(..slot.bytes).unwrap_or_default())
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl Kernel {
    /// A host that is switched on.
    #[must_use]
    pub fn new(host: &'static str, seed: Chance, clock: HostClock, trace: Trace) -> Self {
        let mut chance = seed;
        let boot = Boot::new(clock.now(), &mut chance);
        let state = State {
            chance,
            boot,
            past: Vec::new(),
            rings: Default::default(),
            reading: [0; 2],
            sessions: BTreeMap::new(),
            pid_next: FIRST_PID,
            looks: 0,
        };
        Self {
            host,
            clock,
            trace,
            state: Mutex::new(state),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life that the host is in.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.lock().boot.id
    }

    /// All its lives, the present one last.
    #[must_use]
    pub fn boots(&self) -> Vec<Boot> {
        let state = self.lock();
        let mut all = state.past.clone();
        all.push(state.boot.clone());
        all
    }

    /// Every session that there ever was.
    #[must_use]
    pub fn sessions(&self) -> Vec<Known> {
        self.lock().sessions.values().cloned().collect()
    }

    /// The power goes, and comes again: nothing of the kernel is left.
    pub fn power_cycle(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for slot in state.rings.iter().flatten() {
            let died = state.boot.died.entry(slot.source).or_default();
            died.insert(slot.number);
        }
        state.rings = Default::default();
        state.reading = [0; 2];
        for known in state.sessions.values_mut() {
            known.processes.clear();
            known.state = None;
        }
        let next = Boot::new(self.clock.now(), &mut state.chance);
        let mut over = std::mem::replace(&mut state.boot, next);
        over.is_over = true;
        state.past.push(over);
        state.looks = 0;
    }

    /// Engineers do so many things: each in a session of this host, on some
    /// processor. Where nobody is logged in, services do.
    pub fn work(&self, acts: u64) {
        let mut state = self.lock();
        for _ in 0..acts {
            let living: Vec<SessionId> = state.living().collect();
            let place = state.chance.index(living.len() + 1);
            let session = living.get(place).copied();
            let act = Act::any(&mut state.chance);
            self.happens(&mut state, act, session);
        }
    }

    /// A record of an act gets its number, and its place in a ring if there is one.
    fn happens(&self, state: &mut State, act: Act, session: Option<SessionId>) {
        state.looks = 0;
        let cpu = u16::try_from(state.chance.within(0..u64::from(PROCESSORS))).unwrap_or(0);
        let ring = act.ring();
        let source = match ring {
            Ring::Priority => Source::Priority { cpu },
            Ring::Bulk => Source::Bulk { cpu },
        };
        let counters = state.boot.counters.entry(source).or_default();
        counters.produced += 1;
        let number = counters.produced;
        let ([priority, bulk], reading) = (&mut state.rings, state.reading);
        let (slots, reading) = match ring {
            Ring::Priority => (priority, reading[0]),
            Ring::Bulk => (bulk, reading[1]),
        };
        if slots.len() >= RING_MAX {
            counters.dropped += 1;
            let dropped = state.boot.dropped.entry(source).or_default();
            dropped.insert(number);
            self.trace
                .note(self.host, &format!("drops {source} {number}"));
            return;
        }
        let place = records::Place {
            cpu,
            number,
            boot_ns: u64::try_from(self.trace.since().as_nanos()).unwrap_or(u64::MAX),
            session,
            pid: state.pid_next,
        };
        let (words, bytes) = act.record(&place);
        let slot = Slot {
            source,
            number,
            words,
            bytes,
        };
        // A program is preempted between its number and the ring: neighbours swap.
        let swaps = state.chance.happens(3) && slots.back().is_some_and(|last| !last.is_end());
        // What was read stays where it is.
        if swaps && slots.len() > reading {
            let last = slots.len() - 1;
            slots.insert(last, slot);
        } else {
            slots.push_back(slot);
        }
    }

    /// What lies in a ring, its first so many records; they stay there.
    #[must_use]
    pub fn read(&self, ring: Ring, most: usize) -> Taken {
        let mut guard = self.lock();
        let State { rings, reading, .. } = &mut *guard;
        let ([priority, bulk], [of_priority, of_bulk]) = (rings, reading);
        let (slots, read) = match ring {
            Ring::Priority => (priority, of_priority),
            Ring::Bulk => (bulk, of_bulk),
        };
        let slots: Vec<Slot> = slots.iter().take(most).cloned().collect();
        *read = slots.len();
        Taken { slots }
    }

    /// Gives the room of what was read to others.
    pub fn free(&self, ring: Ring, read: usize) {
        let mut guard = self.lock();
        let State { rings, reading, .. } = &mut *guard;
        let ([priority, bulk], [of_priority, of_bulk]) = (rings, reading);
        let (slots, reading) = match ring {
            Ring::Priority => (priority, of_priority),
            Ring::Bulk => (bulk, of_bulk),
        };
        *reading = 0;
        slots.drain(..read.min(slots.len()));
    }

    /// Whether anything lies in a ring.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.lock().rings.iter().any(|ring| !ring.is_empty())
    }

    /// What was counted, as an agent looks at it.
    #[must_use]
    pub fn counted(&self) -> Vec<Counted> {
        let mut state = self.lock();
        state.looks += 1;
        let counters = state.boot.counters.iter();
        let counted = counters.map(|(source, counters)| Counted {
            source: *source,
            produced: counters.produced,
            dropped: counters.dropped,
        });
        counted.collect()
    }

    /// Whether an agent looked twice since something happened, and read all.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let state = self.lock();
        state.looks > 2 && state.rings.iter().all(VecDeque::is_empty)
    }
}

impl State {
    fn living(&self) -> impl Iterator<Item = SessionId> {
        let living = self.sessions.iter();
        let living = living
            .filter(|(_, known)| known.is_answered && !known.processes.is_empty() && known.runs());
        living.map(|(id, _)| *id)
    }
}

impl Known {
    /// Whether its processes go on.
    fn runs(&self) -> bool {
        match self.state {
            Some(SessionState::Open | SessionState::Contained) => true,
            Some(SessionState::Killed | SessionState::Frozen) | None => false,
        }
    }
}

impl Slot {
    /// Whether it tells the end of a session: nothing of it comes later.
    fn is_end(&self) -> bool {
        self.bytes == records::END_BYTES
    }
}

impl Boot {
    fn new(now: UnixNs, chance: &mut Chance) -> Self {
        Self {
            id: BootId::from_parts(now, chance.next().into()),
            counters: BTreeMap::new(),
            dropped: BTreeMap::new(),
            died: BTreeMap::new(),
            is_over: false,
        }
    }

    /// Names the loading of the probes.
    #[must_use]
    pub fn epoch(id: BootId) -> String {
        format!("loaded once in {id}")
    }
}
