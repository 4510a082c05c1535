//! The public contract, generated from monitor/v1/*.proto, and its conversion to the model.
//!
//! # Layout
//! - [`v1`]: generated messages, clients and servers; handled only at the tonic edge.
//! - [`mask`]: which parts of a judged event are sent.
//! - [`convert`]: the only code that maps messages to the model and back.
//! - [`encode_event`], [`decode_event`]: the one encoding of an event.
#![forbid(unsafe_code)]

use monitor_model::event::Event;
use prost::Message as _;

pub mod convert;
pub mod mask;

/// Generated messages, clients and servers of package `monitor.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("monitor.v1");
}

pub use convert::InvalidMessage;

/// The compiled descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/monitor_descriptor.bin"));

/// Encodes an event. Done once, by the agent; the bytes are kept from then on.
#[must_use]
pub fn encode_event(event: &Event) -> Vec<u8> {
    v1::Event::from(event).encode_to_vec()
}

/// Decodes an event's bytes.
///
/// # Errors
/// [`InvalidMessage`] when they are not an event or a field makes no sense.
pub fn decode_event(bytes: &[u8]) -> Result<Event, InvalidMessage> {
    v1::Event::decode(bytes)?.try_into()
}
