//! Revocation orders: what they reach, what became of it, and the same answer again.

use std::collections::BTreeSet;

use monitor_model::revocation::{Outcome, Revoked, Target};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::{GrantId, OrderId, Store, StoreError, UnixNs, from_sql, live_after, to_sql};

/// An order as it reaches the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeOrder {
    /// Its name: the idempotency key.
    pub id: OrderId,
    /// What is to be revoked.
    pub target: Target,
    /// Certificates known to be in use by the target: revoked in any case.
    pub serials: Vec<u64>,
    /// Grants known to be in use by the target. They are what an order for a
    /// session ends; for every other target the target says what is to go.
    pub grants: Vec<GrantId>,
    /// Why, in words.
    pub reason: String,
    /// Who gave it, by certificate.
    pub initiator: String,
}

/// Whether an order came for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// It did.
    First,
    /// It was carried out before.
    Again,
}

/// What an order did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is new.
    pub given: Given,
    /// One a credential or grant.
    pub revoked: Vec<Revoked>,
    /// When the list was in place; none until it is, and when no certificate
    /// was reached.
    pub published_at: Option<UnixNs>,
    /// The number of the list that is in place then.
    pub list: Option<u64>,
}

impl Store {
    /// Ends the grants and revokes the certificates that an order reaches, all
    /// in one transaction; gives the list a new number when a certificate was
    /// revoked. The same order again gives the stored answer, with what it
    /// revoked told as revoked before; serials and grants that it newly names
    /// are carried out.
    ///
    /// # Errors
    /// [`StoreError::OrderReused`], or the database failed.
    pub fn revoke(&self, order: &RevokeOrder, now: UnixNs) -> Result<Answer, StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let target = order.target.to_string();
        let stored = tx
            .query_row(
                "SELECT target FROM orders WHERE id = ?1",
                [order.id.to_bytes()],
                |row| row.get::<_, String>(0),
            )
            .optional()?;
        let (given, mut revoked, fresh) = match stored {
            Some(stored) if stored != target => {
                return Err(StoreError::OrderReused {
                    id: order.id,
                    stored,
                    asked: target,
                });
            }
            Some(_) => {
                let before = answers(&tx, order.id)?;
                let more = Reach::named(order)
                    .without(&before)
                    .with_certificates(&tx, now)?;
                let fresh = more.carry_out(&tx, &order.reason, now)?;
                (Given::Again, before, fresh)
            }
            None => {
                tx.execute(
                    "INSERT INTO orders (id, target, reason, initiator, at) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![order.id.to_bytes(), target, order.reason, order.initiator, to_sql(now)],
                )?;
                let reach = Reach::of(&tx, order, now)?;
                (
                    Given::First,
                    Vec::new(),
                    reach.carry_out(&tx, &order.reason, now)?,
                )
            }
        };
        mark_list(&tx, order.id, &fresh)?;
        store_answers(&tx, order.id, revoked.len(), &fresh)?;
        for entry in &mut revoked {
            if entry.outcome == Outcome::Revoked {
                entry.outcome = Outcome::AlreadyRevoked;
            }
        }
        revoked.extend(fresh);
        let published_at = published_at(&tx, order.id)?;
        tx.commit()?;
        Ok(Answer {
            given,
            revoked,
            published_at,
            list: None,
        })
    }

    /// Whether an order was carried out here.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn knows_order(&self, id: OrderId) -> Result<bool, StoreError> {
        let found = self.lock().query_row(
            "SELECT EXISTS (SELECT 1 FROM orders WHERE id = ?1)",
            [id.to_bytes()],
            |row| row.get(0),
        );
        Ok(found?)
    }

    /// When the list that an order waits for was in place.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn order_published_at(&self, id: OrderId) -> Result<Option<UnixNs>, StoreError> {
        published_at(&self.lock(), id)
    }
}

/// Gives the list a new number when certificates were revoked; an order that
/// found them revoked before has been published with them.
fn mark_list(tx: &Transaction<'_>, id: OrderId, fresh: &[Revoked]) -> Result<(), StoreError> {
    let any = |outcome| {
        let mut entries = fresh.iter();
        entries.any(|entry| entry.serial.is_some() && entry.outcome == outcome)
    };
    if any(Outcome::Revoked) {
        tx.execute("UPDATE krl SET version = version + 1", [])?;
        tx.execute(
            "UPDATE orders SET published_at = NULL WHERE id = ?1",
            [id.to_bytes()],
        )?;
    } else if any(Outcome::AlreadyRevoked) {
        // The list that holds them is in place, or its publication is pending.
        tx.execute(
            "UPDATE orders SET published_at =
                (SELECT CASE WHEN published = version THEN published_at END FROM krl) WHERE id = ?1",
            [id.to_bytes()],
        )?;
    }
    Ok(())
}

/// The grants and serials that an order reaches.
#[derive(Debug, Default)]
struct Reach {
    grants: BTreeSet<GrantId>,
    serials: BTreeSet<u64>,
}

impl Reach {
    /// What the order names itself.
    fn named(order: &RevokeOrder) -> Self {
        let mut reach = Self {
            grants: BTreeSet::new(),
            serials: order.serials.iter().copied().collect(),
        };
        match &order.target {
            Target::Session(_) | Target::Host(_) => {
                reach.grants.extend(order.grants.iter().cloned());
            }
            Target::Grant(id) => reach.grants.extend([id.clone()]),
            Target::Serial(serial) => reach.serials.extend([*serial]),
            Target::Engineer(_) | Target::Tenant(_) => {}
        }
        reach
    }

    /// What it names, and what of the target is not over yet.
    fn of(tx: &Transaction<'_>, order: &RevokeOrder, now: UnixNs) -> Result<Self, StoreError> {
        let mut reach = Self::named(order);
        let (column, name) = match &order.target {
            Target::Engineer(id) => ("principal", id.as_str()),
            Target::Tenant(id) => ("tenant", id.as_str()),
            Target::Session(_) | Target::Grant(_) | Target::Serial(_) | Target::Host(_) => ("", ""),
        };
        if !column.is_empty() {
            let sql = format!("SELECT id FROM grants WHERE {column} = ?1 AND expires > ?2");
            let mut statement = tx.prepare_cached(&sql)?;
            let mut rows = statement.query(params![name, live_after(now)])?;
            while let Some(row) = rows.next()? {
                reach.grants.insert(grant_id(row, 0)?);
            }
        }
        reach.with_certificates(tx, now)
    }

    /// Adds the certificates of the grants that are not over yet.
    fn with_certificates(mut self, tx: &Transaction<'_>, now: UnixNs) -> Result<Self, StoreError> {
        let mut statement = tx.prepare_cached(
            "SELECT serial FROM certificates WHERE grant_id = ?1 AND expires > ?2",
        )?;
        for grant in &self.grants {
            let mut rows = statement.query(params![grant.as_str(), live_after(now)])?;
            while let Some(row) = rows.next()? {
                self.serials.insert(row.get::<_, i64>(0)?.cast_unsigned());
            }
        }
        Ok(self)
    }

    /// Leaves out what an earlier answer holds.
    fn without(mut self, before: &[Revoked]) -> Self {
        for entry in before {
            if let Some(serial) = entry.serial {
                self.serials.remove(&serial);
            }
            if let Some(grant) = &entry.grant {
                self.grants.remove(grant);
            }
        }
        self
    }

    fn carry_out(
        self,
        tx: &Transaction<'_>,
        reason: &str,
        now: UnixNs,
    ) -> Result<Vec<Revoked>, StoreError> {
        let mut entries = Vec::new();
        for serial in self.serials {
            entries.push(revoke_serial(tx, serial, now)?);
        }
        for grant in self.grants {
            let entry = end_grant(tx, &grant, reason, now)?;
            // A grant is told by its certificates where they tell as much.
            let told = entries.iter().any(|other| {
                other.grant.as_ref() == Some(&grant)
                    && (other.outcome == entry.outcome || other.outcome == Outcome::Revoked)
            });
            if !told {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

/// Ends grants and revokes their certificates.
pub(super) fn end_grants(
    tx: &Transaction<'_>,
    grants: BTreeSet<GrantId>,
    reason: &str,
    now: UnixNs,
) -> Result<Vec<Revoked>, StoreError> {
    let reach = Reach {
        grants,
        serials: BTreeSet::new(),
    };
    reach.with_certificates(tx, now)?.carry_out(tx, reason, now)
}

fn revoke_serial(tx: &Transaction<'_>, serial: u64, now: UnixNs) -> Result<Revoked, StoreError> {
    let unknown = Revoked {
        serial: Some(serial),
        grant: None,
        outcome: Outcome::NotFound,
        at: now,
    };
    let Ok(key) = i64::try_from(serial) else {
        return Ok(unknown);
    };
    let mut statement =
        tx.prepare_cached("SELECT grant_id, revoked_at FROM certificates WHERE serial = ?1")?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else {
        return Ok(unknown);
    };
    let grant = Some(grant_id(row, 0)?);
    if let Some(at) = row.get::<_, Option<i64>>(1)? {
        return Ok(Revoked {
            serial: Some(serial),
            grant,
            outcome: Outcome::AlreadyRevoked,
            at: from_sql(at),
        });
    }
    tx.execute(
        "UPDATE certificates SET revoked_at = ?2 WHERE serial = ?1",
        params![key, to_sql(now)],
    )?;
    Ok(Revoked {
        serial: Some(serial),
        grant,
        outcome: Outcome::Revoked,
        at: now,
    })
}

fn end_grant(
    tx: &Transaction<'_>,
    id: &GrantId,
    reason: &str,
    now: UnixNs,
) -> Result<Revoked, StoreError> {
    let entry = |outcome, at| Revoked {
        serial: None,
        grant: Some(id.clone()),
        outcome,
        at,
    };
    let ended: Option<Option<i64>> = tx
        .query_row(
            "SELECT ended_at FROM grants WHERE id = ?1",
            [id.as_str()],
            |row| row.get(0),
        )
        .optional()?;
    match ended {
        None => Ok(entry(Outcome::NotFound, now)),
        Some(Some(at)) => Ok(entry(Outcome::AlreadyRevoked, from_sql(at))),
        Some(None) => {
            tx.execute(
                "UPDATE grants SET ended_at = ?2, end_reason = ?3 WHERE id = ?1",
                params![id.as_str(), to_sql(now), reason],
            )?;
            Ok(entry(Outcome::Revoked, now))
        }
    }
}

fn grant_id(row: &Row<'_>, at: usize) -> Result<GrantId, StoreError> {
    let text: String = row.get(at)?;
    text.parse().map_err(|error| StoreError::Corrupt {
        what: format!("a grant's id: {error}"),
    })
}

fn published_at(connection: &Connection, id: OrderId) -> Result<Option<UnixNs>, StoreError> {
    let at = connection
        .query_row(
            "SELECT published_at FROM orders WHERE id = ?1",
            [id.to_bytes()],
            |row| row.get::<_, Option<i64>>(0),
        )
        .optional()?;
    Ok(at.flatten().map(from_sql))
}

fn answers(tx: &Transaction<'_>, id: OrderId) -> Result<Vec<Revoked>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT grant_id, serial, outcome, at FROM answers WHERE order_id = ?1 ORDER BY place",
    )?;
    let mut rows = statement.query([id.to_bytes()])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let outcome: String = row.get(2)?;
        entries.push(Revoked {
            serial: row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned),
            grant: row
                .get::<_, Option<String>>(0)?
                .map(|_| grant_id(row, 0))
                .transpose()?,
            outcome: outcome_of(&outcome)?,
            at: from_sql(row.get(3)?),
        });
    }
    Ok(entries)
}

fn store_answers(
    tx: &Transaction<'_>,
    id: OrderId,
    after: usize,
    entries: &[Revoked],
) -> Result<(), StoreError> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO answers (order_id, place, serial, grant_id, outcome, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (place, entry) in entries.iter().enumerate() {
        let Revoked {
            serial,
            grant,
            outcome,
            at,
        } = entry;
        statement.execute(params![
            id.to_bytes(),
            i64::try_from(after + place).unwrap_or(i64::MAX),
            serial.map(u64::cast_signed),
            grant.as_ref().map(GrantId::as_str),
            outcome.as_str(),
            to_sql(*at),
        ])?;
    }
    Ok(())
}

fn outcome_of(text: &str) -> Result<Outcome, StoreError> {
    [Outcome::Revoked, Outcome::AlreadyRevoked, Outcome::NotFound]
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| StoreError::Corrupt {
            what: format!("an answer with the outcome {text:?}"),
        })
}
