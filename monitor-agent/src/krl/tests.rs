//! Real lists, made and read by the real ssh-keygen.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use monitor_model::clock::SystemClock;
use sha2::{Digest as _, Sha256};

use super::*;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key));
        fs::create_dir(folder.path().join("state")).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> ListFile {
        ListFile::open(self.at("revoked.krl"), self.at("state")).unwrap()
    }

    /// A list of this number with the key on it.
    fn list(&self, number: u64) -> RevocationList {
        let path = self.at("made.krl");
        run(Command::new("ssh-keygen")
            .args(["-q", "-k", "-z", &number.to_string(), "-f"])
            .arg(&path)
            .arg(self.at("key.pub")));
        of(number, fs::read(path).unwrap())
    }

    /// Another list of this number, with nothing on it.
    fn empty(&self, number: u64) -> RevocationList {
        let path = self.at("empty.krl");
        run(Command::new("ssh-keygen")
            .args(["-q", "-k", "-z", &number.to_string(), "-f"])
            .arg(&path));
        of(number, fs::read(path).unwrap())
    }

    /// Whether the list in place revokes the key, as sshd's own program says.
    fn revokes(&self) -> bool {
        let asked = Command::new("ssh-keygen")
            .args(["-Q", "-f"])
            .arg(self.at("revoked.krl"))
            .arg(self.at("key.pub"))
            .output();
        !asked.unwrap().status.success()
    }

    fn in_place(&self) -> Vec<u8> {
        fs::read(self.at("revoked.krl")).unwrap()
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success());
}

fn of(number: u64, bytes: Vec<u8>) -> RevocationList {
    RevocationList {
        number,
        sha256: Sha256::digest(&bytes).into(),
        bytes,
        published_at: UnixNs(1),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn only_a_newer_list_takes_the_place_of_one() {
    let scene = Scene::new();
    fs::write(scene.at("revoked.krl"), "of the administrator").unwrap();
    let mut file = scene.open();
    assert!(file.number().is_none() && file.look().is_none());
    file.install(&scene.list(7)).unwrap();
    assert!(scene.revokes());
    assert_eq!(mode(&scene.at("revoked.krl")), 0o644);
    let seven = scene.in_place();
    file.install(&of(7, seven.clone())).unwrap();
    let empty = scene.empty(7);
    let refused = [
        (scene.list(6), "7 is in place, and a host never goes back"),
        (empty, "another of that number is in place"),
    ];
    for (list, part) in refused {
        let error = file.install(&list).unwrap_err().to_string();
        assert!(error.contains(part), "{part:?} is not in {error}");
        assert_eq!(scene.in_place(), seven);
    }
    file.install(&scene.list(8)).unwrap();
    // The next start knows it, and since when it is there.
    let mut again = scene.open();
    assert!(again.number() == Some(8) && again.look().is_none());
    assert!(
        again
            .since()
            .is_some_and(|since| since <= SystemClock.now())
    );
    again.install(&scene.list(7)).unwrap_err();
    assert_eq!(again.number(), Some(8));
}

#[test]
fn a_list_that_was_brought_by_other_means_is_not_gone_back_behind() {
    let scene = Scene::new();
    let nine = scene.list(9);
    fs::write(scene.at("revoked.krl"), &nine.bytes).unwrap();
    let mut file = scene.open();
    let error = file.install(&scene.list(8)).unwrap_err().to_string();
    assert!(error.contains("9 is in place"), "{error}");
    assert_eq!(scene.in_place(), nine.bytes);
    file.install(&scene.list(10)).unwrap();
    assert_eq!(file.number(), Some(10));
}

#[test]
fn a_folder_that_others_write_to_is_refused() {
    let scene = Scene::new();
    let open = scene.at("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
    let error = ListFile::open(open.join("revoked.krl"), scene.at("state")).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("mode 1777") && error.contains("root alone"),
        "{error}"
    );
}

#[test]
fn a_broken_list_never_takes_the_place_of_one() {
    let scene = Scene::new();
    let mut file = scene.open();
    file.install(&scene.list(7)).unwrap();
    let before = scene.in_place();
    let good = scene.list(8);
    let cut = of(8, good.bytes.split_last().unwrap().1.to_vec());
    let other = RevocationList {
        sha256: [0; 32],
        ..good.clone()
    };
    let renamed = RevocationList {
        number: 9,
        ..good.clone()
    };
    // Whole outside, and within nothing that sshd reads: serials of a cut length.
    let strange = of(8, [good.bytes.as_slice(), &[1, 0, 0, 0, 1, 9]].concat());
    for (list, part) in [
        (of(8, Vec::new()), "it has 0 bytes"),
        (cut, "cut off"),
        (other, "SHA-256"),
        (renamed, "told as number 9"),
        (strange, "ssh-keygen -Q will not read it"),
    ] {
        let error = file.install(&list).unwrap_err().to_string();
        assert!(error.contains(part), "{part:?} is not in {error}");
        assert_eq!(scene.in_place(), before);
    }
    assert!(file.number() == Some(7) && file.look().is_none());
    file.install(&good).unwrap();
    assert_eq!(file.number(), Some(8));
}

#[test]
fn what_somebody_else_makes_of_the_file_is_told_and_put_right() {
    let scene = Scene::new();
    let mut file = scene.open();
    file.install(&scene.list(7)).unwrap();
    let (path, right) = (scene.at("revoked.krl"), scene.in_place());
    let mut look = || {
        file.look().map(|changed| {
            changed.mended.unwrap();
            changed.found
        })
    };
    assert_eq!(look(), None);
    let old = scene.list(3).bytes;
    let length = u64::try_from(old.len()).unwrap();
    fs::write(&path, &old).unwrap();
    let other = |bytes, number| Some(Found::Other { bytes, number });
    assert_eq!(look(), other(length, Some(3)));
    fs::write(&path, "").unwrap();
    assert_eq!(look(), other(0, None));
    fs::remove_file(&path).unwrap();
    assert_eq!(look(), Some(Found::Gone));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    assert_eq!(look(), Some(Found::NoFile));
    // Nobody writes there: who opened it as any file would wait for ever.
    fs::remove_file(&path).unwrap();
    run(Command::new("mkfifo").arg(&path));
    assert_eq!(look(), Some(Found::NoFile));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let found = look();
    assert!(
        matches!(found, Some(Found::Access { mode: 0o666, .. })),
        "{found:?}"
    );
    assert_eq!((scene.in_place(), mode(&path)), (right, 0o644));
    assert_eq!(look(), None);
    assert!(scene.revokes());
}

#[test]
fn a_crash_between_copy_and_file_is_finished_and_not_taken_for_a_change() {
    let scene = Scene::new();
    let mut file = scene.open();
    file.install(&scene.list(7)).unwrap();
    let next = scene.list(8);
    fs::write(scene.at("state/revocation-list.next"), &next.bytes).unwrap();
    let mut again = scene.open();
    assert!(again.number() == Some(8) && again.look().is_none());
    assert_eq!(scene.in_place(), next.bytes);
    // Cut off in the writing: the one before stays.
    fs::write(scene.at("state/revocation-list.next"), "SSHKRL").unwrap();
    let mut again = scene.open();
    assert!(again.number() == Some(8) && again.look().is_none());
    assert!(!scene.at("state/revocation-list.next").exists());
}

#[test]
fn a_list_whose_copy_could_not_be_kept_is_not_taken_for_a_change() {
    let scene = Scene::new();
    let mut file = scene.open();
    file.install(&scene.list(7)).unwrap();
    // Nothing can be renamed over a folder that is not empty.
    let copy = scene.at("state/revocation-list");
    fs::remove_file(&copy).unwrap();
    fs::create_dir_all(copy.join("in the way")).unwrap();
    let next = scene.list(8);
    file.install(&next).unwrap_err();
    assert!(file.number() == Some(8) && file.look().is_none());
    assert_eq!(scene.in_place(), next.bytes);
    // The next start finishes it.
    fs::remove_dir_all(&copy).unwrap();
    let mut again = scene.open();
    assert!(again.number() == Some(8) && again.look().is_none());
}

/// The number and the detail of an event of changed lists.
fn told_of(note: &Note) -> (u64, &str) {
    let Action::Host {
        change: HostChange::RevocationList,
        number,
        detail,
        ..
    } = &note.action
    else {
        panic!("{note:?}");
    };
    (*number, detail.as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_tells_what_is_in_place_and_what_was_changed() {
    let scene = Scene::new();
    let (notes, mut told) = Notes::channel();
    let (keeper, mut lists) = ListKeeper::new(scene.open(), notes, Arc::new(SystemClock));
    let running = tokio::spawn(keeper.run());
    lists.again();
    assert_eq!(lists.changed().await.number, None);
    let mut broken = v1::RevocationList::from(&scene.list(6));
    broken.list.pop();
    lists.take(broken);
    let place = lists.changed().await;
    assert!(
        place.number.is_none() && place.problem.contains("cut off"),
        "{place:?}"
    );
    lists.take(v1::RevocationList::from(&scene.list(7)));
    let place = lists.changed().await;
    assert_eq!((place.number, place.problem.as_str()), (Some(7), ""));
    assert!(scene.revokes());
    // A collector that lost its state: the host does not go back, and says so.
    lists.take(v1::RevocationList::from(&scene.list(5)));
    let behind = lists.changed().await;
    assert_eq!(
        (behind.number, behind.at_unix_ns),
        (Some(7), place.at_unix_ns)
    );
    assert!(behind.problem.contains("never goes back"), "{behind:?}");
    fs::remove_file(scene.at("revoked.krl")).unwrap();
    let note = tokio::time::timeout(Duration::from_secs(20), told.recv()).await;
    let note = note.unwrap().unwrap();
    assert_eq!(told_of(&note), (7, "it was gone"));
    assert!(scene.revokes());
    let again = lists.changed().await;
    assert!(again.number == Some(7) && again.at_unix_ns > place.at_unix_ns);
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_right_is_told_once_and_until_it_is_right() {
    let scene = Scene::new();
    let mut file = scene.open();
    file.install(&scene.list(7)).unwrap();
    let path = scene.at("revoked.krl");
    // A folder in its place: no file can be renamed over it.
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("in the way")).unwrap();
    let (notes, mut told) = Notes::channel();
    let (keeper, mut lists) = ListKeeper::new(file, notes, Arc::new(SystemClock));
    let running = tokio::spawn(keeper.run());
    let stuck = lists.changed().await;
    assert!(
        stuck.number == Some(7) && stuck.problem.contains("revoked.krl"),
        "{stuck:?}"
    );
    let note = told.recv().await.unwrap();
    let (number, detail) = told_of(&note);
    let parts = ["it was no file", "could not be put right"];
    assert!(
        number == 7 && parts.iter().all(|part| detail.contains(part)),
        "{detail}"
    );
    fs::remove_dir_all(&path).unwrap();
    let right = lists.changed().await;
    assert_eq!((right.number, right.problem.as_str()), (Some(7), ""));
    // Told once as long as it was the same; then that it was gone.
    assert_eq!(told_of(&told.recv().await.unwrap()), (7, "it was gone"));
    assert!(scene.revokes());
    running.abort();
}
