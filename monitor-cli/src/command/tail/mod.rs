//! `tail`: events as they happen.
//!
//! In: the collector's stream, and a cursor. Out: one line or record an item.
//! Bound: one item at a time; a reader who is slow slows the stream, and the
//! collector cuts it with a cursor. Loss: none; after a drop the stream goes
//! on at the cursor, and the last items may come twice.

use std::time::Duration;

use monitor_model::clock::{Clock as _, SystemClock};
use monitor_proto::v1::{EventFilter, Severity, SubscribeRequest, SubscribeResponse};
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Request, Status, Streaming};

use crate::{
    cli::Tail,
    connection::{Connection, is_transient, status_text},
    error::CliError,
    output::{Screen, note},
};

pub mod cursor;
pub mod line;

use cursor::CursorFile;
use line::Printer;

/// First wait before a lost connection is tried again.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// Longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Longest time that a printed item stays out of the cursor file.
const CURSOR_DELAY: Duration = Duration::from_millis(100);

/// Shows events until the end is reached, Ctrl-C is pressed or the reader of
/// standard output goes.
///
/// # Errors
/// [`CliError`] for whatever trying again does not mend.
pub async fn run(
    tail: &Tail,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let mut request = request(tail, connection, screen.verbose).await?;
    let mut place = Place::open(tail)?;
    let mut printer = Printer::new(screen, tail.heartbeats);
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    let mut link = Link::default();
    let outcome = loop {
        request.cursor.clone_from(&place.cursor);
        let end = tokio::select! {
            _ = &mut stop => break Ok(()),
            end = stream(&request, connection, &mut place, (&mut printer, &mut link)) => end,
        };
        match end {
            Ok(End::Complete) => break Ok(()),
            Ok(End::Broken(cause)) => link.lost(connection.address(), &cause),
            Ok(End::Cut(reason)) => {
                note(&format!(
                    "the collector cut this reader off ({reason}); going on at the cursor"
                ));
            }
            Err(error) => break Err(error),
        }
        tokio::select! {
            _ = &mut stop => break Ok(()),
            () = sleep(link.wait()) => {}
        }
    };
    // What is written but not read by anybody must not count as seen.
    printer.flush()?;
    place.save()?;
    outcome
}

/// How one stream ended.
enum End {
    /// At the newest event, as asked.
    Complete,
    /// By accident.
    Broken(String),
    /// By the collector, since this reader is too slow.
    Cut(String),
}

/// Reads one stream to its end.
async fn stream(
    request: &SubscribeRequest,
    connection: &Connection,
    place: &mut Place,
    (printer, link): (&mut Printer<'_>, &mut Link),
) -> Result<End, CliError> {
    let mut items = match connection
        .events()
        .subscribe(Request::new(request.clone()))
        .await
    {
        Ok(answer) => answer.into_inner(),
        Err(status) => return broken(&status, connection, link, place),
    };
    link.regained(&place.cursor);
    loop {
        let item = match next(&mut items, place, printer).await? {
            Ok(Some(item)) => item,
            Ok(None) if request.until_now => return Ok(End::Complete),
            Ok(None) => return Ok(End::Broken("the collector ended the stream".to_owned())),
            Err(status) => return broken(&status, connection, link, place),
        };
        let cut = printer.item(&item)?;
        link.alive();
        place.passed(item.cursor);
        if let Some(reason) = cut {
            return Ok(End::Cut(reason));
        }
    }
}

/// The next item. While none is there, what was printed goes out and the
/// cursor file follows it.
async fn next(
    items: &mut Streaming<SubscribeResponse>,
    place: &mut Place,
    printer: &mut Printer<'_>,
) -> Result<Result<Option<SubscribeResponse>, Status>, CliError> {
    loop {
        tokio::select! {
            biased;
            item = items.message() => {
                if place.is_due() {
                    printer.flush()?;
                    place.save()?;
                }
                return Ok(item);
            }
            () = std::future::ready(()), if printer.is_dirty() => printer.flush()?,
            () = sleep_until(place.due.unwrap_or_else(Instant::now)), if place.due.is_some() => place.save()?,
        }
    }
}

fn broken(
    status: &Status,
    connection: &Connection,
    link: &Link,
    place: &Place,
) -> Result<End, CliError> {
    if is_transient(status) && link.was_up {
        return Ok(End::Broken(status_text(status)));
    }
    match (connection.error(status), &place.file) {
        (CliError::Answer(text, None), Some(file))
            if status.code() == tonic::Code::InvalidArgument =>
        {
            let hint = format!(
                "if it is about the cursor: remove {} to begin anew",
                file.path().display()
            );
            Err(CliError::Answer(text, Some(hint)))
        }
        (error, _) => Err(error),
    }
}

async fn request(
    tail: &Tail,
    connection: &Connection,
    everything: bool,
) -> Result<SubscribeRequest, CliError> {
    let filter = EventFilter {
        least_severity: tail.severity.map(Severity::from).unwrap_or_default().into(),
        ..super::filter::of(&tail.events, connection, everything).await?
    };
    let since = tail.since.map(|since| since.instant(SystemClock.now()).0);
    Ok(SubscribeRequest {
        filter: Some(filter),
        cursor: String::new(),
        from_start: tail.from_start,
        until_now: tail.until_now,
        include_alerts: tail.alerts,
        from_unix_ns: since.unwrap_or(0),
        mask: None,
    })
}

/// How far the stream was printed.
struct Place {
    cursor: String,
    file: Option<CursorFile>,
    due: Option<Instant>,
}

impl Place {
    fn open(tail: &Tail) -> Result<Self, CliError> {
        let file = tail.cursor_file.clone().map(CursorFile::new);
        let cursor = file
            .as_ref()
            .map(CursorFile::load)
            .transpose()?
            .flatten()
            .unwrap_or_default();
        Ok(Self {
            cursor,
            file,
            due: None,
        })
    }

    /// An item was printed.
    fn passed(&mut self, cursor: String) {
        if cursor.is_empty() || cursor == self.cursor {
            return;
        }
        self.cursor = cursor;
        if self.file.is_some() && self.due.is_none() {
            self.due = Some(Instant::now() + CURSOR_DELAY);
        }
    }

    fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    fn save(&mut self) -> Result<(), CliError> {
        if let (Some(file), Some(_)) = (&self.file, self.due.take()) {
            file.save(&self.cursor)?;
        }
        Ok(())
    }
}

/// The connection's ups and downs, each told once.
#[derive(Default)]
struct Link {
    was_up: bool,
    is_down: bool,
    failures: u32,
}

impl Link {
    fn lost(&mut self, address: &str, cause: &str) {
        if !self.is_down {
            note(&format!(
                "lost the connection to {address} ({cause}); trying again"
            ));
        }
        self.is_down = true;
    }

    fn regained(&mut self, cursor: &str) {
        if self.is_down {
            note(match cursor {
                "" => {
                    "connected again; what happened in between is not shown, since no cursor had come yet"
                }
                _ => "connected again; going on where it stopped",
            });
        }
        self.is_down = false;
        self.was_up = true;
    }

    fn alive(&mut self) {
        self.failures = 0;
    }

    /// The wait before the next try: doubled each time, and spread, so that
    /// many readers do not come back at once.
    fn wait(&mut self) -> Duration {
        use std::hash::{BuildHasher as _, RandomState};
        let longest = RETRY_MIN
            .saturating_mul(1 << self.failures.min(16))
            .min(RETRY_MAX);
        self.failures += 1;
        let percent = u32::try_from(RandomState::new().hash_one(()) % 51).unwrap_or(0);
        longest * (50 + percent) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_maximum_and_begin_anew_after_an_item() {
        let mut link = Link::default();
        let first = link.wait();
        assert!(RETRY_MIN / 2 <= first && first <= RETRY_MIN, "{first:?}");
        let last = (0..40).map(|_| link.wait()).last().unwrap();
        assert!(RETRY_MAX / 2 <= last && last <= RETRY_MAX, "{last:?}");
        link.alive();
        assert!(link.wait() <= RETRY_MIN);
    }
}
