//! Holds sessions to their grants in the kernel: what the collector compiled
//! becomes tables, and every session and job stands on those of its grants.
//!
//! In: whole tables from the collector, kept on disk like grants; sessions and
//! jobs; leases. Out: the kernel's tables. A grant is written under a number of
//! its own before anybody stands on it and removed after nobody does, so a
//! session is held to the old one or to the new one. Bound: the kernel's tables.
//! Loss: a session whose grants do not fit, or are not known, is refused
//! nothing; that is told, as an event of the session.
//!
//! - [`kernel`]: what is asked of the kernel. [`rows`]: who stands on what.
//! - [`marks`]: marks that are held to their grants from the first moment.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use monitor_common::scope::SessionScopes;
use monitor_model::{
    clock::Clock,
    enforce::{Away, CompiledGrant, Scoped},
    event::Action,
    id::{GrantId, SessionId},
};
use monitor_proto::v1;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use crate::{
    attribute::{SharedJobs, SharedSessions},
    kernel::KernelError,
    marks::mark_of,
    note::{Note, Notes},
    standing::{Standing, StandingError},
};

pub mod kernel;
pub mod marks;
mod rows;

use kernel::Scopes;
use rows::{Bare, Loaded, Standings};

/// How often sessions and jobs are looked over, and the kernel is told the time.
const EVERY: Duration = Duration::from_secs(1);
/// What an event says of a session that is refused nothing though it should be.
pub const NOT_ENFORCED: &str = "not_enforced";

/// What the collector gave last.
#[derive(Debug, Default)]
struct Given {
    version: u64,
    lease: Duration,
    when_away: Away,
    grants: HashMap<GrantId, Entry>,
}

/// One grant of it.
#[derive(Clone, Debug)]
enum Entry {
    Compiled(Arc<CompiledGrant>),
    /// It never refuses and never tells anything.
    Open,
    Unfit(String),
}

#[derive(Debug, Default)]
struct State {
    given: Given,
    /// Compiled grants in the kernel.
    loaded: BTreeMap<GrantId, Loaded>,
    /// The last number that was given, and that when the kernel was last swept.
    number: u32,
    swept: u32,
    /// Who stands on compiled grants.
    rows: BTreeMap<SessionId, SessionScopes>,
    /// Sessions of which it was told that they are refused nothing.
    told: BTreeSet<SessionId>,
}

/// Who holds sessions to their grants.
#[derive(Debug)]
pub struct Enforcer {
    standing: Standing,
    sessions: SharedSessions,
    jobs: SharedJobs,
    kernel: Arc<dyn Scopes>,
    notes: Notes,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// Sessions that are refused nothing, to be told.
type Untold = Vec<(SessionId, Bare)>;

impl Enforcer {
    /// Goes on with what the collector gave last and what the kernel holds.
    ///
    /// # Errors
    /// [`StandingError`]; [`KernelError`] when the kernel's tables cannot be read.
    pub fn resume(
        (standing, sessions, jobs): (Standing, SharedSessions, SharedJobs),
        kernel: Arc<dyn Scopes>,
        notes: Notes,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ResumeError> {
        let mut state = State::default();
        if let Some(message) = standing.scopes()? {
            state.given = given(message);
        }
        state.rows = kernel.bound()?.into_iter().collect();
        let numbers: BTreeSet<u32> = state.rows.values().flat_map(rows::numbers).collect();
        state.number = numbers.last().copied().unwrap_or(0);
        // What was written and nobody stood on yet must not mix with what is
        // written now.
        kernel.retain(&numbers)?;
        // The time: before the first login is held to a window.
        kernel.lease(None, state.given.when_away)?;
        Ok(Self {
            standing,
            sessions,
            jobs,
            kernel,
            notes,
            clock,
            state: Mutex::new(state),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks sessions over until the task is ended.
    pub async fn run(self: Arc<Self>) {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let untold = tokio::task::block_in_place(|| self.look());
            self.tell(untold).await;
        }
    }

    /// Takes the collector's table. It holds when this returns.
    ///
    /// # Errors
    /// [`StandingError`]: the disk failed, and the old one holds.
    pub fn replace(&self, message: v1::ScopeTable) -> Result<(), StandingError> {
        self.standing.replace_scopes(&message)?;
        let mut state = self.lock();
        let before = state.given.version;
        state.given = given(message);
        if before != state.given.version {
            let (version, grants) = (state.given.version, state.given.grants.len());
            info!(version, grants, "What sessions may reach has changed.");
        }
        // Whoever stands on a grant that is told of no more is held to one that
        // is over.
        let now = self.clock.now();
        let State { given, loaded, .. } = &mut *state;
        for (id, loaded) in loaded {
            if !given.grants.contains_key(id) {
                loaded.until = loaded.until.min(now);
            }
        }
        self.lease(&state, Some(state.given.lease));
        drop(state);
        // Told at the next look, which is soon.
        self.look_quietly();
        Ok(())
    }

    /// The collector is there: what it gave holds for another lease.
    pub fn renew(&self) {
        let state = self.lock();
        self.lease(&state, Some(state.given.lease));
    }

    fn lease(&self, state: &State, renewed: Option<Duration>) {
        if let Err(error) = self.kernel.lease(renewed, state.given.when_away) {
            error!(%error, "The kernel cannot be told how long its tables of scopes hold.");
        }
    }

    /// Holds a session or a job to its grants, before its first process is
    /// marked.
    fn arm(&self, id: SessionId) {
        let mut state = self.lock();
        let Some(grants) = self.grants_of(id) else {
            return;
        };
        // What cannot be is told at the next look.
        let _ = self.hold(&mut state, id, &grants);
    }

    /// Forgets a session or a job that ended.
    fn disarm(&self, id: SessionId) {
        let mut state = self.lock();
        self.let_go(&mut state, id);
        state.told.remove(&id);
    }

    /// The grants of a session, or of the session whose job it is.
    fn grants_of(&self, id: SessionId) -> Option<Vec<GrantId>> {
        let of_session = self.sessions.lock().get(id).map(|row| row.grants.clone());
        of_session.or_else(|| Some(self.jobs.get(id)?.attribution.grants))
    }

    fn look_quietly(&self) {
        let untold = self.look();
        let mut state = self.lock();
        for (id, _) in untold {
            state.told.remove(&id);
        }
    }

    /// Makes the kernel say what it should; who newly is refused nothing.
    fn look(&self) -> Untold {
        let mut state = self.lock();
        let living = self.sessions.lock().living();
        let living: BTreeSet<_> = living.into_iter().chain(self.jobs.living()).collect();
        let gone: Vec<_> = state
            .rows
            .keys()
            .filter(|id| !living.contains(id))
            .copied()
            .collect();
        for id in gone {
            self.let_go(&mut state, id);
        }
        state.told.retain(|id| living.contains(id));
        let mut untold = Untold::new();
        for id in living {
            let grants = self.grants_of(id).unwrap_or_default();
            match self.hold(&mut state, id, &grants) {
                Ok(()) => _ = state.told.remove(&id),
                Err(why) if state.told.insert(id) => untold.push((id, why)),
                Err(_) => {}
            }
        }
        self.sweep(&mut state);
        self.lease(&state, None);
        untold
    }

    /// Holds one to its grants, as they stand now.
    fn hold(&self, state: &mut State, id: SessionId, grants: &[GrantId]) -> Result<(), Bare> {
        if state.given.version == 0 || grants.is_empty() {
            self.let_go(state, id);
            return Ok(());
        }
        rows::recover(state, id, grants);
        match self.row(state, grants) {
            Ok(Some(row)) => {
                if state.rows.get(&id) != Some(&row) {
                    self.kernel.bind(mark_of(id), &row).map_err(Bare::Kernel)?;
                    state.rows.insert(id, row);
                }
                Ok(())
            }
            Ok(None) => {
                self.let_go(state, id);
                Ok(())
            }
            Err(why) => {
                self.let_go(state, id);
                Err(why)
            }
        }
    }

    /// What a session under these grants stands on; none where nothing could
    /// ever be refused or told.
    fn row(&self, state: &mut State, grants: &[GrantId]) -> Result<Option<SessionScopes>, Bare> {
        let mut standings = Standings::new(state.given.version);
        for id in grants {
            match state.given.grants.get(id).cloned() {
                Some(Entry::Compiled(compiled)) => self.load(state, compiled)?,
                Some(Entry::Open) => return Ok(None),
                Some(Entry::Unfit(why)) => {
                    let grant = id.clone();
                    return Err(Bare::Unfit { grant, why });
                }
                // Told of no more; what was said of it last is over.
                None => {}
            }
            let loaded = state.loaded.get(id);
            standings.push(loaded.ok_or_else(|| Bare::Unknown { grant: id.clone() })?)?;
        }
        Ok(Some(standings.row()))
    }

    /// Has the kernel know a grant as it is compiled now.
    fn load(&self, state: &mut State, compiled: Arc<CompiledGrant>) -> Result<(), Bare> {
        if let Some(loaded) = state.loaded.get_mut(&compiled.grant)
            && loaded.says(&compiled)
        {
            (loaded.from, loaded.until) = (compiled.from, compiled.until);
            loaded.over = compiled.over;
            loaded.compiled = Some(compiled);
            return Ok(());
        }
        let number = state.number.wrapping_add(1).max(1);
        // Used up in any case: what could not be taken back must not mix either.
        state.number = number;
        let cells = rows::cells(number, &compiled.cells);
        self.kernel.put(&cells).map_err(Bare::Kernel)?;
        let grant = compiled.grant.clone();
        let loaded = Loaded {
            number,
            from: compiled.from,
            until: compiled.until,
            over: compiled.over,
            compiled: Some(compiled),
        };
        state.loaded.insert(grant, loaded);
        Ok(())
    }

    fn let_go(&self, state: &mut State, id: SessionId) {
        if !state.rows.contains_key(&id) {
            return;
        }
        match self.kernel.unbind(mark_of(id)) {
            Ok(()) => _ = state.rows.remove(&id),
            Err(error) => {
                warn!(%error, session = %id, "The kernel still holds a session to its former grants; tried again.");
            }
        }
    }

    /// Removes what nobody stands on.
    fn sweep(&self, state: &mut State) {
        let used: BTreeSet<u32> = state.rows.values().flat_map(rows::numbers).collect();
        let before = state.loaded.len();
        state
            .loaded
            .retain(|_, loaded| used.contains(&loaded.number));
        let written = state.loaded.len() != before || state.number != state.swept;
        if !written {
            return;
        }
        match self.kernel.retain(&used) {
            Ok(_) => state.swept = state.number,
            Err(error) => {
                warn!(%error, "The kernel keeps compiled grants that nobody stands on; tried again.");
            }
        }
    }

    async fn tell(&self, untold: Untold) {
        for (id, why) in untold {
            error!(session = %id, %why, "A session is refused nothing by the kernel, though its grants are to be enforced.");
            let action = Action::Impaired {
                reason: NOT_ENFORCED.to_owned(),
                program: None,
                times: 1,
                total: 1,
            };
            let session = self.sessions.lock().get(id).cloned();
            let note = match (session, self.jobs.get(id)) {
                (Some(session), _) => Note::about(&session, action),
                (None, Some(job)) => Note {
                    attribution: job.attribution,
                    action,
                    keep: None,
                    kept: None,
                },
                (None, None) => continue,
            };
            // The agent is stopping.
            let _ = self.notes.tell(note).await;
        }
    }
}

/// Why enforcement cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// What was kept.
    #[error(transparent)]
    Standing(#[from] StandingError),
    /// The kernel's tables.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// A table as it is meant. An entry that makes no sense to this agent does not
/// fit; what has no readable name is nobody's.
fn given(message: v1::ScopeTable) -> Given {
    let v1::ScopeTable {
        version,
        lease_ms,
        when_away,
        grants,
    } = message;
    let away = v1::WhenAway::try_from(when_away).ok();
    let grants = grants.into_iter().filter_map(|entry| {
        let name = entry.grant.clone();
        let scoped = Scoped::try_from(entry).or_else(|error| {
            let grant = name.parse()?;
            let why = error.to_string();
            Ok::<_, monitor_model::id::InvalidId>(Scoped::Unfit { grant, why })
        });
        scoped.ok().map(entry_of)
    });
    Given {
        version,
        lease: Duration::from_millis(lease_ms),
        when_away: away
            .and_then(|away| away.try_into().ok())
            .unwrap_or_default(),
        grants: grants.collect(),
    }
}

fn entry_of(scoped: Scoped) -> (GrantId, Entry) {
    match scoped {
        Scoped::Compiled(compiled) if compiled.is_open() => (compiled.grant, Entry::Open),
        Scoped::Compiled(compiled) => (compiled.grant.clone(), Entry::Compiled(Arc::new(compiled))),
        Scoped::Unfit { grant, why } => (grant, Entry::Unfit(why)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
