//! What people ask of full ledgers: `Search`, until the first hundred are there.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use monitor_proto::v1::{
    EventFilter, SearchOrder, SearchRequest, event_service_client::EventServiceClient,
};
use serde::Serialize;
use tonic::transport::Channel;

use crate::{
    ground::{Collector, Ground},
    ingest::milliseconds,
    traffic::{self, Host},
};

/// Questions of each sort.
const ROUNDS: u64 = 20;
/// Events that are waited for.
const WANTED: usize = 100;

/// How long one sort of question took.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    question: &'static str,
    /// Events found by each, on the mean.
    found: f64,
    /// Pages asked for, at most.
    pages: usize,
    ms_p50: f64,
    ms_max: f64,
}

/// Asks every sort of question in turn.
pub(crate) async fn run(
    ground: &Ground,
    collector: &Collector,
    hosts: &[Host],
    span: (u64, u64),
) -> anyhow::Result<Vec<Answered>> {
    let client = EventServiceClient::new(ground.dial("monitor://soc/load", collector).await?);
    let mut answered = Vec::new();
    for (question, make) in QUESTIONS {
        let (mut waits, mut found, mut pages) = (Vec::new(), 0, 0);
        for round in 0..ROUNDS {
            let asked = make(hosts, span, round)?;
            let began = Instant::now();
            let (events, turned) = ask(client.clone(), asked).await?;
            waits.push(began.elapsed());
            found += events;
            pages = pages.max(turned);
        }
        answered.push(told(question, waits, found, pages));
    }
    Ok(answered)
}

fn told(question: &'static str, mut waits: Vec<Duration>, found: usize, pages: usize) -> Answered {
    waits.sort();
    Answered {
        question,
        found: crate::ingest::count_of(found) / crate::ingest::count(ROUNDS),
        pages,
        ms_p50: milliseconds(&waits, 50),
        ms_max: milliseconds(&waits, 100),
    }
}

/// Pages until enough are there, or there are no more.
async fn ask(
    mut client: EventServiceClient<Channel>,
    mut asked: SearchRequest,
) -> anyhow::Result<(usize, usize)> {
    let (mut events, mut pages) = (0, 0);
    loop {
        let page = client.search(asked.clone()).await?.into_inner();
        events += page.events.len();
        pages += 1;
        if events >= WANTED || page.next_page_token.is_empty() {
            return Ok((events, pages));
        }
        asked.page_token = page.next_page_token;
    }
}

type Make = fn(&[Host], (u64, u64), u64) -> anyhow::Result<SearchRequest>;

/// One sort of question each; the last number says which of that sort.
const QUESTIONS: [(&str, Make); 8] = [
    ("a session, newest first", |hosts, _, round| {
        let host = pick(hosts, round)?;
        let number = host.opened * round / ROUNDS;
        Ok(of(EventFilter {
            sessions: vec![traffic::session(host.number, number).to_bytes().to_vec()],
            ..EventFilter::default()
        }))
    }),
    ("an engineer, newest first", |_, _, round| {
        Ok(of(EventFilter {
            principals: vec![traffic::engineer(round)?.to_string()],
            ..EventFilter::default()
        }))
    }),
    ("an engineer's credentials, oldest first", |_, _, round| {
        let mut asked = of(EventFilter {
            principals: vec![traffic::engineer(round)?.to_string()],
            kinds: vec!["credential".into()],
            ..EventFilter::default()
        });
        asked.set_order(SearchOrder::OldestFirst);
        Ok(asked)
    }),
    ("an object used once", |hosts, _, round| {
        let host = pick(hosts, round)?;
        let at = host.rare.len() * usize::try_from(round)? / usize::try_from(ROUNDS)?;
        let object = host.rare.get(at).context("no file was used once")?;
        Ok(of(EventFilter {
            object_prefix: object.clone(),
            ..EventFilter::default()
        }))
    }),
    ("objects of one folder", |_, _, round| {
        Ok(of(EventFilter {
            object_prefix: format!("/srv/tenant-{round}/keys/"),
            ..EventFilter::default()
        }))
    }),
    ("an address", |_, _, round| {
        Ok(of(EventFilter {
            object_prefix: format!("10.{round}.0.77:22"),
            ..EventFilter::default()
        }))
    }),
    ("one second of time", |_, (from, to), round| {
        let at = from + (to - from) / ROUNDS * round;
        Ok(SearchRequest {
            from_unix_ns: at,
            to_unix_ns: at + 1_000_000_000,
            ..of(EventFilter::default())
        })
    }),
    ("a name that is not there", |_, _, round| {
        Ok(of(EventFilter {
            principals: vec![format!("nobody-{round}")],
            ..EventFilter::default()
        }))
    }),
];

fn pick(hosts: &[Host], round: u64) -> anyhow::Result<&Host> {
    let hosts = hosts.iter().cycle();
    let host = hosts
        .take(usize::try_from(ROUNDS)?)
        .nth(usize::try_from(round)?);
    host.context("no host has spoken yet")
}

fn of(filter: EventFilter) -> SearchRequest {
    SearchRequest {
        filter: Some(filter),
        page_size: 100,
        ..SearchRequest::default()
    }
}
