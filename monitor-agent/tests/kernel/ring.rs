//! Rings: wake-ups, order, overflow.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use monitor_agent::kernel::{BatchLimits, RingReader, Waited, ring::Pause};
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
        tokio::time::timeout(DEADLINE, rig.rings.priority.ready(None))
            .await
            .unwrap()
            .unwrap();
        assert!(rig.rings.priority.has_records());
        actor.join().unwrap();
    }
}

/// Far beyond the deadline: only a wake-up ends it in time.
const LONG: Duration = Duration::from_secs(3_600);

fn linger(how_long: Duration) -> Pause {
    let now = tokio::time::Instant::now();
    Pause {
        quiet_until: now,
        linger_until: now + how_long,
    }
}

async fn wait(reader: &mut RingReader, pause: Pause) {
    tokio::time::timeout(DEADLINE, reader.ready(Some(pause)))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn lingering_reader_is_woken_by_an_urgent_record() {
    let Some(mut rig) = Rig::new() else { return };
    for _ in 0..5 {
        drain(&mut rig.rings.priority);
        let actor = Actor::shell("/bin/true").marked(&rig.probes, rig.mark);
        // The end of a session is urgent; the programs before it are not.
        let actor = std::thread::spawn(|| actor.act());
        wait(&mut rig.rings.priority, linger(LONG)).await;
        let seen = drain(&mut rig.rings.priority);
        assert!(seen.iter().any(|seen| seen.header().is_urgent()));
        actor.join().unwrap();
    }
}

#[tokio::test]
async fn urgent_record_that_came_before_the_linger_ends_it() {
    let Some(mut rig) = Rig::new() else { return };
    drain(&mut rig.rings.priority);
    Actor::shell("/bin/true")
        .marked(&rig.probes, rig.mark)
        .act();
    wait(&mut rig.rings.priority, linger(LONG)).await;
    assert!(rig.rings.priority.has_records());
}

#[tokio::test]
async fn other_records_wait_for_the_end_of_the_linger_and_no_longer() {
    let Some(mut rig) = Rig::new() else { return };
    drain(&mut rig.rings.priority);
    let pause = linger(Duration::from_millis(300));
    Actor::shell("/bin/true").act();
    wait(&mut rig.rings.priority, pause).await;
    let is_over = tokio::time::Instant::now() >= pause.linger_until;
    let seen = drain(&mut rig.rings.priority);
    // Other tests may do something urgent meanwhile.
    assert!(is_over || seen.iter().any(|seen| seen.header().is_urgent()));
    assert!(!seen.is_empty());
}

#[tokio::test]
async fn lingering_reader_is_woken_when_the_ring_is_half_full() {
    let Some(mut rig) = Rig::with(|config| config.priority_ring_bytes = 65_536) else {
        return;
    };
    drain(&mut rig.rings.priority);
    let script = "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done";
    let actor = std::thread::spawn(|| Actor::shell(script).act());
    wait(&mut rig.rings.priority, linger(LONG)).await;
    assert!(rig.rings.priority.has_records());
    actor.join().unwrap();
}

#[tokio::test]
async fn bulk_ring_that_is_not_half_full_does_not_wake() {
    let Some(mut rig) = Rig::new() else { return };
    Actor::shell("( : ); :").marked(&rig.probes, rig.mark).act();
    assert!(rig.rings.bulk.has_records());
    let ready = tokio::time::timeout(Duration::from_millis(1), rig.rings.bulk.ready(None));
    assert!(ready.await.is_err());
}

#[tokio::test]
async fn nothing_is_lost_by_lingering() {
    let Some(mut rig) = Rig::new() else { return };
    let script = "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done";
    let actor = Actor::shell(script).marked(&rig.probes, rig.mark);
    let actor = std::thread::spawn(|| actor.act());
    let mut numbers: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
    let mut is_over = false;
    while !is_over {
        wait(&mut rig.rings.priority, linger(Duration::from_millis(20))).await;
        for seen in drain(&mut rig.rings.priority) {
            let header = *seen.header();
            numbers.entry(header.cpu).or_default().push(header.sequence);
            is_over |= matches!(seen, Seen::SessionEnded(_)) && header.session == rig.mark;
        }
    }
    actor.join().unwrap();
    for found in numbers.values_mut() {
        found.sort_unstable();
        let last = found.last().copied().unwrap_or(0);
        assert_eq!(found.len() as u64, last, "from 1 on without a hole");
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
    // Of one group all fits, however late this reader gets its turn.
    let script = "while :; do i=0; while [ $i -lt 100 ]; do ( : ); i=$((i+1)); done; read cue || exit 0; done";
    let mut actor = Actor::shell(script).marked(&rig.probes, rig.mark);
    let started = Instant::now();
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    let mut records = 0;
    let mut read_until = |wanted| {
        while records < wanted {
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
            assert!(started.elapsed() < DEADLINE, "{records} of {wanted}");
        }
    };
    for group in 1..20 {
        actor.cue();
        read_until(group * 200);
    }
    let mut child = actor.go();
    read_until(4_001);
    child.wait().unwrap();
    let batch = rig.rings.bulk.read_batch(BatchLimits {
        records_max: 7,
        bytes_max: 1 << 20,
    });
    records += batch.records().count();
    assert_eq!(
        records, 4_001,
        "2,000 forks and exits, and the shell's own exit"
    );
    assert_eq!(rig.probes.counters().unwrap().dropped(Ring::Bulk), 0);
}
