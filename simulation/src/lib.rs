//! Three agents, a collector and a broker in one thread: everything that happens
//! follows from one number, the seed, and can be played again.
//!
//! What runs is what is installed: the agent's worker, spool, standing tables,
//! containment and uplink; the collector's ingest, core, ledgers, state, orders and
//! feed; the broker, its store and its courier; mutual TLS and gRPC between them.
//! Network and time are turmoil's, the kernel is a model ([`kernel`]), and what a
//! program's `main` does is done here, as thin as it can be ([`agent`],
//! [`collector`], [`broker`]). Why so: ADR 41.
//!
//! # Layout
//! - [`chance`]: numbers that follow from the seed. [`entropy`]: the same for what
//!   asks the system for randomness.
//! - [`clock`]: simulated time, and hosts whose clocks are wrong.
//! - [`network`]: turmoil's connections, as tonic and the crates take them.
//! - [`keys`]: certificates of everybody. [`ground`]: the folders of one play.
//! - [`kernel`]: the model of a host's kernel, and the truth of what it gave out.
//! - [`agent`], [`collector`], [`broker`], [`desk`]: who plays.
//! - [`faults`]: what goes wrong, and when. [`stores`]: disks that refuse or forget.
//! - [`play`]: one seed from its beginning to rest. [`verdict`]: whether it holds.
//!   [`panics`]: that no task panicked.
//! - [`trace`]: what happened, as one hash. [`series`]: many seeds.

pub mod agent;
pub mod broker;
pub mod chance;
pub mod clock;
pub mod collector;
pub mod desk;
pub mod entropy;
pub mod faults;
pub mod ground;
pub mod kernel;
pub mod keys;
pub mod network;
pub mod panics;
pub mod play;
pub mod series;
pub mod stores;
pub mod trace;
pub mod verdict;

pub use play::{Outcome, Sabotage, play};
