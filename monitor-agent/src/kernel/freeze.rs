//! Sessions that stand still, and go on.
//!
//! A session is frozen by its state in the kernel, which stops every task that
//! forks, is born or starts a program, and by SIGSTOP to every process, until
//! none runs. What was stopped so is noted in `STOPPED`, by the kernel and
//! here, so that a release lets go on what this stopped and nothing else, also
//! after a restart of the agent. Control groups that hold nobody else are
//! locked as well ([`super::groups`]): SIGCONT does not wake what is in them.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use monitor_common::{
    SessionMark,
    mark::{PROCESSES_MAX, SessionControl, Stopped},
};

use super::{
    KernelError, Probes, groups,
    process::Process,
    sessions::{SessionState, SessionTables},
    table::Put,
};
use crate::lossy;

/// Longest time that processes are stopped anew: forks without pause end in it.
const FREEZE_MAX: Duration = Duration::from_secs(2);
/// Longest wait for processes that were sent SIGSTOP.
const STOP_WAIT_MAX: Duration = Duration::from_millis(250);
/// Between two looks at them.
const STOP_LOOK: Duration = Duration::from_micros(200);

/// What [`Probes::freeze_session`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Halted {
    /// Processes that stand still.
    pub standing: usize,
    /// Those of them that sleep in the kernel where no signal reaches them (as
    /// the parent of a vfork does): they stop before their next instruction.
    pub asleep: usize,
    /// Processes that run on.
    pub left: usize,
    /// Control groups that are locked.
    pub locked: usize,
}

/// What [`Probes::release_session`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Processes that go on.
    pub resumed: usize,
    /// Processes that were stopped and could not be told to go on.
    pub left: usize,
}

impl Probes {
    /// Has the kernel refuse a session's connections and stop what forks or is
    /// born in it, from the next event on. Running processes run on until
    /// [`Self::freeze_session`].
    ///
    /// # Errors
    /// [`KernelError::NoSession`], `Table`.
    pub fn hold_session(&self, mark: SessionMark) -> Result<(), KernelError> {
        self.sessions.hold(mark)
    }

    /// Has the kernel refuse a session's connections, unless it does more to
    /// the session already.
    ///
    /// # Errors
    /// [`KernelError::NoSession`], `Table`.
    pub fn contain_session(&self, mark: SessionMark) -> Result<(), KernelError> {
        self.sessions.change(mark, |control| {
            if control.state == SessionControl::STATE_OPEN {
                control.state = SessionControl::STATE_CONTAINED;
            }
        })
    }

    /// Stops every process of a session but `spared`, until none runs. Blocks;
    /// milliseconds as a rule, at most seconds.
    ///
    /// # Errors
    /// [`KernelError::NoSession`], `Process`, `Table`.
    pub fn freeze_session(
        &self,
        mark: SessionMark,
        spared: &BTreeSet<u32>,
    ) -> Result<Halted, KernelError> {
        self.sessions.hold(mark)?;
        let mut halted = self.sessions.stop(mark, spared)?;
        if spared.is_empty() {
            let processes = self.sessions.processes_of(mark)?;
            let is_own = |pid: u32| self.sessions.is_of(pid, mark);
            halted.locked = groups::lock(&processes, mark, is_own);
        }
        Ok(halted)
    }

    /// Lets a frozen session go on: what was stopped with it, and nothing else.
    ///
    /// # Errors
    /// [`KernelError::NoSession`], `Process`, `Table`; [`KernelError::BeingKilled`]
    /// for a session that is to be killed.
    pub fn release_session(&self, mark: SessionMark) -> Result<Resumed, KernelError> {
        self.sessions.open_again(mark)?;
        groups::unlock(&self.sessions.processes_of(mark)?, mark);
        self.sessions.go_on(mark)
    }

    /// Stops every process of a session, of which nothing else changes: it is
    /// refused nothing, and what is born in it runs.
    ///
    /// # Errors
    /// [`KernelError::Process`], `Table`.
    pub fn pause_session(&self, mark: SessionMark) -> Result<Halted, KernelError> {
        self.sessions.stop(mark, &BTreeSet::new())
    }

    /// Lets go on what was stopped of a session, whatever stopped it.
    ///
    /// # Errors
    /// [`KernelError::Process`], `Table`.
    pub fn resume_session(&self, mark: SessionMark) -> Result<Resumed, KernelError> {
        self.sessions.go_on(mark)
    }

    /// Unlocks the control groups of a frozen session that is to be killed:
    /// others may come to live in them.
    pub(super) fn unlock(&self, mark: SessionMark) -> Result<(), KernelError> {
        let row = self.sessions.row(mark)?.ok_or(KernelError::NoSession)?;
        if row.state == SessionState::Frozen {
            groups::unlock(&self.sessions.processes_of(mark)?, mark);
        }
        Ok(())
    }
}

impl SessionTables {
    /// A session that is to be killed stays so.
    fn hold(&self, mark: SessionMark) -> Result<(), KernelError> {
        self.change(mark, |control| {
            if control.state != SessionControl::STATE_KILLED {
                control.state = SessionControl::STATE_FROZEN;
            }
        })
    }

    fn open_again(&self, mark: SessionMark) -> Result<(), KernelError> {
        let row = self.row(mark)?.ok_or(KernelError::NoSession)?;
        if row.state == SessionState::Killed {
            return Err(KernelError::BeingKilled);
        }
        self.set_state(mark, SessionState::Open)
    }

    fn is_of(&self, pid: u32, mark: SessionMark) -> bool {
        let found = Process::open(pid).and_then(|process| self.mark_of(&process));
        matches!(found, Ok(Some(found)) if found == mark)
    }

    /// Until a look finds nobody that runs and was not told to stop.
    fn stop(&self, mark: SessionMark, spared: &BTreeSet<u32>) -> Result<Halted, KernelError> {
        let started = Instant::now();
        let mut told = BTreeSet::new();
        loop {
            let mut processes = self.processes_of(mark)?;
            processes.retain(|process| !spared.contains(&process.pid));
            let mut halted = Halted::default();
            let mut running = Vec::new();
            for process in &processes {
                match process.stillness() {
                    Stillness::Stopped => halted.standing += 1,
                    Stillness::Asleep if told.contains(&process.pid) => {
                        halted.standing += 1;
                        halted.asleep += 1;
                    }
                    Stillness::Asleep | Stillness::Runs => running.push(process),
                }
            }
            halted.left = running.len();
            if running.is_empty() || started.elapsed() > FREEZE_MAX {
                return Ok(halted);
            }
            self.stop_all(&running, mark)?;
            told.extend(running.iter().map(|process| process.pid));
        }
    }

    /// Sends SIGSTOP and waits for it to be taken.
    fn stop_all(&self, running: &[&Process], mark: SessionMark) -> Result<(), KernelError> {
        for process in running {
            let Ok(start_ticks) = process.start_ticks() else {
                continue;
            };
            let stopped = Stopped {
                session: mark,
                start_ticks,
            };
            self.stopped
                .put(&process.pid, &stopped, Put::Any)
                .map_err(failed("write"))?;
            process.stop();
        }
        let started = Instant::now();
        let runs = |process: &&Process| process.stillness() == Stillness::Runs;
        while running.iter().any(runs) && started.elapsed() < STOP_WAIT_MAX {
            std::thread::sleep(STOP_LOOK);
        }
        Ok(())
    }

    /// Twice: a program of the kernel that was at work when the state changed
    /// may have stopped one more.
    fn go_on(&self, mark: SessionMark) -> Result<Resumed, KernelError> {
        let mut resumed = Resumed::default();
        loop {
            let found = self.take_stopped(mark)?;
            if found.is_empty() {
                return Ok(resumed);
            }
            for (pid, stopped) in found {
                let Ok(process) = Process::open(pid) else {
                    continue;
                };
                if process.start_ticks().ok() != Some(stopped.start_ticks) {
                    continue;
                }
                if process.go_on() {
                    resumed.resumed += 1;
                } else if !process.has_ended() {
                    resumed.left += 1;
                }
            }
        }
    }

    /// Takes the notes of a session's stopped processes out of the table.
    pub(super) fn take_stopped(
        &self,
        mark: SessionMark,
    ) -> Result<Vec<(u32, Stopped)>, KernelError> {
        let mut taken = Vec::new();
        let mut pids = self.stopped.keys(PROCESSES_MAX).map_err(failed("list"))?;
        pids.sort_unstable();
        pids.dedup();
        for pid in pids {
            let Some(stopped) = self.stopped.get(&pid).map_err(failed("read"))? else {
                continue;
            };
            if stopped.session == mark {
                self.stopped.remove(&pid).map_err(failed("remove from"))?;
                taken.push((pid, stopped));
            }
        }
        Ok(taken)
    }
}

fn failed(action: &'static str) -> impl Fn(std::io::Error) -> KernelError {
    move |error| KernelError::Table {
        action,
        table: "STOPPED",
        error,
    }
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stillness {
    /// Every thread is stopped or ended.
    Stopped,
    /// So it is but for threads that sleep in the kernel where signals do not
    /// reach them: they stop before their next instruction.
    Asleep,
    /// A thread runs, or may at any time.
    Runs,
}

impl Process {
    /// What is gone stands still.
    fn stillness(&self) -> Stillness {
        let pid = self.pid;
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
            return Stillness::Stopped;
        };
        let states = tasks.flatten().map(|task| {
            let stat = lossy::text(task.path().join("stat"));
            match stat.ok().and_then(|stat| state_of(&stat)) {
                None | Some('T' | 't' | 'Z' | 'X') => Stillness::Stopped,
                Some('D') => Stillness::Asleep,
                Some(_) => Stillness::Runs,
            }
        });
        states.max().unwrap_or(Stillness::Stopped)
    }
}

/// Third field of a `stat`: the state, behind the name in parentheses.
fn state_of(stat: &str) -> Option<char> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.trim_start().chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lossy::tests::Odd;

    #[test]
    fn a_state_is_read_in_spite_of_the_name() {
        assert_eq!(state_of("17 (a) R) T 1 2 3"), Some('T'));
        assert_eq!(state_of("17 (a"), None);
    }

    #[test]
    fn a_name_that_is_no_text_does_not_look_like_standing_still() {
        let odd = Odd::start();
        let process = Process::open(odd.pid()).unwrap();
        assert!(process.start_ticks().unwrap() > 0);
        // It sleeps, and would go on by itself; at its start it may wait for the disk.
        let stillness = std::iter::repeat_with(|| process.stillness());
        let settled = stillness
            .take(100_000)
            .find(|stillness| *stillness != Stillness::Asleep);
        assert_eq!(settled, Some(Stillness::Runs));
    }

    #[test]
    fn who_runs_does_not_stand_still() {
        let own = Process::open(std::process::id()).unwrap();
        assert_eq!(own.stillness(), Stillness::Runs);
    }
}
