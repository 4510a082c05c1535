use super::*;

const LEAST: &str = r#"listen = "127.0.0.1:0"
data_dir = "data"
[tls]
ca = "ca.pem"
certificate = "c.pem"
key = "c.key"
"#;

fn error(more: &str) -> String {
    Config::parse(Path::new("/etc/collector.toml"), &format!("{LEAST}{more}"))
        .unwrap_err()
        .to_string()
}

#[test]
fn the_default_configuration_is_right() {
    let config = Config::parse(Path::new("/etc/monitor/collector.toml"), DEFAULT).unwrap();
    assert_eq!(config.tls.ca, Path::new("/etc/monitor/ca.pem"));
    assert_eq!(config.tenants.len(), 2);
    assert_eq!(config.rules[1].after, 2);
    assert_eq!(config.rules[1].response, Response::Revoke);
}

#[test]
fn the_least_configuration_has_a_provider() {
    let config = Config::parse(Path::new("c.toml"), LEAST).unwrap();
    assert!(config.broker.is_none());
    assert!(config.tenants[0].id.is_provider());
}

#[test]
fn the_policy_version_follows_tenants_and_rules() {
    let one = Config::parse(Path::new("c.toml"), LEAST).unwrap();
    let two = Config::parse(Path::new("c.toml"), DEFAULT).unwrap();
    assert_eq!(one.policy_version().len(), 16);
    assert_ne!(one.policy_version(), two.policy_version());
    assert_eq!(
        one.policy_version(),
        Config::parse(Path::new("c.toml"), LEAST)
            .unwrap()
            .policy_version()
    );
}

#[test]
fn wrong_values_are_named_with_file_line_key_and_what_is_right() {
    for (more, parts) in [
        (
            "[ledger]\nkey = \"data/ledger.key\"\n",
            &[
                "/etc/collector.toml:8: ledger.key",
                "data/ledger.key",
                "outside of data_dir",
            ][..],
        ),
        (
            "[[tenant]]\nid = \"a b\"\n",
            &["/etc/collector.toml:8: tenant.id", "a b", "allowed"][..],
        ),
        (
            "[[tenant]]\nid = \"a\"\n[[tenant]]\nid = \"a\"\n",
            &[":10: tenant.id", "twice"],
        ),
        (
            "[[tenant]]\nid = \"a\"\n[[tenant.zone]]\nname = \"x\"\nnetworks = [\"10.0.0.0/33\"]\n",
            &[
                ":11: tenant.zone.networks",
                "10.0.0.0/33",
                "as in 10.20.0.0/24",
            ],
        ),
        (
            "[[rule]]\nid = \"r\"\nverdicts = [\"in_scope\"]\nseverity = \"high\"\nresponse = \"notify\"\n",
            &[
                ":9: rule.verdicts",
                "in_scope",
                "out_of_scope, unattributed",
            ],
        ),
        (
            "[[rule]]\nid = \"r\"\nverdicts = [\"out_of_scope\"]\nseverity = \"high\"\nresponse = \"kill\"\n",
            &[":11: rule.response", "kill", "notify, revoke"],
        ),
        (
            "[[rule]]\nid = \"r\"\nverdicts = [\"out_of_scope\"]\nseverity = \"high\"\nresponse = \"revoke\"\nafter = 0\n",
            &[":12: rule.after", "0", "1 to 1000"],
        ),
        (
            "[broker]\naddress = \"http://x\"\n",
            &[":8: broker.address", "http://x", "https://"],
        ),
        (
            "[broker]\naddress = \"https://x\"\nretry_ms_min = 9\nretry_ms_max = 3\n",
            &[":10: broker.retry_ms_max", "3"],
        ),
        (
            "[subscription]\nheartbeat_seconds = 0\n",
            &[":8: subscription.heartbeat_seconds", "1 to 3600"],
        ),
        ("[brokr]\n", &[":7:", "brokr", "expected"]),
        ("x = \n", &[":7:"]),
    ] {
        let error = error(more);
        for part in parts {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/c.toml"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nonexistent/c.toml"), "{error}");
}
