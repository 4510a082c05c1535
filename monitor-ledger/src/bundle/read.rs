//! Checks a bundle: every file that belongs in it and no other, every hash, the signature.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{COSIGNED, FACTS, Facts, VERSION, WITHHELD};
use crate::{
    check::{CheckError, Fault, Report, Trust, Walk, prove},
    cosignature,
    leaf::{LEAF_BYTES, Leaf, digest},
    merkle::{Hash, TILE_WIDTH},
    proof::{Hashes, Missing, Tree, within_tile},
    tile::{self, Kind, Tile},
};

/// Largest file of a bundle in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Checks a bundle.
///
/// # Errors
/// [`CheckError::Broken`] names the first record that is wrong.
pub fn check(folder: &Path, trust: &Trust) -> Result<Report, CheckError> {
    match whole(folder, trust) {
        Ok(report) => Ok(report),
        Err(ReadError::Fault(fault)) => Err(CheckError::Broken {
            path: folder.into(),
            fault,
        }),
        Err(ReadError::Missing(missing)) => Err(CheckError::Broken {
            path: folder.into(),
            fault: Fault::at(missing.first + 1, missing.to_string()),
        }),
        Err(ReadError::File { path, source }) => Err(CheckError::File { path, source }),
        Err(ReadError::Layout(found)) => Err(CheckError::Layout {
            path: folder.into(),
            found,
            known: "bundle 1",
        }),
    }
}

/// Why it is not whole.
#[derive(Debug)]
enum ReadError {
    Fault(Fault),
    Missing(Missing),
    File { path: PathBuf, source: io::Error },
    Layout(String),
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Missing> for ReadError {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

/// The folder of a bundle, whose tree has so many leaves.
struct Folder<'a> {
    path: &'a Path,
    size: u64,
}

fn whole(path: &Path, trust: &Trust) -> Result<Report, ReadError> {
    let mut folder = Folder { path, size: 0 };
    let facts = folder.facts()?;
    let note = folder.file(Path::new("checkpoint"), 1)?;
    let key = text(&folder.file(Path::new("key"), 1)?);
    let key = key.strip_suffix('\n').filter(|key| key.trim() == *key);
    let key = key.ok_or_else(|| Fault::at(1, "key is not one line"))?;
    let trust = trust.of_tenant(&facts.tenant);
    let mut walk = Walk::new(&facts.tenant);
    let tree = walk.checkpoint(&note, key, &trust)?;
    folder.size = tree.size;
    let mut trees = vec![tree];
    for held in walk.held(&trust)? {
        if held.size <= tree.size {
            trees.push(held);
        }
    }
    if let Some(note) = folder.cosigned()? {
        let cosigned = walk.cosigned(&note, &trust)?;
        if cosigned.size <= tree.size {
            trees.push(cosigned);
        }
    }
    folder.exact_files()?;
    for tile in tile::all(Kind::Entries, tree.size) {
        folder.records(&mut walk, &tile)?;
    }
    let mut report = walk.end()?;
    report.proofs = folder.proofs(&trees)?;
    Ok(report)
}

impl Folder<'_> {
    fn proofs(&self, trees: &[Tree]) -> Result<u64, ReadError> {
        Ok(prove(self, trees)??)
    }

    fn facts(&self) -> Result<Facts, ReadError> {
        let text = text(&self.file(Path::new(FACTS), 1)?);
        let facts: Option<Facts> = serde_json::from_str(&text).ok();
        let facts = facts
            .filter(|facts| serde_json::to_string(facts).is_ok_and(|again| again == text))
            .ok_or_else(|| Fault::at(1, format!("{FACTS} is not as it was written")))?;
        if facts.schema_version != VERSION {
            return Err(ReadError::Layout(format!(
                "bundle {}",
                facts.schema_version
            )));
        }
        Ok(facts)
    }

    fn cosigned(&self) -> Result<Option<Vec<u8>>, ReadError> {
        let path = self.path.join(COSIGNED);
        cosignature::read(&path).map_err(|source| ReadError::File { path, source })
    }

    /// One tile of records: leaves, their hashes as kept, their parts.
    fn records(&self, walk: &mut Walk, tile: &Tile) -> Result<(), ReadError> {
        let first = tile.index * TILE_WIDTH + 1;
        let of = |kind| Tile { kind, ..*tile };
        let entries = self.file(&tile.path(), first)?;
        let contents = self.file(&of(Kind::Contents).path(), first)?;
        let hashes = self.file(&of(Kind::Hashes(0)).path(), first)?;
        let (mut entries, mut contents) = (entries.as_slice(), contents.as_slice());
        let mut hashes = hashes.chunks_exact(size_of::<Hash>());
        for position in first..first + u64::from(tile.width) {
            let at = |cause: &str| Fault::at(position, cause);
            let leaf = take_leaf(&mut entries).ok_or_else(|| at("its leaf is none"))?;
            if hashes.next() != Some(leaf.hash().as_slice()) {
                return Err(at("its leaf is not what was hashed").into());
            }
            let event = part(&mut contents, &leaf.event, walk, position)?;
            part(&mut contents, &leaf.judgement, walk, position)?;
            let event = event.map(monitor_proto::decode_event).transpose();
            let event =
                event.map_err(|error| at(&format!("its event cannot be decoded: {error}")))?;
            for kept in walk.record(&leaf, event.as_ref())? {
                let found = self.hashes(kept.level, kept.index, 1)?;
                if found != [kept.hash] {
                    return Err(at("the hash kept over it and those before is not theirs").into());
                }
                walk.report.nodes += 1;
            }
        }
        if entries.is_empty()
            && contents.is_empty()
            && hashes.next().is_none()
            && hashes.remainder().is_empty()
        {
            return Ok(());
        }
        let last = first + u64::from(tile.width);
        Err(Fault::at(
            last,
            format!("{} holds more than it should", tile.path().display()),
        )
        .into())
    }

    /// There is every file of the tree, and no other.
    fn exact_files(&self) -> Result<(), ReadError> {
        let own = [FACTS, "key", "checkpoint", COSIGNED];
        let mut wanted: BTreeSet<PathBuf> = own.map(PathBuf::from).into();
        for level in tile::levels(self.size) {
            wanted.extend(tile::all(Kind::Hashes(level), self.size).map(|tile| tile.path()));
        }
        for kind in [Kind::Entries, Kind::Contents] {
            wanted.extend(tile::all(kind, self.size).map(|tile| tile.path()));
        }
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let path = self.path.join(&folder);
            let file = |source| ReadError::File {
                path: path.clone(),
                source,
            };
            for entry in fs::read_dir(&path).map_err(file)? {
                let entry = entry.map_err(file)?;
                let below = folder.join(entry.file_name());
                if entry.file_type().map_err(file)?.is_dir() {
                    folders.push(below);
                } else if !wanted.contains(&below) {
                    let cause = format!("{} does not belong in the bundle", below.display());
                    return Err(Fault::at(self.size + 1, cause).into());
                }
            }
        }
        Ok(())
    }

    fn file(&self, path: &Path, record: u64) -> Result<Vec<u8>, ReadError> {
        let path_here = self.path.join(path);
        let file = |source: io::Error| {
            if source.kind() == io::ErrorKind::NotFound {
                Fault::at(record, format!("{} is missing", path.display())).into()
            } else {
                ReadError::File {
                    path: path_here.clone(),
                    source,
                }
            }
        };
        let length = fs::metadata(&path_here).map_err(file)?.len();
        if length > FILE_BYTES_MAX {
            let cause = format!(
                "{} has {length} bytes; at most {FILE_BYTES_MAX} belong there",
                path.display()
            );
            return Err(Fault::at(record, cause).into());
        }
        fs::read(&path_here).map_err(file)
    }
}

impl Hashes for Folder<'_> {
    type Error = ReadError;

    fn hashes(&self, level: u8, first: u64, count: u64) -> Result<Vec<Hash>, ReadError> {
        let index = first / TILE_WIDTH;
        let whole = tile::in_level(level, self.size);
        let width = whole.saturating_sub(index * TILE_WIDTH).min(TILE_WIDTH);
        if count > within_tile(first) || first % TILE_WIDTH + count > width {
            return Err(Missing {
                level,
                first,
                count,
            }
            .into());
        }
        let tile = Tile {
            kind: Kind::Hashes(level),
            index,
            width: u16::try_from(width).unwrap_or(u16::MAX),
        };
        let record = index.saturating_mul(256u64.saturating_pow(u32::from(level) + 1)) + 1;
        let bytes = self.file(&tile.path(), record)?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || u64::try_from(hashes.len()).ok() != Some(width) {
            let cause = format!("{} does not hold {width} hashes", tile.path().display());
            return Err(Fault::at(record, cause).into());
        }
        let skip = usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX);
        let take = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(hashes.iter().skip(skip).take(take).copied().collect())
    }
}

/// Takes a part of a record, and checks it against its digest; none where it is withheld.
fn part<'a>(
    contents: &mut &'a [u8],
    hash: &Hash,
    walk: &mut Walk,
    position: u64,
) -> Result<Option<&'a [u8]>, ReadError> {
    let (length, rest) = contents
        .split_first_chunk::<4>()
        .ok_or_else(|| Fault::at(position, "its content is missing"))?;
    let length = u32::from_be_bytes(*length);
    if length == WITHHELD {
        *contents = rest;
        walk.report.withheld += 1;
        return Ok(None);
    }
    let cut = || Fault::at(position, "its content is cut off");
    let (blind, rest) = rest.split_first_chunk::<16>().ok_or_else(cut)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (part, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
    if digest(blind, part) != *hash {
        return Err(Fault::at(position, "its bytes are not those that were hashed").into());
    }
    *contents = rest;
    Ok(Some(part))
}

fn take_leaf(entries: &mut &[u8]) -> Option<Leaf> {
    let (length, rest) = entries.split_first_chunk::<2>()?;
    if usize::from(u16::from_be_bytes(*length)) != LEAF_BYTES {
        return None;
    }
    let (leaf, rest) = rest.split_at_checked(LEAF_BYTES)?;
    *entries = rest;
    Leaf::parse(leaf)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
