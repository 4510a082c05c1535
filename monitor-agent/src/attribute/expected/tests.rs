use monitor_common::{Kind, SessionMark, file::PathTail};
use monitor_model::event::Action;
use zerocopy::IntoBytes as _;

use super::*;
use crate::{
    attribute::tests::{Bench, bench, exec, header},
    watch::{Expectation, SharedPrograms, catalogue::Owner, resolve::Look},
};

const UID: u32 = 1_000;

/// Tells of any path that it is the program of the exec records of the bench.
#[derive(Debug)]
struct OneFile(FileIdentity);

impl Look for OneFile {
    fn identify(&self, _: &std::path::Path) -> std::io::Result<FileIdentity> {
        Ok(self.0)
    }
}

fn label(item: &str) -> Label {
    Label {
        item: Some(item.into()),
        ..Label::of_class("x")
    }
}

fn use_of(
    bench: &mut Bench,
    watch: &Label,
    change: impl FnOnce(&mut Credential),
) -> Option<Expected> {
    let path = b"key\0etc\0";
    let size = size_of::<Credential>() + path.len();
    let mut credential: Credential = zerocopy::FromZeros::new_zeroed();
    credential.header = header(Kind::CREDENTIAL, size, (9, SessionMark::NONE));
    credential.operation = Operation::OPENED;
    credential.open_mode = 1;
    credential.file.owner_uid = UID;
    credential.watch_id = bench.labels.id(watch).unwrap();
    credential.path = PathTail {
        bytes: u32::try_from(path.len()).unwrap(),
        flags: 0,
    };
    change(&mut credential);
    let event = bench.event(&[credential.as_bytes(), path].concat());
    let Action::Credential { expected, .. } = event.action else {
        panic!("{event:?}")
    };
    expected
}

/// A bench whose process runs `program`, which reads `shadow`; keys are
/// persons'.
fn scene(program: FileIdentity) -> Bench {
    let bench = bench();
    let expectation = |item: &str, owner, readers| Expectation {
        item: item.into(),
        owner,
        readers,
        writers: vec![],
    };
    let programs = SharedPrograms::default();
    // Any program of root's will do.
    let readers = vec!["/bin/true".into()];
    programs.refresh(
        &[
            expectation("shadow", Owner::Host, readers),
            expectation("ssh-private-key", Owner::Person, vec![]),
        ],
        &OneFile(program),
    );
    bench.expecting(programs)
}

fn program() -> FileIdentity {
    // What `exec` tells of.
    FileIdentity {
        device: 259 << 20 | 0x1_2345,
        inode: 11,
        generation: Some(12),
        is_directory: false,
    }
}

#[test]
fn a_reader_is_expected_by_the_file_that_the_kernel_saw_at_exec() {
    let shadow = label("shadow");
    let mut bench = scene(program());
    assert_eq!(
        use_of(&mut bench, &shadow, |_| {}),
        None,
        "no exec was seen"
    );
    bench.event(&exec(1, SessionMark::NONE, &["anything"]));
    assert_eq!(use_of(&mut bench, &shadow, |_| {}), Some(Expected::Program));
    let write = |done: &mut Credential| done.open_mode = 3;
    assert_eq!(
        use_of(&mut bench, &shadow, write),
        None,
        "a change is not expected"
    );
    let removed = |done: &mut Credential| done.operation = Operation::REMOVED;
    assert_eq!(use_of(&mut bench, &shadow, removed), None);
    let mut of_tenant = shadow.clone();
    of_tenant.tenant = Some("acme".parse().unwrap());
    assert_eq!(
        use_of(&mut bench, &of_tenant, |_| {}),
        None,
        "it is a tenant's"
    );
    assert_eq!(
        use_of(&mut bench, &Label::of_class("x"), |_| {}),
        None,
        "no item"
    );
}

#[test]
fn what_the_broker_hands_out_is_expected_of_its_programs_alone() {
    let handed_out = Label {
        tenant: Some("acme".parse().unwrap()),
        injection: Some("shadow".into()),
        ..Label::of_class("x")
    };
    let mut bench = scene(program());
    let used = |bench: &mut Bench| use_of(bench, &handed_out, |_| {});
    assert_eq!(used(&mut bench), None, "no exec was seen");
    bench.event(&exec(1, SessionMark::NONE, &["anything"]));
    assert_eq!(used(&mut bench), Some(Expected::Injection));
    let mut bench = scene(FileIdentity {
        generation: Some(13),
        ..program()
    });
    bench.event(&exec(1, SessionMark::NONE, &["anything"]));
    assert_eq!(used(&mut bench), None, "another program at its path");
    let own = Label {
        item: Some("ssh-private-key".into()),
        ..handed_out.clone()
    };
    let by_owner = |done: &mut Credential| done.header.loginuid = UID;
    assert_eq!(
        use_of(&mut bench, &own, by_owner),
        None,
        "not even of its owner"
    );
}

#[test]
fn another_file_is_not_the_program_though_its_number_is_the_same() {
    let mut bench = scene(FileIdentity {
        generation: Some(13),
        ..program()
    });
    bench.event(&exec(1, SessionMark::NONE, &["sshd"]));
    assert_eq!(use_of(&mut bench, &label("shadow"), |_| {}), None);
}

#[test]
fn an_older_process_is_compared_by_what_it_runs_now() {
    let mut bench = scene(program());
    let host = &mut bench.attributor.host;
    host.files.insert((42, 77), program());
    assert_eq!(
        use_of(&mut bench, &label("shadow"), |_| {}),
        Some(Expected::Program)
    );
}

#[test]
fn a_persons_own_is_told_by_the_audit_login_uid() {
    let key = label("ssh-private-key");
    let mut bench = scene(program());
    let by = |login_uid| move |done: &mut Credential| done.header.loginuid = login_uid;
    assert_eq!(use_of(&mut bench, &key, by(UID)), Some(Expected::Person));
    assert_eq!(
        use_of(&mut bench, &key, by(UID + 1)),
        None,
        "somebody else's"
    );
    assert_eq!(
        use_of(&mut bench, &key, by(AUDIT_UNSET)),
        None,
        "nobody logged in"
    );
    let of_host = label("shadow");
    assert_eq!(
        use_of(&mut bench, &of_host, by(UID)),
        None,
        "the host's is nobody's own"
    );
}
