//! `inspect`: what lives in a session on its host now, and what it holds open.

use std::collections::BTreeMap;

use monitor_model::{
    event::SocketAddress,
    id::SessionId,
    inspect::{
        Descriptor, DescriptorKind, OpenCredential, OpenSocket, ProcessState, SeenProcess,
        Snapshot, Stance, tree,
    },
    session::Session,
};
use monitor_proto::v1::InspectSessionRequest;
use tonic::{Code, Status};

use super::tree::{arguments, headline, indent};
use crate::{
    cli::Inspect,
    connection::{Connection, ask, status_text},
    error::CliError,
    output::{Screen, Tone, json::Record, time::duration},
};

/// Shows it.
///
/// # Errors
/// [`CliError::Unseen`] when the host has not answered in time; others as the
/// connection tells them.
pub async fn run(
    asked: &Inspect,
    connection: &Connection,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let id = connection.session(&asked.session).await?;
    let mut request = ask(InspectSessionRequest {
        session: id.to_bytes().to_vec(),
    });
    request.set_timeout(asked.timeout);
    let answer = connection.inspect().inspect_session(request).await;
    let answer = answer.map_err(|status| refusal(&status, (asked, id), connection))?;
    let answer = answer.into_inner();
    let missing = |field| CliError::Message(monitor_proto::InvalidMessage::Missing { field });
    let session: Session = answer
        .session
        .ok_or_else(|| missing("session"))?
        .try_into()?;
    let snapshot: Snapshot = answer
        .snapshot
        .ok_or_else(|| missing("snapshot"))?
        .try_into()?;
    if screen.is_table() {
        show(screen, &session, &snapshot)?;
    } else {
        let record = Record::new("session_snapshot")
            .with("session", &session)
            .with("snapshot", &snapshot);
        screen.record(&record)?;
    }
    Ok(screen.flush()?)
}

fn refusal(
    status: &Status,
    (asked, session): (&Inspect, SessionId),
    connection: &Connection,
) -> CliError {
    let is = |codes: &[Code]| codes.contains(&status.code());
    if is(&[Code::DeadlineExceeded, Code::Cancelled]) {
        CliError::Unseen {
            session,
            waited: duration(asked.timeout),
            why: status_text(status),
        }
    } else if is(&[Code::ResourceExhausted, Code::Aborted]) {
        // Busy, or gone while it looked: the collector is there and says so.
        CliError::Answer(status_text(status), None)
    } else {
        connection.error(status)
    }
}

fn show(screen: &mut Screen, session: &Session, snapshot: &Snapshot) -> Result<(), CliError> {
    headline(screen, 0, session)?;
    let (tone, stance) = match snapshot.stance {
        Stance::Open => (Tone::Good, "nothing is refused to it by an order"),
        Stance::Contained => (Tone::Bad, "new connections are refused to it"),
        Stance::Frozen => (Tone::Bad, "the kernel has it stand still"),
        Stance::Killed => (Tone::Bad, "the kernel is ending it"),
    };
    let at = screen.moment(snapshot.taken_at);
    let seen = match snapshot.processes.len() {
        1 => "1 process".to_owned(),
        more => format!("{more} processes"),
    };
    let seen = format!("  as {} saw it at {at}: {seen}; ", session.host);
    screen.parts(&[(Tone::Dim, seen), (tone, stance.to_owned())])?;
    for place in tree(&snapshot.processes) {
        if let Some(process) = snapshot.processes.get(place.index) {
            line(screen, place.depth + 1, process)?;
            held(screen, place.depth + 3, process)?;
        }
    }
    if snapshot.more_processes > 0 {
        let text = format!(
            "  and {} more processes, younger ones",
            snapshot.more_processes
        );
        screen.line(Tone::Doubtful, &text)?;
    }
    Ok(())
}

/// Number, start, state, program, arguments, and who and where it is.
fn line(screen: &mut Screen, depth: usize, process: &SeenProcess) -> Result<(), CliError> {
    let begin = format!(
        "{}{}  {}  ",
        indent(depth),
        process.key.pid,
        screen.moment(process.started_at)
    );
    let tone = match process.state {
        ProcessState::Running => Tone::Good,
        ProcessState::Sleeping => Tone::Plain,
        ProcessState::Asleep | ProcessState::Stopped => Tone::Doubtful,
        ProcessState::Frozen => Tone::Bad,
        ProcessState::Ended => Tone::Dim,
    };
    let exe = process.exe.as_ref().map(|exe| &exe.path);
    let program = exe.map_or_else(|| "(no program)".to_owned(), ToString::to_string);
    let (arguments, mut aside) = arguments(exe, process.arguments.as_ref());
    aside.push(process.ids.to_string());
    aside.extend(process.terminal.clone());
    aside.extend(process.cwd.as_ref().map(|cwd| format!("in {cwd}")));
    aside.extend(process.root.as_ref().map(|root| format!("root is {root}")));
    if process.threads > 1 {
        aside.push(format!("{} threads", process.threads));
    }
    if let Some(job) = &process.job {
        aside.push(format!("job {}", screen.id(job)));
    }
    if !process.namespaces.is_empty() {
        let kinds: Vec<_> = process
            .namespaces
            .iter()
            .map(|one| one.kind.as_str())
            .collect();
        aside.push(format!("own namespaces: {}", kinds.join(", ")));
    }
    screen.parts(&[
        (Tone::Dim, begin),
        (tone, format!("{:<9}", process.state)),
        (Tone::Plain, program + &arguments),
        (Tone::Dim, format!("  ({})", aside.join("; "))),
    ])?;
    Ok(())
}

/// What it has open: credentials and connections first of all.
fn held(screen: &mut Screen, depth: usize, process: &SeenProcess) -> Result<(), CliError> {
    let mut others: BTreeMap<DescriptorKind, usize> = BTreeMap::new();
    for one in &process.descriptors {
        if !screen.verbose && is_plain(one) {
            *others.entry(one.kind).or_default() += 1;
            continue;
        }
        let uses = match (one.reads, one.writes) {
            (true, true) => "rw",
            (true, false) => "r",
            (false, true) => "w",
            (false, false) => "-",
        };
        let (what, aside) = match (&one.socket, &one.credential) {
            (Some(socket), _) => (connection(socket, one), String::new()),
            (None, Some(credential)) => (one.object.path.to_string(), owner(credential)),
            (None, None) => (one.object.path.to_string(), String::new()),
        };
        let kind = match &one.socket {
            Some(socket) => socket.protocol.as_str(),
            None => one.kind.as_str(),
        };
        let begin = format!("{}{:>3} {kind:<9} {uses:<2} ", indent(depth), one.number);
        screen.parts(&[(Tone::Dim, begin), (Tone::Plain, what), (Tone::Bad, aside)])?;
    }
    let mut rest: Vec<String> = others
        .iter()
        .map(|(kind, number)| format!("{number} {kind}"))
        .collect();
    if process.more_descriptors > 0 {
        rest.push(format!(
            "{} more that are not shown",
            process.more_descriptors
        ));
    }
    if !rest.is_empty() {
        let text = format!("{}and open: {}", indent(depth), rest.join(", "));
        screen.line(Tone::Dim, &text)?;
    }
    Ok(())
}

/// Whether it says little: a terminal, a pipe, an event.
const fn is_plain(one: &Descriptor) -> bool {
    one.credential.is_none()
        && matches!(
            one.kind,
            DescriptorKind::Pipe | DescriptorKind::Device | DescriptorKind::Anonymous
        )
}

/// `10.0.0.1:40000 -> 10.1.2.3:22 established`.
fn connection(socket: &OpenSocket, one: &Descriptor) -> String {
    let end = |address: &SocketAddress| {
        std::net::SocketAddr::new(address.address, address.port).to_string()
    };
    let mut parts = Vec::new();
    parts.extend(socket.local.as_ref().map(end));
    parts.extend(socket.peer.as_ref().map(|peer| format!("-> {}", end(peer))));
    if !socket.name.0.is_empty() {
        parts.push(socket.name.to_string());
    }
    if parts.is_empty() {
        parts.push(one.object.path.to_string());
    }
    parts.extend(socket.state.map(|state| state.to_string()));
    parts.join(" ")
}

/// `  kubeconfig of globex (production)`.
fn owner(credential: &OpenCredential) -> String {
    let of = credential
        .tenant
        .as_ref()
        .map_or("the provider", |tenant| tenant.as_str());
    let tier = credential
        .tier
        .map(|tier| format!(" ({})", tier.as_str()))
        .unwrap_or_default();
    format!("  {} of {of}{tier}", credential.class)
}
