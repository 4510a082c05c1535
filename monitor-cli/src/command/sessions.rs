//! `sessions`: who is logged in where, for which client.

use monitor_model::{
    grant::Tier,
    session::{Credential, Session, SessionState},
};
use monitor_proto::v1::ListSessionsRequest;

use crate::{
    cli::Sessions,
    command::collect,
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, table::Cell},
};

const COLUMNS: [&str; 11] = [
    "OPENED",
    "SESSION",
    "ENGINEER",
    "TENANT",
    "TICKET",
    "TIER",
    "HOST",
    "ACCOUNT",
    "FROM",
    "CREDENTIAL",
    "STATE",
];

/// Lists sessions, newest first.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub async fn run(
    sessions: &Sessions,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let mut listing = Listing::new(screen, &COLUMNS);
    let mut paging = Paging::new(sessions.limit.limit);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListSessionsRequest {
            principal: super::text(sessions.principal.as_ref()),
            tenant: super::text(sessions.tenant.as_ref()),
            host: super::text(sessions.host.as_ref()),
            include_ended: sessions.all,
            page_size,
            page_token,
        };
        let answer = connection.sessions().list_sessions(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page: Vec<Session> = collect(answer.sessions)?;
        paging.fetched(&mut page, answer.next_page_token);
        listing.page(&page, row, |session| {
            Record::new("session").with("session", session)
        })?;
    }
    listing.end(if sessions.all {
        "no session yet"
    } else {
        "no live session; --all shows ended ones"
    })?;
    Ok(())
}

fn row(screen: &Screen, session: &Session) -> Vec<Cell> {
    vec![
        Cell::new(screen.moment(session.opened_at)),
        Cell::new(screen.id(&session.id)),
        Cell::maybe(session.principal.as_ref()),
        Cell::maybe(session.tenant.as_ref()),
        Cell::new(&session.ticket),
        Cell::maybe(session.tier.map(Tier::as_str)),
        Cell::new(session.host.as_str()),
        Cell::new(&session.account),
        Cell::maybe(session.peer),
        Cell::new(credential(screen, &session.credential)),
        state(screen, session),
    ]
}

pub(super) fn credential(screen: &Screen, credential: &Credential) -> String {
    match credential {
        Credential::SshCertificate { serial, key_id, .. } if screen.verbose => {
            format!("certificate {serial} ({key_id})")
        }
        Credential::SshCertificate { serial, .. } => format!("certificate {serial}"),
        Credential::SshKey { key_fingerprint } if screen.verbose => {
            format!("key {key_fingerprint}")
        }
        Credential::SshKey { .. } => "key".to_owned(),
        Credential::Other { method } if method.is_empty() => "unknown".to_owned(),
        Credential::Other { method } => method.clone(),
    }
}

fn state(screen: &Screen, session: &Session) -> Cell {
    if let Some(frozen) = &session.frozen
        && session.state != SessionState::Ended
    {
        let since = screen.moment(frozen.since);
        let by = screen.id(&frozen.order);
        return Cell::new(format!("frozen {since} by {by}")).tone(Tone::Bad);
    }
    match (session.state, session.ended_at) {
        (SessionState::Live, _) => Cell::new("live").tone(Tone::Good),
        (SessionState::Contained, _) => Cell::new("being ended").tone(Tone::Bad),
        (SessionState::Ended, Some(at)) => {
            Cell::new(format!("ended {}", screen.moment(at))).tone(Tone::Dim)
        }
        (SessionState::Ended, None) => Cell::new("ended").tone(Tone::Dim),
    }
}
