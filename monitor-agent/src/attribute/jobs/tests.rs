use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use monitor_model::{
    bytes::PathLabel,
    event::{FileObject, Operation},
    id::{AgentName, BootId, EventId, Source},
};

use super::*;
use crate::attribute::sessions::tests::session;

const CRON: u64 = 1;
const AT: u64 = 2;
const BACKUP: u64 = 3;
const TRANSIENT: u64 = 4;
const SECOND: u64 = 1_000_000_000;
/// Beyond the minute that the job of at below is due.
const NOW: u64 = 0x001c_2b3f * 60 * SECOND + SECOND;

/// A host with a few files.
#[derive(Default)]
struct Stage {
    files: HashMap<PathBuf, ((u64, u64), &'static str)>,
    ids: u128,
}

impl Stage {
    fn with(files: &[(&str, u64, &'static str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, inode, text)| (PathBuf::from(path), ((8, *inode), *text)));
        Self {
            files: files.collect(),
            ids: 1_000,
        }
    }
}

impl Host for Stage {
    fn executable(&mut self, _: (u32, u64)) -> Option<PathLabel> {
        None
    }
    fn executable_file(&mut self, _: (u32, u64)) -> Option<crate::kernel::FileIdentity> {
        None
    }
    fn interface(&mut self, _: u32) -> Option<String> {
        None
    }
    fn is_own_net_ns(&self, _: u32) -> bool {
        false
    }
    fn net_ns(&mut self, _: u32, _: u64) -> Option<String> {
        None
    }
    fn mounted(&mut self, _: u64, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn control_group(&mut self, id: u64, _: u32) -> Option<Vec<u8>> {
        let path = match id {
            CRON => "/system.slice/cron.service",
            AT => "/system.slice/atd.service",
            BACKUP => "/system.slice/restic.service",
            TRANSIENT => "/system.slice/run-r1.service",
            _ => return None,
        };
        Some(path.into())
    }
    fn account(&mut self, uid: u32) -> Option<String> {
        (uid == 1000).then(|| "ops".to_owned())
    }
    fn text(&mut self, path: &Path) -> Option<Vec<u8>> {
        self.files
            .get(path)
            .map(|(_, text)| text.as_bytes().to_vec())
    }
    fn file(&mut self, path: &Path) -> Option<(u64, u64)> {
        self.files.get(path).map(|(file, _)| *file)
    }
    fn files_in(&mut self, folder: &Path, _: usize) -> Vec<PathBuf> {
        let mut files: Vec<_> = self
            .files
            .keys()
            .filter(|path| path.parent() == Some(folder))
            .cloned()
            .collect();
        files.sort();
        files
    }
    fn new_id(&mut self, now: UnixNs) -> Option<SessionId> {
        self.ids += 1;
        Some(SessionId::from_parts(now, self.ids))
    }
}

fn process(pid: u32, parent_pid: u32, cgroup_id: u64) -> Process {
    Process {
        pid,
        parent_pid,
        start_boot_ns: u64::from(pid) * SECOND,
        uid: 1000,
        cgroup_id,
        ..Process::default()
    }
}

fn label(path: &str) -> PathLabel {
    PathLabel {
        text: ByteText(path.into()),
        truncated: false,
    }
}

fn by(number: u128) -> Attribution {
    crate::note::attribution(&session(number))
}

fn event(attribution: Attribution, action: Action) -> Event {
    Event {
        id: EventId {
            agent: AgentName::new("jump-1").unwrap(),
            boot: BootId::from_slice(&[7; 16]).unwrap(),
            source: Source::Agent,
            sequence: 1,
        },
        at: UnixNs(NOW - SECOND),
        boot_ns: 1,
        process: Some(process(50, 40, 9)),
        attribution,
        action,
    }
}

fn wrote(jobs: &mut Jobs, who: Attribution, file: (&str, u64), class: &str) {
    did(jobs, who, file, (class, Operation::Created));
}

fn did(
    jobs: &mut Jobs,
    who: Attribution,
    (path, inode): (&str, u64),
    (class, operation): (&str, Operation),
) {
    jobs.learn(&event(
        who,
        Action::Credential {
            object: FileObject {
                device: 8,
                inode,
                generation: 0,
                path: label(path),
            },
            class: class.into(),
            tenant: None,
            tier: None,
            technique: None,
            operation,
            flags: 0,
            other: None,
            denied: false,
            expected: None,
            injected: false,
            key: None,
            counted: None,
        },
    ));
}

fn run(argv: &[&str]) -> Action {
    Action::Exec {
        exe: FileObject {
            device: 8,
            inode: 5,
            generation: 0,
            path: label("/bin/dash"),
        },
        argv: argv.iter().map(|word| ByteText((*word).into())).collect(),
        argv_bytes: 9,
        argv_truncated: false,
        redacted: 0,
        argv_digest: None,
        script: None,
        given: ByteText::default(),
        interpreter: ByteText::default(),
    }
}

fn found(jobs: &mut Jobs, who: &Process, action: &Action, host: &mut Stage) -> Attribution {
    jobs.of_unmarked(who, action, UnixNs(NOW), host)
}

#[test]
fn a_job_of_cron_is_its_tables_writers_and_so_is_what_it_starts() {
    let table = (
        "/var/spool/cron/crontabs/ops",
        20,
        "* * * * * backup.sh -q\n",
    );
    let mut host = Stage::with(&[table, ("/etc/crontab", 21, "1 1 * * * root other\n")]);
    let mut jobs = Jobs::default();
    wrote(&mut jobs, by(1), (table.0, table.1), "scheduled-job");
    let shell = process(100, 90, CRON);
    let action = run(&["/bin/sh", "-c", "backup.sh -q"]);
    let who = found(&mut jobs, &shell, &action, &mut host);
    assert_eq!(who.session, Some(session(1).id));
    assert_eq!(who.lineage, Lineage::Linked);
    let way: Vec<_> = who.way.iter().map(|step| step.carrier).collect();
    assert_eq!(way, [Carrier::JobFile, Carrier::Daemon]);
    let child = found(
        &mut jobs,
        &process(101, 100, CRON),
        &run(&["tar"]),
        &mut host,
    );
    assert_eq!(child, who);
    let deeds = jobs.take_deeds();
    let [
        Deed::Began {
            job,
            process: leader,
        },
        Deed::Joined { job: joined, .. },
    ] = &*deeds
    else {
        panic!("{deeds:?}");
    };
    assert_eq!((leader.0, job.id), (100, *joined));
    assert_eq!(jobs.of_mark(job.id), Some(who));
    // Another job of the same daemon is nobody's.
    let other = run(&["/bin/sh", "-c", "other"]);
    let who = found(&mut jobs, &process(120, 90, CRON), &other, &mut host);
    assert_eq!(
        (who.session, who.reason),
        (None, Some(NoSession::UnregisteredWorkload))
    );
}

#[test]
fn a_command_in_tables_of_two_writers_is_nobodys_and_names_both() {
    let tables = [
        ("/etc/cron.d/a", 30, "* * * * * ops job\n"),
        ("/etc/cron.d/b", 31, "* * * * * ops job\n"),
    ];
    let mut host = Stage::with(&tables);
    let mut jobs = Jobs::default();
    wrote(&mut jobs, by(1), (tables[0].0, 30), "scheduled-job");
    wrote(&mut jobs, by(2), (tables[1].0, 31), "scheduled-job");
    let action = run(&["/bin/sh", "-c", "job"]);
    let who = found(&mut jobs, &process(100, 90, CRON), &action, &mut host);
    assert_eq!(
        (who.session, who.reason),
        (None, Some(NoSession::Ambiguous))
    );
    let named: Vec<_> = who.way.iter().filter_map(|step| step.session).collect();
    assert_eq!(named, [session(1).id, session(2).id]);
}

#[test]
fn a_table_that_somebody_unknown_wrote_since_is_nobodys() {
    let table = ("/etc/cron.d/a", 30, "* * * * * ops job\n");
    let mut host = Stage::with(&[table]);
    let mut jobs = Jobs::default();
    wrote(&mut jobs, by(1), (table.0, 30), "scheduled-job");
    let nobody = Attribution::none(NoSession::NoMark);
    wrote(&mut jobs, nobody, (table.0, 30), "scheduled-job");
    let action = run(&["/bin/sh", "-c", "job"]);
    let who = found(&mut jobs, &process(100, 90, CRON), &action, &mut host);
    assert_eq!(who.session, None);
}

#[test]
fn a_job_of_at_is_who_left_it_for_this_minute() {
    let mut host = Stage::default();
    let mut jobs = Jobs::default();
    let due = "/var/spool/cron/atjobs/a00001001c2b3f";
    let later = "/var/spool/cron/atjobs/a00002001c2b4f";
    wrote(&mut jobs, by(1), (due, 40), "scheduled-job");
    wrote(&mut jobs, by(2), (later, 41), "scheduled-job");
    let who = found(&mut jobs, &process(100, 90, AT), &run(&["sh"]), &mut host);
    assert_eq!(
        (who.session, who.lineage),
        (Some(session(1).id), Lineage::Linked)
    );
    let mut root = process(200, 90, AT);
    root.uid = 0;
    let who = found(&mut jobs, &root, &run(&["sh"]), &mut host);
    assert_eq!(who.session, None, "another account's job");
}

/// atd gives a job another name before it runs it.
#[test]
fn a_job_that_the_daemon_renames_keeps_its_writer() {
    for operation in [Operation::Linked, Operation::Renamed] {
        let mut jobs = Jobs::default();
        let due = ("/var/spool/cron/atjobs/a00001001c2b3f", 40);
        wrote(&mut jobs, by(1), due, "scheduled-job");
        let nobody = Attribution::none(NoSession::UnregisteredWorkload);
        did(&mut jobs, nobody, due, ("scheduled-job", operation));
        let action = run(&["sh"]);
        let who = found(
            &mut jobs,
            &process(100, 90, AT),
            &action,
            &mut Stage::default(),
        );
        assert_eq!(who.session, Some(session(1).id), "{operation:?}");
    }
}

#[test]
fn a_unit_is_who_wrote_its_file_or_what_triggers_it() {
    let unit = ("/usr/lib/systemd/system/restic.service", 50, "");
    let timer = ("/etc/systemd/system/restic.timer", 51, "");
    let mut host = Stage::with(&[unit, timer]);
    let mut jobs = Jobs::default();
    wrote(&mut jobs, by(1), (timer.0, 51), "service-unit");
    let who = found(
        &mut jobs,
        &process(100, 1, BACKUP),
        &run(&["restic"]),
        &mut host,
    );
    assert_eq!(
        (who.session, who.lineage),
        (Some(session(1).id), Lineage::Linked)
    );
    // Another process of the unit, which is no child of the first.
    let stop = found(
        &mut jobs,
        &process(130, 1, BACKUP),
        &run(&["post"]),
        &mut host,
    );
    assert_eq!(stop.session, who.session);
}

#[test]
fn a_unit_that_nobody_wrote_is_a_workload_registered_or_not() {
    let directory = "[[workload]]\nid = \"backup\"\nunit = \"restic.service\"\nowner = \"bob\"\n\
        purpose = \"backup\"\nexpires = 2100-01-01T00:00:00Z\n";
    let directory = Directory::parse(directory, Path::new("directory.toml")).unwrap();
    let mut host = Stage::with(&[("/etc/systemd/system/restic.service", 50, "")]);
    let mut jobs = Jobs::new(SharedJobs::default(), Arc::new(directory));
    let who = found(
        &mut jobs,
        &process(100, 1, BACKUP),
        &run(&["restic"]),
        &mut host,
    );
    assert_eq!(who.principal, Some("backup".parse().unwrap()));
    assert_eq!((who.session, who.reason), (None, Some(NoSession::Workload)));
    let who = found(
        &mut jobs,
        &process(100, 1, TRANSIENT),
        &run(&["x"]),
        &mut host,
    );
    assert_eq!(who.reason, Some(NoSession::UnregisteredWorkload));
    assert_eq!(who.way[0].name.to_string(), "run-r1.service");
    assert_eq!(who.way[0].to_string(), "started by run-r1.service");
    let who = found(&mut jobs, &process(100, 1, 77), &run(&["x"]), &mut host);
    assert_eq!((who.reason, who.way.len()), (Some(NoSession::NoMark), 0));
}

#[test]
fn what_a_job_writes_is_its_sessions_and_the_way_grows() {
    let table = ("/etc/cron.d/a", 30, "* * * * * ops job\n");
    let unit = ("/etc/systemd/system/restic.service", 50, "");
    let mut host = Stage::with(&[table, unit]);
    let mut jobs = Jobs::default();
    wrote(&mut jobs, by(1), (table.0, 30), "scheduled-job");
    let action = run(&["/bin/sh", "-c", "job"]);
    let job = found(&mut jobs, &process(100, 90, CRON), &action, &mut host);
    wrote(&mut jobs, job, (unit.0, 50), "service-unit");
    let who = found(&mut jobs, &process(200, 1, BACKUP), &run(&["x"]), &mut host);
    assert_eq!(who.session, Some(session(1).id));
    let way: Vec<_> = who.way.iter().map(|step| step.carrier).collect();
    assert_eq!(
        way,
        [
            Carrier::JobFile,
            Carrier::Daemon,
            Carrier::Unit,
            Carrier::Daemon
        ]
    );
}

#[test]
fn a_restart_knows_jobs_and_writers_again() {
    let table = ("/etc/cron.d/a", 30, "* * * * * ops job\n");
    let mut host = Stage::with(&[table]);
    let mut before = Jobs::default();
    wrote(&mut before, by(1), (table.0, 30), "scheduled-job");
    let action = run(&["/bin/sh", "-c", "job"]);
    found(&mut before, &process(100, 90, CRON), &action, &mut host);
    let writings = before.take_writings();
    let Some(Deed::Began { job, .. }) = before.take_deeds().into_iter().next() else {
        panic!("no job began");
    };
    let mut after = Jobs::default();
    after.resume(vec![job.clone()], writings);
    assert_eq!(after.of_mark(job.id), Some(job.attribution));
    let who = found(&mut after, &process(300, 90, CRON), &action, &mut host);
    assert_eq!(who.session, Some(session(1).id));
    assert!(after.end(job.id) && !after.end(job.id));
}
