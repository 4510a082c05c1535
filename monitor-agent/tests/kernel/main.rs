//! The probes in the running kernel: what they see, what they miss, what they
//! survive. Needs root and an agent that was built with probes.
//!
//! Each test loads probes of its own, in a folder of its own, so tests run side
//! by side. What is to be seen is done by an *actor*: this program started
//! again, told by its environment what to do, marked before it begins.

#![expect(clippy::print_stderr, reason = "a test that is skipped says so aloud")]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "tests pick what they look for"
)]
#![expect(clippy::as_conversions, reason = "lengths in tests are small")]
#![expect(clippy::print_stdout, reason = "an actor says what it did")]

mod actor;
mod canary;
mod connect;
mod containment;
mod credential;
mod deeds;
mod enforce;
mod exec;
mod flood;
mod follow;
mod foreign;
mod host_change;
mod input;
mod local;
mod memory;
mod pins;
mod rig;
mod ring;
mod scope_cost;
mod sessions;
mod sight;
mod socket;
mod watcher;
