//! An event as a person would tell it.

use std::fmt::Write as _;

use crate::{
    bytes::ByteText,
    event::{Action, Event, Process},
    tenant::Owner,
};

/// Most arguments that a line shows.
const ARGUMENTS_SHOWN_MAX: usize = 12;
/// Most bytes of arguments that a line shows.
const ARGUMENT_BYTES_SHOWN_MAX: usize = 160;

/// What happened, without who and where: `read /srv/acme/kubeconfig (kubeconfig) with cat`.
#[must_use]
pub fn what(event: &Event) -> String {
    let with = program(event.process.as_ref());
    match &event.action {
        Action::Exec { exe, argv, argv_truncated, .. } => {
            format!("ran {}{}", exe.path, arguments(argv, *argv_truncated))
        }
        Action::Fork { child_pid, .. } => format!("started process {child_pid}"),
        Action::Exit { status } => match status & 0x7f {
            0 => format!("process ended with {}", (status >> 8) & 0xff),
            signal => format!("process ended by signal {signal}"),
        },
        Action::Connect { destination, denied } => {
            let mut text = String::from(if *denied { "was refused a connection to " } else { "connected to " });
            match destination.address {
                std::net::IpAddr::V4(address) => _ = write!(text, "{address}:{}", destination.port),
                std::net::IpAddr::V6(address) => _ = write!(text, "[{address}]:{}", destination.port),
            }
            _ = write!(text, " {}", destination.protocol);
            if let Some(interface) = &destination.interface {
                _ = write!(text, " by {interface}");
            }
            if let Some(name) = &destination.net_ns_name {
                _ = write!(text, " in namespace {name}");
            }
            text + &with
        }
        Action::Credential { object, class, mode, .. } => {
            format!("{} {} ({class}){with}", mode.verb(), object.path)
        }
        Action::SessionOpened { session } => {
            let mut text = format!("logged in as {}", session.account);
            if let Some(peer) = session.peer {
                _ = write!(text, " from {peer}");
            }
            if let Some(serial) = session.credential.serial() {
                _ = write!(text, " with certificate {serial}");
            }
            text
        }
        Action::SessionEnded { .. } => "last process gone".to_owned(),
        Action::LoginRefused { account, serial, reason, .. } => match serial {
            Some(serial) => format!("login as {account} with certificate {serial} refused: {reason}"),
            None => format!("login as {account} refused: {reason}"),
        },
        Action::Contained { receipt } => match receipt.left {
            0 => format!("session ended on the host, {} processes killed", receipt.killed),
            left => format!("session not ended: {left} processes would not die, {} killed", receipt.killed),
        },
        Action::Gap { source, first, last, cause } => {
            format!("events {first} to {last} of stream {source} are missing: {cause}")
        }
        Action::AgentStarted { version, kernel, resumed, hooks } => {
            let blind = hooks.iter().filter(|hook| hook.tier.is_none()).count();
            let how = if *resumed { "took over running probes" } else { "started probes" };
            format!("agent {version} on {kernel} {how}, {blind} of {} hook families blind", hooks.len())
        }
    }
}

/// Whose a target is, as a word: `acme`, `unknown`, `acme or globex`.
#[must_use]
pub fn whose(owner: &Owner) -> String {
    match owner {
        Owner::Host => "host".to_owned(),
        Owner::Tenant(id) => id.to_string(),
        Owner::Ambiguous(ids) => {
            ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
        }
        Owner::Unknown => "unknown".to_owned(),
    }
}

fn program(process: Option<&Process>) -> String {
    process
        .and_then(|process| process.exe.as_ref())
        .map(|exe| format!(" with {}", exe.text.file_name()))
        .unwrap_or_default()
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
