//! A story for people, and its timeline in columns.

use monitor_model::id::AgentName;

use super::{
    steps::Step,
    story::{Destination, Reached, Story},
    uses::Touched,
};
use crate::{
    command::sessions::credential,
    error::CliError,
    output::{Listing, Screen, Tone, count, json::Record, short, table::Cell},
};

const TIMELINE: [&str; 8] = [
    "TIME", "HOST", "SESSION", "ENGINEER", "STEP", "WHAT", "VERDICT", "EVENT",
];
/// Uses of a credential that its row names.
const USES_SHOWN: usize = 3;

/// Writes the story: for people all of it, as CSV the timeline.
pub(super) fn print(story: &Story, screen: &mut Screen) -> Result<(), CliError> {
    if screen.is_csv() {
        let mut listing = Listing::new(screen, &TIMELINE);
        listing.page(&story.timeline, row, |_| Record::new("step"))?;
        return Ok(listing.end("")?);
    }
    headline(story, screen)?;
    for missing in &story.missing {
        screen.line(Tone::Doubtful, &format!("! {missing}"))?;
    }
    for step in &story.timeline {
        line(step, story, screen)?;
    }
    sessions(story, screen)?;
    credentials(&story.credentials, screen)?;
    tenants(&story.tenants, screen)?;
    destinations(&story.destinations, screen)?;
    Ok(screen.flush()?)
}

fn headline(story: &Story, screen: &mut Screen) -> Result<(), CliError> {
    let time = format!(
        " from {} to {}: ",
        screen.moment(story.since),
        screen.moment(story.until)
    );
    let what = format!(
        "{} on {}, {} and {} touched, of {}; {}, {}",
        count(story.sessions.len(), "session"),
        count(story.hosts.len(), "host"),
        count(story.credentials.len(), "credential"),
        count(story.destinations.len(), "destination"),
        owners(&story.tenants),
        count(story.alerts.len(), "alert"),
        count(story.orders.len(), "order"),
    );
    screen.parts(&[
        (Tone::Bold, story.engineer.to_string()),
        (Tone::Plain, time + &what),
    ])?;
    Ok(())
}

fn owners(tenants: &[Reached]) -> String {
    let names: Vec<&str> = tenants.iter().map(|one| one.owner.as_str()).collect();
    match names.as_slice() {
        [] => "nobody".to_owned(),
        names => names.join(", "),
    }
}

fn line(step: &Step, story: &Story, screen: &mut Screen) -> Result<(), CliError> {
    let host = step.host.as_ref().map_or("-", |host| host.as_str());
    let session = step
        .session
        .map_or_else(|| "-".to_owned(), |id| screen.id(&id));
    let other = step.principal.as_ref().filter(|id| **id != story.engineer);
    let other = other.map(|id| format!(" as {id}")).unwrap_or_default();
    let tone = if step.alarming {
        Tone::Bad
    } else {
        Tone::Plain
    };
    let verdict = match step.verdict.as_str() {
        "" => String::new(),
        verdict => format!("  {verdict}"),
    };
    let mut parts = vec![
        (Tone::Dim, screen.exact_moment(step.at) + "  "),
        (Tone::Plain, format!("{host}  {session}{other}  ")),
        (tone, step.what.clone()),
        (tone, verdict),
    ];
    if screen.verbose {
        let event = step.event.as_ref();
        let event = event.map(|id| format!("  [{id}]")).unwrap_or_default();
        parts.push((Tone::Dim, event));
    }
    Ok(screen.parts(&parts)?)
}

fn row(screen: &Screen, step: &Step) -> Vec<Cell> {
    vec![
        Cell::new(screen.moment(step.at)),
        Cell::maybe(step.host.as_ref()),
        Cell::maybe(step.session.map(|id| screen.id(&id))),
        Cell::maybe(step.principal.as_ref()),
        Cell::new(step.step.as_str()),
        Cell::new(&step.what),
        Cell::new(&step.verdict),
        Cell::maybe(step.event.as_ref()),
    ]
}

fn sessions(story: &Story, screen: &mut Screen) -> Result<(), CliError> {
    let rows: Vec<Vec<Cell>> = story
        .sessions
        .iter()
        .map(|told| {
            let session = &told.session;
            vec![
                Cell::new(screen.id(&session.id)),
                Cell::maybe(session.principal.as_ref()),
                Cell::new(session.host.as_str()),
                Cell::new(&session.account),
                Cell::maybe(session.tenant.as_ref()),
                Cell::new(screen.moment(session.opened_at)),
                Cell::maybe(session.ended_at.map(|at| screen.moment(at))),
                Cell::maybe(session.peer),
                Cell::new(credential(screen, &session.credential)),
                Cell::maybe(told.opened_from.map(|id| screen.id(&id))),
            ]
        })
        .collect();
    let columns = [
        "SESSION",
        "ENGINEER",
        "HOST",
        "ACCOUNT",
        "TENANT",
        "OPENED",
        "ENDED",
        "FROM",
        "CREDENTIAL",
        "OPENED FROM",
    ];
    Ok(screen.table(&columns, &rows)?)
}

fn credentials(credentials: &[Touched], screen: &mut Screen) -> Result<(), CliError> {
    let rows: Vec<Vec<Cell>> = credentials
        .iter()
        .map(|touched| {
            let verbs: Vec<&str> = touched
                .operations
                .iter()
                .map(|operation| operation.as_str())
                .collect();
            let tone = if touched.out_of_scope > 0 {
                Tone::Bad
            } else {
                Tone::Plain
            };
            let by: Vec<String> = touched
                .sessions
                .iter()
                .map(|id| short(&id.to_string()).to_owned())
                .collect();
            vec![
                Cell::new(touched.path.to_string()).tone(tone),
                Cell::new(&touched.class),
                Cell::maybe(touched.tenant.as_ref()),
                Cell::new(touched.host.as_str()),
                Cell::new(by.join(" ")),
                Cell::new(touched.times.to_string()),
                Cell::new(verbs.join(" ")),
                Cell::new(uses(touched)),
            ]
        })
        .collect();
    let columns = [
        "CREDENTIAL",
        "CLASS",
        "TENANT",
        "HOST",
        "SESSIONS",
        "TIMES",
        "WHAT",
        "USED BY",
    ];
    Ok(screen.table(&columns, &rows)?)
}

/// The surest uses: `to 10.20.0.5:443 of acme (same process); 2 more`.
fn uses(touched: &Touched) -> String {
    let shown = touched.uses.iter().take(USES_SHOWN);
    let mut parts: Vec<String> = shown
        .map(|used| {
            let grade = used.grade.as_str();
            format!("to {} of {} ({grade})", used.destination, used.owner)
        })
        .collect();
    let more = touched.uses.len().saturating_sub(USES_SHOWN) + touched.uses_more;
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    let logins = touched.logins.iter().map(ToString::to_string);
    parts.extend(logins.map(|id| format!("login {} with its key", short(&id))));
    parts.join("; ")
}

fn tenants(tenants: &[Reached], screen: &mut Screen) -> Result<(), CliError> {
    let rows: Vec<Vec<Cell>> = tenants
        .iter()
        .map(|reached| {
            vec![
                Cell::new(&reached.owner),
                Cell::new(reached.connections.to_string()),
                Cell::new(reached.credential_uses.to_string()),
                out(reached.out_of_scope),
                Cell::new(screen.moment(reached.first_at)),
                Cell::new(screen.moment(reached.last_at)),
            ]
        })
        .collect();
    let columns = [
        "WHOSE",
        "CONNECTIONS",
        "CREDENTIAL USES",
        "OUT OF SCOPE",
        "FIRST",
        "LAST",
    ];
    Ok(screen.table(&columns, &rows)?)
}

fn destinations(destinations: &[Destination], screen: &mut Screen) -> Result<(), CliError> {
    let rows: Vec<Vec<Cell>> = destinations
        .iter()
        .map(|reached| {
            let hosts: Vec<&str> = reached.hosts.iter().map(AgentName::as_str).collect();
            vec![
                Cell::new(&reached.address),
                Cell::new(&reached.owner),
                Cell::new(hosts.join(" ")),
                Cell::new(reached.times.to_string()),
                Cell::new(reached.denied.to_string()),
                out(reached.out_of_scope),
            ]
        })
        .collect();
    let columns = [
        "DESTINATION",
        "WHOSE",
        "FROM",
        "TIMES",
        "REFUSED",
        "OUT OF SCOPE",
    ];
    Ok(screen.table(&columns, &rows)?)
}

fn out(times: usize) -> Cell {
    let tone = if times > 0 { Tone::Bad } else { Tone::Plain };
    Cell::new(times.to_string()).tone(tone)
}
