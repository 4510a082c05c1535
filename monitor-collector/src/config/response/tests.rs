use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::{Config, DEFAULT};

fn parse(table: &str) -> Result<ResponsePolicy, String> {
    let before = DEFAULT.split("[response]").next().unwrap();
    let after = DEFAULT
        .split("# Readers of the event stream.")
        .nth(1)
        .unwrap();
    let text = format!("{before}\n{table}\n{after}");
    Config::parse(Path::new("/etc/monitor/collector.toml"), &text)
        .map(|config| config.response)
        .map_err(|error| error.to_string())
}

#[test]
fn the_default_observes_and_a_configuration_of_before_goes_on_enforcing() {
    let installed = Config::parse(Path::new("/etc/c.toml"), DEFAULT).unwrap();
    assert_eq!(installed.response.mode, ResponseMode::Observe);
    assert!(installed.response.is_stated);
    let before = parse("").unwrap();
    assert_eq!(before.mode, ResponseMode::Enforce);
    let stated = ResponsePolicy {
        mode: ResponseMode::Observe,
        is_stated: true,
        ..before
    };
    assert_eq!(
        installed.response, stated,
        "the file says what holds unstated"
    );
}

#[test]
fn wrong_values_are_told_with_what_would_be_right() {
    for (table, wanted) in [
        ("[response]\nsessions_max = 3", "missing field `mode`"),
        ("[response]\nmode = \"on\"", "give one of observe, enforce"),
        (
            "[response]\nmode = \"enforce\"\nsessions_max = 0",
            "response.sessions_max is 0: give 1 to 100000",
        ),
        (
            "[response]\nmode = \"enforce\"\nwindow_minutes = 1441",
            "give 1 to 1440 minutes",
        ),
        (
            "[response]\nmode = \"enforce\"\n[[response.limit]]\ntenant = \"nobody\"\nat_most = \"ask\"",
            "no tenant of that name is given",
        ),
        (
            "[response]\nmode = \"enforce\"\n[[response.limit]]\ntier = \"top\"\nat_most = \"ask\"",
            "give one of standard, production",
        ),
        (
            "[response]\nmode = \"enforce\"\n[[response.limit]]\nat_most = \"shout\"",
            "give one of notify, ask, freeze, revoke",
        ),
    ] {
        let error = parse(table).unwrap_err();
        assert!(error.contains(wanted), "{table}: {error}");
    }
}

fn responses() -> impl Strategy<Value = Response> {
    proptest::sample::select(Response::ALL.to_vec())
}

fn limits() -> impl Strategy<Value = Limit> {
    let tenants = proptest::option::of(proptest::sample::select(vec!["acme", "globex"]));
    let tiers = proptest::option::of(proptest::sample::select(Tier::ALL.to_vec()));
    (tenants, tiers, responses()).prop_map(|(tenant, tier, at_most)| Limit {
        tenant: tenant.map(|name| name.parse().unwrap()),
        tier,
        at_most,
    })
}

proptest! {
    #[test]
    fn limits_only_weaken_and_their_order_does_not_matter(
        limits in proptest::collection::vec(limits(), 0..6),
        wanted in responses(),
        tier in proptest::option::of(proptest::sample::select(Tier::ALL.to_vec())),
    ) {
        let acme: TenantId = "acme".parse().unwrap();
        let policy = ResponsePolicy { limits: limits.clone(), ..ResponsePolicy::default() };
        let found = policy.at_most(wanted, Some(&acme), tier);
        prop_assert!(found <= wanted);
        let mut turned = policy.clone();
        turned.limits.reverse();
        prop_assert_eq!(turned.at_most(wanted, Some(&acme), tier), found);
        for limit in &limits {
            let fits = limit.tenant.as_ref().is_none_or(|id| *id == acme)
                && (limit.tier.is_none() || limit.tier == tier);
            prop_assert!(!fits || found <= limit.at_most);
        }
        let untouched = limits.iter().all(|limit| {
            limit.tenant.as_ref().is_some_and(|id| *id != acme)
                || limit.tier.is_some() && limit.tier != tier
        });
        prop_assert!(!untouched || found == wanted);
    }
}
