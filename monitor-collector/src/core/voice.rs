//! What the collector says of itself: it goes into the ledgers as events do.
//!
//! In: what is said, and of which ledger. Out: events with numbers of the
//! ledger's own stream, stored with the next group. Loss: none: what is said
//! gets its number once and keeps it, so that a group that was stored in part
//! can be said again whole. Nothing follows from these events: no alert, no
//! session, no use of a grant.

use std::collections::btree_map::Entry as MapEntry;

use monitor_model::{
    event::{Action, Attribution, Event, Lineage},
    id::{EventId, TenantId},
};

use super::{Core, CoreError, Stored};
use crate::dedupe::{Intervals, Stream};

/// Something that the collector says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whose ledger it concerns; one that is not there is the provider's.
    pub ledger: TenantId,
    /// What: a read or a removal.
    pub action: Action,
    /// Its name, once [`Core::name`] gave one.
    pub id: Option<EventId>,
}

impl Said {
    /// Of a tenant's ledger, not named yet.
    #[must_use]
    pub const fn of(ledger: TenantId, action: Action) -> Self {
        Self {
            ledger,
            action,
            id: None,
        }
    }
}

/// How far it came in one ledger.
#[derive(Debug)]
pub(super) struct Voice {
    stream: Stream,
    last: u64,
}

impl Core {
    /// Gives a name to what has none yet: the next number of its ledger.
    ///
    /// # Errors
    /// [`CoreError`]; the core must be opened anew.
    pub fn name(&mut self, said: &mut [Said]) -> Result<(), CoreError> {
        for named in said.iter() {
            let Some(id) = &named.id else { continue };
            let voice = self.voice(&named.ledger)?;
            let is_its = voice.stream == Stream::from(id);
            voice.last = voice.last.max(if is_its { id.sequence } else { 0 });
        }
        for said in said.iter_mut().filter(|said| said.id.is_none()) {
            if !self.ledgers.contains_key(&said.ledger) {
                said.ledger = TenantId::provider();
            }
            let voice = self.voice(&said.ledger)?;
            voice.last = voice.last.saturating_add(1);
            let Stream {
                agent,
                boot,
                source,
            } = voice.stream.clone();
            said.id = Some(EventId {
                agent,
                boot,
                source,
                sequence: voice.last,
            });
        }
        Ok(())
    }

    /// Says something that has a name; it is on disk after the next [`Core::settle`].
    pub fn say(&mut self, said: impl IntoIterator<Item = Said>) {
        self.said.extend(said);
    }

    /// Stores what was said.
    pub(super) fn store_said(&mut self, stored: &mut Stored) -> Result<(), CoreError> {
        let mut said = std::mem::take(&mut self.said);
        self.name(&mut said)?;
        for said in said {
            let Some(event) = self.event_of(said) else {
                continue;
            };
            let event_bytes = monitor_proto::encode_event(&event);
            match self.append(event, event_bytes)? {
                Some(entry) => stored.entries.push(entry),
                None => stored.duplicates += 1,
            }
        }
        Ok(())
    }

    /// How far it came in a ledger.
    fn voice(&mut self, ledger: &TenantId) -> Result<&mut Voice, CoreError> {
        let Self {
            ledgers, voices, ..
        } = self;
        let ledger = if ledgers.contains_key(ledger) {
            ledger.clone()
        } else {
            TenantId::provider()
        };
        match voices.entry(ledger) {
            MapEntry::Occupied(known) => Ok(known.into_mut()),
            MapEntry::Vacant(unknown) => {
                let stream = ledgers
                    .get(unknown.key())
                    .map(|file| file.voice(&self.name));
                let Some(stream) = stream else {
                    return Err(CoreError::NoProvider);
                };
                let mut known = Intervals::default();
                for file in ledgers.values() {
                    file.sequences(&stream, &mut known)?;
                }
                let last = known.last().unwrap_or(0);
                Ok(unknown.insert(Voice { stream, last }))
            }
        }
    }

    fn event_of(&self, said: Said) -> Option<Event> {
        let Said { ledger, action, id } = said;
        Some(Event {
            id: id?,
            at: self.clock.now(),
            boot_ns: 0,
            process: None,
            attribution: Attribution {
                session: None,
                principal: None,
                tenant: Some(ledger),
                grants: Vec::new(),
                lineage: Lineage::Unattributed,
                reason: None,
                way: Vec::new(),
            },
            action,
        })
    }
}
