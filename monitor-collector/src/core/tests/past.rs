//! Judgements are made again from what is stored; grants are reviewed; uses are
//! counted once. Over restarts and changes of the policy.

use monitor_model::{
    grant::{Grant, GrantKind, GrantState, PathPatterns},
    id::GrantId,
    policy::Admission,
    usage::{Entry as ScopeEntry, Part},
    verdict::{OutReason, Verdict},
};

use super::*;
use crate::rejudge::{Report, rejudge};

/// Every ledger of the folder, judged again.
fn again(folder: &Path) -> Vec<Report> {
    let config = config(folder);
    let tenants = config.terms.tenants.iter();
    tenants
        .map(|tenant| rejudge(&config.data_dir, &tenant.id).unwrap())
        .collect()
}

fn all_the_same(folder: &Path, entries: u64) {
    let reports = again(folder);
    assert!(
        reports.iter().all(|report| report.first.is_none()),
        "{reports:?}"
    );
    let tenants = config(folder).terms.tenants;
    let about_orders = tenants
        .iter()
        .map(|tenant| super::entered::entries(folder, tenant.id.as_str()).len());
    let about_orders = u64::try_from(about_orders.sum::<usize>()).unwrap();
    assert_eq!(
        reports.iter().map(|report| report.same).sum::<u64>(),
        entries + about_orders
    );
}

fn verdicts(core: &mut Core, events: &[Event]) -> Vec<Verdict> {
    let (stored, _) = settled(core, vec![batch(events)]);
    core.publish().unwrap();
    let stored = of_hosts(stored);
    let verdicts = stored.iter();
    verdicts
        .map(|entry| entry.judged.judgement.verdict.clone())
        .collect()
}

/// A read of a file that the watch list gives to nobody.
fn unowned(sequence: u64) -> Event {
    let mut event = read(sequence, "acme");
    let Action::Credential { tenant, .. } = &mut event.action else {
        panic!("{event:?}");
    };
    *tenant = None;
    event
}

#[test]
fn every_verdict_is_made_again_after_a_change_of_the_policy_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    let before = core.world.policy.version().to_owned();
    granted(&mut core);
    let reason = |verdict: &Verdict| match verdict {
        Verdict::OutOfScope { reason, .. } => Some(*reason),
        Verdict::InScope { .. } | Verdict::Unattributed { .. } | Verdict::Exempt { .. } => None,
    };
    let first = verdicts(&mut core, &[read(1, "acme"), read(2, "globex"), unowned(3)]);
    assert_eq!(reason(&first[2]), Some(OutReason::ProviderOwned));
    drop(core);
    // What was out of scope is now anybody's, and globex is gone.
    let mut other = config(folder.path());
    other.terms.provider = Admission::Everybody;
    other
        .terms
        .tenants
        .retain(|tenant| tenant.id.as_str() != "globex");
    let mut core = Core::open(&other, Arc::new(SystemClock)).unwrap();
    assert_ne!(core.world.policy.version(), before);
    let second = verdicts(&mut core, &[unowned(4), read(5, "acme")]);
    assert!(matches!(second[0], Verdict::Exempt { .. }), "{second:?}");
    drop(core);
    all_the_same(folder.path(), 5);
}

#[test]
fn verdicts_stand_when_grants_come_end_and_are_reviewed_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    let none = verdicts(&mut core, &[read(1, "acme")]);
    granted(&mut core);
    let granted = verdicts(&mut core, &[read(2, "acme"), read(3, "acme")]);
    let id: GrantId = "01JG".parse().unwrap();
    core.end_grant(&id, "done").unwrap().unwrap();
    core.publish().unwrap();
    // Ended by now, and the event's time is before: still in scope.
    let late = verdicts(&mut core, &[read(4, "acme")]);
    assert!(matches!(none[0], Verdict::OutOfScope { .. }));
    assert!(
        granted
            .iter()
            .all(|one| matches!(one, Verdict::InScope { .. }))
    );
    assert_eq!(late[0], granted[0]);
    drop(core);
    all_the_same(folder.path(), 4);
}

#[test]
fn a_crash_leaves_no_judgement_under_a_grant_that_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    let new = grant("01JG", "alice", "acme");
    assert!(core.put_grant(new).unwrap().unwrap());
    // The ledgers are on disk, and the writer is gone before it publishes.
    settled(&mut core, vec![batch(&[read(1, "acme")])]);
    drop(core);
    drop(open(folder.path()));
    all_the_same(folder.path(), 1);
}

#[test]
fn a_judgement_that_was_changed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    granted(&mut core);
    verdicts(&mut core, &[read(1, "acme")]);
    drop(core);
    let state = config(folder.path()).data_dir.join("state.db");
    let state = rusqlite::Connection::open(state).unwrap();
    state.execute("DELETE FROM grant_form", []).unwrap();
    let reports = again(folder.path());
    let differing: u64 = reports.iter().map(|report| report.differing).sum();
    assert_eq!(differing, 1, "{reports:?}");
    state.execute("DELETE FROM policy", []).unwrap();
    let unknown: u64 = again(folder.path())
        .iter()
        .map(|report| report.unknown)
        .sum();
    assert_eq!(unknown, 1);
}

fn emergency(id: &str) -> Grant {
    Grant {
        kind: GrantKind::BreakGlass,
        not_before: BASE,
        expires: BASE.plus(std::time::Duration::from_secs(3_600)),
        ..grant(id, "alice", "acme")
    }
}

#[test]
fn a_break_glass_grant_is_open_until_somebody_else_reviewed_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    let id: GrantId = "01JG".parse().unwrap();
    core.put_grant(emergency("01JG")).unwrap().unwrap();
    core.put_grant(grant("plain", "alice", "acme"))
        .unwrap()
        .unwrap();
    let review = |core: &mut Core, id: &GrantId, by: &str| {
        let done = core.review_grant(id, by.parse().unwrap(), "fine".into());
        done.unwrap().map_err(|refusal| refusal.to_string())
    };
    for (id, by, told) in [
        ("01JG", "alice", "neither its holder"),
        ("01JG", "bob", "who approved it"),
        ("plain", "dora", "only break-glass"),
        ("none", "dora", "no grant none"),
    ] {
        let refused = review(&mut core, &id.parse().unwrap(), by).unwrap_err();
        assert!(refused.contains(told), "{refused}");
    }
    assert!(core.world.grants[&id].awaits_review());
    let reviewed = review(&mut core, &id, "dora").unwrap();
    assert!(!reviewed.awaits_review());
    assert!(
        review(&mut core, &id, "eve")
            .unwrap_err()
            .contains("has a review")
    );
    // A broker that puts it again, or ends it, does not undo the review.
    core.put_grant(emergency("01JG")).unwrap().unwrap();
    let ended = GrantState::Ended {
        at: BASE,
        reason: "over".into(),
    };
    let ended = Grant {
        state: ended,
        ..emergency("01JG")
    };
    core.put_grant(ended).unwrap().unwrap();
    core.publish().unwrap();
    drop(core);
    assert_eq!(
        open(folder.path()).world.grants[&id].review,
        reviewed.review
    );
}

#[test]
fn a_review_cannot_be_brought_along() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    let review = monitor_model::grant::Review {
        by: "mallory".parse().unwrap(),
        at: BASE,
        note: "all good".into(),
    };
    let brought = Grant {
        review: Some(review),
        ..emergency("01JG")
    };
    core.put_grant(brought).unwrap().unwrap();
    let id: GrantId = "01JG".parse().unwrap();
    assert!(core.world.grants[&id].awaits_review());
}

#[test]
fn a_login_on_a_break_glass_grant_raises_an_alert_and_another_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    core.put_grant(emergency("01JG")).unwrap().unwrap();
    core.put_grant(grant("plain", "alice", "acme"))
        .unwrap()
        .unwrap();
    let raised = take(&mut core, &[login(1, session_id(1), 7)]);
    assert_eq!(raised.len(), 1);
    assert_eq!(raised[0].alert.rule, "break-glass");
    let mut plain = login(2, session_id(2), 8);
    let Action::SessionOpened { session } = &mut plain.action else {
        panic!("{plain:?}");
    };
    session.grants = vec!["plain".parse().unwrap()];
    assert!(take(&mut core, &[plain]).is_empty());
}

#[test]
fn a_person_who_uses_a_workloads_credential_is_an_alert_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.terms.inventory = vec![monitor_model::inventory::Item {
        template: monitor_model::inventory::Template::new("/srv/acme/key1").unwrap(),
        tenant: Some("acme".parse().unwrap()),
        owner: None,
        tier: None,
        workload: Some("backup-job".parse().unwrap()),
        admits: None,
    }];
    let mut core = Core::open(&config, Arc::new(SystemClock)).unwrap();
    granted(&mut core);
    let raised = take(&mut core, &[read(1, "acme"), read(2, "acme")]);
    assert_eq!(raised.len(), 1);
    assert_eq!(raised[0].alert.rule, "person-uses-workload");
}

fn narrow() -> Grant {
    let mut grant = grant("01JG", "alice", "acme");
    let patterns = ["/srv/acme/key1", "/srv/acme/key2", "/srv/acme/*"];
    let patterns = patterns.iter().map(ToString::to_string).collect();
    grant.scope.credentials = PathPatterns::new(patterns).unwrap();
    grant
}

fn accesses(core: &Core) -> Vec<u64> {
    let (uses, uncounted) = core.grant_use(&["01JG".parse().unwrap()]);
    assert_eq!(uncounted, 0);
    let of = |part| {
        uses[0]
            .entries
            .iter()
            .filter(move |(entry, _)| entry.part == part)
    };
    let credentials = of(Part::Credentials).map(|(_, used)| used.accesses);
    credentials.collect()
}

#[test]
fn what_of_a_grant_was_used_is_counted_once_whatever_stops_between() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = open(folder.path());
    core.put_grant(narrow()).unwrap().unwrap();
    core.publish().unwrap();
    take(&mut core, &[login(1, session_id(1), 7), read(1, "acme")]);
    assert_eq!(accesses(&core), [1, 0, 1]);
    // Stored and followed, and the state not yet told.
    take(&mut core, &[read(3, "acme")]);
    assert_eq!(accesses(&core), [1, 0, 2]);
    drop(core);
    let mut core = open(folder.path());
    assert_eq!(accesses(&core), [1, 0, 2]);
    // Stored, and gone before anything that followed is on disk.
    settled(&mut core, vec![batch(&[read(4, "acme")])]);
    drop(core);
    let core = open(folder.path());
    assert_eq!(accesses(&core), [1, 0, 3]);
    let untouched = ScopeEntry {
        part: Part::Credentials,
        place: 1,
    };
    let (uses, _) = core.grant_use(&["01JG".parse().unwrap()]);
    let unused = uses[0]
        .entries
        .iter()
        .filter(|(_, used)| used.accesses == 0);
    assert!(
        unused
            .map(|(entry, _)| *entry)
            .any(|entry| entry == untouched)
    );
}

#[test]
fn a_restart_in_mid_stream_changes_no_verdict() {
    let events: Vec<Event> = (1..=60)
        .map(|n| match n % 3 {
            0 => read(n, "globex"),
            1 => read(n, "acme"),
            _ => unowned(n),
        })
        .collect();
    let played = |cuts: &[usize]| {
        let folder = tempfile::tempdir().unwrap();
        let mut core = open(folder.path());
        granted(&mut core);
        let mut all = Vec::new();
        let mut from = 0;
        for &cut in cuts.iter().chain([&events.len()]) {
            all.extend(verdicts(&mut core, &events[from..cut]));
            drop(core);
            core = open(folder.path());
            from = cut;
        }
        drop(core);
        all_the_same(folder.path(), 60);
        all
    };
    assert_eq!(played(&[]), played(&[1, 7, 20, 21, 59]));
}
