//! A start: what is on disk is read, checked, and made good.

use std::{
    collections::BTreeMap,
    fs::{File, Permissions},
    os::unix::fs::PermissionsExt as _,
    sync::Arc,
};

use monitor_ledger::key::LogKey;
use monitor_model::{
    clock::{Clock, UnixNs},
    event::Kind,
    id::TenantId,
    judge::World,
};
use tracing::info;

use super::{Core, CoreError};
use crate::{
    alert::Alerter,
    config::Config,
    dedupe::{Dedupe, STREAMS_MAX},
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
/// Entries at the end of a ledger in which ends of processes are looked for.
const ENDS_READ: u64 = 8_192;

impl Core {
    /// Opens every ledger and the state, and lets follow what a crash left undone.
    ///
    /// # Errors
    /// [`CoreError`] names the file, and in a broken ledger the position.
    pub fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, CoreError> {
        let lock = locked(config)?;
        let home = config.home().map_err(LedgerError::Key)?;
        let ledgers = ledgers(config, &home)?;
        let mut state = State::open(&config.data_dir)?;
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
            denied,
            stamp: last.max(state.last_alert()?),
            unnoted: 0,
            followed: state.followed()?,
            raised: Vec::new(),
            tables: Tables {
                policy,
                grants_version: version,
                denied_version: version,
                ..Tables::default()
            },
            ledgers,
            state,
            tables_orders_moved: true,
            retention: config.retention.clone(),
            name: config.name.clone(),
            said: Vec::new(),
            voices: BTreeMap::new(),
            _lock: lock,
        };
        core.remember(config, &home)?;
        core.make_good(config, &home)?;
        core.take_files(&config.grants)?;
        core.publish()?;
        Ok(core)
    }

    /// Takes back what was known of events that were followed.
    fn remember(&mut self, config: &Config, home: &Home) -> Result<(), CoreError> {
        let followed = self.followed;
        for tenant in &config.terms.tenants {
            let reader = Reader::open(home, &tenant.id)?;
            // What is told late of what ended must not raise it again.
            for entry in reader.last(Kind::Exit, followed, ENDS_READ)? {
                self.processes.remember_end(&entry.judged.event);
            }
        }
        self.remember_alerts()
    }

    /// Lets follow what was stored and not yet followed.
    fn make_good(&mut self, config: &Config, home: &Home) -> Result<(), CoreError> {
        let readers: Vec<Reader> = config
            .terms
            .tenants
            .iter()
            .map(|tenant| Reader::open(home, &tenant.id))
            .collect::<Result<_, _>>()?;
        let (mut after, up_to) = (self.state.followed()?, self.stamp);
        let mut made_good = 0;
        while after < up_to {
            let (entries, seen) = merged(
                &readers,
                Span {
                    after,
                    up_to,
                    limit: PAGE,
                },
                &Filter::default(),
            )?;
            let entries: Vec<Arc<Entry>> = entries.into_iter().map(Arc::new).collect();
            made_good += self.follow(&entries)?.len();
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

fn ledgers(config: &Config, home: &Home) -> Result<BTreeMap<TenantId, Ledger>, LedgerError> {
    let key = config.ledger_key.as_deref().map(LogKey::load).transpose()?;
    let mut ledgers = BTreeMap::new();
    for tenant in &config.terms.tenants {
        let signer = key.as_ref().map(|key| key.signer(tenant.id.as_str()));
        let ledger = Ledger::open(home, &tenant.id, signer.transpose()?)?;
        ledgers.insert(tenant.id.clone(), ledger);
    }
    Ok(ledgers)
}

fn locked(config: &Config) -> Result<File, CoreError> {
    let folder = |source| CoreError::Folder {
        path: config.data_dir.clone(),
        source,
    };
    // Also where a package or an older start made it: nobody else's.
    std::fs::create_dir_all(&config.data_dir)
        .and_then(|()| std::fs::set_permissions(&config.data_dir, Permissions::from_mode(0o700)))
        .map_err(folder)?;
    let path = config.data_dir.join("lock");
    let lock = File::create(&path).map_err(folder)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(CoreError::InUse { path }),
        Err(std::fs::TryLockError::Error(source)) => Err(CoreError::Folder { path, source }),
    }
}
