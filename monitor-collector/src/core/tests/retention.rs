//! A month of fifty tenants, by a clock that is moved: what is over goes, what is
//! held stays, and every ledger is whole before, after, and after a restart.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use monitor_model::{event::Kind, id::TenantId, tenant::Tenant};

use super::*;
use crate::{
    config::retention::{Hold, Kept},
    ledger::read::{Filter, Reader, Span},
    testing::whole,
};

const TENANTS: u64 = 50;
const DAYS: u64 = 30;
const EVENTS_A_DAY: u64 = 6;
const DAY: u64 = 86_400_000_000_000;

/// A clock that stands still until it is moved.
#[derive(Debug)]
struct Moved(AtomicU64);

impl Clock for Moved {
    fn now(&self) -> UnixNs {
        UnixNs(self.0.load(Ordering::Relaxed))
    }
}

fn name(number: u64) -> TenantId {
    format!("t{number:02}").parse().unwrap()
}

/// Fifty tenants: every fifth keeps everything, the others 7, 14, 21 or 28 days.
/// In the ledger of t01 all of a principal is held.
fn month(folder: &Path) -> Config {
    let mut config = config(folder);
    for number in 0..TENANTS {
        let id = name(number);
        if number % 5 > 0 {
            let kept = Kept {
                time: Duration::from_secs(number % 5 * 7 * 86_400),
                contract: format!("C-{number}"),
            };
            config.retention.tenants.insert(id.clone(), kept);
        }
        let zones = Vec::new();
        config.terms.tenants.push(Tenant { id, zones });
    }
    config.retention.holds.push(Hold {
        tenant: name(1),
        reason: "case 12".into(),
        principal: Some("mallory".parse().unwrap()),
        session: None,
    });
    config
}

/// What happens on one day: reads of every tenant's credentials; on the second,
/// one of t01's is by somebody else.
fn day(day: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for number in 0..TENANTS {
        for n in 0..EVENTS_A_DAY {
            let sequence = (day * TENANTS + number) * EVENTS_A_DAY + n + 1;
            let id = event_id("jump-1", Source::Priority { cpu: 0 }, sequence);
            let mut event = credential(id, name(number).as_str(), "/srv/key");
            if (day, number, n) == (1, 1, 3) {
                event.attribution.principal = Some("mallory".parse().unwrap());
            }
            events.push(event);
        }
    }
    events
}

fn sweep(core: &mut Core) {
    let mut place = None;
    loop {
        place = core.sweep(place).unwrap();
        // As a turn of the writer ends.
        settled(core, Vec::new());
        core.publish().unwrap();
        if place.is_none() {
            return;
        }
    }
}

/// How many entries of a kind a ledger still has.
fn entries(folder: &Path, tenant: &TenantId, kind: Kind) -> u64 {
    let reader = Reader::open(&folder.join("data"), tenant).unwrap();
    let span = Span {
        after: UnixNs(0),
        up_to: UnixNs::MAX,
        limit: 100_000,
    };
    let filter = Filter {
        kinds: vec![kind],
        ..Filter::default()
    };
    u64::try_from(reader.page(span, &filter).unwrap().0.len()).unwrap()
}

#[test]
fn a_month_of_fifty_tenants_is_kept_as_contracts_say_and_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (config, begin) = (month(folder.path()), 1_790_000_000_000_000_000);
    let clock = Arc::new(Moved(AtomicU64::new(begin)));
    let mut core = Core::open(&config, clock.clone()).unwrap();
    for number in 0..DAYS {
        clock.0.store(begin + number * DAY, Ordering::Relaxed);
        settled(&mut core, vec![batch(&day(number))]);
        core.publish().unwrap();
    }
    let whole_month = DAYS * EVENTS_A_DAY;
    clock.0.store(begin + DAYS * DAY, Ordering::Relaxed);
    sweep(&mut core);
    core.seal().unwrap();
    let mut kept: BTreeMap<u64, u64> = BTreeMap::new();
    for number in 0..TENANTS {
        let id = name(number);
        let left = entries(folder.path(), &id, Kind::Credential);
        // A day is one block of a ledger; the day of the held entry stays.
        let held = if number == 1 { EVENTS_A_DAY } else { 0 };
        let days = number % 5 * 7;
        let expected = if days == 0 {
            whole_month
        } else {
            days * EVENTS_A_DAY + held
        };
        assert_eq!(left, expected, "{id}");
        let told = entries(folder.path(), &id, Kind::Removed);
        assert_eq!(told, u64::from(days > 0), "{id}");
        assert_eq!(
            whole(&folder.path().join("data"), id.as_str()),
            whole_month + told
        );
        *kept.entry(days).or_default() += left;
    }
    assert_eq!(kept[&0], 10 * whole_month);
    // Nothing more goes the same day, also after a restart; what was stored is known.
    drop(core);
    let mut core = Core::open(&config, clock.clone()).unwrap();
    sweep(&mut core);
    let (stored, _) = settled(&mut core, vec![batch(&day(0))]);
    assert_eq!(
        (stored.entries.len(), stored.duplicates),
        (0, TENANTS * EVENTS_A_DAY)
    );
    core.publish().unwrap();
    assert_eq!(entries(folder.path(), &name(2), Kind::Removed), 1);
    // The hold is lifted: what it kept goes with what became old.
    drop(core);
    let mut lifted = config.clone();
    lifted.retention.holds.clear();
    clock.0.store(begin + (DAYS + 1) * DAY, Ordering::Relaxed);
    let mut core = Core::open(&lifted, clock).unwrap();
    sweep(&mut core);
    core.seal().unwrap();
    let left = entries(folder.path(), &name(1), Kind::Credential);
    assert_eq!(left, 6 * EVENTS_A_DAY);
    assert_eq!(entries(folder.path(), &name(1), Kind::Removed), 2);
    for number in 0..TENANTS {
        whole(&folder.path().join("data"), name(number).as_str());
    }
}
