//! Rings: wake-ups, order, overflow.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use monitor_agent::kernel::{BatchLimits, Waited};
use monitor_common::{Ring, decode};

use crate::{
    actor::Actor,
    rig::{DEADLINE, Rig, Seen, drain},
};

#[test]
fn priority_record_wakes_a_reader_whose_last_batch_is_not_committed() {
    let Some(mut rig) = Rig::new() else { return };
    Actor::shell("/bin/true").act();
    assert_eq!(rig.rings.priority.wait(DEADLINE).unwrap(), Waited::Ready);
    let first = rig.rings.priority.read_batch(BatchLimits {
        records_max: 1,
        bytes_max: 1,
    });
    assert_eq!(first.len(), 1);
    let started = Instant::now();
    // Nothing is committed, and yet every later record wakes.
    for _ in 0..20 {
        while rig.rings.priority.has_records() {
            rig.rings.priority.read_batch(crate::rig::LIMITS);
        }
        let actor = std::thread::spawn(|| Actor::shell("/bin/true").act());
        assert_eq!(rig.rings.priority.wait(DEADLINE).unwrap(), Waited::Ready);
        actor.join().unwrap();
    }
    assert!(started.elapsed() < DEADLINE);
}

#[test]
fn quiet_ring_times_out() {
    let Some(mut rig) = Rig::new() else { return };
    drain(&mut rig.rings.bulk);
    assert_eq!(
        rig.rings.bulk.wait(Duration::from_millis(1)).unwrap(),
        Waited::TimedOut
    );
}

#[tokio::test]
async fn asynchronous_reader_is_woken() {
    let Some(mut rig) = Rig::new() else { return };
    for _ in 0..5 {
        drain(&mut rig.rings.priority);
        let actor = std::thread::spawn(|| Actor::shell("/bin/true").act());
        tokio::time::timeout(DEADLINE, rig.rings.priority.ready())
            .await
            .unwrap()
            .unwrap();
        assert!(rig.rings.priority.has_records());
        actor.join().unwrap();
    }
}

#[test]
fn batches_keep_to_their_limits() {
    let Some(mut rig) = Rig::new() else { return };
    drain(&mut rig.rings.priority);
    Actor::shell("/bin/true; /bin/true; /bin/true")
        .marked(&rig.probes, rig.mark)
        .act();
    let two = rig.rings.priority.read_batch(BatchLimits {
        records_max: 2,
        bytes_max: 1 << 20,
    });
    assert_eq!(two.len(), 2);
    let one = rig.rings.priority.read_batch(BatchLimits {
        records_max: 100,
        bytes_max: 1,
    });
    assert_eq!(one.len(), 1, "at least one, however long");
    // An older cursor does not take back what a newer one freed.
    rig.rings.priority.commit(one.cursor());
    let waiting = rig.rings.priority.waiting_bytes();
    rig.rings.priority.commit(two.cursor());
    assert_eq!(rig.rings.priority.waiting_bytes(), waiting);
}

#[test]
fn full_bulk_ring_is_counted_exactly_and_leaves_the_priority_ring_alone() {
    let Some(mut rig) = Rig::with(|config| config.bulk_ring_bytes = 65_536) else {
        return;
    };
    let script = "i=0; while [ $i -lt 600 ]; do ( : ); i=$((i+1)); done; /bin/true";
    Actor::shell(script).marked(&rig.probes, rig.mark).act();
    let mut seen = drain(&mut rig.rings.bulk);
    let counters = rig.probes.counters().unwrap();
    let (produced, dropped) = (counters.produced(Ring::Bulk), counters.dropped(Ring::Bulk));
    assert!(dropped > 0, "{counters:?}");
    assert_eq!(produced, seen.len() as u64 + dropped);
    assert_eq!(counters.dropped(Ring::Priority), 0);
    // Every number was used once; the holes are what was dropped.
    let mut numbers: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
    for header in seen.iter().map(Seen::header) {
        numbers.entry(header.cpu).or_default().push(header.sequence);
    }
    for count in counters
        .rings
        .iter()
        .filter(|count| count.ring == Ring::Bulk)
    {
        let mut found = numbers.remove(&count.cpu).unwrap_or_default();
        let delivered = found.len() as u64;
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len() as u64, delivered, "a number was given twice");
        assert_eq!(delivered + count.dropped, count.produced);
        assert!(found.last().copied().unwrap_or(0) <= count.produced);
    }
    // There is room again.
    Actor::shell("/bin/true")
        .marked(&rig.probes, rig.mark)
        .act();
    seen = drain(&mut rig.rings.bulk);
    assert!(seen.iter().any(|seen| matches!(seen, Seen::Fork(_))));
}

#[test]
fn ring_goes_round_many_times_without_a_wrong_byte() {
    let Some(mut rig) = Rig::with(|config| config.bulk_ring_bytes = 65_536) else {
        return;
    };
    let script = "i=0; while [ $i -lt 2000 ]; do ( : ); i=$((i+1)); done";
    let mut child = Actor::shell(script).marked(&rig.probes, rig.mark).go();
    let started = Instant::now();
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    let mut records = 0;
    let mut ended = false;
    loop {
        let batch = rig.rings.bulk.read_batch(BatchLimits {
            records_max: 7,
            bytes_max: 1 << 20,
        });
        for bytes in batch.records() {
            let header = *decode(bytes).unwrap().header();
            let number = last.entry(header.cpu).or_default();
            assert_eq!(header.sequence, *number + 1);
            *number = header.sequence;
            records += 1;
        }
        rig.rings.bulk.commit(batch.cursor());
        if batch.is_empty() && ended {
            break;
        }
        ended = child.try_wait().unwrap().is_some();
        assert!(started.elapsed() < DEADLINE);
    }
    assert_eq!(
        records, 4_001,
        "2,000 forks and exits, and the shell's own exit"
    );
    assert_eq!(rig.probes.counters().unwrap().dropped(Ring::Bulk), 0);
}
