//! Sessions, alerts and orders by page, for people. Opens the file for reading only.

use std::path::{Path, PathBuf};

use monitor_model::{
    alert::{AlertState, Severity},
    clock::UnixNs,
    id::{AgentName, AlertId, EventId, OrderId, PrincipalId, SessionId, TenantId},
    revocation::Order,
    session::Session,
};
use monitor_proto::v1;
use rusqlite::{Connection, OpenFlags, params};

use super::{
    Login, Raised, State, StateError,
    alerts::number_of,
    cover::{Cover, Name},
    file::{File, Found, SELECT_ALERTS, json},
    load::decoded,
    open,
    rows::{ORDERED, SESSION},
};
use crate::ledger::{Home, integer};

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
    cover: Cover,
}

impl StateReader {
    /// Opens the state, which must be there.
    ///
    /// # Errors
    /// [`StateError::Sqlite`]; [`StateError::Seal`] when it is sealed and `home`
    /// has not its key.
    pub fn open(home: impl Into<Home>) -> Result<Self, StateError> {
        let home = home.into();
        let path = State::path(&home);
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|connection| {
                connection.busy_timeout(std::time::Duration::from_secs(5))?;
                Ok(connection)
            })
            .map_err(|source| StateError::Sqlite {
                path: path.clone(),
                source,
            })?;
        let cover = open::cover(&connection, &path, home.seal())?;
        Ok(Self {
            path,
            connection,
            cover,
        })
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
        let sql = "SELECT id, boot, tenant, message FROM session
             WHERE (opened_at, id) < (?1, ?2)
             AND (?3 IS NULL OR principal = ?3)
             AND (?4 = '[]' OR tenant IN (SELECT value FROM json_each(?4)))
             AND (?5 IS NULL OR host = ?5)
             AND (?6 OR ended = 0)
             ORDER BY opened_at DESC, id DESC LIMIT ?7";
        let file = self.file();
        let (principal, host) = (filter.principal.as_ref(), filter.host.as_ref());
        let values = params![
            integer(after.at.0),
            after.id,
            file.named_if(Name::Principal, principal.map(PrincipalId::as_str))?,
            file.tenants(&filter.tenants)?,
            file.named_if(Name::Agent, host.map(AgentName::as_str))?,
            filter.ended,
            limit,
        ];
        let rows = file.messages(&SESSION, sql, values)?;
        let session = |row: &Found| {
            decoded::<v1::Session, _>(&self.path, "session", row.name(), &row.message)
        };
        rows.iter().map(session).collect()
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
        self.file().session(id, tenants)
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
        let file = self.file();
        let principal = filter.principal.as_ref().map(PrincipalId::as_str);
        let values = params![
            integer(before.0),
            file.named_if(Name::Principal, principal)?,
            file.tenants(&filter.ledgers)?,
            filter.session.map(|id| id.to_string()),
            severity,
            limit,
            json(&states),
            filter.id.map(|id| id.to_string()),
        ];
        self.file().alerts(&sql, values)
    }

    /// Alerts raised within a span, oldest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn raised(&self, span: crate::ledger::read::Span) -> Result<Vec<Raised>, StateError> {
        let sql =
            format!("{SELECT_ALERTS} WHERE stamp > ?1 AND stamp <= ?2 ORDER BY stamp LIMIT ?3");
        let values = params![integer(span.after.0), integer(span.up_to.0), span.limit];
        self.file().alerts(&sql, values)
    }

    /// Alerts that an event raised.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn alerts_of(&self, event: &EventId) -> Result<Vec<Raised>, StateError> {
        let sql = format!("{SELECT_ALERTS} WHERE event = ?1");
        let file = self.file();
        let event = file.name(Name::Event, &event.to_string())?;
        file.alerts(&sql, params![event])
    }

    /// Orders, newest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn orders(&self, after: &Place, limit: u32) -> Result<Vec<Order>, StateError> {
        let sql = "SELECT id, message FROM ordered WHERE (ordered_at, id) < (?1, ?2)
             ORDER BY ordered_at DESC, id DESC LIMIT ?3";
        let values = params![integer(after.at.0), after.id, limit];
        let rows = self.file().messages(&ORDERED, sql, values)?;
        rows.iter().map(|row| self.order_of(row)).collect()
    }

    /// One order.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn order(&self, id: OrderId) -> Result<Option<Order>, StateError> {
        let sql = "SELECT id, message FROM ordered WHERE id = ?1";
        let rows = self
            .file()
            .messages(&ORDERED, sql, params![id.to_string()])?;
        rows.first().map(|row| self.order_of(row)).transpose()
    }

    fn order_of(&self, row: &Found) -> Result<Order, StateError> {
        decoded::<v1::Order, _>(&self.path, "order", row.name(), &row.message)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> File<'_> {
        File {
            path: &self.path,
            connection: &self.connection,
            cover: &self.cover,
        }
    }
}
