use std::{path::Path, time::Duration};

use monitor_common::{Exit, Kind, SessionMark};
use monitor_model::{
    clock::{SystemClock, UnixNs},
    event::NoSession,
    id::BootId,
};
use monitor_proto::decode_event;
use zerocopy::IntoBytes as _;

use super::*;
use crate::{
    attribute::{
        sessions::tests::session,
        tests::{FakeHost, OFFSET, aligned, exec, header, session_ended},
    },
    marks::{mark_of, tests::FakeMarks},
    spool::SpoolReader,
    watch::SharedLabels,
};

struct Bench {
    worker: Worker<FakeHost>,
    marks: Arc<FakeMarks>,
    counters: Arc<Counters>,
}

fn boot(number: u128) -> BootId {
    BootId::from_parts(UnixNs(1), number)
}

fn start(folder: &Path, epoch: &str) -> Bench {
    start_in(boot(1), folder, epoch)
}

fn start_in(boot: BootId, folder: &Path, epoch: &str) -> Bench {
    let origin = Origin {
        agent: "jump-1".parse().unwrap(),
        boot,
    };
    let (spool, recovered) =
        crate::spool::Spool::open(&folder.join("spool.db"), origin.boot, 1 << 30).unwrap();
    let sessions = SharedSessions::default();
    let labels = SharedLabels::open(&folder.join("state.db")).unwrap();
    let marks = Arc::new(FakeMarks::default());
    let counters = Arc::<Counters>::default();
    let parts = Parts {
        attributor: Attributor::new(
            origin.clone(),
            sessions.clone(),
            labels,
            FakeHost::default(),
        ),
        origin,
        spool: spool.into(),
        redactor: Redactor::new(&[1; 32]).unwrap().into(),
        sessions,
        marks: marks.clone(),
        counters: Arc::clone(&counters),
        clock: Arc::new(SystemClock),
    };
    Bench {
        worker: Worker::new(parts, recovered, epoch.to_owned()),
        marks,
        counters,
    }
}

impl Bench {
    /// Puts what was taken on disk, as the pipeline does.
    fn commit(&mut self) -> Result<u64, SpoolError> {
        let mut closed = self.worker.close();
        let newest = closed.write()?;
        self.worker.finish(closed);
        Ok(newest)
    }

    fn take(&mut self, record: &[u8]) {
        aligned(record, |record| {
            self.worker.take_records(std::iter::once(record), OFFSET);
        });
    }
}

fn events(folder: &Path) -> Vec<Event> {
    let reader = SpoolReader::open(&folder.join("spool.db")).unwrap();
    let mut events = Vec::new();
    let mut after = 0;
    while let Some(batch) = reader.next(after).unwrap() {
        after = batch.number;
        events.extend(
            batch
                .events
                .iter()
                .map(|event| decode_event(event).unwrap()),
        );
    }
    events
}

fn numbers(folder: &Path) -> Vec<(Source, u64)> {
    events(folder)
        .into_iter()
        .map(|event| (event.id.source, event.id.sequence))
        .collect()
}

const CPU: Source = Source::Priority { cpu: 2 };

#[test]
fn holes_that_a_loss_of_power_left_open_are_named_once_and_in_their_boot() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = start(folder.path(), "e1");
    bench.worker.take_note(Note::about_nobody(Action::Gap {
        source: Source::Bulk { cpu: 0 },
        first: 1,
        last: 1,
        cause: GapCause::RingFull,
    }));
    for sequence in [1, 2, 6] {
        bench.take(&exec(sequence, SessionMark::NONE, &["x"]));
    }
    bench.commit().unwrap();
    drop(bench);
    // Started twice: what is not on disk is named again, by the same name.
    drop(start_in(boot(2), folder.path(), "e2"));
    for _ in 0..2 {
        let mut bench = start_in(boot(2), folder.path(), "e2");
        bench.commit().unwrap();
    }
    let told: Vec<Event> = events(folder.path()).split_off(4);
    let [gap] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!((gap.id.boot, gap.id.source), (boot(1), Source::Agent));
    assert_eq!(gap.id.sequence, 2, "after the one of before");
    assert_eq!(
        gap.action,
        Action::Gap {
            source: CPU,
            first: 3,
            last: 5,
            cause: GapCause::Unexplained,
        }
    );
}

#[test]
fn records_read_again_after_a_kill_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = start(folder.path(), "e1");
    for sequence in 1..=3 {
        bench.take(&exec(sequence, SessionMark::NONE, &["x"]));
    }
    bench.commit().unwrap();
    // Read, and killed before they were on disk.
    bench.take(&exec(4, SessionMark::NONE, &["x"]));
    drop(bench);
    // The ring gives everything again that was not freed.
    let mut bench = start(folder.path(), "e1");
    for sequence in 2..=5 {
        bench.take(&exec(sequence, SessionMark::NONE, &["x"]));
    }
    bench.commit().unwrap();
    assert_eq!(
        numbers(folder.path()),
        (1..=5).map(|number| (CPU, number)).collect::<Vec<_>>()
    );
    assert_eq!(bench.counters.records_again.get(), 2);
}

#[test]
fn numbers_go_on_when_the_probes_are_loaded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = start(folder.path(), "e1");
    bench.take(&exec(1, SessionMark::NONE, &["x"]));
    bench.take(&exec(3, SessionMark::NONE, &["x"]));
    bench.commit().unwrap();
    drop(bench);
    let mut bench = start(folder.path(), "e2");
    bench.take(&exec(1, SessionMark::NONE, &["x"]));
    bench.commit().unwrap();
    drop(bench);
    let mut bench = start(folder.path(), "e2");
    bench.take(&exec(1, SessionMark::NONE, &["x"]));
    bench.take(&exec(2, SessionMark::NONE, &["x"]));
    bench.commit().unwrap();
    let wanted = [(CPU, 1), (CPU, 3), (Source::Agent, 1), (CPU, 4), (CPU, 5)];
    assert_eq!(numbers(folder.path()), wanted);
    let Action::Gap {
        first: 2,
        last: 2,
        cause: GapCause::Unexplained,
        ..
    } = events(folder.path())[2].action
    else {
        panic!("{:?}", events(folder.path())[2]);
    };
}

#[test]
fn drops_and_unreadable_records_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = start(folder.path(), "e1");
    bench.take(&exec(1, SessionMark::NONE, &["x"]));
    let mut unknown = exec(2, SessionMark::NONE, &["x"]);
    unknown[0] = 99;
    bench.take(&unknown);
    bench.take(&[1, 2, 3]);
    let counted = [Counted {
        source: CPU,
        produced: 5,
        dropped: 3,
    }];
    bench.worker.settle(&counted);
    bench.worker.settle(&counted);
    bench.commit().unwrap();
    let gaps: Vec<_> = events(folder.path())
        .into_iter()
        .filter_map(|event| {
            let Action::Gap {
                source,
                first,
                last,
                cause,
            } = event.action
            else {
                return None;
            };
            Some((source, first, last, cause))
        })
        .collect();
    assert_eq!(
        gaps,
        [
            (CPU, 2, 2, GapCause::Undecodable),
            (CPU, 3, 5, GapCause::RingFull)
        ]
    );
    assert_eq!(bench.counters.records_undecodable.get(), 2);
    assert_eq!(bench.counters.records_missing.get(), 4);
}

#[test]
fn a_session_is_known_again_and_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = start(folder.path(), "e1");
    let row = session(1);
    bench.worker.parts.sessions.lock().put(row.clone()).unwrap();
    let mut note = Note::about(
        &row,
        Action::SessionOpened {
            session: Box::new(row.clone()),
        },
    );
    note.keep = Some(Keep::Session(Box::new(row.clone())));
    let (kept, mut on_disk) = oneshot::channel();
    note.kept = Some(kept);
    bench.worker.take_note(note);
    assert!(on_disk.try_recv().is_err());
    bench.commit().unwrap();
    on_disk.try_recv().unwrap();
    drop(bench);
    let mut bench = start(folder.path(), "e1");
    bench.take(&exec(1, mark_of(row.id), &["mysql", "-pS3cret"]));
    bench.take(&session_ended(2, mark_of(row.id)));
    bench.take(&exec(3, mark_of(row.id), &["late"]));
    bench.commit().unwrap();
    assert_eq!(bench.marks.take_asked(), [format!("forget {}", row.id)]);
    drop(bench);
    let mut bench = start(folder.path(), "e1");
    bench.worker.begin();
    bench.take(&exec(4, mark_of(row.id), &["later"]));
    bench.commit().unwrap();
    let events = events(folder.path());
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event.action.kind().as_str())
        .collect();
    assert_eq!(
        kinds,
        ["session_opened", "exec", "session_ended", "exec", "exec"]
    );
    assert!(
        events
            .iter()
            .all(|event| event.attribution.session == Some(row.id))
    );
    let Action::Exec {
        argv, redacted: 1, ..
    } = &events[1].action
    else {
        panic!()
    };
    assert!(argv[1].to_string().starts_with("-p[redacted:option:"));
}

#[test]
fn a_session_whose_processes_went_while_the_agent_was_away_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = start(folder.path(), "e1");
    for number in [1, 2] {
        let row = session(number);
        let mut note = Note::about(
            &row,
            Action::SessionOpened {
                session: Box::new(row.clone()),
            },
        );
        note.keep = Some(Keep::Session(Box::new(row)));
        bench.worker.take_note(note);
    }
    bench.commit().unwrap();
    drop(bench);
    for again in [false, true] {
        let mut bench = start(folder.path(), "e1");
        bench
            .marks
            .marked
            .lock()
            .unwrap()
            .insert(session(2).id, vec![5]);
        // Not at the first look: the kernel's record may be on its way.
        bench.worker.look_for_dead();
        bench.worker.close_dead();
        let living = bench.worker.parts.sessions.lock().living().len();
        assert_eq!(living, if again { 1 } else { 2 });
        bench.worker.look_for_dead();
        bench.worker.close_dead();
        bench.commit().unwrap();
    }
    let ended: Vec<_> = events(folder.path())
        .into_iter()
        .filter_map(|event| {
            let Action::SessionEnded { session } = event.action else {
                return None;
            };
            Some((session, event.attribution.reason))
        })
        .collect();
    assert_eq!(ended, [(session(1).id, None::<NoSession>)]);
}

#[test]
fn a_session_whose_end_the_kernel_tells_late_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = start(folder.path(), "e1");
    let row = session(1);
    bench.worker.parts.sessions.lock().put(row.clone()).unwrap();
    // Its last process is gone, and the record is in a ring that is not read yet.
    bench.worker.begin();
    bench.worker.look_for_dead();
    bench.worker.close_dead();
    bench.worker.look_for_dead();
    bench.take(&session_ended(1, mark_of(row.id)));
    bench.worker.close_dead();
    bench.commit().unwrap();
    let ended = events(folder.path()).into_iter();
    let ended = ended.filter(|event| matches!(event.action, Action::SessionEnded { .. }));
    assert_eq!(ended.count(), 1);
}

/// A clock that stands.
#[derive(Debug)]
struct Stopped(UnixNs);

impl Clock for Stopped {
    fn now(&self) -> UnixNs {
        self.0
    }
}

/// The end of a process of a session.
fn exit(sequence: u64, mark: SessionMark, pid: u32) -> Vec<u8> {
    let mut header = header(Kind::EXIT, size_of::<Exit>(), (sequence, mark));
    header.pid = pid;
    header.ring = 1;
    Exit {
        header,
        exit_code: 0,
        reserved: 0,
    }
    .as_bytes()
    .to_vec()
}

fn survivors(folder: &Path) -> Vec<(SessionId, u32, Vec<u32>)> {
    let told = events(folder).into_iter().filter_map(|event| {
        let Action::Survivors {
            session,
            processes,
            total,
        } = event.action
        else {
            return None;
        };
        let pids = processes.iter().map(|process| process.pid).collect();
        Some((session, total, pids))
    });
    told.collect()
}

#[test]
fn what_outlives_a_login_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = start(folder.path(), "e1");
    let (left, clean) = (session(1), session(2));
    for row in [&left, &clean] {
        bench.worker.parts.sessions.lock().put(row.clone()).unwrap();
    }
    bench.marks.mark(200, left.id).unwrap();
    bench.marks.mark(201, left.id).unwrap();
    // Not sshd's process: nobody logged out.
    bench.take(&exit(1, mark_of(left.id), 150));
    bench.worker.tell_survivors();
    bench.commit().unwrap();
    assert_eq!(survivors(folder.path()), []);
    // The records are of long ago: what hangs up has settled.
    bench.take(&exit(2, mark_of(left.id), left.leader_pid));
    bench.take(&exit(3, mark_of(clean.id), clean.leader_pid));
    bench.worker.tell_survivors();
    bench.worker.tell_survivors();
    bench.commit().unwrap();
    assert_eq!(survivors(folder.path()), [(left.id, 2, vec![200, 201])]);
}

#[test]
fn a_login_that_ended_while_the_agent_was_away_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = start(folder.path(), "e1");
    let (over, goes_on) = (session(1), session(2));
    for row in [&over, &goes_on] {
        bench.worker.parts.sessions.lock().put(row.clone()).unwrap();
    }
    bench.marks.mark(200, over.id).unwrap();
    bench.marks.mark(goes_on.leader_pid, goes_on.id).unwrap();
    bench.worker.begin();
    let later = SystemClock.now().plus(Duration::from_secs(3));
    bench.worker.parts.clock = Arc::new(Stopped(later));
    bench.worker.tell_survivors();
    bench.commit().unwrap();
    assert_eq!(survivors(folder.path()), [(over.id, 1, vec![200])]);
}
