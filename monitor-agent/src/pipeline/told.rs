//! Losses are told when they grow, not each time they are looked at.
//!
//! What a gap names is told to the log only; what nothing else names becomes an
//! event, [`Action::Impaired`].

use std::collections::BTreeMap;

use monitor_common::{Fault, Ring};
use monitor_model::event::Action;
use tracing::{error, warn};

use crate::{
    counters::Counters,
    kernel::{Counters as KernelCounters, NotRun},
};

/// The reason of an impairment: the kernel did not run a program.
const NOT_RUN: &str = "not_run";

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    first: Option<()>,
    dropped: [u64; 2],
    /// By reason and program.
    impaired: BTreeMap<(&'static str, Option<&'static str>), u64>,
    /// By program with a second look: how it stood, and what both missed.
    looks: BTreeMap<&'static str, (NotRun, u64)>,
    missing: u64,
    undecodable: u64,
}

impl Told {
    /// Compares, and tells what grew since the last time: to the log, and what
    /// no gap names as events. The first time everything is new: an agent that
    /// starts again tells what its probes met while it was away.
    pub(super) fn tell(&mut self, kernel: &KernelCounters, counters: &Counters) -> Vec<Action> {
        let first = self.first.replace(()).is_none();
        for (ring, told) in Ring::ALL.into_iter().zip(&mut self.dropped) {
            let total = kernel.dropped(ring);
            let new = total.saturating_sub(std::mem::replace(told, total));
            if new > 0 && !first {
                error!(
                    ring = ring.name(),
                    new,
                    total,
                    "The kernel dropped records, because a ring was full or one process floods a watched file; a gap names them."
                );
            }
        }
        let missing = counters.records_missing.get();
        if missing > self.missing {
            error!(
                new = missing - self.missing,
                total = missing,
                "Sequence numbers are missing; gaps name them."
            );
        }
        self.missing = missing;
        let undecodable = counters.records_undecodable.get();
        if undecodable > self.undecodable {
            error!(
                new = undecodable - self.undecodable,
                total = undecodable,
                "Records could not be read."
            );
        }
        self.undecodable = undecodable;
        self.impaired(kernel)
    }

    fn impaired(&mut self, kernel: &KernelCounters) -> Vec<Action> {
        let faults = kernel.faults.iter();
        let faults = faults
            // The number of the first is used up, so a gap names it; of the
            // second nothing is missing.
            .filter(|(fault, _)| !matches!(fault, Fault::ScratchBusy | Fault::StartToldAgain))
            .map(|(fault, total)| (fault.name(), None, *total));
        let not_run: Vec<_> = kernel
            .not_run
            .iter()
            .map(|now| (NOT_RUN, Some(now.program), self.missed(now)))
            .collect();
        let mut grown = Vec::new();
        for (reason, program, total) in faults.chain(not_run) {
            let told = self.impaired.entry((reason, program)).or_default();
            let times = total.saturating_sub(std::mem::replace(told, total));
            if times == 0 {
                continue;
            }
            warn!(
                reason,
                program, times, total, "The probes could not tell all of what they should."
            );
            grown.push(Action::Impaired {
                reason: reason.to_owned(),
                program: program.map(str::to_owned),
                times,
                total,
            });
        }
        grown
    }

    /// How often, at most, something went by a program and its second look.
    fn missed(&mut self, now: &NotRun) -> u64 {
        let Some(again) = now.again else {
            return now.times;
        };
        let Some((before, missed)) = self.looks.get(now.program).copied() else {
            // What both missed before is not known.
            self.looks.insert(now.program, (*now, 0));
            return 0;
        };
        let missed = if let Some(told) = again.told {
            // The second look comes a moment after the first was not run: what
            // it has not told by the next time that we look, nobody told.
            missed.max(before.times.saturating_sub(told))
        } else {
            // It cannot know. Both must have been kept back.
            let times = now.times.saturating_sub(before.times);
            let before = before.again.map_or(0, |again| again.not_run);
            missed + times.min(again.not_run.saturating_sub(before))
        };
        self.looks.insert(now.program, (*now, missed));
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::SecondLook;

    fn impaired(reason: &str, program: Option<&str>, times: u64, total: u64) -> Action {
        Action::Impaired {
            reason: reason.to_owned(),
            program: program.map(str::to_owned),
            times,
            total,
        }
    }

    fn told(told: &mut Told, faults: &[(Fault, u64)], not_run: &[NotRun]) -> Vec<Action> {
        let kernel = KernelCounters {
            faults: faults.to_vec(),
            not_run: not_run.to_vec(),
            ..KernelCounters::default()
        };
        told.tell(&kernel, &Counters::default())
    }

    #[test]
    fn what_no_gap_names_is_an_event_each_time_that_it_grows() {
        let mut seen = Told::default();
        let faults = [(Fault::DescriptorRaced, 2), (Fault::ScratchBusy, 9)];
        let not_run = |times| NotRun {
            program: "script_fentry",
            times,
            again: None,
        };
        assert_eq!(
            told(&mut seen, &faults, &[not_run(3)]),
            [
                impaired("descriptor_raced", None, 2, 2),
                impaired("not_run", Some("script_fentry"), 3, 3),
            ]
        );
        assert_eq!(told(&mut seen, &faults, &[not_run(3)]), []);
        assert_eq!(
            told(&mut seen, &faults, &[not_run(5)]),
            [impaired("not_run", Some("script_fentry"), 2, 5)]
        );
    }

    fn start(times: u64, not_run: u64, told: Option<u64>) -> NotRun {
        NotRun {
            program: "task_exec",
            times,
            again: Some(SecondLook { not_run, told }),
        }
    }

    #[test]
    fn what_the_second_look_told_is_not_missing() {
        let mut seen = Told::default();
        let mut look = |times, again| told(&mut seen, &[], &[start(times, 1, Some(again))]);
        assert_eq!(look(4, 4), []);
        // One is between the two programs just now.
        assert_eq!(look(5, 4), []);
        assert_eq!(look(5, 5), []);
        assert_eq!(look(7, 5), []);
        assert_eq!(look(7, 6), [impaired("not_run", Some("task_exec"), 1, 1)]);
        assert_eq!(look(7, 6), []);
    }

    #[test]
    fn what_both_missed_at_a_time_may_be_missing() {
        let mut seen = Told::default();
        let mut look = |times, again| told(&mut seen, &[], &[start(times, again, None)]);
        assert_eq!(look(4, 4), []);
        assert_eq!(look(5, 4), []);
        assert_eq!(look(5, 5), []);
        assert_eq!(look(7, 8), [impaired("not_run", Some("task_exec"), 2, 2)]);
    }
}
