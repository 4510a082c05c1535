//! Grants, and what the collector knows of each.

use monitor_model::{
    clock::UnixNs,
    grant::{Grant, GrantState},
    id::GrantId,
};
use monitor_proto::v1;
use prost::Message as _;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::{Held, PENDING_MAX, Store, StoreError, from_sql, to_sql};

impl Store {
    /// Registers a grant; the same again is a success. One that the collector
    /// refused, and that therefore never opened anything, may come corrected.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::Ended`], or the database failed.
    pub fn put_grant(&self, grant: &Grant) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(held) = held(&tx, &grant.id)? {
            if let GrantState::Ended { reason, .. } = held.grant.state {
                return Err(StoreError::Ended {
                    id: grant.id.clone(),
                    reason,
                });
            }
            match difference(&held.grant, grant) {
                Some(field) if held.put_at.is_some() || held.refused.is_none() => {
                    return Err(StoreError::Conflict {
                        id: grant.id.clone(),
                        field,
                    });
                }
                _ => {}
            }
        }
        tx.execute(
            "INSERT INTO grants (id, principal, tenant, expires, body) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET principal = ?2, tenant = ?3, expires = ?4, body = ?5, refused = NULL",
            params![
                grant.id.as_str(),
                grant.principal.as_str(),
                grant.tenant.as_str(),
                to_sql(grant.expires),
                v1::Grant::from(grant).encode_to_vec(),
            ],
        )?;
        Ok(tx.commit()?)
    }

    /// One grant.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn grant(&self, id: &GrantId) -> Result<Option<Held>, StoreError> {
        held(&self.lock(), id)
    }

    /// The collector has the grant.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn confirm_put(&self, id: &GrantId, at: UnixNs) -> Result<(), StoreError> {
        self.lock().execute(
            "UPDATE grants SET put_at = coalesce(put_at, ?2), refused = NULL WHERE id = ?1",
            params![id.as_str(), to_sql(at)],
        )?;
        Ok(())
    }

    /// The collector will not have the grant as it is.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn refuse_put(&self, id: &GrantId, why: &str) -> Result<(), StoreError> {
        self.lock().execute(
            "UPDATE grants SET refused = ?2 WHERE id = ?1",
            params![id.as_str(), why],
        )?;
        Ok(())
    }

    /// The collector knows that the grant was ended.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn confirm_end(&self, id: &GrantId, at: UnixNs) -> Result<(), StoreError> {
        self.lock().execute(
            "UPDATE grants SET end_told_at = ?2 WHERE id = ?1",
            params![id.as_str(), to_sql(at)],
        )?;
        Ok(())
    }

    /// Grants of which the collector does not know all: at most [`PENDING_MAX`]
    /// of them, ends first. A grant that is over and never got there, or that
    /// the collector refused, needs no telling.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn pending(&self, now: UnixNs) -> Result<Vec<Held>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id FROM grants
             WHERE refused IS NULL AND (
                (ended_at IS NOT NULL AND end_told_at IS NULL)
                OR (put_at IS NULL AND ended_at IS NULL AND expires > ?1))
             ORDER BY ended_at IS NULL, id LIMIT ?2",
        )?;
        let ids = statement.query_map(params![to_sql(now), PENDING_MAX], |row| {
            row.get::<_, String>(0)
        })?;
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        ids.iter()
            .filter_map(|id| held_by_text(&connection, id).transpose())
            .collect()
    }
}

pub(super) fn held(connection: &Connection, id: &GrantId) -> Result<Option<Held>, StoreError> {
    held_by_text(connection, id.as_str())
}

fn held_by_text(connection: &Connection, id: &str) -> Result<Option<Held>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT * FROM grants WHERE id = ?1")?;
    let mut rows = statement.query_and_then([id], read_held)?;
    rows.next().transpose()
}

pub(super) fn read_held(row: &Row<'_>) -> Result<Held, StoreError> {
    let corrupt = |error: monitor_proto::InvalidMessage| StoreError::Corrupt {
        what: format!("a grant: {error}"),
    };
    let body: Vec<u8> = row.get("body")?;
    let message = v1::Grant::decode(body.as_slice()).map_err(|error| corrupt(error.into()))?;
    let mut grant = Grant::try_from(message).map_err(corrupt)?;
    if let Some(at) = row.get::<_, Option<i64>>("ended_at")? {
        let reason = row
            .get::<_, Option<String>>("end_reason")?
            .unwrap_or_default();
        grant.state = GrantState::Ended {
            at: from_sql(at),
            reason,
        };
    }
    Ok(Held {
        grant,
        put_at: row.get::<_, Option<i64>>("put_at")?.map(from_sql),
        refused: row.get("refused")?,
        end_told_at: row.get::<_, Option<i64>>("end_told_at")?.map(from_sql),
    })
}

/// The first field in which two grants of one id differ; the state is apart.
fn difference(old: &Grant, new: &Grant) -> Option<&'static str> {
    let Grant {
        id: _,
        principal,
        holder,
        tenant,
        ticket,
        task,
        purpose,
        approved_by,
        tier,
        kind,
        not_before,
        expires,
        scope,
        state: _,
        review: _,
    } = old;
    [
        (*principal != new.principal, "principal"),
        (*holder != new.holder, "holder"),
        (*tenant != new.tenant, "tenant"),
        (*ticket != new.ticket, "ticket"),
        (*task != new.task, "task"),
        (*purpose != new.purpose, "purpose"),
        (*approved_by != new.approved_by, "approved_by"),
        (*tier != new.tier, "tier"),
        (*kind != new.kind, "kind"),
        (*not_before != new.not_before, "not_before"),
        (*expires != new.expires, "expires"),
        (*scope != new.scope, "scope"),
    ]
    .into_iter()
    .find_map(|(differs, field)| differs.then_some(field))
}
