//! One item of the stream as a line for people or a record for programs.

use monitor_model::{
    alert::Alert,
    clock::{Clock as _, SystemClock, UnixNs},
    event::{Action, Event},
    sentence,
    tenant::Owner,
    verdict::{ExemptReason, Judgement, Verdict},
};
use monitor_proto::{
    InvalidMessage,
    v1::{Heartbeat, JudgedEvent, SubscribeResponse, subscribe_response::Item},
};

use crate::{
    command::alerts,
    error::CliError,
    output::{
        Screen, Tone,
        json::{Record, hex},
        short, time,
    },
};

/// Columns that engineers' and tenants' names usually fill.
const NAME_WIDTH: usize = 10;
const TENANT_WIDTH: usize = 14;

/// Prints items.
#[derive(Debug)]
pub struct Printer<'a> {
    screen: &'a mut Screen,
    heartbeats: bool,
    dirty: bool,
}

impl<'a> Printer<'a> {
    /// A printer on this screen.
    #[must_use]
    pub fn new(screen: &'a mut Screen, heartbeats: bool) -> Self {
        Self {
            screen,
            heartbeats,
            dirty: false,
        }
    }

    /// Whether something printed has not gone out yet.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Sends what is printed on its way.
    ///
    /// # Errors
    /// [`CliError::Output`] when nobody takes it.
    pub fn flush(&mut self) -> Result<(), CliError> {
        self.dirty = false;
        Ok(self.screen.flush()?)
    }

    /// Prints one item; gives the reason back when it is the collector's cut.
    ///
    /// # Errors
    /// [`CliError::Output`] when it cannot be written.
    pub fn item(&mut self, response: &SubscribeResponse) -> Result<Option<String>, CliError> {
        let cursor = response.cursor.as_str();
        match &response.item {
            Some(Item::Event(judged)) => self.judged(judged, cursor)?,
            Some(Item::Alert(alert)) => match Alert::try_from(alert.clone()) {
                Ok(alert) => self.alert(&alert, cursor)?,
                Err(error) => self.unreadable("alert", &error.to_string(), cursor)?,
            },
            Some(Item::Heartbeat(heartbeat)) => self.heartbeat(heartbeat, cursor)?,
            Some(Item::Cut(cut)) => {
                if !self.screen.is_table() {
                    let record = Record::new("cut")
                        .with("cursor", cursor)
                        .with("reason", &cut.reason);
                    self.record(&record)?;
                }
                return Ok(Some(cut.reason.clone()));
            }
            None => self.unreadable("item", "its type is not known", cursor)?,
        }
        Ok(None)
    }

    /// Prints one event.
    ///
    /// # Errors
    /// [`CliError::Output`] when it cannot be written.
    pub(crate) fn judged(&mut self, judged: &JudgedEvent, cursor: &str) -> Result<(), CliError> {
        if !self.screen.is_table() {
            return self.record(&record(judged, Some(cursor)));
        }
        match read(judged) {
            Ok((event, judgement)) => self.line(&event, &judgement),
            Err(error) => self.unreadable(&place(judged), &error.to_string(), cursor),
        }
    }

    fn line(&mut self, event: &Event, judgement: &Judgement) -> Result<(), CliError> {
        let attribution = &event.attribution;
        let mut parts = vec![
            (
                Tone::Dim,
                time::local(event.at, SystemClock.now(), &self.screen.zone) + "  ",
            ),
            (
                Tone::Bold,
                pad(
                    &principal(event).unwrap_or_else(|| "-".to_owned()),
                    NAME_WIDTH,
                ),
            ),
            (
                Tone::Dim,
                pad(
                    &attribution
                        .session
                        .map_or_else(|| "-".to_owned(), |id| short(&id.to_string()).to_owned()),
                    6,
                ),
            ),
            (Tone::Plain, pad(&tenant(event, judgement), TENANT_WIDTH)),
            (
                what_tone(&event.action),
                format!("{} on {}", sentence::what(event), event.id.agent),
            ),
        ];
        if !is_lifecycle(&judgement.verdict) {
            parts.push((tone(&judgement.verdict), format!("  {judgement}")));
        }
        if self.screen.verbose {
            parts.push((Tone::Dim, format!("  [{}]", event.id)));
        }
        self.dirty = true;
        Ok(self.screen.parts(&parts)?)
    }

    fn alert(&mut self, alert: &Alert, cursor: &str) -> Result<(), CliError> {
        if !self.screen.is_table() {
            return self.record(
                &Record::new("alert")
                    .with("cursor", cursor)
                    .with("alert", alert),
            );
        }
        let mut parts = vec![
            (
                Tone::Dim,
                time::local(alert.at, SystemClock.now(), &self.screen.zone) + "  ",
            ),
            (
                alerts::tone(alert.severity),
                format!("ALERT {}", alert.severity),
            ),
            (Tone::Bold, format!("  {}", alert.sentence)),
            (
                Tone::Plain,
                format!("  [{}] {}", alert.rule, alerts::response(alert)),
            ),
        ];
        if alert.count > 1 {
            parts.push((Tone::Dim, format!(" ({} like it)", alert.count)));
        }
        self.dirty = true;
        Ok(self.screen.parts(&parts)?)
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat, cursor: &str) -> Result<(), CliError> {
        if !self.heartbeats {
            return Ok(());
        }
        let at = UnixNs(heartbeat.at_unix_ns);
        if self.screen.is_table() {
            let heads: Vec<String> = heartbeat
                .heads
                .iter()
                .map(|head| format!("{} {}", head.tenant, head.position))
                .collect();
            let now = time::local(at, SystemClock.now(), &self.screen.zone);
            self.dirty = true;
            return Ok(self.screen.line(
                Tone::Dim,
                &format!("{now}  nothing new; ledgers: {}", heads.join(", ")),
            )?);
        }
        let heads: Vec<serde_json::Value> = heartbeat
            .heads
            .iter()
            .map(|head| {
                serde_json::json!({"tenant": head.tenant, "position": head.position, "hash": hex(&head.hash)})
            })
            .collect();
        self.record(
            &Record::new("heartbeat")
                .with("cursor", cursor)
                .with_time("at", at)
                .with("heads", heads),
        )
    }

    fn unreadable(&mut self, what: &str, error: &str, cursor: &str) -> Result<(), CliError> {
        if !self.screen.is_table() {
            return self.record(&unreadable(what, error, Some(cursor)));
        }
        self.dirty = true;
        let text =
            format!("{what} cannot be read: {error}; is monitorctl as new as the collector?");
        Ok(self.screen.line(Tone::Doubtful, &text)?)
    }

    fn record(&mut self, record: &Record) -> Result<(), CliError> {
        self.dirty = true;
        Ok(self.screen.record(record)?)
    }
}

/// An event and its judgement, read.
///
/// # Errors
/// [`InvalidMessage`] when they are of a newer collector or agent.
pub(crate) fn read(judged: &JudgedEvent) -> Result<(Event, Judgement), InvalidMessage> {
    let event = monitor_proto::decode_event(&judged.event)?;
    let judgement = judged.judgement.clone().unwrap_or_default().try_into()?;
    Ok((event, judgement))
}

/// The record of an event; of one that cannot be read, that it cannot.
pub(crate) fn record(judged: &JudgedEvent, cursor: Option<&str>) -> Record {
    match read(judged) {
        Ok((event, judgement)) => Record::new("event")
            .with("cursor", cursor)
            .with("position", judged.position)
            .with("tenant_ledger", &judgement.ledger)
            .with("hash", hex(&judged.hash))
            .with_time("stored_at", UnixNs(judged.stored_at_unix_ns))
            .with("what", sentence::what(&event))
            .with("verdict_text", judgement.to_string())
            .with("event", event)
            .with("judgement", judgement),
        Err(error) => unreadable(&place(judged), &error.to_string(), cursor),
    }
}

fn unreadable(what: &str, error: &str, cursor: Option<&str>) -> Record {
    Record::new("unreadable")
        .with("cursor", cursor)
        .with("item", what)
        .with("error", error)
}

fn place(judged: &JudgedEvent) -> String {
    format!("event at position {}", judged.position)
}

/// How a verdict looks.
pub(crate) const fn tone(verdict: &Verdict) -> Tone {
    match verdict {
        Verdict::InScope { .. } => Tone::Good,
        Verdict::OutOfScope { .. } => Tone::Bad,
        Verdict::Unattributed { .. } => Tone::Doubtful,
        Verdict::Exempt { .. } => Tone::Dim,
    }
}

fn what_tone(action: &Action) -> Tone {
    match action {
        Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::Memory { .. }
        | Action::Signal { .. }
        | Action::Host { .. } => Tone::Doubtful,
        Action::LoginRefused { .. } | Action::Contained { .. } | Action::Order { .. } => Tone::Bad,
        Action::Fork { .. } | Action::Exit { .. } => Tone::Dim,
        Action::Exec { .. }
        | Action::Connect { .. }
        | Action::Credential { .. }
        | Action::LocalConnect { .. }
        | Action::Socket { .. }
        | Action::Identity { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::AgentStarted { .. }
        | Action::Read { .. }
        | Action::Removed { .. } => Tone::Plain,
    }
}

/// Whether there was nothing to judge.
const fn is_lifecycle(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Exempt {
            reason: ExemptReason::Lifecycle
        }
    )
}

/// Who acted; of a refused login, whom the certificate names.
pub(crate) fn principal(event: &Event) -> Option<String> {
    let known = event.attribution.principal.as_ref();
    if let Action::LoginRefused { principal, .. } = &event.action {
        return known.or(principal.as_ref()).map(ToString::to_string);
    }
    known.map(ToString::to_string)
}

/// The session's tenant, and the target's when it is another.
pub(crate) fn tenant(event: &Event, judgement: &Judgement) -> String {
    let session = event.attribution.tenant.as_ref();
    match (&judgement.owner, session) {
        (Owner::Tenant(owner), Some(session)) if owner == session => session.to_string(),
        (Owner::Host, Some(session)) => session.to_string(),
        (Owner::Host, None) => "-".to_owned(),
        (Owner::Unknown, Some(session)) if matches!(judgement.verdict, Verdict::Exempt { .. }) => {
            session.to_string()
        }
        (Owner::Unknown, None) if matches!(judgement.verdict, Verdict::Exempt { .. }) => {
            "-".to_owned()
        }
        (owner, Some(session)) => format!("{session} -> {}", sentence::whose(owner)),
        (owner, None) => format!("- -> {}", sentence::whose(owner)),
    }
}

fn pad(text: &str, width: usize) -> String {
    format!("{text:<width$}  ")
}
