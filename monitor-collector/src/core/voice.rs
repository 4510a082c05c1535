//! What the collector says of itself: it goes into the ledgers as events do.
//!
//! In: what is said, and of which ledger. Out: events with numbers of the
//! ledger's own stream, stored with the next group. Loss: none: what is said
//! gets its number once and keeps it, so that a group that was stored in part
//! can be said again whole; what belongs to a change of the state is kept there,
//! without a number, until its ledger has it on disk. No session and no use of
//! a grant follows from these events, and rules look at one kind alone: what
//! somebody made of a broker's list.

use std::collections::btree_map::Entry as MapEntry;

use monitor_model::{
    clock::UnixNs,
    event::{Action, Attribution, Event, Lineage},
    id::{EventId, Source, TenantId},
};

use super::{Core, CoreError, Stored};
use crate::{
    dedupe::{Intervals, Stream},
    ledger::{
        Entry,
        read::{Filter, Reader, Span},
    },
};

/// Entries that are looked at together.
const PAGE: u32 = 1_000;

/// Something that the collector says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whose ledger it concerns; one that is not there is the provider's.
    pub ledger: TenantId,
    /// What: a read, a removal, or what became of an order.
    pub action: Action,
    /// When.
    pub at: UnixNs,
    /// Its name, once [`Core::name`] gave one.
    pub id: Option<EventId>,
    /// Its row in the state, where it is kept there until it is on disk in its
    /// ledger.
    pub row: Option<u64>,
}

impl Said {
    /// Of a tenant's ledger, not named yet.
    #[must_use]
    pub const fn of(ledger: TenantId, action: Action, at: UnixNs) -> Self {
        Self {
            ledger,
            action,
            at,
            id: None,
            row: None,
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
            self.entering.extend(said.row);
            let Some(event) = event_of(said) else {
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

    /// Whether something is to be said that no ledger holds.
    #[must_use]
    pub const fn has_to_say(&self) -> bool {
        !self.said.is_empty()
    }

    /// Keeps something in the state, and says it with the group after this one: it
    /// is said once if what it is about is ever on disk, and nobody who is to hear
    /// of that waits for a ledger.
    pub(super) fn keep_said(&mut self, mut said: Said) -> Result<(), CoreError> {
        said.row = Some(self.state.keep_said(&said, self.stamp)?);
        self.kept.push(said);
        Ok(())
    }

    /// Takes back what the state keeps, but for what the ledgers have: a stop
    /// came between the two.
    pub(super) fn recall_said(&mut self, readers: &[Reader]) -> Result<(), CoreError> {
        let kept = self.state.said()?;
        for (after, said) in kept {
            let of = |id: &TenantId| readers.iter().find(|reader| reader.tenant() == id);
            let reader = of(&said.ledger).or_else(|| of(&TenantId::provider()));
            if let (Some(reader), Some(row)) = (reader, said.row)
                && is_stored(reader, (after, self.stamp), &said)?
            {
                self.state.remove_said(row)?;
            } else {
                self.said.push(said);
            }
        }
        Ok(())
    }

    /// Forgets what the ledgers have on disk now.
    pub(super) fn forget_said(&mut self) -> Result<(), CoreError> {
        for row in std::mem::take(&mut self.entering) {
            self.state.remove_said(row)?;
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
}

/// Whether a ledger holds what was said, between two places.
fn is_stored(
    reader: &Reader,
    (mut after, up_to): (UnixNs, UnixNs),
    said: &Said,
) -> Result<bool, CoreError> {
    let filter = Filter {
        kinds: vec![said.action.kind()],
        ..Filter::default()
    };
    let is_it = |entry: &Entry| {
        let event = &entry.judged.event;
        event.id.source == Source::Collector && event.at == said.at && event.action == said.action
    };
    while after < up_to {
        let span = Span {
            after,
            up_to,
            limit: PAGE,
        };
        let (entries, seen) = reader.page(span, &filter)?;
        if entries.iter().any(is_it) {
            return Ok(true);
        }
        after = seen;
    }
    Ok(false)
}

fn event_of(said: Said) -> Option<Event> {
    let Said {
        ledger,
        action,
        at,
        id,
        row: _,
    } = said;
    Some(Event {
        id: id?,
        at,
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
