//! What rules may do: modes, limits, and the cap against storms.

use std::sync::Mutex;

use monitor_model::revocation::{
    Order,
    life::{Asks, Standing, State},
};

use super::{life::Set, *};
use crate::{config::response::Limit, core::standing::Decision};

/// A session of somebody of their own, that goes out of scope twice.
fn breach(number: u64) -> Vec<Event> {
    let who = format!("eng{number}");
    let session = session_id(u128::from(number));
    let mut events = vec![opened(
        event_id("jump-1", Source::Agent, number),
        session,
        &who,
        100 + number,
    )];
    for step in 0..2 {
        let mut event = read(number * 2 + step, "globex");
        event.attribution.session = Some(session);
        event.attribution.principal = Some(who.parse().unwrap());
        events.push(event);
    }
    events
}

fn of_rules(core: &Core) -> Vec<&Order> {
    let mut orders: Vec<&Order> = core.orders.values().collect();
    orders.sort_by_key(|order| order.given_at());
    orders
}

fn standing(core: &Core) -> Vec<Standing> {
    of_rules(core)
        .iter()
        .map(|order| order.standing())
        .collect()
}

fn open_with(folder: &Path, change: impl FnOnce(&mut Config)) -> Core {
    let mut config = config(folder);
    change(&mut config);
    Core::open(&config, Arc::new(SystemClock)).unwrap()
}

#[test]
fn in_observe_mode_rules_change_nothing_and_what_would_have_been_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let observe = |config: &mut Config| config.response.mode = ResponseMode::Observe;
    let mut core = open_with(folder.path(), observe);
    granted(&mut core);
    let raised = take(&mut core, &breach(1));
    let alert = &raised.last().unwrap().alert;
    assert_eq!((alert.response, alert.observed), (Response::Revoke, true));
    let order = of_rules(&core)[0].clone();
    assert_eq!((order.state(), order.asks), (State::Observed, None));
    assert_eq!(order.sessions[0].session, session_id(1));
    assert_eq!(order.sessions[0].tenant, Some("acme".parse().unwrap()));
    assert!(order.steps[0].note.contains("in force at once"));
    assert!(core.denied.is_empty() && core.tables().commands.is_empty());
    assert!(core.tables().unanswered.is_empty());
    assert!(
        core.world
            .grants
            .values()
            .all(|grant| { grant.state == monitor_model::grant::GrantState::Standing })
    );
    // An order of a person holds all the same.
    let given = core
        .order(wanted(1, Target::Session(session_id(1))))
        .unwrap()
        .unwrap();
    core.publish().unwrap();
    assert_eq!(given.state(), State::InForce);
    assert_eq!(core.tables().commands.len(), 1);
    // What was observed cannot be put in force later: it is over.
    let late = Decision {
        order: order.id,
        to: Standing::InForce,
        by: "eve".parse().unwrap(),
        author: "soc/eve".into(),
        note: String::new(),
    };
    assert!(core.decide(late).unwrap().is_err());
}

#[test]
fn what_policy_asks_a_person_about_is_proposed_and_then_carried_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open_with(folder.path(), |config| {
        config.response.limits = vec![Limit {
            tenant: Some("acme".parse().unwrap()),
            tier: None,
            at_most: Response::Ask,
        }];
    });
    granted(&mut core);
    let raised = take(&mut core, &breach(1));
    assert_eq!(raised.last().unwrap().alert.response, Response::Ask);
    let order = of_rules(&core)[0].clone();
    assert_eq!(
        (order.state(), order.asks),
        (State::Proposed, Some(Asks::Policy))
    );
    assert!(core.denied.is_empty() && core.tables().commands.is_empty());
    // The next breach asks nobody again.
    let mut more = read(50, "globex");
    more.attribution.principal = Some("eng1".parse().unwrap());
    let raised = take(&mut core, &[more.clone()]);
    assert!(raised.iter().all(|raised| raised.alert.order.is_none()));
    let decide = |core: &mut Core, to| {
        let decision = Decision {
            order: order.id,
            to,
            by: "eve".parse().unwrap(),
            author: "soc/eve".into(),
            note: "x".into(),
        };
        let order = core.decide(decision).unwrap().unwrap();
        core.publish().unwrap();
        order
    };
    assert_eq!(decide(&mut core, Standing::InForce).state(), State::InForce);
    assert_eq!(core.tables().commands.len(), 1);
    // Once it is lifted, the next breach is answered anew, also after a restart.
    decide(&mut core, Standing::Lifted);
    drop(core);
    let mut core = open(folder.path());
    more.id.sequence = 51;
    let raised = take(&mut core, &[more]);
    assert!(raised.iter().any(|raised| raised.alert.order.is_some()));
}

#[test]
fn limits_by_tier_weaken_what_a_rule_wants() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open_with(folder.path(), |config| {
        config.response.limits = vec![
            Limit {
                tenant: None,
                tier: Some(monitor_model::grant::Tier::Production),
                at_most: Response::Freeze,
            },
            Limit {
                tenant: Some("globex".parse().unwrap()),
                tier: None,
                at_most: Response::Notify,
            },
        ];
    });
    granted(&mut core);
    let raised = take(&mut core, &breach(1));
    assert_eq!(raised.last().unwrap().alert.response, Response::Freeze);
    let order = of_rules(&core)[0];
    assert_eq!((order.mode, order.state()), (Mode::Freeze, State::InForce));
}

#[test]
fn beyond_the_cap_orders_wait_and_one_notice_says_so_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Set(Mutex::new(crate::testing::at_seconds(1_000))));
    let start = || {
        let mut config = config(folder.path());
        config.response.sessions_max = 3;
        config.response.engineers_max = 100;
        Core::open(&config, Arc::<Set>::clone(&clock)).unwrap()
    };
    let mut core = start();
    granted(&mut core);
    let mut notices = Vec::new();
    for number in 1..=6 {
        clock.to(crate::testing::at_seconds(1_000 + number));
        notices.extend(take(&mut core, &breach(number)));
        drop(core);
        core = start();
    }
    let stands = [Standing::InForce, Standing::Proposed];
    assert_eq!(
        standing(&core),
        [
            stands[0], stands[0], stands[0], stands[1], stands[1], stands[1]
        ]
    );
    assert!(
        of_rules(&core)[3..]
            .iter()
            .all(|order| order.asks == Some(Asks::Storm))
    );
    assert_eq!(core.tables().commands.len(), 3);
    notices.retain(|raised| raised.alert.rule == "orders-wait");
    assert_eq!(notices.len(), 1, "one notice for the storm");
    assert!(notices[0].alert.sentence.contains("more than 3 sessions"));
    let kept = alerts(folder.path());
    assert_eq!(
        kept.iter()
            .filter(|one| one.alert.rule == "orders-wait")
            .count(),
        1
    );
    // When the time is over, rules may act again.
    clock.to(crate::testing::at_seconds(1_003 + 600));
    take(&mut core, &breach(7));
    assert_eq!(standing(&core).last(), Some(&Standing::InForce));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn rules_never_cut_off_more_than_the_cap_within_its_time(
        sessions_max in 1..4u32,
        engineers_max in 1..4u32,
        count in 1..7u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut core = open_with(folder.path(), |config| {
            config.response.sessions_max = sessions_max;
            config.response.engineers_max = engineers_max;
        });
        granted(&mut core);
        for number in 1..=count {
            take(&mut core, &breach(number));
        }
        let in_force = core.orders.values().filter(|order| order.is_in_force()).count();
        let most = u64::from(sessions_max.min(engineers_max)).min(count);
        prop_assert_eq!(u64::try_from(in_force).unwrap(), most);
        prop_assert_eq!(u64::try_from(core.orders.len()).unwrap(), count, "none is lost");
    }
}
