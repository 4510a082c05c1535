//! Numbers that an agent gives to other events than before.
//!
//! A host that was set back (a snapshot of a virtual machine), or that is a copy
//! of another, goes on counting from where the copy was made. Its events would
//! be taken for such as come twice, and be lost. They are set aside instead, and
//! that is an alert.
//!
//! Looked at are the first and the last event of each batch: whoever was set back
//! gives whole batches of known numbers. An agent that sends a batch again, since
//! its ack was lost, pays for two looks into a ledger.

use monitor_model::{event::Event, id::EventId, judge::judge};

use super::{Batch, Core, CoreError};
use crate::{
    alert::{hosts::OfHost, sign::Sign},
    dedupe::Stream,
    ledger::read::Reader,
    state::SetAside,
};

impl Core {
    /// Sets aside what of a batch has the number of another event, and raises
    /// an alert then. On disk after [`Core::publish`].
    ///
    /// # Errors
    /// [`CoreError`]; the core must be opened anew.
    pub fn aside_reused(&mut self, number: u64, batch: &mut Batch) -> Result<(), CoreError> {
        let mut reused = None;
        for (event, event_bytes) in [batch.events.first(), batch.events.last()]
            .into_iter()
            .flatten()
        {
            if reused.is_none() && self.is_of_another(event, event_bytes)? {
                reused = Some(event.id.clone());
            }
        }
        let Some(reused) = reused else {
            return Ok(());
        };
        for (event, event_bytes) in std::mem::take(&mut batch.events) {
            if !self.is_of_another(&event, &event_bytes)? {
                batch.events.push((event, event_bytes));
                continue;
            }
            batch.aside.push(SetAside {
                agent: batch.agent.clone(),
                batch: number,
                at: self.clock.now(),
                reason: format!("{} is another event already", event.id),
                event: event_bytes,
            });
        }
        self.raise_of_host(OfHost {
            sign: Sign::NumbersReused,
            since: self.clock.now(),
            sentence: format!(
                "{} gives numbers to events that others have, as {reused}: it was set back, or is a copy; its events are set aside",
                batch.agent
            ),
            event: reused,
        })
    }

    /// Whether a ledger holds another event of this name. One whose content was
    /// removed cannot be compared.
    pub(super) fn is_of_another(
        &mut self,
        event: &Event,
        event_bytes: &[u8],
    ) -> Result<bool, CoreError> {
        let stream = Stream::from(&event.id);
        if self.dedupe.is_unknown(&stream) {
            self.load(&stream)?;
        }
        if self.dedupe.holds(&stream, event.id.sequence) != Some(true) {
            return Ok(false);
        }
        let stored = self.stored(event)?;
        Ok(stored.is_some_and(|stored| stored != event_bytes))
    }

    /// What is stored under the name of an event, first looked for where the
    /// event would be.
    fn stored(&self, event: &Event) -> Result<Option<Vec<u8>>, CoreError> {
        let likely = judge(&self.world, event).ledger;
        let others = self.ledgers.keys().filter(|tenant| **tenant != likely);
        let likely = self
            .ledgers
            .get_key_value(&likely)
            .map(|(tenant, _)| tenant);
        for tenant in likely.into_iter().chain(others) {
            let found = bytes_of(&Reader::open(self.home.clone(), tenant)?, &event.id)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

fn bytes_of(reader: &Reader, id: &EventId) -> Result<Option<Vec<u8>>, CoreError> {
    Ok(reader.find(id)?.map(|entry| entry.judged.event_bytes))
}
