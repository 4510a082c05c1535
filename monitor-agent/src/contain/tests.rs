use std::time::Duration;

use monitor_model::{clock::SystemClock, contain::Frozen};
use tokio::sync::mpsc;

use super::*;
use crate::{
    attribute::sessions::tests::session,
    marks::tests::{FakeMarks, Together},
    spool::RECEIPTS_MAX,
};

pub(crate) struct Bench {
    pub(crate) containment: Containment,
    pub(crate) marks: Arc<FakeMarks>,
    pub(crate) notes: mpsc::Receiver<Note>,
    folder: tempfile::TempDir,
}

fn bench() -> Bench {
    bench_at(Arc::new(SystemClock))
}

pub(crate) fn bench_at(clock: Arc<dyn Clock>) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let marks = Arc::new(FakeMarks::default());
    let (way, notes) = Notes::channel();
    let containment = Containment {
        jobs: crate::attribute::SharedJobs::default(),
        standing: Standing::open(&folder.path().join("state.db")).unwrap(),
        sessions: SharedSessions::default(),
        marks: marks.clone(),
        notes: way,
        counters: Arc::default(),
        clock,
        receipts: Receipts::default(),
        turns: Arc::default(),
        contact: String::new(),
    };
    Bench {
        containment,
        marks,
        notes,
        folder,
    }
}

fn command(order: u128, session: SessionId) -> Command {
    Command {
        order: OrderId::from_parts(UnixNs(1), order),
        session,
        mode: ContainMode::Kill,
        reason: "out of scope".into(),
        origin: Origin::Collector,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_denied_then_killed_and_the_receipt_says_so() {
    let mut bench = bench();
    let id = session(1).id;
    bench.containment.sessions.lock().put(session(1)).unwrap();
    bench.containment.sessions.lock().put(session(2)).unwrap();
    for session in [id, session(2).id] {
        bench
            .marks
            .marked
            .lock()
            .unwrap()
            .insert(session, vec![4_000_001, 4_000_002]);
    }
    let receipt = bench
        .containment
        .carry_out(&command(1, id), UnixNs(5))
        .await
        .unwrap();
    assert_eq!(
        (receipt.killed, receipt.left, receipt.received_at),
        (2, 0, UnixNs(5))
    );
    assert!(
        receipt.gone_at.unwrap() >= receipt.denied_at && receipt.denied_at > receipt.received_at
    );
    assert_eq!(
        bench.marks.take_asked(),
        [format!("contain {id}"), format!("kill {id}")]
    );
    assert!(
        bench
            .containment
            .standing
            .lock()
            .denied_serials
            .contains(&7)
    );
    let note = bench.notes.try_recv().unwrap();
    assert_eq!(
        note.action,
        Action::Contained {
            receipt: receipt.clone()
        }
    );
    assert_eq!(note.keep, Some(Keep::Receipt(receipt.clone())));
    assert_eq!(note.attribution.principal.unwrap().as_str(), "alice");
    // Again: the same receipt, nothing done, nothing told; the other lives.
    assert_eq!(
        bench
            .containment
            .carry_out(&command(1, id), UnixNs(9))
            .await
            .unwrap(),
        receipt
    );
    assert!(bench.marks.take_asked().is_empty() && bench.notes.try_recv().is_err());
    assert_eq!(bench.marks.processes(session(2).id).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_of_before_a_restart_is_given_again() {
    let bench = bench();
    let receipt = Receipt {
        killed: 3,
        denied_at: UnixNs(2),
        gone_at: Some(UnixNs(3)),
        ..Receipt::new(
            OrderId::from_parts(UnixNs(1), 1),
            session(1).id,
            ContainMode::Kill,
            UnixNs(1),
        )
    };
    let containment = Containment {
        receipts: Receipts::resume(std::slice::from_ref(&receipt)),
        ..bench.containment
    };
    assert_eq!(
        containment
            .carry_out(&command(1, session(1).id), UnixNs(9))
            .await
            .unwrap(),
        receipt
    );
    assert!(bench.marks.take_asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_is_not_in_the_table_is_not_touched() {
    let bench = bench();
    bench
        .marks
        .marked
        .lock()
        .unwrap()
        .insert(session(1).id, vec![4_000_001]);
    let receipt = bench
        .containment
        .carry_out(&command(1, session(1).id), UnixNs(5))
        .await
        .unwrap();
    assert_eq!(
        (receipt.killed, receipt.left, receipt.gone_at),
        (0, 1, None)
    );
    assert!(bench.marks.take_asked().is_empty());
    let receipt = bench
        .containment
        .carry_out(&command(1, session(2).id), UnixNs(5))
        .await
        .unwrap();
    assert_eq!(
        (receipt.killed, receipt.left, receipt.gone_at.is_some()),
        (0, 0, true)
    );
    *bench.marks.blind.lock().unwrap() = true;
    let receipt = bench
        .containment
        .carry_out(&command(1, session(3).id), UnixNs(5))
        .await
        .unwrap();
    assert_eq!((receipt.left, receipt.gone_at), (1, None), "nobody looked");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_are_left_are_tried_again_when_the_order_is_repeated() {
    let bench = bench();
    bench.containment.sessions.lock().put(session(1)).unwrap();
    let id = session(1).id;
    bench
        .marks
        .marked
        .lock()
        .unwrap()
        .insert(id, vec![4_000_001, 4_000_002]);
    *bench.marks.stubborn.lock().unwrap() = 1;
    let receipt = bench
        .containment
        .carry_out(&command(1, id), UnixNs(5))
        .await
        .unwrap();
    assert_eq!(
        (receipt.killed, receipt.left, receipt.gone_at),
        (2, 1, None)
    );
    let receipt = bench
        .containment
        .carry_out(&command(1, id), UnixNs(5))
        .await
        .unwrap();
    assert_eq!((receipt.left, receipt.gone_at.is_some()), (0, true));
}

fn wanting(mode: ContainMode, order: u128, session: SessionId) -> Command {
    Command {
        mode,
        ..command(order, session)
    }
}

/// A session of two processes, and one job of it.
fn at_work(bench: &Bench) -> (SessionId, SessionId) {
    let (id, job) = (session(1).id, session(9).id);
    bench.containment.sessions.lock().put(session(1)).unwrap();
    let attribution = note::attribution(&session(1));
    let kept = bench.containment.jobs.put(crate::attribute::jobs::Job {
        id: job,
        attribution,
    });
    assert!(kept);
    let mut marked = bench.marks.marked.lock().unwrap();
    marked.insert(id, vec![4_000_001, 4_000_002]);
    marked.insert(job, vec![4_000_003]);
    (id, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_frozen_with_its_jobs_and_goes_on_when_it_is_released() {
    let mut bench = bench();
    let (id, job) = at_work(&bench);
    let freeze = wanting(ContainMode::Freeze, 1, id);
    let receipt = bench
        .containment
        .carry_out(&freeze, UnixNs(5))
        .await
        .unwrap();
    assert_eq!((receipt.frozen, receipt.left), (3, 0));
    assert_eq!((receipt.sockets_closed, receipt.gone_at), (2, None));
    let since = receipt.frozen_at.unwrap();
    let asked = bench.marks.take_asked();
    assert_eq!(asked[..2], [format!("hold {id}"), format!("hold {job}")]);
    let frozen = |bench: &Bench| bench.containment.sessions.lock().get(id).unwrap().frozen;
    let order = freeze.order;
    assert_eq!(frozen(&bench), Some(Frozen { order, since }));
    let denies = |bench: &Bench| {
        let tables = bench.containment.standing.lock();
        tables.denied_serials.contains(&7)
    };
    assert!(denies(&bench));
    assert!(bench.notes.try_recv().is_ok());
    // Again: the same receipt, and nothing is done.
    let again = bench
        .containment
        .carry_out(&freeze, UnixNs(9))
        .await
        .unwrap();
    assert_eq!(again, receipt);
    assert!(bench.marks.take_asked().is_empty());
    // The order that froze it may also be the one that is taken back.
    let release = wanting(ContainMode::Release, 1, id);
    let receipt = bench
        .containment
        .carry_out(&release, UnixNs(9))
        .await
        .unwrap();
    assert_eq!((receipt.released, receipt.left), (3, 0));
    assert!(receipt.released_at.is_some());
    assert_eq!((frozen(&bench), denies(&bench)), (None, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_killed_is_not_released() {
    let bench = bench();
    let (id, _) = at_work(&bench);
    *bench.marks.stubborn.lock().unwrap() = 1;
    let kill = wanting(ContainMode::Kill, 1, id);
    let receipt = bench.containment.carry_out(&kill, UnixNs(5)).await.unwrap();
    assert_eq!((receipt.left, receipt.gone_at), (1, None));
    assert!(receipt.sockets_closed > 0, "what it holds open is cut");
    let release = wanting(ContainMode::Release, 2, id);
    let receipt = bench
        .containment
        .carry_out(&release, UnixNs(6))
        .await
        .unwrap();
    assert!(receipt.left > 0 && receipt.released_at.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_half_frozen_is_finished_and_kept_still() {
    let bench = bench();
    let (id, _) = at_work(&bench);
    // The kernel was told, and the agent died before its receipt was on disk.
    bench.marks.hold(id).unwrap();
    let containment = Arc::new(bench.containment);
    let keeper = keeper::Keeper::new(Arc::clone(&containment));
    keeper.look().await;
    let newest = containment.receipts.newest();
    assert_eq!((newest.len(), newest[0].mode), (1, ContainMode::Freeze));
    assert!(
        containment
            .sessions
            .lock()
            .get(id)
            .unwrap()
            .frozen
            .is_some()
    );
    bench.marks.take_asked();
    // Whoever lets it go on does so for a second.
    keeper.look().await;
    assert!(bench.marks.take_asked().contains(&format!("freeze {id}")));
    let receipts = Receipts::resume(&newest);
    let restarted = Containment {
        receipts,
        turns: Arc::default(),
        sessions: SharedSessions::default(),
        standing: containment.standing.clone(),
        jobs: containment.jobs.clone(),
        marks: bench.marks.clone(),
        notes: containment.notes.clone(),
        counters: Arc::default(),
        clock: Arc::new(SystemClock),
        contact: String::new(),
    };
    restarted.sessions.lock().put(session(1)).unwrap();
    restarted.recall();
    assert!(restarted.sessions.lock().get(id).unwrap().frozen.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_begins_after_its_session_was_ended_is_ended() {
    let bench = bench();
    let (id, job) = at_work(&bench);
    assert!(bench.containment.jobs.remove(job).is_some());
    let kill = wanting(ContainMode::Kill, 1, id);
    let receipt = bench.containment.carry_out(&kill, UnixNs(5)).await.unwrap();
    assert_eq!(receipt.killed, 2);
    let containment = Arc::new(bench.containment);
    let keeper = keeper::Keeper::new(Arc::clone(&containment));
    bench.marks.take_asked();
    keeper.look().await;
    assert!(bench.marks.take_asked().is_empty());
    let attribution = note::attribution(&session(1));
    assert!(containment.jobs.put(crate::attribute::jobs::Job {
        id: job,
        attribution,
    }));
    keeper.look().await;
    let asked = bench.marks.take_asked();
    assert!(asked.contains(&format!("kill {job}")), "{asked:?}");
    assert!(!asked.contains(&format!("kill {id}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_order_is_doing_is_left_to_it() {
    let bench = bench();
    let (id, _) = at_work(&bench);
    let containment = Arc::new(bench.containment);
    let keeper = keeper::Keeper::new(Arc::clone(&containment));
    // An order has told the kernel, and has no receipt yet.
    let ticket = containment.turns.line_up(id).unwrap();
    bench.marks.hold(id).unwrap();
    // To wait for it, and then hold the session anew, would hold it for good.
    let looked = tokio::time::timeout(Duration::from_secs(5), keeper.look()).await;
    assert!(looked.is_ok());
    drop(ticket);
    let receipts = containment.receipts.newest();
    assert_eq!(receipts, []);
    // An order that ended without a receipt, as at a crash, is finished.
    keeper.look().await;
    let newest = containment.receipts.newest();
    assert_eq!((newest.len(), newest[0].mode), (1, ContainMode::Freeze));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_ended_side_by_side() {
    const SESSIONS: usize = 8;
    let mut bench = bench();
    bench.marks = Arc::new(FakeMarks {
        together: Some(Together::of(SESSIONS)),
        ..FakeMarks::default()
    });
    let ids: Vec<SessionId> = (1..=SESSIONS)
        .map(|number| {
            let session = session(u128::try_from(number).unwrap());
            let id = session.id;
            bench.containment.sessions.lock().put(session).unwrap();
            bench
                .marks
                .marked
                .lock()
                .unwrap()
                .insert(id, vec![4_000_001]);
            id
        })
        .collect();
    let containment = Arc::new(Containment {
        marks: bench.marks.clone(),
        ..bench.containment
    });
    let commands = ids.iter().map(|id| command(1, *id)).collect();
    // Each waits in the kernel until all are there.
    containment.carry_out_all(commands).await;
    let newest = containment.receipts.newest();
    assert_eq!(newest.len(), SESSIONS);
    assert!(newest.iter().all(|receipt| receipt.killed == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_here_is_on_disk_before_the_receipt_is() {
    let bench = bench();
    let (id, _) = at_work(&bench);
    let kill = wanting(ContainMode::Kill, 1, id);
    bench.containment.carry_out(&kill, UnixNs(5)).await.unwrap();
    let state = bench.folder.path().join("state.db");
    let kept = Standing::open(&state).unwrap();
    assert!(kept.lock().denied_serials.contains(&7));
}

#[test]
fn the_oldest_receipts_are_forgotten() {
    let receipts = Receipts::default();
    for order in 0..=u128::try_from(RECEIPTS_MAX).unwrap() {
        let command = command(order, session(1).id);
        receipts.put(&Receipt {
            ..Receipt::new(command.order, command.session, ContainMode::Kill, UnixNs(1))
        });
    }
    assert!(receipts.get(&command(0, session(1).id)).is_none());
    assert!(receipts.get(&command(1, session(1).id)).is_some());
}
