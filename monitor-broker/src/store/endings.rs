//! Engineers that left and tickets that were closed: what ends here, and whether
//! the collector was told.

use std::{collections::BTreeSet, fmt};

use monitor_model::{
    id::PrincipalId,
    revocation::{Outcome, Revoked},
};
use rusqlite::{OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{
    GrantId, OrderId, PENDING_MAX, Store, StoreError, UnixNs, from_sql, grants::read_held,
    live_after, orders::end_grants, to_sql,
};

/// Who left, or what was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A principal.
    Engineer(PrincipalId),
    /// A ticket, as grants name it.
    Ticket(String),
}

impl Subject {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Engineer(_) => "engineer",
            Self::Ticket(_) => "ticket",
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Engineer(id) => id.as_str(),
            Self::Ticket(ticket) => ticket,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// The end of a subject, as somebody told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its name: the idempotency key.
    pub id: OrderId,
    /// Whose.
    pub subject: Subject,
    /// Why, in words.
    pub reason: String,
    /// Who told it, by certificate.
    pub initiator: String,
    /// When it was first told.
    pub at: UnixNs,
}

impl Store {
    /// Ends the grants of a subject and revokes their certificates, in one
    /// transaction; the collector is told later, from what is stored here. The
    /// same again ends what is new.
    ///
    /// # Errors
    /// [`StoreError::EndingReused`], or the database failed.
    pub fn end_subject(&self, ending: &Ending, now: UnixNs) -> Result<Vec<Revoked>, StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Ending {
            id,
            subject,
            reason,
            initiator,
            at,
        } = ending;
        let stored = tx
            .query_row(
                "SELECT kind, name FROM endings WHERE id = ?1",
                [id.to_bytes()],
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)),
            )
            .optional()?;
        match stored {
            Some((kind, name)) if kind != subject.kind() || name != subject.name() => {
                return Err(StoreError::EndingReused {
                    id: *id,
                    stored: format!("{kind} {name}"),
                    told: subject.to_string(),
                });
            }
            Some(_) => {}
            None => _ = tx.execute(
                "INSERT INTO endings (id, kind, name, reason, initiator, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![id.to_bytes(), subject.kind(), subject.name(), reason, initiator, to_sql(*at)],
            )?,
        }
        let grants = grants_of(&tx, subject, now)?;
        let revoked = end_grants(&tx, grants, reason, now)?;
        let is_new = |one: &Revoked| one.serial.is_some() && one.outcome == Outcome::Revoked;
        if revoked.iter().any(is_new) {
            tx.execute("UPDATE krl SET version = version + 1", [])?;
        }
        tx.commit()?;
        Ok(revoked)
    }

    /// Endings that the collector was not told, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn endings_pending(&self) -> Result<Vec<Ending>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id, kind, name, reason, initiator, at FROM endings WHERE told_at IS NULL ORDER BY at LIMIT ?1",
        )?;
        let mut rows = statement.query([PENDING_MAX])?;
        let mut endings = Vec::new();
        while let Some(row) = rows.next()? {
            endings.push(ending(row)?);
        }
        Ok(endings)
    }

    /// One ending, while the collector was not told.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn ending(&self, id: OrderId) -> Result<Option<Ending>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id, kind, name, reason, initiator, at FROM endings WHERE id = ?1",
        )?;
        let mut rows = statement.query([id.to_bytes()])?;
        rows.next()?.map(ending).transpose()
    }

    /// The collector was told, and has answered; why it will not have it, if so.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn confirm_ending(
        &self,
        id: OrderId,
        now: UnixNs,
        refused: Option<&str>,
    ) -> Result<(), StoreError> {
        self.lock().execute(
            "UPDATE endings SET told_at = ?2, refused = ?3 WHERE id = ?1",
            params![id.to_bytes(), to_sql(now), refused],
        )?;
        Ok(())
    }
}

/// Grants of a subject that are not over by their own time.
fn grants_of(
    tx: &Transaction<'_>,
    subject: &Subject,
    now: UnixNs,
) -> Result<BTreeSet<GrantId>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT * FROM grants WHERE expires > ?1 AND (?2 IS NULL OR principal = ?2)",
    )?;
    let who = match subject {
        Subject::Engineer(id) => Some(id.as_str()),
        Subject::Ticket(_) => None,
    };
    let mut rows = statement.query(params![live_after(now), who])?;
    let mut grants = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let grant = read_held(row)?.grant;
        let is_its = match subject {
            Subject::Engineer(_) => true,
            Subject::Ticket(ticket) => grant.ticket == *ticket,
        };
        if is_its {
            grants.insert(grant.id);
        }
    }
    Ok(grants)
}

fn ending(row: &Row<'_>) -> Result<Ending, StoreError> {
    let wrong = |what: &str| StoreError::Corrupt {
        what: format!("an ending whose {what} makes no sense"),
    };
    let (id, kind, name): (Vec<u8>, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let subject = match kind.as_str() {
        "engineer" => Subject::Engineer(name.parse().map_err(|_| wrong("engineer"))?),
        "ticket" => Subject::Ticket(name),
        _ => return Err(wrong("kind")),
    };
    Ok(Ending {
        id: OrderId::from_slice(&id).map_err(|_| wrong("name"))?,
        subject,
        reason: row.get(3)?,
        initiator: row.get(4)?,
        at: from_sql(row.get(5)?),
    })
}
