//! What Sigma rules are shown of an event, by the names of their fields.

use monitor_model::{
    bytes::PathLabel,
    event::{Action, Event, Operation},
};

/// What Sigma rules are shown of an event.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(super) event: sigma_rust::Event,
    /// Fields whose text was cut: what looks at one is not asked.
    pub(super) cut: Vec<&'static str>,
}

/// What rules are shown of an event; none of kinds that no rule looks at.
pub(crate) fn shown(event: &Event) -> Option<Shown> {
    let mut shown = Shown {
        event: sigma_rust::Event::new(),
        cut: Vec::new(),
    };
    match &event.action {
        Action::Exec {
            exe,
            argv,
            argv_truncated,
            ..
        } => {
            shown.path("Image", &exe.path);
            let arguments: Vec<String> = argv.iter().map(ToString::to_string).collect();
            if *argv_truncated {
                shown.cut.push("CommandLine");
            } else {
                shown.event.insert("CommandLine", arguments.join(" "));
            }
        }
        Action::Connect { destination, .. } => {
            shown
                .event
                .insert("DestinationIp", destination.address.to_string());
            shown
                .event
                .insert("DestinationPort", i32::from(destination.port));
            shown
                .event
                .insert("Protocol", destination.protocol.to_string());
            shown.event.insert("Initiated", "true");
            shown.actor(event);
        }
        Action::Credential { operation, .. } if operation.is_change() => {
            shown.file(&event.action);
            shown.actor(event);
        }
        Action::Credential { .. }
        | Action::Fork { .. }
        | Action::Exit { .. }
        | Action::LocalConnect { .. }
        | Action::Socket { .. }
        | Action::Memory { .. }
        | Action::Identity { .. }
        | Action::Signal { .. }
        | Action::Host { .. }
        | Action::SessionOpened { .. }
        | Action::SessionEnded { .. }
        | Action::Contradiction { .. }
        | Action::Survivors { .. }
        | Action::JobStarted { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. }
        | Action::Read { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => return None,
    }
    if let Some(process) = &event.process {
        shown.event.insert("ProcessId", i64::from(process.pid));
        shown
            .event
            .insert("ParentProcessId", i64::from(process.parent_pid));
    }
    Some(shown)
}

impl Shown {
    fn path(&mut self, field: &'static str, path: &PathLabel) {
        if path.truncated {
            self.cut.push(field);
        } else {
            self.event.insert(field, path.text.to_string());
        }
    }

    /// What was changed, by the name that it has after it.
    fn file(&mut self, action: &Action) {
        let Action::Credential {
            object,
            operation,
            other,
            ..
        } = action
        else {
            return;
        };
        match (operation, other) {
            (_, Some(name)) => self.path("TargetFilename", name),
            // The folder is known, the new name in it is not.
            (Operation::Created | Operation::Symlinked, None) => self.cut.push("TargetFilename"),
            (_, None) => self.path("TargetFilename", &object.path),
        }
    }

    fn actor(&mut self, event: &Event) {
        let process = event.process.as_ref();
        if let Some(exe) = process.and_then(|process| process.exe.as_ref()) {
            self.path("Image", exe);
        }
    }
}
