//! An event as a person would tell it.

use std::net::SocketAddr;

use crate::{
    bytes::ByteText,
    event::{Action, Destination, Event, Process, Receipt},
    session::Session,
    tenant::Owner,
};

/// Most arguments that a line shows.
const ARGUMENTS_SHOWN_MAX: usize = 12;
/// Most bytes of arguments that a line shows.
const ARGUMENT_BYTES_SHOWN_MAX: usize = 160;

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
            format!("ran {}{}", exe.path, arguments(argv, *argv_truncated))
        }
        Action::Fork { child_pid, .. } => format!("started process {child_pid}"),
        Action::Exit { status } => match status & 0x7f {
            0 => format!("process ended with {}", (status >> 8) & 0xff),
            signal => format!("process ended by signal {signal}"),
        },
        Action::Connect {
            destination,
            denied: true,
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
        } => {
            format!("connected to {}{}", place(destination), with())
        }
        Action::Credential {
            object,
            class,
            mode,
            ..
        } => {
            format!(
                "{} {} ({}){}",
                mode.verb(),
                object.path,
                shown(class),
                with()
            )
        }
        Action::SessionOpened { session } => opened(session),
        Action::SessionEnded { .. } => "last process gone".to_owned(),
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
        Action::Contained { receipt } => contained(receipt),
        Action::Gap {
            source,
            first,
            last,
            cause,
        } => {
            format!("events {first} to {last} of stream {source} are missing: {cause}")
        }
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
    }
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

fn contained(receipt: &Receipt) -> String {
    let killed = receipt.killed;
    match receipt.left {
        0 => format!("session ended on the host, {killed} processes killed"),
        left => format!("session not ended: {left} processes would not die, {killed} killed"),
    }
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
mod tests {
    use super::*;
    use crate::{
        clock::UnixNs,
        event::{Attribution, NoSession},
        id::{AgentName, BootId, EventId, Source},
    };

    #[test]
    fn no_text_from_outside_drives_a_terminal() {
        let (evil, safe) = ("a\x1b[2Jb", "a\\x1b[2Jb");
        let text = |action| {
            what(&Event {
                id: EventId {
                    agent: AgentName::new("jump-1").unwrap(),
                    boot: BootId::from_parts(UnixNs(0), 1),
                    source: Source::Agent,
                    sequence: 1,
                },
                at: UnixNs(0),
                boot_ns: 0,
                process: None,
                attribution: Attribution::none(NoSession::NoMark),
                action,
            })
        };
        let refused = |serial| Action::LoginRefused {
            account: evil.into(),
            principal: None,
            serial,
            reason: evil.into(),
        };
        let started = Action::AgentStarted {
            version: evil.into(),
            kernel: evil.into(),
            resumed: false,
            hooks: vec![],
        };
        for action in [refused(None), refused(Some(1)), started] {
            let text = text(action);
            assert_eq!(text.matches(safe).count(), 2, "{text}");
            assert!(!text.contains('\x1b'), "{text}");
        }
    }
}
