//! The ledger's formats, and the check of them.
//!
//! What is kept of a tenant can be checked without the programs that wrote it:
//! this crate reads the files, and knows nothing of sessions, grants or alerts.
//! The collector writes with the same formats. `docs/reference/ledger.md` tells
//! them to whoever wants to write another check.
//!
//! # Layout
//! - [`leaf`]: what of a record goes into the tree.
//! - [`merkle`]: the tree's hashes, and its right edge while it grows.
//! - [`proof`]: inclusion and consistency, made and checked.
//! - [`tile`]: the tree in files of 256 hashes.
//! - [`checkpoint`]: the tree's size and root, signed; [`key`]: who signs.
//! - [`cosignature`]: a witness's signature beside the log's.
//! - [`file`](mod@file): a tenant's SQLite file, of [`block`]s; [`index`]: what their
//!   records are found by, [`postings`]: in which blocks; [`bundle`]: what is handed out.
//! - [`receipt`]: what became of a revocation order, signed.
//! - [`chain`]: how ledgers of layout 1 were linked, for taking them over.
//! - [`seal`]: encryption at rest.
//! - [`intervals`]: sets of numbers. [`sequences`]: numbers held and missing, stream by stream.
//! - [`check`]: one walk over all records of either.
#![forbid(unsafe_code)]

pub mod block;
pub mod bundle;
pub mod chain;
pub mod check;
pub mod checkpoint;
pub mod cosignature;
pub mod file;
pub mod index;
pub mod intervals;
pub mod key;
pub mod leaf;
pub mod merkle;
pub mod postings;
pub mod proof;
pub mod receipt;
pub mod seal;
pub mod sequences;
pub mod tile;

pub use merkle::Hash;
