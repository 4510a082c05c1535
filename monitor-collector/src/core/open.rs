//! A start: what is on disk is read, checked, and made good.

use std::{
    collections::BTreeMap,
    fs::{File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

use monitor_ledger::key::LogKey;
use monitor_model::{
    clock::{Clock, UnixNs},
    event::Kind,
    id::TenantId,
    judge::World,
    tenant::Tenant,
};
use rayon::iter::{
    IntoParallelRefIterator as _, IntoParallelRefMutIterator as _, ParallelIterator as _,
};
use tracing::{error, info};

use super::{Core, CoreError, book::Book, commit, krl::Lists};
use crate::{
    alert::Alerter,
    config::Config,
    dedupe::{Dedupe, STREAMS_MAX, Stream},
    ledger::{
        Entry, Home, Ledger, LedgerError,
        read::{Filter, Reader, Span},
    },
    processes::Processes,
    sessions::Sessions,
    state::{State, load::Denied},
    tables::Tables,
    uses::{USES_MAX, Uses},
};

/// Entries that are read at once while making good.
const PAGE: u32 = 10_000;
/// Of all entries the last, in which ends of processes are looked for.
const ENDS_READ: u64 = 8_192;

impl Core {
    /// Opens every ledger and the state, and lets follow what a crash left undone.
    ///
    /// # Errors
    /// [`CoreError`] names the file, and in a broken ledger the position.
    pub fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, CoreError> {
        let lock = lock(&config.data_dir)?;
        let home = config.home().map_err(LedgerError::Key)?;
        let pool = commit::pool(config.terms.tenants.len())?;
        let ledgers = pool.install(|| ledgers(config, &home))?;
        let mut state = State::open(&home)?;
        let last = ledgers
            .values()
            .map(|ledger| ledger.head().stored_at)
            .max()
            .unwrap_or_default();
        let denied: Denied = state.denied()?;
        // Ascends over every start, so that what was shown before is never mistaken.
        let version = clock.now().0;
        let policy = Arc::new(state.put_policy(config.terms.clone(), clock.now())?);
        let mut core = Self {
            clock,
            dedupe: Dedupe::new(STREAMS_MAX),
            world: World {
                policy: Arc::clone(&policy),
                grants: state.grants()?,
            },
            uses: Uses::restored(state.uses()?, state.uncounted()?, USES_MAX),
            sessions: Sessions::restored(state.live_sessions()?),
            processes: Processes::restored(state.processes()?),
            alerter: Alerter::new(config),
            orders: state.orders()?,
            lists: Lists::restored(&state)?,
            book: config
                .broker
                .as_ref()
                .filter(|broker| broker.dials_in())
                .map(|_| Book::new(version)),
            denied,
            stamp: last.max(state.last_alert()?),
            unnoted: 0,
            followed: state.followed()?,
            reached: BTreeMap::new(),
            raised: Vec::new(),
            tables: Tables {
                policy,
                enforce: Arc::new(config.enforce.clone()),
                grants_version: version,
                denied_version: version,
                ..Tables::default()
            },
            ledgers,
            pool: Arc::new(pool),
            home,
            state,
            tables_orders_moved: true,
            response: config.response.clone(),
            lost: config.lost,
            retention: config.retention.clone(),
            name: config.name.clone(),
            said: Vec::new(),
            kept: Vec::new(),
            entering: Vec::new(),
            voices: BTreeMap::new(),
            _lock: lock,
        };
        core.catch_up(config)?;
        Ok(core)
    }

    /// Lets everything be as it was, and as it would be had nothing stopped.
    fn catch_up(&mut self, config: &Config) -> Result<(), CoreError> {
        self.open_book();
        self.recall_held()?;
        let mut readers = readers(config, &self.home)?;
        self.remember(&mut readers)?;
        self.recall_said(&readers)?;
        self.make_good(&readers)?;
        drop(readers);
        self.take_up_aside()?;
        self.take_files(&config.grants)?;
        self.expire()?;
        self.publish()
    }

    /// Notes every order for a broker that dials in.
    fn open_book(&mut self) {
        if let Some(book) = &mut self.book {
            for order in self.orders.values() {
                book.note(order);
            }
        }
    }

    /// Takes back which numbers the ledgers hold, as of the last note; what came
    /// after is added while it is made good.
    fn recall_held(&mut self) -> Result<(), CoreError> {
        let mut behind = false;
        for (tenant, reached) in self.state.reached()? {
            let ledger = self
                .ledgers
                .values()
                .find(|it| it.tenant().as_str() == tenant);
            let position = ledger.map_or(reached, |ledger| ledger.head().position);
            if position < reached {
                behind = true;
                error!(%tenant, position, reached,
                    "Ledger ends before an entry that was followed: its file is an older copy, or was cut.");
            }
        }
        if behind {
            return Ok(self.state.forget_held()?);
        }
        for (stream, held) in self.state.held()? {
            self.dedupe.recall(stream, held);
        }
        Ok(())
    }

    /// Takes back what was known of events that were followed.
    fn remember(&mut self, readers: &mut [Reader]) -> Result<(), CoreError> {
        let followed = self.followed;
        let since = readers
            .iter()
            .map(|reader| reader.blocks_before(followed, ENDS_READ))
            .collect::<Result<Vec<_>, _>>()
            .map(|blocks| begin_of_last(blocks.concat(), ENDS_READ))?;
        let exits = |reader: &mut Reader| reader.between(Kind::Exit, since, followed);
        let exits: Vec<Vec<Entry>> = self
            .pool
            .install(|| readers.par_iter_mut().map(exits).collect::<Result<_, _>>())?;
        // What is told late of what ended must not raise it again.
        for entry in exits.iter().flatten() {
            self.processes.remember_end(&entry.judged.event);
        }
        self.remember_alerts()
    }

    /// Lets follow what was stored and not yet followed.
    fn make_good(&mut self, readers: &[Reader]) -> Result<(), CoreError> {
        let (mut after, up_to) = (self.state.followed()?, self.stamp);
        let mut made_good = 0;
        while after < up_to {
            let (entries, seen) = merged(
                readers,
                Span {
                    after,
                    up_to,
                    limit: PAGE,
                },
                &Filter::default(),
            )?;
            for entry in &entries {
                let id = &entry.judged.event.id;
                let stream = Stream::from(id);
                // One that is not known is read from the ledgers when it speaks.
                self.dedupe.insert(&stream, id.sequence);
            }
            let entries: Vec<Arc<Entry>> = entries.into_iter().map(Arc::new).collect();
            made_good += self.follow(&entries)?.len();
            self.note_when_due()?;
            after = seen;
        }
        if made_good > 0 {
            info!(
                alerts = made_good,
                "Alerts made good that a stop had left undone."
            );
        }
        Ok(())
    }
}

/// A page over several ledgers in stored order, and up to where it is whole.
///
/// # Errors
/// [`crate::ledger::LedgerError`].
pub fn merged(
    readers: &[Reader],
    span: Span,
    filter: &Filter,
) -> Result<(Vec<Entry>, UnixNs), crate::ledger::LedgerError> {
    let mut entries = Vec::new();
    let mut whole = span.up_to;
    for reader in readers {
        let (page, seen) = reader.page(span, filter)?;
        whole = whole.min(seen);
        entries.extend(page);
    }
    entries.retain(|entry| entry.stored_at <= whole);
    entries.sort_by_key(|entry| entry.stored_at);
    Ok((entries, whole))
}

fn readers(config: &Config, home: &Home) -> Result<Vec<Reader>, LedgerError> {
    let tenants = config.terms.tenants.iter();
    tenants
        .map(|tenant| Reader::open(home, &tenant.id))
        .collect()
}

/// The instant before the last so many entries of some blocks, each given by
/// when its first entry was stored and how many it has.
fn begin_of_last(mut blocks: Vec<(UnixNs, u64)>, entries: u64) -> UnixNs {
    blocks.sort_unstable_by(|one, two| two.cmp(one));
    let mut left = entries;
    let begins = blocks.into_iter().find(|(_, many)| {
        left = left.saturating_sub(*many);
        left == 0
    });
    begins.map_or(UnixNs(0), |(at, _)| UnixNs(at.0.saturating_sub(1)))
}

fn ledgers(config: &Config, home: &Home) -> Result<BTreeMap<TenantId, Ledger>, LedgerError> {
    let key = config.ledger_key.as_deref().map(LogKey::load).transpose()?;
    let open = |tenant: &Tenant| {
        let signer = key.as_ref().map(|key| key.signer(tenant.id.as_str()));
        let ledger = Ledger::open(home, &tenant.id, signer.transpose()?)?;
        Ok((tenant.id.clone(), ledger))
    };
    config.terms.tenants.par_iter().map(open).collect()
}

/// Takes a collector's folder for oneself, for as long as the file is held.
///
/// # Errors
/// [`CoreError::InUse`], [`CoreError::Folder`].
pub(crate) fn lock(data_dir: &Path) -> Result<File, CoreError> {
    let folder = |source| CoreError::Folder {
        path: data_dir.into(),
        source,
    };
    // Also where a package or an older start made it: nobody else's.
    std::fs::create_dir_all(data_dir)
        .and_then(|()| std::fs::set_permissions(data_dir, Permissions::from_mode(0o700)))
        .map_err(folder)?;
    let path = data_dir.join("lock");
    let lock = File::create(&path).map_err(folder)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(CoreError::InUse { path }),
        Err(std::fs::TryLockError::Error(source)) => Err(CoreError::Folder { path, source }),
    }
}
