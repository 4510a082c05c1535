//! Events that cannot be decoded: told, and taken up again by a collector that
//! can decode them.
//!
//! In: what a batch sets aside; at a start, the quarantine. Out: an alert; events
//! that go the way of all others, under the numbers that they always had. Loss:
//! none: a row leaves the quarantine once its event is on disk in a ledger.

use std::collections::BTreeMap;

use monitor_model::{
    event::{Action, Event, Kind},
    id::{AgentName, Source},
};
use tracing::info;

use super::{Batch, Core, CoreError};
use crate::{
    alert::{hosts::OfHost, sign::Sign},
    state::{SetAside, aside::AsideKey},
};

impl Core {
    /// Raises an alert when a batch has what could not be decoded. On disk after
    /// [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]; the core must be opened anew.
    pub fn tell_unreadable(&mut self, batch: &Batch) -> Result<(), CoreError> {
        let Some(SetAside { agent, reason, .. }) = batch.aside.first() else {
            return Ok(());
        };
        let beside = batch.events.first().map(|(event, _)| event.id.clone());
        // Of a host that never said anything else nothing can be named: the log has it.
        let Some(event) = beside.or_else(|| self.alerter.last_of(agent)) else {
            return Ok(());
        };
        self.raise_of_host(OfHost {
            sign: Sign::EventsUnreadable,
            since: self.clock.now(),
            sentence: format!(
                "events of {agent} cannot be decoded ({reason}): its agent is newer than this collector, or something damages them; they are set aside, and taken up by the next start that can decode them"
            ),
            event,
        })
    }

    /// Takes up what was set aside and can be decoded now. On disk in the ledgers;
    /// what follows is on disk after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]; the core must be opened anew.
    pub(super) fn take_up_aside(&mut self) -> Result<(), CoreError> {
        let mut place = None;
        loop {
            let page = self.state.aside_after(place.as_ref())?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            place = Some(last.clone());
            self.take_up(page)?;
        }
    }

    fn take_up(&mut self, page: Vec<(AsideKey, SetAside)>) -> Result<(), CoreError> {
        let mut batches: BTreeMap<AgentName, Batch> = BTreeMap::new();
        let mut taken = Vec::new();
        for (key, aside) in page {
            let Ok(event) = monitor_proto::decode_event(&aside.event) else {
                continue;
            };
            // A number that another event has stays with that one.
            if !may_say(&aside.agent, &event) || self.is_of_another(&event, &aside.event)? {
                continue;
            }
            let agent = aside.agent.clone();
            let batch = batches.entry(agent).or_insert_with(|| Batch {
                agent: aside.agent,
                events: Vec::new(),
                aside: Vec::new(),
            });
            batch.events.push((event, aside.event));
            taken.push(key);
        }
        if taken.is_empty() {
            return Ok(());
        }
        for batch in batches.values() {
            info!(agent = %batch.agent, events = batch.events.len(),
                "Events that were set aside can be decoded now, and are taken up.");
        }
        let stored = self.take_in(batches.into_values().collect())?;
        self.settle(&stored.entries)?;
        for key in taken {
            self.state.remove_aside(&key)?;
        }
        Ok(())
    }
}

/// Whether an agent may say this, under this number.
fn may_say(agent: &AgentName, event: &Event) -> bool {
    let sequence = event.id.sequence;
    event.id.agent == *agent
        && !is_collectors(event)
        && sequence > 0
        && i64::try_from(sequence).is_ok()
}

/// Whether it is what only the collector says.
#[must_use]
pub fn is_collectors(event: &Event) -> bool {
    event.id.source == Source::Collector
        || matches!(
            event.action.kind(),
            Kind::Read | Kind::Removed | Kind::Order
        )
        || matches!(
            event.action,
            Action::Gap {
                source: Source::Collector,
                ..
            }
        )
}
