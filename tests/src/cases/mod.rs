//! Cases as data: what is done in a session, and what must be seen of it.
//!
//! The format is `docs/reference/cases.md`: change both together.
//!
//! # Layout
//! - `expect`: `expect.toml`, read and checked
//! - `discover`: the cases of a folder
//! - `needs`: what a case wants of the machine, and whether it is there
//! - `ground`: the folders, variables and objects of a case
//! - `session`: real sessions that play the scripts
//! - `end`: how it is known that everything has come
//! - `sensing`: what the agent says it can see, and what not
//! - `compare`: what came against what was expected, pure
//! - `alerts`: the alerts that a case raises, against the most that it may
//! - `runner`: one case after another on one stage
//! - `report`: the table and the JSON

pub mod alerts;
pub mod compare;
pub mod discover;
pub mod end;
pub mod expect;
pub mod ground;
pub mod needs;
pub mod report;
pub mod runner;
pub mod sensing;
pub mod session;
