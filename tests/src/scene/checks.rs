//! What a step is checked against: events, alerts and orders as they are told.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::SEEN_WITHIN;
use crate::command::{self, command};
use crate::engineer::{Engineer, Grant};
use crate::facts::{Fact, Facts};
use crate::poll;
use crate::stage::{Stage, config, network};

/// How long broker and host may take to confirm.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// The command that connects to a tenant.
#[must_use]
pub fn curl(tenant: &str) -> String {
    format!(
        "curl -sS -m 5 --interface {} http://{}/",
        network::interface(tenant),
        network::SERVICE
    )
}

/// Whether an event is a connection by the tenant's interface.
#[must_use]
pub fn goes_to(fact: &Fact, tenant: &str) -> bool {
    fact.text("/event/action/destination/interface") == network::interface(tenant)
        && fact.number("/event/action/destination/port") == Some(8080)
}

/// Waits for an event of a session, and requires its verdict.
///
/// # Errors
/// It did not come, or was judged otherwise.
pub fn expect(
    facts: &Facts,
    session: &str,
    verdict: &str,
    kind: &str,
    is: impl Fn(&Fact) -> bool,
) -> Result<Fact> {
    let what = format!("an event of kind {kind} in session {session}");
    let fact = facts.wait(&what, SEEN_WITHIN, |fact| {
        fact.is_event(kind) && fact.session() == session && is(fact)
    })?;
    if fact.verdict() != verdict {
        bail!(
            "{:?} should be {verdict}, and was judged {:?}",
            fact.text("/what"),
            fact.text("/verdict_text")
        );
    }
    Ok(fact)
}

/// The alert that an event raised, with the response that policy asks for.
///
/// # Errors
/// None came, or with another response.
pub fn alert_of(facts: &Facts, session: &str, response: &str, event: &Fact) -> Result<Fact> {
    let id = event.text("/event/id");
    let alert = facts.wait("an alert", SEEN_WITHIN, |fact| {
        fact.is_alert() && fact.session() == session && fact.text("/alert/event") == id
    })?;
    let found = alert.text("/alert/response");
    ensure!(
        found == response,
        "the response should be {response}, and is {found:?}"
    );
    Ok(alert)
}

/// The session that a login was bound to: to this engineer and this grant.
///
/// # Errors
/// It was bound to something else.
pub(super) fn bound_session(fact: &Fact, engineer: &Engineer, grant: &Grant) -> Result<String> {
    for (place, expected) in [
        ("/event/action/session/principal", &engineer.name),
        ("/event/action/session/tenant", &grant.tenant),
        ("/event/action/session/grants/0", &grant.id),
        ("/event/action/session/ticket", &grant.ticket),
    ] {
        let found = fact.text(place);
        ensure!(
            found == expected,
            "{place} should be {expected:?}, and is {found:?}"
        );
    }
    Ok(fact.text("/event/action/session/id").to_owned())
}

/// The times of an order, once broker and host have confirmed it.
///
/// # Errors
/// One of them has not in time.
pub fn confirmed_times(stage: &Stage, order: &str) -> Result<Value> {
    let variables = config::variables(&stage.folder, "monitorctl.env")?;
    let start = Instant::now();
    poll::until(
        "the order confirmed by broker and host",
        SEEN_WITHIN,
        || {
            let mut show = command(
                stage.folder.program("monitorctl"),
                ["order", order, "-o", "json"],
            );
            let text = command::stdout(show.envs(variables.clone()))?;
            let value: Value = serde_json::from_str(&text)
                .with_context(|| format!("`monitorctl order` said what is not JSON: {text}"))?;
            let times = value
                .pointer("/order/times")
                .with_context(|| format!("times in {text}"))?;
            let has = |name: &str| times.get(name).and_then(Value::as_u64).is_some();
            let complete = has("broker_answered") && has("last_process_gone");
            if !complete && start.elapsed() > poll::allowed(CONFIRMED_WITHIN) {
                bail!("the order is not confirmed: {text}");
            }
            Ok(complete.then(|| times.clone()))
        },
    )
}
