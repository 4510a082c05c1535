//! `complete`: whether everything of a session or a host is in the ledgers.

use monitor_model::{
    clock::{Clock as _, SystemClock, UnixNs},
    id::{BootId, InvalidId},
};
use monitor_proto::v1::{
    CoverageNote, GetCompletenessRequest, GetCompletenessResponse, StreamNumbers,
};
use serde::Serialize;

use crate::{
    cli::Complete,
    connection::{Connection, ask},
    error::CliError,
    output::{Screen, Tone, count, json::Record},
};

/// Numbers of one stream, as they are shown.
#[derive(Debug, Serialize)]
struct Numbers {
    boot: BootId,
    source: String,
    first: u64,
    last: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

impl Numbers {
    fn of(numbers: &StreamNumbers, cause: Option<String>) -> Result<Self, InvalidId> {
        Ok(Self {
            boot: BootId::from_slice(&numbers.boot)?,
            source: numbers.source.clone(),
            first: numbers.first,
            last: numbers.last,
            cause,
        })
    }
}

/// A time at which less was seen, as it is shown.
#[derive(Debug, Serialize)]
struct Note {
    at: UnixNs,
    boot: BootId,
    what: String,
}

impl Note {
    fn of(note: &CoverageNote) -> Result<Self, InvalidId> {
        let what = if note.impaired.is_empty() {
            "the probes were loaded anew; nothing watched before".to_owned()
        } else {
            let times = count(usize::try_from(note.times).unwrap_or(usize::MAX), "time");
            format!(
                "the kernel could not tell all: {}, at most {times}",
                note.impaired
            )
        };
        Ok(Self {
            at: UnixNs(note.at_unix_ns),
            boot: BootId::from_slice(&note.boot)?,
            what,
        })
    }
}

/// What is held, and what is not.
#[derive(Debug, Serialize)]
struct Completeness {
    complete: bool,
    host: String,
    since: UnixNs,
    until: UnixNs,
    known_to: UnixNs,
    streams: Vec<Numbers>,
    missing: Vec<Numbers>,
    notes: Vec<Note>,
    truncated: bool,
}

impl TryFrom<GetCompletenessResponse> for Completeness {
    type Error = InvalidId;

    fn try_from(answer: GetCompletenessResponse) -> Result<Self, InvalidId> {
        let GetCompletenessResponse {
            complete,
            host,
            from_unix_ns,
            to_unix_ns,
            known_to_unix_ns,
            streams,
            missing,
            notes,
            truncated,
        } = answer;
        let held = streams.iter().map(|numbers| Numbers::of(numbers, None));
        let missing = missing.into_iter().map(|missing| {
            let numbers = missing.numbers.unwrap_or_default();
            let cause = Some(missing.cause).filter(|cause| !cause.is_empty());
            Numbers::of(
                &numbers,
                Some(cause.unwrap_or_else(|| "unexplained".into())),
            )
        });
        Ok(Self {
            complete,
            host,
            since: UnixNs(from_unix_ns),
            until: UnixNs(to_unix_ns),
            known_to: UnixNs(known_to_unix_ns),
            streams: held.collect::<Result<_, _>>()?,
            missing: missing.collect::<Result<_, _>>()?,
            notes: notes.iter().map(Note::of).collect::<Result<_, _>>()?,
            truncated,
        })
    }
}

/// Says "complete", or what is missing.
///
/// # Errors
/// [`CliError::Incomplete`]; otherwise as the connection tells it.
pub async fn run(
    complete: &Complete,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let session = match &complete.session {
        Some(text) => connection.session(text).await?.to_bytes().to_vec(),
        None => Vec::new(),
    };
    let now = SystemClock.now();
    let request = GetCompletenessRequest {
        session,
        host: super::text(complete.host.as_ref()),
        from_unix_ns: complete.from.map_or(0, |from| from.instant(now).0),
        to_unix_ns: complete.to.map_or(0, |to| to.instant(now).0),
    };
    let answer = connection.evidence().get_completeness(ask(request)).await;
    let answer = answer.map_err(|status| connection.error(&status))?;
    let found = Completeness::try_from(answer.into_inner())?;
    if screen.is_table() {
        told(screen, &found)?;
    } else {
        screen.record(&Record::new("completeness").with("completeness", &found))?;
    }
    screen.flush()?;
    if found.complete {
        return Ok(());
    }
    Err(CliError::Incomplete { host: found.host })
}

fn told(screen: &mut Screen, found: &Completeness) -> Result<(), CliError> {
    let begin = if found.since == UnixNs(0) {
        "the first event".to_owned()
    } else {
        screen.moment(found.since)
    };
    let streams = count(found.streams.len(), "stream");
    let span = format!("{}, {begin} to {}", found.host, screen.moment(found.until));
    if found.complete {
        screen.line(Tone::Good, &format!("complete: {span}, {streams}"))?;
    } else {
        screen.line(Tone::Bad, &format!("not complete: {span}, {streams}"))?;
    }
    if found.streams.is_empty() {
        screen.line(Tone::Bad, "no event of that time is here")?;
    } else if found.known_to < found.until {
        let text = format!(
            "nothing newer than {} is here: the host was quiet since, or its agent is away",
            screen.moment(found.known_to)
        );
        screen.line(Tone::Doubtful, &text)?;
    }
    for missing in &found.missing {
        let cause = missing.cause.as_deref().unwrap_or_default();
        let text = format!(
            "missing: {}/{} {} to {}: {cause}",
            missing.boot, missing.source, missing.first, missing.last
        );
        screen.line(Tone::Bad, &text)?;
    }
    for note in &found.notes {
        let text = format!("{}: {}", screen.moment(note.at), note.what);
        screen.line(Tone::Doubtful, &text)?;
    }
    if found.truncated {
        screen.line(Tone::Bad, "there is more: ask for a shorter time")?;
    }
    Ok(())
}
