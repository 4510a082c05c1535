use std::path::Path;

use super::*;
use crate::config::{Config, DEFAULT};

fn parse(table: &str) -> Result<EnforcePolicy, String> {
    let before = DEFAULT.split("[enforce]").next().unwrap();
    let after = DEFAULT
        .split("# Readers of the event stream.")
        .nth(1)
        .unwrap();
    let text = format!("{before}\n{table}\n{after}");
    Config::parse(Path::new("/etc/monitor/collector.toml"), &text)
        .map(|config| config.enforce)
        .map_err(|error| error.to_string())
}

#[test]
fn the_default_observes_and_a_configuration_of_before_asks_nothing() {
    let installed = Config::parse(Path::new("/etc/c.toml"), DEFAULT).unwrap();
    assert_eq!(installed.enforce.modes.otherwise, Mode::Observe);
    assert_eq!(installed.enforce, parse("[enforce]").unwrap());
    let before = parse("").unwrap();
    assert!(before.modes.is_off());
    assert_eq!(before, EnforcePolicy::default());
}

#[test]
fn rules_name_tenants_and_reasons() {
    let table = "[enforce]\nmode = \"off\"\nlease_seconds = 60\nwhen_away = \"tighten\"\n\
        [[enforce.rule]]\ntenant = \"acme\"\nmode = \"enforce\"\n\
        [[enforce.rule]]\nreason = \"unknown_destination\"\nmode = \"observe\"";
    let policy = parse(table).unwrap();
    assert_eq!(
        (policy.lease, policy.when_away),
        (Duration::from_secs(60), Away::Tighten)
    );
    let acme: TenantId = "acme".parse().unwrap();
    let of = |reason| policy.modes.of(&acme, reason);
    assert_eq!(of(OutReason::WrongTenant), Mode::Enforce);
    assert_eq!(of(OutReason::UnknownDestination), Mode::Observe);
}

#[test]
fn wrong_values_are_told_with_what_would_be_right() {
    for (table, wanted) in [
        ("mode = \"on\"", "give one of off, observe, enforce"),
        (
            "lease_seconds = 14",
            "enforce.lease_seconds is 14: give 15 to 604800 seconds",
        ),
        ("when_away = \"open\"", "give one of keep, tighten, release"),
        (
            "[[enforce.rule]]\ntenant = \"nobody\"\nmode = \"off\"",
            "no tenant of that name is given",
        ),
        (
            "[[enforce.rule]]\nreason = \"no_grant\"\nmode = \"off\"",
            "give one of unknown_destination",
        ),
        (
            "[[enforce.rule]]\ntenant = \"acme\"",
            "missing field `mode`",
        ),
    ] {
        let error = parse(&format!("[enforce]\n{table}")).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}
