//! What sessions may reach: compiled grants, who stands on them, and the lease.
//!
//! Cells are written before the row that names them and removed after it, so
//! that a session is never asked of half a grant. Bound: the tables' maxima,
//! told as [`KernelError::ScopesFull`] and `SessionsFull`.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use monitor_common::{
    SessionMark,
    scope::{SCOPE_CELLS_MAX, SCOPED_MARKS_MAX, ScopeCell, ScopeKey, ScopeLease, SessionScopes},
};
use rustix::time::{ClockId, clock_gettime};

use super::{
    KernelError, Probes, TimeOffset,
    pins::Pins,
    table::{Put, Table},
};

/// The tables of scopes. One change at a time.
#[derive(Debug)]
pub(super) struct ScopeTables {
    cells: Mutex<Table<ScopeKey, ScopeCell>>,
    sessions: Table<SessionMark, SessionScopes>,
    lease: Mutex<Table<u32, ScopeLease>>,
}

impl ScopeTables {
    pub(super) fn open(pins: &Pins) -> Result<Self, KernelError> {
        Ok(Self {
            cells: Mutex::new(Table::open(&pins.map("SCOPES")).map_err(failed("open", "SCOPES"))?),
            sessions: Table::open(&pins.map("SESSION_SCOPES"))
                .map_err(failed("open", "SESSION_SCOPES"))?,
            lease: Mutex::new(
                Table::open(&pins.map("SCOPE_LEASE")).map_err(failed("open", "SCOPE_LEASE"))?,
            ),
        })
    }

    /// Writes all cells of a number, or none.
    fn put(&self, cells: &[(ScopeKey, ScopeCell)]) -> Result<(), KernelError> {
        let table = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, (key, cell)) in cells.iter().enumerate() {
            let Err(error) = table.put(key, cell, Put::Any) else {
                continue;
            };
            for (key, _) in cells.iter().take(at) {
                // What stays is removed at the next start.
                let _ = table.remove(key);
            }
            return Err(if error.kind() == io::ErrorKind::StorageFull {
                KernelError::ScopesFull {
                    cells_max: SCOPE_CELLS_MAX,
                }
            } else {
                failed("write", "SCOPES")(error)
            });
        }
        Ok(())
    }

    /// Removes every cell whose number is not wanted.
    fn retain(&self, wanted: impl Fn(u32) -> bool) -> Result<usize, KernelError> {
        let table = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = table
            .keys(SCOPE_CELLS_MAX)
            .map_err(failed("list", "SCOPES"))?;
        let mut removed = 0;
        for key in keys.iter().filter(|key| !wanted(key.scope)) {
            let gone = table.remove(key).map_err(failed("remove from", "SCOPES"))?;
            removed += usize::from(gone);
        }
        Ok(removed)
    }
}

impl Probes {
    /// Writes what one compiled grant says. Nothing stands on it until
    /// [`Self::scope_session`].
    ///
    /// # Errors
    /// [`KernelError::ScopesFull`], `Table`; nothing of it is written then.
    pub fn put_scope(&self, cells: &[(ScopeKey, ScopeCell)]) -> Result<(), KernelError> {
        self.scopes.put(cells)
    }

    /// Removes the cells of all compiled grants but those that are wanted; how
    /// many there were.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn retain_scopes(&self, wanted: impl Fn(u32) -> bool) -> Result<usize, KernelError> {
        self.scopes.retain(wanted)
    }

    /// Says which grants a session, or a job, stands on, from the next
    /// connection on. Its row of the session tables need not be there yet.
    ///
    /// # Errors
    /// [`KernelError::SessionsFull`], `Table`.
    pub fn scope_session(
        &self,
        mark: SessionMark,
        scopes: &SessionScopes,
    ) -> Result<(), KernelError> {
        let put = self.scopes.sessions.put(&mark, scopes, Put::Any);
        put.map_err(|error| {
            if error.raw_os_error() == Some(libc::E2BIG) {
                KernelError::SessionsFull {
                    sessions_max: SCOPED_MARKS_MAX,
                }
            } else {
                failed("write", "SESSION_SCOPES")(error)
            }
        })?;
        self.sessions.raise_epoch()
    }

    /// Lets a session reach everything again.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn unscope_session(&self, mark: SessionMark) -> Result<(), KernelError> {
        let removed = self.scopes.sessions.remove(&mark);
        removed.map_err(failed("remove from", "SESSION_SCOPES"))?;
        self.sessions.raise_epoch()
    }

    /// Who stands on compiled grants, and on which.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn scoped_sessions(&self) -> Result<Vec<(SessionMark, SessionScopes)>, KernelError> {
        let table = &self.scopes.sessions;
        let mut marks = table
            .keys(SCOPED_MARKS_MAX)
            .map_err(failed("list", "SESSION_SCOPES"))?;
        marks.sort_unstable();
        marks.dedup();
        let mut rows = Vec::with_capacity(marks.len());
        for mark in marks {
            let row = table.get(&mark).map_err(failed("read", "SESSION_SCOPES"))?;
            rows.extend(row.map(|row| (mark, row)));
        }
        Ok(rows)
    }

    /// Has the tables hold for so long from now, whatever becomes of the agent;
    /// none lets a lease that runs, or is over, be as it is. Then `when_away`,
    /// an `AWAY_` of [`ScopeLease`], holds. Also tells the kernel the calendar
    /// time, which may have been set: from time to time is often enough.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn lease_scopes(
        &self,
        renewed: Option<Duration>,
        when_away: u32,
    ) -> Result<(), KernelError> {
        let table = self.scopes.lease.lock();
        let table = table.unwrap_or_else(PoisonError::into_inner);
        let until_boot_ns = if let Some(lease) = renewed {
            let lease_ns = u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX);
            now_boot_ns().saturating_add(lease_ns)
        } else {
            let before = table.get(&0).map_err(failed("read", "SCOPE_LEASE"))?;
            before.map_or(0, |lease| lease.until_boot_ns)
        };
        let lease = ScopeLease {
            until_boot_ns,
            unix_minus_boot_ns: TimeOffset::now().unix_minus_boot_ns.cast_unsigned(),
            when_away,
            reserved: 0,
        };
        let put = table.put(&0, &lease, Put::Any);
        put.map_err(failed("write", "SCOPE_LEASE"))
    }
}

fn now_boot_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let (seconds, nanoseconds) = (
        u64::try_from(now.tv_sec).unwrap_or(0),
        u64::try_from(now.tv_nsec).unwrap_or(0),
    );
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

fn failed(action: &'static str, table: &'static str) -> impl Fn(io::Error) -> KernelError {
    move |error| KernelError::Table {
        action,
        table,
        error,
    }
}
