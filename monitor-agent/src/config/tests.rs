use monitor_model::grant::Tier;

use super::*;
use crate::watch::{Catalogue, Rule};

const MINIMAL: &str = r#"
[collector]
address = "https://localhost:7443"
[tls]
ca = "ca.pem"
certificate = "a.pem"
key = "/k/a.key"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/monitor/agent.toml"))
}

#[test]
fn the_default_file_parses_and_says_what_the_defaults_are() {
    let config = parse(DEFAULT).unwrap();
    let minimal = parse(MINIMAL).unwrap();
    assert_eq!(config.state_dir, minimal.state_dir);
    assert_eq!(config.socket, minimal.socket);
    assert_eq!(config.pin_dir, minimal.pin_dir);
    assert_eq!(config.collector, minimal.collector);
    assert_eq!(config.priority_bytes, minimal.priority_bytes);
    assert_eq!(config.bulk_bytes, minimal.bulk_bytes);
    assert_eq!(config.best_tier, minimal.best_tier);
    assert_eq!(config.spool_bytes_max, minimal.spool_bytes_max);
    assert_eq!((&config.user_ca, &minimal.user_ca), (&None, &None));
    assert_eq!(config.principals_users, minimal.principals_users);
    assert_eq!(config.break_glass_accounts, minimal.break_glass_accounts);
}

#[test]
fn the_best_tier_is_one_of_three_and_others_are_told_so() {
    let tier = |name: &str| parse(&format!("{MINIMAL}[probes]\nbest_tier = \"{name}\"\n"));
    assert_eq!(
        tier("fentry").unwrap().best_tier,
        crate::kernel::Tier::Fentry
    );
    let error = tier("kprobe").unwrap_err().to_string();
    assert!(
        error.contains("kprobe") && error.contains("fentry"),
        "{error}"
    );
}

#[test]
fn the_authority_shown_in_the_default_file_is_read() {
    let text = DEFAULT.replace("# user_ca = ", "user_ca = ");
    let authority = parse(&text).unwrap().user_ca;
    assert_eq!(authority.as_deref(), Some(Path::new("/etc/monitor/ca.pub")));
}

#[test]
fn a_revocation_list_is_kept_only_where_a_path_says_so() {
    assert_eq!(parse(DEFAULT).unwrap().krl, None);
    let text = DEFAULT
        .replace("# [krl]", "[krl]")
        .replace("# path = ", "path = ");
    let path = parse(&text).unwrap().krl;
    assert_eq!(
        path.as_deref(),
        Some(Path::new("/var/lib/monitor-agent/revoked.krl"))
    );
    for path in ["revoked.krl", "/"] {
        let error = parse(&format!("{MINIMAL}[krl]\npath = \"{path}\"\n"));
        let error = error.unwrap_err().to_string();
        let wanted = format!(":9: krl.path is \"{path}\": an absolute path");
        assert!(error.contains(&wanted), "{error}");
    }
}

#[test]
fn what_the_default_file_shows_of_full_spools_parses() {
    let (_, shown) = DEFAULT.split_once("# [[spool.tenant]]").unwrap();
    let (shown, _) = shown.split_once("\n\n").unwrap();
    let shown = shown.replace("\n# ", "\n");
    let policy = parse(&format!("{MINIMAL}[[spool.tenant]]{shown}\n"));
    let policy = policy.unwrap().on_unstored;
    assert_eq!(policy.rest, OnUnstored::Keep);
    assert_eq!(
        policy.tenants,
        [("acme".parse().unwrap(), OnUnstored::FailClosed)].into()
    );
    assert_eq!(parse(DEFAULT).unwrap().on_unstored.tenants, [].into());
}

#[test]
fn the_rules_shown_in_the_default_file_parse() {
    let (_, rules) = DEFAULT.split_once("# [[watch]]").unwrap();
    let (rules, _) = rules.split_once("\n\n").unwrap();
    let rules = rules.replace("\n# ", "\n").replace("\n#\n", "\n\n");
    let config = parse(&format!("{MINIMAL}[[watch]]{rules}")).unwrap();
    let own: Vec<_> = own(&config).collect();
    assert_eq!(own.len(), 2);
    assert!(own[0].pattern.names_tenant());
    assert_eq!(own[1].label.tier, Some(Tier::Backup));
    assert_eq!(own[1].label.technique.as_deref(), Some("T1552.004"));
    assert_eq!(own[1].label.operations, crate::kernel::Operations::Changes);
    let first = config.watches.rules.first().unwrap();
    assert!(
        first.label.item.is_none(),
        "own rules stand before the catalogue"
    );
}

fn own(config: &Config) -> impl Iterator<Item = &Rule> {
    let rules = config.watches.rules.iter();
    rules.filter(|rule| rule.label.item.is_none())
}

#[test]
fn the_catalogue_is_on_unless_it_is_switched_off() {
    let items = |text: &str| {
        let config = parse(&format!("{MINIMAL}{text}")).unwrap();
        let rules = config.watches.rules.iter();
        rules
            .filter_map(|rule| rule.label.item.clone())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let all = items("");
    assert_eq!(all.len(), Catalogue::built_in().unwrap().items.len());
    assert_eq!(
        all,
        parse(DEFAULT)
            .unwrap()
            .watches
            .expectations
            .iter()
            .map(|of| of.item.clone())
            .collect()
    );
    assert!(items("[catalogue]\nenabled = false\n").is_empty());
    assert_eq!(
        items("[catalogue]\noff = [\"aws\", \"gcp\"]\n").len(),
        all.len() - 2
    );
}

#[test]
fn what_the_default_file_shows_of_the_catalogue_parses() {
    let (_, item) = DEFAULT.split_once("# [[catalogue.item]]").unwrap();
    let item = item.replace("\n# ", "\n");
    let config = parse(&format!("{MINIMAL}[[catalogue.item]]{item}")).unwrap();
    let mut rules = config.watches.rules.iter();
    let rule = rules
        .find(|rule| rule.label.item.as_deref() == Some("kubeconfig"))
        .unwrap();
    assert_eq!(rule.label.tenant, Some("acme".parse().unwrap()));
    assert_eq!(rule.label.tier, Some(Tier::Production));
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.tls.ca, Path::new("/etc/monitor/ca.pem"));
    assert_eq!(config.tls.key, Path::new("/k/a.key"));
}

/// What is wrong in a file, and what is said of it.
const WRONG: &[(&str, &str)] = &[
    (
        "[rings]\npriority_bytes = 5000",
        ":9: rings.priority_bytes is 5000: a power of two",
    ),
    (
        "[spool]\nbytes_max = 5",
        ":9: spool.bytes_max is 5: at least 16777216",
    ),
    (
        "[spool]\nfailure_seconds = 0",
        ":9: spool.failure_seconds is 0: from 1 to 3600",
    ),
    (
        "[spool]\non_failure = \"stop\"",
        "unknown variant `stop`, expected one of `keep`, `throttle`, `fail_closed`",
    ),
    (
        "[[spool.tenant]]\ntenant = \"a\"\non_failure = \"keep\"\n\
         [[spool.tenant]]\ntenant = \"a\"\non_failure = \"throttle\"",
        ":12: spool.tenant.tenant is \"a\": a tenant that is not named twice",
    ),
    (
        "[[watch]]\npattern = \"srv\"\nclass = \"x\"",
        ":9: watch.pattern is \"srv\": it does not start with /",
    ),
    (
        "[[watch]]\npattern = \"/{tenant}/x\"\nclass = \"x\"\ntenant = \"a\"",
        ":11: watch.tenant is \"a\": nothing",
    ),
    (
        "[[watch]]\npattern = \"/x\"\nclass = \"x\"\ntier = \"gold\"",
        ":11: watch.tier is \"gold\": tier \"gold\" is not one of standard",
    ),
    (
        "[[watch]]\npattern = \"/x\"\nclass = \"\"",
        ":10: watch.class is \"\": a word",
    ),
    (
        "[[watch]]\npattern = \"/x\"\nclass = \"x\"\ntechnique = \"1552\"",
        ":11: watch.technique is \"1552\": a technique of ATT&CK",
    ),
    (
        "[[watch]]\npattern = \"/x\"\nclass = \"x\"\noperations = \"reads\"",
        "unknown variant `reads`",
    ),
    (
        "[catalogue]\noff = [\"nothing\"]",
        ":9: catalogue.off is \"nothing\": an item of the catalogue",
    ),
    (
        "[[catalogue.item]]\nid = \"nothing\"",
        ":9: catalogue.item.id is \"nothing\": an item of the catalogue",
    ),
    (
        "[[catalogue.item]]\nid = \"aws\"\nreaders = [\"aws\"]",
        ":10: catalogue.item.readers is \"aws\": the program's absolute path",
    ),
    ("[other]", "unknown field `other`"),
    (
        "[rings]\npriority_byte = 5",
        "unknown field `priority_byte`",
    ),
];

#[test]
fn wrong_values_are_named_with_line_key_and_what_would_be_right() {
    for (more, wanted) in WRONG {
        let error = parse(&format!("{MINIMAL}{more}\n"))
            .unwrap_err()
            .to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(error.starts_with("/etc/monitor/agent.toml"), "{error}");
    }
    let error = parse(&MINIMAL.replace("https", "http"))
        .unwrap_err()
        .to_string();
    assert!(error.contains(":3: collector.address"), "{error}");
    assert!(parse("").unwrap_err().to_string().contains("collector"));
    assert!(matches!(
        Config::load(Path::new("/nonexistent")),
        Err(ConfigError::File { .. })
    ));
}
