//! Entries by place, for those who read: alerting after a start, subscriptions, people.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use monitor_model::{
    clock::UnixNs,
    event::{Event, Kind, objects},
    id::{AgentName, EventId, PrincipalId, SessionId, TenantId},
    verdict::VerdictKind,
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, params};

use super::{Entry, Hash, Judged, Ledger, LedgerError, RowError, integer, number};

/// The columns that are read, in the order of [`Raw::of`].
const SELECT: &str = "
SELECT position, stored_at, event, judgement, hash
FROM entry JOIN stream ON stream.id = entry.stream";

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
    tenant: TenantId,
    path: PathBuf,
    pub(super) connection: Connection,
}

/// A row as it stands.
struct Raw {
    position: u64,
    stored_at: UnixNs,
    event: Vec<u8>,
    judgement: Vec<u8>,
    hash: Hash,
}

impl Raw {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            position: number(row.get(0)?),
            stored_at: UnixNs(number(row.get(1)?)),
            event: row.get(2)?,
            judgement: row.get(3)?,
            hash: row.get(4)?,
        })
    }

    fn decode(&self) -> Result<Judged, RowError> {
        let judgement = v1::Judgement::decode(self.judgement.as_slice())
            .map_err(monitor_proto::InvalidMessage::from)?;
        Ok(Judged {
            event: monitor_proto::decode_event(&self.event)?,
            event_bytes: self.event.clone(),
            judgement: judgement.try_into()?,
        })
    }
}

impl Reader {
    /// Opens the ledger of a tenant, which must be there.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`].
    pub fn open(data_dir: &Path, tenant: &TenantId) -> Result<Self, LedgerError> {
        let path = Ledger::path(data_dir, tenant);
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|connection| {
                connection.busy_timeout(std::time::Duration::from_secs(5))?;
                Ok(connection)
            })
            .map_err(|source| LedgerError::Sqlite {
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            tenant: tenant.clone(),
            path,
            connection,
        })
    }

    /// Entries of a span that a filter admits, whatever their objects, in stored
    /// order, and the instant up to which everything was looked at.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`]; [`LedgerError::Broken`] for an entry that cannot be decoded.
    pub fn page(&self, span: Span, filter: &Filter) -> Result<(Vec<Entry>, UnixNs), LedgerError> {
        let sql = format!(
            "{SELECT} WHERE stored_at > ?1 AND stored_at <= ?2
             AND (?3 = '[]' OR principal IN (SELECT value FROM json_each(?3)))
             AND (?4 = '[]' OR session IN (SELECT value FROM json_each(?4)))
             AND (?5 = '[]' OR agent IN (SELECT value FROM json_each(?5)))
             AND (?6 = '[]' OR kind IN (SELECT value FROM json_each(?6)))
             AND (?7 = '[]' OR verdict IN (SELECT value FROM json_each(?7)))
             ORDER BY stored_at LIMIT ?8"
        );
        let values = params![
            integer(span.after.0),
            integer(span.up_to.0),
            json(&filter.principals),
            json(&filter.sessions),
            json(&filter.hosts),
            json(&filter.kinds),
            json(&filter.verdicts),
            span.limit,
        ];
        let entries = self.collect(&sql, values)?;
        let full = u32::try_from(entries.len()).unwrap_or(u32::MAX) >= span.limit;
        let seen = entries
            .last()
            .filter(|_| full)
            .map_or(span.up_to, |last| last.stored_at);
        Ok((entries, seen))
    }

    /// Entries with one of these alarming verdicts that were stored within a
    /// span or are of one of these sessions, in stored order.
    ///
    /// # Errors
    /// As [`Reader::page`].
    pub fn alarming(
        &self,
        verdicts: &[VerdictKind],
        stored: RangeInclusive<UnixNs>,
        sessions: &[SessionId],
    ) -> Result<Vec<Entry>, LedgerError> {
        let verdict = "verdict IN ('out_of_scope', 'unattributed') AND verdict IN (SELECT value FROM json_each(?1))";
        let (after, up_to) = (integer(stored.start().0), integer(stored.end().0));
        let recent = format!("{SELECT} WHERE {verdict} AND stored_at > ?2 AND stored_at <= ?3");
        let mut entries = self.collect(&recent, params![json(verdicts), after, up_to])?;
        let older = format!(
            "{SELECT} WHERE {verdict} AND stored_at <= ?2 AND session IN (SELECT value FROM json_each(?3))"
        );
        entries.extend(self.collect(&older, params![json(verdicts), after, json(sessions)])?);
        entries.sort_by_key(|entry| entry.stored_at);
        Ok(entries)
    }

    /// Entries of these kinds whose verdict is none of these, otherwise as
    /// [`Self::alarming`].
    ///
    /// # Errors
    /// As [`Reader::page`].
    pub fn counted(
        &self,
        (kinds, verdicts): (&[Kind], &[VerdictKind]),
        stored: RangeInclusive<UnixNs>,
        sessions: &[SessionId],
    ) -> Result<Vec<Entry>, LedgerError> {
        if kinds.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "{SELECT} WHERE kind IN (SELECT value FROM json_each(?1))
             AND verdict NOT IN (SELECT value FROM json_each(?2)) AND stored_at <= ?4
             AND (stored_at > ?3 OR session IN (SELECT value FROM json_each(?5)))
             ORDER BY stored_at"
        );
        let (after, up_to) = (integer(stored.start().0), integer(stored.end().0));
        let values = params![json(kinds), json(verdicts), after, up_to, json(sessions)];
        self.collect(&sql, values)
    }

    /// Entries of a kind among the last so many that were stored up to an
    /// instant, in stored order.
    ///
    /// # Errors
    /// As [`Reader::page`].
    pub fn last(&self, kind: Kind, up_to: UnixNs, among: u64) -> Result<Vec<Entry>, LedgerError> {
        let sql = format!(
            "{SELECT} WHERE stored_at <= ?1 AND kind = ?2 AND position >
             (SELECT coalesce(max(position), 0) - ?3 FROM entry WHERE stored_at <= ?1)
             ORDER BY position"
        );
        let up_to = integer(up_to.0);
        self.collect(&sql, params![up_to, kind.as_str(), integer(among)])
    }

    /// One event by its name.
    ///
    /// # Errors
    /// As [`Reader::page`].
    pub fn find(&self, id: &EventId) -> Result<Option<Entry>, LedgerError> {
        let sql =
            format!("{SELECT} WHERE agent = ?1 AND boot = ?2 AND source = ?3 AND sequence = ?4");
        let (boot, source) = (id.boot.to_string(), id.source.to_string());
        let values = params![id.agent.as_str(), boot, source, integer(id.sequence)];
        let row = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row(values, Raw::of).optional());
        row.map_err(|source| self.sqlite(source))?
            .map(|raw| self.entry(&raw))
            .transpose()
    }

    /// Entries by position, in order, each with the judgement as it is stored,
    /// for as long as they are wanted.
    pub(super) fn each(
        &self,
        positions: RangeInclusive<u64>,
        mut take: impl FnMut(Entry, Vec<u8>) -> bool,
    ) -> Result<(), LedgerError> {
        let sql = format!("{SELECT} WHERE position >= ?1 AND position <= ?2 ORDER BY position");
        let sqlite = |source| self.sqlite(source);
        let mut statement = self.connection.prepare_cached(&sql).map_err(sqlite)?;
        let (first, last) = (integer(*positions.start()), integer(*positions.end()));
        let mut rows = statement.query([first, last]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let raw = Raw::of(row).map_err(sqlite)?;
            if !take(self.entry(&raw)?, raw.judgement) {
                break;
            }
        }
        Ok(())
    }

    fn collect(
        &self,
        sql: &str,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Entry>, LedgerError> {
        let mut statement = self
            .connection
            .prepare_cached(sql)
            .map_err(|source| self.sqlite(source))?;
        let mut rows = statement
            .query(values)
            .map_err(|source| self.sqlite(source))?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next().map_err(|source| self.sqlite(source))? {
            let raw = Raw::of(row).map_err(|source| self.sqlite(source))?;
            entries.push(self.entry(&raw)?);
        }
        Ok(entries)
    }

    fn entry(&self, raw: &Raw) -> Result<Entry, LedgerError> {
        let judged = raw.decode().map_err(|error| LedgerError::Broken {
            path: self.path.clone(),
            position: raw.position,
            cause: error.to_string(),
        })?;
        Ok(Entry {
            ledger: self.tenant.clone(),
            position: raw.position,
            stored_at: raw.stored_at,
            hash: raw.hash,
            judged,
        })
    }

    pub(super) fn broken(&self, position: u64, cause: &str) -> LedgerError {
        LedgerError::broken(&self.path, position, cause)
    }

    pub(super) fn sqlite(&self, source: rusqlite::Error) -> LedgerError {
        LedgerError::Sqlite {
            path: self.path.clone(),
            source,
        }
    }
}

/// A list as SQLite's `json_each` takes it.
pub(super) fn json<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).unwrap_or_else(|_| "[]".to_owned())
}
