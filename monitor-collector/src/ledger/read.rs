//! Entries by place, for those who read: alerting after a start, subscriptions, people.

use std::{ops::ControlFlow, path::PathBuf};

use monitor_ledger::{
    file,
    index::{Numbers, Term},
    leaf::Blinding,
    seal::{Home, Secrets},
};
use monitor_model::{
    clock::UnixNs,
    event::{Event, Kind, objects},
    id::{AgentName, EventId, PrincipalId, SessionId, TenantId},
    verdict::VerdictKind,
};
use rusqlite::{Connection, params};

use super::{Entry, Ledger, LedgerError, integer, scan::Scan};

/// Which entries. An empty part means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In these tenants' ledgers.
    pub tenants: Vec<TenantId>,
    /// Of these principals.
    pub principals: Vec<PrincipalId>,
    /// Of these sessions.
    pub sessions: Vec<SessionId>,
    /// On these hosts.
    pub hosts: Vec<AgentName>,
    /// Of these kinds.
    pub kinds: Vec<Kind>,
    /// With these verdicts.
    pub verdicts: Vec<VerdictKind>,
    /// With an object that begins so.
    pub object_prefix: String,
}

impl Filter {
    /// Whether an entry is among those asked for, but for its objects.
    #[must_use]
    pub fn admits(&self, entry: &Entry) -> bool {
        let (event, who) = (&entry.judged.event, &entry.judged.event.attribution);
        within(&self.tenants, Some(&entry.ledger))
            && within(&self.principals, who.principal.as_ref())
            && within(&self.sessions, who.session.as_ref())
            && within(&self.hosts, Some(&event.id.agent))
            && within(&self.kinds, Some(&event.action.kind()))
            && within(&self.verdicts, Some(&entry.judged.judgement.verdict.kind()))
    }

    /// Whether an event's objects are among those asked for: of the event as its
    /// reader sees it, so that nobody finds what is left out by its beginning.
    #[must_use]
    pub fn admits_objects(&self, event: &Event) -> bool {
        let prefix = self.object_prefix.as_bytes();
        prefix.is_empty() || objects(event).iter().any(|text| text.starts_with(prefix))
    }
}

/// Whether a value is among those listed; an empty list lists all.
pub(crate) fn within<T: PartialEq>(list: &[T], value: Option<&T>) -> bool {
    list.is_empty() || value.is_some_and(|value| list.contains(value))
}

/// A part of a ledger by the time it was stored.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// After this instant.
    pub after: UnixNs,
    /// Up to and with this instant.
    pub up_to: UnixNs,
    /// At most this many entries.
    pub limit: u32,
}

/// A ledger open for reading only, beside its writer.
#[derive(Debug)]
pub struct Reader {
    pub(super) tenant: TenantId,
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    secrets: Secrets,
}

impl Reader {
    /// Opens the ledger of a tenant, which must be there.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`]; [`LedgerError::Seal`] when it is sealed and cannot be opened;
    /// [`LedgerError::Broken`] where its secret is gone.
    pub fn open(home: impl Into<Home>, tenant: &TenantId) -> Result<Self, LedgerError> {
        let home = home.into();
        let path = Ledger::path(&home, tenant);
        let sqlite = |source| LedgerError::sqlite(&path, source);
        let connection = file::open(&path).map_err(sqlite)?;
        let secrets = super::secrets(&connection, &path, tenant, home.seal())?;
        Ok(Self {
            tenant: tenant.clone(),
            path,
            connection,
            secrets,
        })
    }

    /// Whose it is.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What its digests are blinded with.
    pub(super) const fn blinding(&self) -> &Blinding {
        self.secrets.blinding()
    }

    /// What its blocks are read with.
    pub(super) const fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Entries of a span that a filter admits, whatever their objects, in stored
    /// order, and the instant up to which everything was looked at.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`]; [`LedgerError::Broken`] for an entry that cannot be decoded.
    pub fn page(&self, span: Span, filter: &Filter) -> Result<(Vec<Entry>, UnixNs), LedgerError> {
        let within = Scan {
            after: span.after,
            up_to: span.up_to,
            terms: self.terms(filter),
            ..Scan::all()
        };
        let limit = usize::try_from(span.limit).unwrap_or(usize::MAX);
        let mut entries: Vec<Entry> = Vec::new();
        self.scan(&within, |entry| {
            if filter.admits(&entry) {
                entries.push(entry);
            }
            if entries.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        let cut = entries.last().filter(|_| entries.len() >= limit);
        let looked_at = cut.map_or(span.up_to, |last| last.stored_at);
        Ok((entries, looked_at))
    }

    /// What entries that a filter admits have, the rarest first.
    pub(super) fn terms(&self, filter: &Filter) -> Vec<Vec<i64>> {
        let code = |term: Term<'_>| term.code(self.blinding());
        let lists = [
            each(&filter.sessions, |id| code(Term::Session(*id))),
            Term::object(filter.object_prefix.as_bytes())
                .map_or_else(Vec::new, |term| vec![code(term)]),
            each(&filter.principals, |id| code(Term::Principal(id))),
            each(&filter.verdicts, |kind| code(Term::Verdict(*kind))),
            each(&filter.kinds, |kind| code(Term::Kind(*kind))),
            each(&filter.hosts, |id| code(Term::Host(id))),
        ];
        lists.into_iter().filter(|list| !list.is_empty()).collect()
    }

    /// Entries of a kind that were stored after one instant and up to another,
    /// in stored order.
    ///
    /// # Errors
    /// As [`Reader::page`].
    pub fn between(
        &self,
        kind: Kind,
        after: UnixNs,
        up_to: UnixNs,
    ) -> Result<Vec<Entry>, LedgerError> {
        let within = Scan {
            after,
            up_to,
            ..Scan::all()
        };
        let mut entries = Vec::new();
        self.scan(&within, |entry| {
            if entry.judged.event.action.kind() == kind {
                entries.push(entry);
            }
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    /// The last blocks that begin up to an instant, as many as hold so many
    /// entries: when the first entry of each was stored, and how many it has.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn blocks_before(
        &self,
        up_to: UnixNs,
        entries: u64,
    ) -> Result<Vec<(UnixNs, u64)>, LedgerError> {
        let sql = "SELECT stored_from, count FROM block WHERE stored_from <= ?1
                   ORDER BY stored_from DESC";
        let read = || -> rusqlite::Result<_> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let mut rows = statement.query([integer(up_to.0)])?;
            let (mut blocks, mut left) = (Vec::new(), entries);
            while left > 0
                && let Some(row) = rows.next()?
            {
                let (from, count) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
                let [from, count] = [from, count].map(|value| u64::try_from(value).unwrap_or(0));
                blocks.push((UnixNs(from), count));
                left = left.saturating_sub(count);
            }
            Ok(blocks)
        };
        read().map_err(|error| self.sqlite(error))
    }

    /// One event by its name.
    ///
    /// # Errors
    /// As [`Reader::page`].
    pub fn find(&self, id: &EventId) -> Result<Option<Entry>, LedgerError> {
        self.steady(|| {
            let Some(block) = self.block_of(id).map_err(|error| self.sqlite(error))? else {
                return Ok(None);
            };
            let mut entries = self.block(block)?.into_iter();
            Ok(entries.find(|entry| entry.judged.event.id == *id))
        })
    }

    /// The block that holds an event of this name.
    fn block_of(&self, id: &EventId) -> rusqlite::Result<Option<i64>> {
        let sql = "SELECT block, ranges FROM numbers WHERE low <= ?4 AND high >= ?4 AND stream = (
                       SELECT id FROM stream WHERE agent = ?1 AND boot = ?2 AND source = ?3)
                   ORDER BY low DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (boot, source) = (id.boot.to_string(), id.source.to_string());
        let values = params![id.agent.as_str(), boot, source, integer(id.sequence)];
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            let ranges: Vec<u8> = row.get(1)?;
            if Numbers::parse(&ranges).is_some_and(|numbers| numbers.contain(id.sequence)) {
                return row.get(0).map(Some);
            }
        }
        Ok(None)
    }

    pub(super) fn sqlite(&self, source: rusqlite::Error) -> LedgerError {
        LedgerError::sqlite(&self.path, source)
    }
}

fn each<T>(list: &[T], code: impl Fn(&T) -> i64) -> Vec<i64> {
    list.iter().map(code).collect()
}
