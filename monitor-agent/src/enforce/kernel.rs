//! What is asked of the kernel. Implemented by the probes; tests bring their own.

use std::{collections::BTreeSet, fmt, time::Duration};

use monitor_common::{
    SessionMark,
    scope::{ScopeCell, ScopeKey, ScopeLease, SessionScopes},
};
use monitor_model::{enforce::Away, id::SessionId};

use crate::{
    kernel::{KernelError, Probes},
    marks::session_of,
};

/// The kernel's side of scopes.
pub trait Scopes: Send + Sync + fmt::Debug {
    /// Writes what a compiled grant says; all of it, or none.
    ///
    /// # Errors
    /// [`KernelError::ScopesFull`], `Table`.
    fn put(&self, cells: &[(ScopeKey, ScopeCell)]) -> Result<(), KernelError>;

    /// Removes all compiled grants but those of these numbers.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    fn retain(&self, numbers: &BTreeSet<u32>) -> Result<usize, KernelError>;

    /// Has a session stand on compiled grants.
    ///
    /// # Errors
    /// [`KernelError::SessionsFull`], `Table`.
    fn bind(&self, mark: SessionMark, scopes: &SessionScopes) -> Result<(), KernelError>;

    /// Lets a session reach everything.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    fn unbind(&self, mark: SessionMark) -> Result<(), KernelError>;

    /// Who stands on what.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    fn bound(&self) -> Result<Vec<(SessionId, SessionScopes)>, KernelError>;

    /// Says what holds once the lease is over, and what time it is; `renewed`
    /// begins a lease now.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    fn lease(&self, renewed: Option<Duration>, when_away: Away) -> Result<(), KernelError>;
}

impl Scopes for Probes {
    fn put(&self, cells: &[(ScopeKey, ScopeCell)]) -> Result<(), KernelError> {
        self.put_scope(cells)
    }

    fn retain(&self, numbers: &BTreeSet<u32>) -> Result<usize, KernelError> {
        self.retain_scopes(|number| numbers.contains(&number))
    }

    fn bind(&self, mark: SessionMark, scopes: &SessionScopes) -> Result<(), KernelError> {
        self.scope_session(mark, scopes)
    }

    fn unbind(&self, mark: SessionMark) -> Result<(), KernelError> {
        self.unscope_session(mark)
    }

    fn bound(&self) -> Result<Vec<(SessionId, SessionScopes)>, KernelError> {
        let rows = self.scoped_sessions()?.into_iter();
        Ok(rows
            .filter_map(|(mark, row)| Some((session_of(mark)?, row)))
            .collect())
    }

    fn lease(&self, renewed: Option<Duration>, when_away: Away) -> Result<(), KernelError> {
        let when_away = match when_away {
            Away::Keep => ScopeLease::AWAY_KEEP,
            Away::Tighten => ScopeLease::AWAY_TIGHTEN,
            Away::Release => ScopeLease::AWAY_RELEASE,
        };
        self.lease_scopes(renewed, when_away)
    }
}
