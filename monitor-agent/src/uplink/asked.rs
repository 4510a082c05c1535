//! What the collector asks of one session: to be ended, frozen, released, or
//! looked at. Done off the stream, so that acks and what is asked of other
//! sessions do not wait; answers go up by a way of their own.

use std::sync::Arc;

use monitor_model::{
    id::{OrderId, SessionId},
    inspect::NotShown,
};
use monitor_proto::{
    convert::contain_mode,
    v1::{self, stream_request},
};
use tracing::error;

use super::{Flight, Uplink, request};
use crate::contain::{Command, Origin};

impl Uplink {
    /// Off the stream, and on the receipts' way up: batches do not wait for it.
    pub(super) fn inspect(&self, asked: &v1::InspectCommand, flight: &Flight) {
        let v1::InspectCommand { question, session } = asked;
        let (question, session) = (*question, SessionId::from_slice(session));
        let (inspector, answers) = (self.inspector.clone(), flight.receipts.clone());
        tokio::spawn(async move {
            let (seen, _place) = match session {
                Ok(session) => inspector.look(session).await,
                Err(_) => (Err(NotShown::Unknown), None),
            };
            let answer = Some((&seen).into());
            let answer = stream_request::Message::Inspected(v1::InspectAnswer { question, answer });
            // The stream is gone, and whoever asked knows it.
            let _ = answers.send(request(answer)).await;
        });
    }

    /// Off the stream: acks and orders about other sessions do not wait for this
    /// one, and one session's are carried out in the order of the stream.
    pub(super) fn contain(&self, message: &v1::ContainCommand, flight: &Flight) {
        let received_at = self.clock.now();
        let parsed = (
            OrderId::from_slice(&message.order),
            SessionId::from_slice(&message.session),
        );
        let (Ok(order), Ok(session)) = parsed else {
            error!("An order to end a session names none that can be read; nothing was touched.");
            return;
        };
        let Ok(mode) = contain_mode(message.mode) else {
            error!(%order, %session, mode = message.mode, "An order wants what this agent does not know; nothing was touched.");
            return;
        };
        let command = Command {
            order,
            session,
            mode,
            reason: message.reason.clone(),
            origin: Origin::Collector,
        };
        // Lined up here, in the order in which the collector sent them.
        let Some(ticket) = self.containment.line_up(&command) else {
            return;
        };
        let containment = Arc::clone(&self.containment);
        let receipts = flight.receipts.clone();
        tokio::spawn(async move {
            let receipt = containment.in_turn(ticket, &command, received_at).await;
            let receipt = stream_request::Message::Receipt(v1::Receipt::from(&receipt));
            // The stream is gone: the order is repeated on the next.
            let _ = receipts.send(request(receipt)).await;
        });
    }
}
