use std::{fs, path::PathBuf};

use super::*;
use crate::config::Config;

const LEAST: &str = "listen = \"127.0.0.1:0\"\ndata_dir = \"d\"\n[tls]\nca = \"c\"\ncertificate = \"c\"\nkey = \"k\"\n";

fn parse(folder: &Path, more: &str) -> Result<Config, ConfigError> {
    let path: PathBuf = folder.join("collector.toml");
    Config::parse(&path, &format!("{LEAST}{more}"))
}

fn ids(config: &Config) -> Vec<&str> {
    config.rules.iter().map(|rule| rule.id.as_str()).collect()
}

#[test]
fn the_standard_rules_hold_unless_rules_stand_alone() {
    let folder = Path::new("/etc");
    let standard = standard(Duration::from_secs(60)).unwrap().len();
    assert_eq!(parse(folder, "").unwrap().rules.len(), standard);
    assert!(
        parse(folder, "[alert]\nstandard = false\n")
            .unwrap()
            .rules
            .is_empty()
    );
    let own = "[[rule]]\nid = \"a\"\nverdicts = [\"out_of_scope\"]\nseverity = \"low\"\nresponse = \"notify\"\n";
    assert_eq!(ids(&parse(folder, own).unwrap()), ["a"]);
    let both = parse(folder, &format!("[alert]\nstandard = true\n{own}")).unwrap();
    assert_eq!(both.rules.len(), standard + 1);
}

#[test]
fn a_file_of_rules_replaces_and_adds_and_rules_can_be_off() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\nid = \"listener\"\nversion = 7\nfacts = [\"listener\"]\nseverity = \"critical\"\nresponse = \"notify\"\n\
                 [[rule]]\nid = \"own\"\nkinds = [\"login_refused\"]\nseverity = \"low\"\nresponse = \"notify\"\ndedupe_seconds = 5\n";
    fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let more = "[alert]\nrules = \"rules.toml\"\noff = [\"disguise\"]\n";
    let config = parse(folder.path(), more).unwrap();
    let standard = standard(Duration::from_secs(60)).unwrap().len();
    assert_eq!(config.rules.len(), standard);
    assert!(!ids(&config).contains(&"disguise"));
    let of = |id: &str| config.rules.iter().find(|rule| rule.id == id).unwrap();
    assert_eq!(
        (of("listener").version, of("listener").severity),
        (7, Severity::Critical)
    );
    assert_eq!(of("own").dedupe, Duration::from_secs(5));
}

#[test]
fn a_wrong_rule_in_a_file_is_named_with_that_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    for (rule, parts) in [
        (
            "facts = [\"listner\"]",
            &["rules.toml:3: rule.facts", "listner", "listener"][..],
        ),
        (
            "kinds = [\"exec\"]",
            &["rules.toml:2: rule.verdicts", "at least one of"],
        ),
        (
            "verdicts = [\"in_scope\"]",
            &["rules.toml:3: rule.verdicts", "everyday work"],
        ),
        (
            "verdicts = [\"out_of_scope\"]\ntechnique = \"1078\"",
            &[":4: rule.technique", "as in T1078"],
        ),
        (
            "verdicts = [\"unattributed\"]\nreasons = [\"expired\"]",
            &[":4: rule.reasons", "add that verdict"],
        ),
        (
            "verdicts = [\"out_of_scope\"]\nno_session = [\"ambiguous\"]",
            &[":4: rule.no_session", "add that verdict"],
        ),
        (
            "facts = [\"listener\"]\nkinds = [\"exec\"]",
            &[":2: rule.facts", "leave the kinds out"],
        ),
        (
            "classes = [\"ssh-key\"]\nkinds = [\"exec\"]",
            &[":2: rule.classes", "kind credential"],
        ),
        (
            "verdicts = [\"in_scope\"]\ncounted = \"tenants\"",
            &["rule.after", "2 or more"],
        ),
        (
            "facts = [\"listener\"]\ncounted = \"all\"",
            &[":4: rule.counted", "events, tenants"],
        ),
        (
            "facts = [\"listener\"]\nby = \"x\"",
            &[":4: rule.by", "session, principal, host"],
        ),
        (
            "facts = [\"listener\"]\ntitle = \"\"",
            &[":4: rule.title", "1 to 256 bytes"],
        ),
        (
            "facts = [\"listener\"]\nversion = 0",
            &[":4: rule.version", "give 1 to"],
        ),
        ("signs = [\"x\"]", &[":3: rule.signs", "clock_moved"]),
    ] {
        let text =
            format!("[[rule]]\nid = \"r\"\n{rule}\nseverity = \"low\"\nresponse = \"notify\"\n");
        fs::write(folder.path().join("rules.toml"), text).unwrap();
        let error = parse(folder.path(), "[alert]\nrules = \"rules.toml\"\n").unwrap_err();
        for part in parts {
            assert!(error.to_string().contains(part), "{error} lacks {part:?}");
        }
    }
}

#[test]
fn what_is_off_must_be_known_and_a_file_must_be_there() {
    let error = parse(Path::new("/etc"), "[alert]\noff = [\"listner\"]\n").unwrap_err();
    assert!(
        error.to_string().contains("collector.toml:8: alert.off"),
        "{error}"
    );
    let error = parse(Path::new("/etc"), "[alert]\nrules = \"/nonexistent\"\n").unwrap_err();
    assert!(error.to_string().contains("/nonexistent"), "{error}");
}

#[test]
fn more_rules_than_the_most_are_refused() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for number in 0..=RULES_MAX {
        _ = write!(
            text,
            "[[rule]]\nid = \"r{number}\"\nfacts = [\"listener\"]\nseverity = \"low\"\nresponse = \"notify\"\n"
        );
    }
    let error = parse(Path::new("/etc"), &text).unwrap_err();
    assert!(error.to_string().contains("more than 256 rules"), "{error}");
}
