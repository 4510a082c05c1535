//! What agents send to the collector, and what readers come back with.

use monitor_collector::service::cursor::{Seal, Subject};
use monitor_model::{event::Receipt, krl::ListInPlace};
use monitor_proto::{
    convert::Answered, decode_event, encode_event, v1, v1::stream_request::Message,
};
use monitor_transport::identity::Identity;
use prost::Message as _;

/// An event is the same when it is written and read again: the agent encodes it
/// once, and everybody after it decodes those bytes.
pub(crate) fn event(bytes: &[u8]) -> bool {
    let Ok(event) = decode_event(bytes) else {
        return false;
    };
    let again = decode_event(&encode_event(&event));
    assert!(
        again.as_ref().is_ok_and(|again| *again == event),
        "{event:?} became {again:?}"
    );
    true
}

pub(crate) fn upward(bytes: &[u8]) -> bool {
    let Ok(request) = v1::StreamRequest::decode(bytes) else {
        return false;
    };
    match request.message {
        Some(Message::Hello(_) | Message::Leaving(_)) => true,
        Some(Message::Batch(batch)) => batch.events.iter().all(|bytes| event(bytes)),
        Some(Message::Receipt(receipt)) => {
            let Ok(receipt) = Receipt::try_from(receipt) else {
                return false;
            };
            let again = Receipt::try_from(v1::Receipt::from(&receipt));
            assert!(
                again.as_ref().is_ok_and(|again| *again == receipt),
                "{receipt:?} became {again:?}"
            );
            true
        }
        Some(Message::List(place)) => {
            let place = ListInPlace::from(place);
            let again = ListInPlace::from(v1::ListInPlace::from(&place));
            assert_eq!(again, place, "a place is what it was");
            true
        }
        Some(Message::Inspected(answer)) => {
            let Ok((question, seen)) = Answered::try_from(answer) else {
                return false;
            };
            let answer = Some((&seen).into());
            let again = Answered::try_from(v1::InspectAnswer { question, answer });
            assert!(
                again.as_ref().is_ok_and(|again| *again == (question, seen)),
                "a look became {again:?}"
            );
            true
        }
        Some(Message::Alive(alive)) => alive.unhooked.iter().all(|family| !family.is_empty()),
        None => false,
    }
}

/// A cursor that opens is one that the same seal would give.
pub(crate) fn cursor(bytes: &[u8]) -> bool {
    let (Ok(text), Ok(identity)) = (
        std::str::from_utf8(bytes),
        "monitor://soc/soc".parse::<Identity>(),
    ) else {
        return false;
    };
    let seal = Seal::new([7; 32]);
    let subject = Subject::new(&identity, &v1::EventFilter::default(), true);
    let Ok(after) = seal.open(&subject, text) else {
        return false;
    };
    let again = seal.open(&subject, &seal.cursor(&subject, after));
    assert_eq!(again, Ok(after), "{text} opens once");
    true
}
