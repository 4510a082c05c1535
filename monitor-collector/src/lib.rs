//! Receives the events of all agents, judges them, keeps the ledgers and revokes.
//!
//! # Layout
//! In the order of an event's way:
//! - [`ingest`]: agents' streams; batches up, acks, tables and commands down.
//! - [`dedupe`]: drops what the ledgers hold already.
//! - [`ledger`]: one tamper-evident file a tenant.
//! - [`core`]: the stages that must move in step, on one thread: dedupe, judge
//!   (`monitor_model::judge`), ledger, and what follows from stored events.
//! - [`sessions`], [`processes`], [`alert`], [`uses`]: what follows from stored events.
//! - [`revoke`], [`contain`]: answers, at the broker and on the hosts.
//! - [`witness`]: checkpoints to a witness on another machine.
//!
//! Around it:
//! - [`config`]: the checked configuration.
//! - [`rejudge`]: judgements made again from what is stored.
//! - [`reads`]: reads by people, counted.
//! - [`reseal`]: another key in the place of the one that ledgers and state are sealed with.
//! - [`state`]: what is kept besides the ledgers.
//! - [`writer`]: the thread that owns the core, and group commit.
//! - [`tables`]: what the writer tells everybody else. [`scopes`]: what hosts are
//!   given of it to refuse connections by themselves.
//! - [`service`]: the tonic edge for people and brokers.
//! - [`pipeline`]: the wiring of all of it.
//! - [`outside`]: what of an event is about other sessions.
//! - [`admission`]: who may call at all.
//! - [`entropy`]: random bytes. [`hex`]: bytes as digits. [`http`]: one address over HTTP.
#![forbid(unsafe_code)]

pub mod admission;
pub mod alert;
pub mod config;
pub mod contain;
pub mod core;
pub mod dedupe;
pub mod entropy;
pub mod hex;
pub mod http;
pub mod ingest;
pub mod ledger;
pub mod outside;
pub mod pipeline;
pub mod processes;
pub mod reads;
pub mod rejudge;
pub mod reseal;
pub mod revoke;
pub mod scopes;
pub mod service;
pub mod sessions;
pub mod state;
pub mod tables;
pub mod uses;
pub mod witness;
pub mod writer;

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests;
