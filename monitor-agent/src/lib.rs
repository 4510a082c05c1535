//! Watches one jump host: probes, attribution, spool, uplink, containment, and the hooks that sshd calls.
//!
//! # Layout
//! The way of one event, one module a stage, as [`pipeline`] wires them:
//! - [`kernel`]: probes and rings; the only place that knows the kernel.
//! - [`sequence`]: what came, what came again, what never came.
//! - [`attribute`]: kernel records to events; sessions, programs, names.
//! - [`redact`]: secrets out of arguments.
//! - [`spool`]: the durable queue, and what must be true together with it.
//! - [`uplink`]: the stream to the collector.
//!
//! Beside it:
//! - [`login`]: the socket that sshd's hooks ask, and those hooks.
//! - [`standing`]: grants and denials in force, kept for logins without a collector.
//! - [`contain`]: ends one session, with a receipt.
//! - [`enforce`]: holds sessions to their grants in the kernel.
//! - [`expiry`]: ends sessions whose grants are over.
//! - [`inspect`]: what lives in a session now, and what it holds open.
//! - [`krl`]: keeps the broker's revocation list where sshd reads it.
//! - [`marks`]: what the agent asks the kernel about sessions.
//! - [`watch`]: configured patterns to watched files.
//! - [`sight`]: whether the probes see.
//! - [`counters`]: what is counted. [`lossy`]: text of which others wrote a part.
//! - [`config`], [`cli`], [`doctor`], [`run`]: the edges.

pub mod attribute;
pub mod cli;
pub mod config;
pub mod contain;
pub mod counters;
pub mod directory;
pub mod doctor;
pub mod enforce;
pub mod expiry;
pub mod inspect;
pub mod kernel;
pub mod krl;
pub mod login;
pub mod lossy;
pub mod marks;
pub mod mountinfo;
pub mod note;
pub mod pipeline;
pub mod redact;
pub mod run;
pub mod sequence;
pub mod sight;
pub mod spool;
pub mod standing;
pub mod uplink;
pub mod watch;
