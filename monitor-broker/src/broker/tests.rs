use std::sync::atomic::{AtomicU64, Ordering};

use monitor_model::{
    grant::{GrantKind, Holder, Scope, Tier},
    id::OrderId,
    revocation::{Outcome, Target},
};
use sha2::{Digest as _, Sha256};
use ssh_key::{Algorithm, PrivateKey, rand_core::OsRng};

use super::*;

const NOW: UnixNs = UnixNs::from_seconds(1_790_000_000);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> UnixNs {
        UnixNs(self.0.load(Ordering::Relaxed))
    }
}

pub(super) struct Scene {
    pub(super) places: Places,
    clock: Arc<Hand>,
    _folder: tempfile::TempDir,
}

impl Scene {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            data_dir: folder.path().join("data"),
            krl: folder.path().join("monitor.krl"),
            certificate_max: HOUR,
        };
        Self {
            places,
            clock: Arc::new(Hand(AtomicU64::new(NOW.0))),
            _folder: folder,
        }
    }

    pub(super) fn open(&self) -> Result<Broker, OpenError> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        Broker::open(&self.places, clock)
    }

    fn pass(&self, time: Duration) {
        self.clock
            .0
            .store(self.clock.now().plus(time).0, Ordering::Relaxed);
    }

    fn list(&self) -> Krl {
        file::inspect(&self.places.krl).unwrap()
    }
}

pub(super) fn grant(id: &str, principal: &str, tenant: &str) -> Grant {
    Grant {
        id: id.parse().unwrap(),
        principal: principal.parse().unwrap(),
        tenant: tenant.parse().unwrap(),
        ticket: "INC-4711".into(),
        purpose: "test".into(),
        approved_by: "bob".parse().unwrap(),
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: NOW,
        expires: NOW.plus(8 * HOUR),
        scope: Scope::default(),
        state: GrantState::Standing,
        holder: Holder::Staff,
        task: String::new(),
        review: None,
    }
}

pub(super) fn public_key() -> String {
    PrivateKey::random(&mut OsRng, Algorithm::Ed25519)
        .unwrap()
        .public_key()
        .to_openssh()
        .unwrap()
}

/// Registered here and at the collector.
pub(super) fn put(broker: &Broker, grant: &Grant) {
    broker.register(grant).unwrap();
    broker.store().confirm_put(&grant.id, broker.now()).unwrap();
}

fn issue(broker: &Broker, id: &str) -> Result<u64, IssueError> {
    broker
        .issue((&id.parse().unwrap(), &[]), &public_key())
        .map(|(issued, _)| issued.serial)
}

pub(super) fn order(id: u128, target: Target) -> RevokeOrder {
    RevokeOrder {
        id: OrderId::from_parts(NOW, id),
        target,
        serials: Vec::new(),
        grants: Vec::new(),
        reason: "test".into(),
        initiator: "monitor://admin/test".into(),
    }
}

fn told(answer: &Answer) -> Vec<(Option<u64>, Option<&str>, Outcome)> {
    answer
        .revoked
        .iter()
        .map(|entry| {
            (
                entry.serial,
                entry.grant.as_ref().map(GrantId::as_str),
                entry.outcome,
            )
        })
        .collect()
}

#[test]
fn a_certificate_is_issued_only_for_a_grant_that_is_alive_and_at_the_collector() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    let refused = |id: &str| issue(&broker, id).unwrap_err().to_string();
    assert!(refused("G-1").contains("not registered"));
    let mut later = grant("G-2", "alice", "acme");
    later.not_before = NOW.plus(HOUR);
    broker.register(&grant("G-1", "alice", "acme")).unwrap();
    assert!(refused("G-1").contains("not at the collector"));
    broker
        .store()
        .refuse_put(&"G-1".parse().unwrap(), "no such tenant")
        .unwrap();
    assert!(refused("G-1").contains("no such tenant"));
    put(&broker, &grant("G-1", "alice", "acme"));
    put(&broker, &later);
    assert_eq!(issue(&broker, "G-1").unwrap(), 1);
    assert!(
        refused("G-2").contains("has not begun: it holds from 2026-09-21T15:13:20Z"),
        "{}",
        refused("G-2")
    );
    broker
        .revoke(&order(1, Target::Grant("G-1".parse().unwrap())))
        .unwrap();
    assert!(
        refused("G-1").contains("was ended at 2026-09-21T14:13:20Z: test"),
        "{}",
        refused("G-1")
    );
    scene.pass(9 * HOUR);
    assert!(
        refused("G-2").contains("has expired: it held until 2026-09-21T22:13:20Z"),
        "{}",
        refused("G-2")
    );
}

#[test]
fn one_certificate_stands_on_several_grants_of_one_engineer_in_one_tenant() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    put(&broker, &grant("G-1", "alice", "acme"));
    let backup = Grant {
        tier: monitor_model::grant::Tier::Backup,
        ..grant("G-2", "alice", "acme")
    };
    put(&broker, &backup);
    put(&broker, &grant("G-3", "bob", "acme"));
    put(&broker, &grant("G-4", "alice", "globex"));
    let with = |also: &[&str]| {
        let also: Vec<GrantId> = also.iter().map(|id| id.parse().unwrap()).collect();
        let issued = broker.issue((&"G-1".parse().unwrap(), &also), &public_key());
        issued.map(|(_, signed)| signed.openssh)
    };
    let certificate = ssh_key::Certificate::from_openssh(&with(&["G-2"]).unwrap()).unwrap();
    assert!(certificate.key_id().ends_with("grant=G-1;also=G-2"));
    assert_eq!(
        certificate.valid_principals(),
        ["acme-backup", "acme-production"]
    );
    for other in ["G-3", "G-4"] {
        let error = with(&[other]).unwrap_err().to_string();
        assert!(error.contains("of another engineer or tenant"), "{error}");
    }
    let error = with(&["G-9"]).unwrap_err().to_string();
    assert!(error.contains("G-9 is not registered"), "{error}");
    assert!(
        with(&["G-2"; 8])
            .unwrap_err()
            .to_string()
            .contains("at most 8")
    );
}

#[test]
fn serials_stay_dense_over_restarts_and_refusals() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    put(&broker, &grant("G-1", "alice", "acme"));
    assert_eq!(
        (
            issue(&broker, "G-1").unwrap(),
            issue(&broker, "G-1").unwrap()
        ),
        (1, 2)
    );
    drop(broker);
    let broker = scene.open().unwrap();
    assert!(issue(&broker, "G-none").is_err());
    assert!(
        broker
            .issue((&"G-1".parse().unwrap(), &[]), "nonsense")
            .is_err()
    );
    assert_eq!(issue(&broker, "G-1").unwrap(), 3);
}

#[test]
fn each_target_reaches_its_own() {
    for (target, wanted, left) in [
        (
            Target::Engineer("alice".parse().unwrap()),
            vec![1, 2, 3],
            vec![4],
        ),
        (
            Target::Tenant("acme".parse().unwrap()),
            vec![1, 2, 4],
            vec![3],
        ),
        (
            Target::Grant("G-1".parse().unwrap()),
            vec![1, 2],
            vec![3, 4],
        ),
        (Target::Serial(2), vec![2], vec![1, 3, 4]),
    ] {
        let scene = Scene::new();
        let broker = scene.open().unwrap();
        for (id, who, tenant) in [
            ("G-1", "alice", "acme"),
            ("G-2", "alice", "globex"),
            ("G-3", "carol", "acme"),
        ] {
            put(&broker, &grant(id, who, tenant));
        }
        for id in ["G-1", "G-1", "G-2", "G-3"] {
            issue(&broker, id).unwrap();
        }
        let answer = broker.revoke(&order(1, target.clone())).unwrap();
        let serials: Vec<u64> = answer
            .revoked
            .iter()
            .filter_map(|entry| entry.serial)
            .collect();
        assert_eq!(serials, wanted, "{target}");
        assert!(
            answer
                .revoked
                .iter()
                .all(|entry| entry.outcome == Outcome::Revoked && entry.at == NOW)
        );
        assert_eq!(answer.published_at, Some(NOW));
        assert!(
            wanted
                .iter()
                .all(|serial| scene.list().serials.contains(*serial))
        );
        assert!(
            left.iter()
                .all(|serial| !scene.list().serials.contains(*serial))
        );
        // Revoking one certificate ends no grant; every other target does.
        let ended = issue(
            &broker,
            if matches!(target, Target::Tenant(_)) {
                "G-3"
            } else {
                "G-1"
            },
        )
        .is_err();
        assert_eq!(ended, !matches!(target, Target::Serial(_)), "{target}");
    }
}

#[test]
fn a_session_is_revoked_by_what_the_collector_knows_of_it() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    for id in ["G-1", "G-2"] {
        put(&broker, &grant(id, "alice", "acme"));
        issue(&broker, id).unwrap();
    }
    let session = Target::Session(monitor_model::id::SessionId::from_parts(NOW, 5));
    assert_eq!(
        told(&broker.revoke(&order(1, session.clone())).unwrap()),
        []
    );
    let named = RevokeOrder {
        serials: vec![1, 77],
        grants: vec!["G-2".parse().unwrap(), "G-x".parse().unwrap()],
        ..order(2, session)
    };
    assert_eq!(
        told(&broker.revoke(&named).unwrap()),
        [
            (Some(1), Some("G-1"), Outcome::Revoked),
            (Some(2), Some("G-2"), Outcome::Revoked),
            (Some(77), None, Outcome::NotFound),
            (None, Some("G-x"), Outcome::NotFound),
        ]
    );
    assert!(issue(&broker, "G-1").is_ok());
    assert!(issue(&broker, "G-2").is_err());
}

#[test]
fn the_same_order_again_gives_the_same_answer_also_after_a_restart() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    put(&broker, &grant("G-1", "alice", "acme"));
    put(&broker, &grant("G-2", "alice", "acme"));
    issue(&broker, "G-1").unwrap();
    let given = order(1, Target::Engineer("alice".parse().unwrap()));
    let first = broker.revoke(&given).unwrap();
    assert_eq!(
        told(&first),
        [
            (Some(1), Some("G-1"), Outcome::Revoked),
            (None, Some("G-2"), Outcome::Revoked)
        ]
    );
    let version = scene.list().version;
    drop(broker);
    scene.pass(Duration::from_secs(60));
    let broker = scene.open().unwrap();
    // A grant given after the order is a new decision.
    put(&broker, &grant("G-3", "alice", "acme"));
    let again = broker.revoke(&given).unwrap();
    assert_eq!(again.given, Given::Again);
    assert_eq!(
        told(&again),
        [
            (Some(1), Some("G-1"), Outcome::AlreadyRevoked),
            (None, Some("G-2"), Outcome::AlreadyRevoked)
        ]
    );
    assert!(again.revoked.iter().all(|entry| entry.at == NOW));
    assert_eq!(
        (again.published_at, scene.list().version),
        (first.published_at, version)
    );
    assert!(issue(&broker, "G-3").is_ok());
    // Another order for the same finds it revoked before, and the list in place.
    let other = broker.revoke(&order(2, Target::Serial(1))).unwrap();
    assert_eq!(
        told(&other),
        [(Some(1), Some("G-1"), Outcome::AlreadyRevoked)]
    );
    assert_eq!(other.published_at, Some(NOW));
    // What it newly names is carried out.
    let more = RevokeOrder {
        serials: vec![2],
        ..given.clone()
    };
    assert_eq!(
        told(&broker.revoke(&more).unwrap()).last(),
        Some(&(Some(2), Some("G-3"), Outcome::Revoked))
    );
    assert!(scene.list().serials.contains(2));
    let reused = RevokeOrder {
        target: Target::Serial(9),
        ..given
    };
    assert!(
        broker
            .revoke(&reused)
            .unwrap_err()
            .to_string()
            .contains("never used twice")
    );
}

#[test]
fn what_is_unknown_is_not_found() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    for (n, serial) in [0, 5, u64::MAX].into_iter().enumerate() {
        let answer = broker
            .revoke(&order(n.try_into().unwrap(), Target::Serial(serial)))
            .unwrap();
        assert_eq!(told(&answer), [(Some(serial), None, Outcome::NotFound)]);
        assert_eq!(answer.published_at, None);
    }
    let answer = broker
        .revoke(&order(9, Target::Grant("G-9".parse().unwrap())))
        .unwrap();
    assert_eq!(told(&answer), [(None, Some("G-9"), Outcome::NotFound)]);
}

#[test]
fn a_revocation_that_was_stored_and_not_published_is_published_at_the_next_start() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    put(&broker, &grant("G-1", "alice", "acme"));
    issue(&broker, "G-1").unwrap();
    // Killed between the commit and the publication.
    let given = order(1, Target::Serial(1));
    broker.store().revoke(&given, NOW).unwrap();
    drop(broker);
    assert!(!scene.list().serials.contains(1));
    scene.pass(HOUR / 2);
    let broker = scene.open().unwrap();
    assert!(scene.list().serials.contains(1));
    let again = broker.revoke(&given).unwrap();
    assert_eq!(again.published_at, Some(NOW.plus(HOUR / 2)));
    // Killed between the publication and its confirmation: nothing to repair.
    broker.store().renumber_list(0).unwrap();
    drop(broker);
    drop(scene.open().unwrap());
    assert!(scene.list().serials.contains(1));
}

#[test]
fn a_list_that_cannot_be_published_is_an_error_and_is_tried_again() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    put(&broker, &grant("G-1", "alice", "acme"));
    issue(&broker, "G-1").unwrap();
    // A folder in the way of the file that is written beside the list.
    let blocker = scene.places.krl.with_file_name(".monitor.krl.new");
    fs::create_dir(&blocker).unwrap();
    let given = order(1, Target::Serial(1));
    assert!(matches!(
        broker.revoke(&given),
        Err(RevokeError::Publish(_))
    ));
    assert!(!scene.list().serials.contains(1));
    fs::remove_dir(&blocker).unwrap();
    let again = broker.revoke(&given).unwrap();
    assert_eq!(
        told(&again),
        [(Some(1), Some("G-1"), Outcome::AlreadyRevoked)]
    );
    assert!(again.published_at.is_some() && scene.list().serials.contains(1));
}

#[test]
fn a_broken_list_is_repaired_and_a_foreign_one_is_left_alone() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    put(&broker, &grant("G-1", "alice", "acme"));
    issue(&broker, "G-1").unwrap();
    broker.revoke(&order(1, Target::Serial(1))).unwrap();
    drop(broker);
    let good = fs::read(&scene.places.krl).unwrap();
    for broken in [
        &[][..],
        &good[..43],
        &good[..good.len() - 1],
        &[0_u8; 100][..],
    ] {
        fs::write(&scene.places.krl, broken).unwrap();
        drop(scene.open().unwrap());
        assert!(scene.list().serials.contains(1));
    }
    fs::remove_file(&scene.places.krl).unwrap();
    drop(scene.open().unwrap());
    let list = scene.list();
    assert!(list.serials.contains(1));
    // Somebody emptied it with a well-formed list.
    file::publish(
        &scene.places.krl,
        &Krl {
            serials: [].into_iter().collect(),
            ..list.clone()
        },
    )
    .unwrap();
    drop(scene.open().unwrap());
    assert!(scene.list().serials.contains(1) && scene.list().version > list.version);
    file::publish(
        &scene.places.krl,
        &Krl {
            ca: Some(vec![1]),
            ..list.clone()
        },
    )
    .unwrap();
    assert!(matches!(scene.open(), Err(OpenError::OtherCa { .. })));
    file::publish(
        &scene.places.krl,
        &Krl {
            serials: [1, 2].into_iter().collect(),
            ..list
        },
    )
    .unwrap();
    assert!(matches!(
        scene.open(),
        Err(OpenError::ListAhead {
            serial: 2,
            serial_last: 1,
            ..
        })
    ));
}

#[test]
fn hosts_are_given_the_list_that_was_written_and_not_what_became_of_the_file() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    put(&broker, &grant("G-1", "alice", "acme"));
    issue(&broker, "G-1").unwrap();
    let before = broker.list().unwrap();
    let answer = broker.revoke(&order(1, Target::Serial(1))).unwrap();
    let list = broker.list().unwrap();
    assert!(list.number > before.number && answer.list == Some(list.number));
    assert_eq!(list.bytes, fs::read(&scene.places.krl).unwrap());
    assert_eq!(list.check(Sha256::digest(&list.bytes).into()), Ok(()));
    // Somebody gives back what was revoked, under the same number.
    let found = scene.list();
    let emptied = Krl {
        serials: [].into_iter().collect(),
        ..found
    };
    file::publish(&scene.places.krl, &emptied).unwrap();
    assert_eq!(broker.list(), Some(list.clone()));
    drop(broker);
    // A start finds that, and the next one finds its own file.
    let mended = scene.open().unwrap().list().unwrap();
    assert!(mended.number > list.number && scene.list().serials.contains(1));
    assert_eq!(scene.open().unwrap().list(), Some(mended));
}

#[test]
fn an_older_file_with_the_same_serials_is_written_anew() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    let newest = broker.list().unwrap();
    drop(broker);
    let older = Krl {
        version: newest.number - 1,
        ..scene.list()
    };
    file::publish(&scene.places.krl, &older).unwrap();
    let list = scene.open().unwrap().list().unwrap();
    assert!(list.number > newest.number && scene.list().version == list.number);
}

#[test]
fn expired_serials_leave_the_list_at_the_next_rewrite() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    put(&broker, &grant("G-1", "alice", "acme"));
    issue(&broker, "G-1").unwrap();
    broker.revoke(&order(1, Target::Serial(1))).unwrap();
    scene.pass(crate::store::EXPIRED_KEPT + Duration::from_secs(3599));
    issue(&broker, "G-1").unwrap();
    broker.revoke(&order(2, Target::Serial(2))).unwrap();
    assert_eq!(scene.list().serials.ranges(), [(1, 2)]);
    scene.pass(Duration::from_secs(1));
    issue(&broker, "G-1").unwrap();
    broker.revoke(&order(3, Target::Serial(3))).unwrap();
    assert_eq!(scene.list().serials.ranges(), [(2, 3)]);
}

#[test]
fn a_grant_never_changes_and_never_comes_back() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    let good = grant("G-1", "alice", "acme");
    broker.register(&good).unwrap();
    broker.register(&good).unwrap();
    let other = Grant {
        tier: Tier::Backup,
        ..good.clone()
    };
    assert!(
        broker
            .register(&other)
            .unwrap_err()
            .to_string()
            .contains("differs in tier")
    );
    // What the collector refused never opened anything, and may be corrected.
    broker.store().refuse_put(&good.id, "no such tier").unwrap();
    broker.register(&other).unwrap();
    broker
        .revoke(&order(1, Target::Grant(good.id.clone())))
        .unwrap();
    assert!(
        broker
            .register(&other)
            .unwrap_err()
            .to_string()
            .contains("was ended")
    );
    let over = Grant {
        not_before: UnixNs(1),
        expires: NOW,
        ..grant("G-2", "alice", "acme")
    };
    assert!(
        broker
            .register(&over)
            .unwrap_err()
            .to_string()
            .contains("has expired")
    );
    let bad = Grant {
        ticket: "a;b".into(),
        ..grant("G-3", "alice", "acme")
    };
    assert!(matches!(
        broker.register(&bad),
        Err(RegisterError::Ticket(_))
    ));
    let bad = Grant {
        purpose: "x\ny".into(),
        ..grant("G-3", "alice", "acme")
    };
    assert!(matches!(
        broker.register(&bad),
        Err(RegisterError::Text {
            field: "purpose",
            ..
        })
    ));
}

#[test]
fn a_second_broker_on_the_same_folder_is_refused() {
    let scene = Scene::new();
    let _first = scene.open().unwrap();
    assert!(matches!(scene.open(), Err(OpenError::InUse { .. })));
}

#[test]
fn pending_is_what_the_collector_does_not_know() {
    let scene = Scene::new();
    let broker = scene.open().unwrap();
    let names = |broker: &Broker| {
        let pending = broker.store().pending(broker.now()).unwrap();
        pending
            .iter()
            .map(|held| held.grant.id.to_string())
            .collect::<Vec<_>>()
    };
    broker.register(&grant("G-1", "alice", "acme")).unwrap();
    put(&broker, &grant("G-2", "alice", "acme"));
    assert_eq!(names(&broker), ["G-1"]);
    broker
        .revoke(&order(1, Target::Grant("G-2".parse().unwrap())))
        .unwrap();
    assert_eq!(names(&broker), ["G-2", "G-1"]);
    drop(broker);
    let broker = scene.open().unwrap();
    assert_eq!(names(&broker), ["G-2", "G-1"]);
    broker
        .store()
        .confirm_end(&"G-2".parse().unwrap(), NOW)
        .unwrap();
    scene.pass(9 * HOUR);
    assert!(names(&broker).is_empty());
}

#[test]
fn the_folder_is_nobody_elses_whoever_made_it() {
    let scene = Scene::new();
    let folder = &scene.places.data_dir;
    fs::create_dir(folder).unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let _broker = scene.open().unwrap();
    let mode = fs::metadata(folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
