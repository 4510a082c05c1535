//! The keyed digest of arguments: SipHash-1-3 (Aumasson and Bernstein, 2012),
//! 64 bits. The kernel programs and the agent compute the same.
//!
//! Without the key nobody finds two argument lists of equal digest, nor guesses
//! a secret from one.

#![expect(
    clippy::inline_always,
    reason = "the verifier judges a program without functions far more leniently"
)]

/// Key of digests: two words, each the little-endian reading of eight bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestKey(pub [u64; 2]);

impl DigestKey {
    /// From the key as it is written in files and given to other programs.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let all = u128::from_le_bytes(bytes);
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            reason = "the halves are meant; conversions are not const"
        )]
        let halves = [all as u64, (all >> 64) as u64];
        Self(halves)
    }
}

impl core::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

/// A digest that is being made. Whole words come first, then what is left.
#[derive(Clone, Copy, Debug)]
pub struct Digest([u64; 4]);

impl Digest {
    /// Begins one.
    #[inline(always)]
    #[must_use]
    pub const fn new(key: DigestKey) -> Self {
        let [first, second] = key.0;
        Self([
            first ^ 0x736f_6d65_7073_6575,
            second ^ 0x646f_7261_6e64_6f6d,
            first ^ 0x6c79_6765_6e65_7261,
            second ^ 0x7465_6462_7974_6573,
        ])
    }

    /// Takes the next eight bytes, read as little-endian.
    #[inline(always)]
    pub const fn word(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    /// Takes the last bytes (less than eight, read as little-endian, zeros
    /// above) and the number of all bytes. Gives the digest: printed with 16
    /// hexadecimal digits it is the bytes that others print.
    #[inline(always)]
    #[must_use]
    pub const fn finish(mut self, rest: u64, bytes: u64) -> u64 {
        self.word(rest | bytes << 56);
        self.0[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        let [a, b, c, d] = self.0;
        (a ^ b ^ c ^ d).swap_bytes()
    }

    #[inline(always)]
    const fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

/// The digest of bytes.
#[must_use]
pub fn digest(key: DigestKey, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(key);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        digest.word(u64::from_le_bytes(*word));
    }
    let rest = rest
        .iter()
        .rev()
        .fold(0, |all, byte| all << 8 | u64::from(*byte));
    #[expect(
        clippy::as_conversions,
        reason = "a length fits; conversions of it do not say so"
    )]
    digest.finish(rest, bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{
        hash::{DefaultHasher, Hasher as _},
        vec::Vec,
    };

    use super::*;

    #[test]
    fn digest_is_that_of_the_standard_library_under_its_key_of_zeros() {
        for bytes in 0..300_u16 {
            let text: Vec<u8> = (0..bytes).map(|byte| byte.to_le_bytes()[0]).collect();
            let mut theirs = DefaultHasher::new();
            theirs.write(&text);
            assert_eq!(
                digest(DigestKey([0, 0]), &text),
                theirs.finish().swap_bytes(),
                "{bytes}"
            );
        }
    }

    /// `openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f
    /// -macopt size:8 -macopt c-rounds:1 -macopt d-rounds:3 -in FILE SIPHASH`
    #[test]
    fn digest_is_that_of_openssl_under_another_key() {
        let key = DigestKey::from_bytes(core::array::from_fn(|byte| u8::try_from(byte).unwrap()));
        assert_eq!(digest(key, b"cat\0/etc/hostname\0"), 0xb8eb_89ba_0928_8b9d);
    }

    #[test]
    fn key_is_not_printed() {
        assert_eq!(std::format!("{:?}", DigestKey([7, 7])), "DigestKey(..)");
    }
}
