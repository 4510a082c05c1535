//! An event as a person would tell it.

use std::net::SocketAddr;

use crate::{
    bytes::{ByteText, PathLabel},
    event::{
        Action, Counted, Destination, Event, Evidence, Fact, HostChange, LocalAddress,
        MemoryAccess, Operation, Process, ProcessRef, SocketOperation, Way, facts,
    },
    id::SessionId,
    session::Session,
    tenant::Owner,
};

mod contained;
mod order;

/// Most arguments that a line shows.
const ARGUMENTS_SHOWN_MAX: usize = 12;
/// Most bytes of arguments that a line shows.
const ARGUMENT_BYTES_SHOWN_MAX: usize = 160;

/// How often, where the event stands for more than one act.
fn times(event: &Event) -> String {
    let Some(Counted { acts, first_at }) = event.counted() else {
        return String::new();
    };
    let (first, last) = (first_at.utc_ms(), event.at.utc_ms());
    format!(", {acts} times between {first} and {last},")
}

/// What happened, without who and where: `read /srv/acme/kubeconfig (kubeconfig) with cat`.
#[must_use]
#[expect(clippy::too_many_lines, reason = "one short arm a kind of event")]
pub fn what(event: &Event) -> String {
    let with = || program(event.process.as_ref());
    match &event.action {
        Action::Exec {
            exe,
            argv,
            argv_truncated,
            ..
        } => {
            let mut text = format!("ran {}{}", exe.path, arguments(argv, *argv_truncated));
            if let Some(first) = argv
                .first()
                .filter(|_| facts(event).contains(&Fact::Disguise))
            {
                text.push_str(" (calls itself ");
                text.push_str(&beginning(first));
                text.push(')');
            }
            text
        }
        Action::Fork { child_pid, .. } => format!("started process {child_pid}"),
        Action::Exit { status } => match status & 0x7f {
            0 => format!("process ended with {}", (status >> 8) & 0xff),
            signal => format!("process ended by signal {signal}"),
        },
        Action::Connect {
            destination,
            denied: true,
            ..
        } => {
            format!(
                "was refused a connection to {}{}",
                place(destination),
                with()
            )
        }
        Action::Connect {
            destination,
            denied: false,
            scope,
        } => {
            let would = if scope.is_some() {
                ", which enforcement would have refused"
            } else {
                ""
            };
            format!("connected to {}{}{would}", place(destination), with())
        }
        Action::Credential {
            object,
            class,
            operation,
            other,
            denied,
            ..
        } => {
            let (verb, to) = use_of(*operation, other.as_ref(), *denied);
            let times = times(event);
            format!(
                "{verb} {}{to} ({}){times}{}",
                object.path,
                shown(class),
                with()
            )
        }
        Action::LocalConnect {
            socket,
            peer,
            denied,
            ..
        } => {
            let verb = match socket {
                LocalAddress::Fifo { .. } => "opened",
                LocalAddress::Terminal { .. } => "pushed into",
                LocalAddress::Unix { .. }
                | LocalAddress::Abstract { .. }
                | LocalAddress::Vsock { .. }
                | LocalAddress::Other { .. }
                    if *denied =>
                {
                    "was refused a connection to"
                }
                LocalAddress::Unix { .. }
                | LocalAddress::Abstract { .. }
                | LocalAddress::Vsock { .. }
                | LocalAddress::Other { .. } => "connected to",
            };
            let peer = peer.as_ref().map(|peer| format!(" of {}", other(peer)));
            format!("{verb} {socket}{}{}", peer.unwrap_or_default(), with())
        }
        Action::Socket { .. } => format!("{}{}", socket(&event.action), with()),
        Action::Memory {
            target,
            access,
            denied,
            ..
        } => {
            let how = match (access, denied) {
                (MemoryAccess::Attached, false) => "attached to",
                (MemoryAccess::Attached, true) => "was refused to attach to",
                (MemoryAccess::TracedByParent, false) => "asked to be traced by",
                (MemoryAccess::TracedByParent, true) => "was refused to be traced by",
                (MemoryAccess::Environment, false) => "opened the environment of",
                (MemoryAccess::Environment, true) => "was refused the environment of",
                (MemoryAccess::MemoryFile, false) => "opened the memory of",
                (MemoryAccess::MemoryFile, true) => "was refused the memory of",
            };
            format!("{how} {}{}", other(target), with())
        }
        Action::Identity {
            before,
            after,
            by_exec,
        } => {
            let how = if *by_exec {
                " by a set-user-id program"
            } else {
                ""
            };
            format!("became {after}, was {before}{how}{}", with())
        }
        Action::Signal { target, number } => {
            format!("sent signal {number} to {}{}", other(target), with())
        }
        Action::Host { .. } => format!("{}{}", host_change(&event.action), with()),
        Action::SessionOpened { session } => opened(session),
        Action::SessionEnded { .. } => "last process gone".to_owned(),
        Action::Contradiction {
            process,
            evidence,
            value,
            says,
        } => contradiction(process, *evidence, value, *says),
        Action::Survivors {
            processes, total, ..
        } => survivors(processes, *total),
        Action::JobStarted { leader, .. } => {
            format!(
                "work handed over to {}: {}",
                other(leader),
                Way(&event.attribution.way)
            )
        }
        Action::JobEnded { .. } => "last process of handed-over work gone".to_owned(),
        Action::LoginRefused {
            account,
            serial: Some(serial),
            reason,
            ..
        } => {
            format!(
                "login as {} with certificate {serial} refused: {}",
                shown(account),
                shown(reason)
            )
        }
        Action::LoginRefused {
            account,
            serial: None,
            reason,
            ..
        } => {
            format!("login as {} refused: {}", shown(account), shown(reason))
        }
        Action::Contained { receipt } => contained::sentence(receipt),
        Action::Gap {
            source,
            first,
            last,
            cause,
        } => {
            format!("events {first} to {last} of stream {source} are missing: {cause}")
        }
        Action::Impaired {
            reason,
            program,
            times,
            total,
        } => impaired(reason, program.as_deref(), *times, *total),
        Action::AgentStarted {
            version,
            kernel,
            resumed,
            hooks,
        } => {
            let blind = hooks.iter().filter(|hook| hook.tier.is_none()).count();
            let how = if *resumed {
                "took over running probes"
            } else {
                "started probes"
            };
            format!(
                "agent {} on {} {how}, {blind} of {} hook families blind",
                shown(version),
                shown(kernel),
                hooks.len()
            )
        }
        Action::Read { .. } => read(event),
        Action::Removed { .. } => removed(&event.action),
        Action::Order { entry } => order::sentence(entry),
    }
}

/// `carol (soc) searched acme's ledger: {"kinds":["exec"]} 12 times between ...`.
fn read(event: &Event) -> String {
    let Action::Read {
        by,
        call,
        question,
        question_truncated,
        first_at,
        last_at,
        times,
        items,
        ..
    } = &event.action
    else {
        return String::new();
    };
    let whose = event.attribution.tenant.as_ref();
    let whose = whose.map_or_else(|| "a tenant".to_owned(), ToString::to_string);
    let deed = match (call.as_str(), items) {
        ("Search", None) => format!("searched {whose}'s ledger"),
        ("Subscribe", None) => format!("followed {whose}'s ledger"),
        (_, Some(items)) => format!("was sent {items} items of {whose}'s ledger"),
        (call, None) => format!("read of {whose} by {}", shown(call)),
    };
    let cut = if *question_truncated { "..." } else { "" };
    let asked = match question.as_str() {
        "" | "{}" => String::new(),
        question => format!(": {}{cut}", shown(question)),
    };
    let when = if *times == 1 {
        format!("at {}", last_at.utc())
    } else {
        let (first, last) = (first_at.utc(), last_at.utc());
        format!("{times} times between {first} and {last}")
    };
    format!("{} ({}) {deed}{asked} {when}", by.name, shown(&by.role))
}

fn removed(action: &Action) -> String {
    let Action::Removed {
        first,
        last,
        reason,
        contract,
        held_back,
    } = action
    else {
        return String::new();
    };
    let contract = match contract.as_str() {
        "" => String::new(),
        contract => format!(" ({})", shown(contract)),
    };
    let held = match held_back {
        0 => String::new(),
        held => format!("; {held} of them kept by a legal hold"),
    };
    format!("content of records {first} to {last} removed: {reason}{contract}{held}")
}

fn contradiction(
    process: &ProcessRef,
    evidence: Evidence,
    value: &ByteText,
    says: Option<SessionId>,
) -> String {
    let says = says.map_or_else(
        || "which is no session's".to_owned(),
        |session| format!("which is session {session}'s"),
    );
    let mark = if process.session.is_some() {
        ""
    } else {
        ", which has no mark,"
    };
    format!(
        "{}{mark} has the {evidence} {value}, {says}",
        other(process)
    )
}

fn survivors(processes: &[ProcessRef], total: u32) -> String {
    let shown: Vec<String> = processes.iter().map(name).collect();
    let count = u32::try_from(shown.len()).unwrap_or(u32::MAX);
    let more = match total.saturating_sub(count) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let verb = if total == 1 {
        "process lives"
    } else {
        "processes live"
    };
    format!(
        "logged out, and {total} {verb} on: {}{more}",
        shown.join(", ")
    )
}

/// A process by its program and number.
fn name(process: &ProcessRef) -> String {
    match &process.exe {
        Some(exe) => format!("{} ({})", exe.text.file_name(), process.pid),
        None => format!("process {}", process.pid),
    }
}

fn impaired(reason: &str, program: Option<&str>, times: u64, total: u64) -> String {
    let what = match program {
        Some(program) => format!("the kernel did not run the probe {}", shown(program)),
        None => format!("the probes met {}", shown(reason)),
    };
    format!("{what} {times} times, {total} since they were loaded: events may be missing")
}

/// The words before and after the path of a watched file: what was done to it,
/// and the new name where it got one.
#[must_use]
pub fn use_of(operation: Operation, new: Option<&PathLabel>, denied: bool) -> (String, String) {
    let refused = if denied { "was refused: " } else { "" };
    let to = match (operation, new) {
        (_, None) => String::new(),
        (Operation::Linked, Some(name)) => format!(", {name},"),
        (_, Some(name)) => format!(" to {name}"),
    };
    (format!("{refused}{}", operation.verb()), to)
}

/// Another process, as a person would call it.
fn other(process: &ProcessRef) -> String {
    let mut text = name(process);
    if let Some(session) = process.session {
        text.push_str(" of session ");
        text.push_str(&session.to_string());
    }
    if process.holds_credentials {
        text.push_str(" (holds credentials)");
    }
    text
}

fn socket(action: &Action) -> String {
    let Action::Socket {
        operation,
        family,
        socket_type,
        protocol,
        local,
        peer,
        denied,
        ..
    } = action
    else {
        return String::new();
    };
    let refused = if *denied { "was refused: " } else { "" };
    let local = local.map_or_else(
        || format!("a socket of family {family}"),
        |at| at.to_string(),
    );
    match operation {
        SocketOperation::Created => format!(
            "{refused}made a socket of family {family}, type {socket_type}, protocol {protocol}"
        ),
        SocketOperation::Bound => format!("{refused}took the address {local}"),
        SocketOperation::Listening => format!("{refused}listens on {local}"),
        SocketOperation::Accepted => match peer {
            Some(peer) => format!("{refused}accepted a connection from {peer} on {local}"),
            None => format!("{refused}accepted a connection on {local}"),
        },
    }
}

fn host_change(action: &Action) -> String {
    let Action::Host {
        change,
        number,
        detail,
        path,
        target,
        denied,
    } = action
    else {
        return String::new();
    };
    let mut parts = vec![change.verb().to_owned()];
    parts.extend(path.as_ref().map(ToString::to_string));
    parts.extend((!detail.0.is_empty()).then(|| detail.to_string()));
    parts.extend(
        target
            .as_ref()
            .map(|target| format!("of {}", other(target))),
    );
    if matches!(change, HostChange::Bpf | HostChange::Perf) {
        parts.push(format!("({number})"));
    }
    let refused = if *denied { "was refused: " } else { "" };
    format!("{refused}{}", parts.join(" "))
}

fn place(to: &Destination) -> String {
    let mut text = SocketAddr::new(to.address, to.port).to_string();
    text.push(' ');
    text.push_str(&to.protocol.to_string());
    for (word, name) in [(" by ", &to.interface), (" in namespace ", &to.net_ns_name)] {
        if let Some(name) = name {
            text.push_str(word);
            text.push_str(&shown(name));
        }
    }
    text
}

/// Text from outside, with everything that could drive a terminal escaped.
fn shown(text: &str) -> String {
    ByteText::from(text).to_string()
}

fn opened(session: &Session) -> String {
    let mut text = format!("logged in as {}", shown(&session.account));
    if let Some(peer) = session.peer {
        text.push_str(" from ");
        text.push_str(&peer.to_string());
    }
    if let Some(serial) = session.credential.serial() {
        text.push_str(" with certificate ");
        text.push_str(&serial.to_string());
    }
    text
}

/// Whose a target is, as a word: `acme`, `unknown`, `acme or globex`.
#[must_use]
pub fn whose(owner: &Owner) -> String {
    match owner {
        Owner::Host => "host".to_owned(),
        Owner::Tenant(id) => id.to_string(),
        Owner::Ambiguous(ids) => ids
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" or "),
        Owner::Unknown => "unknown".to_owned(),
    }
}

fn program(process: Option<&Process>) -> String {
    process
        .and_then(|process| process.exe.as_ref())
        .map(|exe| format!(" with {}", exe.text.file_name()))
        .unwrap_or_default()
}

/// As much of a name as fits a line.
fn beginning(name: &ByteText) -> String {
    let text = name.to_string();
    if text.len() <= ARGUMENT_BYTES_SHOWN_MAX {
        return text;
    }
    let mut ends = (0..=ARGUMENT_BYTES_SHOWN_MAX).rev();
    let beginning = ends.find_map(|end| text.get(..end));
    format!("{}...", beginning.unwrap_or_default())
}

fn arguments(argv: &[ByteText], truncated: bool) -> String {
    let mut text = String::new();
    let mut cut = truncated;
    for (shown, argument) in argv.iter().skip(1).enumerate() {
        let next = argument.to_string();
        if shown == ARGUMENTS_SHOWN_MAX || text.len() + next.len() > ARGUMENT_BYTES_SHOWN_MAX {
            cut = true;
            break;
        }
        text.push(' ');
        text.push_str(&next);
    }
    if cut {
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests;
