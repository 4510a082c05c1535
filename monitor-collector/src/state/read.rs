//! Sessions, alerts and orders by page, for people. Opens the file for reading only.

use std::path::{Path, PathBuf};

use monitor_model::{
    alert::{Alert, AlertState, Severity},
    clock::UnixNs,
    id::{AgentName, AlertId, EventId, OrderId, PrincipalId, SessionId, TenantId},
    revocation::Order,
    session::Session,
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{Connection, OpenFlags, ToSql, params};

use super::{Login, Raised, State, StateError, alerts::number_of, load::decoded};
use crate::ledger::{integer, number};

/// The columns of an alert.
pub(super) const SELECT_ALERTS: &str = "SELECT stamp, message, outside, fold, event, steps
     FROM alert LEFT JOIN handled ON handled = id";

/// Where a page begins: after this item, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The item's time.
    pub at: UnixNs,
    /// The item's name.
    pub id: String,
}

impl Place {
    /// Before everything.
    #[must_use]
    pub const fn first() -> Self {
        Self {
            at: UnixNs::MAX,
            id: String::new(),
        }
    }
}

/// Which sessions. An absent part means all.
#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Of this principal.
    pub principal: Option<PrincipalId>,
    /// Of these tenants; empty for all.
    pub tenants: Vec<TenantId>,
    /// On this host.
    pub host: Option<AgentName>,
    /// Ended ones as well.
    pub ended: bool,
}

/// Which alerts. An absent part means all.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Of this principal.
    pub principal: Option<PrincipalId>,
    /// In these tenants' ledgers; empty for all.
    pub ledgers: Vec<TenantId>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// At least this urgent.
    pub severity_min: Option<Severity>,
    /// In these states; empty for all.
    pub states: Vec<AlertState>,
    /// Of this name.
    pub id: Option<AlertId>,
}

/// The state open for reading only, beside its writer.
#[derive(Debug)]
pub struct StateReader {
    path: PathBuf,
    connection: Connection,
}

impl StateReader {
    /// Opens the state, which must be there.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn open(data_dir: &Path) -> Result<Self, StateError> {
        let path = State::path(data_dir);
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|connection| {
                connection.busy_timeout(std::time::Duration::from_secs(5))?;
                Ok(connection)
            })
            .map_err(|source| StateError::Sqlite {
                path: path.clone(),
                source,
            })?;
        Ok(Self { path, connection })
    }

    /// Sessions, newest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn sessions(
        &self,
        filter: &SessionFilter,
        after: &Place,
        limit: u32,
    ) -> Result<Vec<Session>, StateError> {
        let sql = "SELECT id, message FROM session
             WHERE (opened_at, id) < (?1, ?2)
             AND (?3 IS NULL OR principal = ?3)
             AND (?4 = '[]' OR tenant IN (SELECT value FROM json_each(?4)))
             AND (?5 IS NULL OR host = ?5)
             AND (?6 OR ended = 0)
             ORDER BY opened_at DESC, id DESC LIMIT ?7";
        let values = params![
            integer(after.at.0),
            after.id,
            filter.principal.as_ref().map(PrincipalId::as_str),
            json(&filter.tenants),
            filter.host.as_ref().map(AgentName::as_str),
            filter.ended,
            limit,
        ];
        let rows = self.rows(sql, values)?;
        rows.iter()
            .map(|(name, message)| decoded::<v1::Session, _>(&self.path, "session", name, message))
            .collect()
    }

    /// A session of these tenants, of any when there are none, and the boot that
    /// it is of, ended ones too. One of others is not read: it takes no longer
    /// than one that is not there.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn session(
        &self,
        id: SessionId,
        tenants: &[TenantId],
    ) -> Result<Option<Login>, StateError> {
        super::session(&self.connection, &self.path, id, tenants)
    }

    /// Alerts, newest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn alerts(
        &self,
        filter: &AlertFilter,
        before: UnixNs,
        limit: u32,
    ) -> Result<Vec<Raised>, StateError> {
        let sql = format!(
            "{SELECT_ALERTS} WHERE stamp < ?1
             AND (?2 IS NULL OR principal = ?2)
             AND (?3 = '[]' OR ledger IN (SELECT value FROM json_each(?3)))
             AND (?4 IS NULL OR session = ?4)
             AND severity >= ?5
             AND (?7 = '[]' OR coalesce(state, 1) IN (SELECT value FROM json_each(?7)))
             AND (?8 IS NULL OR id = ?8)
             ORDER BY stamp DESC LIMIT ?6"
        );
        let states: Vec<i32> = filter.states.iter().copied().map(number_of).collect();
        let severity = filter
            .severity_min
            .map_or(0, |severity| i32::from(v1::Severity::from(severity)));
        let values = params![
            integer(before.0),
            filter.principal.as_ref().map(PrincipalId::as_str),
            json(&filter.ledgers),
            filter.session.map(|id| id.to_string()),
            severity,
            limit,
            json(&states),
            filter.id.map(|id| id.to_string()),
        ];
        alerts(&self.connection, &self.path, &sql, values)
    }

    /// Alerts raised within a span, oldest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn raised(&self, span: crate::ledger::read::Span) -> Result<Vec<Raised>, StateError> {
        let sql =
            format!("{SELECT_ALERTS} WHERE stamp > ?1 AND stamp <= ?2 ORDER BY stamp LIMIT ?3");
        let values = params![integer(span.after.0), integer(span.up_to.0), span.limit];
        alerts(&self.connection, &self.path, &sql, values)
    }

    /// Alerts that an event raised.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn alerts_of(&self, event: &EventId) -> Result<Vec<Raised>, StateError> {
        let sql = format!("{SELECT_ALERTS} WHERE event = ?1");
        alerts(
            &self.connection,
            &self.path,
            &sql,
            params![event.to_string()],
        )
    }

    /// Orders, newest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn orders(&self, after: &Place, limit: u32) -> Result<Vec<Order>, StateError> {
        let sql = "SELECT id, message FROM ordered WHERE (ordered_at, id) < (?1, ?2)
             ORDER BY ordered_at DESC, id DESC LIMIT ?3";
        let rows = self.rows(sql, params![integer(after.at.0), after.id, limit])?;
        rows.iter()
            .map(|(name, message)| decoded::<v1::Order, _>(&self.path, "order", name, message))
            .collect()
    }

    /// One order.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn order(&self, id: OrderId) -> Result<Option<Order>, StateError> {
        let rows = self.rows(
            "SELECT id, message FROM ordered WHERE id = ?1",
            params![id.to_string()],
        )?;
        rows.first()
            .map(|(name, message)| decoded::<v1::Order, _>(&self.path, "order", name, message))
            .transpose()
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn rows(
        &self,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                statement
                    .query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .map_err(|source| StateError::Sqlite {
                path: self.path.clone(),
                source,
            })
    }
}

pub(super) fn alerts(
    connection: &Connection,
    path: &Path,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<Vec<Raised>, StateError> {
    let rows: Vec<AlertRow> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let rows = statement.query_map(values, |row| {
                Ok(AlertRow {
                    stamp: row.get(0)?,
                    message: row.get(1)?,
                    outside: row.get(2)?,
                    fold: row.get(3)?,
                    event: row.get(4)?,
                    steps: row.get(5)?,
                })
            })?;
            rows.collect()
        })
        .map_err(|source| StateError::Sqlite {
            path: path.into(),
            source,
        })?;
    rows.into_iter().map(|row| row.raised(path)).collect()
}

struct AlertRow {
    stamp: i64,
    message: Vec<u8>,
    outside: String,
    fold: String,
    event: String,
    steps: Option<Vec<u8>>,
}

impl AlertRow {
    fn raised(self, path: &Path) -> Result<Raised, StateError> {
        let name = self.stamp.to_string();
        let wrong = |cause: String| StateError::Row {
            path: path.into(),
            what: "alert",
            name: name.clone(),
            cause,
        };
        let message = v1::Alert::decode(self.message.as_slice());
        let mut message = message.map_err(|error| wrong(error.to_string()))?;
        if let Some(steps) = self.steps {
            let handled = v1::Alert::decode(steps.as_slice());
            let handled = handled.map_err(|error| wrong(error.to_string()))?;
            message.state = handled.state;
            message.steps = handled.steps;
        }
        let alert = Alert::try_from(message).map_err(|error| wrong(error.to_string()))?;
        Ok(Raised {
            stamp: UnixNs(number(self.stamp)),
            outside: self.outside,
            fold: self.fold,
            of_event: alert.event.to_string() == self.event,
            alert,
        })
    }
}

/// A list as SQLite's `json_each` takes it.
pub(super) fn json<T: serde::Serialize>(values: &[T]) -> String {
    serde_json::to_string(values).unwrap_or_else(|_| "[]".to_owned())
}
