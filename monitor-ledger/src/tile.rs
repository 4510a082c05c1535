//! The tree in files of 256 hashes, at the paths of `c2sp.org/tlog-tiles`.

use std::path::PathBuf;

use crate::merkle::{TILE_HEIGHT, TILE_WIDTH};

/// Levels of tiles in the largest tree.
pub const LEVELS_MAX: u8 = 8;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Hashes of a level, 0 being the leaves.
    Hashes(u8),
    /// The leaves themselves, each with its length before it (two bytes, big-endian).
    Entries,
    /// What the leaves are digests of: an addition of ours.
    Contents,
}

/// One file of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// What it holds.
    pub kind: Kind,
    /// Its place in the level, from 0.
    pub index: u64,
    /// How many it holds, 1 to 256.
    pub width: u16,
}

impl Tile {
    /// Its path below the tree's folder.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let mut path = match self.kind {
            Kind::Hashes(level) => PathBuf::from(format!("tile/{level}")),
            Kind::Entries => PathBuf::from("tile/entries"),
            Kind::Contents => PathBuf::from("content"),
        };
        let mut groups = vec![format!("{:03}", self.index % 1_000)];
        let mut rest = self.index / 1_000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1_000));
            rest /= 1_000;
        }
        let last = groups.remove(0);
        path.extend(groups.iter().rev());
        if u64::from(self.width) == TILE_WIDTH {
            path.push(last);
        } else {
            path.push(format!("{last}.p"));
            path.push(self.width.to_string());
        }
        path
    }
}

/// Every tile of one kind in a tree of so many leaves, the last one partial.
pub fn all(kind: Kind, size: u64) -> impl Iterator<Item = Tile> {
    let count = match kind {
        Kind::Hashes(level) => in_level(level, size),
        Kind::Entries | Kind::Contents => size,
    };
    (0..count.div_ceil(TILE_WIDTH)).map(move |index| {
        let width = (count - index * TILE_WIDTH).min(TILE_WIDTH);
        Tile {
            kind,
            index,
            width: u16::try_from(width).unwrap_or(u16::MAX),
        }
    })
}

/// Levels of tiles that a tree of so many leaves has.
pub fn levels(size: u64) -> impl Iterator<Item = u8> {
    (0..LEVELS_MAX).take_while(move |level| in_level(*level, size) > 0)
}

/// Hashes in a level of tiles.
#[must_use]
pub fn in_level(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * TILE_HEIGHT)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use tlog_tiles::tile::Tile as Theirs;

    use super::*;

    #[test]
    fn tiles_and_paths_are_those_of_another_implementation() {
        for size in [1u64, 255, 256, 257, 511, 512, 70_000] {
            let mut ours: Vec<String> = levels(size)
                .flat_map(|level| all(Kind::Hashes(level), size))
                .map(|tile| tile.path().display().to_string())
                .collect();
            let mut theirs: Vec<String> = Theirs::new_tiles(8, 0, size)
                .iter()
                .map(|tile| tile.path().replacen("tile/8/", "tile/", 1))
                .collect();
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs, "{size}");
        }
    }

    #[test]
    fn long_indexes_are_written_three_digits_at_a_time() {
        let tile = Tile {
            kind: Kind::Entries,
            index: 1_234_067,
            width: 256,
        };
        assert_eq!(tile.path().to_str(), Some("tile/entries/x001/x234/067"));
        let tile = Tile { width: 7, ..tile };
        assert_eq!(tile.path().to_str(), Some("tile/entries/x001/x234/067.p/7"));
    }
}
