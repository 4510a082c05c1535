//! Makes a bundle, tile by tile, and believes nobody: the records must make the signed tree.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{BundleError, COSIGNED, FACTS, Facts, VERSION, WITHHELD};
use crate::{
    leaf::{Blind, LEAF_BYTES, Leaf, digest},
    merkle::{Frontier, Hash, TILE_WIDTH},
    proof::Tree,
    tile::{Kind, Tile},
};

/// A part of a record that is not withheld.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a> {
    /// What is hashed before it.
    pub blind: &'a Blind,
    /// Its bytes.
    pub part: &'a [u8],
}

/// Writes a bundle.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    tree: Tree,
    frontier: Frontier,
    entries: Vec<u8>,
    contents: Vec<u8>,
    /// By level, hashes of the tile that is not full yet, and its index.
    levels: Vec<(Vec<Hash>, u64)>,
}

impl Writer {
    /// Of the tree that a checkpoint signs, into a folder that is made when it
    /// is not there, and must be empty.
    ///
    /// # Errors
    /// [`BundleError`] names the file.
    pub fn new(folder: &Path, tenant: &str, tree: Tree) -> Result<Self, BundleError> {
        let file = |source| BundleError::File {
            path: folder.into(),
            source,
        };
        fs::create_dir_all(folder).map_err(file)?;
        if fs::read_dir(folder).map_err(file)?.next().is_some() {
            return Err(BundleError::NotEmpty {
                path: folder.into(),
            });
        }
        let writer = Self {
            folder: folder.into(),
            tree,
            frontier: Frontier::default(),
            entries: Vec::new(),
            contents: Vec::new(),
            levels: vec![(Vec::new(), 0)],
        };
        let facts = Facts {
            schema_version: VERSION,
            tenant: tenant.to_owned(),
        };
        let text = serde_json::to_vec(&facts).unwrap_or_default();
        writer.put(Path::new(FACTS), &text)?;
        Ok(writer)
    }

    /// How many records were taken.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.frontier.size()
    }

    /// Takes the next record, each part of it or none where it is withheld.
    ///
    /// # Errors
    /// [`BundleError::Part`] when a part is not what the leaf says.
    pub fn record(
        &mut self,
        leaf: &Leaf,
        event: Option<Opened<'_>>,
        judgement: Option<Opened<'_>>,
    ) -> Result<(), BundleError> {
        for (opened, hash) in [(event, &leaf.event), (judgement, &leaf.judgement)] {
            let Some(Opened { blind, part }) = opened else {
                self.contents.extend(WITHHELD.to_be_bytes());
                continue;
            };
            if digest(blind, part) != *hash {
                let position = self.records() + 1;
                return Err(BundleError::Part { position });
            }
            let length = u32::try_from(part.len()).unwrap_or(WITHHELD);
            self.contents.extend(length.to_be_bytes());
            self.contents.extend(blind);
            self.contents.extend(part);
        }
        let length = u16::try_from(LEAF_BYTES).unwrap_or(u16::MAX);
        self.entries.extend(length.to_be_bytes());
        self.entries.extend(leaf.to_bytes());
        let mut kept = vec![(0, leaf.hash())];
        self.frontier
            .push(leaf.hash(), |one| kept.push((one.level, one.hash)));
        for (level, hash) in kept {
            self.keep(usize::from(level), hash)?;
        }
        if self.records().is_multiple_of(TILE_WIDTH) {
            self.flush_records()?;
        }
        Ok(())
    }

    /// Adds the newest checkpoint that a witness signed.
    ///
    /// # Errors
    /// [`BundleError::File`].
    pub fn cosigned(&self, note: &[u8]) -> Result<(), BundleError> {
        self.put(Path::new(COSIGNED), note)
    }

    /// Writes what is left, the checkpoint and its key.
    ///
    /// # Errors
    /// [`BundleError::Root`] when the records do not make the signed tree.
    pub fn end(mut self, checkpoint: &[u8], key: &str) -> Result<(), BundleError> {
        let (records, size) = (self.records(), self.tree.size);
        if records < size {
            return Err(BundleError::Short { records, size });
        }
        if records > size || self.frontier.root() != self.tree.root {
            return Err(BundleError::Root { records });
        }
        if !self.entries.is_empty() {
            self.flush_records()?;
        }
        for level in 0..self.levels.len() {
            self.flush(level)?;
        }
        self.put(Path::new("key"), format!("{key}\n").as_bytes())?;
        self.put(Path::new("checkpoint"), checkpoint)
    }

    fn keep(&mut self, level: usize, hash: Hash) -> Result<(), BundleError> {
        if level >= self.levels.len() {
            self.levels.push((Vec::new(), 0));
        }
        let Some((hashes, _)) = self.levels.get_mut(level) else {
            return Ok(());
        };
        hashes.push(hash);
        if u64::try_from(hashes.len()).is_ok_and(|width| width == TILE_WIDTH) {
            self.flush(level)?;
        }
        Ok(())
    }

    fn flush(&mut self, level: usize) -> Result<(), BundleError> {
        let Some((hashes, index)) = self
            .levels
            .get_mut(level)
            .filter(|(hashes, _)| !hashes.is_empty())
        else {
            return Ok(());
        };
        let tile = Tile {
            kind: Kind::Hashes(u8::try_from(level).unwrap_or(u8::MAX)),
            index: *index,
            width: u16::try_from(hashes.len()).unwrap_or(u16::MAX),
        };
        let bytes = std::mem::take(hashes).concat();
        *index += 1;
        self.put(&tile.path(), &bytes)
    }

    fn flush_records(&mut self) -> Result<(), BundleError> {
        let last = self.records() - 1;
        let width = u16::try_from(last % TILE_WIDTH + 1).unwrap_or(u16::MAX);
        for (kind, bytes) in [
            (Kind::Entries, std::mem::take(&mut self.entries)),
            (Kind::Contents, std::mem::take(&mut self.contents)),
        ] {
            let tile = Tile {
                kind,
                index: last / TILE_WIDTH,
                width,
            };
            self.put(&tile.path(), &bytes)?;
        }
        Ok(())
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
        let path = self.folder.join(path);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, bytes))
            .map_err(|source| BundleError::File { path, source })
    }
}
