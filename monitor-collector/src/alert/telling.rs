//! An alert as a sentence.
//!
//! "alice (acme, INC-4711, production, grant 01JG) read globex credential
//! /srv/globex/kubeconfig with cat on jump-3". Who may read one tenant's ledger
//! only gets a sentence that names no other tenant.

use std::{fmt::Write as _, time::Duration};

use monitor_model::{
    bytes::ByteText,
    event::{Action, Event},
    grant::{Grant, Tier},
    id::{GrantId, TenantId},
    sentence,
    tenant::Owner,
};

use crate::ledger::Entry;

/// What a session stands on, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The tenant.
    pub tenant: TenantId,
    /// The ticket.
    pub ticket: String,
    /// The tier.
    pub tier: Tier,
    /// The grant.
    pub grant: GrantId,
}

impl From<&Grant> for Standing {
    fn from(grant: &Grant) -> Self {
        Self {
            tenant: grant.tenant.clone(),
            ticket: grant.ticket.clone(),
            tier: grant.tier,
            grant: grant.id.clone(),
        }
    }
}

/// For whom a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Reads all ledgers.
    OfEverything,
    /// Reads the ledger that the event is in.
    OfLedger,
}

/// What a rule found beside the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What stands out over time; names no tenant.
    pub words: Option<String>,
    /// The tenants that it is about besides the event's.
    pub others: Vec<TenantId>,
    /// The tenants touched, where the rule counts them.
    pub tenants: Vec<TenantId>,
    /// Within which time.
    pub window: Duration,
}

/// Tells an alert.
#[must_use]
pub fn sentence(entry: &Entry, standing: Option<&Standing>, reader: Reader, told: &Told) -> String {
    let mut text = match (&told.words, &entry.judged.event.process) {
        // What a host tells of itself: nobody did it.
        (Some(words), None) => format!("{words} on {}", entry.judged.event.id.agent),
        (Some(words), Some(_)) => format!("{}; {words}", plain(entry, standing, reader)),
        (None, _) => plain(entry, standing, reader),
    };
    if reader == Reader::OfEverything && !told.others.is_empty() {
        _ = write!(text, ": {}", names(&told.others));
    }
    match (reader, told.tenants.len()) {
        (_, 0) => {}
        (Reader::OfLedger, _) => text.push_str("; other tenants' things were touched as well"),
        (Reader::OfEverything, count) => {
            let (names, seconds) = (names(&told.tenants), told.window.as_secs());
            _ = write!(text, "; {count} tenants within {seconds} s: {names}");
        }
    }
    text
}

fn names(tenants: &[TenantId]) -> String {
    let names: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
    names.join(", ")
}

fn plain(entry: &Entry, standing: Option<&Standing>, reader: Reader) -> String {
    let event = &entry.judged.event;
    if is_of_the_host(event) {
        return format!("{} on {}", sentence::what(event), event.id.agent);
    }
    let sees = |tenant: &TenantId| reader == Reader::OfEverything || *tenant == entry.ledger;
    let who = event
        .attribution
        .principal
        .as_ref()
        .map_or("somebody", |id| id.as_str());
    let aside = match (standing, &event.attribution.tenant) {
        (Some(standing), _) if sees(&standing.tenant) => format!(
            " ({}, {}, {}, grant {})",
            standing.tenant,
            ByteText::from(standing.ticket.as_str()),
            standing.tier,
            standing.grant
        ),
        (None, Some(tenant)) if sees(tenant) => format!(" ({tenant})"),
        (Some(_), _) | (None, Some(_)) => " (in a session of another tenant)".to_owned(),
        (None, None) => String::new(),
    };
    format!(
        "{who}{aside} {} on {}",
        deed(event, &entry.judged.judgement.owner, &sees),
        event.id.agent
    )
}

/// Whether a host tells it of itself.
const fn is_of_the_host(event: &Event) -> bool {
    matches!(
        event.action,
        Action::Gap { .. } | Action::Impaired { .. } | Action::AgentStarted { .. }
    )
}

/// What happened, with the owner of what it happened to.
fn deed(event: &Event, owner: &Owner, sees: &impl Fn(&TenantId) -> bool) -> String {
    let owner = match owner {
        Owner::Host => String::new(),
        Owner::Unknown => "unknown ".to_owned(),
        Owner::Tenant(id) if sees(id) => format!("{id} "),
        Owner::Ambiguous(ids) if ids.iter().all(sees) => sentence::whose(owner) + " ",
        Owner::Tenant(_) | Owner::Ambiguous(_) => "another tenant's ".to_owned(),
    };
    let with = event
        .process
        .as_ref()
        .and_then(|process| process.exe.as_ref());
    let with = with
        .map(|exe| format!(" with {}", exe.text.file_name()))
        .unwrap_or_default();
    let what = sentence::what(event);
    match &event.action {
        Action::Credential {
            object,
            operation,
            other,
            denied,
            ..
        } => {
            let (verb, to) = sentence::use_of(*operation, other.as_ref(), *denied);
            format!("{verb} {owner}credential {}{to}{with}", object.path)
        }
        Action::Connect { .. } => match what.split_once(" to ") {
            Some((verb, rest)) => format!("{verb} to {owner}{rest}"),
            None => what,
        },
        Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::LocalConnect { .. }
        | Action::Socket { .. }
        | Action::Memory { .. }
        | Action::Identity { .. }
        | Action::Signal { .. }
        | Action::Host { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => what,
    }
}
