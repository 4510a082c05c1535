//! `alerts`: verdicts that somebody must act on, and what people do with them.

use monitor_model::alert::{Alert, AlertState, AlertStep, Severity};
use monitor_proto::v1::{self, GetAlertRequest, HandleAlertRequest, ListAlertsRequest};

use crate::{
    cli::{Alerts, AlertsCommand, AlertsHandle, AlertsList},
    command::collect,
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, short, table::Cell},
};

const COLUMNS: [&str; 9] = [
    "TIME", "ALERT", "SEVERITY", "STATE", "SESSION", "RULE", "COUNT", "RESPONSE", "WHAT",
];

/// Lists alerts, shows one, takes or closes one.
///
/// # Errors
/// [`CliError`] as the connection tells it; [`CliError::NotFound`] when there
/// is no such alert.
pub async fn run(
    alerts: &Alerts,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    match &alerts.command {
        None => list(&alerts.list, connection, screen).await,
        Some(AlertsCommand::List(which)) => list(which, connection, screen).await,
        Some(AlertsCommand::Show { alert }) => show(alert, connection, screen).await,
        Some(AlertsCommand::Ack(handle)) => {
            act(handle, AlertState::Acknowledged, connection, screen).await
        }
        Some(AlertsCommand::Close(handle)) => {
            act(handle, AlertState::Closed, connection, screen).await
        }
    }
}

async fn show(text: &str, connection: &Connection, screen: &mut Screen) -> Result<(), CliError> {
    let id = connection.alert(text).await?.to_bytes().to_vec();
    let answer = connection
        .alerts()
        .get_alert(ask(GetAlertRequest { id }))
        .await;
    let answer = answer.map_err(|status| connection.error(&status))?;
    print(answer.into_inner().alert, screen)
}

async fn act(
    handle: &AlertsHandle,
    state: AlertState,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let request = HandleAlertRequest {
        id: connection.alert(&handle.alert).await?.to_bytes().to_vec(),
        state: v1::AlertState::from(state).into(),
        note: handle.note.clone(),
    };
    let answer = connection.alerts().handle_alert(ask(request)).await;
    let answer = answer.map_err(|status| connection.error(&status))?;
    print(answer.into_inner().alert, screen)
}

/// One alert in full.
fn print(alert: Option<v1::Alert>, screen: &mut Screen) -> Result<(), CliError> {
    let missing = || CliError::Answer("the answer came without the alert".to_owned(), None);
    let alert = Alert::try_from(alert.ok_or_else(missing)?)?;
    if screen.is_table() {
        in_full(&alert, screen)?;
    } else {
        screen.record(&Record::new("alert").with("alert", &alert))?;
    }
    screen.flush()?;
    Ok(())
}

fn in_full(alert: &Alert, screen: &mut Screen) -> Result<(), CliError> {
    screen.parts(&[
        (tone(alert.severity), format!("ALERT {}", alert.severity)),
        (Tone::Plain, format!(" {}", alert.sentence)),
    ])?;
    let join = |names: Vec<String>| names.join(", ");
    let technique = match alert.technique.as_str() {
        "" => String::new(),
        technique => format!("{technique} (ATT&CK v{})", alert.attack_version),
    };
    let mut facts = vec![
        ("alert", alert.id.to_string()),
        ("state", alert.state.to_string()),
        ("raised", screen.moment(alert.at)),
        (
            "rule",
            format!("{} {}: {}", alert.rule, alert.rule_version, alert.title),
        ),
        ("technique", technique),
        ("controls", alert.controls.join("; ")),
        ("answer", response(alert)),
        ("times", alert.count.to_string()),
        ("ledger", alert.ledger.to_string()),
        (
            "tenants",
            join(alert.tenants.iter().map(ToString::to_string).collect()),
        ),
    ];
    facts.extend(alert.events.iter().map(|id| ("event", id.to_string())));
    facts.retain(|(_, text)| !text.is_empty());
    let rows: Vec<Vec<Cell>> = facts
        .into_iter()
        .map(|(name, text)| vec![Cell::new(name), Cell::new(text)])
        .collect();
    screen.table(&["FACT", ""], &rows)?;
    if alert.steps.is_empty() {
        return Ok(screen.line(Tone::Dim, "nobody has taken it")?);
    }
    let rows: Vec<Vec<Cell>> = alert
        .steps
        .iter()
        .map(|step| step_row(step, screen))
        .collect();
    screen.table(&["WHEN", "STATE", "WHO", "NOTE"], &rows)?;
    Ok(())
}

fn step_row(step: &AlertStep, screen: &Screen) -> Vec<Cell> {
    vec![
        Cell::new(screen.moment(step.at)),
        Cell::new(step.state.as_str()),
        Cell::new(&step.author),
        Cell::new(&step.note),
    ]
}

/// Lists alerts, newest first.
async fn list(
    alerts: &AlertsList,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let session = match &alerts.session {
        Some(text) => connection.session(text).await?.to_bytes().to_vec(),
        None => Vec::new(),
    };
    let severity_min = alerts
        .severity
        .map(v1::Severity::from)
        .unwrap_or_default()
        .into();
    let mut listing = Listing::new(screen, &COLUMNS);
    let mut paging = Paging::new(alerts.limit.limit);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListAlertsRequest {
            principal: super::text(alerts.principal.as_ref()),
            tenant: super::text(alerts.tenant.as_ref()),
            session: session.clone(),
            severity_min,
            states: alerts
                .state
                .iter()
                .map(|state| v1::AlertState::from(*state).into())
                .collect(),
            page_size,
            page_token,
        };
        let answer = connection.alerts().list_alerts(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page: Vec<Alert> = collect(answer.alerts)?;
        paging.fetched(&mut page, answer.next_page_token);
        listing.page(&page, row, |alert| {
            Record::new("alert").with("alert", alert)
        })?;
    }
    listing.end("no such alert")?;
    Ok(())
}

fn row(screen: &Screen, alert: &Alert) -> Vec<Cell> {
    let what = if screen.verbose {
        format!("{} [event {}]", alert.sentence, alert.event)
    } else {
        alert.sentence.clone()
    };
    vec![
        Cell::new(screen.moment(alert.at)),
        Cell::new(screen.id(&alert.id)),
        Cell::new(alert.severity.as_str()).tone(tone(alert.severity)),
        Cell::new(alert.state.as_str()),
        Cell::maybe(alert.session.map(|session| screen.id(&session))),
        Cell::new(&alert.rule),
        Cell::new(alert.count.to_string()),
        Cell::new(response(alert)),
        Cell::new(what),
    ]
}

/// How a severity looks.
pub(crate) const fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Low => Tone::Plain,
        Severity::Medium => Tone::Doubtful,
        Severity::High | Severity::Critical => Tone::Bad,
    }
}

/// What policy answered, and by which order.
pub(crate) fn response(alert: &Alert) -> String {
    let would = if alert.observed { "would " } else { "" };
    let response = alert.response.as_str();
    match alert.order {
        Some(order) => format!("{would}{response}, order {}", short(&order.to_string())),
        None => format!("{would}{response}"),
    }
}
