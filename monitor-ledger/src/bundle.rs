//! What is handed out of a ledger: a folder that is checked without the collector.
//!
//! ```text
//! bundle.json          the tenant, and the version of this layout
//! key                  the text of the key that signed
//! checkpoint           the signed tree that the rest is of
//! cosigned             the newest checkpoint that a witness signed; where there is one
//! tile/LEVEL/N         hashes, as c2sp.org/tlog-tiles has them
//! tile/entries/N       the leaves, as there
//! content/N            of each leaf, event and judgement: four bytes of length
//!                      (big-endian), 16 of the blind, and the part; or just
//!                      ff ff ff ff where it is withheld
//! ```
//! In: records in order. Bound: one tile of them in memory, and a hash for
//! each 256.
//!
//! # Layout
//! - [`write`](mod@write): makes one. [`read`]: checks one.

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};

pub mod read;
pub mod write;

pub use read::check;
pub use write::{Opened, Writer};

/// Version of the layout.
pub const VERSION: u32 = 1;
/// The file that tells what the folder is.
pub const FACTS: &str = "bundle.json";
/// The file of the checkpoint that a witness signed.
pub const COSIGNED: &str = "cosigned";
/// The length that stands for a part that is withheld.
const WITHHELD: u32 = u32::MAX;

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    schema_version: u32,
    tenant: String,
}

/// Why a bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder is there and has something in it.
    #[error("{}: not empty; give a folder that is new or empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The records are not those of the checkpoint.
    #[error(
        "the records received do not make the tree that was signed ({records} records): do not rely on this collector, and keep the checkpoint"
    )]
    Root {
        /// How many were received.
        records: u64,
    },
    /// The records end before the tree does.
    #[error("{records} records were received of {size}")]
    Short {
        /// How many were received.
        records: u64,
        /// How many the checkpoint says.
        size: u64,
    },
    /// A part is not what its leaf is a digest of.
    #[error("record {position}: its bytes are not those that were hashed")]
    Part {
        /// The record.
        position: u64,
    },
}
