//! What of an event is about other sessions than its own. Pure.
//!
//! Another session, and what runs in it, may be another tenant's. Who reads one
//! tenant's ledger gets neither as data nor in the words of an alert.

use monitor_model::{
    bytes::ByteText,
    event::{Action, Event, ProcessRef, Step},
    id::SessionId,
};

/// Leaves out which other sessions an event tells of, and what runs in them: of
/// another process its number is left.
pub fn without_other_sessions(event: &mut Event) {
    let own = event.attribution.session;
    let foreign = |step: &&mut Step| step.session.is_some() && step.session != own;
    for step in event.attribution.way.iter_mut().filter(foreign) {
        step.session = None;
        step.name = ByteText::default();
    }
    match &mut event.action {
        Action::Contradiction {
            process,
            says,
            value,
            ..
        } => {
            strip(process, own);
            if says.is_some() && *says != own {
                *says = None;
                *value = ByteText::default();
            }
        }
        Action::Memory { target, .. }
        | Action::Signal { target, .. }
        | Action::JobStarted { leader: target, .. } => strip(target, own),
        Action::LocalConnect { peer: target, .. } | Action::Host { target, .. } => {
            if let Some(target) = target {
                strip(target, own);
            }
        }
        Action::Survivors { processes, .. } => {
            for process in processes {
                strip(process, own);
            }
        }
        Action::Exec { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::Connect { .. }
        | Action::Credential { .. }
        | Action::Socket { .. }
        | Action::Identity { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => {}
    }
}

fn strip(process: &mut ProcessRef, own: Option<SessionId>) {
    if process.session != own {
        process.session = None;
        process.exe = None;
    }
}
