//! `alerts`: verdicts that somebody must act on.

use monitor_model::alert::{Alert, Response, Severity};
use monitor_proto::v1::{self, ListAlertsRequest};

use crate::{
    cli::Alerts,
    command::collect,
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, short, table::Cell},
};

const COLUMNS: [&str; 7] = [
    "TIME", "SEVERITY", "SESSION", "RULE", "COUNT", "RESPONSE", "WHAT",
];

/// Lists alerts, newest first.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub async fn run(
    alerts: &Alerts,
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
        Cell::new(alert.severity.as_str()).tone(tone(alert.severity)),
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
    match (alert.response, alert.order) {
        (Response::Notify, _) => "notify".to_owned(),
        (Response::Revoke, Some(order)) => format!("revoke, order {}", short(&order.to_string())),
        (Response::Revoke, None) => "revoke".to_owned(),
    }
}
