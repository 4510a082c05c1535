//! Against a real server over mutual TLS, with a real spool.

use std::{
    collections::BTreeMap,
    path::Path,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use monitor_model::{
    clock::{SystemClock, UnixNs},
    id::{BootId, OrderId, Source},
};
use monitor_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use monitor_transport::{
    identity::Identity,
    pki::{Authority, Leaf},
    tls::{Clients, CurrentTls, Follower, Tls, TlsFiles},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use super::*;
use crate::{
    attribute::{SharedSessions, sessions::tests::session},
    contain::Receipts,
    enforce::tests::FakeScopes,
    inspect::tests::inspector,
    marks::tests::FakeMarks,
    note::{Note, Notes},
    spool::{Reading, Spool, Spooled, tests::spooled},
    standing::tests::grant,
};

/// The serial that every stream begins with denying.
const FIRST_DENIED: u64 = 4_711;

/// What the collector of a test does and saw.
#[derive(Debug, Default)]
struct Collected {
    /// Events by the order in which they came first.
    events: Mutex<Vec<Vec<u8>>>,
    seen: Mutex<BTreeMap<Vec<u8>, usize>>,
    hellos: AtomicUsize,
    /// The certificates that streams were opened with.
    shown: Mutex<Vec<Vec<u8>>>,
    refusals: AtomicUsize,
    receipts: Mutex<Vec<v1::Receipt>>,
    looks: Mutex<Vec<v1::InspectAnswer>>,
    /// Whether batches are acked.
    acks: AtomicBool,
    /// Streams are cut after so many batches; 0 is never.
    cut_after: AtomicUsize,
    /// Cuts a stream now.
    cut: tokio::sync::Notify,
    /// Reads nothing after a greeting until it `hears` again.
    deaf: AtomicBool,
    hears: tokio::sync::Notify,
    /// Sent after each hello.
    first: Mutex<Vec<stream_response::Message>>,
}

#[derive(Clone, Debug)]
struct Service(Arc<Collected>);

type Down = Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::StreamResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Service {
    type StreamStream = Down;

    async fn stream(
        &self,
        request: Request<Streaming<v1::StreamRequest>>,
    ) -> Result<Response<Down>, Status> {
        let collected = Arc::clone(&self.0);
        Identity::of(&request)?
            .require(&[monitor_transport::identity::Role::Agent])
            .inspect_err(|_| {
                collected.refusals.fetch_add(1, Ordering::SeqCst);
            })?;
        let shown = request.peer_certs().unwrap();
        let leaf = shown.first().unwrap().to_vec();
        collected.shown.lock().unwrap().push(leaf);
        let mut up = request.into_inner();
        let (down, responses) = mpsc::channel(256);
        tokio::spawn(async move {
            let mut batches = 0;
            loop {
                let message = tokio::select! {
                    message = up.message() => message,
                    () = collected.cut.notified() => return,
                };
                let Ok(Some(message)) = message else { return };
                let answer = match message.message.unwrap() {
                    stream_request::Message::Hello(_) => {
                        collected.hellos.fetch_add(1, Ordering::SeqCst);
                        collected.first.lock().unwrap().clone()
                    }
                    stream_request::Message::Batch(batch) => {
                        batches += 1;
                        take(&collected, &batch);
                        let ack = stream_response::Message::Ack(v1::Ack {
                            number: batch.number,
                        });
                        if collected.acks.load(Ordering::SeqCst) {
                            vec![ack]
                        } else {
                            Vec::new()
                        }
                    }
                    stream_request::Message::Receipt(receipt) => {
                        collected.receipts.lock().unwrap().push(receipt);
                        Vec::new()
                    }
                    stream_request::Message::Inspected(answer) => {
                        collected.looks.lock().unwrap().push(answer);
                        Vec::new()
                    }
                    // None is kept here.
                    stream_request::Message::List(_)
                    | stream_request::Message::Alive(_)
                    | stream_request::Message::Leaving(_) => Vec::new(),
                };
                for message in answer {
                    let _ = down
                        .send(Ok(v1::StreamResponse {
                            message: Some(message),
                        }))
                        .await;
                }
                if collected.deaf.load(Ordering::SeqCst) {
                    collected.hears.notified().await;
                }
                let cut = collected.cut_after.load(Ordering::SeqCst);
                if cut > 0 && batches >= cut {
                    let _ = down.send(Err(Status::unavailable("cut by the test"))).await;
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

fn take(collected: &Collected, batch: &v1::Batch) {
    for event in &batch.events {
        let mut seen = collected.seen.lock().unwrap();
        let times = seen.entry(event.clone()).or_default();
        *times += 1;
        if *times == 1 {
            collected.events.lock().unwrap().push(event.clone());
        }
    }
}

struct Bench {
    collected: Arc<Collected>,
    spool: Spool,
    newest: watch::Sender<u64>,
    acked: watch::Receiver<u64>,
    standing: Standing,
    marks: Arc<FakeMarks>,
    sessions: SharedSessions,
    notes: mpsc::Receiver<Note>,
    uplink: JoinHandle<()>,
    written: usize,
    authority: Authority,
    folder: tempfile::TempDir,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.uplink.abort();
    }
}

fn tls(folder: &Path, authority: &Authority, identity: &str) -> Tls {
    let identity: Identity = identity.parse().unwrap();
    let not_before = SystemClock.now();
    let leaf = Leaf {
        identity: &identity,
        hosts: &["localhost".into()],
        not_before,
        days: 1,
    };
    let (certificate, key) = authority.issue(&leaf, folder).unwrap();
    TlsFiles {
        ca: folder.join("ca.pem"),
        certificate,
        key,
    }
    .load(SystemClock.now())
    .unwrap()
}

/// A collector of its own; where it listens.
async fn serve(collected: &Arc<Collected>, tls: &Tls) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = AgentServiceServer::new(Service(Arc::clone(collected)));
    // What is not read is soon not taken either.
    let mut builder = Server::builder().initial_stream_window_size(4_096);
    let incoming = CurrentTls::fixed(tls.clone())
        .accept(TcpListenerStream::new(listener), Clients::Certificate)
        .unwrap();
    tokio::spawn(builder.add_service(service).serve_with_incoming(incoming));
    port
}

async fn bench(role: &str) -> Bench {
    bench_after(role, 0).await
}

/// A spool after so many batches, all of them acked.
fn emptied(path: &Path, boot: BootId, earlier: usize) -> Spool {
    let (mut spool, _) = Spool::open(path, boot, 1 << 30).unwrap();
    for _ in 0..earlier {
        let reading = Reading {
            events: vec![spooled(1, b"earlier")],
            ..Reading::default()
        };
        spool.append(&reading).unwrap();
    }
    spool.acked(spool.newest()).unwrap();
    spool
}

/// Who has this table has looked at its spool before.
fn first_table() -> stream_response::Message {
    stream_response::Message::Deny(v1::DenyTable {
        serials: vec![FIRST_DENIED],
        principals: Vec::new(),
    })
}

/// Who ends sessions, and who holds them to their grants.
fn enders(
    (standing, sessions): (Standing, SharedSessions),
    marks: Arc<FakeMarks>,
    notes: Notes,
    clock: &Arc<dyn Clock>,
) -> (Containment, Enforcer) {
    let jobs = crate::attribute::SharedJobs::default();
    let enforcer = Enforcer::resume(
        (standing.clone(), sessions.clone(), jobs.clone()),
        Arc::new(FakeScopes::default()),
        notes.clone(),
        Arc::clone(clock),
    );
    let containment = Containment {
        jobs,
        standing,
        sessions,
        marks,
        notes,
        counters: Arc::default(),
        clock: Arc::clone(clock),
        receipts: Receipts::default(),
        turns: Arc::default(),
        contact: String::new(),
    };
    (containment, enforcer.unwrap())
}

/// An agent that starts again after so many batches, all of them acked.
async fn bench_after(role: &str, earlier: usize) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(folder.path(), SystemClock.now(), 1).unwrap();
    let server = tls(folder.path(), &authority, "monitor://collector/c1");
    let name = format!("monitor://{role}/jump-1");
    let client = tls(folder.path(), &authority, &name);
    let collected = Arc::new(Collected::default());
    collected.acks.store(true, Ordering::SeqCst);
    *collected.first.lock().unwrap() = vec![first_table()];
    let port = serve(&collected, &server).await;
    let path = folder.path().join("spool.db");
    let boot = BootId::from_parts(UnixNs(1), 1);
    let spool = emptied(&path, boot, earlier);
    let (newest, newest_out) = watch::channel(spool.newest());
    let (acked, acked_out) = watch::channel(0);
    let standing = Standing::open(&folder.path().join("state.db")).unwrap();
    let marks = Arc::new(FakeMarks::default());
    let sessions = SharedSessions::default();
    let (way, notes) = Notes::channel();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tables = (standing.clone(), sessions.clone());
    let (containment, enforcer) = enders(tables, marks.clone(), way.clone(), &clock);
    let uplink = Uplink {
        lists: None,
        life: life(),
        collector: Collector {
            address: format!("https://localhost:{port}"),
            retry_min: Duration::from_millis(5),
            retry_max: Duration::from_millis(20),
        },
        tls: Follower::new(client, Arc::clone(&clock)).0,
        hello: v1::Hello {
            version: "0".into(),
            boot: boot.to_bytes().to_vec(),
            hooks: Vec::new(),
            instance: Vec::new(),
            keeps_list: false,
            inspects: true,
            beat_ms: 1_000,
        },
        spool: path,
        newest: newest_out,
        acked,
        standing: standing.clone(),
        containment: Arc::new(containment),
        enforcer: Arc::new(enforcer),
        inspector: inspector(folder.path(), (&sessions, &marks)),
        counters: Arc::default(),
        notes: way,
        clock,
    };
    let uplink = tokio::spawn(uplink.run());
    Bench {
        collected,
        spool,
        newest,
        acked: acked_out,
        standing,
        marks,
        sessions,
        notes,
        uplink,
        written: 0,
        authority,
        folder,
    }
}

impl Bench {
    /// Writes some batches of one event each.
    fn write(&mut self, batches: usize) {
        for _ in 0..batches {
            self.written += 1;
            let event = format!("event {}", self.written).into_bytes();
            self.spool
                .append(&Reading {
                    events: vec![spooled(u64::try_from(self.written).unwrap(), &event)],
                    ..Reading::default()
                })
                .unwrap();
        }
        self.newest.send_replace(self.spool.newest());
    }

    /// What was written, in order.
    fn written(&self) -> Vec<Vec<u8>> {
        (1..=self.written)
            .map(|number| format!("event {number}").into_bytes())
            .collect()
    }

    fn events(&self) -> Vec<Vec<u8>> {
        self.collected.events.lock().unwrap().clone()
    }

    /// Deletes what was acked, as the pipeline does, until nothing is left.
    async fn all_acked(&mut self) {
        let newest = self.spool.newest();
        until("every batch is acked", || *self.acked.borrow() == newest).await;
        self.spool.acked(newest).unwrap();
        assert_eq!(self.spool.bytes(), 0);
    }
}

/// Looks until it is so, for at most 20 seconds.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_come_in_order_and_are_acked() {
    let mut bench = bench("agent").await;
    bench.write(100);
    bench.all_acked().await;
    bench.write(1);
    bench.all_acked().await;
    assert_eq!(bench.events(), bench.written());
    assert!(
        bench
            .collected
            .seen
            .lock()
            .unwrap()
            .values()
            .all(|times| *times == 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_spool_was_empty_at_its_start_sends_what_comes() {
    let mut bench = bench_after("agent", 2 * IN_FLIGHT_MAX).await;
    let standing = bench.standing.clone();
    until("the first table is in force", || {
        standing.lock().denied_serials.contains(&FIRST_DENIED)
    })
    .await;
    bench.write(2 * IN_FLIGHT_MAX);
    bench.all_acked().await;
    assert_eq!(bench.events(), bench.written());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_acks_only_so_many_batches_are_under_way_and_nothing_is_deleted() {
    let mut bench = bench("agent").await;
    bench.collected.acks.store(false, Ordering::SeqCst);
    bench.write(3 * IN_FLIGHT_MAX);
    until("as many as may be are under way", || {
        bench.events().len() == IN_FLIGHT_MAX
    })
    .await;
    assert_eq!(*bench.acked.borrow(), 0);
    // The stream is cut; on the next one everything comes again, and is acked.
    bench.collected.acks.store(true, Ordering::SeqCst);
    bench.collected.cut.notify_one();
    bench.all_acked().await;
    assert_eq!(bench.events(), bench.written());
    let twice = bench
        .collected
        .seen
        .lock()
        .unwrap()
        .values()
        .filter(|times| **times == 2)
        .count();
    assert_eq!(twice, IN_FLIGHT_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_again_and_again_loses_nothing_and_goes_on() {
    let mut bench = bench("agent").await;
    bench.collected.cut_after.store(7, Ordering::SeqCst);
    for _ in 0..10 {
        bench.write(10);
        tokio::task::yield_now().await;
    }
    bench.all_acked().await;
    assert_eq!(bench.events(), bench.written());
    assert!(bench.collected.hellos.load(Ordering::SeqCst) > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_not_what_was_written_is_named_before_the_next_is_sent() {
    let mut bench = bench("agent").await;
    let own = |sequence, bytes: &[u8]| Spooled {
        boot: BootId::from_parts(UnixNs(1), 1),
        ..spooled(sequence, bytes)
    };
    for (sequence, bytes) in [(1, b"first"), (2, b"wrong"), (3, b"third")] {
        let reading = Reading {
            events: vec![own(sequence, bytes)],
            ..Reading::default()
        };
        bench.spool.append(&reading).unwrap();
    }
    let hand = rusqlite::Connection::open(bench.folder.path().join("spool.db")).unwrap();
    let rot = "UPDATE batches SET batch = zeroblob(length(batch)) WHERE number = 2";
    assert_eq!(hand.execute(rot, []).unwrap(), 1);
    bench.newest.send_replace(3);

    let gap = bench.notes.recv().await.unwrap();
    assert_eq!(
        gap.action,
        Action::Gap {
            source: Source::Agent,
            first: 2,
            last: 2,
            cause: GapCause::SpoolDamaged,
        }
    );
    let damage = bench.notes.recv().await.unwrap();
    assert!(matches!(damage.action, Action::Impaired { .. }));
    assert_eq!(damage.keep, Some(Keep::Damaged(2)));
    until("the first", || bench.events() == [b"first"]).await;
    let reading = Reading {
        keep: damage.keep.into_iter().collect(),
        ..Reading::default()
    };
    bench.spool.append(&reading).unwrap();
    damage.kept.unwrap().send(()).unwrap();
    until("the third", || bench.events().len() == 2).await;
    assert_eq!(bench.events(), [b"first", b"third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_from_the_collector_are_in_force() {
    let bench = bench_with_first(vec![
        stream_response::Message::Grants(v1::GrantTable {
            grants: vec![v1::Grant::from(&grant("G1"))],
        }),
        stream_response::Message::Deny(v1::DenyTable {
            serials: vec![5],
            principals: Vec::new(),
        }),
    ])
    .await;
    until("the tables are in force", || {
        let tables = bench.standing.lock();
        tables.grants.len() == 1 && tables.denied_serials.contains(&5)
    })
    .await;
}

async fn bench_with_first(first: Vec<stream_response::Message>) -> Bench {
    let bench = bench("agent").await;
    // The first stream may have been greeted already: the next one is.
    *bench.collected.first.lock().unwrap() = first;
    bench.collected.cut_after.store(1, Ordering::SeqCst);
    let mut bench = bench;
    bench.write(1);
    until("a second stream came about", || {
        bench.collected.hellos.load(Ordering::SeqCst) >= 2
    })
    .await;
    bench.collected.cut_after.store(0, Ordering::SeqCst);
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_carried_out_once_and_its_receipt_is_sent_each_time() {
    let order = OrderId::from_parts(UnixNs(1), 1);
    let command = stream_response::Message::Contain(v1::ContainCommand {
        order: order.to_bytes().to_vec(),
        session: session(1).id.to_bytes().to_vec(),
        reason: "out of scope".into(),
        mode: 0,
    });
    let mut bench = bench("agent").await;
    bench.sessions.lock().put(session(1)).unwrap();
    bench
        .marks
        .marked
        .lock()
        .unwrap()
        .insert(session(1).id, vec![4_000_001]);
    *bench.collected.first.lock().unwrap() = vec![command.clone(), command];
    bench.collected.cut_after.store(1, Ordering::SeqCst);
    bench.write(1);
    until("two receipts came", || {
        bench.collected.receipts.lock().unwrap().len() >= 2
    })
    .await;
    let receipts = bench.collected.receipts.lock().unwrap().clone();
    assert_eq!(receipts[0], receipts[1]);
    assert_eq!((receipts[0].killed, receipts[0].left), (1, 0));
    assert!(bench.notes.recv().await.is_some());
    let kills = bench
        .marks
        .take_asked()
        .iter()
        .filter(|asked| asked.starts_with("kill"))
        .count();
    assert_eq!(kills, 1);
}

/// For each of so many sessions: to freeze it, to let it go on, again, and to
/// end it.
fn ordered(bench: &Bench, sessions: u128) -> Vec<stream_response::Message> {
    use v1::ContainMode::{Freeze, Kill, Release};
    let modes = [Freeze, Release, Freeze, Release, Kill];
    let mut commands = Vec::new();
    for number in 1..=sessions {
        let session = session(number);
        for (at, mode) in (1_u128..).zip(modes) {
            commands.push(stream_response::Message::Contain(v1::ContainCommand {
                order: OrderId::from_parts(UnixNs(1), at).to_bytes().to_vec(),
                session: session.id.to_bytes().to_vec(),
                reason: "out of scope".into(),
                mode: mode.into(),
            }));
        }
        let mut marked = bench.marks.marked.lock().unwrap();
        marked.insert(session.id, vec![4_000_001]);
        drop(marked);
        bench.sessions.lock().put(session).unwrap();
    }
    commands
}

/// The orders of a session come within microseconds: to freeze it, to let it go
/// on, again, and to end it.
#[tokio::test(flavor = "multi_thread")]
async fn orders_about_one_session_are_carried_out_in_the_order_of_the_stream() {
    const SESSIONS: u128 = 20;
    let bench = bench("agent").await;
    let commands = ordered(&bench, SESSIONS);
    let wanted = commands.len();
    *bench.collected.first.lock().unwrap() = commands;
    bench.collected.cut.notify_one();
    until("every receipt came", || {
        bench.collected.receipts.lock().unwrap().len() >= wanted
    })
    .await;
    let asked = bench.marks.take_asked();
    for number in 1..=SESSIONS {
        let id = session(number).id;
        let of_it = asked
            .iter()
            .filter_map(|asked| asked.strip_suffix(&format!(" {id}")))
            .filter(|what| ["hold", "release", "kill"].contains(what));
        assert_eq!(
            of_it.collect::<Vec<_>>(),
            ["hold", "release", "hold", "release", "kill"]
        );
    }
}

/// More receipts than the stream has room for, and a collector that takes none
/// for as long as orders are carried out.
#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_for_which_there_is_no_room_waits() {
    const SESSIONS: usize = 50;
    let bench = bench("agent").await;
    let commands = ordered(&bench, 50);
    let wanted = commands.len();
    *bench.collected.first.lock().unwrap() = commands;
    bench.collected.deaf.store(true, Ordering::SeqCst);
    bench.collected.cut.notify_one();
    let mut killed = 0;
    until("every session is ended", || {
        let asked = bench.marks.take_asked();
        let kills = asked.iter().filter(|asked| asked.starts_with("kill "));
        killed += kills.count();
        killed >= SESSIONS
    })
    .await;
    bench.collected.deaf.store(false, Ordering::SeqCst);
    bench.collected.hears.notify_one();
    until("every receipt came", || {
        bench.collected.receipts.lock().unwrap().len() >= wanted
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_role_is_refused_and_events_wait() {
    let mut bench = bench("soc").await;
    bench.write(2);
    until("it was refused twice", || {
        bench.collected.refusals.load(Ordering::SeqCst) >= 2
    })
    .await;
    assert!(bench.events().is_empty());
    assert_eq!(*bench.acked.borrow(), 0);
    assert!(!bench.uplink.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lives_in_a_session_is_answered_by_the_number_of_the_question() {
    let asked = |question, session: Vec<u8>| {
        stream_response::Message::Inspect(v1::InspectCommand { question, session })
    };
    let of_own = session(1).id.to_bytes().to_vec();
    let bench = bench("agent").await;
    bench.sessions.lock().put(session(1)).unwrap();
    let own = vec![std::process::id()];
    bench
        .marks
        .marked
        .lock()
        .unwrap()
        .insert(session(1).id, own);
    let asked = vec![asked(7, of_own), asked(8, vec![1])];
    // The first stream may have been greeted already: the next one is asked.
    *bench.collected.first.lock().unwrap() = asked;
    bench.collected.cut.notify_one();
    let looks = || bench.collected.looks.lock().unwrap().clone();
    until("both answers", || looks().len() >= 2).await;
    for answer in looks() {
        let (question, seen) = monitor_proto::convert::Answered::try_from(answer).unwrap();
        match question {
            7 => assert_eq!(seen.unwrap().processes[0].key.pid, std::process::id()),
            8 => assert_eq!(seen, Err(monitor_model::inspect::NotShown::Unknown)),
            other => panic!("nobody asked {other}"),
        }
    }
}

/// An agent whose probes see, and that is not asked to stop.
fn life() -> Life {
    let (_, alive) = watch::channel(v1::Alive::default());
    let (_, leaving) = watch::channel(false);
    Life { alive, leaving }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_without_a_start_and_a_broken_one_is_not() {
    let bench = bench("agent").await;
    let shown = || bench.collected.shown.lock().unwrap().clone();
    until("a stream", || shown().len() == 1).await;
    let files = ["jump-1.pem", "jump-1.key"].map(|name| bench.folder.path().join(name));
    // Half of a new pair.
    let old = std::fs::read(&files[0]).unwrap();
    std::fs::write(&files[0], &old[..old.len() / 2]).unwrap();
    bench.collected.cut.notify_one();
    until("the next stream", || shown().len() == 2).await;
    for file in &files {
        std::fs::remove_file(file).unwrap();
    }
    tls(
        bench.folder.path(),
        &bench.authority,
        "monitor://agent/jump-1",
    );
    bench.collected.cut.notify_one();
    until("one more", || shown().len() == 3).await;
    // A certificate of somebody else is none of this agent.
    for (file, other) in files.iter().zip(["jump-2.pem", "jump-2.key"]) {
        tls_once(&bench, "monitor://agent/jump-2");
        std::fs::copy(bench.folder.path().join(other), file).unwrap();
    }
    bench.collected.cut.notify_one();
    until("the last", || shown().len() == 4).await;
    let shown = shown();
    assert_eq!(shown[0], shown[1]);
    assert_ne!(shown[1], shown[2], "the new one");
    assert_eq!(shown[2], shown[3]);
}

/// Issues it unless it is there.
fn tls_once(bench: &Bench, identity: &str) {
    if !bench.folder.path().join("jump-2.pem").exists() {
        tls(bench.folder.path(), &bench.authority, identity);
    }
}
