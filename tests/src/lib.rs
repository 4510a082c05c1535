//! The demo's stage and scene, and what tests that cross programs share.
//!
//! Drives the built programs as processes, like an outsider: it knows their
//! command lines, configuration files and JSON, and none of their code.
//!
//! # Layout
//! - `clock`: the present instant; `poll`: waits for a condition, never for time
//! - `command`: runs other programs, with errors that say which and why
//! - `interrupt`: Ctrl-C, asked for and never jumped to
//! - `processes`: what runs, by pid and start time
//! - `stage`: network, accounts, sshd and services, set up and taken down
//! - `engineer`: a person with a key, a grant and a real ssh client
//! - `facts`: what `monitorctl tail` says, as it says it
//! - `scene`: the main job, step by step; `steps`: what happened of it
//! - `timeline`: one line an event on the screen
//! - `player`: what the programs that play on a stage share
//! - `test_stage`: a stage for one end-to-end test
//! - `completeness`: whether the ledgers hold every number, once; `equation`: the same, from the kernel's counters on
//! - `cases`: cases as data, played one after another
//! - `watch`: the real sessions of this machine instead of a scene
//! - `faults`: parts that fail while people work, and what is lost by it: nothing
//! - `bench`: the loop from kernel event to refused login, many times
//! - `steady`: the whole pipeline at a steady rate

pub mod bench;
pub mod cases;
pub mod clock;
pub mod command;
pub mod completeness;
pub mod engineer;
pub mod equation;
pub mod facts;
pub mod faults;
pub mod interrupt;
pub mod player;
pub mod poll;
pub mod processes;
pub mod scene;
pub mod stage;
pub mod steady;
pub mod steps;
pub mod test_stage;
pub mod timeline;
pub mod watch;
