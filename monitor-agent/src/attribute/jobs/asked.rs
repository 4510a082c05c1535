//! Which sessions asked a service manager or the message bus for something.
//!
//! A request's content is not seen, only that a session's process connected. So
//! this can say who may have asked: one session alone, or several.
//!
//! Bound: [`ASKED_MAX`]; the oldest is forgotten.

use std::collections::VecDeque;

use monitor_model::{
    bytes::ByteText,
    clock::UnixNs,
    event::{Action, Attribution, Carrier, Event, LocalAddress, Step},
};

/// Most requests that are remembered.
pub const ASKED_MAX: usize = 1_024;
/// How long a manager may take to start what it was asked for.
const WITHIN_NS: u64 = 10 * 1_000_000_000;

/// Ends of the paths of sockets that take requests: the kernel's own names.
const SOCKETS: [&[u8]; 4] = [
    b"/systemd/private",
    b"/dbus/system_bus_socket",
    b"/bus",
    b"/systemd/io.systemd.Manager",
];

#[derive(Debug)]
struct Request {
    at: UnixNs,
    by: Attribution,
    socket: ByteText,
}

/// The latest requests.
#[derive(Debug, Default)]
pub struct Asked(VecDeque<Request>);

impl Asked {
    /// Learns from a connection of a session.
    pub fn learn(&mut self, event: &Event) {
        let Action::LocalConnect {
            socket: LocalAddress::Unix { path },
            denied: false,
            ..
        } = &event.action
        else {
            return;
        };
        if event.attribution.session.is_none() || !SOCKETS.iter().any(|end| path.0.ends_with(end)) {
            return;
        }
        self.0.push_back(Request {
            at: event.at,
            by: event.attribution.clone(),
            socket: path.clone(),
        });
        if self.0.len() > ASKED_MAX {
            self.0.pop_front();
        }
    }

    /// Who asked shortly before.
    #[must_use]
    pub fn before(&self, now: UnixNs, unit: &[u8]) -> Vec<(Option<Attribution>, Step)> {
        let recent = self
            .0
            .iter()
            .filter(|request| request.at <= now && now.0 - request.at.0 <= WITHIN_NS);
        recent
            .map(|request| {
                let step = Step {
                    carrier: Carrier::TransientUnit,
                    name: ByteText([unit, b" over ", request.socket.0.as_slice()].concat()),
                    at: Some(request.at),
                    session: request.by.session,
                };
                (Some(request.by.clone()), step)
            })
            .collect()
    }
}
