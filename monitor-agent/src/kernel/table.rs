//! A map of the kernel programs, with the types of its keys and values.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::sys;

/// A map of single values.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    map: OwnedFd,
    types: PhantomData<fn(K) -> V>,
}

/// Whether an entry may exist already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It may, and is changed.
    Any,
    /// It must not.
    New,
}

impl<K, V> Table<K, V>
where
    K: FromBytes + IntoBytes + Immutable + Clone,
    V: FromBytes + IntoBytes + Immutable,
{
    /// Opens the map pinned at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            map: sys::open_pin(path)?,
            types: PhantomData,
        })
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::new_zeroed();
        let found = sys::lookup(self.map.as_fd(), key.as_bytes(), value.as_mut_bytes())?;
        Ok(found.then_some(value))
    }

    /// Writes a value.
    pub(super) fn put(&self, key: &K, value: &V, put: Put) -> io::Result<()> {
        let flags = match put {
            Put::Any => sys::ANY,
            Put::New => sys::NO_EXIST,
        };
        sys::update(self.map.as_fd(), key.as_bytes(), value.as_bytes(), flags)
    }

    /// Removes a key; `false` where it was not there.
    pub(super) fn remove(&self, key: &K) -> io::Result<bool> {
        sys::delete(self.map.as_fd(), key.as_bytes())
    }

    /// All keys, at most `max`: a map that changes meanwhile may repeat some.
    pub(super) fn keys(&self, max: usize) -> io::Result<Vec<K>> {
        let mut keys: Vec<K> = Vec::new();
        let mut next = K::new_zeroed();
        while keys.len() < max {
            let last = keys.last().map(IntoBytes::as_bytes);
            if !sys::next_key(self.map.as_fd(), last, next.as_mut_bytes())? {
                break;
            }
            keys.push(next.clone());
        }
        Ok(keys)
    }
}

/// A map with a value for each processor, by a number.
#[derive(Debug)]
pub(super) struct CpuTable<V> {
    map: OwnedFd,
    cpus: usize,
    types: PhantomData<fn() -> V>,
}

impl<V> CpuTable<V>
where
    V: FromBytes + IntoBytes + Immutable + Clone,
{
    /// Opens the map pinned at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let map = sys::open_pin(path)?;
        Ok(Self {
            map,
            cpus: possible_cpus()?,
            types: PhantomData,
        })
    }

    /// The values of a key, by processor. `V` must be a multiple of 8 bytes.
    pub(super) fn get(&self, key: u32) -> io::Result<Vec<V>> {
        let mut values = vec![V::new_zeroed(); self.cpus];
        let key = key.to_ne_bytes();
        sys::lookup(self.map.as_fd(), &key, values.as_mut_slice().as_mut_bytes())?;
        Ok(values)
    }
}

/// How many processors the kernel can ever have: `0-3` gives 4.
fn possible_cpus() -> io::Result<usize> {
    let ranges = std::fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = ranges.trim().rsplit([',', '-']).next();
    last.and_then(|last| last.parse::<usize>().ok())
        .map(|last| last + 1)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("possible processors: {ranges:?}"),
            )
        })
}
