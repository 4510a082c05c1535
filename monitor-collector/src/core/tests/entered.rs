//! What ledgers say of orders.

use std::collections::BTreeMap;

use monitor_model::{
    event::Kind,
    revocation::{
        entry::OrderEntry,
        life::{Standing, State},
    },
};

use super::*;
use crate::{
    core::standing::Decision,
    ledger::read::{Filter, Reader, Span},
};

/// The entries about orders in a tenant's ledger, as they are stored.
pub(super) fn entries(folder: &Path, tenant: &str) -> Vec<OrderEntry> {
    let reader = Reader::open(&config(folder).data_dir, &tenant.parse().unwrap()).unwrap();
    let everything = Span {
        after: UnixNs(0),
        up_to: UnixNs::MAX,
        limit: 10_000,
    };
    let (entries, _) = reader.page(everything, &Filter::default()).unwrap();
    let mut told = Vec::new();
    for entry in entries {
        let event = &entry.judged.event;
        if let Action::Order { entry } = &event.action {
            assert_eq!(event.action.kind(), Kind::Order);
            assert_eq!(event.id.source, Source::Collector);
            told.push(entry.as_ref().clone());
        }
    }
    told
}

fn states(folder: &Path, tenant: &str) -> Vec<State> {
    let told = entries(folder, tenant).into_iter();
    told.map(|entry| entry.state).collect()
}

/// Alice has a session for acme and one for globex, of one certificate.
fn scene(folder: &Path) -> Core {
    let mut core = open(folder);
    granted(&mut core);
    let other = grant("02JG", "alice", "globex");
    assert!(core.put_grant(other).unwrap().unwrap());
    let mut second = login(2, session_id(2), 7);
    if let Action::SessionOpened { session } = &mut second.action {
        session.tenant = Some("globex".parse().unwrap());
        session.grants = vec!["02JG".parse().unwrap()];
    }
    take(&mut core, &[login(1, session_id(1), 7), second]);
    core
}

fn given(core: &mut Core, wanted: Wanted) -> Order {
    let order = core.order(wanted).unwrap().unwrap();
    core.publish().unwrap();
    order
}

/// Puts what is to be said into the ledgers.
fn enter(core: &mut Core) {
    while core.has_to_say() {
        take(core, &[]);
    }
}

fn engineer() -> Target {
    Target::Engineer("alice".parse().unwrap())
}

fn gone(core: &mut Core, order: OrderId, session: SessionId) {
    let receipt = Receipt {
        killed: 2,
        gone_at: Some(BASE),
        ..Receipt::new(order, session, ContainMode::Kill, BASE)
    };
    core.receipt(&"jump-1".parse().unwrap(), &receipt).unwrap();
    core.publish().unwrap();
}

fn answered(core: &mut Core, order: OrderId) {
    let revoked = |serial, grant: &str| Revoked {
        serial,
        grant: Some(grant.parse().unwrap()),
        outcome: Outcome::Revoked,
        at: BASE,
    };
    let answer = BrokerAnswer {
        revoked: vec![revoked(Some(7), "01JG"), revoked(Some(7), "02JG")],
        published_at: None,
        list: None,
        at: BASE,
    };
    core.attempted(Attempt {
        order,
        asked_at: BASE,
        answer: Ok(answer),
    })
    .unwrap();
    core.publish().unwrap();
}

#[test]
fn each_tenant_reads_what_became_of_its_own_and_the_provider_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let order = given(&mut core, wanted(1, engineer()));
    gone(&mut core, order.id, session_id(1));
    gone(&mut core, order.id, session_id(2));
    // Told again: nothing new.
    gone(&mut core, order.id, session_id(2));
    answered(&mut core, order.id);
    enter(&mut core);
    let all = [State::InForce, State::HostsEnforced, State::Enforced];
    for tenant in ["acme", "globex", "provider"] {
        assert_eq!(states(folder.path(), tenant), all, "{tenant}");
    }
    let last = entries(folder.path(), "provider").pop().unwrap();
    assert_eq!((last.sessions.len(), last.revoked.len()), (2, 2));
    assert_eq!(
        (last.target, last.reason.as_str(), last.initiator.as_str()),
        (Some(engineer()), "offboarding", "bob")
    );
    for (tenant, other) in [("acme", "globex"), ("globex", "acme")] {
        let its = entries(folder.path(), tenant);
        let last = its.last().unwrap();
        assert_eq!((last.sessions.len(), last.revoked.len()), (1, 1));
        assert_eq!(last.target, Some(engineer()));
        let shown = format!("{its:?}");
        let foreign = if tenant == "acme" { "02JG" } else { "01JG" };
        for word in [other, foreign, "offboarding"] {
            assert!(!shown.contains(word), "{word} in {shown}");
        }
    }
    assert!(alerts(folder.path()).is_empty());
}

#[test]
fn words_are_the_providers_and_an_order_for_one_tenant_is_in_no_others_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = scene(folder.path());
    let grant = Target::Grant("02JG".parse().unwrap());
    let order = given(
        &mut core,
        Wanted {
            mode: Mode::Freeze,
            ..wanted(1, grant.clone())
        },
    );
    let lift = Decision {
        order: order.id,
        to: Standing::Lifted,
        by: "eve".parse().unwrap(),
        author: "soc/eve".into(),
        note: "a mistake".into(),
    };
    core.decide(lift).unwrap().unwrap();
    core.publish().unwrap();
    enter(&mut core);
    assert!(entries(folder.path(), "acme").is_empty());
    for (tenant, reason, note) in [("globex", "", ""), ("provider", "offboarding", "a mistake")] {
        let told = entries(folder.path(), tenant);
        let [first, last] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(
            (&first.target, first.reason.as_str(), first.state),
            (&Some(grant.clone()), reason, State::InForce)
        );
        let step = last.step.as_ref().unwrap();
        assert_eq!(
            (step.by.as_str(), step.note.as_str(), last.state),
            ("soc/eve", note, State::Lifted)
        );
    }
}

#[test]
fn an_order_by_a_rule_does_not_tell_one_tenant_what_was_done_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    take(&mut core, &[login(1, session_id(1), 7)]);
    let raised = take(&mut core, &[read(2, "globex"), read(3, "globex")]);
    let alert = &raised[1].alert;
    assert!(alert.sentence.contains("globex") && alert.order.is_some());
    enter(&mut core);
    let whole = entries(folder.path(), "provider").remove(0);
    assert!(whole.reason.contains("globex") && whole.alert == Some(alert.id));
    let its = entries(folder.path(), "acme").remove(0);
    assert!(its.initiator == "rule" && its.sessions.len() == 1);
    assert!(!format!("{its:?}").contains("globex"), "{its:?}");
}

#[test]
fn each_change_is_entered_once_wherever_it_stops() {
    type Stop = fn(&mut Core);
    let stops: [(&str, Stop); 4] = [
        ("with the order on disk", |_| {}),
        ("in the middle of the ledgers", |core| {
            core.take_in(Vec::new()).unwrap();
            let (_, ledger) = core.ledgers.iter_mut().next().unwrap();
            ledger.commit(SystemClock.now()).unwrap();
        }),
        ("after the ledgers", |core| _ = settled(core, Vec::new())),
        ("after all", |core| {
            take(core, &[]);
        }),
    ];
    for (name, stop) in stops {
        let folder = tempfile::tempdir().unwrap();
        let mut core = scene(folder.path());
        let order = given(&mut core, wanted(1, engineer()));
        stop(&mut core);
        drop(core);
        let mut core = open(folder.path());
        // Another entry must not be given a number that is taken.
        let again = core.order(wanted(1, engineer())).unwrap().unwrap();
        assert_eq!(again.id, order.id);
        gone(&mut core, order.id, session_id(1));
        enter(&mut core);
        drop(core);
        let mut core = open(folder.path());
        assert!(!core.has_to_say(), "{name}");
        enter(&mut core);
        for tenant in ["acme", "globex", "provider"] {
            assert_eq!(states(folder.path(), tenant), [State::InForce], "{name}");
        }
        // The numbers of its own stream have no hole.
        assert_eq!(super::voice::numbers(folder.path()), [[1], [1], [1]]);
    }
}

/// Whether the provider's ledger ends where each order stands.
pub(super) fn tells_all(core: &Core, folder: &Path) -> Result<(), TestCaseError> {
    let mut last: BTreeMap<OrderId, OrderEntry> = BTreeMap::new();
    for entry in entries(folder, "provider") {
        let before = last.get(&entry.order);
        prop_assert!(before != Some(&entry), "told twice: {:?}", entry);
        last.insert(entry.order, entry);
    }
    prop_assert_eq!(last.len(), core.orders.len());
    for (id, order) in &core.orders {
        let told = last.get(id).unwrap();
        prop_assert_eq!(told.state, order.state());
        prop_assert_eq!(told.sessions.len(), order.sessions.len());
    }
    Ok(())
}
