//! What an event was done to, as filters name it.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use super::{Action, Event, FileObject, LocalAddress, ProcessRef, SocketAddress};
use crate::bytes::{ByteText, PathLabel};

/// The objects of an event: paths of executables, scripts and files, names of
/// sockets, and addresses, each without and with its port (`192.0.2.7` and
/// `192.0.2.7:443`, `2001:db8::1` and `[2001:db8::1]:443`). Of another process
/// that it speaks of, the path of its executable. Of a read, who read:
/// `soc/carol`.
///
/// As the kernel told them: what a caller says of itself is none of them, and a
/// path of which the beginning is missing is left out, since nothing matches on
/// a truncated string.
#[must_use]
pub fn objects(event: &Event) -> Vec<Cow<'_, [u8]>> {
    match &event.action {
        Action::Exec { exe, script, .. } => {
            let script = script.as_ref().and_then(file);
            file(exe).into_iter().chain(script).collect()
        }
        Action::Connect { destination, .. } => address(destination.address, destination.port),
        Action::Credential { object, other, .. } => {
            let other = other.as_ref().and_then(path);
            file(object).into_iter().chain(other).collect()
        }
        Action::LocalConnect {
            socket,
            object,
            peer,
            ..
        } => {
            let file = object.as_ref().and_then(file);
            let peer = peer.as_ref().and_then(program);
            name(socket).into_iter().chain(file).chain(peer).collect()
        }
        Action::Socket { local, peer, .. } => {
            let both = local.iter().chain(peer);
            both.flat_map(|SocketAddress { address: ip, port }| address(*ip, *port))
                .collect()
        }
        Action::Memory { target, .. }
        | Action::Signal { target, .. }
        | Action::JobStarted { leader: target, .. }
        | Action::Contradiction {
            process: target, ..
        } => program(target).into_iter().collect(),
        Action::Host {
            path: at, target, ..
        } => {
            let target = target.as_ref().and_then(program);
            at.as_ref()
                .and_then(path)
                .into_iter()
                .chain(target)
                .collect()
        }
        Action::SessionOpened { session } => session
            .peer
            .map(|peer| address(peer, session.peer_port))
            .unwrap_or_default(),
        Action::Read { by, .. } => vec![Cow::Owned(by.to_string().into_bytes())],
        Action::Survivors { processes, .. } => processes.iter().filter_map(program).collect(),
        Action::Fork { .. }
        | Action::Exit { .. }
        | Action::Identity { .. }
        | Action::SessionEnded { .. }
        | Action::JobEnded { .. }
        | Action::LoginRefused { .. }
        | Action::Contained { .. }
        | Action::Gap { .. }
        | Action::Impaired { .. }
        | Action::AgentStarted { .. }
        | Action::Removed { .. }
        | Action::Order { .. } => Vec::new(),
    }
}

fn file(object: &FileObject) -> Option<Cow<'_, [u8]>> {
    path(&object.path)
}

fn path(label: &PathLabel) -> Option<Cow<'_, [u8]>> {
    (!label.truncated).then_some(Cow::Borrowed(label.text.0.as_slice()))
}

fn program(process: &ProcessRef) -> Option<Cow<'_, [u8]>> {
    process.exe.as_ref().and_then(path)
}

fn name(socket: &LocalAddress) -> Option<Cow<'_, [u8]>> {
    match socket {
        LocalAddress::Unix {
            path: ByteText(name),
        }
        | LocalAddress::Abstract {
            name: ByteText(name),
        }
        | LocalAddress::Terminal {
            name: ByteText(name),
        }
        | LocalAddress::Fifo {
            name: ByteText(name),
            ..
        } => (!name.is_empty()).then_some(Cow::Borrowed(name)),
        LocalAddress::Vsock { cid, port } => {
            Some(format!("vsock {cid}:{port}").into_bytes().into())
        }
        LocalAddress::Other { .. } => None,
    }
}

fn address(ip: IpAddr, port: u16) -> Vec<Cow<'static, [u8]>> {
    [ip.to_string(), SocketAddr::new(ip, port).to_string()]
        .map(|text| Cow::Owned(text.into_bytes()))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attribution, Destination, MemoryAccess, NoSession, Protocol};

    fn texts(action: Action) -> Vec<String> {
        let event = Event {
            id: "jump-1/01JG3Y2E8QW0X9V5T4R3S2H8J9/p0/1".parse().unwrap(),
            at: crate::clock::UnixNs(1),
            boot_ns: 1,
            process: None,
            attribution: Attribution::none(NoSession::NoMark),
            action,
        };
        let found = objects(&event).into_iter();
        found
            .map(|text| String::from_utf8(text.into_owned()).unwrap())
            .collect()
    }

    fn at(text: &str, truncated: bool) -> FileObject {
        FileObject {
            device: 1,
            inode: 2,
            generation: 3,
            path: PathLabel {
                text: text.into(),
                truncated,
            },
        }
    }

    fn exec(exe: FileObject, script: Option<FileObject>) -> Action {
        Action::Exec {
            exe,
            argv: vec!["/opt/other".into()],
            argv_bytes: 11,
            argv_truncated: false,
            redacted: 0,
            argv_digest: None,
            script,
            given: "./given".into(),
            interpreter: "/bin/claimed".into(),
        }
    }

    #[test]
    fn a_start_is_of_its_executable_and_script_not_of_what_the_caller_says() {
        let script = Some(at("/srv/acme/deploy.sh", false));
        assert_eq!(
            texts(exec(at("/usr/bin/dash", false), script)),
            ["/usr/bin/dash", "/srv/acme/deploy.sh"]
        );
    }

    #[test]
    fn a_path_without_its_beginning_is_no_object() {
        assert_eq!(
            texts(exec(at("bin/dash", true), None)),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_address_is_told_without_and_with_its_port() {
        let to = |address: &str| Action::Connect {
            destination: Destination {
                address: address.parse().unwrap(),
                port: 443,
                protocol: Protocol::Tcp,
                interface: None,
                interface_index: 0,
                net_ns: 0,
                net_ns_name: None,
                mark: 0,
            },
            denied: false,
            scope: None,
        };
        assert_eq!(texts(to("192.0.2.7")), ["192.0.2.7", "192.0.2.7:443"]);
        assert_eq!(
            texts(to("2001:db8::1")),
            ["2001:db8::1", "[2001:db8::1]:443"]
        );
    }

    #[test]
    fn another_process_is_told_by_its_executable_where_that_is_known() {
        let memory = |exe: Option<PathLabel>| Action::Memory {
            target: ProcessRef {
                pid: 7,
                start_boot_ns: None,
                session: None,
                holds_credentials: false,
                exe,
            },
            access: MemoryAccess::Attached,
            syscall: None,
            denied: false,
        };
        let exe = at("/usr/bin/ssh-agent", false).path;
        assert_eq!(texts(memory(Some(exe))), ["/usr/bin/ssh-agent"]);
        assert_eq!(texts(memory(None)), Vec::<String>::new());
    }
}
