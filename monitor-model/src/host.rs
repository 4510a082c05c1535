//! A jump host, as its agent last told of itself.

use serde::Serialize;

use crate::{
    clock::UnixNs,
    event::{Action, Event, HookState},
    id::{AgentName, BootId},
};

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Its agent, as the certificate names it.
    pub host: AgentName,
    /// The boot that the agent watches.
    pub boot: BootId,
    /// When the agent began to watch, last.
    pub started_at: UnixNs,
    /// Version of the agent.
    pub version: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Whether it took over probes that were already running.
    pub resumed: bool,
    /// What it can see.
    pub hooks: Vec<HookState>,
}

impl Host {
    /// What an event tells of a host; none unless its agent began to watch.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let Action::AgentStarted {
            version,
            kernel,
            resumed,
            hooks,
        } = &event.action
        else {
            return None;
        };
        Some(Self {
            host: event.id.agent.clone(),
            boot: event.id.boot,
            started_at: event.at,
            version: version.clone(),
            kernel: kernel.clone(),
            resumed: *resumed,
            hooks: hooks.clone(),
        })
    }

    /// Hook families that see nothing at all.
    pub fn blind(&self) -> impl Iterator<Item = &HookState> {
        self.hooks.iter().filter(|hook| hook.tier.is_none())
    }
}
