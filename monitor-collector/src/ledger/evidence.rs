//! Checkpoints and proofs, for those who check.
//!
//! Everything is of the newest checkpoint's tree, in one state of the file:
//! what is not signed yet may still be lost with the disk. Bound: 256 hashes
//! or one page of entries in memory.

use std::path::PathBuf;

use monitor_ledger::{
    Hash,
    file::{self, Block, Content, KeptCheckpoint, Stored, StoredError},
    leaf::{Blinding, Leaf},
    merkle::TILE_WIDTH,
    proof::{self, Hashes as _},
    tile,
};
use monitor_model::id::TenantId;

use super::{Entry, Home, Ledger, LedgerError, cosigned, read::Reader};

/// Most bytes of entries that are read at once; one may go beyond.
pub const PAGE_BYTES_MAX: usize = 2 << 20;

/// A ledger opened for those who check it.
#[derive(Debug)]
pub struct Evidence {
    path: PathBuf,
    reader: Reader,
    newest: Option<KeptCheckpoint>,
    cosigned: Option<Vec<u8>>,
}

/// An entry as it was hashed.
#[derive(Debug)]
pub struct Hashed {
    /// Its place.
    pub position: u64,
    /// Its leaf.
    pub leaf: Leaf,
    /// The entry, and the judgement as it is stored; none where it was removed.
    pub stored: Option<(Entry, Vec<u8>)>,
}

impl Hashed {
    fn bytes(&self) -> usize {
        let stored = self.stored.as_ref();
        stored.map_or(0, |(entry, judgement)| {
            entry.judged.event_bytes.len() + judgement.len()
        })
    }
}

/// A path, and the tree that it leads to.
#[derive(Debug)]
pub struct Proof {
    /// The path.
    pub hashes: Vec<Hash>,
    /// The size of the tree.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
}

impl Evidence {
    /// Opens the ledger of a tenant, which must be there.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(home: impl Into<Home>, tenant: &TenantId) -> Result<Self, LedgerError> {
        let home = home.into();
        let path = Ledger::path(&home, tenant);
        // Before the ledger: what was cosigned is in it by then.
        let cosigned = cosigned::read(&home, tenant)?;
        let reader = Reader::open(&home, tenant)?;
        let sqlite = |source| LedgerError::sqlite(&path, source);
        reader.connection.execute_batch("BEGIN").map_err(sqlite)?;
        let newest = file::newest_checkpoint(&reader.connection).map_err(sqlite)?;
        Ok(Self {
            path,
            reader,
            newest,
            cosigned,
        })
    }

    /// The newest checkpoint; none before the first.
    #[must_use]
    pub const fn newest(&self) -> Option<&KeptCheckpoint> {
        self.newest.as_ref()
    }

    /// The newest checkpoint that a witness signed; none before the first.
    #[must_use]
    pub fn cosigned(&self) -> Option<&[u8]> {
        self.cosigned.as_deref()
    }

    /// How many entries are signed.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.newest.as_ref().map_or(0, |newest| newest.size)
    }

    /// Blinds of the parts of an entry.
    #[must_use]
    pub const fn blinding(&self) -> &Blinding {
        self.reader.blinding()
    }

    /// Signed entries from a position on, in order, those that were removed
    /// among them.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn entries(&self, first: u64, limit: u32) -> Result<Vec<Hashed>, LedgerError> {
        let last = self
            .size()
            .min(first.saturating_add(u64::from(limit)).saturating_sub(1));
        let (mut found, mut bytes, mut next) = (Vec::new(), 0, first);
        while next <= last && bytes < PAGE_BYTES_MAX {
            let Some(name) = self.reader.name_at(next)? else {
                break;
            };
            let block = self.reader.row(name)?;
            let of_block = self.hashed(&block)?;
            let before = found.len();
            for hashed in of_block {
                if (next..=last).contains(&hashed.position) && bytes < PAGE_BYTES_MAX {
                    bytes += hashed.bytes();
                    found.push(hashed);
                }
            }
            if found.len() == before {
                break;
            }
            next = found
                .last()
                .map_or(next, |hashed: &Hashed| hashed.position + 1);
        }
        Ok(found)
    }

    /// The entries of a block as they were hashed.
    fn hashed(&self, block: &Block) -> Result<Vec<Hashed>, LedgerError> {
        if let Content::Removed(leaves) = &block.content {
            let places = (block.first..).zip(leaves);
            let hashed = places.map(|(position, leaf)| Hashed {
                position,
                leaf: *leaf,
                stored: None,
            });
            return Ok(hashed.collect());
        }
        let mut hashed = Vec::with_capacity(block.hashes().len());
        self.reader.each_of(block, |entry, parts| {
            hashed.push(Hashed {
                position: entry.position,
                leaf: Leaf::new(self.blinding(), entry.position, *parts),
                stored: Some((entry, parts.judgement.to_vec())),
            });
        })?;
        Ok(hashed)
    }

    /// The hashes of a tile; none where the tree has none.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, LedgerError> {
        let first = index.saturating_mul(TILE_WIDTH);
        let count = tile::in_level(level, self.size())
            .saturating_sub(first)
            .min(TILE_WIDTH);
        let hashes = self.stored().hashes(level, first, count);
        hashes.map_err(|error| self.error(error))
    }

    /// Proves that an entry is in the tree of a size.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn inclusion(&self, position: u64, size: u64) -> Result<(Hash, Proof), LedgerError> {
        let (stored, index) = (self.stored(), position.saturating_sub(1));
        let prove = || {
            let leaf = proof::subtree(&stored, 0, index)?;
            let hashes = proof::inclusion(&stored, index, size)?;
            let root = proof::root(&stored, size)?;
            Ok((leaf, Proof { hashes, size, root }))
        };
        prove().map_err(|error| self.error(error))
    }

    /// Proves that the tree of one size begins that of another.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn consistency(&self, old: u64, size: u64) -> Result<Proof, LedgerError> {
        let stored = self.stored();
        let prove = || {
            let hashes = proof::consistency(&stored, old, size)?;
            let root = proof::root(&stored, size)?;
            Ok(Proof { hashes, size, root })
        };
        prove().map_err(|error| self.error(error))
    }

    const fn stored(&self) -> Stored<'_> {
        Stored(&self.reader.connection)
    }

    fn error(&self, error: StoredError) -> LedgerError {
        LedgerError::stored(&self.path, error)
    }
}
