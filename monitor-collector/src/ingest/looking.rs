//! Looks who is heard, so often that nobody is silent unseen.
//!
//! In: the streams' lives. Out: to the writer, who is there, as soon as somebody
//! falls silent, is heard again, goes blind, sees again or is there twice, and
//! every [`ANYHOW`] without. Bound: one look at a time. Loss: none; a writer that
//! cannot answer tells why, and is asked again.

use std::{collections::HashMap, sync::Arc, time::Duration};

use monitor_model::id::AgentName;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::agents::Agents;
use crate::{
    alert::hosts::{Present, Sight},
    writer::{Request, Writer},
};

/// How often the lives are looked at; a fraction of [`super::attention::STEP_MAX`],
/// so that time counts wholly where the collector has its turns.
const EVERY: Duration = Duration::from_millis(100);
/// How often the writer looks though nothing changed: at what it alone knows,
/// which is hosts that have not come yet, and orders whose time is over.
const ANYHOW: Duration = Duration::from_secs(2);

/// How an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Well,
    Silent,
    Blind,
}

/// Tells the writer who is there, until `stop`.
pub async fn look(writer: Writer, agents: Arc<Agents>, stop: CancellationToken) {
    let mut told = HashMap::new();
    let mut due = Instant::now() + ANYHOW;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let present = agents.look();
        let states = states(&present, agents.silent());
        if states == told && present.twice.is_empty() && Instant::now() < due {
            continue;
        }
        let again = present.clone();
        match writer.ask(|reply| Request::Look(present, reply)).await {
            Ok(()) => told = states,
            Err(_) => agents.not_told(again),
        }
        due = Instant::now() + ANYHOW;
    }
}

fn states(present: &Present, silent: Duration) -> HashMap<AgentName, State> {
    let lives = present.lives.iter();
    lives
        .map(|(name, seen)| {
            let state = match &seen.sight {
                _ if seen.unheard >= silent => State::Silent,
                Sight::Clear => State::Well,
                Sight::Nothing(_) | Sight::Unhooked(_) => State::Blind,
            };
            (name.clone(), state)
        })
        .collect()
}
