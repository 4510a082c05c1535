//! Compiled grants and sessions as the kernel's tables have them.

use std::sync::Arc;

use monitor_common::scope::{
    GrantScope, SCOPE_GRANTED, SCOPE_GRANTS_MAX, SCOPE_NUMBER_BITS, SCOPE_OBSERVED, SCOPE_OPEN,
    SCOPE_RANGES_MAX, SCOPE_REFUSED, ScopeCell, ScopeKey, SessionScopes,
};
use monitor_model::{
    clock::UnixNs,
    enforce::{Cell, CompiledGrant, Mode, Says},
    id::{GrantId, SessionId},
};

use super::State;
use crate::kernel::KernelError;

/// A compiled grant in the kernel.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) number: u32,
    pub(super) from: UnixNs,
    pub(super) until: UnixNs,
    pub(super) over: Mode,
    /// What it says; none where an agent before this one wrote it.
    pub(super) compiled: Option<Arc<CompiledGrant>>,
}

impl Loaded {
    /// Whether the kernel's cells say what a compiled grant does.
    pub(super) fn says(&self, compiled: &Arc<CompiledGrant>) -> bool {
        let own = self.compiled.as_ref();
        own.is_some_and(|own| Arc::ptr_eq(own, compiled) || own.cells == compiled.cells)
    }
}

/// Why a session is refused nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Bare {
    #[error("grant {grant} does not fit the kernel's tables: {why}")]
    Unfit { grant: GrantId, why: String },
    #[error("the collector's table does not have grant {grant}")]
    Unknown { grant: GrantId },
    #[error("it stands on more than {SCOPE_GRANTS_MAX} grants")]
    TooMany,
    #[error(transparent)]
    Kernel(KernelError),
}

/// A session's row while it is made.
pub(super) struct Standings(SessionScopes);

impl Standings {
    pub(super) fn new(version: u64) -> Self {
        Self(SessionScopes {
            version,
            ..SessionScopes::default()
        })
    }

    pub(super) fn push(&mut self, loaded: &Loaded) -> Result<(), Bare> {
        let at = usize::try_from(self.0.count).unwrap_or(usize::MAX);
        let place = self.0.grants.get_mut(at).ok_or(Bare::TooMany)?;
        *place = GrantScope {
            from_unix_ns: loaded.from.0,
            until_unix_ns: loaded.until.0,
            scope: loaded.number,
            over: u32::from(answer(loaded.over.into())),
        };
        self.0.count += 1;
        Ok(())
    }

    pub(super) const fn row(self) -> SessionScopes {
        self.0
    }
}

/// The numbers that a row names.
pub(super) fn numbers(row: &SessionScopes) -> impl Iterator<Item = u32> + use<> {
    let count = usize::try_from(row.count).unwrap_or(0);
    let grants = row.grants.into_iter().take(count);
    grants.map(|grant| grant.scope)
}

const fn answer(says: Says) -> u8 {
    match says {
        Says::Open => SCOPE_OPEN,
        Says::Observed => SCOPE_OBSERVED,
        Says::Refused => SCOPE_REFUSED,
        Says::Granted => SCOPE_GRANTED,
    }
}

/// What a compiled grant says, under a number.
pub(super) fn cells(number: u32, cells: &[Cell]) -> Vec<(ScopeKey, ScopeCell)> {
    let one = |cell: &Cell| {
        let key = ScopeKey {
            prefix_bits: SCOPE_NUMBER_BITS + u32::from(cell.block.bits()),
            scope: number,
            addr: cell.block.address(),
        };
        let last = cell.ranges.last().map_or(Says::Open, |range| range.says);
        let mut value = ScopeCell {
            first: [u16::MAX; SCOPE_RANGES_MAX],
            answer: [answer(last); SCOPE_RANGES_MAX],
        };
        let places = value.first.iter_mut().zip(&mut value.answer);
        for ((first, said), range) in places.zip(&cell.ranges) {
            (*first, *said) = (range.first, answer(range.says));
        }
        (key, value)
    };
    cells.iter().map(one).collect()
}

/// Takes over what an agent before this one had the session stand on: the row's
/// grants are the session's, in their order.
pub(super) fn recover(state: &mut State, id: SessionId, grants: &[GrantId]) {
    let Some(row) = state.rows.get(&id) else {
        return;
    };
    let count = usize::try_from(row.count).unwrap_or(0);
    if count != grants.len() {
        return;
    }
    for (grant, scope) in grants.iter().zip(row.grants) {
        state.loaded.entry(grant.clone()).or_insert(Loaded {
            number: scope.scope,
            from: UnixNs(scope.from_unix_ns),
            until: UnixNs(scope.until_unix_ns),
            over: over(scope.over),
            compiled: None,
        });
    }
}

fn over(answer: u32) -> Mode {
    if answer == u32::from(SCOPE_REFUSED) {
        Mode::Enforce
    } else if answer == u32::from(SCOPE_OBSERVED) {
        Mode::Observe
    } else {
        Mode::Off
    }
}
