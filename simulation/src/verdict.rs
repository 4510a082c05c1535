//! Whether a play holds: what the kernels gave out against what the ledgers have,
//! and what was ordered against what was done.
//!
//! The ledgers are read by `monitor-verify`, which shares no code with what wrote
//! them; the kernel's side is the model's own memory.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use monitor_model::{
    event::{Action, Event, OrderEntry, Receipt},
    id::{AgentName, BootId, OrderId, Source},
    revocation::life::State,
};
use monitor_verify::{
    books::{self, Asked},
    ledgers::{self, Said},
};
use serde::{Deserialize, Serialize};

use crate::{
    ground::{Ground, Host},
    kernel::Boot,
};

mod orders;

/// What was counted in a play that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Numbers that the kernels gave out.
    pub produced: u64,
    /// Of them, in a ledger.
    pub stored: u64,
    /// Of them, named as missing.
    pub gaps: u64,
    /// Of them, those that died with their host: it lost its power before they,
    /// or what came after them, were on its disk.
    pub died: u64,
    /// What agents said themselves, in a ledger.
    pub own: u64,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Orders that were given and carried out.
    pub orders: u64,
    /// Things that went wrong.
    pub faults: u64,
}

impl Books {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            produced: self.produced + other.produced,
            stored: self.stored + other.stored,
            gaps: self.gaps + other.gaps,
            died: self.died + other.died,
            own: self.own + other.own,
            sessions: self.sessions + other.sessions,
            orders: self.orders + other.orders,
            faults: self.faults + other.faults,
        }
    }
}

type Stream = (AgentName, BootId, Source);

/// What the ledgers say.
#[derive(Debug, Default)]
struct Told {
    /// How often each number is there.
    stored: BTreeMap<Stream, BTreeMap<u64, u32>>,
    gaps: BTreeMap<Stream, BTreeSet<u64>>,
    receipts: Vec<Receipt>,
    entries: BTreeMap<OrderId, Vec<OrderEntry>>,
}

/// Judges a play that came to rest.
///
/// # Errors
/// What does not hold.
pub fn judge(ground: &Ground, faults: usize) -> Result<Books> {
    let mut told = Told::default();
    ledgers::read(&ground.collector(), None, |said| match said {
        Said::Event(event) => told.take(event),
        Said::Removed(_, _) => {}
    })?;
    let mut sum = Books {
        faults: u64::try_from(faults)?,
        ..Books::default()
    };
    for host in &ground.hosts {
        for boot in host.kernel.boots() {
            sum = sum.and(told.boot(host, &boot)?);
        }
        independent(ground, host)?;
        let sessions = host.kernel.sessions();
        let opened = sessions.iter().filter(|known| known.is_answered).count();
        sum.sessions += u64::try_from(opened)?;
    }
    orders::judge(ground, &told)?;
    sum.orders = u64::try_from(ground.people.orders().len())?;
    Ok(sum)
}

/// The same question to `monitor-verify`, with the agent's spool.
fn independent(ground: &Ground, host: &Host) -> Result<()> {
    let asked = Asked {
        ledgers: ground.collector(),
        spool: Some(host.spool()),
        agent: Some(host.name.parse()?),
        ..Asked::default()
    };
    for row in books::read(&asked)? {
        ensure!(row.holds(), "monitor-verify: {row:?}");
    }
    Ok(())
}

impl Told {
    fn take(&mut self, event: &Event) {
        let id = &event.id;
        let stream = (id.agent.clone(), id.boot, id.source);
        let numbers = self.stored.entry(stream).or_default();
        *numbers.entry(id.sequence).or_default() += 1;
        if let Action::Gap {
            source,
            first,
            last,
            ..
        } = &event.action
        {
            let stream = (id.agent.clone(), id.boot, *source);
            self.gaps.entry(stream).or_default().extend(*first..=*last);
        } else if let Action::Contained { receipt } = &event.action {
            self.receipts.push(receipt.clone());
        } else if let Action::Order { entry } = &event.action {
            let entries = self.entries.entry(entry.order).or_default();
            entries.push((**entry).clone());
        }
    }

    /// The equation of one life of a host.
    fn boot(&self, host: &Host, boot: &Boot) -> Result<Books> {
        let agent: AgentName = host.name.parse()?;
        let mut sum = Books::default();
        for (source, counters) in &boot.counters {
            let stream = (agent.clone(), boot.id, *source);
            let row = self.stream(&stream, boot, counters.produced)?;
            sum = sum.and(row);
        }
        sum.own = self.own(&(agent, boot.id, Source::Agent))?;
        Ok(sum)
    }

    fn stream(&self, stream: &Stream, boot: &Boot, produced: u64) -> Result<Books> {
        let (none, no_gaps) = (BTreeMap::new(), BTreeSet::new());
        let stored = self.stored.get(stream).unwrap_or(&none);
        let gaps = self.gaps.get(stream).unwrap_or(&no_gaps);
        // A hole below what is told is to be named, also after the boot is over.
        let newest = stored.keys().chain(gaps).max().copied().unwrap_or(0);
        let excused = |numbers: &BTreeMap<Source, BTreeSet<u64>>, number: u64| {
            boot.is_over
                && number > newest
                && numbers
                    .get(&stream.2)
                    .is_some_and(|set| set.contains(&number))
        };
        let mut sum = Books {
            produced,
            ..Books::default()
        };
        for number in 1..=produced {
            let times = stored.get(&number).copied().unwrap_or(0);
            match (times, gaps.contains(&number)) {
                (1, false) => sum.stored += 1,
                (0, true) => sum.gaps += 1,
                (0, false) if excused(&boot.died, number) || excused(&boot.dropped, number) => {
                    sum.died += 1;
                }
                (0, false) => bail!("{stream:?}: {number} of {produced} is nowhere"),
                (1, true) => bail!("{stream:?}: {number} is stored and named as missing"),
                (times, _) => bail!("{stream:?}: {number} is stored {times} times"),
            }
        }
        let beyond = stored.keys().chain(gaps).find(|number| **number > produced);
        ensure!(
            beyond.is_none(),
            "{stream:?}: {beyond:?} was never given out"
        );
        Ok(sum)
    }

    /// An agent's own events: every number once, without a hole.
    fn own(&self, stream: &Stream) -> Result<u64> {
        let Some(stored) = self.stored.get(stream) else {
            return Ok(0);
        };
        for (wanted, (number, times)) in (1..).zip(stored) {
            ensure!(*number == wanted, "{stream:?}: {wanted} is nowhere");
            ensure!(*times == 1, "{stream:?}: {number} is stored {times} times");
        }
        Ok(u64::try_from(stored.len())?)
    }
}

/// Whether an entry tells that an order is carried out everywhere.
fn is_last(entry: &OrderEntry) -> bool {
    entry.state == State::Enforced
}
