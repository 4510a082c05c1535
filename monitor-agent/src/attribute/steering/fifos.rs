//! Who opened which FIFO, and what for: who reads there does what those who
//! write there say.
//!
//! Bound: [`FIFOS_MAX`] FIFOs and [`ENDS_MAX`] processes of each; the longest
//! known makes room, and is counted.

use std::collections::{HashMap, VecDeque};

use monitor_model::event::{FileObject, Step};

use super::Key;

/// Most FIFOs that are remembered.
const FIFOS_MAX: usize = 4_096;
/// Most processes of one that are remembered, of each end.
const ENDS_MAX: usize = 64;

/// A FIFO: device, inode and generation.
type Identity = (u64, u64, u32);

/// One open of a FIFO.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) process: Key,
    pub(super) reads: bool,
    pub(super) writes: bool,
    /// Whose deed it was, or may have been.
    pub(super) steps: Vec<Step>,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Fifos {
    opens: HashMap<Identity, VecDeque<Open>>,
    oldest: VecDeque<Identity>,
    untaken: u64,
}

impl Fifos {
    /// One more process opened a FIFO; gives who reads by now what another wrote
    /// or may write: the reader, and whose that is.
    pub(super) fn open(&mut self, fifo: &FileObject, open: Open) -> Vec<(Key, Vec<Step>)> {
        let identity = (fifo.device, fifo.inode, fifo.generation);
        let opens = self.opens.entry(identity).or_insert_with(|| {
            self.oldest.push_back(identity);
            VecDeque::new()
        });
        let mut fed = Vec::new();
        for other in opens.iter().filter(|other| other.process != open.process) {
            if other.reads && open.writes {
                fed.push((other.process, open.steps.clone()));
            }
            if open.reads && other.writes {
                fed.push((open.process, other.steps.clone()));
            }
        }
        let is_same = |other: &Open| {
            (other.process, other.reads, other.writes) == (open.process, open.reads, open.writes)
        };
        opens.retain(|other| !is_same(other));
        opens.push_back(open);
        if opens.len() > ENDS_MAX {
            opens.pop_front();
            self.untaken += 1;
        }
        if self.oldest.len() > FIFOS_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.opens.remove(&oldest);
            self.untaken += 1;
        }
        fed
    }

    /// How many found no room, since this was last asked.
    pub(super) fn take_untaken(&mut self) -> u64 {
        std::mem::take(&mut self.untaken)
    }
}
