use monitor_model::clock::SystemClock;
use tokio::sync::mpsc;

use super::*;
use crate::{attribute::sessions::tests::session, marks::tests::FakeMarks};

pub(crate) struct Bench {
    pub(crate) containment: Containment,
    pub(crate) marks: Arc<FakeMarks>,
    pub(crate) notes: mpsc::Receiver<Note>,
    _folder: tempfile::TempDir,
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
    };
    Bench {
        containment,
        marks,
        notes,
        _folder: folder,
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
        .await;
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
            .await,
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
        receipts: Receipts::resume(vec![receipt.clone()]),
        ..bench.containment
    };
    assert_eq!(
        containment
            .carry_out(&command(1, session(1).id), UnixNs(9))
            .await,
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
        .await;
    assert_eq!(
        (receipt.killed, receipt.left, receipt.gone_at),
        (0, 1, None)
    );
    assert!(bench.marks.take_asked().is_empty());
    let receipt = bench
        .containment
        .carry_out(&command(1, session(2).id), UnixNs(5))
        .await;
    assert_eq!(
        (receipt.killed, receipt.left, receipt.gone_at.is_some()),
        (0, 0, true)
    );
    *bench.marks.blind.lock().unwrap() = true;
    let receipt = bench
        .containment
        .carry_out(&command(1, session(3).id), UnixNs(5))
        .await;
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
        .await;
    assert_eq!(
        (receipt.killed, receipt.left, receipt.gone_at),
        (2, 1, None)
    );
    let receipt = bench
        .containment
        .carry_out(&command(1, id), UnixNs(5))
        .await;
    assert_eq!((receipt.left, receipt.gone_at.is_some()), (0, true));
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
