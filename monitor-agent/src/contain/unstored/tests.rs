use monitor_model::{clock::SystemClock, session::Session};
use monitor_proto::v1;

use super::*;
use crate::{
    attribute::sessions::tests::session,
    contain::tests::{Bench, bench_at},
    standing::tests::grant,
};

fn policy() -> Policy {
    let tenants = [
        ("acme", OnUnstored::FailClosed),
        ("globex", OnUnstored::Throttle),
    ];
    Policy {
        rest: OnUnstored::Keep,
        tenants: tenants.map(|(id, on)| (id.parse().unwrap(), on)).into(),
        after: Duration::from_secs(5),
    }
}

/// Sessions by number, under these grants; two processes in each.
fn logged_in(bench: &Bench, grants: &[(u128, &[&str])]) {
    for (number, grants) in grants {
        let grants = grants.iter().map(|id| id.parse().unwrap()).collect();
        let row = Session {
            grants,
            ..session(*number)
        };
        let pids = vec![4_000_001, 4_000_002];
        bench.marks.marked.lock().unwrap().insert(row.id, pids);
        let mut states = bench.marks.states.lock().unwrap();
        states.insert(row.id, SessionState::Open);
        bench.containment.sessions.lock().put(row).unwrap();
    }
}

fn known(bench: &Bench, of: &[(&str, &str)]) {
    let grants = of.iter().map(|(id, tenant)| {
        let mut grant = grant(id);
        grant.tenant = tenant.parse().unwrap();
        v1::Grant::from(&grant)
    });
    let grants = grants.collect();
    let table = v1::GrantTable { grants };
    bench.containment.standing.replace_grants(table).unwrap();
}

fn frozen(containment: &Containment, number: u128) -> bool {
    let sessions = containment.sessions.lock();
    sessions.get(session(number).id).unwrap().frozen.is_some()
}

fn by_hand(number: u128, mode: ContainMode) -> Command {
    Command {
        order: OrderId::from_parts(UnixNs(77), 1),
        session: session(number).id,
        mode,
        reason: String::new(),
        origin: Origin::Collector,
    }
}

#[test]
fn of_several_grants_the_strongest_counts_and_of_unknown_ones_the_rest() {
    let of = |tenants: &[Option<&str>]| {
        let tenants = tenants.iter().map(|one| one.map(|id| id.parse().unwrap()));
        policy().of(&tenants.collect())
    };
    assert_eq!(of(&[Some("globex")]), OnUnstored::Throttle);
    assert_eq!(of(&[Some("globex"), Some("acme")]), OnUnstored::FailClosed);
    assert_eq!(of(&[None, Some("initech")]), OnUnstored::Keep);
    assert_eq!(of(&[]), OnUnstored::Keep);
    let strict = Policy {
        rest: OnUnstored::FailClosed,
        ..policy()
    };
    assert_eq!(strict.of(&BTreeSet::new()), OnUnstored::FailClosed);
    assert!(!strict.is_idle());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_is_held_back_as_its_policy_says_until_events_are_stored_again() {
    let bench = bench_at(Arc::new(SystemClock));
    logged_in(
        &bench,
        &[(1, &["A"]), (2, &["G"]), (3, &["I"]), (4, &["A"])],
    );
    known(&bench, &[("A", "acme"), ("G", "globex"), ("I", "initech")]);
    let containment = Arc::new(bench.containment);
    // One is frozen already by an order.
    let order = by_hand(4, ContainMode::Freeze);
    containment.carry_out(&order, UnixNs(1)).await.unwrap();
    bench.marks.take_asked();
    let (_pipeline, storing) = Storing::channel();
    let mut unstored = Unstored::new(policy(), storing, containment.clone()).unwrap();
    assert_eq!(unstored.hold_back().await, [session(2).id]);
    let asked = bench.marks.take_asked();
    let own = session(1).id.to_string();
    assert!(asked.iter().all(|one| one.ends_with(&own)), "{asked:?}");
    assert!(frozen(&containment, 1) && !frozen(&containment, 2) && !frozen(&containment, 3));
    // Held back once, however long it lasts.
    unstored.hold_back().await;
    assert!(bench.marks.take_asked().is_empty());
    unstored.let_go().await;
    assert!(!frozen(&containment, 1) && frozen(&containment, 4));
    let newest = containment.receipts.newest();
    let own = newest.iter().find(|one| one.session == session(1).id);
    let own = own.unwrap();
    assert!(own.unstored && own.mode == ContainMode::Release && own.is_done());
    // What was let go is not let go again.
    bench.marks.take_asked();
    unstored.let_go().await;
    assert!(bench.marks.take_asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_person_released_goes_on_until_the_next_time() {
    let bench = bench_at(Arc::new(SystemClock));
    logged_in(&bench, &[(1, &["A"])]);
    known(&bench, &[("A", "acme")]);
    let containment = Arc::new(bench.containment);
    let (_pipeline, storing) = Storing::channel();
    let mut unstored = Unstored::new(policy(), storing, containment.clone()).unwrap();
    unstored.hold_back().await;
    assert!(frozen(&containment, 1));
    let order = by_hand(1, ContainMode::Release);
    containment.carry_out(&order, UnixNs(1)).await.unwrap();
    unstored.hold_back().await;
    assert!(!frozen(&containment, 1));
    unstored.let_go().await;
    unstored.hold_back().await;
    assert!(frozen(&containment, 1), "another time is another order");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slowed_is_stopped_and_goes_on_unless_an_order_holds_it() {
    let bench = bench_at(Arc::new(SystemClock));
    logged_in(&bench, &[(1, &["G"]), (2, &["G"])]);
    let containment = Arc::new(bench.containment);
    let order = by_hand(2, ContainMode::Freeze);
    containment.carry_out(&order, UnixNs(1)).await.unwrap();
    bench.marks.take_asked();
    let one = session(1).id;
    let slowed = Slowed::stop(&containment, vec![one, session(2).id]);
    assert_eq!(bench.marks.take_asked(), [format!("pause {one}")]);
    // While an order is carried out it is that order's.
    let ticket = containment.turns.line_up(one).unwrap();
    drop(slowed);
    assert!(bench.marks.take_asked().is_empty());
    drop(ticket);
    drop(Slowed::of(&containment, vec![one]));
    assert_eq!(bench.marks.take_asked(), [format!("resume {one}")]);
}

#[test]
fn nobody_is_asked_where_sessions_go_on_whatever_happens() {
    let bench = bench_at(Arc::new(SystemClock));
    let (_pipeline, storing) = Storing::channel();
    let keep = Policy {
        tenants: BTreeMap::new(),
        ..policy()
    };
    assert!(Unstored::new(keep, storing, Arc::new(bench.containment)).is_none());
}
