//! How many numbers the probes gave out.
//!
//! In: the folder of pins, where an agent keeps its probes running. Out: for each
//! ring and processor, the newest number. Nothing is loaded or changed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use monitor_model::id::Source;

/// The counters, below the folder of a version: for each ring, what each
/// processor produced, and of that dropped.
const COUNTERS: &str = "maps/RING_COUNTERS";
/// The priority ring, and the bulk ring.
const RINGS: [u32; 2] = [0, 1];

/// Why the counters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The folder cannot be read.
    #[error("{}: {source}; give the agent's pin_dir, as root", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No probes are pinned there, or those of several versions.
    #[error(
        "{}: {found} versions of probes are pinned there, where one is wanted; give the pin_dir of an agent whose probes run", path.display()
    )]
    Versions {
        /// The folder.
        path: PathBuf,
        /// How many.
        found: usize,
    },
    /// The map cannot be read.
    #[error("{}: {source}", path.display())]
    Counters {
        /// The pin.
        path: PathBuf,
        /// What the kernel said.
        source: MapError,
    },
}

/// The newest number of each stream of the kernel.
///
/// # Errors
/// [`KernelError`].
pub fn produced(pins: &Path) -> Result<Vec<(Source, u64)>, KernelError> {
    let folder = |source| KernelError::Folder {
        path: pins.into(),
        source,
    };
    let mut counters = Vec::new();
    for entry in fs::read_dir(pins).map_err(folder)? {
        let path = entry.map_err(folder)?.path().join(COUNTERS);
        if path.exists() {
            counters.push(path);
        }
    }
    let [path] = counters.as_slice() else {
        let (path, found) = (pins.into(), counters.len());
        return Err(KernelError::Versions { path, found });
    };
    read(path).map_err(|source| KernelError::Counters {
        path: path.clone(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<(Source, u64)>, MapError> {
    let map = Map::from_map_data(MapData::from_pin(path)?)?;
    let counters: PerCpuArray<MapData, [u64; 2]> = map.try_into()?;
    let mut found = Vec::new();
    for ring in RINGS {
        for (cpu, [produced, _]) in (0..).zip(counters.get(&ring, 0)?.iter()) {
            let source = if ring == 0 {
                Source::Priority { cpu }
            } else {
                Source::Bulk { cpu }
            };
            found.push((source, *produced));
        }
    }
    Ok(found)
}
