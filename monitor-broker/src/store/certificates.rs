//! Certificates, and the list of those that are revoked.

use monitor_model::{
    clock::UnixNs,
    grant::Grant,
    id::{GrantId, PrincipalId},
};
use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::{
    Held, Issued, ListState, Store, StoreError, from_sql,
    grants::{held, read_held},
    live_after, to_sql,
};
use crate::{ca::Signed, krl::SerialSet};

impl Store {
    /// Allocates the next serial and records the certificate in one
    /// transaction; `sign` makes it in between. When it fails no serial is used.
    ///
    /// # Errors
    /// What `sign` returned, or the database failed.
    pub fn issue<E: From<StoreError>>(
        &self,
        (id, also): (&GrantId, &[GrantId]),
        now: UnixNs,
        sign: impl FnOnce(Option<Held>, Vec<Option<Held>>, u64) -> Result<Signed, E>,
    ) -> Result<(Issued, Signed), E> {
        let mut connection = self.lock();
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let tx = begun.map_err(StoreError::from)?;
        let serial = serial_last(&tx)? + 1;
        let also = also.iter().map(|id| held(&tx, id));
        let also = also.collect::<Result<_, _>>()?;
        let signed = sign(held(&tx, id)?, also, serial)?;
        let issued = Issued {
            serial,
            grant: id.clone(),
            key_id: signed.key_id.clone(),
            expires: signed.expires,
            revoked_at: None,
        };
        tx.execute(
            "INSERT INTO certificates (serial, grant_id, key_id, key_fingerprint, issued_at, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                serial.cast_signed(),
                id.as_str(),
                signed.key_id,
                signed.key_fingerprint,
                to_sql(now),
                to_sql(signed.expires),
            ],
        )
        .map_err(StoreError::from)?;
        tx.commit().map_err(StoreError::from)?;
        Ok((issued, signed))
    }

    /// Everything a principal holds or held.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn describe(
        &self,
        principal: &PrincipalId,
    ) -> Result<(Vec<Grant>, Vec<Issued>), StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT * FROM grants WHERE principal = ?1 ORDER BY id")?;
        let rows = statement.query_and_then([principal.as_str()], read_held)?;
        let grants = rows
            .map(|held| held.map(|held| held.grant))
            .collect::<Result<Vec<_>, _>>()?;
        let mut statement = connection.prepare_cached(
            "SELECT * FROM certificates
             WHERE grant_id IN (SELECT id FROM grants WHERE principal = ?1) ORDER BY serial",
        )?;
        let rows = statement.query_and_then([principal.as_str()], read_issued)?;
        Ok((grants, rows.collect::<Result<_, _>>()?))
    }

    /// The list as it should be at an instant: expired serials are left out.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn list_state(&self, now: UnixNs) -> Result<ListState, StoreError> {
        let connection = self.lock();
        let (version, published) =
            connection.query_row("SELECT version, published FROM krl", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })?;
        let mut statement = connection.prepare_cached(
            "SELECT serial FROM certificates WHERE revoked_at IS NOT NULL AND expires > ?1",
        )?;
        let rows = statement.query_map([live_after(now)], |row| row.get::<_, i64>(0))?;
        let serials = rows
            .map(|serial| serial.map(i64::cast_unsigned))
            .collect::<Result<SerialSet, _>>()?;
        Ok(ListState {
            version: version.cast_unsigned(),
            is_published: published == version,
            serials,
            serial_last: serial_last(&connection)?,
        })
    }

    /// The number of the list that was put in place last, and when; none before
    /// the first.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn list_in_place(&self) -> Result<Option<(u64, UnixNs)>, StoreError> {
        let found =
            self.lock()
                .query_row("SELECT published, published_at FROM krl", [], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
                })?;
        let (number, at) = found;
        Ok(at.map(|at| (number.cast_unsigned(), from_sql(at))))
    }

    /// Gives the list a new number, above `floor`: it is to be written again.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn renumber_list(&self, floor: u64) -> Result<(), StoreError> {
        self.lock().execute(
            "UPDATE krl SET version = max(version, ?1) + 1",
            [floor.cast_signed()],
        )?;
        Ok(())
    }

    /// A list of this number is in place: orders that waited for it are answered.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn confirm_list(&self, version: u64, at: UnixNs) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = tx.execute(
            "UPDATE krl SET published = ?1, published_at = ?2 WHERE version = ?1",
            params![version.cast_signed(), to_sql(at)],
        )?;
        if changed == 1 {
            tx.execute(
                "UPDATE orders SET published_at = ?1 WHERE published_at IS NULL AND EXISTS (
                    SELECT 1 FROM answers WHERE order_id = orders.id AND serial IS NOT NULL AND outcome <> 'not_found')",
                [to_sql(at)],
            )?;
        }
        Ok(tx.commit()?)
    }
}

fn serial_last(connection: &Connection) -> Result<u64, StoreError> {
    let last: Option<i64> =
        connection.query_row("SELECT max(serial) FROM certificates", [], |row| row.get(0))?;
    Ok(last.unwrap_or(0).cast_unsigned())
}

fn read_issued(row: &Row<'_>) -> Result<Issued, StoreError> {
    let grant: String = row.get("grant_id")?;
    Ok(Issued {
        serial: row.get::<_, i64>("serial")?.cast_unsigned(),
        grant: grant.parse().map_err(|error| StoreError::Corrupt {
            what: format!("a certificate: {error}"),
        })?,
        key_id: row.get("key_id")?,
        expires: from_sql(row.get("expires")?),
        revoked_at: row.get::<_, Option<i64>>("revoked_at")?.map(from_sql),
    })
}
