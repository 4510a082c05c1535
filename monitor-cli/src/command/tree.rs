//! `sessions --tree`: what lives in each session, as a tree.
//!
//! The collector answers in pages; a tree needs all of it. Bound: what lives,
//! or `--limit` sessions.

use std::collections::HashSet;

use monitor_model::{
    bytes::PathLabel,
    event::{NoSession, Way},
    grant::Tier,
    id::GrantId,
    live::{Arguments, LiveProcess, LiveSession, Place, ProcessKey, forest, opened_from, tree},
    session::{Session, SessionState},
};
use monitor_proto::v1::ListProcessesRequest;
use serde::Serialize;

use super::sessions::credential;
use crate::{
    cli::Sessions,
    command::collect,
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{Listing, Screen, Tone, count, json::Record, note},
};

/// Indentation ends here; deeper ones stand below each other.
const INDENT_MAX: usize = 60;

/// Shows what lives.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub async fn run(
    asked: &Sessions,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let sessions = fetch(asked, connection).await?;
    let places = forest(&sessions);
    let shown = places
        .iter()
        .filter_map(|place| Some((place, sessions.get(place.index)?)));
    if !screen.is_table() {
        let mut listing = Listing::new(screen, &[]);
        let shown: Vec<_> = shown.collect();
        listing.page(
            &shown,
            |_, _| Vec::new(),
            |(place, live)| record(place, live),
        )?;
        return Ok(listing.end("")?);
    }
    for (place, live) in shown {
        show(screen, place.depth, live)?;
    }
    screen.flush()?;
    if sessions.is_empty() {
        note("no live session");
    }
    Ok(())
}

/// Every page; a session that goes on on the next one is put together.
async fn fetch(asked: &Sessions, connection: &Connection) -> Result<Vec<LiveSession>, CliError> {
    let limit = asked
        .limit
        .limit
        .and_then(|limit| usize::try_from(limit).ok());
    let mut sessions: Vec<LiveSession> = Vec::new();
    let mut paging = Paging::new(None);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListProcessesRequest {
            principal: super::text(asked.principal.as_ref()),
            tenant: super::text(asked.tenant.as_ref()),
            host: super::text(asked.host.as_ref()),
            page_size,
            page_token,
        };
        let answer = connection.processes().list_processes(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page: Vec<LiveSession> = collect(answer.sessions)?;
        paging.fetched(&mut page, answer.next_page_token);
        for live in page {
            match sessions.last_mut() {
                Some(last) if last.session.id == live.session.id => {
                    last.processes.extend(live.processes);
                }
                _ => sessions.push(live),
            }
        }
        if let Some(limit) = limit.filter(|limit| sessions.len() > *limit) {
            sessions.truncate(limit);
            break;
        }
    }
    Ok(sessions)
}

/// One process with its place below the session or job.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    process: &'a LiveProcess,
    depth: usize,
}

fn record(place: &Place, live: &LiveSession) -> Record {
    let parts = parts(live);
    let lines = parts.iter().flat_map(|(_, processes)| {
        let places = tree(processes).into_iter();
        places.filter_map(|place| {
            let process = processes.get(place.index)?;
            Some(Line {
                process,
                depth: place.depth,
            })
        })
    });
    Record::new("session_tree")
        .with("session", &live.session)
        .with("depth", place.depth)
        .with("within", opened_from(&live.session))
        .with("jobs", &live.jobs)
        .with("processes", lines.collect::<Vec<_>>())
        .with("missing", live.missing)
}

/// The session's own processes, then those of each job: the index of the job,
/// and its processes. What is of a job that is not known stands with the first.
fn parts(live: &LiveSession) -> Vec<(Option<usize>, Vec<LiveProcess>)> {
    let job = |process: &LiveProcess| live.jobs.iter().position(|job| Some(job.id) == process.job);
    let of = |part: Option<usize>| {
        let processes = live.processes.iter().filter(|process| job(process) == part);
        (part, processes.cloned().collect())
    };
    let jobs = (0..live.jobs.len()).map(Some);
    std::iter::once(None).chain(jobs).map(of).collect()
}

fn show(screen: &mut Screen, depth: usize, live: &LiveSession) -> Result<(), CliError> {
    headline(screen, depth, &live.session)?;
    let moment = |at| screen.moment(at);
    for missing in live.missing.sentences(moment) {
        let text = format!("{}! {missing}", indent(depth + 1));
        screen.line(Tone::Doubtful, &text)?;
    }
    if live.processes.is_empty() {
        let leader = live.session.leader_pid;
        let text = format!(
            "{}no process told of yet (opened by {leader})",
            indent(depth + 1)
        );
        screen.line(Tone::Dim, &text)?;
    }
    let alive: HashSet<ProcessKey> = live.processes.iter().map(|process| process.key).collect();
    for (job, processes) in parts(live) {
        let mut below = depth + 1;
        if let Some(job) = job.and_then(|job| live.jobs.get(job)) {
            let id = screen.id(&job.id);
            let since = screen.moment(job.started_at);
            let text = format!("{}job {id} since {since}: {}", indent(below), Way(&job.way));
            screen.line(Tone::Bold, &text)?;
            below += 1;
        }
        for place in tree(&processes) {
            if let Some(process) = processes.get(place.index) {
                let orphan = process.parent.filter(|parent| !alive.contains(parent));
                line(screen, below + place.depth, (process, live, orphan))?;
            }
        }
    }
    Ok(())
}

/// `session S2A1B0: alice for acme (INC-4711, production), ops on jump-1 ...`.
pub(super) fn headline(
    screen: &mut Screen,
    depth: usize,
    session: &Session,
) -> Result<(), CliError> {
    let who = session
        .principal
        .as_ref()
        .map_or("nobody known", |id| id.as_str());
    let tenant = session
        .tenant
        .as_ref()
        .map_or("no tenant", |id| id.as_str());
    let tier = session.tier.map_or("", Tier::as_str);
    let order = [session.ticket.as_str(), tier].into_iter();
    let order: Vec<_> = order.filter(|text| !text.is_empty()).collect();
    let order = match order.as_slice() {
        [] => String::new(),
        parts => format!(" ({})", parts.join(", ")),
    };
    let from = session
        .peer
        .map(|peer| format!(" from {peer}"))
        .unwrap_or_default();
    let grants: Vec<_> = session.grants.iter().map(GrantId::as_str).collect();
    let grants = match grants.as_slice() {
        [] => "no grant".to_owned(),
        [grant] => format!("grant {grant}"),
        grants => format!("grants {}", grants.join(", ")),
    };
    let head = format!(
        "{}session {}: {who} for {tenant}{order}",
        indent(depth),
        screen.id(&session.id)
    );
    let rest = format!(
        ", {} on {}{from} since {}, {grants}, {}; attribution {}",
        session.account,
        session.host,
        screen.moment(session.opened_at),
        credential(screen, &session.credential),
        session.binding.confidence(),
    );
    let (tone, state) = match (session.state, &session.frozen) {
        (SessionState::Live | SessionState::Contained, Some(frozen)) => {
            let since = screen.moment(frozen.since);
            (Tone::Bad, format!("; frozen since {since}"))
        }
        (SessionState::Live, None) => (Tone::Good, "; live".to_owned()),
        (SessionState::Contained, None) => (Tone::Bad, "; being ended".to_owned()),
        (SessionState::Ended, _) => (Tone::Doubtful, "; ended, its jobs live".to_owned()),
    };
    let way = match session.way.as_slice() {
        [] => String::new(),
        way => format!("; {}", Way(way)),
    };
    screen.parts(&[
        (Tone::Bold, head),
        (Tone::Plain, rest),
        (Tone::Doubtful, way),
        (tone, state),
    ])?;
    Ok(())
}

/// Number, start, program, arguments, and what is not plain about it; who made
/// it, where that one is gone.
fn line(
    screen: &mut Screen,
    depth: usize,
    (process, live, orphan): (&LiveProcess, &LiveSession, Option<ProcessKey>),
) -> Result<(), CliError> {
    let begin = format!(
        "{}{}  {}  ",
        indent(depth),
        process.key.pid,
        screen.moment(process.started_at)
    );
    let program = match (&process.exe, &process.script) {
        (None, _) => "(program not told)".to_owned(),
        (Some(exe), None) => exe.to_string(),
        (Some(exe), Some(script)) => format!("{exe} [{script}]"),
    };
    let (arguments, more) = arguments(process.exe.as_ref(), process.arguments.as_ref());
    let mut aside: Vec<String> = more;
    if process.forked {
        aside.push("its parent's program".to_owned());
    }
    if let Some(maker) = orphan {
        aside.push(format!("made by {}, which is gone", maker.pid));
    }
    let (tone, how) = how(process, live);
    let aside = match aside.as_slice() {
        [] => String::new(),
        aside => format!("  ({})", aside.join("; ")),
    };
    screen.parts(&[
        (Tone::Dim, begin),
        (Tone::Plain, program + &arguments),
        (Tone::Dim, aside),
        (tone, how),
    ])?;
    Ok(())
}

/// Everything after the program's own name, and what there is to say of it.
pub(super) fn arguments(
    exe: Option<&PathLabel>,
    arguments: Option<&Arguments>,
) -> (String, Vec<String>) {
    let Some(arguments) = arguments else {
        return (String::new(), vec!["arguments not told".to_owned()]);
    };
    let mut text = String::new();
    for argument in arguments.argv.iter().skip(1) {
        text.push(' ');
        text.push_str(&argument.to_string());
    }
    let mut more = Vec::new();
    let name = arguments.argv.first().filter(|name| {
        // A login shell has a dash before its name.
        let plain = name.0.strip_prefix(b"-").unwrap_or(&name.0);
        !exe.is_some_and(|exe| exe.text == **name || exe.text.file_name().0 == plain)
    });
    if let Some(name) = name {
        more.push(format!("called {name}"));
    }
    if arguments.truncated {
        text.push_str(" ...");
    }
    if let Ok(redacted @ 1..) = usize::try_from(arguments.redacted) {
        more.push(format!("{} removed", count(redacted, "secret")));
    }
    (text, more)
}

/// How it is the session's, where that is not plain.
fn how(process: &LiveProcess, live: &LiveSession) -> (Tone, String) {
    if process.reason == Some(NoSession::Ambiguous) && process.way != live.session.way {
        let text = format!("  steered, its work is nobody's: {}", Way(&process.way));
        return (Tone::Bad, text);
    }
    let is_told_above = process.job.is_some() || process.way == live.session.way;
    if process.way.is_empty() || is_told_above {
        return (Tone::Plain, String::new());
    }
    (
        Tone::Doubtful,
        format!("  by handover: {}", Way(&process.way)),
    )
}

pub(super) fn indent(depth: usize) -> String {
    "  ".repeat(depth.min(INDENT_MAX))
}
