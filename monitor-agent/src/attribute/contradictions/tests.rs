use monitor_model::{bytes::PathLabel, session::Session};

use super::*;
use crate::{
    attribute::{jobs::groups::Groups, sessions::tests::session},
    kernel::FileIdentity,
};

const LOGIN_OF_ALICE: u64 = 1;
const LOGIN_OF_BOB: u64 = 2;
const ROOT: u64 = 3;
const SSHD: u64 = 4;
const CRON: u64 = 5;
const SCOPE: u64 = 6;
const AUDIT_OF_ALICE: u32 = 11;
const AUDIT_OF_BOB: u32 = 12;
const PTS: u64 = 136 << 20 | 3;
const SECOND: u64 = 1_000_000_000;

/// A host with a few control groups, and processes that have terminals open.
#[derive(Default)]
struct Stage {
    open: Vec<((u32, u64), u64)>,
}

impl Host for Stage {
    fn executable(&mut self, _: (u32, u64)) -> Option<PathLabel> {
        None
    }
    fn executable_file(&mut self, _: (u32, u64)) -> Option<FileIdentity> {
        None
    }
    fn interface(&mut self, _: u32) -> Option<String> {
        None
    }
    fn is_own_net_ns(&self, _: u32) -> bool {
        true
    }
    fn net_ns(&mut self, _: u32, _: u64) -> Option<String> {
        None
    }
    fn mounted(&mut self, _: u64, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn control_group(&mut self, id: u64, _: u32) -> Option<Vec<u8>> {
        let path = match id {
            LOGIN_OF_ALICE => "/user.slice/user-1000.slice/session-11.scope",
            LOGIN_OF_BOB => "/user.slice/user-1000.slice/session-12.scope",
            ROOT => "/",
            SSHD => "/system.slice/ssh.service",
            CRON => "/system.slice/cron.service",
            SCOPE => "/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope",
            _ => return None,
        };
        Some(path.into())
    }
    fn has_open(&mut self, process: (u32, u64), device: u64) -> bool {
        self.open.contains(&(process, device))
    }
}

/// Two logins of one account, and what is looked at.
struct Bench {
    contradictions: Contradictions,
    sessions: SharedSessions,
    groups: Groups,
    host: Stage,
}

fn alice() -> SessionId {
    session(1).id
}

fn bob() -> SessionId {
    session(2).id
}

fn bench() -> Bench {
    let sessions = SharedSessions::default();
    for (number, audit) in [(1, AUDIT_OF_ALICE), (2, AUDIT_OF_BOB)] {
        let row = Session {
            audit_session: Some(audit),
            ..session(number)
        };
        sessions.lock().put(row).unwrap();
    }
    Bench {
        contradictions: Contradictions::default(),
        sessions,
        groups: Groups::default(),
        host: Stage::default(),
    }
}

/// Who it is by its mark, by the audit system, and by its control group.
struct Shown(Option<SessionId>, Option<u32>, u64);

impl Bench {
    fn look_at(
        &mut self,
        Shown(mark, audit_session, group): Shown,
        (process, terminal): ((u32, u64), Option<u64>),
        after_login: u64,
    ) -> Vec<(Evidence, String, Option<SessionId>)> {
        let found = self.groups.get(group, process.0, &mut self.host);
        let signs = Signs {
            process,
            mark,
            owner: mark,
            audit_session,
            group: (group, found.as_ref()),
            terminal,
            at: UnixNs(session(1).opened_at.0 + after_login),
        };
        self.contradictions
            .look(&signs, &self.sessions, &mut self.host);
        let found = self.contradictions.take();
        found
            .into_iter()
            .map(|found| {
                assert_eq!((found.process, found.mark), (process, mark));
                (found.evidence, found.value.to_string(), found.says)
            })
            .collect()
    }

    fn look(&mut self, shown: Shown) -> Vec<(Evidence, String, Option<SessionId>)> {
        self.look_at(shown, ((42, 7), None), 60 * SECOND)
    }
}

#[test]
fn a_login_as_it_should_be_contradicts_nothing() {
    let mut bench = bench();
    let audit = Some(AUDIT_OF_ALICE);
    for group in [SSHD, LOGIN_OF_ALICE, SCOPE, 99] {
        assert_eq!(bench.look(Shown(Some(alice()), audit, group)), []);
    }
    // Services and the kernel's own, outside of any login.
    for audit in [None, Some(99)] {
        for group in [CRON, ROOT, SSHD] {
            assert_eq!(bench.look(Shown(None, audit, group)), []);
        }
    }
    // One whose audit session came after its mark, or never.
    bench.sessions.lock().put(session(3)).unwrap();
    let late = Some(session(3).id);
    assert_eq!(bench.look(Shown(late, Some(77), SSHD)), []);
}

#[test]
fn an_audit_session_that_is_anothers_or_nobodys_is_told_once() {
    let mut bench = bench();
    let mut look = |audit| bench.look(Shown(Some(alice()), audit, LOGIN_OF_ALICE));
    let audit = Evidence::AuditSession;
    let of_bob = vec![(audit, "12".to_owned(), Some(bob()))];
    assert_eq!(look(Some(AUDIT_OF_BOB)), of_bob);
    assert_eq!(look(Some(AUDIT_OF_BOB)), []);
    assert_eq!(look(None), [(audit, "unset".to_owned(), None)]);
    assert_eq!(look(Some(99)), [(audit, "99".to_owned(), None)]);
    // By another control group the same is told no second time.
    assert_eq!(bench.look(Shown(Some(alice()), Some(99), SCOPE)), []);
}

#[test]
fn a_control_group_that_is_anothers_or_no_scope_is_told() {
    let mut bench = bench();
    let audit = Some(AUDIT_OF_ALICE);
    let mut look = |group| bench.look(Shown(Some(alice()), audit, group));
    assert_eq!(look(SSHD), []);
    let group = Evidence::ControlGroup;
    let bobs = "/user.slice/user-1000.slice/session-12.scope".to_owned();
    assert_eq!(look(LOGIN_OF_BOB), [(group, bobs, Some(bob()))]);
    assert_eq!(look(ROOT), [(group, "/".to_owned(), None)]);
    let cron = "/system.slice/cron.service".to_owned();
    assert_eq!(look(CRON), [(group, cron, None)]);
    assert_eq!(look(SSHD), []);
}

#[test]
fn a_process_without_a_mark_contradicts_the_login_that_it_seems_to_be_of() {
    let mut bench = bench();
    let process = ((42, 7), None);
    let shown = || Shown(None, Some(AUDIT_OF_ALICE), LOGIN_OF_ALICE);
    // The mark comes after the audit session.
    assert_eq!(bench.look_at(shown(), process, SECOND), []);
    let mut found = bench.look_at(shown(), process, 3 * SECOND);
    found.sort_unstable();
    let says: Vec<_> = found
        .iter()
        .map(|(evidence, _, says)| (*evidence, *says))
        .collect();
    let expected = [
        (Evidence::AuditSession, Some(alice())),
        (Evidence::ControlGroup, Some(alice())),
    ];
    assert_eq!(says, expected);
}

#[test]
fn a_terminal_that_is_taken_over_is_told_and_a_number_given_again_is_not() {
    let mut bench = bench();
    let later = 60 * SECOND;
    let of = |mark: SessionId, audit| Shown(Some(mark), Some(audit), SSHD);
    let (shell, thief) = ((42, 7), (43, 8));
    let alices = (shell, Some(PTS));
    assert_eq!(
        bench.look_at(of(alice(), AUDIT_OF_ALICE), alices, later),
        []
    );
    // Alice's shell still has it open.
    let device = crate::attribute::device_as_stat(PTS);
    bench.host.open.push((shell, device));
    let taken = bench.look_at(of(bob(), AUDIT_OF_BOB), (thief, Some(PTS)), later);
    let told = (Evidence::Terminal, "/dev/pts/3".to_owned(), Some(alice()));
    assert_eq!(taken, [told]);
    // Nobody has: the number was given again.
    bench.host.open.clear();
    let other = (44, 9);
    let again = bench.look_at(of(bob(), AUDIT_OF_BOB), (other, Some(PTS)), later);
    assert_eq!(again, []);
}

#[test]
fn a_full_table_forgets_and_tells_again() {
    let mut bench = bench();
    let bobs = || Shown(Some(alice()), Some(AUDIT_OF_BOB), 1_000);
    assert_eq!(bench.look(bobs()).len(), 1);
    for group in 0..=u64::try_from(SEEN_MAX).unwrap() {
        let shown = Shown(Some(alice()), Some(AUDIT_OF_ALICE), 10_000 + group);
        assert_eq!(bench.look(shown), []);
    }
    assert!(bench.contradictions.of_mark(Some(alice())).seen.len() <= SEEN_MAX);
    assert_eq!(bench.look(bobs()).len(), 1);
    for number in 0..=u128::try_from(MARKS_MAX).unwrap() {
        let job = Some(session(10 + number).id);
        assert_eq!(bench.look(Shown(job, None, 1_000)), []);
    }
    assert!(bench.contradictions.looked.len() <= MARKS_MAX);
    assert_eq!(bench.look(bobs()).len(), 1);
}

#[test]
fn nothing_is_kept_of_a_mark_that_ended() {
    let mut bench = bench();
    assert_eq!(
        bench.look(Shown(Some(alice()), None, LOGIN_OF_BOB)).len(),
        2
    );
    bench.contradictions.forget(alice());
    assert!(bench.contradictions.looked.is_empty());
}
