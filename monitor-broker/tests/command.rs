//! The real program: its commands, its words, its exit codes, and kill -9.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test says where"
)]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

mod scene;
use scene::{Scene, key_pair, until};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_monitor-broker"))
}

/// The server, killed with -9 when it goes.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn serve(scene: &Scene) -> (Serving, String) {
    let written = scene.path().join("data/listen");
    let _ = fs::remove_file(&written);
    let child = program()
        .args(["run", "--config"])
        .arg(scene.path().join("broker.toml"))
        .stderr(Stdio::null())
        .spawn();
    let serving = Serving(child.unwrap());
    until("the broker listens", || {
        fs::read_to_string(&written).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let port = fs::read_to_string(&written)
        .unwrap()
        .trim()
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    (serving, format!("https://localhost:{port}"))
}

fn ask(scene: &Scene, who: &str, broker: &str, args: &[&str]) -> Output {
    let files = scene.files(who);
    program()
        .args(args)
        .env("MONITOR_BROKER", broker)
        .env("MONITOR_CA", files.ca)
        .env("MONITOR_CERTIFICATE", files.certificate)
        .env("MONITOR_KEY", files.key)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn grant_file(folder: &Path) -> String {
    let file = folder.join("grant.toml");
    let body = "id = \"G-1\"\nprincipal = \"alice\"\ntenant = \"acme\"\nticket = \"INC-4711\"\npurpose = \"test\"\n\
                approved_by = \"bob\"\ntier = \"production\"\nkind = \"just_in_time\"\nvalid_seconds = 3600\n";
    fs::write(&file, body).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_work_and_survive_kill_9() {
    let scene = Scene::new();
    let _collector = scene.start_collector().await;
    let (serving, broker) = serve(&scene).await;
    let key = key_pair(scene.path(), "id");
    let public = format!("{}.pub", key.display());
    let put = ask(
        &scene,
        "root",
        &broker,
        &["grant", "put", &grant_file(scene.path())],
    );
    assert!(
        put.status.success() && text(&put).contains("jump-1"),
        "{}",
        text(&put)
    );
    let issue = ["issue", "--grant", "G-1", "--public-key", &public];
    let issued = ask(&scene, "root", &broker, &issue);
    assert!(
        issued.status.success() && text(&issued).contains("certificate 1 for grant G-1"),
        "{}",
        text(&issued)
    );
    assert!(
        fs::read_to_string(scene.path().join("id-cert.pub"))
            .unwrap()
            .starts_with("ssh-ed25519-cert-v01")
    );
    drop(serving);
    let (_serving, broker) = serve(&scene).await;
    assert!(text(&ask(&scene, "root", &broker, &issue)).contains("certificate 2 "));
    let revoke = ask(
        &scene,
        "root",
        &broker,
        &["revoke", "--engineer", "alice", "--reason", "offboarding"],
    );
    let told = text(&revoke);
    for part in [
        "certificate 1 grant G-1 revoked",
        "certificate 2 grant G-1 revoked",
        "list in place",
        "order ",
    ] {
        assert!(revoke.status.success() && told.contains(part), "{told}");
    }
    let described = text(&ask(
        &scene,
        "root",
        &broker,
        &["describe", "--principal", "alice"],
    ));
    assert!(
        described.contains("grant G-1 acme INC-4711 production until")
            && described.contains("ended"),
        "{described}"
    );
    assert_eq!(ask(&scene, "root", &broker, &issue).status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_say_what_kind_of_failure_it_was() {
    let scene = Scene::new();
    let (_serving, broker) = serve(&scene).await;
    let code = |who: &str, args: &[&str]| ask(&scene, who, &broker, args).status.code();
    let issue = ["issue", "--grant", "G-9", "--public-key", "/nonexistent"];
    assert_eq!(code("root", &issue), Some(1));
    assert_eq!(
        code("root", &["describe", "--principal", "nobody"]),
        Some(3)
    );
    assert_eq!(
        code("root", &["revoke", "--serial", "77", "--reason", "x"]),
        Some(3)
    );
    assert_eq!(
        code("sam", &["revoke", "--serial", "1", "--reason", "x"]),
        Some(5)
    );
    assert_eq!(code("root", &["revoke", "--reason", "x"]), Some(2));
    let nobody = ask(
        &scene,
        "root",
        "https://localhost:1",
        &["describe", "--principal", "alice"],
    );
    assert!(
        nobody.status.code() == Some(1)
            && text(&nobody).contains("https://localhost:1 cannot be reached"),
        "{}",
        text(&nobody)
    );
}

#[test]
fn configurations_are_printed_and_checked() {
    let scene = Scene::new();
    let printed = program().args(["config", "--default"]).output().unwrap();
    assert!(printed.status.success() && text(&printed).contains("certificate_seconds_max = 3600"));
    let check = |path: &Path| {
        program()
            .args(["check-config", "--config"])
            .arg(path)
            .output()
            .unwrap()
    };
    let good = scene.path().join("broker.toml");
    assert!(check(&good).status.success());
    let bad = scene.path().join("bad.toml");
    fs::write(&bad, scene.config_text().replace("= 3600", "= 1")).unwrap();
    let told = check(&bad);
    assert!(
        told.status.code() == Some(1)
            && text(&told).contains("bad.toml:4: certificate_seconds_max is 1: "),
        "{}",
        text(&told)
    );
    fs::write(&bad, scene.config_text().replace("b.pem", "x.pem")).unwrap();
    assert!(text(&check(&bad)).contains("x.pem"));
    assert!(text(&check(&scene.path().join("none.toml"))).contains("none.toml"));
}
