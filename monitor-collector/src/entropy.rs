//! Random bytes from the kernel: the one place that draws them.

use std::io;

/// Draws `N` random bytes.
///
/// # Errors
/// What the system said when it gives none.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Draws 80 random bits, as a name needs them.
///
/// # Errors
/// As [`random`].
pub fn name_bits() -> io::Result<u128> {
    random::<16>().map(u128::from_be_bytes)
}
