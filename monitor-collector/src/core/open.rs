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
    id::{SessionId, TenantId},
    judge::World,
};
use tracing::info;

use super::{Core, CoreError};
use crate::{
    alert::Alerter,
    config::Config,
    dedupe::{Dedupe, STREAMS_MAX},
    ledger::{
        Entry, Ledger, LedgerError,
        read::{Filter, Reader, Span},
    },
    processes::Processes,
    sessions::Sessions,
    state::{State, load::Denied},
    tables::Tables,
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
        let ledgers = ledgers(config)?;
        let state = State::open(&config.data_dir)?;
        let last = ledgers
            .values()
            .map(|ledger| ledger.head().stored_at)
            .max()
            .unwrap_or_default();
        let denied: Denied = state.denied()?;
        // Ascends over every start, so that what was shown before is never mistaken.
        let version = clock.now().0;
        let mut core = Self {
            clock,
            dedupe: Dedupe::new(STREAMS_MAX),
            world: World {
                tenants: config.tenants.clone(),
                grants: state.grants()?,
                version: config.policy_version(),
            },
            sessions: Sessions::restored(state.live_sessions()?),
            processes: Processes::restored(state.processes()?),
            alerter: Alerter::new(config.rules.clone(), config.dedupe),
            orders: state.orders()?,
            denied,
            stamp: last.max(state.last_alert()?),
            unnoted: 0,
            tables: Tables {
                grants_version: version,
                denied_version: version,
                ..Tables::default()
            },
            ledgers,
            state,
            tables_orders_moved: true,
            _lock: lock,
        };
        core.remember(config)?;
        core.make_good(config)?;
        core.publish()?;
        Ok(core)
    }

    /// Gives the alerter back what it knew of events that were followed.
    fn remember(&mut self, config: &Config) -> Result<(), CoreError> {
        let followed = self.state.followed()?;
        let memory = u64::try_from(self.alerter.memory().as_nanos()).unwrap_or(u64::MAX);
        let from = UnixNs(followed.0.saturating_sub(memory.saturating_mul(2)));
        // Of sessions that live everything counts, however late it came.
        let live: Vec<SessionId> = self.sessions.iter().map(|login| login.session.id).collect();
        let (verdicts, kinds) = (self.alerter.verdicts(), self.alerter.counted_kinds());
        let mut past: Vec<Entry> = Vec::new();
        for tenant in &config.tenants {
            let reader = Reader::open(&config.data_dir, &tenant.id)?;
            past.extend(reader.alarming(&verdicts, from..=followed, &live)?);
            let counted = (kinds.as_slice(), verdicts.as_slice());
            past.extend(reader.counted(counted, from..=followed, &live)?);
            // What is told late of what ended must not raise it again.
            for entry in reader.last(Kind::Exit, followed, ENDS_READ)? {
                self.processes.remember_end(&entry.judged.event);
            }
        }
        past.sort_by_key(|entry| entry.stored_at);
        for entry in &past {
            self.alerter.recount(entry);
        }
        for raised in self.state.alerts_after(from, &live)? {
            self.alerter.remember(raised);
        }
        for order in self.orders.values() {
            if order.cause.alert.is_some() {
                self.alerter
                    .remember_revoked(&order.target, order.times.kernel_event.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Lets follow what was stored and not yet followed.
    fn make_good(&mut self, config: &Config) -> Result<(), CoreError> {
        let readers: Vec<Reader> = config
            .tenants
            .iter()
            .map(|tenant| Reader::open(&config.data_dir, &tenant.id))
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

fn ledgers(config: &Config) -> Result<BTreeMap<TenantId, Ledger>, LedgerError> {
    let key = config.ledger_key.as_deref().map(LogKey::load).transpose()?;
    let mut ledgers = BTreeMap::new();
    for tenant in &config.tenants {
        let signer = key.as_ref().map(|key| key.signer(tenant.id.as_str()));
        let ledger = Ledger::open(&config.data_dir, &tenant.id, signer.transpose()?)?;
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
