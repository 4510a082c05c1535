//! What becomes of credentials that are in use on a host that is lost.

use monitor_model::{
    alert::Response,
    revocation::{
        Order,
        life::{Asks, Standing},
    },
};

use super::{life::Set, *};
use crate::{
    config::{lost::Leases, response::Limit},
    core::standing::Decision,
};

/// What a test changes of the configuration.
type Change<'a> = &'a dyn Fn(&mut Config);

/// A core with a session of alice on jump-1, and the clock that it goes by.
struct Scene {
    folder: tempfile::TempDir,
    config: Config,
    clock: Arc<Set>,
    core: Option<Core>,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        config.rules = crate::config::rules::standard(config.silent).unwrap();
        config.response.mode = ResponseMode::Enforce;
        config.lost.leases = Leases::Shorten;
        change(&mut config);
        let clock = Arc::new(Set(std::sync::Mutex::new(at_seconds(1_000))));
        let mut scene = Self {
            folder,
            config,
            clock,
            core: None,
        };
        scene.starts();
        granted(scene.core());
        take(scene.core(), &[login(1, session_id(1), 7)]);
        scene
    }

    fn starts(&mut self) {
        self.core = None;
        let clock = Arc::<Set>::clone(&self.clock);
        self.core = Some(Core::open(&self.config, clock).unwrap());
    }

    fn core(&mut self) -> &mut Core {
        self.core.as_mut().unwrap()
    }

    /// Alerts that a look at this moment raises.
    fn looks(&mut self, seconds: u64, present: &Present) -> Vec<Raised> {
        self.clock.to(at_seconds(seconds));
        let core = self.core();
        core.look(present).unwrap();
        core.publish().unwrap();
        let raised = core.take_raised();
        raised.iter().map(|one| one.as_ref().clone()).collect()
    }

    fn orders(&mut self) -> Vec<Order> {
        self.core().orders.values().cloned().collect()
    }

    fn standings(&mut self) -> Vec<Standing> {
        let orders = self.orders();
        orders.iter().map(Order::standing).collect()
    }
}

fn twice(host: &str) -> Present {
    Present {
        twice: [host.parse().unwrap()].into(),
        ..well(host)
    }
}

#[test]
fn leases_on_a_silent_host_end_after_their_time_also_over_a_restart() {
    let mut scene = Scene::new(|_| {});
    let raised = scene.looks(1_000, &silent("jump-1"));
    let order = scene.orders().remove(0);
    assert_eq!(order.target, Target::Host("jump-1".parse().unwrap()));
    assert_eq!(order.due, Some(at_seconds(1_060)));
    assert_eq!(raised[0].alert.order, Some(order.id));
    assert_eq!(raised[0].alert.response, Response::Revoke);
    scene.looks(1_059, &silent("jump-1"));
    assert_eq!(scene.standings(), [Standing::Proposed]);
    assert!(scene.core().denied.is_empty());
    scene.starts();
    // Hosts had no time to come back yet.
    let unsettled = Present {
        listening: std::time::Duration::from_secs(1),
        ..Present::default()
    };
    scene.looks(1_060, &unsettled);
    assert_eq!(scene.standings(), [Standing::Proposed]);
    scene.looks(1_061, &silent("jump-1"));
    assert_eq!(scene.standings(), [Standing::InForce]);
    assert!(scene.core().denied.serials.contains_key(&7));
    let unanswered = scene.core().tables().unanswered.len();
    assert_eq!(unanswered, 1, "the broker is asked");
    assert!(whole(&scene.folder.path().join("data"), "acme") > 0);
}

#[test]
fn leases_run_on_when_the_host_is_well_before_and_a_copy_is_not_well_by_itself() {
    let mut scene = Scene::new(|_| {});
    scene.looks(1_000, &silent("jump-1"));
    scene.looks(1_030, &well("jump-1"));
    assert_eq!(scene.standings(), [Standing::Expired]);
    // Nobody was cut off, so it does not count for the cap either.
    scene.core().response.sessions_max = 1;
    scene.looks(1_031, &twice("jump-1"));
    let waits = |order: &Order| order.standing() == Standing::Proposed;
    let order = scene.orders().into_iter().find(waits).unwrap();
    assert_eq!(order.asks, None);
    scene.looks(1_040, &silent("jump-1"));
    scene.looks(1_050, &well("jump-1"));
    assert_eq!(scene.orders().len(), 2, "one order a host");
    scene.looks(1_091, &well("jump-1"));
    let order = scene.core().orders.get(&order.id).unwrap();
    assert_eq!(order.standing(), Standing::InForce);
}

#[test]
fn a_person_may_end_leases_before_their_time_or_let_them_run() {
    for (to, standing) in [
        (Standing::InForce, Standing::InForce),
        (Standing::Rejected, Standing::Rejected),
    ] {
        let mut scene = Scene::new(|_| {});
        scene.looks(1_000, &silent("jump-1"));
        let order = scene.orders().remove(0).id;
        let decision = Decision {
            order,
            to,
            by: "eve".parse().unwrap(),
            author: "soc/eve".into(),
            note: "looked".into(),
        };
        scene.core().decide(decision).unwrap().unwrap();
        scene.looks(1_100, &silent("jump-1"));
        assert_eq!(scene.standings(), [standing]);
    }
}

#[test]
fn mode_limits_and_cap_of_rules_hold_for_leases() {
    let observed = |config: &mut Config| config.response.mode = ResponseMode::Observe;
    let asks = |config: &mut Config| config.lost.leases = Leases::Ask;
    let capped = |config: &mut Config| config.response.sessions_max = 0;
    let limited = |at_most| {
        move |config: &mut Config| {
            config.response.limits = vec![Limit {
                tenant: None,
                tier: None,
                at_most,
            }];
        }
    };
    let first = |change: Change<'_>| {
        let mut scene = Scene::new(change);
        let raised = scene.looks(1_000, &silent("jump-1"));
        scene.looks(1_100, &silent("jump-1"));
        (raised, scene.orders())
    };
    let (raised, orders) = first(&observed);
    assert!(raised[0].alert.observed);
    assert_eq!(orders[0].standing(), Standing::Observed);
    let asked = limited(Response::Ask);
    let waiting: [(Change<'_>, Asks); 3] = [
        (&asks, Asks::Policy),
        (&asked, Asks::Policy),
        (&capped, Asks::Storm),
    ];
    for (change, why) in waiting {
        let (raised, orders) = first(change);
        assert_eq!(raised[0].alert.response, Response::Ask);
        assert_eq!((orders[0].asks, orders[0].due), (Some(why), None));
        assert_eq!(orders[0].standing(), Standing::Proposed);
        assert_eq!(raised.len(), if why == Asks::Storm { 2 } else { 1 });
    }
    let (_, orders) = first(&limited(Response::Freeze));
    assert_eq!(orders[0].mode, Mode::Freeze);
    assert!(orders[0].is_in_force());
    let told = limited(Response::Notify);
    let keeps = |config: &mut Config| config.lost.leases = Leases::Keep;
    let nothing: [Change<'_>; 2] = [&told, &keeps];
    for change in nothing {
        let (raised, orders) = first(change);
        assert_eq!((raised.len(), orders.len()), (1, 0));
    }
}

#[test]
fn policy_is_asked_again_when_leases_end() {
    let due = |change: &dyn Fn(&mut Core)| {
        let mut scene = Scene::new(|_| {});
        scene.looks(1_000, &silent("jump-1"));
        change(scene.core());
        scene.looks(1_100, &silent("jump-1"));
        scene.orders().remove(0)
    };
    let order = due(&|core| core.response.mode = ResponseMode::Observe);
    assert_eq!(order.standing(), Standing::Expired);
    let order = due(&|core| core.response.sessions_max = 0);
    assert_eq!((order.asks, order.due), (Some(Asks::Storm), None));
    assert_eq!(order.standing(), Standing::Proposed);
    let order = due(&|core| {
        let ended = Action::SessionEnded {
            session: session_id(1),
        };
        take(core, &[event(event_id("jump-1", Source::Agent, 2), ended)]);
    });
    assert_eq!(order.standing(), Standing::Expired, "nobody is there");
    assert!(order.times.ordered.is_none());
}
