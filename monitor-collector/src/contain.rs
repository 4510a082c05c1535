//! Containment: which commands go to one agent's stream, and when again. Pure.
//!
//! In: the open commands, by level. Out: those that are due on this stream.
//! A command is due at once, again at every new stream, and again after
//! [`REPEAT_AFTER`] until the receipt takes it out of the tables.
//! Bound: one open command a session. Loss: none.

use std::{collections::HashMap, time::Duration};

use monitor_model::{
    clock::UnixNs,
    contain::ContainMode,
    id::{AgentName, OrderId, SessionId},
};

use crate::tables::Command;

/// How long a receipt is waited for before a command is repeated.
pub const REPEAT_AFTER: Duration = Duration::from_secs(5);

/// The commands of one agent's stream.
#[derive(Debug)]
pub struct CommandDesk {
    host: AgentName,
    sent: HashMap<(OrderId, SessionId, ContainMode), UnixNs>,
}

impl CommandDesk {
    /// A desk for a new stream: nothing was sent on it.
    #[must_use]
    pub fn new(host: AgentName) -> Self {
        Self {
            host,
            sent: HashMap::new(),
        }
    }

    /// The commands that are due; they count as sent.
    pub fn due(&mut self, open: &[Command], now: UnixNs) -> Vec<Command> {
        let mine = |command: &&Command| command.host == self.host;
        let still: HashMap<_, _> = open
            .iter()
            .filter(mine)
            .filter_map(|command| {
                let key = (command.order, command.session, command.mode);
                self.sent.get(&key).map(|&at| (key, at))
            })
            .collect();
        self.sent = still;
        let mut due = Vec::new();
        for command in open.iter().filter(|command| command.host == self.host) {
            let key = (command.order, command.session, command.mode);
            let wait = self
                .sent
                .get(&key)
                .is_some_and(|&at| now.since(at) < REPEAT_AFTER);
            if !wait {
                self.sent.insert(key, now);
                due.push(command.clone());
            }
        }
        due
    }

    /// Whether a receipt is waited for.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.sent.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use monitor_model::contain::ContainMode;

    use super::*;
    use crate::testing::{BASE, session_id};

    #[test]
    fn a_command_is_repeated_until_its_receipt() {
        let command = Command {
            order: OrderId::from_parts(BASE, 1),
            session: session_id(1),
            host: "jump-1".parse().unwrap(),
            mode: ContainMode::Kill,
            reason: "r".into(),
        };
        let other = Command {
            host: "jump-2".parse().unwrap(),
            ..command.clone()
        };
        let open = [command.clone(), other];
        let mut desk = CommandDesk::new("jump-1".parse().unwrap());
        let one = std::slice::from_ref(&command);
        assert_eq!(desk.due(&open, BASE), one);
        assert!(desk.due(&open, BASE).is_empty());
        assert_eq!(desk.due(&open, BASE.plus(REPEAT_AFTER)), one);
        assert!(desk.due(&[], BASE).is_empty());
        assert!(!desk.waits());
        assert_eq!(
            CommandDesk::new("jump-1".parse().unwrap()).due(&open, BASE),
            one
        );
    }
}
