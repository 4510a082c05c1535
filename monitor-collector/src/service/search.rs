//! `EventService.Search`: judged events by page.
//!
//! In: a question, and where the page before ended. Out: one page. Bound: what
//! one page of the ledgers looks at (`ledger::search`); a place for look-ups.
//! Loss: none; what was stored after the first page is not among them.

use std::sync::Arc;

use monitor_model::clock::UnixNs;
use monitor_proto::{
    mask::Mask,
    v1::{SearchOrder, SearchRequest, SearchResponse},
};
use monitor_transport::identity::Identity;
use tonic::Status;

use super::{
    Edge, bad,
    cursor::{CursorError, Seal, Subject},
    events::{filter, least_severity, masked},
    page,
    reads::Words,
    sight::Sight,
};
use crate::ledger::{
    read::{Reader, Span},
    search::{self, Found, Order, Question},
};

/// Where a page begins among what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The page before ended here; none for the first page.
    at: Option<UnixNs>,
    /// Nothing that was stored later is looked at; none when that is not known yet.
    up_to: Option<UnixNs>,
}

impl Edge {
    /// One page of an answer.
    pub(super) async fn found(
        &self,
        identity: &Identity,
        asked: SearchRequest,
    ) -> Result<SearchResponse, Status> {
        let place = opened(&self.seal, identity, &asked)
            .map_err(|error| bad("page_token", error.to_string().replace("cursor", "token")))?;
        let limit = page::size(asked.page_size)?;
        let order = order(asked.order)?;
        let paths = asked.mask.clone().map(|mask| mask.paths);
        let mask = Mask::of(&paths.unwrap_or_default()).map_err(|error| bad("mask", error))?;
        let happened = UnixNs(asked.from_unix_ns)..match asked.to_unix_ns {
            0 => UnixNs::MAX,
            to => UnixNs(to),
        };
        if happened.is_empty() {
            return Err(bad(
                "to_unix_ns",
                "is not after from_unix_ns; give a later one, or 0",
            ));
        }
        let message = asked.filter.clone().unwrap_or_default();
        least_severity(&message, false)?;
        let mut filter = filter(message)?;
        let sight = Sight::of(identity);
        let of = sight.narrow(&filter.tenants).unwrap_or_default();
        filter.tenants = self.ledgers(&sight, &filter.tenants)?;
        let words = match asked.filter.as_ref() {
            Some(filter) => Words::of_filter(filter),
            None => Words::default(),
        };
        let words = words
            .with("from_unix_ns", asked.from_unix_ns)
            .with("to_unix_ns", asked.to_unix_ns)
            .with("order", asked.order);
        self.enter_call(identity, "Search", words, &of).await?;
        let edge = self.seated(&sight);
        let grants = self.writer.tables().borrow().grants.clone();
        let (eyes, known) = (sight.clone(), Arc::clone(&grants));
        let (found, up_to) = edge
            .look_up(move |data_dir| {
                let readers: Vec<Reader> = filter
                    .tenants
                    .iter()
                    .map(|tenant| Reader::open(&data_dir, tenant))
                    .collect::<Result<_, _>>()?;
                let up_to = match place.up_to {
                    Some(up_to) => up_to,
                    None => search::newest(&readers)?,
                };
                let question = Question {
                    admits: &|event| filter.admits_objects(&eyes.event(event, &known)),
                    filter: &filter,
                    happened,
                    order,
                };
                let span = span(order, place.at, up_to, limit);
                Ok((search::search(&readers, &question, span)?, up_to))
            })
            .await?;
        let Found { entries, next } = found;
        let mut events = Vec::with_capacity(entries.len());
        for entry in &entries {
            events.push(masked(mask.as_ref(), sight.entry(entry, &grants))?);
        }
        let token = next.map(|at| token(&self.seal, identity, &asked, (at, up_to)));
        Ok(SearchResponse {
            events,
            next_page_token: token.unwrap_or_default(),
        })
    }
}

/// What is left to look at.
fn span(order: Order, at: Option<UnixNs>, up_to: UnixNs, limit: u32) -> Span {
    let (after, up_to) = match (order, at) {
        (_, None) => (UnixNs(0), up_to),
        (Order::NewestFirst, Some(at)) => (UnixNs(0), at),
        (Order::OldestFirst, Some(at)) => (at, up_to),
    };
    Span {
        after,
        up_to,
        limit,
    }
}

/// The token of the page after a place: up to where is looked, and the place,
/// sealed.
fn token(
    seal: &Seal,
    identity: &Identity,
    asked: &SearchRequest,
    (at, up_to): (UnixNs, UnixNs),
) -> String {
    let subject = Subject::search(identity, asked, up_to);
    format!("{:x}-{}", up_to.0, seal.cursor(&subject, at))
}

fn opened(seal: &Seal, identity: &Identity, asked: &SearchRequest) -> Result<Place, CursorError> {
    if asked.page_token.is_empty() {
        return Ok(Place {
            at: None,
            up_to: None,
        });
    }
    let (up_to, cursor) = asked.page_token.split_once('-').ok_or(CursorError::Form)?;
    let up_to = u64::from_str_radix(up_to, 16).map_err(|_| CursorError::Form)?;
    let subject = Subject::search(identity, asked, UnixNs(up_to));
    Ok(Place {
        at: Some(seal.open(&subject, cursor)?),
        up_to: Some(UnixNs(up_to)),
    })
}

fn order(number: i32) -> Result<Order, Status> {
    match SearchOrder::try_from(number) {
        Ok(SearchOrder::Unspecified | SearchOrder::NewestFirst) => Ok(Order::NewestFirst),
        Ok(SearchOrder::OldestFirst) => Ok(Order::OldestFirst),
        Err(_) => Err(bad(
            "order",
            format!("{number} is no order; give NEWEST_FIRST or OLDEST_FIRST"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(token: &str) -> Result<Place, CursorError> {
        let asked = SearchRequest {
            page_token: token.to_owned(),
            ..SearchRequest::default()
        };
        let sam = "monitor://soc/sam".parse().unwrap();
        opened(&Seal::new([7; 32]), &sam, &asked)
    }

    #[test]
    fn a_token_gives_back_where_the_page_ended() {
        let sam = "monitor://soc/sam".parse().unwrap();
        let asked = SearchRequest::default();
        let made = token(&Seal::new([7; 32]), &sam, &asked, (UnixNs(42), UnixNs(77)));
        let wanted = Place {
            at: Some(UnixNs(42)),
            up_to: Some(UnixNs(77)),
        };
        assert_eq!(place(&made), Ok(wanted));
    }

    proptest! {
        #[test]
        fn any_text_gives_an_error_and_never_a_panic(text in ".{1,80}", hex in "[0-9a-f]{1,20}-1\\.[0-9a-f]{1,20}\\.[0-9a-f]{32}") {
            prop_assert!(place(&text).is_err());
            prop_assert!(place(&hex).is_err());
        }
    }
}
