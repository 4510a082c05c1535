//! Marks on processes, and what the kernel is told to do with a session.
//!
//! A mark is set on a process by its pidfd; the fork hook copies it to every
//! descendant. Rows of the session tables are made here and stay until
//! [`super::Probes::forget_session`]. Bound: `SESSIONS_MAX` sessions at a time, a clear
//! error above.

use std::{
    fs, io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    KernelError,
    pins::Pins,
    process::Process,
    table::{Put, Table},
};
use monitor_common::{
    SessionMark,
    mark::{ProcessMark, SESSIONS_MAX, SessionControl, SessionLive, Stopped, TaskMark},
};

/// Most rounds of [`super::Probes::kill_session`]. The kernel kills newborn
/// tasks of a killed session, so one round does but for races.
const KILL_ROUNDS_MAX: u32 = 50;
/// Longest wait in a round for processes that were sent the signal.
const KILL_WAIT_MAX: Duration = Duration::from_millis(100);

/// What the kernel does with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Nothing is refused.
    Open,
    /// New connections are refused.
    Contained,
    /// New connections are refused, and tasks that fork, are born or start a
    /// program are killed.
    Killed,
    /// New connections are refused, and tasks that fork, are born or start a
    /// program are stopped.
    Frozen,
}

impl SessionState {
    const fn number(self) -> u32 {
        match self {
            Self::Open => SessionControl::STATE_OPEN,
            Self::Contained => SessionControl::STATE_CONTAINED,
            Self::Killed => SessionControl::STATE_KILLED,
            Self::Frozen => SessionControl::STATE_FROZEN,
        }
    }

    const fn from_number(number: u32) -> Self {
        match number {
            SessionControl::STATE_OPEN => Self::Open,
            SessionControl::STATE_CONTAINED => Self::Contained,
            SessionControl::STATE_FROZEN => Self::Frozen,
            _ => Self::Killed,
        }
    }
}

/// One row of the session tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The session.
    pub mark: SessionMark,
    /// Living tasks: processes and their threads.
    pub live_tasks: u64,
    /// What the kernel does with it.
    pub state: SessionState,
}

/// What setting a mark did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// The process had no mark.
    New,
    /// It had this mark already.
    Already,
    /// It belonged to another session, and was moved. Where that one has no
    /// living task now, the kernel does not tell its end: it is told here.
    Moved {
        /// The other session.
        from: SessionMark,
        /// Living tasks that it still has.
        left: u64,
    },
}

/// What [`super::Probes::kill_session`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed {
    /// Processes that were sent the signal.
    pub signalled: usize,
    /// Processes that are left: 0, or the session resists (a process in
    /// uninterruptible sleep).
    pub left: usize,
    /// Rounds of looking and killing.
    pub rounds: u32,
    /// From the change of state to the last process gone.
    pub took: Duration,
}

/// The tables of marks and sessions.
#[derive(Debug)]
pub(super) struct SessionTables {
    tasks: Table<i32, TaskMark>,
    processes: Table<u32, ProcessMark>,
    control: Table<SessionMark, SessionControl>,
    live: Table<SessionMark, SessionLive>,
    /// By process id.
    pub(super) stopped: Table<u32, Stopped>,
    /// Raised after each change, so that the kernel asks the tables anew.
    epoch: Mutex<Table<u32, u32>>,
}

impl SessionTables {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        let failed = |table| {
            move |error| KernelError::Table {
                action: "open",
                table,
                error,
            }
        };
        Ok(Self {
            tasks: Table::open(&pins.map("TASK_MARKS")).map_err(failed("TASK_MARKS"))?,
            processes: Table::open(&pins.map("PROCESS_MARKS")).map_err(failed("PROCESS_MARKS"))?,
            control: Table::open(&pins.map("SESSION_CONTROL"))
                .map_err(failed("SESSION_CONTROL"))?,
            live: Table::open(&pins.map("SESSION_LIVE")).map_err(failed("SESSION_LIVE"))?,
            stopped: Table::open(&pins.map("STOPPED")).map_err(failed("STOPPED"))?,
            epoch: Mutex::new(
                Table::open(&pins.map("SESSIONS_EPOCH")).map_err(failed("SESSIONS_EPOCH"))?,
            ),
        })
    }

    /// Makes the rows of a session, where it has none.
    pub(super) fn make(&self, mark: SessionMark) -> Result<(), KernelError> {
        fresh(
            self.live.put(&mark, &SessionLive::default(), Put::New),
            "SESSION_LIVE",
        )?;
        fresh(
            self.control
                .put(&mark, &SessionControl::default(), Put::New),
            "SESSION_CONTROL",
        )
    }

    /// Sets the mark of a process.
    pub(super) fn mark(&self, pid: u32, mark: SessionMark) -> Result<Marked, KernelError> {
        self.make(mark)?;
        let process = Process::open(pid)?;
        let before = self.mark_of(&process)?;
        if before == Some(mark) {
            return Ok(Marked::Already);
        }
        // Counted first: at worst the session looks alive for a moment too long.
        self.adopt(mark, 1)?;
        if let Err(error) = self.put_mark(&process, mark) {
            self.adopt(mark, -1)?;
            return Err(error);
        }
        match before {
            None => Ok(Marked::New),
            Some(from) => {
                self.adopt(from, -1)?;
                let left = self.row(from)?.map_or(0, |row| row.live_tasks);
                Ok(Marked::Moved { from, left })
            }
        }
    }

    fn put_mark(&self, process: &Process, mark: SessionMark) -> Result<(), KernelError> {
        let value = TaskMark {
            session: mark,
            ..TaskMark::default()
        };
        let pid = process.pid;
        self.tasks
            .put(&process.pidfd(), &value, Put::Any)
            .map_err(|error| KernelError::Process {
                action: "mark",
                pid,
                error,
            })?;
        let start_ticks = process.start_ticks()?;
        self.processes
            .put(
                &pid,
                &ProcessMark {
                    session: mark,
                    start_ticks,
                    flags: 0,
                },
                Put::Any,
            )
            .map_err(|error| KernelError::Table {
                action: "write",
                table: "PROCESS_MARKS",
                error,
            })?;
        self.raise_epoch()?;
        if process.has_ended() {
            let _ = self.processes.remove(&pid);
            return Err(KernelError::NoProcess { pid });
        }
        Ok(())
    }

    /// The mark of a process.
    pub(super) fn mark_of(&self, process: &Process) -> Result<Option<SessionMark>, KernelError> {
        let pid = process.pid;
        match self.tasks.get(&process.pidfd()) {
            Ok(found) => Ok(found
                .map(|found| found.session)
                .filter(|mark| !mark.is_none())),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                Err(KernelError::NoProcess { pid })
            }
            Err(error) => Err(KernelError::Process {
                action: "read the mark of",
                pid,
                error,
            }),
        }
    }

    fn adopt(&self, mark: SessionMark, change: i32) -> Result<(), KernelError> {
        self.change(mark, |control| control.adopted += change)
    }

    pub(super) fn set_state(
        &self,
        mark: SessionMark,
        state: SessionState,
    ) -> Result<(), KernelError> {
        self.change(mark, |control| control.state = state.number())
    }

    /// User space alone writes this table, and one agent at a time.
    pub(super) fn change(
        &self,
        mark: SessionMark,
        change: impl FnOnce(&mut SessionControl),
    ) -> Result<(), KernelError> {
        let failed = |action| {
            move |error| KernelError::Table {
                action,
                table: "SESSION_CONTROL",
                error,
            }
        };
        let Some(mut control) = self.control.get(&mark).map_err(failed("read"))? else {
            return Err(KernelError::NoSession);
        };
        change(&mut control);
        self.control
            .put(&mark, &control, Put::Any)
            .map_err(failed("write"))?;
        self.raise_epoch()
    }

    /// Ends what the kernel remembers of marks and states.
    pub(super) fn raise_epoch(&self) -> Result<(), KernelError> {
        let failed = |action| {
            move |error| KernelError::Table {
                action,
                table: "SESSIONS_EPOCH",
                error,
            }
        };
        // It must never go back: what was remembered under an older one would
        // count again.
        let table = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = table.get(&0).map_err(failed("read"))?.unwrap_or(0);
        table
            .put(&0, &epoch.wrapping_add(1), Put::Any)
            .map_err(failed("write"))
    }

    pub(super) fn row(&self, mark: SessionMark) -> Result<Option<SessionRow>, KernelError> {
        let failed = |error| KernelError::Table {
            action: "read",
            table: "SESSION_LIVE",
            error,
        };
        let Some(control) = self.control.get(&mark).map_err(failed)? else {
            return Ok(None);
        };
        let live = self.live.get(&mark).map_err(failed)?.unwrap_or_default();
        let tasks = live.tasks.saturating_add(i64::from(control.adopted));
        Ok(Some(SessionRow {
            mark,
            live_tasks: u64::try_from(tasks).unwrap_or(0),
            state: SessionState::from_number(control.state),
        }))
    }

    pub(super) fn rows(&self) -> Result<Vec<SessionRow>, KernelError> {
        let failed = |error| KernelError::Table {
            action: "list",
            table: "SESSION_CONTROL",
            error,
        };
        let mut marks = self.control.keys(SESSIONS_MAX).map_err(failed)?;
        marks.sort_unstable();
        marks.dedup();
        let mut rows = Vec::with_capacity(marks.len());
        for mark in marks {
            rows.extend(self.row(mark)?);
        }
        Ok(rows)
    }

    /// Removes the rows of a session. Tasks that still have its mark keep it,
    /// and are no longer counted or contained.
    pub(super) fn forget(&self, mark: SessionMark) -> Result<(), KernelError> {
        let failed = |error| KernelError::Table {
            action: "remove from",
            table: "SESSION_CONTROL",
            error,
        };
        self.control.remove(&mark).map_err(failed)?;
        self.live.remove(&mark).map_err(failed)?;
        self.take_stopped(mark).map(drop)
    }

    /// The living processes with a mark.
    pub(super) fn processes_of(&self, mark: SessionMark) -> Result<Vec<Process>, KernelError> {
        let failed = |error| KernelError::Process {
            action: "list",
            pid: 0,
            error,
        };
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc").map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // Gone between the list and the look: no process of anybody's.
            let Ok(process) = Process::open(pid) else {
                continue;
            };
            if matches!(self.mark_of(&process), Ok(Some(found)) if found == mark)
                && !process.has_ended()
            {
                processes.push(process);
            }
        }
        Ok(processes)
    }

    /// Kills every process with a mark, until none is left.
    pub(super) fn kill(&self, mark: SessionMark) -> Result<Killed, KernelError> {
        let started = Instant::now();
        self.set_state(mark, SessionState::Killed)?;
        let mut killed = Killed {
            signalled: 0,
            left: 0,
            rounds: 0,
            took: Duration::ZERO,
        };
        let mut seen = std::collections::BTreeSet::new();
        for round in 1..=KILL_ROUNDS_MAX {
            let processes = self.processes_of(mark)?;
            killed.rounds = round;
            killed.left = processes.len();
            if processes.is_empty() {
                break;
            }
            for process in &processes {
                process.kill();
                seen.insert(process.pid);
            }
            for process in &processes {
                process.wait_ended(KILL_WAIT_MAX);
            }
        }
        killed.signalled = seen.len();
        killed.took = started.elapsed();
        Ok(killed)
    }
}

/// Takes "exists already" for success, and "full" for what it is.
fn fresh(put: io::Result<()>, table: &'static str) -> Result<(), KernelError> {
    match put {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::E2BIG) => Err(KernelError::SessionsFull {
            sessions_max: SESSIONS_MAX,
        }),
        Err(error) => Err(KernelError::Table {
            action: "write",
            table,
            error,
        }),
        Ok(()) => Ok(()),
    }
}
