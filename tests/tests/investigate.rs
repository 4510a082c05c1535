//! `monitorctl investigate` after somebody strayed and was cut off.

use std::fs;

use monitor_tests::command;
use monitor_tests::scene::Scene;
use monitor_tests::stage::config;
use monitor_tests::test_stage;
use serde_json::Value;

#[test]
fn the_story_of_a_session_that_strayed_has_what_it_touched_and_what_became_of_it() {
    let Some(ground) = test_stage::whole("investigate").unwrap() else {
        return;
    };
    let folder = &ground.stage.folder;
    let mut scene = Scene::open(&ground.stage, &ground.facts, &ground.timeline, "alice").unwrap();
    scene.arrives().unwrap();
    scene.works(&ground.stage).unwrap();
    scene.leaves_something_running().unwrap();
    scene.strays(&ground.stage).unwrap();
    scene.is_cut_off(&ground.stage).unwrap();
    let pictures = tempfile::tempdir().unwrap();
    let (dot, svg) = (pictures.path().join("a.dot"), pictures.path().join("a.svg"));
    let asked = ["investigate", "--engineer", "alice", "--since", "1h"];
    let mut asked = config::monitorctl(folder, asked).unwrap();
    asked
        .args(["-o", "json"])
        .arg("--dot")
        .arg(&dot)
        .arg("--svg")
        .arg(&svg);
    let said = command::stdout(&mut asked).unwrap();
    let record: Value = serde_json::from_str(&said).unwrap();
    let story = &record["investigation"];
    assert_eq!(story["sessions"].as_array().unwrap().len(), 1, "{story:#}");
    assert_eq!(story["sessions"][0]["id"], scene.session.as_str());

    let file = |tenant: &str| folder.credential(tenant).to_string_lossy().into_owned();
    let credential = |tenant: &str| {
        let all = story["credentials"].as_array().unwrap();
        let found = all.iter().find(|one| one["path"]["text"] == file(tenant));
        found.unwrap_or_else(|| panic!("{tenant}: {story:#}"))
    };
    // cat read them, curl connected: nothing ties the two but the session.
    for (tenant, out) in [("acme", 0), ("globex", 1)] {
        let all = credential(tenant)["uses"].as_array().unwrap();
        let of_tenant = |used: &&Value| used["owner"] == tenant;
        let used = all.iter().find(of_tenant);
        let used = used.unwrap_or_else(|| panic!("{tenant}: {all:#?}"));
        assert_eq!(used["grade"], "later_in_session");
        assert_eq!(credential(tenant)["out_of_scope"], out);
    }
    let owners = story["tenants"].as_array().unwrap();
    for tenant in ["acme", "globex"] {
        assert!(
            owners.iter().any(|one| one["owner"] == tenant),
            "{owners:#?}"
        );
    }
    assert_eq!(story["alerts"].as_array().unwrap().len(), 2, "{story:#}");
    let order = &story["orders"][0];
    assert_eq!(order["revoked"][0]["outcome"], "revoked", "{order:#}");
    assert!(order["sessions"][0]["gone_at"].is_u64(), "{order:#}");
    let dot = fs::read_to_string(dot).unwrap();
    let svg = fs::read_to_string(svg).unwrap();
    for tenant in ["acme", "globex"] {
        assert!(dot.contains(&file(tenant)), "{dot}");
        assert!(svg.contains(&format!("{} (", file(tenant))), "{svg}");
    }
}
