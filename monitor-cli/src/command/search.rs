//! `search`: events that were stored, page by page.

use monitor_model::{
    clock::{Clock as _, SystemClock},
    event::Event,
    sentence,
    verdict::Judgement,
};
use monitor_proto::v1::{JudgedEvent, SearchOrder, SearchRequest};

use super::tail::line::{self, Printer};
use crate::{
    cli::Search,
    connection::{Connection, Paging, ask},
    error::CliError,
    output::{Listing, Screen, note, table::Cell},
};

const COLUMNS: [&str; 9] = [
    "TIME", "ENGINEER", "SESSION", "TENANT", "HOST", "KIND", "WHAT", "VERDICT", "EVENT",
];

/// Shows what is found: for people as `tail` does.
///
/// # Errors
/// [`CliError`] as the connection tells it.
pub async fn run(
    search: &Search,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let now = SystemClock.now();
    let order = if search.oldest_first {
        SearchOrder::OldestFirst
    } else {
        SearchOrder::NewestFirst
    };
    let request = SearchRequest {
        filter: Some(super::filter::of(&search.events, connection, screen.verbose).await?),
        from_unix_ns: search.since.map_or(0, |since| since.instant(now).0),
        to_unix_ns: search.until.map_or(0, |until| until.instant(now).0),
        order: order.into(),
        ..SearchRequest::default()
    };
    let mut pages = Pages::new(request, search.limit.limit);
    if screen.is_table() {
        return lines(&mut pages, connection, screen).await;
    }
    let mut listing = Listing::new(screen, &COLUMNS);
    while let Some(page) = pages.next(connection).await? {
        listing.page(&page, row, |judged| line::record(judged, None))?;
    }
    Ok(listing.end("")?)
}

/// The lines of `tail`.
async fn lines(
    pages: &mut Pages,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let mut printer = Printer::new(screen, false);
    let mut found = false;
    while let Some(page) = pages.next(connection).await? {
        found |= !page.is_empty();
        for judged in &page {
            printer.judged(judged, "")?;
        }
        printer.flush()?;
    }
    if !found {
        note("no such event");
    }
    Ok(())
}

/// What a search finds, page by page.
#[derive(Debug)]
pub(super) struct Pages {
    request: SearchRequest,
    paging: Paging,
}

impl Pages {
    /// From the first page on, up to a limit.
    pub(super) fn new(request: SearchRequest, limit: Option<u32>) -> Self {
        Self {
            request,
            paging: Paging::new(limit),
        }
    }

    /// Whether there is a further page.
    pub(super) fn goes_on(&self) -> bool {
        self.paging.next().is_some()
    }

    /// The next page, which may be empty; none when all is fetched.
    ///
    /// # Errors
    /// [`CliError`] as the connection tells it.
    pub(super) async fn next(
        &mut self,
        connection: &Connection,
    ) -> Result<Option<Vec<JudgedEvent>>, CliError> {
        let Some((page_size, page_token)) = self.paging.next() else {
            return Ok(None);
        };
        let request = SearchRequest {
            page_size,
            page_token,
            ..self.request.clone()
        };
        let answer = connection.events().search(ask(request)).await;
        let answer = answer
            .map_err(|status| connection.error(&status))?
            .into_inner();
        let mut page = answer.events;
        self.paging.fetched(&mut page, answer.next_page_token);
        Ok(Some(page))
    }
}

fn row(screen: &Screen, judged: &JudgedEvent) -> Vec<Cell> {
    match line::read(judged) {
        Ok((event, judgement)) => cells(screen, &event, &judgement),
        Err(error) => {
            let mut cells = vec![Cell::new(""); COLUMNS.len()];
            if let Some(what) = cells.get_mut(6) {
                *what = Cell::new(format!("position {}: {error}", judged.position));
            }
            cells
        }
    }
}

fn cells(screen: &Screen, event: &Event, judgement: &Judgement) -> Vec<Cell> {
    vec![
        Cell::new(screen.moment(event.at)),
        Cell::maybe(line::principal(event)),
        Cell::maybe(event.attribution.session.map(|id| screen.id(&id))),
        Cell::new(line::tenant(event, judgement)),
        Cell::new(event.id.agent.as_str()),
        Cell::new(event.action.kind().as_str()),
        Cell::new(sentence::what(event)),
        Cell::new(judgement.to_string()),
        Cell::new(event.id.to_string()),
    ]
}
