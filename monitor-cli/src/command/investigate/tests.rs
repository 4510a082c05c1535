use monitor_model::{
    alert::{Alert, AlertState, Response, Severity},
    bytes::PathLabel,
    clock::UnixNs,
    event::{
        Action, Attribution, Carrier, Destination, Event, FileObject, Lineage, Operation, Process,
        Protocol, Step as WayStep,
    },
    id::SessionId,
    revocation::{Affected, Cause, Order, Outcome, Revoked, Target, Times},
    session::{Binding, Credential, Session, SessionState},
    tenant::Owner,
    verdict::{Judgement, OutReason, Verdict},
};

use super::{
    dot,
    fetch::{Asked, Material},
    graph::{Graph, LAYER_NODES_MAX, Layer},
    steps::StepKind,
    story::{Story, concerned},
    svg,
    uses::{Grade, Touched, USES_MAX, logins, touched},
};

const BOOT: &str = "01JG3Y2E8QW0X9V5T4R3S2H8J9";
const FIRST: &str = "01JG3Y2E8QW0X9V5T4R3S2A1B0";
const SECOND: &str = "01JG3Y2E8QW0X9V5T4R3S2A1C0";

fn id(text: &str) -> SessionId {
    text.parse().unwrap()
}

fn asked() -> Asked {
    Asked {
        engineer: "alice".parse().unwrap(),
        since: UnixNs(1_000),
        until: UnixNs(2_000),
    }
}

fn session(text: &str, principal: &str, opened_at: u64) -> Session {
    Session {
        id: id(text),
        host: "jump-1".parse().unwrap(),
        account: "ops".into(),
        principal: Some(principal.parse().unwrap()),
        binding: Binding::Certificate,
        way: Vec::new(),
        tenant: Some("acme".parse().unwrap()),
        grants: Vec::new(),
        ticket: String::new(),
        tier: None,
        credential: Credential::Other {
            method: String::new(),
        },
        peer: None,
        peer_port: 0,
        leader_pid: 1,
        audit_session: None,
        adopted: false,
        opened_at: UnixNs(opened_at),
        ended_at: None,
        state: SessionState::Live,
        frozen: None,
    }
}

/// A login of bob over ssh from alice's session.
fn hop() -> Session {
    let mut hop = session(SECOND, "bob", 1_100);
    hop.way = vec![WayStep {
        carrier: Carrier::SshHop,
        name: "127.0.0.1:4000".into(),
        at: None,
        session: Some(id(FIRST)),
    }];
    hop
}

fn judged(owner: &str) -> Judgement {
    Judgement {
        verdict: Verdict::OutOfScope {
            reason: OutReason::WrongTenant,
            grant: None,
        },
        owner: Owner::Tenant(owner.parse().unwrap()),
        ledger: owner.parse().unwrap(),
        considered: Vec::new(),
        custodian: None,
        facts: Vec::new(),
        policy_version: "1".into(),
    }
}

/// Something that a process (number, parent) did at a time.
fn event(at: u64, (pid, parent_pid): (u32, u32), action: Action) -> Event {
    Event {
        id: format!("jump-1/{BOOT}/p0/{at}").parse().unwrap(),
        at: UnixNs(at),
        boot_ns: at,
        process: Some(Process {
            pid,
            parent_pid,
            start_boot_ns: u64::from(pid),
            ..Process::default()
        }),
        attribution: Attribution {
            session: Some(id(FIRST)),
            principal: Some("alice".parse().unwrap()),
            tenant: Some("acme".parse().unwrap()),
            grants: Vec::new(),
            lineage: Lineage::Kernel,
            reason: None,
            way: Vec::new(),
        },
        action,
    }
}

fn read(at: u64, process: (u32, u32), path: &str, operation: Operation) -> (Event, Judgement) {
    let action = Action::Credential {
        object: FileObject {
            device: 1,
            inode: 2,
            generation: 3,
            path: PathLabel {
                text: path.into(),
                truncated: false,
            },
        },
        class: "kubeconfig".into(),
        tenant: Some("globex".parse().unwrap()),
        tier: None,
        technique: None,
        operation,
        other: None,
        denied: false,
        flags: 0,
        expected: None,
        injected: false,
        key: None,
        counted: None,
    };
    (event(at, process, action), judged("globex"))
}

fn connect(at: u64, process: (u32, u32), denied: bool) -> (Event, Judgement) {
    let action = Action::Connect {
        destination: Destination {
            address: "10.30.0.5".parse().unwrap(),
            port: 443,
            protocol: Protocol::Tcp,
            interface: None,
            interface_index: 0,
            net_ns: 0,
            net_ns_name: None,
            mark: 0,
        },
        denied,
        scope: None,
    };
    (event(at, process, action), judged("globex"))
}

fn fork(at: u64, process: (u32, u32), child_pid: u32) -> (Event, Judgement) {
    let action = Action::Fork {
        child_pid,
        child_start_boot_ns: u64::from(child_pid),
    };
    (event(at, process, action), judged("acme"))
}

fn used(events: &[(Event, Judgement)]) -> Vec<(Grade, u64)> {
    let found: Vec<Touched> = touched(events);
    assert_eq!(found.len(), 1, "one credential");
    found[0]
        .uses
        .iter()
        .map(|one| (one.grade, one.at.0))
        .collect()
}

const KEY: &str = "/srv/globex/kubeconfig";

/// What it is, what happened, and the uses that it makes.
type Case = (&'static str, Vec<(Event, Judgement)>, Vec<(Grade, u64)>);

#[test]
fn a_use_is_graded_by_who_connected_and_when() {
    let opened = read(1_010, (10, 5), KEY, Operation::Read);
    let cases: [Case; 7] = [
        (
            "the same process, after",
            vec![opened.clone(), connect(1_020, (10, 5), false)],
            vec![(Grade::SameProcess, 1_020)],
        ),
        (
            "a grandchild, by what was told when they were made",
            vec![
                opened.clone(),
                fork(1_011, (10, 5), 20),
                fork(1_012, (20, 10), 30),
                // Its parent is gone: process 1 took it over.
                connect(1_020, (30, 1), false),
            ],
            vec![(Grade::Descendant, 1_020)],
        ),
        (
            "a child whose making was not told, by its parent's number",
            vec![opened.clone(), connect(1_020, (20, 10), false)],
            vec![(Grade::Descendant, 1_020)],
        ),
        (
            "ssh: it connects first",
            vec![connect(1_005, (10, 5), false), opened.clone()],
            vec![(Grade::SameProcessBefore, 1_005)],
        ),
        (
            "a child that connected before it was opened",
            vec![connect(1_005, (20, 10), false), opened.clone()],
            vec![],
        ),
        (
            "somebody else of the session, where there is nothing surer",
            vec![opened.clone(), connect(1_020, (40, 5), false)],
            vec![(Grade::LaterInSession, 1_020)],
        ),
        (
            "what is surer hides what is not",
            vec![
                opened.clone(),
                connect(1_020, (40, 5), false),
                connect(1_030, (10, 5), false),
            ],
            vec![(Grade::SameProcess, 1_030)],
        ),
    ];
    for (what, events, wanted) in cases {
        assert_eq!(used(&events), wanted, "{what}");
    }
}

#[test]
fn of_many_uses_the_first_of_the_surest_are_told_and_the_rest_is_counted() {
    let mut events = vec![read(1_010, (10, 5), KEY, Operation::Read)];
    let many = u64::try_from(USES_MAX).unwrap();
    events.extend((0..many).map(|n| connect(1_100 + n, (20, 10), false)));
    events.extend((0..many).map(|n| connect(1_500 + n, (10, 5), false)));
    let found = touched(&events);
    assert_eq!(
        (found[0].uses.len(), found[0].uses_more),
        (USES_MAX, USES_MAX)
    );
    assert!(
        found[0]
            .uses
            .iter()
            .all(|one| one.grade == Grade::SameProcess)
    );
    assert_eq!(found[0].uses[0].at.0, 1_500);
}

#[test]
fn what_was_refused_or_lets_nothing_out_is_no_use() {
    let opened = read(1_010, (10, 5), KEY, Operation::Read);
    assert_eq!(used(&[opened, connect(1_020, (10, 5), true)]), []);
    let removed = read(1_010, (10, 5), KEY, Operation::Removed);
    assert_eq!(used(&[removed, connect(1_020, (10, 5), false)]), []);
    let mut elsewhere = connect(1_020, (10, 5), false);
    elsewhere.0.id = "jump-2/01JG3Y2E8QW0X9V5T4R3S2H8J9/p0/1".parse().unwrap();
    let opened = read(1_010, (10, 5), KEY, Operation::Read);
    assert_eq!(used(&[opened, elsewhere]), [], "another host's process 10");
}

#[test]
fn a_login_with_a_key_that_was_read_is_told_whoever_made_it() {
    let mut opened = read(1_010, (10, 5), KEY, Operation::Read);
    if let Action::Credential { key, .. } = &mut opened.0.action {
        *key = Some("SHA256:stolen".into());
    }
    let with = |text: &str, key: &str, opened_at: u64| {
        let mut session = session(text, "mallory", opened_at);
        session.host = "jump-9".parse().unwrap();
        session.credential = Credential::SshKey {
            key_fingerprint: key.into(),
        };
        session
    };
    let mut found = touched(&[opened]);
    let sessions = [
        with(SECOND, "SHA256:stolen", 1_500),
        with(FIRST, "SHA256:stolen", 1_009),
        with("01JG3Y2E8QW0X9V5T4R3S2A1D0", "SHA256:other", 1_500),
    ];
    logins(&mut found, &sessions);
    assert_eq!(found[0].logins, [id(SECOND)]);
}

#[test]
fn a_process_that_is_its_own_parent_ends_the_search() {
    let opened = read(1_010, (50, 5), KEY, Operation::Read);
    let circle = [
        opened,
        fork(1_011, (10, 20), 20),
        fork(1_012, (20, 10), 10),
        connect(1_020, (10, 20), false),
    ];
    assert_eq!(used(&circle), [(Grade::LaterInSession, 1_020)]);
}

#[test]
fn sessions_opened_from_the_engineers_belong_to_the_story_in_whatever_name() {
    let mut old = session("01JG3Y2E8QW0X9V5T4R3S2A1D0", "alice", 10);
    old.ended_at = Some(UnixNs(900));
    let late = session("01JG3Y2E8QW0X9V5T4R3S2A1E0", "alice", 2_000);
    let foreign = session("01JG3Y2E8QW0X9V5T4R3S2A1F0", "carol", 1_100);
    let all = [hop(), late, old, foreign, session(FIRST, "alice", 500)];
    let told: Vec<SessionId> = concerned(&all, &asked()).iter().map(|one| one.id).collect();
    assert_eq!(told, [id(FIRST), id(SECOND)]);
}

fn alert() -> Alert {
    Alert {
        id: "01JG3Y2E8QW0X9V5T4R3S2F6G7".parse().unwrap(),
        rule: "out".into(),
        rule_version: 1,
        title: String::new(),
        technique: String::new(),
        attack_version: String::new(),
        controls: Vec::new(),
        severity: Severity::High,
        at: UnixNs(1_021),
        event_at: UnixNs(1_020),
        event: format!("jump-1/{BOOT}/p0/1020").parse().unwrap(),
        events: Vec::new(),
        host: "jump-1".parse().unwrap(),
        session: Some(id(FIRST)),
        principal: Some("alice".parse().unwrap()),
        tenant: Some("acme".parse().unwrap()),
        ledger: "globex".parse().unwrap(),
        sentence: "alice connected".into(),
        response: Response::Revoke,
        observed: false,
        order: None,
        count: 1,
        tenants: Vec::new(),
        state: AlertState::Open,
        steps: Vec::new(),
    }
}

/// An order of this time against a session of the story.
fn order(ordered: u64) -> Order {
    let cause = Cause {
        text: "key stolen".into(),
        alert: None,
        event: None,
        initiator: "soc/carol".into(),
    };
    Order {
        sessions: vec![Affected {
            principal: Some("alice".parse().unwrap()),
            serial: Some(7),
            gone_at: Some(UnixNs(ordered + 40)),
            killed: 3,
            ..Affected::new(id(FIRST), "jump-1".parse().unwrap())
        }],
        revoked: vec![Revoked {
            serial: Some(7),
            grant: Some("01JG".parse().unwrap()),
            outcome: Outcome::Revoked,
            at: UnixNs(ordered + 50),
        }],
        attempts: 1,
        times: Times {
            ordered: Some(UnixNs(ordered)),
            broker_answered: Some(UnixNs(ordered + 51)),
            ..Times::default()
        },
        ..Order::new(
            "01JG3Y2E8QW0X9V5T4R3S2D4E5".parse().unwrap(),
            Target::Grant("01JG".parse().unwrap()),
            cause,
        )
    }
}

fn material() -> Material {
    let mut early = alert();
    early.event_at = UnixNs(999);
    early.id = "01JG3Y2E8QW0X9V5T4R3S2F6G8".parse().unwrap();
    Material {
        asked: asked(),
        sessions: vec![hop(), session(FIRST, "alice", 500)],
        events: vec![
            connect(1_020, (10, 5), false),
            read(1_010, (10, 5), KEY, Operation::Read),
            fork(1_005, (5, 1), 10),
        ],
        alerts: vec![alert(), early],
        // Given after the time that was asked for: it says what became of it.
        orders: vec![order(3_000), order(900)],
        missing: vec!["something".into()],
    }
}

#[test]
fn a_story_tells_in_order_what_happened_was_alerted_and_revoked() {
    let story = Story::of(material());
    let told: Vec<(u64, StepKind, &str)> = story
        .timeline
        .iter()
        .map(|step| (step.at.0, step.step, step.what.as_str()))
        .collect();
    let order = "order 01JG3Y2E8QW0X9V5T4R3S2D4E5:";
    let wanted = [
        (
            1_010,
            StepKind::Event,
            "read /srv/globex/kubeconfig (kubeconfig)".to_owned(),
        ),
        (
            1_020,
            StepKind::Event,
            "connected to 10.30.0.5:443 tcp".to_owned(),
        ),
        (
            1_021,
            StepKind::Alert,
            "high alert [out]: alice connected".to_owned(),
        ),
        (
            3_000,
            StepKind::Revocation,
            format!("{order} given against grant 01JG by soc/carol: key stolen"),
        ),
        (
            3_040,
            StepKind::Revocation,
            format!("{order} session gone, 3 processes killed"),
        ),
        (
            3_050,
            StepKind::Revocation,
            format!("{order} certificate 7 of grant 01JG: revoked"),
        ),
        (
            3_051,
            StepKind::Revocation,
            format!("{order} the broker answered"),
        ),
    ];
    let wanted: Vec<(u64, StepKind, &str)> = wanted
        .iter()
        .map(|(at, step, what)| (*at, *step, what.as_str()))
        .collect();
    assert_eq!(told, wanted);
    assert_eq!(story.sessions[1].opened_from, Some(id(FIRST)));
    assert_eq!((story.alerts.len(), story.orders.len()), (1, 1));
    let reached = &story.tenants[0];
    assert_eq!(
        (
            reached.owner.as_str(),
            reached.connections,
            reached.credential_uses
        ),
        ("globex", 1, 1)
    );
    assert_eq!(story.missing, ["something"]);
}

fn labels(graph: &Graph, layer: Layer) -> Vec<&str> {
    let of_layer = graph.nodes.iter().filter(|node| node.layer == layer);
    of_layer.map(|node| node.label.as_str()).collect()
}

#[test]
fn the_graph_leads_from_the_engineer_to_whose_things_were_touched() {
    let graph = Graph::of(&Story::of(material()));
    assert_eq!(labels(&graph, Layer::Engineer), ["alice"]);
    assert_eq!(
        labels(&graph, Layer::Session),
        ["S2A1B0 for acme", "S2A1C0 for acme"]
    );
    assert_eq!(labels(&graph, Layer::Tenant), ["globex"]);
    let at = |label: &str| {
        graph
            .nodes
            .iter()
            .position(|node| node.label == label)
            .unwrap()
    };
    let edges: Vec<(usize, usize, &str)> = graph
        .edges
        .iter()
        .map(|edge| (edge.from, edge.to, edge.label))
        .collect();
    let key = at("/srv/globex/kubeconfig (kubeconfig)");
    for wanted in [
        (at("alice"), at("S2A1B0 for acme"), ""),
        (at("S2A1B0 for acme"), at("S2A1C0 for acme"), "ssh"),
        (at("S2A1B0 for acme"), at("jump-1"), ""),
        (at("jump-1"), key, ""),
        (key, at("10.30.0.5:443 of globex"), "same process"),
        (at("10.30.0.5:443 of globex"), at("globex"), ""),
    ] {
        assert!(edges.contains(&wanted), "{wanted:?} of {edges:?}");
    }
    let hop_from_engineer = (at("alice"), at("S2A1C0 for acme"), "");
    assert!(!edges.contains(&hop_from_engineer), "{edges:?}");
}

#[test]
fn a_full_layer_ends_with_how_many_more_there_are() {
    let mut material = material();
    material.events = (0..200u8)
        .map(|last| {
            let (mut event, judgement) = connect(1_000 + u64::from(last), (10, 5), false);
            if let Action::Connect { destination, .. } = &mut event.action {
                destination.address = [10, 0, 0, last].into();
            }
            (event, judgement)
        })
        .collect();
    let graph = Graph::of(&Story::of(material));
    let destinations = labels(&graph, Layer::Destination);
    assert_eq!(destinations.len(), LAYER_NODES_MAX);
    assert_eq!(destinations.last(), Some(&"141 more"));
}

/// A story whose names try to break out of whatever they are written into.
fn hostile() -> Graph {
    let mut material = material();
    let path = "/srv/\"];evil[label=\"<script>alert(1)</script>&'\\\n\u{ffff}";
    material.events = vec![read(1_010, (10, 5), path, Operation::Read)];
    Graph::of(&Story::of(material))
}

#[test]
fn no_name_breaks_out_of_the_graph_in_graphviz_language() {
    let text = dot::text(&hostile());
    assert!(text.starts_with("digraph blast_radius {\n") && text.ends_with("}\n"));
    let line = text.lines().find(|line| line.contains("evil")).unwrap();
    // Every quote of the name is escaped, so there are two that are not.
    let mut bare = 0;
    let mut escaped = false;
    for c in line.chars() {
        match (c, escaped) {
            ('\\', false) => escaped = true,
            ('"', false) => bare += 1,
            _ => escaped = false,
        }
    }
    assert_eq!(bare, 2, "{line}");
    assert!(line.ends_with("color=red];"), "{line}");
}

#[test]
fn no_name_breaks_out_of_the_picture() {
    let text = svg::text(&hostile());
    assert!(text.ends_with("</svg>\n"));
    assert!(!text.contains("<script"), "{text}");
    assert!(
        text.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;"),
        "{text}"
    );
    assert!(!text.contains('\u{ffff}'));
    // Every tag is one of ours, and every one is closed.
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag
            .trim_start_matches('/')
            .split([' ', '/'])
            .next()
            .unwrap();
        assert!(
            ["?xml", "svg", "rect", "text", "g", "title", "path"].contains(&name),
            "{tag}"
        );
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name.to_owned()));
        } else if !tag.ends_with('/') && !tag.ends_with('?') {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn nodes_of_a_layer_do_not_lie_over_each_other() {
    let text = svg::text(&Graph::of(&Story::of(material())));
    let mut places: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("<rect x=")?.1.split(" width").next())
        .collect();
    let count = places.len();
    places.sort_unstable();
    places.dedup();
    assert_eq!((places.len(), count), (7, 7), "{text}");
}
