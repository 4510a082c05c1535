//! Asks the collector for everything that a story is made of.
//!
//! Bound: [`SESSIONS_MAX`], [`EVENTS_MAX`], [`ALERTS_MAX`], [`ORDERS_MAX`],
//! [`OTHERS_MAX`]. Loss: what is beyond them, told in [`Material::missing`].

use std::collections::HashSet;

use monitor_model::{
    alert::Alert,
    clock::UnixNs,
    event::{Event, Kind},
    id::{AgentName, EventId, PrincipalId, SessionId},
    revocation::Order,
    sentence,
    session::Session,
    verdict::Judgement,
};
use monitor_proto::v1::{
    EventFilter, ListAlertsRequest, ListOrdersRequest, ListSessionsRequest, SearchOrder,
    SearchRequest,
};
use tonic::Code;

use super::story::concerned;
use crate::{
    command::{collect, search::Pages, tail::line},
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{count, time},
};

/// Most sessions that are looked at, the newest.
pub const SESSIONS_MAX: usize = 10_000;
/// Most events of a story, the earliest.
pub const EVENTS_MAX: usize = 100_000;
/// Most alerts that are looked at, the newest.
pub const ALERTS_MAX: usize = 10_000;
/// Most orders that are looked at, the newest.
pub const ORDERS_MAX: usize = 10_000;
/// Most sessions in another name whose events and alerts are asked for.
pub const OTHERS_MAX: usize = 100;
/// Most gaps that are told one by one.
pub const GAPS_MAX: usize = 100;

/// Whose story, and of which time.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The engineer or workload.
    pub engineer: PrincipalId,
    /// From this instant on.
    pub since: UnixNs,
    /// Before this one.
    pub until: UnixNs,
}

/// What a story is made of.
#[derive(Clone, Debug)]
pub struct Material {
    /// What was asked.
    pub asked: Asked,
    /// Sessions of everybody, in any order.
    pub sessions: Vec<Session>,
    /// Events of the engineer, and of sessions that were opened from theirs.
    pub events: Vec<(Event, Judgement)>,
    /// Alerts of the same.
    pub alerts: Vec<Alert>,
    /// Orders against anybody.
    pub orders: Vec<Order>,
    /// What may be missing, in words.
    pub missing: Vec<String>,
}

/// Asks for all of it.
///
/// # Errors
/// [`CliError`] as the connection tells it; who may not see orders gets none.
pub async fn material(asked: Asked, connection: &Connection) -> Result<Material, CliError> {
    let mut material = Material {
        asked: asked.clone(),
        sessions: Vec::new(),
        events: Vec::new(),
        alerts: Vec::new(),
        orders: Vec::new(),
        missing: Vec::new(),
    };
    sessions(connection, &mut material).await?;
    let told = concerned(&material.sessions, &asked);
    let hosts: HashSet<AgentName> = told.iter().map(|session| session.host.clone()).collect();
    let mut others: Vec<SessionId> = told
        .iter()
        .filter(|session| session.principal.as_ref() != Some(&asked.engineer))
        .map(|session| session.id)
        .collect();
    if others.len() > OTHERS_MAX {
        material.missing.push(format!(
            "{} in another name were opened from these; {OTHERS_MAX} of them are told",
            count(others.len(), "session")
        ));
        others.truncate(OTHERS_MAX);
    }
    events(connection, &mut material, &others).await?;
    gaps(connection, &mut material, &hosts).await?;
    let principal = ListAlertsRequest {
        principal: asked.engineer.to_string(),
        ..ListAlertsRequest::default()
    };
    let more = others.iter().map(|session| ListAlertsRequest {
        session: session.to_bytes().to_vec(),
        ..ListAlertsRequest::default()
    });
    for request in std::iter::once(principal).chain(more) {
        alerts(connection, &mut material, request).await?;
    }
    orders(connection, &mut material).await?;
    Ok(material)
}

async fn sessions(connection: &Connection, material: &mut Material) -> Result<(), CliError> {
    let mut paging = Paging::new(None);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListSessionsRequest {
            include_ended: true,
            page_size,
            page_token,
            ..ListSessionsRequest::default()
        };
        let answer = connection.sessions().list_sessions(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page: Vec<Session> = collect(answer.sessions)?;
        paging.fetched(&mut page, answer.next_page_token);
        material.sessions.extend(page);
        if material.sessions.len() >= SESSIONS_MAX && paging.next().is_some() {
            let text = format!("of all sessions, the newest {SESSIONS_MAX} were looked at");
            material.missing.push(text);
            break;
        }
    }
    Ok(())
}

async fn events(
    connection: &Connection,
    material: &mut Material,
    others: &[SessionId],
) -> Result<(), CliError> {
    // What ended says nothing that a story needs; what was made says who
    // descends from whom.
    let kinds = Kind::ALL.iter().filter(|kind| **kind != Kind::Exit);
    let of_engineer = EventFilter {
        principals: vec![material.asked.engineer.to_string()],
        kinds: kinds.map(ToString::to_string).collect(),
        ..EventFilter::default()
    };
    let of_others = EventFilter {
        principals: Vec::new(),
        sessions: others.iter().map(|id| id.to_bytes().to_vec()).collect(),
        ..of_engineer.clone()
    };
    let mut known: HashSet<EventId> = HashSet::new();
    let mut unreadable = 0;
    for filter in [Some(of_engineer), (!others.is_empty()).then_some(of_others)] {
        let Some(filter) = filter else { continue };
        let mut pages = Pages::new(request(&material.asked, filter), None);
        while let Some(page) = pages.next(connection).await? {
            for judged in &page {
                match line::read(judged) {
                    Ok((event, judgement)) if known.insert(event.id.clone()) => {
                        material.events.push((event, judgement));
                    }
                    Ok(_) => {}
                    Err(_) => unreadable += 1,
                }
            }
            if material.events.len() >= EVENTS_MAX && pages.goes_on() {
                let text = format!("there are more events than {EVENTS_MAX}: the first are told");
                material.missing.push(text);
                break;
            }
        }
    }
    if unreadable > 0 {
        material.missing.push(format!(
            "{} cannot be read: is monitorctl as new as the collector?",
            count(unreadable, "event")
        ));
    }
    Ok(())
}

fn request(asked: &Asked, filter: EventFilter) -> SearchRequest {
    SearchRequest {
        filter: Some(filter),
        from_unix_ns: asked.since.0,
        to_unix_ns: asked.until.0,
        order: SearchOrder::OldestFirst.into(),
        ..SearchRequest::default()
    }
}

/// What the hosts of the story lost in that time.
async fn gaps(
    connection: &Connection,
    material: &mut Material,
    hosts: &HashSet<AgentName>,
) -> Result<(), CliError> {
    if hosts.is_empty() {
        return Ok(());
    }
    let filter = EventFilter {
        hosts: hosts.iter().map(ToString::to_string).collect(),
        kinds: [Kind::Gap, Kind::Impaired]
            .map(|kind| kind.to_string())
            .to_vec(),
        ..EventFilter::default()
    };
    let mut pages = Pages::new(request(&material.asked, filter), None);
    let mut told = 0;
    while let Some(page) = pages.next(connection).await? {
        for judged in &page {
            let Ok((event, _)) = line::read(judged) else {
                continue;
            };
            told += 1;
            if told > GAPS_MAX {
                let text = format!("more than {GAPS_MAX} gaps on these hosts");
                material.missing.push(text);
                return Ok(());
            }
            let at = time::rfc3339(event.at).unwrap_or_default();
            let what = sentence::what(&event);
            material
                .missing
                .push(format!("{at} on {}: {what}", event.id.agent));
        }
    }
    Ok(())
}

async fn alerts(
    connection: &Connection,
    material: &mut Material,
    request: ListAlertsRequest,
) -> Result<(), CliError> {
    let mut paging = Paging::new(None);
    let mut looked_at = 0;
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListAlertsRequest {
            page_size,
            page_token,
            ..request.clone()
        };
        let answer = connection.alerts().list_alerts(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page: Vec<Alert> = collect(answer.alerts)?;
        paging.fetched(&mut page, answer.next_page_token);
        looked_at += page.len();
        for alert in page {
            if !material.alerts.iter().any(|known| known.id == alert.id) {
                material.alerts.push(alert);
            }
        }
        if looked_at >= ALERTS_MAX && paging.next().is_some() {
            let text = format!("of the alerts, the newest {ALERTS_MAX} were looked at");
            material.missing.push(text);
            break;
        }
    }
    Ok(())
}

async fn orders(connection: &Connection, material: &mut Material) -> Result<(), CliError> {
    let mut paging = Paging::new(None);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListOrdersRequest {
            page_size,
            page_token,
            states: Vec::new(),
        };
        let answer = match connection.orders().list_orders(ask(request)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == Code::PermissionDenied => {
                let text = "what was revoked is not shown to this certificate's role";
                material.missing.push(text.to_owned());
                return Ok(());
            }
            Err(status) => return Err(connection.error(&status)),
        };
        let mut page: Vec<Order> = collect(answer.orders)?;
        paging.fetched(&mut page, answer.next_page_token);
        material.orders.extend(page);
        if material.orders.len() >= ORDERS_MAX && paging.next().is_some() {
            let text = format!("of all orders, the newest {ORDERS_MAX} were looked at");
            material.missing.push(text);
            break;
        }
    }
    Ok(())
}
