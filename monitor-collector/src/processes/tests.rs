use monitor_model::{
    bytes::{ByteText, PathLabel},
    contain::ContainMode,
    event::{
        Attribution, Carrier, FileObject, GapCause, Lineage, NoSession, ProcessRef, Receipt, Step,
    },
    id::{BootId, OrderId, Source},
    live::tree,
};

use super::*;
use crate::testing::{BASE, event, event_id, opened, session_id};

const HOST: &str = "jump-1";

/// Events of one host, each a moment after the one before.
#[derive(Default)]
struct Teller {
    sequence: u64,
    boot: u128,
}

impl Teller {
    fn event(&mut self, process: Option<(u32, u64)>, action: Action) -> Event {
        self.sequence += 1;
        let mut event = event(
            event_id(HOST, Source::Priority { cpu: 0 }, self.sequence),
            action,
        );
        event.id.boot = BootId::from_parts(UnixNs(0), 1_u128.wrapping_add(self.boot));
        event.boot_ns = 1_000 + self.sequence;
        event.at = UnixNs(BASE.0 + event.boot_ns);
        event.process = process.map(|(pid, start_boot_ns)| Process {
            pid,
            tid: pid,
            start_boot_ns,
            ..Process::default()
        });
        event
    }

    fn fork(&mut self, parent: (u32, u64), child: (u32, u64)) -> Event {
        let action = Action::Fork {
            child_pid: child.0,
            child_start_boot_ns: child.1,
        };
        self.event(Some(parent), action)
    }

    fn exec(&mut self, process: (u32, u64), argv: &[&str]) -> Event {
        let label = |text: &str| PathLabel {
            text: text.into(),
            truncated: false,
        };
        let action = Action::Exec {
            exe: FileObject {
                device: 1,
                inode: 2,
                generation: 0,
                path: label(&format!("/usr/bin/{}", argv[0])),
            },
            argv: argv
                .iter()
                .map(|argument| ByteText::from(*argument))
                .collect(),
            argv_bytes: 9,
            argv_truncated: false,
            redacted: 1,
            argv_digest: None,
            script: None,
            given: ByteText::default(),
            interpreter: ByteText::default(),
        };
        self.event(Some(process), action)
    }

    fn exit(&mut self, process: (u32, u64)) -> Event {
        self.event(Some(process), Action::Exit { status: 0 })
    }
}

fn session() -> Session {
    let event = opened(event_id(HOST, Source::Agent, 1), session_id(1), "alice", 7);
    let Action::SessionOpened { session } = event.action else {
        panic!("{event:?}");
    };
    *session
}

fn all(events: impl IntoIterator<Item = Event>) -> Processes {
    let mut processes = Processes::default();
    for event in events {
        processes.apply(&event);
    }
    processes
}

/// Depth, number and arguments of everything in the session.
fn shown(processes: &Processes) -> Vec<String> {
    let found: Vec<_> = processes.of_session(&session(), None, false).collect();
    let places = tree(&found).into_iter();
    places
        .map(|place| {
            let process = &found[place.index];
            let argv = process.arguments.as_ref();
            let argv = argv.map_or("?".to_owned(), |arguments| {
                let words = arguments.argv.iter().map(ToString::to_string);
                words.collect::<Vec<_>>().join(" ")
            });
            let fork = if process.forked { " (forked)" } else { "" };
            format!(
                "{}{} {argv}{fork}",
                ">".repeat(place.depth),
                process.key.pid
            )
        })
        .collect()
}

const SSHD: (u32, u64) = (7, 10);
const SHELL: (u32, u64) = (8, 20);
const WORK: (u32, u64) = (9, 30);

/// sshd makes a shell, which runs something.
fn story(tell: &mut Teller) -> Vec<Event> {
    vec![
        tell.fork(SSHD, SHELL),
        tell.exec(SHELL, &["bash", "-l"]),
        tell.fork(SHELL, WORK),
        tell.exec(WORK, &["sleep", "9"]),
    ]
}

#[test]
fn what_lives_is_a_tree_with_what_each_was_started_with() {
    let mut tell = Teller::default();
    let mut events = story(&mut tell);
    // A subshell, which started nothing.
    events.push(tell.fork(SHELL, (10, 40)));
    let processes = all(events);
    assert_eq!(
        shown(&processes),
        ["7 ?", ">8 bash -l", ">>9 sleep 9", ">>10 bash -l (forked)"]
    );
    let session = session();
    let work = processes.of_session(&session, None, false).nth(2);
    let work = work.unwrap();
    assert_eq!(work.exe.unwrap().text.to_string(), "/usr/bin/sleep");
    assert_eq!(work.arguments.unwrap().redacted, 1);
    // The clock of the host at its start, not at the event.
    assert_eq!(work.started_at, UnixNs(BASE.0 + 30));
}

#[test]
fn whatever_order_events_are_stored_in_the_same_lives() {
    let mut tell = Teller::default();
    let mut events = story(&mut tell);
    events.push(tell.fork(WORK, (11, 50)));
    events.push(tell.exec((11, 50), &["true"]));
    events.push(tell.exit((11, 50)));
    let wanted = shown(&all(events.clone()));
    assert_eq!(wanted, ["7 ?", ">8 bash -l", ">>9 sleep 9"]);
    // Each as the first and as the last of all.
    for at in 0..events.len() {
        for to in [0, events.len() - 1] {
            let mut moved = events.clone();
            let event = moved.remove(at);
            moved.insert(to, event);
            assert_eq!(shown(&all(moved)), wanted, "{at} to {to}");
        }
    }
    events.reverse();
    assert_eq!(shown(&all(events)), wanted);
}

#[test]
fn a_parents_later_program_is_not_its_childs() {
    let mut tell = Teller::default();
    let mut events = story(&mut tell);
    let fork = tell.fork(SHELL, (12, 60));
    events.push(tell.exec(SHELL, &["zsh"]));
    events.push(fork);
    assert_eq!(shown(&all(events))[3], ">>12 ? (forked)");
}

#[test]
fn a_session_that_ended_lives_on_in_its_jobs_alone_and_they_end() {
    let mut tell = Teller::default();
    let way = vec![Step {
        carrier: Carrier::JobFile,
        name: "/var/spool/cron/x".into(),
        at: None,
        session: Some(session_id(1)),
    }];
    let linked = |mut event: Event| {
        event.attribution.lineage = Lineage::Linked;
        event.attribution.way.clone_from(&way);
        event
    };
    let mut events = story(&mut tell);
    let job = session_id(5);
    let leader = ProcessRef {
        pid: 20,
        start_boot_ns: Some(100),
        session: None,
        holds_credentials: false,
        exe: None,
    };
    events.push(linked(tell.exec((20, 100), &["sh", "-c", "x"])));
    events.push(linked(tell.event(None, Action::JobStarted { job, leader })));
    events.push(linked(tell.fork((20, 100), (21, 110))));
    let ended = tell.event(
        None,
        Action::SessionEnded {
            session: session_id(1),
        },
    );
    let mut processes = all(events);
    assert_eq!(shown(&processes).len(), 5);
    processes.apply(&ended);
    assert_eq!(shown(&processes), ["20 sh -c x", ">21 sh -c x (forked)"]);
    assert!(processes.has_handed_over(session_id(1)));
    let found: Vec<_> = processes.of_session(&session(), None, false).collect();
    assert!(
        found.iter().all(|process| process.job == Some(job)),
        "{found:?}"
    );
    assert_eq!(processes.jobs_of(&session())[0].id, job);
    // What is told late of the session raises nothing.
    processes.apply(&tell.exec((30, 120), &["late"]));
    assert_eq!(shown(&processes).len(), 2);
    // The end of one was lost: the end of the job tells it.
    processes.apply(&linked(tell.event(None, Action::JobEnded { job })));
    assert!(shown(&processes).is_empty() && processes.sessions().next().is_none());
}

#[test]
fn a_process_that_another_session_steers_stays_in_its_place_and_says_so() {
    let mut tell = Teller::default();
    let mut events = story(&mut tell);
    let steered = |mut event: Event| {
        event.attribution = Attribution {
            way: vec![Step {
                carrier: Carrier::Connection,
                name: "/tmp/tmux".into(),
                at: None,
                session: Some(session_id(2)),
            }],
            ..Attribution::none(NoSession::Ambiguous)
        };
        event
    };
    events.push(steered(tell.fork(SHELL, (13, 70))));
    events.push(steered(tell.exec((13, 70), &["secret"])));
    let mut processes = all(events);
    assert_eq!(shown(&processes)[3], ">>13 secret");
    let find = |only_own| {
        let session = session();
        let mut found = processes.of_session(&session, None, only_own);
        found.find(|process| process.key.pid == 13).unwrap()
    };
    assert_eq!(find(false).reason, Some(NoSession::Ambiguous));
    assert_eq!(find(false).way[0].session, Some(session_id(2)));
    // For who may read this session alone: what another did in it is not told.
    assert_eq!((find(true).exe, find(true).arguments), (None, None));
    processes.apply(&steered(tell.exit((13, 70))));
    assert_eq!(shown(&processes).len(), 3);
}

#[test]
fn an_agent_speaks_for_its_own_host_and_a_boot_ends_all() {
    let mut tell = Teller::default();
    let mut processes = all(story(&mut tell));
    let mut foreign = tell.exec((66, 90), &["evil"]);
    foreign.id.agent = "jump-2".parse().unwrap();
    processes.apply(&foreign);
    assert_eq!(shown(&processes).len(), 3);
    let mut ended = tell.event(
        None,
        Action::SessionEnded {
            session: session_id(1),
        },
    );
    ended.id.agent = "jump-2".parse().unwrap();
    processes.apply(&ended);
    assert_eq!(shown(&processes).len(), 3);
    let late = tell.exec((14, 91), &["late"]);
    // Boots are random numbers: this one is below the one before.
    tell.boot = u128::MAX;
    let anew = tell.event(
        None,
        Action::AgentStarted {
            version: "1".into(),
            kernel: "6".into(),
            resumed: false,
            hooks: vec![],
        },
    );
    processes.apply(&anew);
    assert!(shown(&processes).is_empty());
    processes.apply(&late);
    assert!(shown(&processes).is_empty());
    assert_eq!(processes.count, 0);
}

#[test]
fn what_is_missing_is_known_from_gaps_restarts_and_lack_of_room() {
    let mut tell = Teller::default();
    let mut processes = all(story(&mut tell));
    let first = processes.missing_of(&session());
    assert_eq!((first.lost_events, first.unwatched_until), (0, None));
    // Of this session the collector knows less than it is old.
    assert!(first.kept_since.is_some());
    processes.apply(&opened(
        event_id(HOST, Source::Agent, 2),
        session_id(1),
        "alice",
        7,
    ));
    assert_eq!(processes.missing_of(&session()).kept_since, None);
    let gap = Action::Gap {
        source: Source::Bulk { cpu: 0 },
        first: 3,
        last: 5,
        cause: GapCause::RingFull,
    };
    processes.apply(&tell.event(None, gap));
    let started = Action::AgentStarted {
        version: "1".into(),
        kernel: "6".into(),
        resumed: false,
        hooks: vec![],
    };
    processes.apply(&tell.event(None, started));
    let missing = processes.missing_of(&session());
    assert_eq!(missing.lost_events, 3);
    assert!(missing.lost_at.is_some() && missing.unwatched_until.is_some());
    let mut later = session();
    later.opened_at = UnixNs(u64::MAX);
    assert_eq!(processes.missing_of(&later), Missing::default());
}

#[test]
fn one_session_cannot_take_all_the_room() {
    let mut tell = Teller::default();
    let mut processes = Processes::default();
    let most = u32::try_from(OF_SESSION_MAX).unwrap();
    for pid in 1..most + 10 {
        processes.apply(&tell.fork(SSHD, (pid + 100, 1_000)));
    }
    assert_eq!(processes.count, OF_SESSION_MAX);
    let missing = processes.missing_of(&session());
    assert_eq!(missing.untaken, 10);
    let mut other = tell.exec((5, 1_001), &["x"]);
    other.attribution.session = Some(session_id(9));
    processes.apply(&other);
    assert_eq!(processes.count, OF_SESSION_MAX + 1);
}

#[test]
fn arguments_are_cut_where_their_room_ends() {
    let mut tell = Teller::default();
    let long = "x".repeat(ARGUMENT_BYTES_MAX);
    let processes = all([tell.exec(WORK, &["echo", &long, "never"])]);
    let session = session();
    let found = processes.of_session(&session, None, false).next();
    let found = found.unwrap();
    let arguments = found.arguments.unwrap();
    let bytes: usize = arguments.argv.iter().map(|argument| argument.0.len()).sum();
    assert!(arguments.truncated && bytes <= ARGUMENT_BYTES_MAX);
    assert_eq!(arguments.argv.len(), 2);
}

#[test]
fn an_order_that_was_carried_out_ends_what_it_reached() {
    let mut tell = Teller::default();
    let mut processes = all(story(&mut tell));
    let receipt = Receipt {
        killed: 3,
        gone_at: Some(BASE),
        ..Receipt::new(
            OrderId::from_parts(BASE, 1),
            session_id(1),
            ContainMode::Kill,
            BASE,
        )
    };
    processes.apply(&tell.event(None, Action::Contained { receipt }));
    assert!(shown(&processes).is_empty());
}

/// As the disk has it after every change was written.
fn written(processes: &mut Processes, kept: &mut HashMap<(AgentName, ProcessKey), Node>) {
    for change in processes.take_changes() {
        match change {
            Change::Process(agent, key, Some(node)) => {
                kept.insert((agent, key), *node);
            }
            Change::Process(agent, key, None) => {
                assert!(kept.remove(&(agent, key)).is_some(), "{key:?}");
            }
            Change::Started(agent) => kept.retain(|(of, _), _| *of != agent),
            Change::Host(..) | Change::Job(..) => {}
        }
    }
}

#[test]
fn only_what_lives_is_written_and_that_is_enough() {
    let mut tell = Teller::default();
    let mut kept = HashMap::new();
    let mut processes = all(story(&mut tell));
    written(&mut processes, &mut kept);
    assert_eq!(kept.len(), 3);
    // Lived and ended in between: never written.
    processes.apply(&tell.fork(SHELL, (15, 92)));
    processes.apply(&tell.exit((15, 92)));
    processes.apply(&tell.exit(WORK));
    written(&mut processes, &mut kept);
    assert_eq!(kept.len(), 2);
    let (nodes, marks) = (kept.clone(), processes.hosts[&session().host].marks.clone());
    let mut again = Processes::restored(Kept {
        hosts: vec![(session().host, marks)],
        jobs: vec![],
        processes: nodes
            .into_iter()
            .map(|((agent, key), node)| (agent, key, node))
            .collect(),
    });
    assert_eq!(shown(&again), shown(&processes));
    // The end was followed before the restart, and the start is told after.
    let late = tell.exec(WORK, &["late"]);
    again.remember_end(&tell.exit(WORK));
    again.apply(&late);
    assert_eq!(shown(&again), shown(&processes));
}
