//! Opens of watched files.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use monitor_agent::kernel::{FileIdentity, Operations, WatchChange, WatchEntry, WatchName};
use monitor_common::{Credential, Operation, SessionMark, watch::DEVICE_NODE};
use tempfile::TempDir;

use crate::{
    actor::Actor,
    rig::{Rig, Seen},
};

const WATCH: u32 = 42;

struct Scene {
    folder: TempDir,
    file: PathBuf,
}

impl Scene {
    fn new() -> Self {
        // Not below /tmp alone: a tmpfs there has no generations.
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let file = folder.path().join("credential");
        fs::write(&file, "secret").unwrap();
        Self { folder, file }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn entry(path: &Path, watch_id: u32) -> WatchEntry {
    WatchEntry::all(FileIdentity::of(path).unwrap(), watch_id)
}

/// What an act by a marked actor makes seen.
fn after(rig: &mut Rig, act: &[&str]) -> Vec<(Credential, String)> {
    Actor::new(act).marked(&rig.probes, rig.mark).act();
    let seen = rig.collect_until_ended();
    rig.probes.forget_session(rig.mark).unwrap();
    let credential = |seen| match seen {
        Seen::Credential {
            credential, path, ..
        } => Some((credential, path)),
        _ => None,
    };
    seen.into_iter().filter_map(credential).collect()
}

fn one(rig: &mut Rig, scene: &Scene, act: &str, path: &Path) -> (Credential, String) {
    let found = after(rig, &[act, path.to_str().unwrap()]);
    assert_eq!(found.len(), 1, "{act} {}: {found:#?}", path.display());
    let identity = FileIdentity::of(&scene.file).unwrap();
    let (credential, label) = found.into_iter().next().unwrap();
    assert_eq!(credential.file.device, identity.device);
    assert_eq!(credential.file.inode, identity.inode);
    assert_eq!(
        Some(credential.file.generation),
        identity.generation.or(Some(credential.file.generation))
    );
    assert_eq!(credential.watch_id, WATCH);
    (credential, label)
}

#[test]
fn watched_file_is_told_once_by_whatever_name_it_is_opened() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    rig.probes.watch_set(&[entry(&scene.file, WATCH)]).unwrap();
    symlink(&scene.file, scene.path("symbolic")).unwrap();
    fs::hard_link(&scene.file, scene.path("hard")).unwrap();
    let through_root = PathBuf::from(format!("/proc/self/root{}", scene.file.display()));
    let spelled = scene.file.to_str().unwrap();
    for (act, path, label) in [
        ("open", scene.file.clone(), spelled),
        ("openat2", scene.file.clone(), spelled),
        ("open", scene.path("symbolic"), spelled),
        (
            "open",
            scene
                .path("./../")
                .join(scene.folder.path().file_name().unwrap())
                .join("credential"),
            spelled,
        ),
        ("open", through_root, spelled),
        (
            "open",
            scene.path("hard"),
            scene.path("hard").to_str().unwrap(),
        ),
    ] {
        let (credential, found) = one(&mut rig, &scene, act, &path);
        assert_eq!(found, label);
        assert_eq!((credential.levels, credential.path.flags), (0, 0));
        assert_eq!(credential.open_flags & 3, 0, "read only");
        assert_eq!(credential.open_mode & 3, 1, "read only");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn open_by_the_system_call_of_32_bit_programs_is_told() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    rig.probes.watch_set(&[entry(&scene.file, WATCH)]).unwrap();
    let act = ["open as 32 bit", scene.file.to_str().unwrap()];
    let said = Actor::new(&act).marked(&rig.probes, rig.mark).act();
    if said.contains("returned -") {
        eprintln!("SKIPPED: this kernel does not run 32-bit system calls: {said}");
        return;
    }
    let seen = rig.collect_until_ended();
    let watches: Vec<_> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Credential { credential, .. } => Some(credential.watch_id),
            _ => None,
        })
        .collect();
    assert_eq!(watches, [WATCH]);
}

#[test]
fn write_is_told_apart_and_an_open_of_the_path_alone_is_not_told() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    rig.probes.watch_set(&[entry(&scene.file, WATCH)]).unwrap();
    let (credential, _) = one(&mut rig, &scene, "write", &scene.file);
    assert_eq!(credential.open_flags & 3, 1, "write only");
    assert_eq!(credential.open_mode & 3, 2, "write only");
    let found = after(&mut rig, &["reopen", scene.file.to_str().unwrap()]);
    // The path alone gives no content: only the open through it is told.
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].0.open_flags & 0o10_000_000, 0);
}

#[test]
fn renamed_file_stays_watched_and_its_successor_is_not() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    rig.probes.watch_set(&[entry(&scene.file, WATCH)]).unwrap();
    let moved = scene.path("moved");
    fs::rename(&scene.file, &moved).unwrap();
    fs::write(&scene.file, "another").unwrap();
    let found = after(&mut rig, &["open", moved.to_str().unwrap()]);
    assert_eq!(found.len(), 1);
    let found = after(&mut rig, &["open", scene.file.to_str().unwrap()]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn files_below_a_watched_directory_are_told_with_their_distance() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    let inner = scene.path("watched/inner");
    fs::create_dir_all(&inner).unwrap();
    rig.probes
        .watch_set(&[entry(&scene.path("watched"), 7)])
        .unwrap();
    for (name, levels) in [("watched/new", 1), ("watched/inner/new", 2)] {
        let path = scene.path(name);
        let found = after(&mut rig, &["write", path.to_str().unwrap()]);
        assert_eq!(found.len(), 1, "{name}: {found:#?}");
        assert_eq!((found[0].0.watch_id, found[0].0.levels), (7, levels));
        assert_eq!(found[0].1, path.to_str().unwrap());
    }
    let found = after(&mut rig, &["open", scene.file.to_str().unwrap()]);
    assert!(found.is_empty(), "beside the directory: {found:#?}");
}

/// The test is the agent here: it started the probes.
#[test]
fn that_the_agent_lists_a_watched_directory_is_not_told_but_what_it_reads() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    let folder = scene.folder.path();
    rig.probes.watch_set(&[entry(folder, WATCH)]).unwrap();
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
    // As it looks whose key a file holds.
    let look = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOATIME;
    let looked = rustix::fs::open(&scene.file, look, rustix::fs::Mode::empty());
    drop(looked.unwrap());
    fs::read(&scene.file).unwrap();
    let own = std::process::id();
    let is_own = |seen: &&Seen| matches!(seen, Seen::Credential { credential, .. } if credential.header.pid == own);
    let seen = rig.collect_of(SessionMark::NONE, |seen| {
        seen.iter().any(|one| is_own(&one))
    });
    let paths: Vec<_> = seen
        .iter()
        .filter(is_own)
        .filter_map(|seen| match seen {
            Seen::Credential { path, .. } => Some(Path::new(path)),
            _ => None,
        })
        .collect();
    assert_eq!(paths, [&*scene.file]);
    let found = after(&mut rig, &["open", folder.to_str().unwrap()]);
    assert_eq!(found.len(), 1, "somebody else lists it: {found:#?}");
}

#[test]
fn a_watched_directory_is_found_above_several_in_which_names_are_watched() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    let mut names = Vec::new();
    let mut folder = scene.folder.path().to_owned();
    for _ in 0..5 {
        folder.push("d");
        fs::create_dir(&folder).unwrap();
        let directory = FileIdentity::of(&folder).unwrap();
        names.extend(WatchName::new(directory, b"watched", 43, Operations::All));
    }
    let top = [entry(scene.folder.path(), WATCH)];
    rig.probes.watch(&top, &names).unwrap();
    let deep = folder.join("deep");
    fs::write(&deep, "x").unwrap();
    let found = after(&mut rig, &["open", deep.to_str().unwrap()]);
    let ids: Vec<u32> = found.iter().map(|(found, _)| found.watch_id).collect();
    assert_eq!(ids, [WATCH], "{found:#?}");
}

#[test]
fn what_is_not_watched_or_does_not_exist_is_not_told() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    rig.probes.watch_set(&[entry(&scene.file, WATCH)]).unwrap();
    let other = scene.path("other");
    fs::write(&other, "").unwrap();
    assert!(after(&mut rig, &["open", other.to_str().unwrap()]).is_empty());
    let absent = scene.path("absent");
    assert!(after(&mut rig, &["open absent", absent.to_str().unwrap()]).is_empty());
}

#[test]
fn watches_are_replaced_by_their_difference() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    let second = scene.path("second");
    fs::write(&second, "").unwrap();
    let (first, second_entry) = (entry(&scene.file, WATCH), entry(&second, 43));
    let directory = entry(scene.folder.path(), 44);
    let change = |written, removed, kept| WatchChange {
        written,
        removed,
        kept,
    };
    assert_eq!(
        rig.probes.watch_set(&[first, directory]).unwrap(),
        change(2, 0, 0)
    );
    assert_eq!(
        rig.probes.watch_set(&[first, second_entry]).unwrap(),
        change(1, 1, 1)
    );
    assert_eq!(
        rig.probes.watch_set(&[second_entry]).unwrap(),
        change(0, 1, 1)
    );
    assert!(after(&mut rig, &["open", scene.file.to_str().unwrap()]).is_empty());
    let found = after(&mut rig, &["open", second.to_str().unwrap()]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0.watch_id, 43);
}

#[test]
fn too_many_watches_are_an_error_and_change_nothing() {
    let Some(rig) = Rig::new() else { return };
    let scene = Scene::new();
    let real = entry(&scene.file, WATCH);
    rig.probes.watch_set(&[real]).unwrap();
    let many: Vec<_> = (0..20_000_u32)
        .map(|number| {
            let file = FileIdentity {
                inode: u64::from(number) + 1,
                ..real.file
            };
            WatchEntry::all(file, number)
        })
        .collect();
    let error = rig.probes.watch_set(&many).unwrap_err();
    assert!(error.to_string().contains("16384"), "{error}");
    assert_eq!(rig.probes.watch_set(&[real]).unwrap().kept, 1);
    assert_eq!(rig.probes.watch_set(&many[..16_384]).unwrap().removed, 1);
}

#[test]
fn whatever_has_a_watched_name_is_watched_from_its_first_moment() {
    let Some(mut rig) = Rig::new() else { return };
    let scene = Scene::new();
    let folder = rig.probes.identify(scene.folder.path()).unwrap();
    let name = WatchName::new(folder, b"token", 9, Operations::All).unwrap();
    let change = rig.probes.watch(&[], &[name]).unwrap();
    assert_eq!((change.written, change.removed), (2, 0));
    let token = scene.path("token");
    let found = after(&mut rig, &["write", token.to_str().unwrap()]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].0.watch_id, found[0].0.levels), (9, 0));
    assert_eq!(found[0].0.operation, Operation::CREATED);
    fs::write(scene.path("new"), "other").unwrap();
    fs::rename(scene.path("new"), &token).unwrap();
    let found = after(&mut rig, &["open", token.to_str().unwrap()]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].0.operation, Operation::OPENED);
    assert!(after(&mut rig, &["open", scene.file.to_str().unwrap()]).is_empty());
}

#[test]
fn kernel_and_stat_agree_who_a_file_is() {
    let Some(rig) = Rig::new() else { return };
    let scene = Scene::new();
    let found = rig.probes.identify(&scene.file).unwrap();
    let stated = FileIdentity::of(&scene.file).unwrap();
    assert_eq!((found.device, found.inode), (stated.device, stated.inode));
    if stated.generation.is_some() {
        assert_eq!(found.generation, stated.generation);
    }
    let node = rig.probes.identify(Path::new("/dev/null")).unwrap();
    assert_eq!((node.device, node.inode), (DEVICE_NODE, 1 << 20 | 3));
    let absent = rig.probes.identify(&scene.path("absent")).unwrap_err();
    assert_eq!(absent.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn names_that_no_table_can_hold_are_refused() {
    let scene = Scene::new();
    let folder = FileIdentity::of(scene.folder.path()).unwrap();
    let name = |name: &[u8]| WatchName::new(folder, name, 1, Operations::All);
    assert!(name(&[b'x'; 63]).is_some());
    for refused in [&[b'x'; 64][..], b"", b"a/b", b"a\0b"] {
        assert!(name(refused).is_none(), "{refused:?}");
    }
}
