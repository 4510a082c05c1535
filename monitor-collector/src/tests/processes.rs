//! What lives in sessions, over the wire: by page, after restarts, for whom.

use monitor_model::{
    bytes::PathLabel,
    event::{Action, Attribution, Carrier, FileObject, NoSession, Process, Step},
    id::Source,
    live::{LiveSession, tree},
};
use monitor_proto::v1::{
    ListProcessesRequest, ListProcessesResponse, process_service_client::ProcessServiceClient,
};
use tonic::Code;

use super::*;
use crate::testing::{at_seconds, event, event_id, opened, session_id};

/// An event of a process of a session, the sequence its time.
fn of(session: u128, sequence: u64, (pid, start): (u32, u64), action: Action) -> Event {
    let mut event = event(
        event_id("jump-1", Source::Priority { cpu: 0 }, sequence),
        action,
    );
    event.boot_ns = 10_000 + sequence;
    event.attribution.session = Some(session_id(session));
    event.process = Some(Process {
        pid,
        start_boot_ns: start,
        ..Process::default()
    });
    event
}

fn exec(session: u128, sequence: u64, process: (u32, u64), argv: &[&str]) -> Event {
    let path = PathLabel {
        text: format!("/usr/bin/{}", argv[0]).as_str().into(),
        truncated: false,
    };
    let action = Action::Exec {
        exe: FileObject {
            device: 1,
            inode: 2,
            generation: 0,
            path,
        },
        argv: argv.iter().map(|argument| (*argument).into()).collect(),
        argv_bytes: 9,
        argv_truncated: false,
        redacted: 0,
        argv_digest: None,
        script: None,
        given: "".into(),
        interpreter: "".into(),
    };
    of(session, sequence, process, action)
}

fn fork(session: u128, sequence: u64, parent: (u32, u64), child: (u32, u64)) -> Event {
    let action = Action::Fork {
        child_pid: child.0,
        child_start_boot_ns: child.1,
    };
    of(session, sequence, parent, action)
}

fn login(sequence: u64, session: u128, principal: &str, tenant: &str) -> Event {
    let id = event_id("jump-1", Source::Agent, sequence);
    let mut event = opened(id, session_id(session), principal, 7);
    if let Action::SessionOpened { session: login } = &mut event.action {
        login.tenant = Some(tenant.parse().unwrap());
        login.opened_at = at_seconds(u64::try_from(session).unwrap());
    }
    event
}

/// Alice works for acme; from there she logs in for globex.
fn story() -> Vec<Event> {
    let mut inner = login(2, 2, "alice", "globex");
    let hop = Step {
        carrier: Carrier::SshHop,
        name: "127.0.0.1:4000".into(),
        at: None,
        session: Some(session_id(1)),
    };
    if let Action::SessionOpened { session } = &mut inner.action {
        session.way = vec![hop];
    }
    vec![
        login(1, 1, "alice", "acme"),
        inner,
        fork(1, 1, (7, 10), (8, 20)),
        exec(1, 2, (8, 20), &["bash"]),
        fork(1, 3, (8, 20), (9, 30)),
        exec(1, 4, (9, 30), &["ssh", "localhost"]),
        exec(2, 5, (10, 40), &["dash"]),
    ]
}

async fn told(scene: &Scene, collector: &Collector, events: &[Event]) {
    let mut agent = Agent::connect(scene, collector, "jump-1").await;
    agent.send(1, events).await;
    agent.acked(1).await;
}

type Client = ProcessServiceClient<Channel>;

async fn client(scene: &Scene, collector: &Collector, identity: &str) -> Client {
    ProcessServiceClient::new(scene.dial(identity, collector).await)
}

/// Everything, in pages of a size; how many there were.
async fn pages(client: &mut Client, asked: &ListProcessesRequest) -> (Vec<LiveSession>, usize) {
    let mut all: Vec<LiveSession> = Vec::new();
    let (mut token, mut count) = (String::new(), 0);
    loop {
        let request = ListProcessesRequest {
            page_token: token,
            ..asked.clone()
        };
        let page: ListProcessesResponse =
            client.list_processes(request).await.unwrap().into_inner();
        count += 1;
        for live in page.sessions {
            let live: LiveSession = live.try_into().unwrap();
            match all.last_mut() {
                Some(last) if last.session.id == live.session.id => {
                    last.processes.extend(live.processes);
                }
                _ => all.push(live),
            }
        }
        token = page.next_page_token;
        if token.is_empty() {
            return (all, count);
        }
    }
}

async fn everything(client: &mut Client) -> Vec<LiveSession> {
    pages(client, &ListProcessesRequest::default()).await.0
}

/// Depth and number of each process.
fn shape(live: &LiveSession) -> Vec<(usize, u32)> {
    let places = tree(&live.processes).into_iter();
    places
        .map(|place| (place.depth, live.processes[place.index].key.pid))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lives_is_listed_whatever_the_pages_are() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    told(&scene, &collector, &story()).await;
    let mut soc = client(&scene, &collector, "monitor://soc/carol").await;
    let whole = everything(&mut soc).await;
    let ids: Vec<_> = whole.iter().map(|live| live.session.id).collect();
    assert_eq!(ids, [session_id(2), session_id(1)]);
    assert_eq!(shape(&whole[0]), [(0, 10)]);
    assert_eq!(shape(&whole[1]), [(0, 7), (1, 8), (2, 9)]);
    assert_eq!(whole[0].session.way[0].session, Some(session_id(1)));
    for (size, most) in [(1, 7), (2, 4), (3, 3), (1_000, 1)] {
        let asked = ListProcessesRequest {
            page_size: size,
            ..ListProcessesRequest::default()
        };
        let (found, count) = pages(&mut soc, &asked).await;
        let same = |live: &LiveSession| (live.session.id, live.processes.clone());
        assert_eq!(
            found.iter().map(same).collect::<Vec<_>>(),
            whole.iter().map(same).collect::<Vec<_>>(),
            "{size}"
        );
        assert!(count <= most, "{size}: {count}");
    }
    let narrowed = [
        ("principal", "bob", 0),
        ("tenant", "globex", 1),
        ("host", "jump-1", 2),
        ("host", "jump-9", 0),
    ];
    for (field, value, number) in narrowed {
        let mut asked = ListProcessesRequest::default();
        match field {
            "principal" => asked.principal = value.into(),
            "tenant" => asked.tenant = value.into(),
            _ => asked.host = value.into(),
        }
        assert_eq!(pages(&mut soc, &asked).await.0.len(), number, "{value}");
    }
    let wrong = ListProcessesRequest {
        page_token: "7.x".into(),
        ..ListProcessesRequest::default()
    };
    let refused = soc.list_processes(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let mut broker = client(&scene, &collector, "monitor://broker/b").await;
    let refused = broker.list_processes(ListProcessesRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lives_is_the_same_after_a_stop_and_after_a_crash() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    told(&scene, &collector, &story()).await;
    let mut agent = Agent::connect(&scene, &collector, "jump-1").await;
    // Changes the state of no session: the place that was followed stays.
    let more = [
        fork(1, 6, (8, 20), (11, 50)),
        exec(1, 7, (11, 50), &["sleep", "9"]),
        of(1, 8, (9, 30), Action::Exit { status: 0 }),
    ];
    agent.send(2, &more).await;
    agent.acked(2).await;
    let mut soc = client(&scene, &collector, "monitor://soc/carol").await;
    let before = everything(&mut soc).await;
    assert_eq!(shape(&before[1]), [(0, 7), (1, 8), (2, 11)]);
    let crashed = scene.path().join("crashed");
    snapshot(&scene.data_dir(), &crashed);
    drop((agent, soc));
    collector.drain().await;
    let bare = |lives: &[LiveSession]| {
        let part = |live: &LiveSession| (live.session.id, live.processes.clone());
        lives.iter().map(part).collect::<Vec<_>>()
    };
    for folder in [scene.data_dir(), crashed] {
        let mut config = scene.config("");
        config.data_dir = folder;
        let again = Collector::start(config, Arc::new(SystemClock))
            .await
            .unwrap();
        let mut soc = client(&scene, &again, "monitor://soc/carol").await;
        let after = everything(&mut soc).await;
        assert_eq!(bare(&after), bare(&before));
        assert!(after.iter().all(|live| live.missing.agent_away));
        // What comes late of one that ended raises nothing.
        told(&scene, &again, &[exec(1, 9, (9, 30), &["late"])]).await;
        assert_eq!(bare(&everything(&mut soc).await), bare(&before));
        drop(soc);
        again.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_sees_own_sessions_and_nothing_of_who_else_is_in_them() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut events = story();
    let mut steered = exec(1, 6, (9, 30), &["cat", "acme-secret"]);
    steered.attribution = Attribution {
        way: vec![Step {
            carrier: Carrier::Connection,
            name: "/tmp/acme.sock".into(),
            at: None,
            session: Some(session_id(1)),
        }],
        ..Attribution::none(NoSession::Ambiguous)
    };
    // The globex session's process is steered by the one of acme.
    let mut inner = steered.clone();
    inner.id.sequence = 7;
    inner.process.as_mut().unwrap().pid = 10;
    inner.process.as_mut().unwrap().start_boot_ns = 40;
    inner.boot_ns += 1;
    events.push(inner);
    told(&scene, &collector, &events).await;
    let mut auditor = client(&scene, &collector, "monitor://auditor/eve?tenant=globex").await;
    let found = everything(&mut auditor).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].session.id, session_id(2));
    let shown = format!("{found:?}");
    for secret in ["acme", "127.0.0.1:4000", &session_id(1).to_string()] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    let process = &found[0].processes[0];
    assert_eq!(
        (process.key.pid, process.reason, &process.exe),
        (10, Some(NoSession::Ambiguous), &None)
    );
    let foreign = ListProcessesRequest {
        tenant: "acme".into(),
        ..ListProcessesRequest::default()
    };
    assert!(pages(&mut auditor, &foreign).await.0.is_empty());
    // Who audits both sees how one came from the other.
    let both = "monitor://auditor/olga?tenant=globex&tenant=acme";
    let mut both = client(&scene, &collector, both).await;
    let found = everything(&mut both).await;
    assert_eq!(found[0].session.way[0].session, Some(session_id(1)));
}
