//! The domain: principals, tenants, grants, sessions, events, verdicts, alerts; and the pure judgement over them.
//!
//! # Layout
//! - [`clock`]: instants as numbers, and the one place that reads a clock.
//! - [`id`]: the identifiers, one newtype each.
//! - [`bytes`]: names that may hold any byte, shown without harm.
//! - [`grant`]: what a principal may do in a tenant, and when.
//! - [`tenant`]: tenants, their network zones, and which of them owns an address.
//! - [`inventory`]: whose credential files are, by where they lie.
//! - [`policy`]: both, and who may use what belongs to no tenant; its version.
//! - [`usage`]: which entries of a grant's scope were ever touched.
//! - [`contain`]: what is done to a session on its host.
//! - [`session`]: one login, and the credential that opened it.
//! - [`event`]: what happened, attributed.
//! - [`live`]: what lives in a session, as a tree.
//! - [`inspect`]: a look at a session on its host.
//! - [`host`]: a jump host, and what its agent can see.
//! - [`verdict`]: the answers of the judgement.
//! - [`mod@evaluate`]: grants and an access in, a verdict out.
//! - [`judge`]: an event and the world in, a judgement out.
//! - [`enforce`]: the same judgement as a table, asked before a connection.
//! - [`alert`]: verdicts that somebody must act on.
//! - [`revocation`]: orders to a broker, and their answers.
//! - [`krl`]: a broker's revocation list on its way to hosts.
//! - [`sentence`]: an event as a person would tell it.
//!
//! Nothing here does I/O, and nothing knows of tokio, tonic or aya: the
//! collector, the agent, the broker and the command line agree because they
//! share these types and functions.
#![forbid(unsafe_code)]

pub mod alert;
pub mod bytes;
pub mod clock;
pub mod contain;
pub mod enforce;
pub mod evaluate;
pub mod event;
pub mod grant;
pub mod host;
pub mod id;
pub mod inspect;
pub mod inventory;
pub mod judge;
pub mod krl;
pub mod live;
pub mod policy;
pub mod revocation;
pub mod sentence;
pub mod session;
pub mod tenant;
pub mod usage;
pub mod verdict;

#[cfg(test)]
mod testing;
