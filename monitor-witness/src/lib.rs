//! Signs ledgers' checkpoints, and only those that go on from what it signed before.
//!
//! Whoever has a ledger's signing key and its machine can write another
//! history. A witness on another machine, with a key of its own, never signs
//! two histories of one log: `c2sp.org/tlog-witness` is what it speaks.
//!
//! # Layout
//! In the order of a request's way:
//! - [`server`]: HTTP/1.1, over TLS or on the machine itself.
//! - [`rate`]: how often one address may ask.
//! - [`submission`]: what is sent, read.
//! - [`witness`]: what is signed and what is refused, and why.
//! - [`logs`]: whose checkpoints are taken.
//! - [`store`]: what was signed last of each log, on disk before it is told.
//! - [`config`]: the checked configuration.
#![forbid(unsafe_code)]

pub mod config;
pub mod logs;
pub mod rate;
pub mod server;
pub mod store;
pub mod submission;
pub mod witness;
