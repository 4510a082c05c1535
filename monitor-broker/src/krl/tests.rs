use std::{fs, path::Path, process::Command};

use proptest::prelude::*;
use ssh_key::{Algorithm, LineEnding, PrivateKey, rand_core::OsRng};

use super::*;
use crate::krl::file::{FileError, inspect, publish};

fn krl(ca: Vec<u8>, serials: SerialSet) -> Krl {
    Krl {
        version: 7,
        generated_seconds: 1_790_000_000,
        comment: "test".into(),
        ca: Some(ca),
        serials,
    }
}

/// A CA and one key, and certificates of the key with given serials, all made
/// and judged by the real ssh-keygen.
struct Keygen {
    folder: tempfile::TempDir,
    ca: Vec<u8>,
}

impl Keygen {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ca", "id"] {
            let key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).unwrap();
            key.write_openssh_file(&folder.path().join(name), LineEnding::LF)
                .unwrap();
            key.public_key()
                .write_openssh_file(&folder.path().join(format!("{name}.pub")))
                .unwrap();
        }
        let ca = PrivateKey::read_openssh_file(&folder.path().join("ca")).unwrap();
        Self {
            ca: ca.public_key().to_bytes().unwrap(),
            folder,
        }
    }

    fn run(&self, args: &[&str]) -> (bool, String) {
        let out = Command::new("ssh-keygen")
            .current_dir(self.folder.path())
            .args(args)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        (out.status.success(), text)
    }

    fn publish(&self, serials: SerialSet) {
        publish(
            &self.folder.path().join("krl"),
            &krl(self.ca.clone(), serials),
        )
        .unwrap();
    }

    /// Whether ssh-keygen finds each serial revoked.
    fn revoked(&self, serials: &[u64]) -> Vec<bool> {
        serials
            .iter()
            .map(|serial| {
                let path = self.folder.path().join(format!("id-{serial}.pub"));
                fs::copy(self.folder.path().join("id.pub"), &path).unwrap();
                let name = path.to_str().unwrap();
                let (ok, text) = self.run(&[
                    "-q",
                    "-s",
                    "ca",
                    "-I",
                    "x",
                    "-n",
                    "p",
                    "-z",
                    &serial.to_string(),
                    name,
                ]);
                assert!(ok, "{text}");
                let (fine, text) = self.run(&["-Q", "-f", "krl", &format!("id-{serial}-cert.pub")]);
                assert_eq!(fine, text.contains(": ok"), "{text}");
                assert_eq!(!fine, text.contains("REVOKED"), "{text}");
                !fine
            })
            .collect()
    }
}

#[test]
fn ssh_keygen_finds_what_is_on_the_list_and_nothing_else() {
    let keygen = Keygen::new();
    // A single, a pair, a range, every second one (a bitmap), a far one.
    let ranges = vec![
        (1, 1),
        (5, 6),
        (10, 99),
        (1 << 40, 1 << 40),
        (u64::MAX, u64::MAX),
    ];
    let mut ranges = ranges;
    ranges.extend((0..400).map(|n| (1000 + 2 * n, 1000 + 2 * n)));
    keygen.publish(SerialSet::from_ranges(ranges));
    let serials = [
        1,
        2,
        4,
        5,
        6,
        7,
        9,
        10,
        50,
        99,
        100,
        999,
        1000,
        1001,
        1798,
        1799,
        1800,
        1 << 40,
        u64::MAX,
    ];
    let wanted = [
        true, false, false, true, true, false, false, true, true, true, false, false, true, false,
        true, false, false, true, true,
    ];
    assert_eq!(keygen.revoked(&serials), wanted);
    let (ok, text) = keygen.run(&["-Q", "-l", "-f", "krl"]);
    assert!(ok && text.contains("# KRL version 7"), "{text}");
    assert!(
        text.contains("serial: 10-99") && text.contains("serial: 1000"),
        "{text}"
    );
}

#[test]
fn an_empty_list_revokes_nobody_and_is_still_a_list() {
    let keygen = Keygen::new();
    keygen.publish(SerialSet::default());
    assert!(
        fs::metadata(keygen.folder.path().join("krl"))
            .unwrap()
            .len()
            >= 44
    );
    assert_eq!(keygen.revoked(&[1, 2]), [false, false]);
}

#[test]
fn many_thousand_scattered_serials_are_read_by_ssh_keygen() {
    let keygen = Keygen::new();
    // Gaps of 1 to 199, so that ranges, bitmaps and lists all occur.
    let mut serial = 1;
    let mut all = Vec::new();
    for n in 0..30_000_u64 {
        serial += 1 + (n * n * 7) % 199;
        all.push(serial);
    }
    let set: SerialSet = all.iter().copied().collect();
    keygen.publish(set.clone());
    let probes = [
        all[0],
        all[0] + 1,
        all[15_000],
        all[29_999],
        all[29_999] + 1,
    ];
    let wanted: Vec<bool> = probes.iter().map(|&serial| set.contains(serial)).collect();
    assert_eq!(keygen.revoked(&probes), wanted);
    let (ok, text) = keygen.run(&["-Q", "-l", "-f", "krl"]);
    assert!(ok);
    assert!(text.contains(&format!("{}", all[29_999])));
    // A plain list would take 8 bytes each.
    assert!(
        fs::metadata(keygen.folder.path().join("krl"))
            .unwrap()
            .len()
            < 8 * 30_000
    );
}

#[test]
fn lists_that_ssh_keygen_wrote_are_read() {
    let keygen = Keygen::new();
    fs::write(
        keygen.folder.path().join("spec"),
        "serial: 3\nserial: 10-20\nserial: 40\nserial: 42\nserial: 44\n",
    )
    .unwrap();
    let (ok, text) = keygen.run(&["-k", "-f", "krl", "-s", "ca.pub", "-z", "9", "spec"]);
    assert!(ok, "{text}");
    let read = inspect(&keygen.folder.path().join("krl")).unwrap();
    assert_eq!((read.version, read.ca.as_ref()), (9, Some(&keygen.ca)));
    assert_eq!(
        read.serials.ranges(),
        [(3, 3), (10, 20), (40, 40), (42, 42), (44, 44)]
    );
}

#[test]
fn a_million_dense_serials_take_one_range() {
    let set = SerialSet::from_ranges(vec![(1, 1_000_000)]);
    assert_eq!(set.count(), 1_000_000);
    assert!(krl(vec![0; 51], set).encode().len() < 200);
}

#[test]
fn what_the_broker_would_lose_is_refused_as_foreign() {
    let keygen = Keygen::new();
    for spec in ["key: ssh-ed25519 AAAA", "id: somebody\n"] {
        let id = fs::read_to_string(keygen.folder.path().join("id.pub")).unwrap();
        let spec = if spec.starts_with("key") {
            format!("key: {id}")
        } else {
            spec.to_owned()
        };
        fs::write(keygen.folder.path().join("spec"), spec).unwrap();
        let (ok, text) = keygen.run(&["-k", "-f", "krl", "-s", "ca.pub", "spec"]);
        assert!(ok, "{text}");
        let error = inspect(&keygen.folder.path().join("krl")).unwrap_err();
        assert!(
            matches!(
                error,
                FileError::Content {
                    source: KrlError::Foreign { .. },
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn short_and_missing_files_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("krl");
    assert!(matches!(inspect(&path), Err(FileError::Missing { .. })));
    for bytes in [0, 1, 43] {
        fs::write(&path, vec![0; bytes]).unwrap();
        let error = inspect(&path).unwrap_err();
        assert!(
            matches!(error, FileError::Content { source: KrlError::Short { bytes: found }, .. } if found == bytes)
        );
    }
}

#[test]
fn serial_zero_never_gets_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("krl");
    assert!(publish(&path, &krl(vec![1], SerialSet::from_iter([0]))).is_err());
    assert!(!path.exists());
    assert!(
        publish(
            Path::new("/nonexistent/krl"),
            &krl(vec![1], SerialSet::default())
        )
        .is_err()
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        ranges in prop::collection::vec((1_u64..5_000, 0_u64..300), 0..200),
        far in prop::collection::vec(1_u64..=u64::MAX, 0..20),
        version: u64,
        ca in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut all: Vec<_> = ranges.into_iter().map(|(first, more)| (first, first + more)).collect();
        all.extend(far.into_iter().map(|serial| (serial, serial)));
        let list = Krl { version, ..krl(ca, SerialSet::from_ranges(all)) };
        prop_assert_eq!(Krl::decode(&list.encode()).unwrap(), list);
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Krl::decode(&bytes);
    }

    #[test]
    fn damaged_lists_give_an_answer(
        serials in prop::collection::vec(1_u64..2_000, 0..100), at: prop::sample::Index, byte: u8, keep: prop::sample::Index,
    ) {
        let mut bytes = krl(vec![9; 51], serials.into_iter().collect()).encode();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(keep.index(bytes.len()) + 1);
        let _ = Krl::decode(&bytes);
    }

    #[test]
    fn sets_hold_what_was_put_in(serials in prop::collection::btree_set(0_u64..500, 0..200)) {
        let set: SerialSet = serials.iter().copied().collect();
        prop_assert_eq!(set.count(), u64::try_from(serials.len()).unwrap());
        for serial in 0..501 {
            prop_assert_eq!(set.contains(serial), serials.contains(&serial));
        }
    }
}
