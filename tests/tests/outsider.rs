//! A client in another language, made from the .proto files alone.

use std::path::Path;

use monitor_tests::command::{self, command};
use monitor_tests::scene::Scene;
use monitor_tests::stage::config;
use monitor_tests::test_stage;

#[test]
fn client_in_python_reads_events_and_sessions() {
    let Some(ground) = test_stage::whole("outsider").unwrap() else {
        return;
    };
    let Some(python) = python() else { return };
    let mut scene = Scene::open(&ground.stage, &ground.facts, &ground.timeline, "alice").unwrap();
    scene.arrives().unwrap();
    scene.works(&ground.stage).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = tempfile::tempdir().unwrap();
    let mut client = command(python, [here.join("outsider.py")]);
    client
        .args([&here.join("../proto"), made.path()])
        .envs(config::variables(&ground.stage.folder, "monitorctl.env").unwrap());
    let said = command::stdout(&mut client).unwrap();
    for line in [
        "reflection ok",
        "health ok",
        "events ok",
        "search ok",
        "sessions ok",
    ] {
        assert!(said.contains(line), "{said}");
    }
}

/// The Python that has grpcio; none, said aloud, where there is none.
fn python() -> Option<String> {
    let python = std::env::var("MONITOR_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has = command::output(&mut command(
        &python,
        ["-c", "import grpc, grpc_tools, grpc_reflection"],
    ));
    if has.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!(
        "SKIPPED: {python} has no grpcio, grpcio-tools and grpcio-reflection: `cargo xtask setup` brings them"
    );
    None
}
