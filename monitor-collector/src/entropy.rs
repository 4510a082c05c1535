//! Random bytes from the kernel: the one place that draws them.

use std::{fs::File, io, io::Read as _};

/// Draws `N` random bytes.
///
/// # Errors
/// What the system said when `/dev/urandom` cannot be read.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Draws 80 random bits, as a name needs them.
///
/// # Errors
/// As [`random`].
pub fn name_bits() -> io::Result<u128> {
    random::<16>().map(u128::from_be_bytes)
}
