//! A session looked at on its host: who may, what is answered, what is entered.

use monitor_model::{
    clock::UnixNs,
    event::{Action, Ids},
    id::Source,
    inspect::{
        Descriptor, DescriptorKind, NotShown, OpenCredential, ProcessState, SeenProcess, Snapshot,
        Stance,
    },
    live::ProcessKey,
};
use monitor_proto::v1::{
    InspectAnswer, InspectCommand, InspectSessionRequest, InspectSessionResponse,
    inspect_answer::Answer, inspect_service_client::InspectServiceClient,
};
use tonic::Code;

use super::{reads::told, *};
use crate::testing::{event, event_id, opened, session_id};

/// Alice's session for acme.
fn login(sequence: u64, session: u128) -> Event {
    let id = event_id("jump-1", Source::Agent, sequence);
    let mut event = opened(id, session_id(session), "alice", 7);
    if let Action::SessionOpened { session: login } = &mut event.action {
        login.tenant = Some("acme".parse().unwrap());
    }
    event
}

fn snapshot(session: u128) -> Snapshot {
    let object = |path: &str| monitor_model::event::FileObject {
        device: 1,
        inode: 2,
        generation: 3,
        path: monitor_model::bytes::PathLabel {
            text: path.into(),
            truncated: false,
        },
    };
    let credential = OpenCredential {
        class: "kubeconfig".into(),
        tenant: Some("globex".parse().unwrap()),
        tier: None,
    };
    Snapshot {
        session: session_id(session),
        taken_at: UnixNs(5),
        stance: Stance::Frozen,
        processes: vec![SeenProcess {
            key: ProcessKey {
                start_boot_ns: 10,
                pid: 7,
            },
            started_at: UnixNs(4),
            parent_pid: 1,
            job: None,
            threads: 1,
            state: ProcessState::Frozen,
            exe: Some(object("/usr/bin/kubectl")),
            arguments: None,
            ids: Ids::default(),
            terminal: None,
            cwd: None,
            root: None,
            namespaces: Vec::new(),
            descriptors: vec![Descriptor {
                number: 3,
                kind: DescriptorKind::File,
                object: object("/srv/globex/kubeconfig"),
                reads: true,
                writes: false,
                credential: Some(credential),
                socket: None,
            }],
            more_descriptors: 0,
        }],
        more_processes: 3,
    }
}

async fn look(channel: &Channel, session: u128) -> Result<InspectSessionResponse, Status> {
    let mut client = InspectServiceClient::new(channel.clone());
    let request = InspectSessionRequest {
        session: session_id(session).to_bytes().to_vec(),
    };
    Ok(client.inspect_session(request).await?.into_inner())
}

/// The same, once the session is known: its login is acked before that.
async fn look_at_known(channel: &Channel, session: u128) -> Result<InspectSessionResponse, Status> {
    let known = async {
        loop {
            match look(channel, session).await {
                Err(status) if status.code() == Code::NotFound => tokio::task::yield_now().await,
                other => return other,
            }
        }
    };
    let answer = tokio::time::timeout(DEADLINE, known).await;
    answer.expect("the session did not come to be known in time")
}

/// The next question.
async fn asked(agent: &mut Agent) -> InspectCommand {
    agent
        .until(|message| match message {
            DownMessage::Inspect(command) => Some(command),
            DownMessage::Ack(_)
            | DownMessage::Grants(_)
            | DownMessage::Contain(_)
            | DownMessage::Deny(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_) => None,
        })
        .await
}

async fn answers(agent: &mut Agent, seen: &Result<Snapshot, NotShown>) -> InspectCommand {
    let command = asked(agent).await;
    let answer = Some(Answer::from(seen));
    let question = command.question;
    agent
        .say(Up::Inspected(InspectAnswer { question, answer }))
        .await;
    command
}

fn refusal(answer: Result<InspectSessionResponse, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_asked_and_each_look_is_in_the_ledgers_of_whom_it_shows() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let mut agent = Agent::inspecting(&scene, &collector, "jump-1").await;
    agent.send(1, &[login(1, 1)]).await;
    agent.acked(1).await;
    let sam = scene.dial("monitor://soc/sam", &collector).await;
    let looks = tokio::spawn({
        let sam = sam.clone();
        async move { look_at_known(&sam, 1).await }
    });
    let command = answers(&mut agent, &Ok(snapshot(1))).await;
    assert_eq!(command.session, session_id(1).to_bytes());
    let answer = looks.await.unwrap().unwrap();
    let seen = Snapshot::try_from(answer.snapshot.unwrap()).unwrap();
    assert_eq!(seen, snapshot(1));
    assert_eq!(answer.session.unwrap().principal, "alice");
    let entered = |ledger: &str| {
        let told = told(&scene.data_dir(), ledger);
        told.iter().any(|event| {
            matches!(&event.action, Action::Read { call, by, question, .. }
                if call == "InspectSession" && by.name.as_str() == "sam"
                    && question.contains(&session_id(1).to_string()))
        })
    };
    // The entry is on its way to the disk.
    for ledger in ["acme", "globex"] {
        eventually(async || entered(ledger).then_some(())).await;
    }
    assert!(!entered("provider"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_shown_anything_is_told_why() {
    let scene = Scene::new();
    let collector = scene.collector("").await;
    let sam = scene.dial("monitor://soc/sam", &collector).await;
    let (code, text) = refusal(look(&sam, 1).await);
    assert_eq!(code, Code::NotFound, "{text}");
    let eve = "monitor://auditor/eve?tenant=acme";
    let eve = scene.dial(eve, &collector).await;
    assert_eq!(refusal(look(&eve, 1).await).0, Code::PermissionDenied);

    // One that does not say that it answers is not asked.
    let mut old = Agent::connect(&scene, &collector, "jump-1").await;
    old.send(1, &[login(1, 1)]).await;
    old.acked(1).await;
    let (code, text) = refusal(look_at_known(&sam, 1).await);
    assert_eq!(code, Code::FailedPrecondition);
    assert!(text.contains("jump-1 is too old"), "{text}");
    assert_eq!(refusal(look(&eve, 1).await).0, Code::PermissionDenied);
    old.send(2, &[login(2, 2)]).await;
    loop {
        match old.next().await.unwrap().unwrap() {
            DownMessage::Inspect(_) => panic!("an old agent was asked"),
            DownMessage::Ack(ack) if ack.number == 2 => break,
            DownMessage::Ack(_)
            | DownMessage::Grants(_)
            | DownMessage::Contain(_)
            | DownMessage::Deny(_)
            | DownMessage::Scopes(_)
            | DownMessage::ScopeLease(_)
            | DownMessage::List(_) => {}
        }
    }
    drop(old);
    let away = async || {
        let (code, text) = refusal(look(&sam, 1).await);
        assert_eq!(code, Code::FailedPrecondition);
        text.contains("jump-1 is not connected").then_some(())
    };
    eventually(away).await;

    let mut agent = Agent::inspecting(&scene, &collector, "jump-1").await;
    for (why, wanted) in [
        (NotShown::Busy, Code::ResourceExhausted),
        (NotShown::Failed, Code::Internal),
        (NotShown::Unknown, Code::FailedPrecondition),
    ] {
        let looks = tokio::spawn({
            let sam = sam.clone();
            async move { look(&sam, 1).await }
        });
        answers(&mut agent, &Err(why)).await;
        assert_eq!(refusal(looks.await.unwrap()).0, wanted);
    }
    // The stream goes while somebody waits.
    let looks = tokio::spawn({
        let sam = sam.clone();
        async move { look(&sam, 1).await }
    });
    asked(&mut agent).await;
    let ended = Action::SessionEnded {
        session: session_id(1),
    };
    agent
        .send(3, &[event(event_id("jump-1", Source::Agent, 3), ended)])
        .await;
    agent.acked(3).await;
    drop(agent);
    assert_eq!(refusal(looks.await.unwrap()).0, Code::Aborted);
    let over = async || {
        let (_, text) = refusal(look(&sam, 1).await);
        text.contains("is over").then_some(())
    };
    eventually(over).await;
}
