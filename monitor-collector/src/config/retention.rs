//! How long a ledger keeps content, and what a legal hold keeps longer.

use std::{collections::BTreeMap, time::Duration};

use monitor_model::{
    event::Event,
    id::{PrincipalId, SessionId, TenantId},
};
use toml::Spanned;

use super::{
    check::{Wrong, parsed, wrong},
    raw,
};

/// Longest time that a ledger keeps content by a number: a hundred years.
pub const RETENTION_DAYS_MAX: u64 = 36_500;
/// Most legal holds.
pub const HOLDS_MAX: usize = 1_000;
/// Longest text of a contract or of a hold's reason in bytes.
pub const REASON_BYTES_MAX: usize = 256;

/// How long ledgers keep content, and what is held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// By tenant; one that is not among them keeps everything.
    pub tenants: BTreeMap<TenantId, Kept>,
    /// What is kept longer.
    pub holds: Vec<Hold>,
}

/// How long a tenant's ledger keeps content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// After an entry was stored.
    pub time: Duration,
    /// What the contract says of it, in words.
    pub contract: String,
}

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// In this tenant's ledger.
    pub tenant: TenantId,
    /// Why.
    pub reason: String,
    /// Of this principal; none for all.
    pub principal: Option<PrincipalId>,
    /// Of this session; none for all.
    pub session: Option<SessionId>,
}

impl Hold {
    /// Whether it keeps an event of a ledger.
    #[must_use]
    pub fn keeps(&self, ledger: &TenantId, event: &Event) -> bool {
        let who = &event.attribution;
        self.tenant == *ledger
            && (self.principal.is_none() || self.principal == who.principal)
            && (self.session.is_none() || self.session == who.session)
    }
}

impl Retention {
    /// Takes what a tenant's table says.
    pub(super) fn tenant(
        &mut self,
        tenant: &TenantId,
        days: Option<&Spanned<u64>>,
        contract: Option<Spanned<String>>,
    ) -> Result<(), Wrong> {
        let contract = contract
            .map(|text| short("tenant.contract", &text))
            .transpose()?;
        let Some(days) = days else {
            return Ok(());
        };
        if !(1..=RETENTION_DAYS_MAX).contains(days.get_ref()) {
            let wanted =
                format!("give 1 to {RETENTION_DAYS_MAX} days, or leave it out to keep everything");
            return Err(wrong("tenant.retention_days", days, &wanted));
        }
        let kept = Kept {
            time: Duration::from_secs(days.get_ref() * 86_400),
            contract: contract.unwrap_or_default(),
        };
        self.tenants.insert(tenant.clone(), kept);
        Ok(())
    }

    /// Takes a hold; its tenant must be one of those that are stated.
    pub(super) fn hold(
        &mut self,
        raw: raw::Hold,
        has: impl Fn(&TenantId) -> bool,
    ) -> Result<(), Wrong> {
        let raw::Hold {
            tenant,
            reason,
            principal,
            session,
        } = raw;
        if self.holds.len() >= HOLDS_MAX {
            let wanted = format!("more than {HOLDS_MAX} holds; hold a whole tenant");
            return Err(wrong("hold.tenant", &tenant, &wanted));
        }
        let id: TenantId = parsed("hold.tenant", &tenant, "not a tenant's id")?;
        if !has(&id) {
            return Err(wrong("hold.tenant", &tenant, "no [[tenant]] has this id"));
        }
        let name = |text: &Spanned<String>| {
            parsed(
                "hold.principal",
                text,
                "not a principal's name, as in alice",
            )
        };
        let of = |text: &Spanned<String>| {
            let wanted = "not a session's id of 26 characters: monitorctl sessions -v shows them";
            parsed("hold.session", text, wanted)
        };
        self.holds.push(Hold {
            tenant: id,
            reason: short("hold.reason", &reason)?,
            principal: principal.as_ref().map(name).transpose()?,
            session: session.as_ref().map(of).transpose()?,
        });
        Ok(())
    }
}

fn short(key: &'static str, text: &Spanned<String>) -> Result<String, Wrong> {
    let trimmed = text.get_ref().trim();
    if trimmed.is_empty() || trimmed.len() > REASON_BYTES_MAX {
        let wanted = format!("give 1 to {REASON_BYTES_MAX} bytes");
        return Err(wrong(key, text, &wanted));
    }
    Ok(trimmed.to_owned())
}
