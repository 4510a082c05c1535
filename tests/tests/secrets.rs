//! A secret that an engineer types is found nowhere: not on the disk of the
//! agent, the collector or the broker, not in any log, not in what readers get.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use monitor_tests::completeness;
use monitor_tests::scene::{SEEN_WITHIN, Scene};
use monitor_tests::test_stage;

/// What must be found nowhere; no rule knows it by itself.
const CANARY: &str = "kanarienvogel-Z4w8";

/// Ways to give a program a secret; `SECRET` stands for it.
const WAYS: &[&str] = &[
    "bash -c 'exec -a mysql /bin/true -uroot -pSECRET shop'",
    "bash -c 'exec -a sshpass /bin/true -p SECRET ssh host'",
    "bash -c 'exec -a docker /bin/true login -u bob -p SECRET'",
    "env PGPASSWORD=SECRET /bin/true",
    "/bin/true --password=SECRET",
    "/bin/true --api-token SECRET",
    "/bin/true 'https://bob:SECRET@host/?token=SECRET'",
    "/bin/true -H 'Authorization: Bearer SECRET'",
    "/bin/true '{\"user\":\"bob\",\"password\":\"SECRET\"}'",
    "sh -c 'export API_TOKEN=\"SECRET\"; /bin/true'",
    "sh -c 'echo SECRET | sudo -S -n -k /bin/true' || true",
];

/// Files below a folder that hold the canary.
fn files_with_it(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files_with_it(&entry.path(), found);
        } else if kind.is_file() {
            // A file may have gone meanwhile.
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let canary = CANARY.as_bytes();
            if bytes.windows(canary.len()).any(|part| part == canary) {
                found.push(entry.path());
            }
        }
    }
}

#[test]
fn secret_that_is_typed_is_on_no_disk_in_no_log_and_with_no_reader() {
    let Some(mut ground) = test_stage::whole("secrets").unwrap() else {
        return;
    };
    let mut scene = Scene::open(&ground.stage, &ground.facts, &ground.timeline, "alice").unwrap();
    scene.arrives().unwrap();
    let login = scene.login.as_mut().unwrap();
    for way in WAYS {
        let said = login.types(&way.replace("SECRET", CANARY)).unwrap();
        assert_eq!(said.code, 0, "{way}: {said:?}");
    }
    assert_eq!(login.types("/bin/echo all-is-typed").unwrap().code, 0);
    ground
        .facts
        .wait("the last command", SEEN_WITHIN, |fact| {
            fact.is_event("exec") && fact.text("/event/action/argv/1") == "all-is-typed"
        })
        .unwrap();
    let redacted = ground.facts.all(|fact| {
        fact.is_event("exec")
            && fact.session() == scene.session
            && fact.number("/event/action/redacted").unwrap_or(0) > 0
            && fact.value.to_string().contains("[redacted:")
    });
    assert!(redacted.len() >= WAYS.len(), "{redacted:#?}");
    let told = ground
        .facts
        .all(|fact| fact.value.to_string().contains(CANARY));
    assert!(told.is_empty(), "{told:#?}");
    ground.stage.services.check().unwrap();
    completeness::settle(&ground.stage).unwrap();
    let mut found = Vec::new();
    files_with_it(ground.stage.folder.root(), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}
