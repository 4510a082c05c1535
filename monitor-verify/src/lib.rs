//! The equation, from outside: `produced in the kernel = stored once + named gaps`.
//!
//! Beside the programs that it judges, and without their code but for the formats
//! of files: it reads the kernel's counters, an agent's spool and a collector's
//! ledgers, and says for each stream of numbers where every number is, or where
//! the equation breaks.
//!
//! # Layout
//! - [`equation`]: numbers of one stream, and where they are. Pure.
//! - [`kernel`]: how many numbers the probes gave out, from their pinned counters.
//! - [`spool`]: what an agent holds that is not acked, and how far it read.
//! - [`ledgers`]: what a collector stored, and the gaps that were named.
//! - [`books`]: all of them together, in the order in which they must be read.
//! - [`cli`]: arguments, output, exit codes.
#![forbid(unsafe_code)]

pub mod books;
pub mod cli;
pub mod equation;
pub mod kernel;
pub mod ledgers;
pub mod spool;
