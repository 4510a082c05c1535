//! How long a no takes: of what is not there, and of what is another tenant's.
//!
//! Both are asked one after the other, many times, so that whatever else the
//! machine does meets both; the middle of the differences may not lie further
//! from nothing than its own error explains.

use std::time::{Duration, Instant};

use monitor_model::id::AlertId;
use monitor_proto::v1::{
    EventFilter, ExplainRequest, GetAlertRequest, GetCheckpointRequest, GetCompletenessRequest,
    ListAlertsRequest, ListEntriesRequest, ListGrantsRequest, ListProcessesRequest,
    ListSessionsRequest, SearchRequest, SubscribeRequest,
};

use super::{
    GLOBEX, Source, Story, World,
    questions::{Answer, Question},
};
use crate::testing::{event_id, session_id};

/// How often each is asked.
const TIMES: usize = 2_000;
/// Differences up to this say nothing: what is asked over a network varies by far more.
const FLOOR_NS: i64 = 15_000;
/// How many errors of the middle of all differences are chance.
const ERRORS: i64 = 6;

/// What is forbidden, and what is absent.
fn pairs(world_alert: &[u8]) -> Vec<(Question, Question)> {
    let sessions = |number| session_id(number).to_bytes().to_vec();
    let event = |number| ExplainRequest {
        id: Some((&event_id("zq7host", Source::Priority { cpu: 0 }, number)).into()),
    };
    let alert = |id: &[u8]| GetAlertRequest { id: id.to_vec() };
    let mut absent = world_alert.to_vec();
    if let Some(last) = absent.last_mut() {
        *last ^= 1;
    }
    let mut pairs = vec![
        (
            Question::Explain(event(1)),
            Question::Explain(event(999_999)),
        ),
        (
            Question::Alert(alert(world_alert)),
            Question::Alert(alert(&absent)),
        ),
        (
            Question::Completeness(GetCompletenessRequest {
                session: sessions(91),
                ..Default::default()
            }),
            Question::Completeness(GetCompletenessRequest {
                session: sessions(92),
                ..Default::default()
            }),
        ),
    ];
    let (forbidden, absent) = (of_tenant(GLOBEX.tenant), of_tenant("zq7glebox"));
    pairs.extend(forbidden.into_iter().zip(absent));
    pairs
}

/// Every call that names a tenant.
fn of_tenant(name: &str) -> Vec<Question> {
    let tenant = name.to_owned();
    let filter = Some(EventFilter {
        tenants: vec![tenant.clone()],
        ..Default::default()
    });
    vec![
        Question::Checkpoint(GetCheckpointRequest {
            tenant: tenant.clone(),
        }),
        Question::Entries(ListEntriesRequest {
            tenant: tenant.clone(),
            ..Default::default()
        }),
        Question::Search(SearchRequest {
            filter: filter.clone(),
            ..Default::default()
        }),
        Question::Subscribe(SubscribeRequest {
            filter,
            until_now: true,
            ..Default::default()
        }),
        Question::Sessions(ListSessionsRequest {
            tenant: tenant.clone(),
            ..Default::default()
        }),
        Question::Processes(ListProcessesRequest {
            tenant: tenant.clone(),
            ..Default::default()
        }),
        Question::Alerts(ListAlertsRequest {
            tenant: tenant.clone(),
            ..Default::default()
        }),
        Question::Grants(ListGrantsRequest {
            tenant,
            ..Default::default()
        }),
    ]
}

fn middle(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap()
}

async fn timed(world: &World, question: &Question) -> (Duration, Answer) {
    let began = Instant::now();
    let answer = question.ask(world, &world.auditor).await;
    (began.elapsed(), answer)
}

/// How much longer what is forbidden takes, how far that may be from nothing by
/// chance, and how long what is absent takes; in nanoseconds.
async fn measured(world: &World, pair: &(Question, Question)) -> [i64; 3] {
    let (mut longer, mut absent) = (Vec::new(), Vec::new());
    for turn in 0..TIMES {
        // In turn who is first: neither profits from what the other warmed.
        let (one, two) = if turn % 2 == 0 {
            let one = timed(world, &pair.0).await.0;
            (one, timed(world, &pair.1).await.0)
        } else {
            let two = timed(world, &pair.1).await.0;
            (timed(world, &pair.0).await.0, two)
        };
        longer.push(nanoseconds(one) - nanoseconds(two));
        absent.push(nanoseconds(two));
    }
    let apart = middle(longer.clone());
    // The error of a middle is some 1.86 times the middle deviation over the root.
    let deviation = middle(longer.iter().map(|one| (one - apart).abs()).collect());
    let error = deviation * 186 / 100 / i64::try_from(TIMES.isqrt()).unwrap();
    [apart, FLOOR_NS.max(ERRORS * error), middle(absent)]
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_and_forbidden_take_alike_long() {
    let world = World::play(&Story::Beside(GLOBEX));
    let alert = foreign_alert(&world).await;
    for pair in pairs(&alert.to_bytes()) {
        let (_, forbidden) = timed(&world, &pair.0).await;
        let (_, absent) = timed(&world, &pair.1).await;
        alike(&forbidden, &absent);
        let [longer, most, absent] = measured(&world, &pair).await;
        eprintln!(
            "{}: absent {absent} ns, forbidden {longer} ns longer, at most {most}",
            pair.0.name()
        );
        assert!(
            longer.abs() <= most,
            "{:?} takes {longer} ns longer than {absent} ns; at most {most}",
            pair.0
        );
    }
}

/// The same but for the name that was asked for.
fn alike(forbidden: &Answer, absent: &Answer) {
    match (forbidden, absent) {
        (Answer::Refused(one, text), Answer::Refused(two, other)) => {
            assert_eq!(one, two);
            let words = |text: &str| text.split(' ').take(2).collect::<Vec<_>>().join(" ");
            assert_eq!(words(text), words(other));
        }
        (one, two) => assert_eq!(one, two),
    }
}

/// An alert in the other tenant's ledger.
async fn foreign_alert(world: &World) -> AlertId {
    let soc = "monitor://soc/sam".parse().unwrap();
    let found = world.alerts_of(&soc, GLOBEX.tenant).await;
    AlertId::from_slice(&found[0].id).unwrap()
}
