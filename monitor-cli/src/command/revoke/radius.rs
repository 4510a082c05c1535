//! The blast radius of a revocation: sessions, hosts, grants and certificates.

use std::collections::BTreeSet;

use monitor_model::{
    id::GrantId,
    revocation::{Mode, Order, Target},
};
use monitor_proto::v1::{ListGrantsRequest, RevokeRequest};

use super::read;
use crate::{
    cli::Revoke,
    command::grants,
    connection::{Connection, ask},
    error::CliError,
    output::{Screen, Tone, count, json::Record, table::Cell},
};

/// What is said of an order that one person cannot give alone.
pub(super) const SECOND_PERSON: &str =
    "it reaches more sessions than one person may cut off: a second person must approve it";

/// What an order reaches.
#[derive(Debug)]
pub struct Radius {
    order: Order,
    grants: BTreeSet<GrantId>,
}

impl Radius {
    /// Asks the collector what the order would reach, and does nothing.
    ///
    /// # Errors
    /// [`CliError`] as the connection tells it.
    pub async fn fetch(
        target: Target,
        revoke: &Revoke,
        connection: &Connection,
    ) -> Result<Self, CliError> {
        let request = RevokeRequest {
            dry_run: true,
            ..super::request(&target, revoke)?
        };
        let answer = connection.orders().revoke(ask(request)).await;
        let order = read(
            answer
                .map_err(|status| connection.error(&status))?
                .into_inner()
                .order,
        )?;
        let mut grants: BTreeSet<GrantId> = order
            .sessions
            .iter()
            .flat_map(|affected| affected.grants.iter().cloned())
            .collect();
        grants.extend(
            order
                .revoked
                .iter()
                .filter_map(|revoked| revoked.grant.clone()),
        );
        // Grants that nobody uses at the moment go as well.
        let mut filter = ListGrantsRequest::default();
        match &target {
            Target::Engineer(id) => filter.principal = id.to_string(),
            Target::Tenant(id) => filter.tenant = id.to_string(),
            Target::Grant(id) => _ = grants.insert(id.clone()),
            Target::Session(_) | Target::Serial(_) | Target::Host(_) => {}
        }
        if filter != ListGrantsRequest::default() {
            grants.extend(
                grants::all(connection, filter)
                    .await?
                    .into_iter()
                    .map(|grant| grant.id),
            );
        }
        Ok(Self { order, grants })
    }

    fn hosts(&self) -> BTreeSet<&str> {
        self.order
            .sessions
            .iter()
            .map(|affected| affected.host.as_str())
            .collect()
    }

    fn serials(&self) -> BTreeSet<u64> {
        let of_sessions = self
            .order
            .sessions
            .iter()
            .filter_map(|affected| affected.serial);
        let given = match self.order.target {
            Target::Serial(serial) => Some(serial),
            Target::Engineer(_)
            | Target::Session(_)
            | Target::Grant(_)
            | Target::Tenant(_)
            | Target::Host(_) => None,
        };
        of_sessions
            .chain(
                self.order
                    .revoked
                    .iter()
                    .filter_map(|revoked| revoked.serial),
            )
            .chain(given)
            .collect()
    }

    /// Whether it would be proposed only.
    #[must_use]
    pub fn needs_second_person(&self) -> bool {
        self.order.asks.is_some()
    }

    /// How much it is, in words.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "{} on {}, {} and {} in use",
            count(self.order.sessions.len(), "live session"),
            count(self.hosts().len(), "host"),
            count(self.grants.len(), "grant"),
            count(self.serials().len(), "certificate"),
        )
    }

    /// Shows all of it.
    ///
    /// # Errors
    /// As writing does.
    pub fn print(&self, screen: &mut Screen) -> Result<(), CliError> {
        if !screen.is_table() {
            let record = Record::new("blast_radius")
                .with("target", &self.order.target)
                .with("sessions", &self.order.sessions)
                .with("hosts", self.hosts())
                .with("grants", &self.grants)
                .with("serials", self.serials())
                .with("mode", self.order.mode)
                .with("needs_second_person", self.needs_second_person());
            return Ok(screen.record(&record)?);
        }
        let verb = match self.order.mode {
            Mode::Kill => "revoke",
            Mode::Freeze => "freeze",
        };
        let text = format!("would {verb} {}: {}", self.order.target, self.sentence());
        screen.line(Tone::Bold, &text)?;
        if self.needs_second_person() {
            screen.line(Tone::Doubtful, SECOND_PERSON)?;
        }
        let rows: Vec<Vec<Cell>> = self
            .order
            .sessions
            .iter()
            .map(|affected| {
                let grants: Vec<&str> = affected.grants.iter().map(GrantId::as_str).collect();
                vec![
                    Cell::new(screen.id(&affected.session)),
                    Cell::new(affected.host.as_str()),
                    Cell::maybe(affected.principal.as_ref()),
                    Cell::maybe(affected.serial),
                    Cell::new(grants.join(" ")),
                ]
            })
            .collect();
        screen.table(&["SESSION", "HOST", "ENGINEER", "SERIAL", "GRANTS"], &rows)?;
        let used: BTreeSet<&GrantId> = self
            .order
            .sessions
            .iter()
            .flat_map(|affected| &affected.grants)
            .collect();
        for grant in self.grants.iter().filter(|grant| !used.contains(grant)) {
            screen.line(Tone::Plain, &format!("grant {grant}, not in use"))?;
        }
        screen.line(Tone::Dim, "nothing was revoked: this was a dry run")?;
        Ok(())
    }
}
