use std::net::IpAddr;

use monitor_model::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{Destination, Protocol, SocketAddress, SocketOperation},
    id::{AgentName, BootId, EventId, SessionId, Source},
};

use super::{led::TICK_NS, *};
use crate::attribute::sessions::{Client, tests::session};

/// A host of a test: the pipes of its processes, by id.
#[derive(Default)]
struct OfTest(HashMap<u32, Option<Pipes>>);

impl Around for OfTest {
    fn pipes(&mut self, (pid, _): Key) -> Option<Pipes> {
        let none = || Some(open(Vec::new()));
        self.0.get(&pid).cloned().unwrap_or_else(none)
    }
    fn program(&mut self, _: Key) -> Option<PathLabel> {
        None
    }
    fn owner(&self, mark: SessionId) -> SessionId {
        mark
    }
    /// As [`session`] has it.
    fn leader(&self, _: SessionId) -> Option<u32> {
        Some(100)
    }
    fn is_own_address(&mut self, address: IpAddr, _: u32) -> bool {
        address == OWN
    }
}

const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));

fn process(pid: u32, parent_pid: u32) -> Process {
    Process {
        pid,
        parent_pid,
        start_boot_ns: u64::from(pid),
        ..Process::default()
    }
}

fn own(number: u128) -> Attribution {
    crate::note::attribution(&session(number))
}

fn id(number: u128) -> SessionId {
    session(number).id
}

fn event(by: u128, process: Process, action: Action) -> Event {
    Event {
        id: EventId {
            agent: AgentName::new("jump-1").unwrap(),
            boot: BootId::from_slice(&[7; 16]).unwrap(),
            source: Source::Agent,
            sequence: 1,
        },
        at: UnixNs(1),
        boot_ns: 1,
        process: Some(process),
        attribution: own(by),
        action,
    }
}

fn target(pid: u32, of: u128) -> ProcessRef {
    ProcessRef {
        pid,
        start_boot_ns: Some(u64::from(pid)),
        session: Some(id(of)),
        holds_credentials: false,
        exe: None,
    }
}

fn connects(by: u128, to: ProcessRef) -> Event {
    let action = Action::LocalConnect {
        socket: LocalAddress::Unix {
            path: ByteText(b"/tmp/tmux-1000/default".to_vec()),
        },
        object: None,
        peer: Some(to),
        denied: false,
    };
    event(by, process(900, 1), action)
}

#[test]
fn what_a_server_of_one_session_does_for_a_client_of_another_is_nobodys() {
    let mut steering = Steering::default();
    assert_eq!(judged(&mut steering, own(1), &process(10, 1)), own(1));
    assert_eq!(judged(&mut steering, own(1), &process(11, 10)), own(1));
    steering.learn(&connects(2, target(10, 1)), &mut OfTest::default());
    for descendant in [process(10, 1), process(11, 10), process(12, 11)] {
        let who = judged(&mut steering, own(1), &descendant);
        assert_eq!(
            (who.session, who.reason),
            (None, Some(NoSession::Ambiguous))
        );
        let named: Vec<_> = who.way.iter().filter_map(|step| step.session).collect();
        assert_eq!(named, [id(2), id(1)]);
    }
    // Not a descendant of the server.
    assert_eq!(judged(&mut steering, own(1), &process(20, 2)), own(1));
    // An orphan stays who it was.
    let mut orphan = process(12, 1);
    orphan.parent_pid = 1;
    assert_eq!(judged(&mut steering, own(1), &orphan).session, None);
}

#[test]
fn clients_of_the_same_session_change_nothing() {
    let mut steering = Steering::default();
    steering.learn(&connects(1, target(10, 1)), &mut OfTest::default());
    assert_eq!(judged(&mut steering, own(1), &process(10, 1)), own(1));
}

#[test]
fn code_put_into_a_process_makes_it_nobodys_until_it_ends() {
    let mut steering = Steering::default();
    let attached = Action::Memory {
        target: target(10, 1),
        access: MemoryAccess::Attached,
        syscall: None,
        denied: false,
    };
    steering.learn(&event(2, process(900, 1), attached), &mut OfTest::default());
    assert_eq!(judged(&mut steering, own(1), &process(10, 1)).session, None);
    steering.forget((10, 10));
    let mut again = process(10, 1);
    again.start_boot_ns = 5_000;
    assert_eq!(
        judged(&mut steering, own(1), &again),
        own(1),
        "its number, given again"
    );
}

#[test]
fn looking_at_an_environment_steers_nothing() {
    let mut steering = Steering::default();
    let looked = Action::Memory {
        target: target(10, 1),
        access: MemoryAccess::Environment,
        syscall: None,
        denied: false,
    };
    steering.learn(&event(2, process(900, 1), looked), &mut OfTest::default());
    assert_eq!(judged(&mut steering, own(1), &process(10, 1)), own(1));
}

fn dials(by: u128, to: &str, protocol: Protocol) -> Event {
    let to: std::net::SocketAddr = to.parse().unwrap();
    let destination = Destination {
        address: to.ip(),
        port: to.port(),
        protocol,
        interface: None,
        interface_index: 0,
        net_ns: 5,
        net_ns_name: None,
        mark: 0,
    };
    let action = Action::Connect {
        destination,
        denied: false,
        scope: None,
    };
    event(by, process(900, 1), action)
}

fn socket(operation: SocketOperation, at: &str, (of, pid): (u128, u32)) -> Event {
    let at: std::net::SocketAddr = at.parse().unwrap();
    let is_datagrams = operation == SocketOperation::Bound;
    let action = Action::Socket {
        operation,
        family: 2,
        socket_type: if is_datagrams { 2 } else { 1 },
        protocol: if is_datagrams { 17 } else { 6 },
        local: Some(SocketAddress {
            address: at.ip(),
            port: at.port(),
        }),
        peer: None,
        net_ns: 5,
        denied: false,
    };
    event(of, process(pid, 50), action)
}

fn judged(steering: &mut Steering, own: Attribution, process: &Process) -> Attribution {
    steering.judge(own, process, &SharedSessions::default())
}

/// Judges first, as it is with records.
fn takes(steering: &mut Steering, event: &Event, around: &mut OfTest) {
    let process = event.process.clone().unwrap();
    let mut event = event.clone();
    event.attribution = judged(steering, event.attribution.clone(), &process);
    steering.learn(&event, around);
}

fn is_own(steering: &mut Steering, pid: u32) -> bool {
    judged(steering, own(1), &process(pid, 50))
        .session
        .is_some()
}

#[test]
fn who_accepts_where_another_session_connected_is_steered() {
    use SocketOperation::{Accepted, Listening};
    let mut steering = Steering::default();
    let mut around = OfTest::default();
    let mut take = |steering: &mut Steering, event: Event| takes(steering, &event, &mut around);
    take(&mut steering, dials(2, "127.0.0.1:99", Protocol::Tcp));
    take(&mut steering, socket(Listening, "0.0.0.0:99", (1, 10)));
    take(&mut steering, socket(Accepted, "127.0.0.1:99", (1, 10)));
    assert!(is_own(&mut steering, 10), "that was another listener's");
    take(&mut steering, dials(1, "127.0.0.1:99", Protocol::Tcp));
    take(&mut steering, dials(2, "127.0.0.1:98", Protocol::Tcp));
    take(&mut steering, socket(Accepted, "127.0.0.1:99", (1, 10)));
    assert!(is_own(&mut steering, 10), "its own, and another port");
    take(&mut steering, dials(2, "0.0.0.0:99", Protocol::Tcp));
    take(&mut steering, socket(Accepted, "127.0.0.1:99", (1, 10)));
    let who = judged(&mut steering, own(1), &process(11, 10));
    let named: Vec<_> = who.way.iter().filter_map(|step| step.session).collect();
    assert_eq!((who.session, named), (None, vec![id(2), id(1)]));
    assert_eq!(who.way[0].name, "127.0.0.1:99".into());
}

#[test]
fn who_receives_datagrams_of_another_session_is_steered() {
    use SocketOperation::Bound;
    for (to, bound, is_steered) in [
        ("127.0.0.1:99", "0.0.0.0:99", true),
        ("192.0.2.9:99", "0.0.0.0:99", true),
        ("192.0.2.10:99", "0.0.0.0:99", false),
        ("192.0.2.10:99", "192.0.2.9:99", false),
        ("127.0.0.1:98", "0.0.0.0:99", false),
    ] {
        let sends = dials(2, to, Protocol::Udp);
        let receives = socket(Bound, bound, (1, 10));
        for order in [[&sends, &receives], [&receives, &sends]] {
            let mut steering = Steering::default();
            for event in order {
                takes(&mut steering, event, &mut OfTest::default());
            }
            assert_eq!(is_own(&mut steering, 10), !is_steered, "{to} {bound}");
        }
    }
}

fn open(ends: Vec<PipeEnd>) -> Pipes {
    Pipes {
        ends,
        has_output: true,
    }
}

fn end(number: u64, (reads, writes): (bool, bool)) -> PipeEnd {
    PipeEnd {
        pipe: (1, number),
        reads,
        writes,
    }
}

/// `nc -l | cat | bash` in a shell, process 50, and sshd above that.
fn pipeline() -> (Steering, OfTest) {
    let mut steering = Steering::default();
    for (pid, parent) in [(100, 1), (150, 100), (160, 150), (161, 150), (162, 150)] {
        judged(&mut steering, own(1), &process(pid, parent));
    }
    let around = OfTest(HashMap::from([
        (100, Some(open(vec![end(9, (true, false))]))),
        (160, Some(open(vec![end(1, (false, true))]))),
        (
            161,
            Some(open(vec![end(1, (true, false)), end(2, (false, true))])),
        ),
        (
            162,
            Some(open(vec![end(2, (true, false)), end(9, (false, true))])),
        ),
    ]));
    (steering, around)
}

#[test]
fn what_a_steered_process_feeds_through_pipes_is_steered() {
    let (mut steering, mut around) = pipeline();
    steering.learn(&connects(2, target(160, 1)), &mut around);
    for pid in [160, 161, 162] {
        assert!(!is_own(&mut steering, pid), "{pid}");
    }
    for pid in [100, 150] {
        assert!(is_own(&mut steering, pid), "what is said to sshd, {pid}");
    }
}

#[test]
fn a_pipeline_that_ended_before_it_could_be_seen_is_nobodys_with_its_shell() {
    // About to end, it has closed its output already, and nothing else.
    let closed = Pipes {
        ends: vec![end(8, (true, false))],
        has_output: false,
    };
    for (gone, seen) in [(160, None), (161, None), (160, Some(closed))] {
        let (mut steering, mut around) = pipeline();
        around.0.insert(gone, seen.clone());
        steering.learn(&connects(2, target(160, 1)), &mut around);
        for pid in [150, 160, 161, 162] {
            assert!(!is_own(&mut steering, pid), "{pid} with {gone} {seen:?}");
        }
        assert!(is_own(&mut steering, 100));
    }
}

#[test]
fn what_a_steered_process_does_to_a_third_session_is_told_of_whom_it_may_be() {
    let mut steering = Steering::default();
    let mut around = OfTest::default();
    steering.learn(&connects(2, target(10, 1)), &mut around);
    let mut third = connects(1, target(20, 3));
    third.process = Some(process(10, 1));
    takes(&mut steering, &third, &mut around);
    let who = judged(&mut steering, own(3), &process(20, 1));
    let named: Vec<_> = who.way.iter().filter_map(|step| step.session).collect();
    assert_eq!(named, [id(2), id(1), id(3)]);
}

#[test]
fn an_orphan_descends_from_who_bore_it_also_when_that_is_forgotten() {
    let mut steering = Steering::default();
    let mut around = OfTest::default();
    steering.learn(&connects(2, target(10, 1)), &mut around);
    steering.born(10, (11, 11), Some(id(1)));
    steering.born(11, (12, 12), Some(id(1)));
    assert!(
        judged(&mut steering, own(1), &process(12, 1))
            .session
            .is_none()
    );
    steering.forget((10, 10));
    steering.forget((11, 11));
    assert!(
        judged(&mut steering, own(1), &process(12, 1))
            .session
            .is_none()
    );
}

fn opens(pid: u32, (by, uses): (u128, &str)) -> Event {
    let action = Action::LocalConnect {
        socket: LocalAddress::Fifo {
            name: "door".into(),
            reads: uses.contains('r'),
            writes: uses.contains('w'),
        },
        object: Some(FileObject {
            device: 1,
            inode: 7,
            generation: 3,
            path: PathLabel {
                text: "door".into(),
                truncated: false,
            },
        }),
        peer: None,
        denied: false,
    };
    event(by, process(pid, 50), action)
}

#[test]
fn who_reads_a_fifo_that_another_session_writes_is_steered() {
    for (own_use, others_use, is_steered) in [
        ("r", "w", true),
        ("rw", "rw", true),
        ("r", "r", false),
        ("w", "w", false),
        ("w", "r", false),
    ] {
        let (reads, writes) = (opens(10, (1, own_use)), opens(900, (2, others_use)));
        for order in [[&reads, &writes], [&writes, &reads]] {
            let mut steering = Steering::default();
            for event in order {
                takes(&mut steering, event, &mut OfTest::default());
            }
            let expected = !is_steered;
            assert_eq!(
                is_own(&mut steering, 10),
                expected,
                "{own_use} {others_use}"
            );
        }
    }
    let mut steering = Steering::default();
    for pid in [10, 11] {
        takes(
            &mut steering,
            &opens(pid, (1, "rw")),
            &mut OfTest::default(),
        );
    }
    assert!(is_own(&mut steering, 10) && is_own(&mut steering, 11));
}

#[test]
fn who_holds_a_pipe_that_another_session_opens_by_its_name_is_steered() {
    let holds = HashMap::from([(10, Some(open(vec![end(7, (true, false))])))]);
    let mut steering = Steering::default();
    judged(&mut steering, own(1), &process(10, 50));
    takes(&mut steering, &opens(900, (2, "w")), &mut OfTest(holds));
    assert!(!is_own(&mut steering, 10));
}

#[test]
fn what_is_said_to_sshd_steers_nothing_and_code_in_it_all() {
    let mut steering = Steering::default();
    let mut around = OfTest::default();
    judged(&mut steering, own(1), &process(100, 1));
    judged(&mut steering, own(1), &process(150, 100));
    steering.learn(&connects(2, target(100, 1)), &mut around);
    assert!(is_own(&mut steering, 150), "a forwarded port");
    let attached = Action::Memory {
        target: target(100, 1),
        access: MemoryAccess::Attached,
        syscall: None,
        denied: false,
    };
    steering.learn(&event(2, process(900, 1), attached), &mut around);
    assert!(!is_own(&mut steering, 150));
}

#[test]
fn who_accepts_a_client_of_another_session_is_steered_whoever_listened() {
    let mut steering = Steering::default();
    let mut around = OfTest::default();
    steering.learn(&connects(3, target(800, 2)), &mut around);
    let accepts = socket(SocketOperation::Accepted, "0.0.0.0:0", (1, 10));
    takes(&mut steering, &accepts, &mut around);
    steering.accepted(&accepts, ((800, 800), id(2)), &mut around);
    let who = judged(&mut steering, own(1), &process(10, 50));
    let named: Vec<_> = who.way.iter().filter_map(|step| step.session).collect();
    assert_eq!((who.session, named), (None, vec![id(2), id(3), id(1)]));
}

#[test]
fn a_session_that_was_opened_by_a_steered_ssh_is_nobodys() {
    let sessions = SharedSessions::default();
    for (opened, pid, of) in [(5, 300, 1), (6, 500, 5)] {
        let start_ticks = u64::from(pid) / TICK_NS;
        let client = Client {
            pid,
            start_ticks,
            session: id(of),
        };
        sessions.lock().put_client(id(opened), client);
    }
    let mut steering = Steering::default();
    let judge = |steering: &mut Steering, of, pid, parent| {
        steering.judge(own(of), &process(pid, parent), &sessions)
    };
    // ssh of session 1 opened session 5, where another ssh opened session 6.
    judge(&mut steering, 1, 300, 50);
    judge(&mut steering, 5, 500, 400);
    for opened in [5, 6] {
        assert!(judge(&mut steering, opened, 600, 550).session.is_some());
    }
    // It left its connection to a process in the background, which serves others.
    steering.born(300, (310, 310), Some(id(1)));
    steering.learn(&connects(2, target(310, 1)), &mut OfTest::default());
    for opened in [5, 6] {
        let who = judge(&mut steering, opened, 600, 550);
        let named: Vec<_> = who.way.iter().filter_map(|step| step.session).collect();
        assert_eq!((who.session, named), (None, vec![id(2), id(opened)]));
    }
    assert!(judge(&mut steering, 1, 300, 50).session.is_some());
}
