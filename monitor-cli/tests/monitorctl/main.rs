//! The program itself against a collector that speaks real gRPC over real
//! mutual TLS and tells what the test gave it: what is under test is how
//! things are shown, resumed and refused.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a test that breaks says where"
)]

mod broker;
mod collector;
mod conformance;
mod errors;
mod evidence;
mod facts;
mod inspect;
mod lists;
mod program;
mod questions;
mod revoke;
mod tail;
mod tree;
