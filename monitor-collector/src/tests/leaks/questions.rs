//! Every call that an auditor may make, and those that are refused, with every
//! field at random; and answers in a form that two worlds can be compared in.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a question of another kind is a fault of the test"
)]

use std::sync::Arc;

use monitor_model::{clock::SystemClock, id::OrderId};
use monitor_proto::v1::{
    self, EventFilter, ExplainRequest, GetAlertRequest, GetCheckpointRequest,
    GetCompletenessRequest, GetConsistencyProofRequest, GetInclusionProofRequest, GetOrderRequest,
    GetTileRequest, JudgedEvent, ListAlertsRequest, ListEntriesRequest, ListGrantUseRequest,
    ListGrantsRequest, ListHostsRequest, ListOrdersRequest, ListProcessesRequest, ListRulesRequest,
    ListSessionsRequest, SearchRequest, SubscribeRequest, SubscribeResponse,
    alert_service_server::AlertService as _, event_service_server::EventService as _,
    evidence_service_server::EvidenceService as _, grant_service_server::GrantService as _,
    host_service_server::HostService as _, process_service_server::ProcessService as _,
    revocation_service_server::RevocationService as _, session_service_server::SessionService as _,
    subscribe_response::Item,
};
use monitor_transport::identity::Identity;
use prost::Message;
use prost_types::FieldMask;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Response, Status, service::Interceptor as _};

use super::worlds::{MARK, World, marked};
use crate::{
    admission::Admission,
    testing::{BASE, at_seconds, session_id},
};

/// Tokens that are remembered.
const TOKENS_MAX: usize = 256;

/// Numbers at random, the same for the same seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn one<T: Clone>(&mut self, from: &[T]) -> T {
        let at = usize::try_from(self.below(u64::try_from(from.len()).unwrap())).unwrap();
        from[at].clone()
    }

    /// Nothing more often than something.
    fn rarely<T: Default>(&mut self, some: impl FnOnce(&mut Self) -> T) -> T {
        if self.below(3) == 0 {
            some(self)
        } else {
            T::default()
        }
    }

    fn few<T: Clone>(&mut self, from: &[T]) -> Vec<T> {
        let count = self.below(3);
        (0..count).map(|_| self.one(from)).collect()
    }
}

/// What random questions are made of: names of all worlds, of none, and wrong ones.
pub(super) struct Pool {
    tenants: Vec<String>,
    people: Vec<String>,
    hosts: Vec<String>,
    sessions: Vec<Vec<u8>>,
    alerts: Vec<Vec<u8>>,
    events: Vec<v1::EventId>,
    tokens: Vec<String>,
}

impl Pool {
    /// What somebody who sees everything finds in these worlds.
    pub(super) async fn of(worlds: &[&World]) -> Self {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let mut pool = Self {
            tenants: texts(&[
                "acme",
                "acme",
                "provider",
                "nobody",
                "zq7globex",
                "zq7initech",
                "No such",
                "",
            ]),
            people: texts(&[
                "alice", "bob", "carol", "dave", "zq7carl", "zq7zoe", "x y", "",
            ]),
            hosts: texts(&[
                "jump-1",
                "jump-2",
                "zq7host",
                "collector",
                "jump-9",
                "a b",
                "",
            ]),
            sessions: (0..6).map(|n| session_id(n).to_bytes().to_vec()).collect(),
            alerts: vec![vec![1; 16], vec![2; 3], Vec::new()],
            events: Vec::new(),
            tokens: texts(&["", "x", "9.", "ffffffffffffffff.zzzz", "1-1.2.3"]),
        };
        let odd = [90, 91, 93, 77];
        let more = odd.map(|n| session_id(n).to_bytes().to_vec());
        pool.sessions.extend(more);
        pool.sessions.push(vec![9; 16]);
        pool.sessions.push(vec![9; 5]);
        for world in worlds {
            pool.know(world).await;
        }
        pool
    }

    async fn know(&mut self, world: &World) {
        let soc: Identity = "monitor://soc/sam".parse().unwrap();
        let asked = SearchRequest {
            page_size: 1_000,
            ..SearchRequest::default()
        };
        let found = world.edge.search(of(&soc, asked)).await.unwrap();
        for event in found.into_inner().events {
            let event = v1::Event::decode(event.event.as_slice()).unwrap();
            self.events.extend(event.id.map(|mut id| {
                id.boot = world.neutral(&id.boot);
                id
            }));
        }
        let asked = ListAlertsRequest {
            page_size: 1_000,
            ..ListAlertsRequest::default()
        };
        let found = world.edge.list_alerts(of(&soc, asked)).await.unwrap();
        let alerts = found.into_inner().alerts;
        self.alerts.extend(alerts.into_iter().map(|alert| alert.id));
        for question in Question::whole() {
            for who in [&soc, &world.auditor] {
                self.learn(&question.first_page().ask(world, who).await);
            }
        }
    }

    /// Takes the tokens of an answer for later questions.
    pub(super) fn learn(&mut self, answer: &Answer) {
        if let Answer::Given { tokens, .. } = answer {
            let new = tokens.iter().filter(|token| !token.is_empty());
            self.tokens.extend(new.cloned());
            if self.tokens.len() > TOKENS_MAX {
                self.tokens.drain(8..self.tokens.len() - TOKENS_MAX / 2);
            }
        }
    }
}

/// A call as the services see it: admitted, and by whom.
pub(super) fn of<T>(who: &Identity, message: T) -> Request<T> {
    let (_, tokens) = watch::channel(None);
    let clock = Arc::new(SystemClock);
    let mut admission = Admission { tokens, clock };
    let admitted = admission.call(Request::new(())).unwrap();
    let (metadata, mut extensions, ()) = admitted.into_parts();
    extensions.insert(who.clone());
    Request::from_parts(metadata, extensions, message)
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Messages, each encoded, without what depends on the secret of a ledger or
    /// the digest of the whole policy; and the tokens to go on with.
    Given {
        parts: Vec<Vec<u8>>,
        tokens: Vec<String>,
    },
    /// An error, and its words.
    Refused(Code, String),
}

impl Answer {
    /// Where it is not the same as another.
    pub(super) fn differs(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        let (Self::Given { parts: one, .. }, Self::Given { parts: two, .. }) = (self, other) else {
            return Some(format!("{self:?} and {other:?}"));
        };
        let (one, two) = (one.concat(), two.concat());
        let at = one.iter().zip(&two).take_while(|(one, two)| one == two);
        let at = at.count();
        Some(format!(
            "{} and {} bytes, from {at}: {} and {}",
            one.len(),
            two.len(),
            near(&one, at),
            near(&two, at)
        ))
    }

    /// Where it is no answer but a fault of the server.
    pub(super) fn fault(&self) -> Option<String> {
        match self {
            Self::Refused(code @ (Code::Internal | Code::Unknown), text) => {
                Some(format!("{code:?}: {text}"))
            }
            Self::Refused(..) | Self::Given { .. } => None,
        }
    }

    /// Where it bears the mark, but for what the question itself said.
    pub(super) fn mark(&self, question: &Question) -> Option<String> {
        match self {
            Self::Given { parts, .. } => {
                let part = parts.iter().find(|part| marked(part))?;
                let at = (0..part.len()).find(|at| marked(&part[*at..*at + MARK.len()]))?;
                Some(format!("{MARK} in it: {}", near(part, at)))
            }
            Self::Refused(_, text) => (marked(text.as_bytes())
                && !marked(format!("{question:?}").as_bytes()))
            .then(|| format!("{MARK} in it: {text}")),
        }
    }
}

/// Some bytes before and after a place, for people.
fn near(bytes: &[u8], at: usize) -> String {
    let span = at.saturating_sub(40)..bytes.len().min(at + 60);
    String::from_utf8_lossy(&bytes[span])
        .escape_debug()
        .to_string()
}

/// One call.
#[derive(Clone, Debug)]
pub(super) enum Question {
    Sessions(ListSessionsRequest),
    Processes(ListProcessesRequest),
    Alerts(ListAlertsRequest),
    Alert(GetAlertRequest),
    Rules(ListRulesRequest),
    Grants(ListGrantsRequest),
    Uses(ListGrantUseRequest),
    Subscribe(SubscribeRequest),
    Search(SearchRequest),
    Explain(ExplainRequest),
    Checkpoint(GetCheckpointRequest),
    Entries(ListEntriesRequest),
    Tile(GetTileRequest),
    Inclusion(GetInclusionProofRequest),
    Consistency(GetConsistencyProofRequest),
    Completeness(GetCompletenessRequest),
    Hosts(ListHostsRequest),
    Orders(ListOrdersRequest),
    Order(GetOrderRequest),
}

impl Question {
    /// Everything there is, of each kind that lists.
    pub(super) fn whole() -> Vec<Self> {
        vec![
            Self::Sessions(ListSessionsRequest {
                include_ended: true,
                ..Default::default()
            }),
            Self::Alerts(ListAlertsRequest::default()),
            Self::Rules(ListRulesRequest::default()),
            Self::Grants(ListGrantsRequest {
                include_ended: true,
                ..Default::default()
            }),
            Self::Uses(ListGrantUseRequest {
                include_ended: true,
                ..Default::default()
            }),
            Self::Search(SearchRequest {
                page_size: 1_000,
                ..Default::default()
            }),
            Self::Subscribe(SubscribeRequest {
                from_start: true,
                until_now: true,
                include_alerts: true,
                ..Default::default()
            }),
        ]
    }

    /// The same, of which so little that there is a next page.
    fn first_page(&self) -> Self {
        let mut question = self.clone();
        match &mut question {
            Self::Sessions(asked) => asked.page_size = 1,
            Self::Alerts(asked) => asked.page_size = 1,
            Self::Grants(asked) => asked.page_size = 1,
            Self::Uses(asked) => asked.page_size = 1,
            Self::Search(asked) => asked.page_size = 1,
            Self::Processes(_)
            | Self::Alert(_)
            | Self::Rules(_)
            | Self::Subscribe(_)
            | Self::Explain(_)
            | Self::Checkpoint(_)
            | Self::Entries(_)
            | Self::Tile(_)
            | Self::Inclusion(_)
            | Self::Consistency(_)
            | Self::Completeness(_)
            | Self::Hosts(_)
            | Self::Orders(_)
            | Self::Order(_) => {}
        }
        question
    }

    pub(super) fn random(dice: &mut Dice, pool: &Pool) -> Self {
        match dice.below(20) {
            0 => Self::Sessions(ListSessionsRequest {
                principal: dice.rarely(|dice| dice.one(&pool.people)),
                tenant: dice.rarely(|dice| dice.one(&pool.tenants)),
                host: dice.rarely(|dice| dice.one(&pool.hosts)),
                include_ended: dice.below(2) == 0,
                page_size: size(dice),
                page_token: token(dice, pool),
            }),
            1 => Self::Processes(ListProcessesRequest {
                principal: dice.rarely(|dice| dice.one(&pool.people)),
                tenant: dice.rarely(|dice| dice.one(&pool.tenants)),
                host: dice.rarely(|dice| dice.one(&pool.hosts)),
                page_size: size(dice),
                page_token: token(dice, pool),
            }),
            2 => Self::Alerts(ListAlertsRequest {
                principal: dice.rarely(|dice| dice.one(&pool.people)),
                tenant: dice.rarely(|dice| dice.one(&pool.tenants)),
                session: dice.rarely(|dice| dice.one(&pool.sessions)),
                severity_min: small(dice, 6),
                states: dice.few(&[0, 1, 2, 3, 9]),
                page_size: size(dice),
                page_token: token(dice, pool),
            }),
            3 => Self::Alert(GetAlertRequest {
                id: dice.one(&pool.alerts),
            }),
            4 => Self::Rules(ListRulesRequest::default()),
            5 => Self::Grants(ListGrantsRequest {
                principal: dice.rarely(|dice| dice.one(&pool.people)),
                tenant: dice.rarely(|dice| dice.one(&pool.tenants)),
                include_ended: dice.below(2) == 0,
                page_size: size(dice),
                page_token: token(dice, pool),
            }),
            6 => Self::Uses(ListGrantUseRequest {
                principal: dice.rarely(|dice| dice.one(&pool.people)),
                tenant: dice.rarely(|dice| dice.one(&pool.tenants)),
                include_ended: dice.below(2) == 0,
                page_size: size(dice),
                page_token: token(dice, pool),
            }),
            7 => Self::Subscribe(subscription(dice, pool)),
            8..=10 => Self::Search(search(dice, pool)),
            11..=12 => Self::Explain(ExplainRequest {
                id: Some(event(dice, pool)),
            }),
            _ => Self::proof(dice, pool),
        }
    }

    fn proof(dice: &mut Dice, pool: &Pool) -> Self {
        let tenant = dice.one(&pool.tenants);
        match dice.below(9) {
            0 => Self::Checkpoint(GetCheckpointRequest { tenant }),
            1 => Self::Entries(ListEntriesRequest {
                tenant,
                first: dice.below(90),
                page_size: size(dice),
            }),
            2 => Self::Tile(GetTileRequest {
                tenant,
                level: u32::try_from(dice.below(10)).unwrap(),
                index: dice.below(3),
            }),
            3 => Self::Inclusion(GetInclusionProofRequest {
                tenant,
                position: dice.below(90),
                size: dice.rarely(|dice| dice.below(90)),
            }),
            4 => Self::Consistency(GetConsistencyProofRequest {
                tenant,
                old_size: dice.below(90),
                new_size: dice.rarely(|dice| dice.below(90)),
            }),
            5 | 6 => Self::Completeness(GetCompletenessRequest {
                session: dice.one(&pool.sessions),
                host: if dice.below(8) == 0 {
                    dice.one(&pool.hosts)
                } else {
                    String::new()
                },
                from_unix_ns: dice.rarely(instant),
                to_unix_ns: dice.rarely(instant),
            }),
            7 => Self::Hosts(ListHostsRequest {
                host: dice.one(&pool.hosts),
                ..Default::default()
            }),
            _ if dice.below(2) == 0 => Self::Orders(ListOrdersRequest::default()),
            _ => Self::Order(GetOrderRequest {
                order: OrderId::from_parts(at_seconds(1), 901).to_bytes().to_vec(),
            }),
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Sessions(_) => "ListSessions",
            Self::Processes(_) => "ListProcesses",
            Self::Alerts(_) => "ListAlerts",
            Self::Alert(_) => "GetAlert",
            Self::Rules(_) => "ListRules",
            Self::Grants(_) => "ListGrants",
            Self::Uses(_) => "ListGrantUse",
            Self::Subscribe(_) => "Subscribe",
            Self::Search(_) => "Search",
            Self::Explain(_) => "Explain",
            Self::Checkpoint(_) => "GetCheckpoint",
            Self::Entries(_) => "ListEntries",
            Self::Tile(_) => "GetTile",
            Self::Inclusion(_) => "GetInclusionProof",
            Self::Consistency(_) => "GetConsistencyProof",
            Self::Completeness(_) => "GetCompleteness",
            Self::Hosts(_) => "ListHosts",
            Self::Orders(_) => "ListOrders",
            Self::Order(_) => "GetOrder",
        }
    }

    /// Asks a world, as somebody.
    pub(super) async fn ask(&self, world: &World, who: &Identity) -> Answer {
        match self.answered(world, who).await {
            Ok((parts, tokens)) => Answer::Given {
                parts: parts.iter().map(|part| world.neutral(part)).collect(),
                tokens,
            },
            Err(status) => {
                let words = world.neutral(status.message().as_bytes());
                let words = String::from_utf8(words).unwrap();
                Answer::Refused(status.code(), words)
            }
        }
    }

    async fn answered(
        &self,
        world: &World,
        who: &Identity,
    ) -> Result<(Vec<Vec<u8>>, Vec<String>), Status> {
        let edge = &world.edge;
        match self.clone() {
            Self::Sessions(asked) => edge
                .list_sessions(of(who, asked))
                .await
                .map(|found| paged(&found, |found| &found.next_page_token)),
            Self::Processes(asked) => edge
                .list_processes(of(who, asked))
                .await
                .map(|found| paged(&found, |found| &found.next_page_token)),
            Self::Alerts(asked) => edge
                .list_alerts(of(who, asked))
                .await
                .map(|found| paged(&found, |found| &found.next_page_token)),
            Self::Alert(asked) => edge
                .get_alert(of(who, asked))
                .await
                .map(|found| one(&found)),
            Self::Rules(asked) => edge
                .list_rules(of(who, asked))
                .await
                .map(|found| one(&found)),
            Self::Grants(asked) => edge
                .list_grants(of(who, asked))
                .await
                .map(|found| paged(&found, |found| &found.next_page_token)),
            Self::Uses(asked) => edge
                .list_grant_use(of(who, asked))
                .await
                .map(|found| paged(&found, |found| &found.next_page_token)),
            Self::Hosts(asked) => edge
                .list_hosts(of(who, asked))
                .await
                .map(|found| one(&found)),
            Self::Orders(asked) => edge
                .list_orders(of(who, asked))
                .await
                .map(|found| one(&found)),
            Self::Order(asked) => edge
                .get_order(of(who, asked))
                .await
                .map(|found| one(&found)),
            Self::Completeness(asked) => edge
                .get_completeness(of(who, asked))
                .await
                .map(|found| one(&found)),
            Self::Subscribe(_) | Self::Search(_) | Self::Explain(_) => {
                self.judged(world, who).await
            }
            Self::Checkpoint(_)
            | Self::Entries(_)
            | Self::Tile(_)
            | Self::Inclusion(_)
            | Self::Consistency(_) => self.proved(world, who).await,
        }
    }

    /// What has judged events in it.
    async fn judged(
        &self,
        world: &World,
        who: &Identity,
    ) -> Result<(Vec<Vec<u8>>, Vec<String>), Status> {
        match self.clone() {
            Self::Search(asked) => {
                let mut found = world.edge.search(of(who, asked)).await?;
                for event in &mut found.get_mut().events {
                    level(event, world);
                }
                Ok(paged(&found, |found| &found.next_page_token))
            }
            Self::Explain(mut asked) => {
                if let Some(id) = &mut asked.id {
                    world.own(&mut id.boot);
                }
                let mut found = world.edge.explain(of(who, asked)).await?;
                let answer = found.get_mut();
                let version = &world.policy_version;
                answer.verdict_sentence = answer.verdict_sentence.replace(version, "");
                if let Some(event) = &mut answer.event {
                    level(event, world);
                }
                Ok(one(&found))
            }
            Self::Subscribe(asked) => stream(world, who, asked).await,
            other => panic!("{} has no events", other.name()),
        }
    }

    /// Of hashes, which follow from the secret of a ledger, only how many there are.
    async fn proved(
        &self,
        world: &World,
        who: &Identity,
    ) -> Result<(Vec<Vec<u8>>, Vec<String>), Status> {
        let edge = &world.edge;
        match self.clone() {
            Self::Checkpoint(asked) => {
                let mut found = edge.get_checkpoint(of(who, asked)).await?;
                let answer = found.get_mut();
                // The origin and the size; then the root and the signature.
                let lines = answer.note.splitn(3, |byte| *byte == b'\n').take(2);
                answer.note = lines.collect::<Vec<_>>().join(&b'\n');
                Ok(one(&found))
            }
            Self::Entries(asked) => {
                let mut found = edge.list_entries(of(who, asked)).await?;
                for entry in &mut found.get_mut().entries {
                    entry.leaf.fill(0);
                    entry.event.iter_mut().for_each(|part| part.blind.fill(0));
                    if let Some(part) = &mut entry.judgement {
                        part.blind.fill(0);
                        part.part = judgement(&part.part, world);
                    }
                }
                Ok(one(&found))
            }
            Self::Tile(asked) => {
                let mut found = edge.get_tile(of(who, asked)).await?;
                found.get_mut().hashes.fill(0);
                Ok(one(&found))
            }
            Self::Inclusion(asked) => {
                let mut found = edge.get_inclusion_proof(of(who, asked)).await?;
                let answer = found.get_mut();
                answer.leaf_hash.fill(0);
                answer.hashes.iter_mut().for_each(|hash| hash.fill(0));
                answer.root.fill(0);
                Ok(one(&found))
            }
            Self::Consistency(asked) => {
                let mut found = edge.get_consistency_proof(of(who, asked)).await?;
                let answer = found.get_mut();
                answer.hashes.iter_mut().for_each(|hash| hash.fill(0));
                answer.new_root.fill(0);
                Ok(one(&found))
            }
            other => panic!("{} is no proof", other.name()),
        }
    }
}

fn one<T: Message>(found: &Response<T>) -> (Vec<Vec<u8>>, Vec<String>) {
    let bytes = found.get_ref().encode_to_vec();
    let parts = if bytes.is_empty() {
        Vec::new()
    } else {
        vec![bytes]
    };
    (parts, Vec::new())
}

fn paged<T: Message>(
    found: &Response<T>,
    token: impl Fn(&T) -> &String,
) -> (Vec<Vec<u8>>, Vec<String>) {
    let (parts, _) = one(found);
    (parts, vec![token(found.get_ref()).clone()])
}

async fn stream(
    world: &World,
    who: &Identity,
    asked: SubscribeRequest,
) -> Result<(Vec<Vec<u8>>, Vec<String>), Status> {
    let mut items = world.edge.subscribe(of(who, asked)).await?.into_inner();
    let (mut parts, mut last) = (Vec::new(), String::new());
    while let Some(item) = items.next().await {
        let mut item: SubscribeResponse = item?;
        match &mut item.item {
            Some(Item::Event(event)) => level(event, world),
            Some(Item::Heartbeat(beat)) => {
                beat.heads.iter_mut().for_each(|head| head.hash.fill(0));
            }
            Some(Item::Alert(_) | Item::Cut(_)) | None => {}
        }
        last.clone_from(&item.cursor);
        parts.push(item.encode_to_vec());
    }
    Ok((parts, vec![last]))
}

/// Without the hash, of which the secret of a ledger is part, and the version of
/// the policy, which is a digest over all tenants' zones.
fn level(event: &mut JudgedEvent, world: &World) {
    event.hash.fill(0);
    if let Some(judgement) = &mut event.judgement {
        judgement.policy_version = judgement.policy_version.replace(&world.policy_version, "");
    }
}

fn judgement(bytes: &[u8], world: &World) -> Vec<u8> {
    let mut judgement = v1::Judgement::decode(bytes).unwrap();
    judgement.policy_version = judgement.policy_version.replace(&world.policy_version, "");
    judgement.encode_to_vec()
}

fn size(dice: &mut Dice) -> u32 {
    dice.one(&[0, 0, 1, 2, 5, 20, 1_000, 1_001])
}

fn small(dice: &mut Dice, most: u64) -> i32 {
    dice.rarely(|dice| i32::try_from(dice.below(most)).unwrap())
}

fn token(dice: &mut Dice, pool: &Pool) -> String {
    dice.rarely(|dice| dice.one(&pool.tokens))
}

fn instant(dice: &mut Dice) -> u64 {
    let second = dice.below(1_400);
    let near = dice.one(&[0, 1, 2, 3]);
    if dice.below(10) == 0 {
        dice.next()
    } else {
        BASE.0 + second * 1_000_000_000 + near
    }
}

fn event(dice: &mut Dice, pool: &Pool) -> v1::EventId {
    let mut id = dice.one(&pool.events);
    if dice.below(4) == 0 {
        id.sequence = dice.below(150);
    }
    id
}

fn filter(dice: &mut Dice, pool: &Pool) -> EventFilter {
    let prefixes = [
        "",
        "/srv/",
        "/srv/zq7",
        "/opt/zq7",
        "10.1.",
        "/usr/bin/k",
        "/run",
        "203.",
    ];
    EventFilter {
        tenants: dice.rarely(|dice| dice.few(&pool.tenants)),
        principals: dice.rarely(|dice| dice.few(&pool.people)),
        sessions: dice.rarely(|dice| dice.few(&pool.sessions)),
        hosts: dice.rarely(|dice| dice.few(&pool.hosts)),
        kinds: dice.rarely(|dice| {
            let names = [
                "exec",
                "connect",
                "credential",
                "memory",
                "session_opened",
                "no",
            ];
            dice.few(&names.map(str::to_owned))
        }),
        verdicts: dice.rarely(|dice| dice.few(&[0, 1, 2, 3, 4, 17])),
        object_prefix: dice.rarely(|dice| dice.one(&prefixes).to_owned()),
        least_severity: if dice.below(8) == 0 {
            small(dice, 6)
        } else {
            0
        },
    }
}

fn mask(dice: &mut Dice) -> Option<FieldMask> {
    dice.rarely(|dice| {
        let paths = [
            "position",
            "judgement",
            "event.id",
            "event.attribution",
            "hash",
            "no",
        ];
        let paths = dice.few(&paths.map(str::to_owned));
        Some(FieldMask { paths })
    })
}

fn search(dice: &mut Dice, pool: &Pool) -> SearchRequest {
    SearchRequest {
        filter: Some(filter(dice, pool)),
        from_unix_ns: dice.rarely(instant),
        to_unix_ns: dice.rarely(instant),
        order: small(dice, 4),
        page_size: size(dice),
        page_token: token(dice, pool),
        mask: mask(dice),
    }
}

fn subscription(dice: &mut Dice, pool: &Pool) -> SubscribeRequest {
    SubscribeRequest {
        filter: Some(filter(dice, pool)),
        cursor: token(dice, pool),
        from_start: dice.below(2) == 0,
        until_now: true,
        include_alerts: dice.below(2) == 0,
        from_unix_ns: dice.rarely(instant),
        mask: mask(dice),
    }
}
