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
use rusqlite::{OptionalExtension as _, Row, params, params_from_iter};

use super::{
    Denial, Login, Raised, State, StateError,
    cover::Name,
    file::{Found, SELECT_ALERTS, json},
    grants::GRANTED,
    rows::{CURSOR_KEY, ORDERED, SECRET, SESSION},
};
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
        let sql = "SELECT id, message FROM granted";
        let rows = self.file().messages(&GRANTED, sql, &[])?;
        let grant = |row: &Found| {
            let (name, message) = (row.name(), &row.message);
            let grant: Grant = decoded::<v1::Grant, _>(&self.path, "grant", name, message)?;
            Ok((grant.id.clone(), grant))
        };
        rows.iter().map(grant).collect()
    }

    /// Sessions that have not ended.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn live_sessions(&self) -> Result<Vec<Login>, StateError> {
        let sql = "SELECT id, boot, tenant, message FROM session WHERE ended = 0";
        let rows = self.file().messages(&SESSION, sql, &[])?;
        rows.iter().map(|row| login(&self.path, row)).collect()
    }

    /// Every order.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn orders(&self) -> Result<BTreeMap<OrderId, Order>, StateError> {
        let sql = "SELECT id, message FROM ordered";
        let rows = self.file().messages(&ORDERED, sql, &[])?;
        let order = |row: &Found| {
            let (name, message) = (row.name(), &row.message);
            let order: Order = decoded::<v1::Order, _>(&self.path, "order", name, message)?;
            Ok((order.id, order))
        };
        rows.iter().map(order).collect()
    }

    /// Everything that is denied.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn denied(&self) -> Result<Denied, StateError> {
        let mut denied = Denied::default();
        let sql = "SELECT kind, name, ordered FROM denied";
        let read = |row: &Row<'_>| Ok(Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let rows: Vec<[String; 3]> = self
            .file()
            .all(sql, &[], read)?
            .into_iter()
            .map(<[String; 3]>::from)
            .collect();
        for [kind, name, order] in rows {
            let name = self.named(Name::Denied, "denial", &name)?;
            let wrong = |cause: String| StateError::row(&self.path, "denial", &name, cause);
            let order: OrderId = order.parse().map_err(|error| wrong(format!("{error}")))?;
            match kind.as_str() {
                "serial" => {
                    let serial = name.parse().map_err(|error| wrong(format!("{error}")))?;
                    denied.serials.insert(serial, order);
                }
                "principal" => {
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
            "{SELECT_ALERTS} WHERE stamp > ?1 OR session IN (SELECT value FROM json_each(?2)) ORDER BY stamp"
        );
        let values = params![integer(stamp.0), json(sessions)];
        self.file().alerts(&sql, values)
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
    /// [`StateError::Sqlite`]; [`StateError::Row`] where it does not open.
    pub fn cursor_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], StateError> {
        let row = vec![CURSOR_KEY.to_owned().into(), fresh.to_vec().into()];
        let row = self.cover.covered(&SECRET, row);
        let row = row.map_err(|source| StateError::seal(&self.path, source))?;
        self.connection
            .execute(&SECRET.insert("INSERT OR IGNORE"), params_from_iter(row))
            .map_err(|source| self.sqlite(source))?;
        let sql = "SELECT key, value FROM meta WHERE key = ?1";
        let found = self
            .file()
            .contents(&SECRET, "value", sql, params![CURSOR_KEY])?;
        let key = found.into_iter().next();
        key.and_then(|row| row.message.try_into().ok())
            .ok_or_else(|| {
                let cause = "it has not 32 bytes";
                StateError::row(&self.path, "key of cursors", CURSOR_KEY, cause)
            })
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
pub(super) fn login(path: &Path, row: &Found) -> Result<Login, StateError> {
    let (id, boot) = (row.name(), row.text(1));
    let session = decoded::<v1::Session, _>(path, "session", id, &row.message)?;
    let boot = boot.parse();
    let boot = boot.map_err(|error| StateError::row(path, "session's boot", id, error))?;
    Ok(Login { session, boot })
}
