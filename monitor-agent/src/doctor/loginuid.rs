//! Whether a login id, once set, stays: what the audit system allows root.
//!
//! In: `AUDIT_GET_FEATURE` over netlink, which needs `CAP_AUDIT_CONTROL` in the
//! first namespaces. Out: one finding. See `audit_set_loginuid_perm` in
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/audit.c>.

use std::{io, path::Path};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use super::{Finding, root::Root};

/// `AUDIT_GET_FEATURE`.
const GET_FEATURE: u16 = 1_019;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `AUDIT_FEATURE_ONLY_UNSET_LOGINUID`, as a mask.
const ONLY_UNSET: u32 = 1;
/// `AUDIT_FEATURE_LOGINUID_IMMUTABLE`, as a mask.
const IMMUTABLE: u32 = 1 << 1;
/// The kernel answers at once.
const WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// What `struct audit_features` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Features {
    on: u32,
    locked: u32,
}

/// Looks at the kernel.
pub(super) fn finding(root: Root<'_>) -> Finding {
    let has_login_ids = root.exists(Path::new("/proc/self/loginuid"));
    judge(
        has_login_ids,
        if has_login_ids {
            ask()
        } else {
            Err(Errno::OPNOTSUPP.into())
        },
    )
}

fn judge(has_login_ids: bool, answer: io::Result<Features>) -> Finding {
    const NAME: &str = "login ids immutable";
    const SET: &str = "put `--loginuid-immutable` into /etc/audit/rules.d/ (auditctl sets and locks it until the next boot), and restart sshd and cron through systemd only, never from a login";
    const COST: &str = "root within a session can give itself another's login id: its use of that person's own keys and tokens then counts as the person's (expected, not judged), and auditd's records name somebody else. Session, engineer and grant stay right, by the kernel's mark, and the change itself is told (`login_uid`)";
    const UNKNOWN: &str = "not known; if they can be changed: ";
    if !has_login_ids {
        return Finding::warning(NAME, "there are none: this kernel is built without CONFIG_AUDIT", "use a kernel with CONFIG_AUDIT").costs("events have no login id and no audit session: a person's use of their own keys and tokens is not told apart (never expected, always judged). Session, engineer and grant are known all the same, by the kernel's mark");
    }
    match answer {
        Ok(Features { on, locked }) if on & IMMUTABLE != 0 => {
            if locked & IMMUTABLE != 0 {
                return Finding::ok(NAME, "set, and locked until the next boot");
            }
            Finding::warning(NAME, "set, but not locked: root can take it back", SET).costs(COST)
        }
        Ok(Features { on, .. }) if on & ONLY_UNSET != 0 => {
            let found = "not set; a login id can be cleared only, and then be set to another";
            Finding::warning(NAME, found, SET).costs(COST)
        }
        Ok(_) => Finding::warning(NAME, "not set", SET).costs(COST),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::PROTONOSUPPORT) => {
            let found = "not set, and cannot be: audit is switched off (audit=0 at boot)";
            Finding::warning(NAME, found, format!("boot without audit=0, then {SET}")).costs(COST)
        }
        Err(error) => {
            let found = format!("the audit system does not say ({error})");
            let advice = "run doctor as root, outside of containers; `auditctl -s` says it too";
            Finding::warning(NAME, found, advice).costs(format!("{UNKNOWN}{COST}"))
        }
    }
}

fn ask() -> io::Result<Features> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::AUDIT),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(WAIT))?;
    send(&socket, &question(), SendFlags::empty())?;
    let mut answer = [0_u8; 1_024];
    // Others' messages may come first; the kernel's answer is among the next.
    for _ in 0..8 {
        let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
        if let Some(found) = read(answer.get(..length).unwrap_or_default()) {
            return found;
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn question() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let length = u32::try_from(HEADER_BYTES)
        .unwrap_or_default()
        .to_ne_bytes();
    let parts = [
        &length[..],
        &GET_FEATURE.to_ne_bytes(),
        &REQUEST.to_ne_bytes(),
        &1_u32.to_ne_bytes(),
    ];
    for (place, byte) in bytes.iter_mut().zip(parts.concat()) {
        *place = byte;
    }
    bytes
}

/// One message; none where it is no answer.
fn read(message: &[u8]) -> Option<io::Result<Features>> {
    let word = |at: usize| {
        let bytes = message.get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    match kind {
        // vers, mask, features, lock.
        GET_FEATURE => Some(Ok(Features {
            on: word(HEADER_BYTES + 8)?,
            locked: word(HEADER_BYTES + 12)?,
        })),
        ERROR => {
            let code = word(HEADER_BYTES)?.cast_signed();
            (code != 0).then(|| Err(io::Error::from_raw_os_error(code.saturating_neg())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::doctor::State;

    fn message(kind: u16, words: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }

    fn judged(on: u32, locked: u32) -> (State, String) {
        let answer = message(GET_FEATURE, &[1, u32::MAX, on, locked]);
        let found = judge(true, read(&answer).unwrap());
        assert_eq!(found.state == State::Ok, found.cost.is_empty());
        (found.state, found.finding)
    }

    #[test]
    fn a_login_id_that_root_can_change_costs_something() {
        assert_eq!(judged(IMMUTABLE, IMMUTABLE).0, State::Ok);
        for (on, locked, says) in [
            (0, 0, "not set"),
            (ONLY_UNSET, 0, "cleared only"),
            (IMMUTABLE, 0, "not locked"),
            (0, IMMUTABLE, "not set"),
        ] {
            let (state, finding) = judged(on, locked);
            assert_eq!(state, State::Warning);
            assert!(finding.contains(says), "{finding}");
        }
    }

    #[test]
    fn a_kernel_without_audit_or_without_an_answer_is_told_as_what_it_is() {
        let none = judge(false, Err(Errno::OPNOTSUPP.into()));
        assert!(none.finding.contains("CONFIG_AUDIT"), "{none:?}");
        let off = judge(true, Err(Errno::PROTONOSUPPORT.into()));
        assert!(off.finding.contains("audit=0"), "{off:?}");
        let refused = read(&message(ERROR, &[(-1_i32).cast_unsigned()])).unwrap();
        let refused = judge(true, refused);
        assert!(refused.finding.contains("does not say"), "{refused:?}");
        assert!(refused.cost.contains("not known"), "{refused:?}");
    }

    #[test]
    fn this_kernel_answers_or_refuses() {
        match ask() {
            Ok(features) => assert_eq!(features.on >> 2, 0, "{features:?}"),
            Err(error) => eprintln!("audit does not answer here: {error}"),
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
        }
    }
}
