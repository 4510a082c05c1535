//! Which key a watched file holds: the same key in two places is one credential.
//!
//! In: files that were used. Out: the fingerprint of the public half, which
//! private keys of OpenSSH hold in clear, encrypted ones too. Of a file that does
//! not begin as such a key no more than that is read, and nothing is kept. Bound: [`FILES_MAX`] files, looked at once a
//! [`LOOK_EVERY_NS`] at most, of at most [`KEY_BYTES_MAX`].

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::Read as _,
    os::{
        fd::AsRawFd as _,
        unix::{
            ffi::OsStrExt as _,
            fs::{MetadataExt as _, OpenOptionsExt as _},
        },
    },
    path::Path,
};

use rustix::fs::OFlags;
use ssh_key::{HashAlg, PrivateKey};
use zeroize::Zeroizing;

use crate::{kernel::FileIdentity, watch::resolve::Look};

/// Most files that are remembered.
const FILES_MAX: usize = 4_096;
/// Largest file that is taken for a key: one of RSA with 16,384 bits has 12 KiB.
const KEY_BYTES_MAX: u64 = 16 << 10;
/// A file is looked at again after this long, nanoseconds.
const LOOK_EVERY_NS: u64 = 1_000_000_000;
/// What private keys of OpenSSH begin with.
const BEGIN: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----";

/// What a file holds, and when that was seen.
#[derive(Clone, Debug)]
struct Seen {
    at_boot_ns: u64,
    /// Changes with the content: `st_mtime` and `st_ctime`, nanoseconds, and size.
    version: Version,
    key: Option<String>,
}

type Version = (i64, i64, i64, i64, u64);

/// The keys of files.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<FileIdentity, Seen>);

impl Keys {
    /// The fingerprint of the key that a file holds: `SHA256:...`; none where it
    /// holds none, or lies at the path no more. Whether it may be looked at is
    /// asked when it is to be.
    pub(super) fn of(
        &mut self,
        (file, path): (FileIdentity, &[u8]),
        boot_ns: u64,
        look: &dyn Look,
        may_look: impl FnOnce() -> bool,
    ) -> Option<String> {
        let before = self.0.get(&file);
        if let Some(seen) = before
            && boot_ns.saturating_sub(seen.at_boot_ns) < LOOK_EVERY_NS
        {
            return seen.key.clone();
        }
        if !may_look() {
            return None;
        }
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        let found = std::fs::symlink_metadata(path).ok()?;
        let version = version(&found);
        let key = match before.filter(|seen| seen.version == version) {
            Some(seen) => seen.key.clone(),
            None if found.is_file() && found.len() <= KEY_BYTES_MAX => read(path, file, look),
            None => None,
        };
        if self.0.len() >= FILES_MAX && !self.0.contains_key(&file) {
            self.0.clear();
        }
        let seen = Seen {
            at_boot_ns: boot_ns,
            version,
            key: key.clone(),
        };
        self.0.insert(file, seen);
        key
    }
}

fn version(found: &std::fs::Metadata) -> Version {
    (
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
        found.len(),
    )
}

/// Reads a file, if it still is the one that was used.
fn read(path: &Path, wanted: FileIdentity, look: &dyn Look) -> Option<String> {
    // Whatever comes there meanwhile does not hold the agent up. By NOATIME the
    // probes know this look from a use.
    let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOATIME;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(careful.bits()).ok()?)
        .open(path)
        .ok()?;
    let of_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let found = look.identify(Path::new(&of_descriptor)).ok()?;
    (found == wanted).then(|| fingerprint(file)).flatten()
}

fn fingerprint(mut file: File) -> Option<String> {
    let mut begin = Zeroizing::new([0; BEGIN.len()]);
    file.read_exact(&mut *begin).ok()?;
    if begin.as_slice() != BEGIN {
        return None;
    }
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(KEY_BYTES_MAX).ok()?));
    text.extend_from_slice(BEGIN);
    file.take(KEY_BYTES_MAX).read_to_end(&mut text).ok()?;
    fingerprint_of(&text)
}

/// The fingerprint of the public half of a private key of OpenSSH, encrypted or
/// not: `SHA256:...`; none where the text is no such key.
#[must_use]
pub fn fingerprint_of(text: &[u8]) -> Option<String> {
    let key = PrivateKey::from_openssh(text).ok()?;
    Some(key.public_key().fingerprint(HashAlg::Sha256).to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, process::Command};

    use super::*;
    use crate::watch::resolve::tests::Stat;

    /// A real key of `ssh-keygen`, and the fingerprint that it tells.
    fn make(path: &Path, more: &[&str]) -> String {
        let out = Command::new("ssh-keygen")
            .args(["-q", "-f"])
            .arg(path)
            .args(more)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        let told = Command::new("ssh-keygen").arg("-lf").arg(path).output();
        let told = String::from_utf8(told.unwrap().stdout).unwrap();
        told.split_whitespace().nth(1).unwrap().to_owned()
    }

    fn of(keys: &mut Keys, path: &Path, boot_ns: u64) -> Option<String> {
        let file = Stat.identify(path).unwrap();
        keys.of((file, path.as_os_str().as_bytes()), boot_ns, &Stat, || true)
    }

    #[test]
    fn keys_have_the_fingerprint_that_ssh_keygen_tells_with_a_passphrase_too() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf { folder.path().join(name) };
        let mut keys = Keys::default();
        for (name, more) in [
            ("ed25519", &["-t", "ed25519", "-N", ""][..]),
            ("locked", &["-t", "ed25519", "-N", "a pass phrase"]),
            ("rsa", &["-t", "rsa", "-b", "2048", "-N", ""]),
            ("ecdsa", &["-t", "ecdsa", "-N", ""]),
        ] {
            let told = make(&at(name), more);
            assert_eq!(of(&mut keys, &at(name), 1), Some(told), "{name}");
        }
        fs::copy(at("rsa"), at("copy")).unwrap();
        assert_eq!(of(&mut keys, &at("copy"), 1), of(&mut keys, &at("rsa"), 1));
    }

    #[test]
    fn what_is_no_key_or_another_file_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut keys = Keys::default();
        let long = [BEGIN, &vec![b'A'; 20_000]].concat();
        for content in [&b""[..], b"token", BEGIN, &long] {
            fs::write(&path, content).unwrap();
            keys.0.clear();
            assert_eq!(of(&mut keys, &path, 1), None);
        }
        make(&folder.path().join("k"), &["-t", "ed25519", "-N", ""]);
        let other = Stat.identify(&path).unwrap();
        let at = folder.path().join("k");
        let found = keys.of((other, at.as_os_str().as_bytes()), 1 << 40, &Stat, || true);
        assert_eq!(found, None, "the path is another file's by now");
        let file = (Stat.identify(&at).unwrap(), at.as_os_str().as_bytes());
        assert_eq!(
            keys.of(file, 1 << 41, &Stat, || false),
            None,
            "not to be looked at"
        );
        assert!(keys.of(file, 1 << 42, &Stat, || true).is_some());
    }

    #[test]
    fn a_key_that_is_written_over_is_seen_at_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("k"), folder.path().join("o"));
        let first = make(&path, &["-t", "ed25519", "-N", ""]);
        let second = make(&other, &["-t", "ed25519", "-N", ""]);
        let mut keys = Keys::default();
        assert_eq!(of(&mut keys, &path, 1), Some(first.clone()));
        let file = fs::File::options().write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut &file, &fs::read(&other).unwrap()).unwrap();
        assert_eq!(of(&mut keys, &path, 2), Some(first));
        assert_eq!(of(&mut keys, &path, 1 + LOOK_EVERY_NS), Some(second));
    }
}
