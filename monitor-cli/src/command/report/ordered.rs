//! Orders that rules would have given.

use std::collections::{BTreeMap, BTreeSet};

use monitor_model::{
    clock::UnixNs,
    id::{SessionId, TenantId},
    revocation::{Affected, Order, life::State},
};
use monitor_proto::v1::{self, ListOrdersRequest};
use serde::Serialize;
use tonic::Code;

use crate::{
    cli::Report,
    command::collect,
    connection::{Connection, Paging, ask},
    error::CliError,
};

/// What rules would have ordered.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    /// How many orders.
    pub(super) total: u64,
    /// How many sessions they would have reached.
    pub(super) sessions: usize,
    /// By rule and by what it would have done.
    pub(super) rules: Vec<OfRule>,
}

/// Orders of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct OfRule {
    /// The rule, or the broker that would have given it.
    pub(super) rule: String,
    /// `kill`, `freeze`; `ask to kill`, `ask to freeze`.
    pub(super) would: String,
    /// How often.
    pub(super) times: u64,
    /// The first time.
    pub(super) first_at: UnixNs,
    /// The last time.
    pub(super) last_at: UnixNs,
}

/// None where orders are not shown to who asks.
pub(super) async fn of(
    asked: &Report,
    since: UnixNs,
    connection: &Connection,
) -> Result<Option<Ordered>, CliError> {
    let mut found = Vec::new();
    let mut paging = Paging::new(None);
    while let Some((page_size, page_token)) = paging.next() {
        let request = ListOrdersRequest {
            page_size,
            page_token,
            states: vec![v1::OrderState::from(State::Observed).into()],
        };
        let answer = match connection.orders().list_orders(ask(request)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == Code::PermissionDenied => return Ok(None),
            Err(status) => return Err(connection.error(&status)),
        };
        let mut page: Vec<Order> = collect(answer.orders)?;
        paging.fetched(&mut page, answer.next_page_token);
        // Newest first: what follows is older.
        let is_over = page.iter().any(|order| order.given_at() < since);
        found.extend(page.into_iter().filter(|order| order.given_at() >= since));
        if is_over {
            break;
        }
    }
    found.retain(|order| is_of(asked, order));
    Ok(Some(counted(&found)))
}

fn is_of(asked: &Report, order: &Order) -> bool {
    let of = |affected: &Affected| {
        let tenant = affected.tenant.clone().unwrap_or_else(TenantId::provider);
        asked.tenant.as_ref().is_none_or(|wanted| *wanted == tenant)
            && (asked.principal.is_none() || asked.principal == affected.principal)
            && asked
                .host
                .as_ref()
                .is_none_or(|wanted| *wanted == affected.host)
    };
    let is_any = asked.tenant.is_none() && asked.principal.is_none() && asked.host.is_none();
    is_any || order.sessions.iter().any(of)
}

fn counted(orders: &[Order]) -> Ordered {
    let mut rules: BTreeMap<(String, String), OfRule> = BTreeMap::new();
    let mut sessions: BTreeSet<SessionId> = BTreeSet::new();
    for order in orders {
        sessions.extend(order.sessions.iter().map(|affected| affected.session));
        let rule = order.cause.initiator.as_str();
        let rule = rule.strip_prefix("rule ").unwrap_or(rule).to_owned();
        let would = match order.asks {
            Some(_) => format!("ask to {}", order.mode.as_str()),
            None => order.mode.as_str().to_owned(),
        };
        let at = order.given_at();
        let make = || OfRule {
            rule: rule.clone(),
            would: would.clone(),
            times: 0,
            first_at: at,
            last_at: at,
        };
        let of_rule = rules
            .entry((rule.clone(), would.clone()))
            .or_insert_with(make);
        of_rule.times += 1;
        of_rule.first_at = of_rule.first_at.min(at);
        of_rule.last_at = of_rule.last_at.max(at);
    }
    Ordered {
        total: u64::try_from(orders.len()).unwrap_or(u64::MAX),
        sessions: sessions.len(),
        rules: rules.into_values().collect(),
    }
}
