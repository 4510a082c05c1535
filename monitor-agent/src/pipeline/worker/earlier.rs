//! What earlier boots left open: numbers that never came, though later ones did,
//! when the host lost its power. Nobody can say more of them now.

use monitor_model::{
    event::{Attribution, Event, NoSession},
    id::{EventId, Source},
};

use super::Worker;
use crate::{
    attribute::Host,
    sequence::Sequences,
    spool::{Earlier, Spooled},
};

impl<H: Host> Worker<H> {
    /// Names the holes of a boot that is over, as events of that boot, and has its
    /// positions forgotten with them.
    pub(super) fn name_earlier(&mut self, earlier: Earlier) {
        let Earlier {
            boot,
            streams,
            own_sequence,
        } = earlier;
        let gaps = Sequences::resume(streams).restart();
        for (sequence, gap) in (own_sequence.saturating_add(1)..).zip(gaps) {
            self.parts.counters.records_missing.add(gap.numbers());
            let event = Event {
                id: EventId {
                    agent: self.parts.origin.agent.clone(),
                    boot,
                    source: Source::Agent,
                    sequence,
                },
                at: self.parts.clock.now(),
                // That boot's time is over.
                boot_ns: 0,
                process: None,
                attribution: Attribution::none(NoSession::NoMark),
                action: gap.into(),
            };
            self.reading.events.push(Spooled::from(&event));
        }
        self.reading.over.push(boot);
    }
}
