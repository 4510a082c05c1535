//! `EventService`: the stream of judged events, and why one was judged so.
//! What is found among them is `search`'s.

use std::{fmt::Write as _, pin::Pin, sync::Arc};

use monitor_model::{
    alert::Severity,
    clock::UnixNs,
    event::{Event, Kind, Lineage, Way},
    id::{EventId, GrantId, SessionId, Source, TenantId},
    sentence,
    tenant::Owner,
    verdict::{Judgement, VerdictKind},
};
use monitor_proto::{
    mask::Mask,
    v1::{
        self, EventFilter, ExplainRequest, ExplainResponse, SearchRequest, SearchResponse,
        SubscribeRequest, SubscribeResponse, event_service_server::EventService,
    },
};
use monitor_transport::identity::Role;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::{
    Edge, alerts::severity, bad, cursor::Subject, reads::Words, sight::Sight,
    subscription::Subscription,
};
use crate::{
    admission::Lasts,
    alert::Alerter,
    ledger::read::{Filter, Reader},
    reads::Items,
};

const READERS: [Role; 3] = [Role::Soc, Role::Admin, Role::Auditor];
/// Most items that wait for one reader.
pub const READER_QUEUE_MAX: usize = 1_024;
/// Most values in one part of a filter.
const FILTER_VALUES_MAX: usize = 1_000;
/// Longest beginning of an object: the longest path of the kernel.
const OBJECT_PREFIX_BYTES_MAX: usize = 4_096;

#[tonic::async_trait]
impl EventService for Edge {
    type SubscribeStream = Pin<Box<dyn Stream<Item = Result<SubscribeResponse, Status>> + Send>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let identity = Self::caller(&request, "Subscribe", &READERS)?;
        let lasts = Lasts::of(&request)?;
        let asked = request.into_inner();
        let message = asked.filter.unwrap_or_default();
        let paths = asked.mask.map(|mask| mask.paths).unwrap_or_default();
        let mask = Mask::of(&paths).map_err(|error| bad("mask", error))?;
        let subject = Subject::new(&identity, &message, asked.include_alerts).masked(&paths);
        let sight = Sight::of(&identity);
        let least_severity = least_severity(&message, asked.include_alerts)?;
        let words = Words::of_filter(&message)
            .with("alerts", asked.include_alerts)
            .with("from_start", asked.from_start)
            .with("from_unix_ns", asked.from_unix_ns)
            .with("until_now", asked.until_now);
        let mut filter = filter(message)?;
        let of = sight.narrow(&filter.tenants).unwrap_or_default();
        let policy_version = self.writer.tables().borrow().policy.version().to_owned();
        filter.tenants = self.ledgers(&sight, &filter.tenants)?;
        let now = self.writer.tables().borrow().watermark;
        let at = match (asked.cursor.as_str(), asked.from_start, asked.from_unix_ns) {
            ("", true, 0) => UnixNs(0),
            ("", false, 0) if sight == Sight::Everything => now,
            ("", false, 0) => self.clock.now(),
            ("", false, from) => UnixNs(from.saturating_sub(1)),
            (_, true, 1..) => {
                let both = "from_start begins at the first entry; give one of the two";
                return Err(bad("from_unix_ns", both));
            }
            (cursor, _, _) => self
                .seal
                .open(&subject, cursor)
                .map_err(|error| bad("cursor", error))?,
        };
        let edge = self.seated(&sight);
        let (places, most) = &edge.seats.readers;
        let permit = Arc::clone(places).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{most} readers are served already; try again"))
        })?;
        let read = self.asked(&identity, "Subscribe", words, &of);
        self.enter(&read).await?;
        let (items, items_out) = mpsc::channel(READER_QUEUE_MAX);
        let (last, last_out) = mpsc::channel(1);
        let subscription = Subscription {
            edge,
            sight,
            filter,
            policy_version,
            subject,
            alerts: asked.include_alerts,
            least_severity,
            mask,
            until: asked.until_now.then_some(now),
            at,
            shown: at,
            read,
            sent: Items::new(),
            items,
            last,
        };
        tokio::spawn(async move {
            subscription.run(lasts).await;
            drop(permit);
        });
        let stream = ReceiverStream::new(items_out).chain(ReceiverStream::new(last_out));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let identity = Self::caller(&request, "Search", &READERS)?;
        self.found(&identity, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn explain(
        &self,
        request: Request<ExplainRequest>,
    ) -> Result<Response<ExplainResponse>, Status> {
        let identity = Self::caller(&request, "Explain", &READERS)?;
        let sight = Sight::of(&identity);
        let id = request
            .into_inner()
            .id
            .ok_or_else(|| bad("id", "is missing"))?;
        let id: EventId = id.try_into().map_err(|error| bad("id", error))?;
        let (ledgers, wanted) = (self.ledgers(&sight, &[])?, id.clone());
        let edge = self.seated(&sight);
        let found = edge
            .look_up(move |data_dir| {
                for tenant in &ledgers {
                    if let Some(entry) = Reader::open(&data_dir, tenant)?.find(&wanted)? {
                        return Ok(Some(entry));
                    }
                }
                Ok(None)
            })
            .await?;
        let of = match &found {
            Some(entry) => entry.ledger.clone(),
            None => TenantId::provider(),
        };
        let words = Words::default().with("id", id.to_string());
        self.enter_call(&identity, "Explain", words, &[of]).await?;
        let entry = found.ok_or_else(|| Status::not_found(format!("no event {id} is known")))?;
        let raised = edge.ask_state(move |state| state.alerts_of(&id)).await?;
        let grants = self.writer.tables().borrow().grants.clone();
        let event = sight.entry(&entry, &grants);
        let (verdict_sentence, attribution_sentence) = sentences(&event)?;
        Ok(Response::new(ExplainResponse {
            event: Some(event),
            verdict_sentence,
            attribution_sentence,
            matching_rules: Alerter::matching(&self.config.rules, &sight.judged(&entry, &grants))
                .into_iter()
                .map(|rule| rule.id.clone())
                .collect(),
            alerts: raised.iter().map(|raised| sight.alert(raised)).collect(),
        }))
    }
}

impl Edge {
    /// The ledgers that are asked for and seen. One that is not seen answers
    /// as one that is not there.
    pub(super) fn ledgers(
        &self,
        sight: &Sight,
        asked: &[TenantId],
    ) -> Result<Vec<TenantId>, Status> {
        let policy = Arc::clone(&self.writer.tables().borrow().policy);
        let seen = |id: &TenantId| sight.sees(id) && policy.has_tenant(id);
        if let Some(unknown) = asked.iter().find(|id| !seen(id)) {
            return Err(Status::not_found(format!("no tenant {unknown} is known")));
        }
        let all = policy
            .tenants()
            .iter()
            .map(|tenant| tenant.id.clone())
            .filter(seen);
        let found: Vec<TenantId> = if asked.is_empty() {
            all.collect()
        } else {
            asked.to_vec()
        };
        // In a filter, none would be all.
        if found.is_empty() {
            return Err(Status::not_found(
                "no tenant of this certificate is known here",
            ));
        }
        Ok(found)
    }
}

/// How urgent alerts must be.
pub(super) fn least_severity(
    filter: &EventFilter,
    alerts: bool,
) -> Result<Option<Severity>, Status> {
    let least = severity("filter.least_severity", filter.least_severity)?;
    if least.is_some() && !alerts {
        let what = "there are no alerts here that it could choose among; leave it out, \
                    subscribe with include_alerts, or ask ListAlerts";
        return Err(bad("filter.least_severity", what));
    }
    Ok(least)
}

/// The parts of an event that a mask has.
pub(super) fn masked(
    mask: Option<&Mask>,
    event: v1::JudgedEvent,
) -> Result<v1::JudgedEvent, Status> {
    let Some(mask) = mask else {
        return Ok(event);
    };
    mask.apply(event)
        .map_err(|error| Status::internal(format!("the entry makes no sense: {error}")))
}

pub(super) fn filter(message: EventFilter) -> Result<Filter, Status> {
    let EventFilter {
        tenants,
        principals,
        sessions,
        hosts,
        kinds,
        verdicts,
        object_prefix,
        // Of alerts, not of entries.
        least_severity: _,
    } = message;
    if object_prefix.len() > OBJECT_PREFIX_BYTES_MAX {
        let bytes = object_prefix.len();
        return Err(bad(
            "filter.object_prefix",
            format!("{bytes} bytes; give at most {OBJECT_PREFIX_BYTES_MAX}"),
        ));
    }
    let longest = [
        tenants.len(),
        principals.len(),
        sessions.len(),
        hosts.len(),
        kinds.len(),
        verdicts.len(),
    ];
    if longest.into_iter().any(|length| length > FILTER_VALUES_MAX) {
        return Err(bad(
            "filter",
            format!("a part has more than {FILTER_VALUES_MAX} values"),
        ));
    }
    Ok(Filter {
        tenants: each("filter.tenants", &tenants)?,
        principals: each("filter.principals", &principals)?,
        sessions: sessions
            .iter()
            .map(|bytes| {
                SessionId::from_slice(bytes).map_err(|error| bad("filter.sessions", error))
            })
            .collect::<Result<_, _>>()?,
        hosts: each("filter.hosts", &hosts)?,
        kinds: kinds
            .iter()
            .map(|name| kind(name))
            .collect::<Result<_, _>>()?,
        verdicts: verdicts
            .into_iter()
            .map(verdict)
            .collect::<Result<_, _>>()?,
        object_prefix,
    })
}

fn each<T>(field: &str, texts: &[String]) -> Result<Vec<T>, Status>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    texts
        .iter()
        .map(|text| text.parse().map_err(|error| bad(field, error)))
        .collect()
}

fn kind(name: &str) -> Result<Kind, Status> {
    Kind::ALL
        .iter()
        .copied()
        .find(|kind| kind.as_str() == name)
        .ok_or_else(|| {
            let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
            bad(
                "filter.kinds",
                format!("{name:?} is none of {}", names.join(", ")),
            )
        })
}

fn verdict(number: i32) -> Result<VerdictKind, Status> {
    let wrong = || bad("filter.verdicts", format!("{number} is no verdict"));
    v1::VerdictKind::try_from(number)
        .ok()
        .and_then(|kind| kind.try_into().ok())
        .ok_or_else(wrong)
}

/// The verdict and the attribution in words, from what the reader may see.
fn sentences(message: &v1::JudgedEvent) -> Result<(String, String), Status> {
    let wrong = |error: monitor_proto::InvalidMessage| {
        Status::internal(format!("the entry makes no sense: {error}"))
    };
    let event = monitor_proto::decode_event(&message.event).map_err(wrong)?;
    let judgement: Judgement = message
        .judgement
        .clone()
        .unwrap_or_default()
        .try_into()
        .map_err(wrong)?;
    Ok((verdict_sentence(&judgement), attribution_sentence(&event)))
}

fn verdict_sentence(judgement: &Judgement) -> String {
    let mut text = judgement.verdict.to_string();
    match &judgement.owner {
        Owner::Host => {}
        owner @ (Owner::Tenant(_) | Owner::Ambiguous(_)) => {
            _ = write!(text, "; the target is {}'s", sentence::whose(owner));
        }
        Owner::Unknown => text += "; whose the target is, is not known",
    }
    for considered in &judgement.considered {
        match considered.against {
            Some(reason) => _ = write!(text, "; grant {}: {reason}", considered.grant),
            None => _ = write!(text, "; grant {} covers it", considered.grant),
        }
    }
    if let Some(custodian) = &judgement.custodian {
        _ = write!(text, "; {custodian} answers for it");
    }
    for fact in &judgement.facts {
        _ = write!(text, "; {}", fact.as_str());
    }
    text + &format!("; policy {}", judgement.policy_version)
}

fn attribution_sentence(event: &Event) -> String {
    let who = &event.attribution;
    if event.id.source == Source::Collector {
        return format!("told by the collector {} of itself", event.id.agent);
    }
    let how = match who.lineage {
        Lineage::Kernel => "by the mark in the kernel that every fork copies",
        Lineage::Linked => "by a handover that was observed",
        Lineage::Inferred => "because time and object fit",
        Lineage::Unattributed => "to nobody",
    };
    let mut text = match (&who.principal, who.session) {
        (Some(principal), Some(session)) => format!(
            "{principal}, session {session} on {}, {how}",
            event.id.agent
        ),
        (None, Some(session)) => format!("session {session} on {}, {how}", event.id.agent),
        (_, None) => format!("{} on {}", how, event.id.agent),
    };
    if let Some(tenant) = &who.tenant {
        _ = write!(text, "; opened for {tenant}");
    }
    if !who.grants.is_empty() {
        let grants: Vec<&str> = who.grants.iter().map(GrantId::as_str).collect();
        _ = write!(text, "; under grant {}", grants.join(", "));
    }
    if let Some(reason) = who.reason {
        _ = write!(text, "; {reason}");
    }
    if !who.way.is_empty() {
        _ = write!(text, "; the way: {}", Way(&who.way));
    }
    text
}
