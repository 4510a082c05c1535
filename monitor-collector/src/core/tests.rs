use std::path::Path;

use monitor_model::{
    alert::Response,
    clock::SystemClock,
    contain::ContainMode,
    event::Receipt,
    id::{SessionId, Source},
    revocation::{Cause, Mode, Outcome, Revoked, Target, life::State as OrderState},
    session::SessionState,
};
use proptest::prelude::*;

use super::{
    orders::{Attempt, BrokerAnswer, Wanted},
    *,
};
use crate::{
    alert::hosts::{Present, Seen},
    config::{Config, DEFAULT, response::ResponseMode},
    state::read::{AlertFilter, StateReader},
    testing::{
        BASE, at_seconds, credential, event, event_id, grant, ledger_key, opened, session_id, whole,
    },
};

mod aside;
mod entered;
mod held;
mod leases;
mod life;
mod past;
mod policy;
mod retention;
mod reused;
mod sealed;
mod voice;

fn config(folder: &Path) -> Config {
    let mut config = Config::parse(&folder.join("collector.toml"), DEFAULT).unwrap();
    config.data_dir = folder.join("data");
    config.ledger_key = Some(ledger_key(folder));
    let globex = monitor_model::tenant::Tenant {
        id: "globex".parse().unwrap(),
        zones: vec![],
    };
    config.terms.tenants.push(globex);
    config.response.mode = ResponseMode::Enforce;
    config
}

fn open(folder: &Path) -> Core {
    Core::open(&config(folder), Arc::new(SystemClock)).unwrap()
}

fn batch(events: &[Event]) -> Batch {
    Batch {
        agent: "jump-1".parse().unwrap(),
        events: events
            .iter()
            .map(|event| (event.clone(), monitor_proto::encode_event(event)))
            .collect(),
        aside: vec![],
    }
}

fn login(number: u64, session: SessionId, serial: u64) -> Event {
    opened(
        event_id("jump-1", Source::Agent, number),
        session,
        "alice",
        serial,
    )
}

fn read(sequence: u64, tenant: &str) -> Event {
    let path = format!("/srv/{tenant}/key{sequence}");
    credential(
        event_id("jump-1", Source::Priority { cpu: 0 }, sequence),
        tenant,
        &path,
    )
}

/// Stored: a stop before [`Core::publish`] undoes what followed.
fn settled(core: &mut Core, batches: Vec<Batch>) -> (Stored, Vec<Arc<Raised>>) {
    let stored = core.take_in(batches).unwrap();
    let raised = core.settle(&stored.entries).unwrap();
    (stored, raised)
}

/// Of what was stored what hosts told.
fn of_hosts(stored: Stored) -> Vec<Arc<Entry>> {
    let all = stored.entries.into_iter();
    all.filter(|entry| entry.judged.event.id.source != Source::Collector)
        .collect()
}

/// How many entries a tenant's ledger has besides those about orders.
fn kept(folder: &Path, tenant: &str) -> u64 {
    let about_orders = u64::try_from(entered::entries(folder, tenant).len()).unwrap();
    whole(&config(folder).data_dir, tenant) - about_orders
}

fn take(core: &mut Core, events: &[Event]) -> Vec<Arc<Raised>> {
    let (_, raised) = settled(core, vec![batch(events)]);
    core.publish().unwrap();
    raised
}

fn granted(core: &mut Core) {
    assert!(
        core.put_grant(grant("01JG", "alice", "acme"))
            .unwrap()
            .unwrap()
    );
    core.publish().unwrap();
}

fn wanted(number: u128, target: Target) -> Wanted {
    let cause = Cause {
        text: "offboarding".into(),
        alert: None,
        event: None,
        initiator: "bob".into(),
    };
    Wanted {
        id: OrderId::from_parts(BASE, number),
        target,
        mode: Mode::Kill,
        not_after: None,
        cause,
        author: "soc/bob".into(),
        kernel_event: None,
        alert: None,
    }
}

fn alerts(folder: &Path) -> Vec<Raised> {
    let reader = StateReader::open(&config(folder).data_dir).unwrap();
    reader
        .alerts(&AlertFilter::default(), UnixNs::MAX, 100)
        .unwrap()
}

#[test]
fn replayed_batches_are_stored_once_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let events = [read(1, "acme"), read(2, "globex"), read(3, "acme")];
    let mut core = open(folder.path());
    assert_eq!(
        settled(&mut core, vec![batch(&events), batch(&events)])
            .0
            .entries
            .len(),
        3
    );
    drop(core);
    let mut core = open(folder.path());
    let (stored, _) = settled(&mut core, vec![batch(&events)]);
    assert_eq!((stored.duplicates, of_hosts(stored).len()), (3, 0));
    drop(core);
    assert_eq!(kept(folder.path(), "acme"), 2);
    assert_eq!(kept(folder.path(), "globex"), 1);
}

#[test]
fn alerts_are_raised_exactly_once_when_stopped_between_ledger_and_alert() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    take(&mut core, &[login(1, session_id(1), 7)]);
    settled(
        &mut core,
        vec![batch(&[read(1, "globex"), read(2, "globex")])],
    );
    drop(core);
    assert!(alerts(folder.path()).is_empty());
    let core = open(folder.path());
    let made_good = alerts(folder.path());
    assert_eq!(made_good.len(), 2);
    assert_eq!(made_good[0].alert.response, Response::Revoke);
    assert_eq!(core.orders.len(), 1);
    drop(core);
    drop(open(folder.path()));
    assert_eq!(alerts(folder.path()), made_good);
}

#[test]
fn the_count_of_a_session_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    take(&mut core, &[login(1, session_id(1), 7)]);
    assert_eq!(
        take(&mut core, &[read(1, "globex")])[0].alert.response,
        Response::Notify
    );
    drop(core);
    let mut core = open(folder.path());
    let raised = take(&mut core, &[read(2, "globex")]);
    assert_eq!(raised[0].alert.response, Response::Revoke);
    drop(core);
    let mut core = open(folder.path());
    assert_eq!(
        take(&mut core, &[read(3, "globex")])[0].alert.response,
        Response::Notify
    );
    assert_eq!(core.orders.len(), 1);
}

#[test]
fn an_order_ends_grants_denies_certificates_and_commands_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    take(
        &mut core,
        &[
            login(1, session_id(1), 7),
            login(2, session_id(2), 7),
            login(3, session_id(3), 8),
        ],
    );
    let order = core
        .order(wanted(1, Target::Session(session_id(1))))
        .unwrap()
        .unwrap();
    core.publish().unwrap();
    // The other session of the same certificate goes with it.
    assert_eq!(order.sessions.len(), 2);
    let tables = core.tables().clone();
    assert_eq!(tables.commands.len(), 2);
    assert!(tables.denied.serials.contains_key(&7) && !tables.denied.serials.contains_key(&8));
    assert!(tables.grants_alive(BASE.max(SystemClock.now())).is_empty());
    assert_eq!(
        core.sessions.get(session_id(1)).unwrap().session.state,
        SessionState::Contained
    );
    let mut later = read(1, "acme");
    later.at = SystemClock.now();
    let (stored, _) = settled(&mut core, vec![batch(&[later])]);
    let verdict = of_hosts(stored)[0].judged.judgement.verdict.to_string();
    assert!(verdict.contains("ended"), "{verdict}");
}

#[test]
fn restart_keeps_grants_sessions_and_orders() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    take(&mut core, &[login(1, session_id(1), 7)]);
    core.order(wanted(1, Target::Engineer("alice".parse().unwrap())))
        .unwrap()
        .unwrap();
    core.publish().unwrap();
    let (orders, denied, grants) = (
        core.orders.clone(),
        core.denied.clone(),
        core.world.grants.clone(),
    );
    let commands = core.tables().commands.clone();
    drop(core);
    let core = open(folder.path());
    assert_eq!(
        (
            core.orders.clone(),
            core.denied.clone(),
            core.world.grants.clone()
        ),
        (orders, denied, grants)
    );
    assert_eq!(core.tables().commands, commands);
    assert_eq!(core.sessions.iter().count(), 1);
}

#[test]
fn an_order_given_twice_is_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    let first = core
        .order(wanted(1, Target::Grant("01JG".parse().unwrap())))
        .unwrap()
        .unwrap();
    assert_eq!(
        core.order(wanted(1, Target::Grant("01JG".parse().unwrap())))
            .unwrap()
            .unwrap(),
        first
    );
    let other = core.order(wanted(1, Target::Serial(9))).unwrap();
    assert!(matches!(other, Err(Refusal::OrderDiffers { .. })));
    let unknown = core
        .order(wanted(2, Target::Session(session_id(99))))
        .unwrap();
    assert!(matches!(
        unknown,
        Err(Refusal::Unknown {
            what: "session",
            ..
        })
    ));
}

#[test]
fn a_plan_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    take(&mut core, &[login(1, session_id(1), 7)]);
    let order = core
        .plan(wanted(1, Target::Tenant("acme".parse().unwrap())))
        .unwrap()
        .unwrap();
    assert_eq!(order.sessions.len(), 1);
    assert!(core.orders.is_empty() && core.denied.is_empty());
}

#[test]
fn broker_receipt_and_refused_login_complete_an_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    take(&mut core, &[login(1, session_id(1), 7)]);
    let id = core
        .order(wanted(1, Target::Session(session_id(1))))
        .unwrap()
        .unwrap()
        .id;
    let now = SystemClock.now();
    let failed = Attempt {
        order: id,
        asked_at: now,
        answer: Err("refused".into()),
    };
    core.attempted(failed).unwrap();
    let revoked = vec![Revoked {
        serial: Some(9),
        grant: None,
        outcome: Outcome::Revoked,
        at: now,
    }];
    let answer = BrokerAnswer {
        revoked,
        published_at: Some(now),
        list: None,
        at: now,
    };
    core.attempted(Attempt {
        order: id,
        asked_at: UnixNs(now.0 + 5),
        answer: Ok(answer),
    })
    .unwrap();
    let receipt = Receipt {
        killed: 3,
        gone_at: Some(now),
        ..Receipt::new(id, session_id(1), ContainMode::Kill, now)
    };
    core.receipt(&"jump-2".parse().unwrap(), &receipt).unwrap();
    assert_eq!(
        core.orders[&id].state(),
        OrderState::BrokerAnswered,
        "another host's receipt counts for nothing"
    );
    core.receipt(&"jump-1".parse().unwrap(), &receipt).unwrap();
    core.receipt(&"jump-1".parse().unwrap(), &receipt).unwrap();
    let refusal = Action::LoginRefused {
        account: "ops".into(),
        principal: None,
        serial: Some(9),
        reason: "revoked".into(),
    };
    let mut refused = event(event_id("jump-1", Source::Agent, 2), refusal);
    refused.at = SystemClock.now();
    take(&mut core, &[refused.clone()]);
    let order = &core.orders[&id];
    assert_eq!(order.state(), OrderState::Enforced);
    assert_eq!((order.attempts, order.sessions[0].killed), (2, 3));
    assert_eq!(order.times.delivered, Some(now));
    assert_eq!(order.times.last_process_gone, Some(now));
    assert_eq!(order.times.first_refused_login, Some(refused.at));
    assert!(core.tables().commands.is_empty() && core.tables().unanswered.is_empty());
}

#[test]
fn a_login_against_an_order_in_force_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    core.order(wanted(1, Target::Serial(7))).unwrap().unwrap();
    take(&mut core, &[login(1, session_id(1), 7)]);
    assert_eq!(core.tables().commands.len(), 1);
    let end = event(
        event_id("jump-1", Source::Agent, 2),
        Action::SessionEnded {
            session: session_id(1),
        },
    );
    take(&mut core, &[end]);
    assert!(core.tables().commands.is_empty());
}

#[test]
fn a_changed_grant_of_the_same_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    assert!(
        !core
            .put_grant(grant("01JG", "alice", "acme"))
            .unwrap()
            .unwrap()
    );
    let changed = core.put_grant(grant("01JG", "mallory", "acme")).unwrap();
    assert!(matches!(changed, Err(Refusal::GrantDiffers { .. })));
    let ended = core
        .end_grant(&"01JG".parse().unwrap(), "done")
        .unwrap()
        .unwrap();
    assert_eq!(
        core.end_grant(&"01JG".parse().unwrap(), "again")
            .unwrap()
            .unwrap(),
        ended
    );
    // Putting it again does not bring an ended one back.
    assert!(
        !core
            .put_grant(grant("01JG", "alice", "acme"))
            .unwrap()
            .unwrap()
    );
    assert_eq!(core.world.grants[&ended.id], ended);
}

#[test]
fn two_collectors_on_one_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    let error = Core::open(&config(folder.path()), Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(error, CoreError::InUse { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn an_event_lies_in_the_same_ledger_however_batches_are_cut(
        names in prop::collection::vec((1u64..30, 0usize..3), 1..40), cut in 1usize..10
    ) {
        let event = |&(sequence, tenant): &(u64, usize)| {
            let mut event = read(sequence, ["acme", "globex", "initech"][tenant]);
            event.id.source = Source::Bulk { cpu: u16::try_from(tenant).unwrap() };
            event
        };
        let events: Vec<Event> = names.iter().map(event).collect();
        let placed = |cut: usize| {
            let folder = tempfile::tempdir().unwrap();
            let mut core = open(folder.path());
            let mut placed = std::collections::BTreeSet::new();
            for part in events.chunks(cut) {
                for entry in of_hosts(settled(&mut core, vec![batch(part)]).0) {
                    assert!(placed.insert((entry.judged.event.id.to_string(), entry.ledger.to_string())));
                }
            }
            placed
        };
        let whole = placed(events.len());
        prop_assert_eq!(&whole, &placed(cut));
        let distinct: std::collections::HashSet<_> = events.iter().map(|event| event.id.clone()).collect();
        prop_assert_eq!(whole.len(), distinct.len());
    }
}

#[test]
fn names_that_others_choose_do_not_make_an_order_that_brokers_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    take(&mut core, &[login(1, session_id(1), 7)]);
    let long = |sequence| {
        let mut event = read(sequence, "globex");
        let program = event.process.as_mut().unwrap().exe.as_mut().unwrap();
        program.text = monitor_model::bytes::ByteText([b"/tmp/".as_slice(), &[1; 255]].concat());
        event
    };
    let raised = take(&mut core, &[long(1), long(2)]);
    assert_eq!(raised[1].alert.response, Response::Revoke);
    assert!(raised[1].alert.sentence.len() > crate::service::REASON_BYTES_MAX);
    let text = &core.orders.values().next().unwrap().cause.text;
    assert!(text.len() <= crate::service::REASON_BYTES_MAX && text.ends_with("..."));
    assert!(text.starts_with("alice (acme, INC-4711, production, grant 01JG) read globex"));
}

#[test]
fn a_late_login_under_a_revoked_grant_is_ended_though_the_broker_is_silent() {
    for (target, number) in [
        (Target::Grant("01JG".parse().unwrap()), 1),
        (Target::Tenant("acme".parse().unwrap()), 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut core = open(folder.path());
        granted(&mut core);
        core.put_grant(grant("01JH", "carol", "acme"))
            .unwrap()
            .unwrap();
        let order = core.order(wanted(number, target)).unwrap().unwrap();
        core.put_grant(grant("01JI", "carol", "acme"))
            .unwrap()
            .unwrap();
        // The host was away: it tells of its logins now.
        let mut later = login(2, session_id(2), 8);
        let Action::SessionOpened { session } = &mut later.action else {
            unreachable!();
        };
        session.grants = vec!["01JI".parse().unwrap()];
        take(&mut core, &[login(1, session_id(1), 7), later]);
        let commands = core.tables().commands.clone();
        assert_eq!(commands.len(), 1);
        assert_eq!(
            (commands[0].order, commands[0].session),
            (order.id, session_id(1))
        );
    }
}

#[test]
fn an_agent_cannot_have_a_session_of_another_host_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    take(&mut core, &[login(1, session_id(1), 7)]);
    let forged = |sequence| {
        let id = event_id("jump-2", Source::Priority { cpu: 0 }, sequence);
        credential(id, "globex", "/srv/globex/key")
    };
    let raised = take(&mut core, &[forged(1), forged(2)]);
    assert_eq!(raised.last().unwrap().alert.response, Response::Revoke);
    let commands = core.tables().commands.clone();
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0].host.as_str(), "jump-2");
    assert!(core.denied.serials.is_empty());
    let login = core.sessions.get(session_id(1)).unwrap();
    assert_eq!(login.session.state, SessionState::Live);
    // Nor can it, by never answering, keep that session from being ended.
    let target = Target::Session(session_id(1));
    core.order(wanted(9, target)).unwrap().unwrap();
    core.publish().unwrap();
    let commands = core.tables().commands.clone();
    let hosts: Vec<_> = commands.iter().map(|open| open.host.as_str()).collect();
    assert!(hosts.contains(&"jump-1"), "{hosts:?}");
}

#[test]
fn the_folder_is_nobody_elses_whoever_made_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let data = config(folder.path()).data_dir;
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _core = open(folder.path());
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// A look into the memory of another session: exempt from grants, counted by a rule.
fn look(sequence: u64) -> Event {
    let mut looked = event(
        event_id("jump-1", Source::Priority { cpu: 0 }, sequence),
        Action::Memory {
            target: monitor_model::event::ProcessRef {
                pid: 9,
                start_boot_ns: Some(1),
                session: Some(session_id(2)),
                holds_credentials: false,
                exe: None,
            },
            access: monitor_model::event::MemoryAccess::Attached,
            syscall: None,
            denied: false,
        },
    );
    looked.at = UnixNs(BASE.0 + sequence);
    looked
}

#[test]
fn what_stood_out_before_a_restart_counts_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let mut config = config(folder.path());
        let fact = monitor_model::event::Fact::MemoryOfOtherSession;
        config
            .rules
            .retain(|rule| rule.conditions.facts.contains(&fact));
        for rule in &mut config.rules {
            rule.after = 2;
        }
        Core::open(&config, Arc::new(SystemClock)).unwrap()
    };
    let mut core = open();
    // The login changes the state: what was before it is followed for good.
    assert!(take(&mut core, &[look(1), login(1, session_id(5), 7)]).is_empty());
    drop(core);
    assert_eq!(take(&mut open(), &[look(2)]).len(), 1);
}

#[test]
fn a_host_that_was_heard_again_can_fall_silent_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let here = well("jump-1");
    let nobody = silent("jump-1");
    let open = || {
        let mut config = config(folder.path());
        config.rules = crate::config::rules::standard(config.silent).unwrap();
        Core::open(&config, Arc::new(SystemClock)).unwrap()
    };
    let look = |core: &mut Core, present: &Present| {
        core.look(present).unwrap();
        core.publish().unwrap();
        core.take_raised().len()
    };
    let mut core = open();
    take(&mut core, &[login(1, session_id(1), 7)]);
    assert_eq!(look(&mut core, &nobody), 1);
    drop(core);
    let mut core = open();
    assert_eq!(look(&mut core, &nobody), 0);
    assert_eq!(look(&mut core, &here), 0);
    drop(core);
    let mut core = open();
    assert_eq!(look(&mut core, &nobody), 1);
    drop(core);
    let silent = alerts(folder.path());
    let silent = silent.iter().filter(|raised| !raised.of_event);
    assert_eq!(silent.count(), 2);
}

/// One host, as it is heard now.
fn well(host: &str) -> Present {
    Present {
        lives: [(host.parse().unwrap(), Seen::default())].into(),
        listening: std::time::Duration::from_secs(3_600),
        ..Present::default()
    }
}

/// One host of which nothing is heard for an hour.
fn silent(host: &str) -> Present {
    let seen = Seen {
        unheard: std::time::Duration::from_secs(3_600),
        ..Seen::default()
    };
    Present {
        lives: [(host.parse().unwrap(), seen)].into(),
        ..well(host)
    }
}
