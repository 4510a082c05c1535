//! `grants`: who may do what in which tenant, and until when.

use monitor_model::{
    clock::{Clock as _, SystemClock, UnixNs},
    grant::{Grant, GrantState, Holder, Life},
    id::GrantId,
};
use monitor_proto::v1::{ListGrantsRequest, ReviewGrantRequest};

use crate::{
    cli::{Grants, GrantsAction},
    command::collect,
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{Listing, Screen, Tone, json::Record, table::Cell},
};

mod unused;

const COLUMNS: [&str; 10] = [
    "GRANT",
    "ENGINEER",
    "TENANT",
    "TIER",
    "KIND",
    "TICKET",
    "STATE",
    "UNTIL",
    "APPROVED BY",
    "PURPOSE",
];

/// Lists grants by name.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub async fn run(
    grants: &Grants,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    if let Some(GrantsAction::Review { grant, note }) = &grants.action {
        return review(grant, note, connection, screen).await;
    }
    if grants.unused {
        return unused::run(grants, connection, screen).await;
    }
    let now = SystemClock.now();
    let mut listing = Listing::new(screen, &COLUMNS);
    let mut paging = Paging::new(grants.limit.limit);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListGrantsRequest {
            principal: super::text(grants.principal.as_ref()),
            tenant: super::text(grants.tenant.as_ref()),
            include_ended: grants.all,
            page_size,
            page_token,
        };
        let mut page = fetch(connection, request, &mut paging).await?;
        page.sort_by(|one, other| one.id.cmp(&other.id));
        listing.page(
            &page,
            |screen, grant| row(screen, grant, now),
            |grant| Record::new("grant").with("grant", grant),
        )?;
    }
    listing.end(if grants.all {
        "no grant yet"
    } else {
        "no grant that holds; --all shows ended ones"
    })?;
    Ok(())
}

/// Records a review, and shows the grant as it stands then.
async fn review(
    id: &GrantId,
    note: &str,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let request = ReviewGrantRequest {
        grant: id.to_string(),
        note: note.to_owned(),
    };
    let answer = connection.grants().review_grant(ask(request)).await;
    let answer = answer
        .map_err(|status| connection.error(&status))?
        .into_inner();
    let missing = || CliError::Answer("the grant did not come back".to_owned(), None);
    let grant: Grant = answer.grant.ok_or_else(missing)?.try_into()?;
    if screen.is_table() {
        let row = row(screen, &grant, SystemClock.now());
        screen.table(&COLUMNS, &[row])?;
    } else {
        screen.record(&Record::new("grant").with("grant", &grant))?;
    }
    screen.flush()?;
    Ok(())
}

/// Fetches every grant that fits.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub(crate) async fn all(
    connection: &Connection,
    request: ListGrantsRequest,
) -> Result<Vec<Grant>, CliError> {
    let mut grants = Vec::new();
    let mut paging = Paging::new(None);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListGrantsRequest {
            page_size,
            page_token,
            ..request.clone()
        };
        grants.extend(fetch(connection, request, &mut paging).await?);
    }
    Ok(grants)
}

async fn fetch(
    connection: &Connection,
    request: ListGrantsRequest,
    paging: &mut Paging,
) -> Result<Vec<Grant>, CliError> {
    let answer = connection.grants().list_grants(ask(request)).await;
    let answer = answer
        .map_err(|status| connection.error(&status))?
        .into_inner();
    let mut page: Vec<Grant> = collect(answer.grants)?;
    paging.fetched(&mut page, answer.next_page_token);
    Ok(page)
}

fn row(screen: &Screen, grant: &Grant, now: UnixNs) -> Vec<Cell> {
    let purpose = if screen.verbose {
        format!("{} [{}]", grant.purpose, scope(grant))
    } else {
        grant.purpose.clone()
    };
    vec![
        Cell::new(grant.id.as_str()),
        Cell::new(holder(grant)),
        Cell::new(grant.tenant.as_str()),
        Cell::new(grant.tier.as_str()),
        Cell::new(grant.kind.as_str()),
        Cell::new(&grant.ticket),
        state(screen, grant, now),
        Cell::new(screen.moment(grant.expires)),
        Cell::new(grant.approved_by.as_str()),
        Cell::new(purpose),
    ]
}

/// The principal, and what they are where it is not staff.
fn holder(grant: &Grant) -> String {
    match grant.holder {
        Holder::Staff => grant.principal.to_string(),
        other @ (Holder::Subcontractor | Holder::OnCall | Holder::Workload) => {
            format!("{} ({other})", grant.principal)
        }
    }
}

fn state(screen: &Screen, grant: &Grant, now: UnixNs) -> Cell {
    if grant.awaits_review() && !matches!(grant.life(now), Life::Alive | Life::NotStarted) {
        return Cell::new("over, review open").tone(Tone::Bad);
    }
    match (grant.life(now), &grant.state) {
        (Life::Alive, _) => Cell::new("holds").tone(Tone::Good),
        (Life::NotStarted, _) => {
            Cell::new(format!("from {}", screen.moment(grant.not_before))).tone(Tone::Doubtful)
        }
        (Life::Expired, _) => Cell::new("over").tone(Tone::Dim),
        (Life::Ended, GrantState::Ended { at, reason }) => {
            Cell::new(format!("ended {}: {reason}", screen.moment(*at))).tone(Tone::Bad)
        }
        (Life::Ended, GrantState::Standing) => Cell::new("ended").tone(Tone::Bad),
    }
}

/// What a grant opens, in words.
pub(crate) fn scope(grant: &Grant) -> String {
    let part = |name: &str, entries: Vec<String>| {
        if entries.is_empty() {
            format!("all {name}")
        } else {
            format!("{name} {}", entries.join(" "))
        }
    };
    let texts = |entries: &[String]| entries.to_vec();
    [
        part(
            "destinations",
            grant
                .scope
                .destinations
                .iter()
                .map(ToString::to_string)
                .collect(),
        ),
        part("credentials", texts(grant.scope.credentials.texts())),
        part("programs", texts(grant.scope.programs.texts())),
    ]
    .join(", ")
}
