//! How orders come into force and end.

use std::{collections::BTreeSet, sync::Mutex};

use monitor_model::{
    clock::Clock,
    contain::ContainMode,
    event::Receipt,
    revocation::{
        Order,
        life::{Asks, Standing, State},
    },
};

use super::*;
use crate::core::standing::Decision;

/// A clock that stands where the test sets it.
#[derive(Debug)]
pub(super) struct Set(pub(super) Mutex<UnixNs>);

impl Set {
    pub(super) fn to(&self, at: UnixNs) {
        *self.0.lock().unwrap() = at;
    }
}

impl Clock for Set {
    fn now(&self) -> UnixNs {
        *self.0.lock().unwrap()
    }
}

fn decision(id: OrderId, to: Standing, by: &str) -> Decision {
    Decision {
        order: id,
        to,
        by: by.parse().unwrap(),
        author: format!("soc/{by}"),
        note: "because".into(),
    }
}

fn decided(core: &mut Core, id: OrderId, to: Standing, by: &str) -> Order {
    let order = core.decide(decision(id, to, by)).unwrap().unwrap();
    core.publish().unwrap();
    order
}

fn given(core: &mut Core, wanted: Wanted) -> Order {
    let order = core.order(wanted).unwrap().unwrap();
    core.publish().unwrap();
    order
}

fn freeze(number: u128, target: Target) -> Wanted {
    Wanted {
        mode: Mode::Freeze,
        ..wanted(number, target)
    }
}

fn alice() -> Target {
    Target::Engineer("alice".parse().unwrap())
}

/// A core with a grant and two sessions of alice, of certificates 7 and 8.
fn scene(folder: &Path) -> Core {
    let mut core = open(folder);
    granted(&mut core);
    take(
        &mut core,
        &[login(1, session_id(1), 7), login(2, session_id(2), 8)],
    );
    core
}

fn modes(core: &Core) -> Vec<(SessionId, ContainMode)> {
    let commands = core.tables().commands.iter();
    commands
        .map(|command| (command.session, command.mode))
        .collect()
}

fn frozen(core: &mut Core, order: OrderId, session: SessionId) {
    let receipt = Receipt {
        frozen: 3,
        sockets_closed: 2,
        frozen_at: Some(BASE),
        ..Receipt::new(order, session, ContainMode::Freeze, BASE)
    };
    core.receipt(&"jump-1".parse().unwrap(), &receipt).unwrap();
    core.publish().unwrap();
}

#[test]
fn a_proposed_order_changes_nothing_until_another_person_approves_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    core.response.bulk_sessions = 1;
    let before = (core.world.grants.clone(), core.denied.clone());
    let order = given(&mut core, wanted(1, alice()));
    assert_eq!(
        (order.state(), order.asks),
        (State::Proposed, Some(Asks::Bulk))
    );
    assert_eq!(order.sessions.len(), 2);
    assert_eq!((core.world.grants.clone(), core.denied.clone()), before);
    assert!(core.tables().commands.is_empty() && core.tables().unanswered.is_empty());
    assert!(
        core.sessions
            .iter()
            .all(|login| login.session.state == SessionState::Live)
    );
    // Who gave it is not the second person, under whatever role.
    let own = core
        .decide(decision(order.id, Standing::InForce, "bob"))
        .unwrap();
    assert!(matches!(own, Err(Refusal::OtherPerson { .. })), "{own:?}");
    let herself = core
        .decide(decision(order.id, Standing::InForce, "alice"))
        .unwrap();
    assert!(
        matches!(herself, Err(Refusal::OtherPerson { .. })),
        "{herself:?}"
    );
    // It reaches what lives when it is approved.
    take(&mut core, &[login(3, session_id(3), 9)]);
    let approved = decided(&mut core, order.id, Standing::InForce, "eve");
    assert_eq!(
        (approved.state(), approved.sessions.len()),
        (State::InForce, 3)
    );
    assert_eq!(approved.steps[1].by, "soc/eve");
    assert_eq!(core.denied.serials.len(), 3);
    assert_eq!(core.tables().commands.len(), 3);
    assert_eq!(core.tables().unanswered.len(), 1);
    let again = decided(&mut core, order.id, Standing::InForce, "eve");
    assert_eq!(
        again, approved,
        "approving again is a success and changes nothing"
    );
}

#[test]
fn a_rejected_order_is_over_and_changed_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    core.response.bulk_sessions = 1;
    let id = given(&mut core, wanted(1, alice())).id;
    let rejected = decided(&mut core, id, Standing::Rejected, "bob");
    assert_eq!(rejected.state(), State::Rejected);
    let refused = core.decide(decision(id, Standing::InForce, "eve")).unwrap();
    assert!(
        matches!(refused, Err(Refusal::OrderStands { .. })),
        "{refused:?}"
    );
    assert!(core.denied.is_empty() && core.tables().commands.is_empty());
}

#[test]
fn a_freeze_denies_and_is_not_for_the_broker_and_lifting_it_releases() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let order = given(&mut core, freeze(1, Target::Session(session_id(1))));
    assert_eq!(modes(&core), [(session_id(1), ContainMode::Freeze)]);
    assert!(
        core.tables().unanswered.is_empty(),
        "the broker is not asked"
    );
    assert!(core.denied.serials.contains_key(&7));
    assert!(matches!(
        core.world.grants[&"01JG".parse().unwrap()].state,
        monitor_model::grant::GrantState::Standing
    ));
    frozen(&mut core, order.id, session_id(1));
    assert_eq!(core.orders[&order.id].state(), State::Enforced);
    assert!(core.tables().commands.is_empty());
    let lifted = decided(&mut core, order.id, Standing::Lifted, "eve");
    assert_eq!(lifted.state(), State::Lifted);
    assert!(core.denied.is_empty(), "nothing is denied any more");
    assert_eq!(modes(&core), [(session_id(1), ContainMode::Release)]);
    let state = core.sessions.get(session_id(1)).unwrap().session.state;
    assert_eq!(state, SessionState::Live);
    // The host was away; it converges whenever it comes.
    drop(core);
    let mut core = open(folder.path());
    assert_eq!(modes(&core), [(session_id(1), ContainMode::Release)]);
    let released = Receipt {
        released: 3,
        released_at: Some(BASE),
        ..Receipt::new(order.id, session_id(1), ContainMode::Release, BASE)
    };
    core.receipt(&"jump-1".parse().unwrap(), &released).unwrap();
    core.publish().unwrap();
    assert!(core.tables().commands.is_empty());
    assert_eq!(core.orders[&order.id].sessions[0].released_at, Some(BASE));
}

fn released(core: &mut Core, order: OrderId, session: SessionId) -> Receipt {
    let receipt = Receipt {
        released: 3,
        released_at: Some(BASE),
        ..Receipt::new(order, session, ContainMode::Release, BASE)
    };
    core.receipt(&"jump-1".parse().unwrap(), &receipt).unwrap();
    core.publish().unwrap();
    receipt
}

/// The same as the host's event, which comes later.
fn told(core: &mut Core, number: u64, receipt: Receipt) {
    let action = monitor_model::event::Action::Contained { receipt };
    take(
        core,
        &[event(event_id("jump-1", Source::Agent, number), action)],
    );
}

#[test]
fn what_a_host_did_before_a_freeze_is_no_word_that_it_undid_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let session = session_id(1);
    let first = given(&mut core, freeze(1, Target::Session(session))).id;
    frozen(&mut core, first, session);
    decided(&mut core, first, Standing::Lifted, "eve");
    let late = released(&mut core, first, session);
    // Frozen again, and lifted at once; the host may have been told to freeze.
    let second = given(&mut core, freeze(2, Target::Session(session))).id;
    decided(&mut core, second, Standing::Lifted, "eve");
    told(&mut core, 3, late.clone());
    assert_eq!(modes(&core), [(session, ContainMode::Release)]);
    assert_eq!(core.tables().commands[0].order, second);
    released(&mut core, second, session);
    assert!(core.tables().commands.is_empty());
    // Nor is an earlier freeze a word that a later one is done.
    let third = given(&mut core, freeze(3, Target::Session(session))).id;
    frozen(&mut core, first, session);
    assert_eq!(modes(&core), [(session, ContainMode::Freeze)]);
    assert_eq!(core.tables().commands[0].order, third);
}

#[test]
fn one_release_counts_for_every_order_that_was_over_by_then() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let session = session_id(1);
    let orders = [1, 2].map(|number| given(&mut core, freeze(number, Target::Session(session))).id);
    for order in orders {
        frozen(&mut core, order, session);
    }
    for order in orders.into_iter().rev() {
        decided(&mut core, order, Standing::Lifted, "eve");
    }
    let asked = core.tables().commands[0].order;
    released(&mut core, asked, session);
    assert!(core.tables().commands.is_empty());
}

#[test]
fn a_session_goes_on_with_the_hosts_word_and_late_events_do_not_freeze_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let session = session_id(1);
    let shown = |core: &Core| core.sessions.get(session).unwrap().session.frozen;
    let order = given(&mut core, freeze(1, Target::Session(session))).id;
    let receipt = Receipt {
        frozen: 3,
        frozen_at: Some(BASE),
        ..Receipt::new(order, session, ContainMode::Freeze, BASE)
    };
    told(&mut core, 3, receipt.clone());
    assert_eq!(shown(&core).unwrap().order, order);
    decided(&mut core, order, Standing::Lifted, "eve");
    assert!(shown(&core).is_some(), "the host has not said so yet");
    let late = released(&mut core, order, session);
    assert_eq!(shown(&core), None);
    told(&mut core, 4, receipt);
    assert_eq!(shown(&core), None);
    told(&mut core, 5, late);
    drop(core);
    let core = open(folder.path());
    assert_eq!(shown(&core), None);
}

#[test]
fn lifting_takes_back_only_what_no_other_order_denies() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let session = given(&mut core, freeze(1, Target::Session(session_id(1))));
    let serial = given(&mut core, freeze(2, Target::Serial(7)));
    frozen(&mut core, session.id, session_id(1));
    decided(&mut core, session.id, Standing::Lifted, "eve");
    assert_eq!(core.denied.serials.get(&7), Some(&serial.id));
    assert!(modes(&core).is_empty(), "the other order holds it still");
    let state = core.sessions.get(session_id(1)).unwrap().session.state;
    assert_eq!(state, SessionState::Contained);
    decided(&mut core, serial.id, Standing::Lifted, "eve");
    assert!(core.denied.is_empty());
    assert_eq!(modes(&core), [(session_id(1), ContainMode::Release)]);
}

#[test]
fn lifting_brings_no_ended_grant_back_and_a_new_login_is_admitted() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let order = given(&mut core, wanted(1, alice()));
    let ended = core.world.grants.clone();
    decided(&mut core, order.id, Standing::Lifted, "eve");
    assert_eq!(core.world.grants, ended);
    assert!(core.denied.is_empty() && core.tables().unanswered.is_empty());
    assert!(modes(&core).is_empty(), "nothing was frozen");
    // A late answer of the broker is kept, and denies nothing.
    let answer = BrokerAnswer {
        revoked: vec![Revoked {
            serial: Some(7),
            grant: None,
            outcome: Outcome::Revoked,
            at: BASE,
        }],
        published_at: None,
        list: None,
        at: BASE,
    };
    core.attempted(Attempt {
        order: order.id,
        asked_at: BASE,
        answer: Ok(answer),
    })
    .unwrap();
    assert_eq!(core.orders[&order.id].revoked.len(), 1);
    assert!(core.denied.is_empty());
    assert!(
        core.put_grant(grant("01JH", "alice", "acme"))
            .unwrap()
            .unwrap()
    );
    take(&mut core, &[login(3, session_id(3), 9)]);
    assert!(
        modes(&core).is_empty(),
        "a login after it is nobody's matter"
    );
}

#[test]
fn a_kill_takes_the_place_of_a_freeze_of_the_same_target() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let freeze = given(&mut core, freeze(1, alice()));
    frozen(&mut core, freeze.id, session_id(1));
    let kill = given(&mut core, wanted(2, alice()));
    assert_eq!(kill.supersedes, [freeze.id]);
    assert_eq!(core.orders[&freeze.id].state(), State::Superseded);
    assert_eq!(
        modes(&core),
        [
            (session_id(1), ContainMode::Kill),
            (session_id(2), ContainMode::Kill)
        ]
    );
    let holders: BTreeSet<_> = core.denied.serials.values().collect();
    assert_eq!(holders, [&kill.id].into());
    // Lifted before the hosts acted: what stood still goes on.
    decided(&mut core, kill.id, Standing::Lifted, "eve");
    assert!(modes(&core).contains(&(session_id(1), ContainMode::Release)));
}

#[test]
fn an_order_is_over_when_its_time_is_over_also_while_nothing_ran() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Set(Mutex::new(at_seconds(1_000))));
    let start = || Core::open(&config(folder.path()), Arc::<Set>::clone(&clock)).unwrap();
    let mut core = start();
    granted(&mut core);
    take(&mut core, &[login(1, session_id(1), 7)]);
    let not_after = Some(at_seconds(1_060));
    for (number, serial) in [(1, 7), (2, 70)] {
        let wanted = Wanted {
            not_after,
            ..freeze(number, Target::Serial(serial))
        };
        given(&mut core, wanted);
    }
    clock.to(at_seconds(1_059));
    core.look(&Present::default()).unwrap();
    assert_eq!(core.denied.serials.len(), 2);
    drop(core);
    clock.to(at_seconds(1_060));
    let core = start();
    assert!(core.denied.is_empty());
    assert!(
        core.orders
            .values()
            .all(|order| order.state() == State::Expired && order.steps[0].by == "collector")
    );
    assert_eq!(modes(&core), [(session_id(1), ContainMode::Release)]);
}

#[test]
fn an_order_of_before_there_were_steps_is_in_force_and_can_be_lifted() {
    use monitor_proto::v1;
    use prost::Message as _;

    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let id = given(&mut core, wanted(1, Target::Serial(7))).id;
    drop(core);
    // What such a collector wrote has none of the newer fields.
    let state = crate::state::State::path(&config(folder.path()).data_dir);
    let state = rusqlite::Connection::open(state).unwrap();
    let read = "SELECT message FROM ordered";
    let message: Vec<u8> = state.query_row(read, [], |row| row.get(0)).unwrap();
    let mut before = v1::Order::decode(message.as_slice()).unwrap();
    (before.mode, before.state) = (0, 1);
    for session in &mut before.sessions {
        session.tenant.clear();
    }
    let bytes = before.encode_to_vec();
    assert_ne!(bytes, message);
    state
        .execute("UPDATE ordered SET message = ?1", [bytes])
        .unwrap();
    drop(state);
    let mut core = open(folder.path());
    assert_eq!(core.orders[&id].state(), State::InForce);
    assert_eq!(modes(&core), [(session_id(1), ContainMode::Kill)]);
    assert_eq!(
        decided(&mut core, id, Standing::Lifted, "eve").state(),
        State::Lifted
    );
    assert!(core.denied.is_empty());
}

#[test]
fn nobody_lifts_an_order_against_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let order = given(&mut core, freeze(1, Target::Serial(7)));
    let own = core
        .decide(decision(order.id, Standing::Lifted, "alice"))
        .unwrap();
    assert!(matches!(own, Err(Refusal::OtherPerson { .. })), "{own:?}");
}

#[test]
fn a_login_under_a_suspended_grant_is_frozen_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (number, target) in [
        (1, Target::Grant("01JG".parse().unwrap())),
        (2, Target::Tenant("acme".parse().unwrap())),
    ] {
        let folder = folder.path().join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        let mut core = open(&folder);
        granted(&mut core);
        given(&mut core, freeze(number, target));
        take(&mut core, &[login(1, session_id(1), 7)]);
        assert_eq!(modes(&core), [(session_id(1), ContainMode::Freeze)]);
    }
}

#[test]
fn processes_that_stay_and_brokers_that_refuse_need_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let id = given(&mut core, wanted(1, Target::Session(session_id(1)))).id;
    let stuck = Receipt {
        left: 2,
        ..Receipt::new(id, session_id(1), ContainMode::Kill, BASE)
    };
    core.receipt(&"jump-1".parse().unwrap(), &stuck).unwrap();
    assert_eq!(core.orders[&id].state(), State::Failed);
    assert_eq!(core.orders[&id].sessions[0].left, 2);
    let gone = Receipt {
        gone_at: Some(BASE),
        killed: 2,
        ..Receipt::new(id, session_id(1), ContainMode::Kill, BASE)
    };
    core.receipt(&"jump-1".parse().unwrap(), &gone).unwrap();
    assert_eq!(core.orders[&id].state(), State::HostsEnforced);
    let refused = BrokerAnswer {
        revoked: vec![Revoked {
            serial: Some(7),
            grant: None,
            outcome: Outcome::RefusedByPolicy,
            at: BASE,
        }],
        published_at: None,
        list: None,
        at: BASE,
    };
    let attempt = Attempt {
        order: id,
        asked_at: BASE,
        answer: Ok(refused),
    };
    core.attempted(attempt).unwrap();
    assert_eq!(core.orders[&id].state(), State::Failed);
}

/// What somebody does to a core, by numbers, so that it can be made up.
#[derive(Clone, Debug)]
enum Act {
    Give { freeze: bool, target: u8 },
    Lift(u8),
    Receipt { session: u8, mode: u8 },
    Answer(u8),
    Login(u8),
    Crash,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (any::<bool>(), 0..6u8).prop_map(|(freeze, target)| Act::Give { freeze, target }),
        (0..8u8).prop_map(Act::Lift),
        (1..4u8, 0..3u8).prop_map(|(session, mode)| Act::Receipt { session, mode }),
        (0..8u8).prop_map(Act::Answer),
        (1..4u8).prop_map(Act::Login),
        Just(Act::Crash),
    ];
    proptest::collection::vec(act, 1..14)
}

fn target_of(number: u8) -> Target {
    match number {
        0 => alice(),
        1 => Target::Grant("01JG".parse().unwrap()),
        2 => Target::Tenant("acme".parse().unwrap()),
        3 => Target::Host("jump-1".parse().unwrap()),
        4 => Target::Session(session_id(1)),
        _ => Target::Serial(11),
    }
}

fn nth(core: &Core, number: u8) -> Option<OrderId> {
    core.orders.keys().nth(number.into()).copied()
}

fn act(core: Core, act: &Act, number: u64, folder: &Path) -> Core {
    let mut core = core;
    match act {
        Act::Give { freeze, target } => {
            let mode = if *freeze { Mode::Freeze } else { Mode::Kill };
            let wanted = Wanted {
                mode,
                ..wanted(number.into(), target_of(*target))
            };
            _ = core.order(wanted).unwrap();
        }
        Act::Lift(which) => {
            if let Some(id) = nth(&core, *which) {
                _ = core.decide(decision(id, Standing::Lifted, "eve")).unwrap();
            }
        }
        Act::Receipt { session, mode } => {
            let mode =
                [ContainMode::Kill, ContainMode::Freeze, ContainMode::Release][usize::from(*mode)];
            let session = session_id((*session).into());
            let mine = |command: &&crate::tables::Command| {
                command.session == session && command.mode == mode
            };
            // A host answers what it was asked.
            let asked = core.tables().commands.iter().find(mine).cloned();
            if let Some(command) = asked {
                let at = Some(at_seconds(number));
                let receipt = Receipt {
                    gone_at: at.filter(|_| mode == ContainMode::Kill),
                    frozen_at: at.filter(|_| mode == ContainMode::Freeze),
                    ..Receipt::new(command.order, session, mode, at_seconds(number))
                };
                core.receipt(&command.host, &receipt).unwrap();
            }
        }
        Act::Answer(which) => {
            if let Some(id) = nth(&core, *which) {
                let answer = BrokerAnswer {
                    revoked: Vec::new(),
                    published_at: None,
                    list: None,
                    at: at_seconds(number),
                };
                let attempt = Attempt {
                    order: id,
                    asked_at: at_seconds(number),
                    answer: Ok(answer),
                };
                core.attempted(attempt).unwrap();
            }
        }
        Act::Login(session) => {
            let serial = 10 + u64::from(*session);
            let event = login(number, session_id((*session).into()), serial);
            take(&mut core, &[event]);
        }
        Act::Crash => {
            // The ledgers have what was said, and the state does not know it.
            settled(&mut core, Vec::new());
            drop(core);
            return open(folder);
        }
    }
    core.publish().unwrap();
    core
}

/// What must hold of any core, however it came to be.
fn check(core: &Core) -> Result<(), TestCaseError> {
    let in_force = |order: &&Order| order.is_in_force();
    let orders = || core.orders.values().filter(in_force);
    let denied: BTreeSet<_> = orders().flat_map(crate::core::denials::denials).collect();
    // Denied is what orders in force deny, each under one that does.
    prop_assert_eq!(core.denied.len(), denied.len());
    for denial in denied {
        let holder = core.denied.get(&denial).and_then(|id| core.orders.get(&id));
        prop_assert!(
            holder.is_some_and(|order| order.is_in_force()
                && crate::core::denials::denials(order).contains(&denial))
        );
    }
    // Each session has one command at most, and only orders in force hold it.
    let mut seen = BTreeSet::new();
    for command in core.tables().commands.iter() {
        prop_assert!(seen.insert(command.session), "{:?}", core.tables().commands);
        let held = orders().any(|order| {
            order
                .sessions
                .iter()
                .any(|one| one.session == command.session && one.gone_at.is_none())
        });
        prop_assert_eq!(held, command.mode != ContainMode::Release);
    }
    // What a kill in force reaches is asked for until it is gone.
    for order in orders().filter(|order| order.mode == Mode::Kill) {
        for one in order.sessions.iter().filter(|one| one.gone_at.is_none()) {
            let mut commands = core.tables().commands.iter();
            let asked = commands
                .any(|command| command.session == one.session && command.mode == ContainMode::Kill);
            prop_assert!(asked);
        }
    }
    let waits = core.tables().unanswered.iter().map(|order| order.id);
    let due = orders().filter(|order| !order.is_answered());
    prop_assert!(waits.eq(due.map(|order| order.id)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_done_and_wherever_it_crashes_what_is_denied_follows_from_orders_in_force(
        acts in acts(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut core = open(folder.path());
        granted(&mut core);
        for (number, one) in acts.iter().enumerate() {
            let number = u64::try_from(number).unwrap() + 1;
            core = act(core, one, number, folder.path());
            check(&core)?;
            let before = (core.orders.clone(), core.denied.clone(), core.tables().commands.clone());
            drop(core);
            core = open(folder.path());
            let after = (core.orders.clone(), core.denied.clone(), core.tables().commands.clone());
            prop_assert_eq!(before, after);
        }
        while core.has_to_say() {
            take(&mut core, &[]);
        }
        super::entered::tells_all(&core, folder.path())?;
    }
}
