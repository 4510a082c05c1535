//! The state as it is read at a start.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use monitor_model::{
    clock::UnixNs,
    grant::Grant,
    id::{GrantId, OrderId, PrincipalId, SessionId},
    revocation::Order,
};
use monitor_proto::v1;
use prost::Message;
use rusqlite::{OptionalExtension as _, params};

use super::{Denial, Login, Raised, State, StateError, read};
use crate::ledger::integer;

/// What is denied, each with the order that did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// Certificates.
    pub serials: BTreeMap<u64, OrderId>,
    /// Persons and workloads.
    pub principals: BTreeMap<PrincipalId, OrderId>,
}

impl Denied {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.serials.len() + self.principals.len()
    }

    /// The order that a denial stands under.
    #[must_use]
    pub fn get(&self, denial: &Denial) -> Option<OrderId> {
        match denial {
            Denial::Serial(serial) => self.serials.get(serial).copied(),
            Denial::Principal(id) => self.principals.get(id).copied(),
        }
    }

    /// Puts a denial under an order.
    pub fn insert(&mut self, denial: Denial, order: OrderId) {
        match denial {
            Denial::Serial(serial) => _ = self.serials.insert(serial, order),
            Denial::Principal(id) => _ = self.principals.insert(id, order),
        }
    }

    /// Removes a denial.
    pub fn remove(&mut self, denial: &Denial) {
        match denial {
            Denial::Serial(serial) => _ = self.serials.remove(serial),
            Denial::Principal(id) => _ = self.principals.remove(id),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.serials.is_empty() && self.principals.is_empty()
    }
}

impl State {
    /// Every grant.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn grants(&self) -> Result<HashMap<GrantId, Grant>, StateError> {
        let rows = self.rows("SELECT id, message FROM granted")?;
        rows.iter()
            .map(|(name, message)| {
                let grant: Grant = decoded::<v1::Grant, _>(&self.path, "grant", name, message)?;
                Ok((grant.id.clone(), grant))
            })
            .collect()
    }

    /// Sessions that have not ended.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn live_sessions(&self) -> Result<Vec<Login>, StateError> {
        let rows = self.rows("SELECT boot, message FROM session WHERE ended = 0")?;
        rows.iter()
            .map(|(boot, message)| login(&self.path, message, boot))
            .collect()
    }

    /// Every order.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn orders(&self) -> Result<BTreeMap<OrderId, Order>, StateError> {
        let rows = self.rows("SELECT id, message FROM ordered")?;
        rows.iter()
            .map(|(name, message)| {
                let order: Order = decoded::<v1::Order, _>(&self.path, "order", name, message)?;
                Ok((order.id, order))
            })
            .collect()
    }

    /// Everything that is denied.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn denied(&self) -> Result<Denied, StateError> {
        let mut denied = Denied::default();
        let rows = self.rows("SELECT kind || ' ' || name, CAST(ordered AS BLOB) FROM denied")?;
        for (row, order) in rows {
            let wrong = |cause: String| StateError::Row {
                path: self.path.clone(),
                what: "denial",
                name: row.clone(),
                cause,
            };
            let order = String::from_utf8_lossy(&order);
            let order: OrderId = order.parse().map_err(|error| wrong(format!("{error}")))?;
            match row.split_once(' ') {
                Some(("serial", serial)) => {
                    let serial = serial.parse().map_err(|error| wrong(format!("{error}")))?;
                    denied.serials.insert(serial, order);
                }
                Some(("principal", name)) => {
                    let name = name.parse().map_err(|error| wrong(format!("{error}")))?;
                    denied.principals.insert(name, order);
                }
                _ => return Err(wrong("neither a serial nor a principal".to_owned())),
            }
        }
        Ok(denied)
    }

    /// Alerts that were raised after an instant or are of one of these
    /// sessions, oldest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn alerts_after(
        &self,
        stamp: UnixNs,
        sessions: &[SessionId],
    ) -> Result<Vec<Raised>, StateError> {
        let sql = format!(
            "{} WHERE stamp > ?1 OR session IN (SELECT value FROM json_each(?2)) ORDER BY stamp",
            read::SELECT_ALERTS
        );
        let values = params![integer(stamp.0), read::json(sessions)];
        read::alerts(&self.connection, &self.path, &sql, values)
    }

    /// Up to where everything follows from the events.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn followed(&self) -> Result<UnixNs, StateError> {
        let select = "SELECT CAST(value AS TEXT) FROM meta WHERE key = 'followed'";
        let value: Option<String> = self
            .connection
            .query_row(select, [], |row| row.get(0))
            .optional()
            .map_err(|s| self.sqlite(s))?;
        Ok(UnixNs(
            value.and_then(|text| text.parse().ok()).unwrap_or(0),
        ))
    }

    /// The stamp of the newest alert.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn last_alert(&self) -> Result<UnixNs, StateError> {
        let last =
            self.connection
                .query_row("SELECT coalesce(max(stamp), 0) FROM alert", [], |row| {
                    row.get(0)
                });
        last.map(|stamp| UnixNs(crate::ledger::number(stamp)))
            .map_err(|source| self.sqlite(source))
    }

    /// The key that cursors are sealed with; `fresh` when there is none yet.
    ///
    /// # Errors
    /// [`StateError::Sqlite`].
    pub fn cursor_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], StateError> {
        self.connection
            .execute(
                "INSERT OR IGNORE INTO meta VALUES ('cursor_key', ?1)",
                params![fresh],
            )
            .and_then(|_| {
                let select = "SELECT value FROM meta WHERE key = 'cursor_key'";
                self.connection.query_row(select, [], |row| row.get(0))
            })
            .map_err(|source| self.sqlite(source))
    }

    fn rows(&self, sql: &str) -> Result<Vec<(String, Vec<u8>)>, StateError> {
        self.connection
            .prepare(sql)
            .and_then(|mut statement| {
                statement
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            })
            .map_err(|source| self.sqlite(source))
    }
}

/// A message from a row.
pub(super) fn decoded<M, T>(
    path: &Path,
    what: &'static str,
    name: &str,
    bytes: &[u8],
) -> Result<T, StateError>
where
    M: Message + Default,
    T: TryFrom<M, Error = monitor_proto::InvalidMessage>,
{
    M::decode(bytes)
        .map_err(Into::into)
        .and_then(T::try_from)
        .map_err(|error| StateError::Row {
            path: path.into(),
            what,
            name: name.to_owned(),
            cause: error.to_string(),
        })
}

/// A session from a row.
pub(super) fn login(path: &Path, message: &[u8], boot: &str) -> Result<Login, StateError> {
    let session = decoded::<v1::Session, _>(path, "session", "", message)?;
    let boot = boot.parse().map_err(|error| StateError::Row {
        path: path.into(),
        what: "session's boot",
        name: boot.to_owned(),
        cause: format!("{error}"),
    })?;
    Ok(Login { session, boot })
}
