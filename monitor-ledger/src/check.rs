//! One walk over all records, in their order, and what it finds.
//!
//! In: records of a file or a bundle, and checkpoints, kept beside them or held
//! by who asks. Out: a [`Report`], or the first [`Fault`]. Nothing that is read
//! is believed: every hash is made again, up to the root that was signed.
//! Bound: 64 hashes, the checkpoints, and [`crate::sequences::RANGES_MAX`]
//! ranges in memory.
//!
//! # Layout
//! - `cosigned`: the checkpoint that a witness signed.
//! - [`file`]: a tenant's SQLite file.
//! - [`folder`]: whatever is at a path.
//! - `removals`: what was removed was said to be.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    io,
    path::PathBuf,
};

use monitor_model::event::Event;
use serde::Serialize;

use self::removals::Removals;
use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    cosignature::WitnessKey,
    key::{KeyError, VerifierKey},
    leaf::Leaf,
    merkle::{Frontier, Hash, Kept},
    proof::{self, Hashes, Tree},
    seal::{SealKey, SecretsError},
    sequences::Sequences,
};

mod cosigned;
pub mod file;
pub mod folder;
mod removals;

/// What the one who asks brings along.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Keys that were handed over before; with none, the key that lies beside
    /// the records is taken, and the report says so.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints that were handed over before.
    pub held: Vec<Vec<u8>>,
    /// Keys of witnesses, of which one must have signed.
    pub witnesses: Vec<WitnessKey>,
    /// What opens a ledger that is sealed.
    pub seal: Option<SealKey>,
}

impl Trust {
    /// The checkpoints of one tenant's log; its name ends with the tenant's.
    pub(crate) fn of_tenant(&self, tenant: &str) -> Self {
        let of_tenant = |note: &&Vec<u8>| {
            Checkpoint::read(note).is_ok_and(|held| is_log_of(&held.origin, tenant))
        };
        Self {
            keys: self.keys.clone(),
            held: self.held.iter().filter(of_tenant).cloned().collect(),
            witnesses: self.witnesses.clone(),
            seal: self.seal.clone(),
        }
    }
}

/// Whether a log's name is that of a tenant's log.
fn is_log_of(origin: &str, tenant: &str) -> bool {
    origin
        .rsplit_once('/')
        .is_some_and(|(_, last)| last == tenant)
}

/// What was found in a ledger that is whole.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The tenant.
    pub tenant: String,
    /// Records whose hashes were made again.
    pub records: u64,
    /// Parts (events, judgements) that are not there, their digests are.
    pub withheld: u64,
    /// Roots of subtrees that were compared.
    pub nodes: u64,
    /// Checkpoints whose signature and root were checked.
    pub checkpoints: u64,
    /// Of them, those that the one who asks had held.
    pub held: u64,
    /// Proofs of inclusion and consistency that were made and checked.
    pub proofs: u64,
    /// Size of the checkpoint that lies there as cosigned; 0 without one.
    pub cosigned: u64,
    /// Which witness signed it, of those whose keys were given; empty for none.
    pub witness: String,
    /// When it did by its own clock, nanoseconds since 1970.
    pub cosigned_at: Option<u64>,
    /// When the newest record was stored, nanoseconds since 1970.
    pub newest_at: Option<u64>,
    /// Records after the newest checkpoint: nothing signed speaks for them.
    pub unsigned: u64,
    /// The root over all records, hexadecimal.
    pub root: String,
    /// The key that signed; empty without checkpoints.
    pub key: String,
    /// Whether the key was only found beside the records.
    pub key_unproved: bool,
    /// Streams of sequence numbers.
    pub streams: usize,
    /// Gaps that agents named.
    pub gaps: u64,
    /// Numbers held and missing.
    #[serde(skip)]
    pub sequences: Sequences,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first record that may be wrong, from 1.
    pub first: u64,
    /// The last that may be; the same when it is this one.
    pub last: u64,
    /// What is wrong.
    pub cause: String,
}

impl Fault {
    /// Of one record.
    #[must_use]
    pub fn at(position: u64, cause: impl Into<String>) -> Self {
        Self {
            first: position,
            last: position,
            cause: cause.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, cause } = self;
        if first == last {
            write!(f, "first bad record {first}: {cause}")
        } else {
            write!(f, "first bad record between {first} and {last}: {cause}")
        }
    }
}

/// Why a ledger was not found whole.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It is not what was written.
    #[error("{}: BROKEN: {fault}", path.display())]
    Broken {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        fault: Fault,
    },
    /// SQLite cannot read it.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to check.
    #[error(
        "{}: neither a ledger nor a bundle; give a collector's data_dir, a ledger's .db file, or the folder of an export", path.display()
    )]
    Nothing {
        /// What was given.
        path: PathBuf,
    },
    /// It is sealed, and cannot be opened.
    #[error("{}: {source}", path.display())]
    Seal {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: SecretsError,
    },
    /// It was written by another version.
    #[error("{}: layout {found:?}; this program knows {known:?}: use the program that wrote it, or start the collector once, which takes it over", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What would be right.
        known: &'static str,
    },
    /// A checkpoint that was held cannot be used.
    #[error("the checkpoint given: {0}")]
    Held(CheckpointError),
    /// A checkpoint that was held is of no ledger here.
    #[error(
        "the checkpoint given is of {origin:?}, which is not among what was checked: a ledger is missing, or give its checkpoint with its ledger"
    )]
    HeldElsewhere {
        /// The log that it is of.
        origin: String,
    },
}

/// A root that must come out at some size.
struct Mark {
    root: Hash,
    what: &'static str,
}

/// The walk.
pub(crate) struct Walk {
    tenant: String,
    frontier: Frontier,
    marks: BTreeMap<u64, Vec<Mark>>,
    /// The newest size at which a root came out as signed.
    good: u64,
    stored_at: u64,
    /// The newest size that was signed.
    signed: u64,
    pub(crate) removals: Removals,
    pub(crate) report: Report,
}

impl Walk {
    /// Over a tenant's records.
    pub(crate) fn new(tenant: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            frontier: Frontier::default(),
            marks: BTreeMap::new(),
            good: 0,
            stored_at: 0,
            signed: 0,
            removals: Removals::default(),
            report: Report {
                tenant: tenant.to_owned(),
                ..Report::default()
            },
        }
    }

    /// Takes a checkpoint that lies beside the records, with its key.
    pub(crate) fn checkpoint(
        &mut self,
        note: &[u8],
        key: &str,
        trust: &Trust,
    ) -> Result<Tree, Fault> {
        let beside =
            |error: &dyn fmt::Display| Fault::at(1, format!("a checkpoint is wrong: {error}"));
        let key = VerifierKey::parse(key).map_err(|error: KeyError| beside(&error))?;
        if !trust.keys.is_empty() && !trust.keys.contains(&key) {
            let cause = format!(
                "signed by {}, which is not a key that was given",
                key.as_str()
            );
            return Err(beside(&cause));
        }
        let checkpoint = Checkpoint::open(note, &key).map_err(|error| beside(&error))?;
        if !is_log_of(&checkpoint.origin, &self.tenant) {
            let cause = format!(
                "it is of {:?}, the tenant is {}",
                checkpoint.origin, self.tenant
            );
            return Err(beside(&cause));
        }
        key.as_str().clone_into(&mut self.report.key);
        self.report.key_unproved = trust.keys.is_empty();
        self.signed = self.signed.max(checkpoint.tree.size);
        self.mark(&checkpoint.tree, "a checkpoint kept beside the records")?;
        Ok(checkpoint.tree)
    }

    /// Takes the checkpoints that were held, signed with a key given or, with
    /// none given, that of the checkpoints beside the records.
    pub(crate) fn held(&mut self, trust: &Trust) -> Result<Vec<Tree>, Fault> {
        let keys = self.keys(trust);
        let mut trees = Vec::new();
        for note in &trust.held {
            let opened = keys.iter().find_map(|key| Checkpoint::open(note, key).ok());
            let Some(checkpoint) = opened else {
                let cause = "the checkpoint given is not signed by the key of this ledger";
                return Err(Fault::at(1, cause));
            };
            self.mark(&checkpoint.tree, "the checkpoint given")?;
            self.report.held += 1;
            self.signed = self.signed.max(checkpoint.tree.size);
            trees.push(checkpoint.tree);
        }
        Ok(trees)
    }

    fn mark(&mut self, tree: &Tree, what: &'static str) -> Result<(), Fault> {
        self.report.checkpoints += 1;
        if tree.size == 0 {
            let is_right = tree.root == crate::merkle::empty_root();
            return is_right
                .then_some(())
                .ok_or_else(|| Fault::at(1, format!("{what} has a wrong root")));
        }
        let mark = Mark {
            root: tree.root,
            what,
        };
        self.marks.entry(tree.size).or_default().push(mark);
        Ok(())
    }

    /// Takes the next record: its leaf, and the event where it is there.
    /// Gives the roots of subtrees that it completes.
    pub(crate) fn record(
        &mut self,
        leaf: &Leaf,
        event: Option<&Event>,
    ) -> Result<Vec<Kept>, Fault> {
        let position = self.next();
        if leaf.stored_at_unix_ns <= self.stored_at {
            let cause = format!(
                "stored at {}, not after the record before ({})",
                leaf.stored_at_unix_ns, self.stored_at
            );
            return Err(Fault::at(position, cause));
        }
        self.stored_at = leaf.stored_at_unix_ns;
        let mut kept = Vec::new();
        self.frontier.push(leaf.hash(), |one| kept.push(one));
        self.report.records += 1;
        if let Some(event) = event
            && !self.report.sequences.take(event)
        {
            let cause = format!("its event {} is in the ledger already", event.id);
            return Err(Fault::at(position, cause));
        }
        for mark in self.marks.remove(&position).unwrap_or_default() {
            if self.frontier.root() != mark.root {
                return Err(Fault {
                    first: self.good + 1,
                    last: position,
                    cause: format!(
                        "the root over {position} records is not that of {}",
                        mark.what
                    ),
                });
            }
            self.good = position;
        }
        Ok(kept)
    }

    /// The position of the next record.
    pub(crate) const fn next(&self) -> u64 {
        self.frontier.size() + 1
    }

    /// Ends the walk.
    pub(crate) fn end(mut self) -> Result<Report, Fault> {
        self.removals.check()?;
        if let Some((size, marks)) = self.marks.last_key_value() {
            let what = marks.first().map_or("a checkpoint", |mark| mark.what);
            let found = self.next() - 1;
            return Err(Fault {
                // Before that, a root came out as it was signed.
                first: self.good + 1,
                last: *size,
                cause: format!("{found} records are there, {what} says {size}"),
            });
        }
        let report = &mut self.report;
        report.newest_at = (report.records > 0).then_some(self.stored_at);
        report.unsigned = report.records.saturating_sub(self.signed);
        report.root = digits(&self.frontier.root());
        report.streams = report.sequences.streams();
        report.gaps = u64::try_from(report.sequences.named().count()).unwrap_or(u64::MAX);
        Ok(self.report)
    }
}

/// As hexadecimal digits.
fn digits(hash: &Hash) -> String {
    let mut text = String::with_capacity(2 * hash.len());
    for byte in hash {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
    }
    text
}

/// Makes and checks proofs for every checkpoint, from the hashes as they lie
/// there: that its last record is in it, and that it is the beginning of the newest.
pub(crate) fn prove<H: Hashes>(from: &H, trees: &[Tree]) -> Result<Result<u64, Fault>, H::Error> {
    let Some(newest) = trees.iter().max_by_key(|tree| tree.size) else {
        return Ok(Ok(0));
    };
    let mut proofs = 0;
    for tree in trees.iter().filter(|tree| tree.size > 0) {
        let path = proof::consistency(from, tree.size, newest.size)?;
        let is_consistent = proof::proves_consistency(&path, tree, newest);
        let leaf = proof::subtree(from, 0, tree.size - 1)?;
        let path = proof::inclusion(from, tree.size - 1, tree.size)?;
        let is_included =
            proof::proves_inclusion(&path, &leaf, tree.size - 1, tree.size, &tree.root);
        if !is_consistent || !is_included {
            let cause = "the hashes kept of the tree do not prove what was signed";
            return Ok(Err(Fault::at(tree.size, cause)));
        }
        proofs += 2;
    }
    Ok(Ok(proofs))
}
