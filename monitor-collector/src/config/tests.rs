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
    assert_eq!(config.terms.tenants.len(), 2);
    assert!(config.rules.iter().any(|rule| rule.after == 2));
}

#[test]
fn the_least_configuration_has_a_provider() {
    let config = Config::parse(Path::new("c.toml"), LEAST).unwrap();
    assert!(config.broker.is_none());
    assert!(config.terms.tenants[0].id.is_provider());
}

#[test]
fn only_what_can_change_at_run_time_is_taken_from_another_configuration() {
    let parse = |text: &str| Config::parse(Path::new("c.toml"), text).unwrap();
    let running = parse(LEAST);
    let (same, later) = running.reloaded(parse(DEFAULT));
    assert_eq!(same.data_dir, running.data_dir);
    assert_eq!(same.listen, running.listen);
    assert_eq!(same.terms, parse(DEFAULT).terms);
    assert_eq!(same.rules, parse(DEFAULT).rules);
    assert_eq!(later, ["listen", "data_dir", "tls", "broker", "ledger"]);
    let (_, later) = running.reloaded(parse(LEAST));
    assert!(later.is_empty());
}

/// A configuration in a folder, with the files that it includes.
fn with_files(files: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let text = format!("include = {names:?}\n{LEAST}");
    Config::parse(&folder.path().join("collector.toml"), &text)
}

const TENANTS: &str = "[[tenant]]\nid = \"acme\"\n[[tenant]]\nid = \"provider\"\n\
    [[tenant.zone]]\nname = \"dns\"\nnetworks = [\"192.0.2.53/32\"]\nadmits = \"everybody\"\n";

#[test]
fn tenants_inventory_and_policy_have_files_of_their_own() {
    let config = with_files(&[
        (
            "inventory.toml",
            "[[credential]]\ntemplate = \"/srv/{tenant}/kubeconfig\"\nowner = \"carol\"\ntier = \"production\"\n\
             [[credential]]\ntemplate = \"/etc/backup/key\"\ntenant = \"acme\"\nworkload = \"backup-job\"\n",
        ),
        ("tenants.toml", TENANTS),
        (
            "policy.toml",
            "[policy]\nprovider = \"any_grant\"\nunknown_destinations = \"owner_grant\"\n",
        ),
    ])
    .unwrap();
    let terms = config.terms;
    assert_eq!(terms.tenants.len(), 2);
    assert_eq!(
        terms.tenants[1].zones[0].admits,
        Some(monitor_model::policy::Admission::Everybody)
    );
    assert_eq!(terms.inventory.len(), 2);
    assert_eq!(terms.inventory[1].tenant, Some("acme".parse().unwrap()));
    assert_eq!(terms.provider.as_str(), "any_grant");
}

#[test]
fn hosts_of_a_zone_are_resolved_and_one_that_cannot_be_is_refused() {
    let zone = |hosts: &str| {
        with_files(&[(
            "t.toml",
            &format!(
                "[[tenant]]\nid = \"acme\"\n[[tenant.zone]]\nname = \"db\"\n\
                 jump_host = \"jump-acme\"\nhosts = [{hosts}]\n[policy]\nresolve_minutes = 7\n"
            ),
        )])
    };
    let config = zone("\"localhost\"").unwrap();
    let zone_of = &config.terms.tenants[0].zones[0];
    assert!(
        zone_of.hosts[0]
            .addresses
            .iter()
            .all(std::net::IpAddr::is_loopback)
    );
    assert_eq!(zone_of.jump_host, Some("jump-acme".parse().unwrap()));
    assert_eq!(config.resolve, Duration::from_secs(7 * 60));
    let error = zone("\"localhost\", \"no-such-host.invalid\"")
        .unwrap_err()
        .to_string();
    for part in [
        "t.toml:6: tenant.zone.hosts",
        "no-such-host.invalid",
        "cannot be resolved",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = zone("").unwrap_err().to_string();
    assert!(error.contains("give at least one"), "{error}");
}

#[test]
fn a_wrong_file_is_refused_with_its_own_name_line_and_key() {
    for (file, text, parts) in [
        (
            "i.toml",
            "\n[[credential]]\ntemplate = \"/srv/x\"\n",
            &["i.toml:3: credential.template", "name the tenant"][..],
        ),
        (
            "i.toml",
            "[[credential]]\ntemplate = \"/srv/x\"\ntenant = \"nobody\"\n",
            &["i.toml:3: credential.tenant", "no tenant of that name"],
        ),
        (
            "i.toml",
            "[[credential]]\ntemplate = \"/srv/{tenant}/x\"\ntenant = \"acme\"\n",
            &["i.toml:3: credential.tenant", "by {tenant}"],
        ),
        (
            "i.toml",
            "[[credential]]\ntemplate = \"/x\"\ntenant = \"acme\"\nadmits = \"everybody\"\n",
            &[
                "i.toml:4: credential.admits",
                "only what is of the tenant provider",
            ],
        ),
        (
            "i.toml",
            "[policy]\nprovider = \"all\"\n",
            &[
                "i.toml:2: policy.provider",
                "owner_grant, any_grant, everybody",
            ],
        ),
        (
            "i.toml",
            "[[tenant]]\nid = \"acme\"\n",
            &["i.toml:2: tenant.id", "twice"],
        ),
        ("i.toml", "listen = \"x\"\n", &["i.toml:1:", "listen"]),
    ] {
        let error = with_files(&[("t.toml", TENANTS), (file, text)]).unwrap_err();
        let error = error.to_string();
        for part in parts {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }
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
            &[":11: rule.response", "kill", "notify, ask, freeze, revoke"],
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
        (
            "[reads]\naggregate_seconds = 3601\n",
            &[":8: reads.aggregate_seconds", "0 to 3600"],
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
fn a_witness_that_cannot_be_asked_safely_is_refused() {
    for (more, parts) in [
        (
            "[ledger]\nkey = \"/k\"\n[ledger.witness]\nurl = \"http://w.example\"\nkey = \"k\"\n",
            &[":10: ledger.witness.url", "http://w.example", "https://"][..],
        ),
        (
            "[ledger]\nkey = \"/k\"\n[ledger.witness]\nurl = \"https://w.example\"\nkey = \"k\"\n",
            &[":10: ledger.witness.url", "the ca that signed"],
        ),
        (
            "[ledger]\nkey = \"/k\"\n[ledger.witness]\nurl = \"http://[::1]:7445/\"\nkey = \"w+0+A\"\n",
            &[":11: ledger.witness.key", "monitor-witness show-key"],
        ),
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

#[test]
fn retention_and_holds_are_read_and_wrong_ones_named() {
    let text = |more: &str| {
        format!(
            "[[tenant]]\nid = \"acme\"\nretention_days = 400\ncontract = \"MSA-7\"\n[[tenant]]\nid = \"globex\"\n{more}"
        )
    };
    let hold = "[[hold]]\ntenant = \"acme\"\nreason = \"case 12\"\nprincipal = \"alice\"\n";
    let config = Config::parse(Path::new("c.toml"), &format!("{LEAST}{}", text(hold))).unwrap();
    let acme = &config.retention.tenants[&"acme".parse().unwrap()];
    assert_eq!(acme.time.as_secs(), 400 * 86_400);
    assert_eq!(acme.contract, "MSA-7");
    assert_eq!(config.retention.tenants.len(), 1, "globex keeps everything");
    assert_eq!(config.retention.holds[0].reason, "case 12");
    for (more, parts) in [
        (
            "retention_days = 0\n",
            &["tenant.retention_days", "1 to 36500"][..],
        ),
        ("[[hold]]\ntenant = \"acme\"\n", &["reason"]),
        (
            "[[hold]]\ntenant = \"acme\"\nreason = \" \"\n",
            &["hold.reason", "1 to 256 bytes"],
        ),
        (
            "[[hold]]\ntenant = \"initech\"\nreason = \"x\"\n",
            &["hold.tenant", "no [[tenant]] has this id"],
        ),
        (
            "[[hold]]\ntenant = \"acme\"\nreason = \"x\"\nsession = \"7\"\n",
            &["hold.session", "26 characters"],
        ),
    ] {
        let error = error(&text(more));
        for part in parts {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }
}

#[test]
fn a_broker_is_reached_in_one_way_that_is_whole() {
    let cases: &[(&str, &[&str])] = &[
        (
            "[broker]\nretry_ms_min = 9\n",
            &[":7: broker", "neither address nor webhook nor feed"],
        ),
        (
            "[broker]\naddress = \"https://x\"\nwebhook = \"https://y\"\nsecret = \"s\"\n",
            &[":9: broker.webhook", "one way"],
        ),
        (
            "[broker]\naddress = \"https://x\"\nfeed = \"b\"\n",
            &[":9: broker.feed", "one way"],
        ),
        (
            "[broker]\nfeed = \"no name\"\n",
            &[":8: broker.feed", "monitor://broker/NAME"],
        ),
        (
            "[broker]\nfeed = \"b\"\nsecret = \"s\"\n",
            &[":9: broker", "leave it out"],
        ),
        (
            "[broker]\naddress = \"https://x\"\nsecret = \"s\"\n",
            &[":9: broker", "leave it out"],
        ),
        (
            "[broker]\nwebhook = \"https://y\"\n",
            &[":8: broker.webhook", "whsec_"],
        ),
        (
            "[broker]\nwebhook = \"http://y/\"\nsecret = \"s\"\n",
            &[":8: broker.webhook", "https://"],
        ),
        (
            "[broker]\nwebhook = \"https://me:pass@y/\"\nsecret = \"s\"\n",
            &[":8: broker.webhook", "without a user"],
        ),
    ];
    for (more, parts) in cases {
        let error = error(more);
        for part in *parts {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
    }
    let text = "[broker]\nwebhook = \"https://y/z\"\nsecret = \"s\"\nca = \"/c.pem\"\n";
    let config = Config::parse(Path::new("/etc/c.toml"), &format!("{LEAST}{text}")).unwrap();
    let way = broker::BrokerWay::Webhook {
        url: "https://y/z".to_owned(),
        secret: "/etc/s".into(),
        ca: Some("/c.pem".into()),
    };
    assert_eq!(config.broker.unwrap().way, way);
}
