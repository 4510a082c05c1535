//! Real encodings, the same each time.

mod messages;
mod outside;

use std::{collections::BTreeMap, fs, path::Path};

use monitor_agent::{
    login::protocol::{Ask, Login, Principals, Request, VERSION, line},
    spool::{Reading, Spool},
};
use monitor_broker::krl::{Krl, SerialSet};
use monitor_collector::service::cursor::{Seal, Subject};
use monitor_common::{
    Connect, Credential, Exec, Exit, Fork, HostChange, Identity, Kind, LocalConnect, Memory,
    SessionEnded, Signal, Socket,
};
use monitor_ledger::{
    checkpoint,
    cosignature::CosigningKey,
    index::Numbers,
    intervals::Intervals,
    key::{LogKey, LogSigner},
    proof::Tree,
};
use monitor_model::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    contain::ContainMode,
    event::{
        Action, Attribution, Counted, Destination, Event, FileObject, GapCause, Lineage, NoSession,
        Operation, Process, Protocol, Receipt,
    },
    id::{AgentName, BootId, EventId, OrderId, SessionId, Source},
    session::{Binding, Credential as Opened, Session, SessionState},
    tenant::Owner,
    verdict::{Judgement, Verdict},
};
use monitor_proto::{encode_event, v1, v1::stream_request::Message};
use prost::Message as _;
use ssh_key::{
    certificate::{Builder, CertType},
    private::{Ed25519Keypair, KeypairData, PrivateKey},
};
use zerocopy::{FromZeros as _, IntoBytes as _};

const AT: UnixNs = UnixNs(1_700_000_000_123_456_789);

type Seeds = BTreeMap<String, Vec<u8>>;

/// A target's seeds: name and bytes.
pub(crate) fn of(target: &str) -> Seeds {
    match target {
        "record" => records(),
        "event" => events(),
        "upward" => upward(),
        "cursor" => cursor(),
        "spool" => spool(),
        "block" => block(),
        "records" => in_block(),
        "terms" => terms(),
        "hook" => hook(),
        "krl" => krl(),
        "note" => notes(),
        "configuration" => configuration(),
        "message" => messages::message(),
        "downward" => messages::downward(),
        "mask" => messages::mask(),
        "state" => messages::state(),
        "token" => outside::token(),
        "identity" => outside::identity(),
        "bundle" => outside::bundle(),
        "submission" => outside::submission(),
        "answer" => outside::answer(),
        "sigma" => outside::sigma(),
        "grant" => outside::grant(),
        "arguments" => outside::arguments(),
        "key" => outside::key(),
        "procfs" => outside::procfs(),
        _ => Seeds::new(),
    }
}

fn seeds<const N: usize>(pairs: [(&str, Vec<u8>); N]) -> Seeds {
    pairs
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect()
}

/// A record of a type, all zero but its header and what follows it.
macro_rules! record {
    ($type:ty, $kind:expr, $tail:expr, $set:expr) => {{
        let mut record = <$type>::new_zeroed();
        let tail: &[u8] = $tail;
        record.header.kind = $kind;
        record.header.abi = monitor_common::ABI_VERSION;
        record.header.size = u32::try_from(size_of::<$type>() + tail.len()).unwrap();
        record.header.sequence = 7;
        let set: fn(&mut $type) = $set;
        set(&mut record);
        let mut bytes = record.as_bytes().to_vec();
        bytes.extend_from_slice(tail);
        bytes
    }};
}

fn records() -> Seeds {
    seeds([
        (
            "exec",
            record!(Exec, Kind::EXEC, b"cat\0bin\0usr\0cat\0x\0", |exec| {
                exec.path.bytes = 12;
                exec.argv_bytes = 6;
            }),
        ),
        (
            "credential",
            record!(Credential, Kind::CREDENTIAL, b"key\0srv\0", |credential| {
                credential.path.bytes = 8;
                credential.count = 59_744;
            }),
        ),
        ("fork", record!(Fork, Kind::FORK, b"", |_| {})),
        ("exit", record!(Exit, Kind::EXIT, b"", |_| {})),
        ("connect", record!(Connect, Kind::CONNECT, b"", |_| {})),
        (
            "local-connect",
            record!(LocalConnect, Kind::LOCAL_CONNECT, b"", |_| {}),
        ),
        ("socket", record!(Socket, Kind::SOCKET, b"", |_| {})),
        ("memory", record!(Memory, Kind::MEMORY, b"", |_| {})),
        ("identity", record!(Identity, Kind::IDENTITY, b"", |_| {})),
        ("signal", record!(Signal, Kind::SIGNAL, b"", |_| {})),
        (
            "host-change",
            record!(HostChange, Kind::HOST_CHANGE, b"", |_| {}),
        ),
        (
            "session-ended",
            record!(SessionEnded, Kind::SESSION_ENDED, b"", |_| {}),
        ),
    ])
}

fn session_id() -> SessionId {
    SessionId::from_parts(AT, 5)
}

fn object() -> FileObject {
    FileObject {
        device: 0x0010_0001,
        inode: 42,
        generation: 7,
        path: label(b"/srv/acme/kubeconfig"),
    }
}

fn label(text: &[u8]) -> PathLabel {
    PathLabel {
        text: ByteText(text.to_vec()),
        truncated: false,
    }
}

fn attribution() -> Attribution {
    Attribution {
        session: Some(session_id()),
        principal: Some("alice".parse().unwrap()),
        tenant: Some("acme".parse().unwrap()),
        grants: vec!["g1".parse().unwrap()],
        lineage: Lineage::Kernel,
        reason: None,
        way: Vec::new(),
    }
}

fn event(sequence: u64, action: Action) -> Event {
    Event {
        id: EventId {
            agent: AgentName::new("jump-1").unwrap(),
            boot: BootId::from_parts(AT, 9),
            source: Source::Priority { cpu: 1 },
            sequence,
        },
        at: AT,
        boot_ns: 5_000_000_000,
        process: Some(Process {
            pid: 7,
            tid: 7,
            comm: ByteText(b"cat".to_vec()),
            exe: Some(label(b"/usr/bin/cat")),
            ..Process::default()
        }),
        attribution: attribution(),
        action,
    }
}

fn session() -> Session {
    Session {
        id: session_id(),
        host: AgentName::new("jump-1").unwrap(),
        account: "ops".into(),
        principal: Some("alice".parse().unwrap()),
        tenant: Some("acme".parse().unwrap()),
        grants: vec!["g1".parse().unwrap()],
        ticket: "INC-1".into(),
        tier: None,
        credential: Opened::SshCertificate {
            serial: 12,
            key_id: "v1;eng=alice".into(),
            ca_fingerprint: "SHA256:a".into(),
            key_fingerprint: "SHA256:b".into(),
        },
        peer: Some("fd00::1".parse().unwrap()),
        peer_port: 50_000,
        leader_pid: 99,
        binding: Binding::Certificate,
        way: Vec::new(),
        audit_session: Some(3),
        opened_at: AT,
        ended_at: None,
        adopted: false,
        state: SessionState::Live,
        frozen: None,
    }
}

fn receipt() -> Receipt {
    Receipt {
        order: OrderId::from_parts(AT, 1),
        session: session_id(),
        mode: ContainMode::Kill,
        killed: 5,
        left: 0,
        frozen: 4,
        asleep: 0,
        released: 0,
        sockets_closed: 2,
        told: 1,
        received_at: AT,
        denied_at: AT,
        frozen_at: Some(AT),
        gone_at: Some(AT),
        released_at: None,
        expired: None,
        foreign: None,
        unstored: true,
    }
}

fn all_events() -> Vec<(&'static str, Event)> {
    let exec = Action::Exec {
        exe: object(),
        argv: vec![ByteText(b"cat".to_vec()), ByteText(b"\xff".to_vec())],
        argv_bytes: 6,
        argv_truncated: false,
        redacted: 1,
        argv_digest: Some(3),
        script: Some(object()),
        given: ByteText(b"./cat".to_vec()),
        interpreter: ByteText::default(),
    };
    let connect = Action::Connect {
        destination: Destination {
            address: "10.20.0.10".parse().unwrap(),
            port: 8_080,
            protocol: Protocol::Other(132),
            interface: Some("mon-acme".into()),
            interface_index: 4,
            net_ns: 4_026_531_840,
            net_ns_name: None,
            mark: 1,
        },
        denied: false,
        scope: Some(9),
    };
    let credential = Action::Credential {
        object: object(),
        class: "kubeconfig".into(),
        tenant: Some("acme".parse().unwrap()),
        tier: None,
        technique: Some("T1552.001".into()),
        operation: Operation::Read,
        flags: 0o100_000,
        other: None,
        denied: false,
        expected: None,
        injected: false,
        key: None,
        counted: Some(Counted {
            acts: 59_744,
            first_at: UnixNs(1),
        }),
    };
    let gap = Action::Gap {
        source: Source::Bulk { cpu: 3 },
        first: 5,
        last: 9,
        cause: GapCause::RingFull,
    };
    let opened = Action::SessionOpened {
        session: Box::new(session()),
    };
    let mut nobody = event(6, Action::Exit { status: 256 });
    nobody.attribution = Attribution::none(NoSession::NoMark);
    nobody.process = None;
    vec![
        ("exec", event(1, exec)),
        ("connect", event(2, connect)),
        ("credential", event(3, credential)),
        ("gap", event(4, gap)),
        ("session-opened", event(5, opened)),
        ("exit", nobody),
    ]
}

fn events() -> Seeds {
    let all = all_events().into_iter();
    all.map(|(name, event)| (name.to_owned(), encode_event(&event)))
        .collect()
}

fn batch() -> v1::Batch {
    v1::Batch {
        number: 3,
        events: events().into_values().collect(),
    }
}

fn upward() -> Seeds {
    let request = |message| v1::StreamRequest {
        message: Some(message),
    };
    let hello = v1::Hello {
        version: "0.1.0".to_owned(),
        boot: BootId::from_parts(AT, 9).to_bytes().to_vec(),
        hooks: Vec::new(),
        instance: vec![5; 16],
        keeps_list: true,
        inspects: true,
        beat_ms: 1_000,
    };
    let list = v1::ListInPlace {
        number: Some(7),
        at_unix_ns: AT.0,
        problem: "the folder can be written by others".to_owned(),
    };
    let alive = v1::Alive {
        unseen_ms: 500,
        unhooked: vec!["exec".to_owned()],
    };
    seeds([
        ("hello", request(Message::Hello(hello)).encode_to_vec()),
        ("batch", request(Message::Batch(batch())).encode_to_vec()),
        (
            "receipt",
            request(Message::Receipt(v1::Receipt::from(&receipt()))).encode_to_vec(),
        ),
        ("list", request(Message::List(list)).encode_to_vec()),
        (
            "inspected",
            request(Message::Inspected(inspected())).encode_to_vec(),
        ),
        ("alive", request(Message::Alive(alive)).encode_to_vec()),
        (
            "leaving",
            request(Message::Leaving(v1::Leaving {})).encode_to_vec(),
        ),
    ])
}

fn inspected() -> v1::InspectAnswer {
    let object = |path: &[u8]| v1::FileObject {
        device: 8,
        inode: 42,
        generation: 1,
        path: Some(v1::PathLabel {
            text: path.to_vec(),
            truncated: false,
        }),
    };
    let end = |port| v1::SocketAddress {
        address: vec![10, 0, 0, 1],
        port,
    };
    let socket = v1::OpenDescriptor {
        number: 3,
        kind: v1::DescriptorKind::Socket.into(),
        object: Some(object(b"socket:[42]")),
        reads: true,
        writes: true,
        credential: None,
        socket: Some(v1::OpenSocket {
            protocol: v1::SocketProtocol::Tcp.into(),
            state: v1::ConnectionState::Established.into(),
            local: Some(end(40_000)),
            peer: Some(end(22)),
            name: Vec::new(),
        }),
    };
    let file = v1::OpenDescriptor {
        number: 4,
        kind: v1::DescriptorKind::File.into(),
        object: Some(object(b"/srv/globex/kubeconfig")),
        credential: Some(v1::OpenCredential {
            class: "kubeconfig".to_owned(),
            tenant: "globex".to_owned(),
            tier: v1::Tier::Production.into(),
        }),
        ..v1::OpenDescriptor::default()
    };
    let process = v1::SeenProcess {
        pid: 7,
        start_boot_ns: 70,
        state: v1::ProcessState::Frozen.into(),
        exe: Some(object(b"/usr/bin/ssh")),
        ids: Some(v1::Ids::default()),
        namespaces: vec![v1::SeenNamespace {
            kind: v1::NamespaceKind::Network.into(),
            inode: 9,
        }],
        descriptors: vec![socket, file],
        more_descriptors: 2,
        ..v1::SeenProcess::default()
    };
    let snapshot = v1::SessionSnapshot {
        session: SessionId::from_parts(AT, 3).to_bytes().to_vec(),
        taken_at_unix_ns: AT.0,
        stance: v1::SessionStance::Frozen.into(),
        processes: vec![process],
        more_processes: 1,
    };
    v1::InspectAnswer {
        question: 5,
        answer: Some(v1::inspect_answer::Answer::Snapshot(snapshot)),
    }
}

fn cursor() -> Seeds {
    let identity = "monitor://soc/soc".parse().unwrap();
    let subject = Subject::new(&identity, &v1::EventFilter::default(), true);
    let text = Seal::new([7; 32]).cursor(&subject, AT);
    seeds([("cursor", text.into_bytes())])
}

fn spool() -> Seeds {
    let attribution = v1::Attribution::from(&attribution()).encode_to_vec();
    let ahead = [9_u64, 11].map(u64::to_le_bytes).concat();
    let row = |table: u8, row: Vec<u8>| [vec![table], row].concat();
    seeds([
        ("batch", row(0, batch().encode_to_vec())),
        ("numbers", row(0, numbers())),
        (
            "session",
            row(1, v1::Session::from(&session()).encode_to_vec()),
        ),
        (
            "receipt",
            row(2, v1::Receipt::from(&receipt()).encode_to_vec()),
        ),
        ("job", row(3, attribution.clone())),
        ("writing", row(4, attribution)),
        ("stream", row(5, ahead)),
    ])
}

/// What an agent keeps beside a batch of these events.
fn numbers() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let boot = BootId::from_parts(AT, 9);
    let (mut spool, _) = Spool::open(&path, boot, 1 << 30).unwrap();
    let events = all_events();
    let reading = Reading {
        events: events.iter().map(|(_, event)| event.into()).collect(),
        ..Reading::default()
    };
    spool.append(&reading).unwrap();
    let hand = rusqlite::Connection::open(&path).unwrap();
    hand.query_row("SELECT holds FROM batches", [], |row| row.get(0))
        .unwrap()
}

fn judgement() -> Vec<u8> {
    let judgement = Judgement {
        verdict: Verdict::InScope {
            grant: "g1".parse().unwrap(),
        },
        owner: Owner::Tenant("acme".parse().unwrap()),
        ledger: "acme".parse().unwrap(),
        considered: Vec::new(),
        custodian: None,
        facts: Vec::new(),
        policy_version: "3 abc".to_owned(),
    };
    v1::Judgement::from(&judgement).encode_to_vec()
}

/// Records as a block has them before it is compressed.
fn plain() -> Vec<u8> {
    let judgement = judgement();
    let mut plain = Vec::new();
    for event in events().into_values() {
        plain.extend(AT.0.to_be_bytes());
        for part in [&event, &judgement] {
            plain.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            plain.extend(part);
        }
    }
    plain
}

fn in_block() -> Seeds {
    seeds([("records", plain())])
}

fn block() -> Seeds {
    seeds([("block", zstd::bulk::compress(&plain(), 3).unwrap())])
}

fn terms() -> Seeds {
    let mut held = Intervals::default();
    for (first, last) in [(1, 5), (9, 9), (1_000, 70_000)] {
        held.insert_range(first, last);
    }
    seeds([
        ("numbers", Numbers::from(&held).to_bytes()),
        ("codes", [-3_i64, 8].map(i64::to_be_bytes).concat()),
        ("blocks", vec![0, 1, 127, 0x80, 1]),
    ])
}

/// A user certificate of a CA whose key is known to everybody.
fn certificate() -> (String, String) {
    let pair = |seed: u8| Ed25519Keypair::from_seed(&[seed; 32]);
    let ca = PrivateKey::new(KeypairData::from(pair(1)), "ca").unwrap();
    let user = PrivateKey::new(KeypairData::from(pair(2)), "alice").unwrap();
    let nonce = [3; 16];
    let public = user.public_key().key_data().clone();
    let mut builder = Builder::new(nonce, public, 1_700_000_000, 1_800_000_000).unwrap();
    builder.serial(12).unwrap();
    builder.cert_type(CertType::User).unwrap();
    let key_id = "v1;eng=alice;tenant=acme;ticket=INC-1;tier=production;grant=g1";
    builder.key_id(key_id).unwrap();
    builder.valid_principal("acme-production").unwrap();
    let text = builder.sign(&ca).unwrap().to_openssh().unwrap();
    let (key_type, base64) = text.split_once(' ').unwrap();
    (key_type.to_owned(), base64.to_owned())
}

fn hook() -> Seeds {
    let (key_type, certificate) = certificate();
    let auth_info = format!("publickey {key_type} {certificate}\n");
    let login = Login {
        account: "ops".to_owned(),
        service: "sshd".to_owned(),
        remote_host: "192.0.2.7".to_owned(),
        connection: "192.0.2.7 50000 192.0.2.1 22".to_owned(),
        auth_info: auth_info.clone(),
    };
    let asked = |ask| {
        let version = VERSION;
        line(&Request { version, ask }).unwrap()
    };
    let principals = Principals {
        account: "ops".to_owned(),
        key_type,
        certificate,
    };
    seeds([
        ("open", asked(Ask::Open(login.clone()))),
        ("close", asked(Ask::Close(login))),
        ("principals", asked(Ask::Principals(principals))),
        ("auth-info", auth_info.into_bytes()),
    ])
}

fn krl() -> Seeds {
    let list = |ca: Option<Vec<u8>>, ranges| Krl {
        version: 7,
        generated_seconds: 1_700_000_000,
        comment: "monitor".to_owned(),
        ca,
        serials: SerialSet::from_ranges(ranges),
    };
    let scattered: Vec<(u64, u64)> = (1..60).map(|n| (n * 3, n * 3)).collect();
    let ca = || Some(vec![9; 51]);
    seeds([
        ("empty", list(None, Vec::new()).encode()),
        ("range", list(ca(), vec![(5, 900)]).encode()),
        ("bitmap", list(ca(), scattered).encode()),
        (
            "list",
            list(ca(), vec![(1, 1), (100_000, 100_000), (u64::MAX, u64::MAX)]).encode(),
        ),
    ])
}

/// The log whose notes the corpus has.
fn log() -> LogSigner {
    let key = LogKey::new("fuzz.example", &[9; 32]).unwrap();
    key.signer("acme").unwrap()
}

fn notes() -> Seeds {
    let log = log();
    let tree = Tree {
        size: 42,
        root: [5; 32],
    };
    let signed = checkpoint::sign(&log, &tree).unwrap();
    let witness = CosigningKey::new("witness.example", &[8; 32]).unwrap();
    let text = monitor_ledger::cosignature::text(&signed).unwrap();
    let lines = witness.cosign(&text, AT.as_seconds()).unwrap();
    seeds([
        ("checkpoint", signed.clone()),
        ("cosigned", [signed, lines].concat()),
        ("log-key", log.verifier().as_str().as_bytes().to_vec()),
        (
            "witness-key",
            witness.verifier().as_str().as_bytes().to_vec(),
        ),
    ])
}

fn configuration() -> Seeds {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let of = |program: &str| fs::read(root.join(program).join("src/config/default.toml")).unwrap();
    // It signs for none that nobody named.
    let table = format!("\n[[log]]\nkey = {:?}\n", log().verifier().as_str());
    let witness = [of("monitor-witness"), table.into_bytes()].concat();
    let directory = b"[[engineer]]\nid = \"alice\"\naccounts = [\"alice\"]\n[[workload]]\nid = \"backup\"\nunit = \"restic.service\"\nowner = \"bob\"\npurpose = \"nightly\"\nexpires = 2099-01-31T00:00:00Z\n";
    seeds([
        ("agent", of("monitor-agent")),
        ("broker", of("monitor-broker")),
        ("collector", of("monitor-collector")),
        ("witness", witness),
        ("directory", directory.to_vec()),
    ])
}
