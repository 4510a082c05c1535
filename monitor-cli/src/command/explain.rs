//! `explain`: why an event was attributed and judged as it was.

use monitor_model::{
    alert::Alert,
    event::{Attribution, Event, Fact, Process},
    grant::Grant,
    id::EventId,
    sentence,
    verdict::{Considered, Judgement, OutReason, Verdict},
};
use monitor_proto::v1::{ExplainRequest, JudgedEvent, ListGrantsRequest};

use super::{alerts, collect, grants};
use crate::{
    connection::{Connection, ask},
    error::CliError,
    output::{
        Screen, Tone,
        json::{Record, hex},
        note,
        table::Cell,
        time::rfc3339,
    },
};

mod evidence;

/// Everything that is known of one event.
struct Explained {
    event: Event,
    judgement: Judgement,
    stored: JudgedEvent,
    attribution: String,
    verdict: String,
    alerts: Vec<Alert>,
    rules: Vec<String>,
}

/// Explains one event.
///
/// # Errors
/// [`CliError::NotFound`] when no ledger holds it, else as the connection tells it.
pub async fn run(
    id: &EventId,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let answer = connection
        .events()
        .explain(ask(ExplainRequest {
            id: Some(id.into()),
        }))
        .await;
    let answer = answer
        .map_err(|status| connection.error(&status))?
        .into_inner();
    let stored = answer
        .event
        .ok_or_else(|| CliError::NotFound(format!("no ledger holds the event {id}")))?;
    let missing = || CliError::Answer("the event came without its judgement".to_owned(), None);
    let explained = Explained {
        event: monitor_proto::decode_event(&stored.event)?,
        judgement: stored.judgement.clone().ok_or_else(missing)?.try_into()?,
        stored,
        attribution: answer.attribution_sentence,
        verdict: answer.verdict_sentence,
        alerts: collect(answer.alerts)?,
        rules: answer.matching_rules,
    };
    if screen.is_table() {
        let grants = details(&explained, connection).await;
        print(&explained, &grants, screen)?;
    } else {
        screen.record(&record(&explained))?;
    }
    screen.flush()?;
    Ok(())
}

/// The grants that were looked at, for their tenants and tickets; the
/// judgement stands without them.
async fn details(explained: &Explained, connection: &Connection) -> Vec<Grant> {
    if explained.judgement.considered.is_empty() {
        return Vec::new();
    }
    let principal = super::text(explained.event.attribution.principal.as_ref());
    let request = ListGrantsRequest {
        principal,
        include_ended: true,
        ..ListGrantsRequest::default()
    };
    match grants::all(connection, request).await {
        Ok(grants) => grants,
        Err(error) => {
            note(&format!("grants are shown by name only: {error}"));
            Vec::new()
        }
    }
}

fn record(explained: &Explained) -> Record {
    Record::new("explanation")
        .with("event", &explained.event)
        .with("judgement", &explained.judgement)
        .with("position", explained.stored.position)
        .with("tenant_ledger", &explained.judgement.ledger)
        .with("hash", hex(&explained.stored.hash))
        .with_time(
            "stored_at",
            monitor_model::clock::UnixNs(explained.stored.stored_at_unix_ns),
        )
        .with("what", sentence::what(&explained.event))
        .with("attribution_text", &explained.attribution)
        .with("verdict_text", &explained.verdict)
        .with("matching_rules", &explained.rules)
        .with("alerts", &explained.alerts)
}

fn print(explained: &Explained, grants: &[Grant], screen: &mut Screen) -> Result<(), CliError> {
    let Explained {
        event, judgement, ..
    } = explained;
    screen.line(Tone::Bold, &sentence::what(event))?;
    let mut rows = facts(explained);
    rows.extend(evidence::rows(&event.action));
    rows.extend(event.process.as_ref().map(process).unwrap_or_default());
    rows.extend(attribution(&explained.attribution, &event.attribution));
    rows.push(("target of".to_owned(), sentence::whose(&judgement.owner)));
    if let Some(custodian) = &judgement.custodian {
        rows.push(("answers for it".to_owned(), custodian.to_string()));
    }
    let facts = judgement.facts.iter().map(|fact| fact.as_str().to_owned());
    rows.extend(facts.map(|fact| ("stands out".to_owned(), fact)));
    let rows: Vec<Vec<Cell>> = rows
        .into_iter()
        .map(|(name, text)| vec![Cell::new(name), Cell::new(text)])
        .collect();
    screen.table(&["FACT", ""], &rows)?;
    print_grants(judgement, grants, screen)?;
    screen.parts(&[
        (Tone::Bold, "verdict: ".to_owned()),
        (
            super::tail::line::tone(&judgement.verdict),
            explained.verdict.clone(),
        ),
        (Tone::Dim, format!(" (policy {})", judgement.policy_version)),
    ])?;
    let rules = match explained.rules.as_slice() {
        [] => "rules that match: none".to_owned(),
        rules => format!("rules that match: {}", rules.join(", ")),
    };
    screen.line(Tone::Plain, &rules)?;
    let told = standing_out(event);
    if !told.is_empty() {
        screen.line(Tone::Plain, &format!("stands out: {}", told.join(", ")))?;
    }
    if explained.alerts.is_empty() {
        screen.line(Tone::Dim, "no alert")?;
    }
    for alert in &explained.alerts {
        screen.parts(&[
            (
                alerts::tone(alert.severity),
                format!("ALERT {}", alert.severity),
            ),
            (
                Tone::Plain,
                format!(
                    " {} [{}] {}",
                    alert.sentence,
                    alert.rule,
                    alerts::response(alert)
                ),
            ),
        ])?;
    }
    Ok(())
}

/// What stands out in the event itself, by the names that rules use.
fn standing_out(event: &Event) -> Vec<&'static str> {
    let found = monitor_model::event::facts(event);
    found.into_iter().map(Fact::as_str).collect()
}

fn facts(explained: &Explained) -> Vec<(String, String)> {
    let Explained {
        event,
        judgement,
        stored,
        ..
    } = explained;
    let at = rfc3339(event.at).unwrap_or_default();
    vec![
        ("event".into(), event.id.to_string()),
        ("time".into(), at),
        ("kind".into(), event.action.kind().to_string()),
        (
            "ledger".into(),
            format!(
                "{}, position {}, hash {}",
                judgement.ledger,
                stored.position,
                hex(&stored.hash)
            ),
        ),
    ]
}

fn process(process: &Process) -> Vec<(String, String)> {
    let exe = process
        .exe
        .as_ref()
        .map_or_else(|| "an executable not known".to_owned(), ToString::to_string);
    let login = process
        .login_uid
        .map_or_else(|| "unset".to_owned(), |uid| uid.to_string());
    vec![
        (
            "process".into(),
            format!(
                "{} of {}: {exe} (calls itself {})",
                process.pid, process.parent_pid, process.comm
            ),
        ),
        (
            "users".into(),
            format!(
                "uid {}, effective {}, login {login}",
                process.uid, process.euid
            ),
        ),
        (
            "namespaces".into(),
            format!(
                "net {}, mount {}, pid {}, cgroup {}",
                process.net_ns, process.mount_ns, process.pid_ns, process.cgroup_id
            ),
        ),
    ]
}

fn attribution(sentence: &str, attribution: &Attribution) -> Vec<(String, String)> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    vec![
        ("attributed".into(), sentence.to_owned()),
        (
            "session".into(),
            format!(
                "{} of {} for {}",
                text(attribution.session.map(|id| id.to_string())),
                text(attribution.principal.as_ref().map(ToString::to_string)),
                text(attribution.tenant.as_ref().map(ToString::to_string)),
            ),
        ),
    ]
}

fn print_grants(
    judgement: &Judgement,
    grants: &[Grant],
    screen: &mut Screen,
) -> Result<(), CliError> {
    if judgement.considered.is_empty() {
        return Ok(screen.line(Tone::Dim, "no grant was looked at")?);
    }
    let decided = match &judgement.verdict {
        Verdict::InScope { grant } => Some(grant),
        Verdict::OutOfScope { grant, .. } => grant.as_ref(),
        Verdict::Unattributed { .. } | Verdict::Exempt { .. } => None,
    };
    let rows: Vec<Vec<Cell>> = judgement
        .considered
        .iter()
        .map(|considered| {
            let mark = if decided == Some(&considered.grant) {
                "yes"
            } else {
                ""
            };
            let known = grants.iter().find(|grant| grant.id == considered.grant);
            vec![
                Cell::new(considered.grant.as_str()),
                Cell::maybe(known.map(|grant| &grant.tenant)),
                Cell::maybe(known.map(|grant| grant.tier)),
                Cell::maybe(known.map(|grant| &grant.ticket)),
                against(considered),
                Cell::new(mark).tone(Tone::Bold),
            ]
        })
        .collect();
    screen.table(
        &["GRANT", "TENANT", "TIER", "TICKET", "AGAINST IT", "DECIDED"],
        &rows,
    )?;
    Ok(())
}

fn against(considered: &Considered) -> Cell {
    match considered.against {
        None => Cell::new("nothing: it covers the access").tone(Tone::Good),
        Some(reason) => Cell::new(match reason {
            OutReason::UnknownDestination => "the destination is in nobody's zone",
            OutReason::AmbiguousDestination => "the destination is in several tenants' zones",
            OutReason::AmbiguousCredential => {
                "inventory and watch list give the credential to different tenants"
            }
            OutReason::ProviderOwned => {
                "the target is the provider's, and it is not of the provider"
            }
            OutReason::WrongTenant => "it is of another tenant",
            OutReason::NoGrant => "it is not known",
            OutReason::Revoked => "it was ended",
            OutReason::Expired => "it is over",
            OutReason::NotStarted => "it has not begun",
            OutReason::WrongTier => "it is of another tier",
            OutReason::NotGranted => "it does not list the target",
        })
        .tone(Tone::Bad),
    }
}
