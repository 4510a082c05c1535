use std::{os::unix::fs::symlink, process::Command};

use super::*;
use crate::broker::tests::{Scene, grant, order, public_key, put};
use monitor_model::revocation::Target;

/// A broker with one certificate that is revoked, and that certificate's file.
fn revoked(scene: &Scene) -> (Broker, std::path::PathBuf) {
    let broker = scene.open().unwrap();
    put(&broker, &grant("G-1", "alice", "acme"));
    let id = "G-1".parse().unwrap();
    let (_, signed) = broker.issue((&id, &[]), &public_key()).unwrap();
    let certificate = scene.places.data_dir.join("alice-cert.pub");
    fs::write(&certificate, signed.openssh).unwrap();
    broker.revoke(&order(1, Target::Grant(id))).unwrap();
    (broker, certificate)
}

/// Whether sshd's own reader finds the certificate revoked.
fn is_revoked(scene: &Scene, certificate: &Path) -> bool {
    let mut ask = Command::new("ssh-keygen");
    ask.args(["-Q", "-f"])
        .arg(&scene.places.krl)
        .arg(certificate);
    let said = ask.output().unwrap();
    let out = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(out.contains("REVOKED"), !said.status.success(), "{said:?}");
    !said.status.success()
}

/// A list as it might have been before anything was revoked.
fn older(path: &Path) -> Vec<u8> {
    let mut krl = file::inspect(path).unwrap();
    krl.version -= 1;
    krl.serials = crate::krl::SerialSet::default();
    krl.encode()
}

#[test]
fn what_somebody_makes_of_the_list_is_found_and_put_right() {
    let scene = Scene::new();
    let (broker, certificate) = revoked(&scene);
    let path = &scene.places.krl;
    let right = fs::read(path).unwrap();
    assert_eq!(broker.look_at_list().unwrap(), None);
    assert!(is_revoked(&scene, &certificate));
    let older = older(path);
    let cases: [(&dyn Fn(), Found); 6] = [
        (&|| fs::write(path, b"").unwrap(), Found::Short { bytes: 0 }),
        (&|| fs::remove_file(path).unwrap(), Found::Nothing),
        (
            &|| fs::write(path, &older).unwrap(),
            Found::Other {
                number: broker.list().unwrap().number - 1,
            },
        ),
        (
            &|| fs::write(path, vec![b'x'; right.len()]).unwrap(),
            Found::NoList,
        ),
        (
            &|| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap(),
            Found::Rights { mode: 0o666 },
        ),
        (
            &|| {
                fs::rename(path, path.with_extension("away")).unwrap();
                symlink(path.with_extension("away"), path).unwrap();
            },
            Found::NoFile,
        ),
    ];
    for (number, (change, wanted)) in (1..).zip(cases) {
        change();
        assert_eq!(broker.look_at_list().unwrap(), Some(wanted));
        assert_eq!(fs::read(path).unwrap(), right);
        assert!(fs::symlink_metadata(path).unwrap().is_file());
        assert!(is_revoked(&scene, &certificate), "after {wanted}");
        assert_eq!(broker.look_at_list().unwrap(), None, "told once");
        // The collector is to know each of them.
        let kept = broker.store().changes_pending().unwrap();
        let last = kept.last().unwrap();
        assert_eq!(
            (kept.len(), last.number),
            (number, broker.list().unwrap().number)
        );
        assert_eq!(last.found, format!("{wanted}; it is being put right"));
    }
}

#[test]
fn a_change_of_the_same_length_and_time_is_found_and_an_older_list_is_replaced() {
    let scene = Scene::new();
    let (broker, certificate) = revoked(&scene);
    let path = &scene.places.krl;
    assert_eq!(broker.look_at_list().unwrap(), None);
    let before = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let written = fs::OpenOptions::new().write(true).open(path).unwrap();
    fs::write(path, &bytes).unwrap();
    written.set_modified(before).unwrap();
    assert!(matches!(
        broker.look_at_list().unwrap(),
        Some(Found::Other { .. } | Found::NoList)
    ));
    // Why it matters: under a list of before, revoked certificates are good.
    fs::write(path, older(path)).unwrap();
    assert!(!is_revoked(&scene, &certificate));
    broker.look_at_list().unwrap();
    assert!(is_revoked(&scene, &certificate));
}

#[test]
fn a_list_that_cannot_be_put_right_is_an_error_until_it_can() {
    let scene = Scene::new();
    let (broker, certificate) = revoked(&scene);
    let path = &scene.places.krl;
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    for _look in 0..3 {
        assert!(broker.look_at_list().is_err());
    }
    fs::remove_dir(path).unwrap();
    assert_eq!(broker.look_at_list().unwrap(), Some(Found::Nothing));
    let kept = broker.store().changes_pending().unwrap();
    let kept: Vec<&str> = kept.iter().map(|change| change.found.as_str()).collect();
    assert_eq!(kept[0], "no file; it is being put right");
    assert!(
        kept[1].starts_with("no file; it could not be put right: "),
        "{kept:?}"
    );
    assert_eq!(
        kept[2..],
        ["nothing: sshd refused everybody; it is being put right"]
    );
    assert!(is_revoked(&scene, &certificate));
}

#[test]
fn what_the_broker_itself_puts_in_place_is_right() {
    let scene = Scene::new();
    let (broker, _) = revoked(&scene);
    assert_eq!(broker.look_at_list().unwrap(), None);
    put(&broker, &grant("G-2", "alice", "acme"));
    let id = "G-2".parse().unwrap();
    broker.issue((&id, &[]), &public_key()).unwrap();
    broker.revoke(&order(2, Target::Grant(id))).unwrap();
    assert_eq!(broker.look_at_list().unwrap(), None);
}
