//! Patterns, brought to the kernel and kept there while files change.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use monitor_agent::{
    counters::Counters,
    kernel::Operations,
    watch::{
        Catalogue, Homes, Label, Pattern, Rule, SharedLabels, SharedPrograms, Watcher, Watches,
    },
};
use monitor_common::{Credential, Operation};
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinHandle};

use crate::{
    actor::Actor,
    rig::{Rig, Seen, drain, until},
};

struct Bench {
    rig: Rig,
    labels: SharedLabels,
    counters: Arc<Counters>,
    folder: TempDir,
    runtime: Runtime,
    /// The watcher; goes before the rig.
    task: JoinHandle<()>,
}

impl Bench {
    /// Watches patterns in a new folder that `prepare` filled.
    fn new(prepare: impl FnOnce(&Path) -> Vec<Rule>) -> Option<Self> {
        let rig = Rig::new()?;
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let labels = SharedLabels::open(&folder.path().join("state.db")).unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        let rules = prepare(&folder.path().join("etc"));
        let watches = Watches {
            rules,
            ..Watches::default()
        };
        Some(Self::start(rig, folder, labels, watches))
    }

    fn start(rig: Rig, folder: TempDir, labels: SharedLabels, watches: Watches) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let counters = Arc::new(Counters::default());
        let shared = (labels.clone(), SharedPrograms::default());
        let started = {
            let _inside = runtime.enter();
            Watcher::start(
                watches,
                shared,
                Arc::clone(&rig.probes),
                Arc::clone(&counters),
            )
            .unwrap()
        };
        let task = runtime.spawn(started.run());
        Self {
            rig,
            labels,
            counters,
            folder,
            runtime,
            task,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("etc").join(name)
    }

    /// What a shell in a session makes seen of watched files, and its class.
    fn after(&mut self, script: &str) -> Vec<(Credential, String)> {
        let script = format!("cd {}; {script}", self.path("").display());
        let rig = &mut self.rig;
        Actor::shell(&script).marked(&rig.probes, rig.mark).act();
        let seen = rig.collect_until_ended();
        rig.probes.forget_session(rig.mark).unwrap();
        let credential = |seen| match seen {
            Seen::Credential { credential, .. } => Some(credential),
            _ => None,
        };
        let class = |credential: Credential| {
            let label = self.labels.get(credential.watch_id).unwrap();
            (credential, label.class)
        };
        seen.into_iter().filter_map(credential).map(class).collect()
    }

    /// The opens among them, as inode and class.
    fn opens(&mut self, script: &str) -> Vec<(u64, String)> {
        let seen = self.after(script);
        let opens = seen
            .into_iter()
            .filter(|(credential, _)| credential.operation == Operation::OPENED);
        opens
            .map(|(credential, class)| (credential.file.inode, class))
            .collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
        // It was told to end.
        let _ = self.runtime.block_on(&mut self.task);
        assert_eq!(self.counters.watches_beyond.get(), 0);
    }
}

fn rule(folder: &Path, pattern: &str, class: &str) -> Rule {
    Rule {
        pattern: Pattern::new(&format!("{}/{pattern}", folder.display())).unwrap(),
        label: Label::of_class(class),
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_file_that_is_made_at_a_watched_name_is_told_from_its_first_open_on() {
    let Some(mut bench) = Bench::new(|at| vec![rule(at, "token", "token")]) else {
        return;
    };
    // No time passes between the making and the reading.
    let seen = bench.after("echo secret > token; : < token; echo again > other");
    let file = inode(&bench.path("token"));
    assert!(seen.iter().all(|(_, class)| class == "token"), "{seen:#?}");
    let operations: Vec<_> = seen.iter().map(|(told, _)| told.operation).collect();
    assert_eq!(operations.first(), Some(&Operation::CREATED));
    let read = seen.last().unwrap().0;
    assert_eq!((read.operation, read.file.inode), (Operation::OPENED, file));
    assert_eq!(read.open_flags & 3, 0, "read only");
}

#[test]
fn a_file_renamed_over_a_watched_one_is_told_at_once_and_so_is_the_old_one() {
    let Some(mut bench) = Bench::new(|at| {
        fs::write(at.join("key"), "old").unwrap();
        vec![rule(at, "key", "key"), rule(at, "*.pem", "pem")]
    }) else {
        return;
    };
    fs::write(bench.path("new"), "new").unwrap();
    let (old, new) = (inode(&bench.path("key")), inode(&bench.path("new")));
    let opens = bench.opens("mv key kept; mv new key; : < key; : < kept");
    let key = |inode| (inode, "key".to_owned());
    assert_eq!(opens, [key(new), key(old)]);
    // Also once the watcher has looked again.
    fs::write(bench.path("a.pem"), "").unwrap();
    let labels = bench.labels.clone();
    until("it has looked", || labels.get(2).is_some());
    assert_eq!(bench.opens(": < kept"), [key(old)]);
}

#[test]
fn other_names_of_files_below_a_watched_directory_are_watched() {
    let Some(mut bench) = Bench::new(|at| {
        fs::create_dir_all(at.join("vault/deep")).unwrap();
        fs::write(at.join("vault/deep/key"), "x").unwrap();
        fs::hard_link(at.join("vault/deep/key"), at.join("link")).unwrap();
        vec![rule(at, "vault/**", "vault")]
    }) else {
        return;
    };
    let file = inode(&bench.path("link"));
    let opens = bench.opens(": < link; : < vault/deep/key");
    let vault = (file, "vault".to_owned());
    assert_eq!(opens, [vault.clone(), vault]);
}

#[test]
fn what_fits_a_glob_or_lies_in_a_new_directory_is_watched_soon() {
    let Some(mut bench) =
        Bench::new(|at| vec![rule(at, "*.pem", "pem"), rule(at, "new/dir/key", "deep")])
    else {
        return;
    };
    fs::write(bench.path("a.pem"), "").unwrap();
    fs::create_dir_all(bench.path("new/dir")).unwrap();
    fs::write(bench.path("new/dir/key"), "").unwrap();
    let labels = bench.labels.clone();
    until("both labels are given out", || labels.get(2).is_some());
    let script = ": < a.pem; : < new/dir/key";
    let mut opens = Vec::new();
    // The label is given out before the kernel's table is written.
    for _ in 0..50 {
        opens = bench.opens(script);
        if opens.len() == 2 {
            break;
        }
    }
    let classes: Vec<_> = opens.iter().map(|(_, class)| class.as_str()).collect();
    assert_eq!(classes, ["pem", "deep"]);
}

#[test]
fn of_configuration_only_changes_are_told() {
    let Some(mut bench) = Bench::new(|at| {
        fs::write(at.join("sshd_config"), "x").unwrap();
        let mut configuration = rule(at, "sshd_config", "configuration");
        configuration.label.operations = Operations::Changes;
        let mut folder = rule(at, "cron.d/**", "cron");
        folder.label.operations = Operations::Changes;
        fs::create_dir(at.join("cron.d")).unwrap();
        fs::write(at.join("cron.d/job"), "x").unwrap();
        vec![configuration, folder]
    }) else {
        return;
    };
    assert_eq!(
        bench.opens(": < sshd_config; : < cron.d/job; ls cron.d"),
        []
    );
    let changed = bench.opens("echo y >> sshd_config; echo z > cron.d/job; : < cron.d/job");
    let classes: Vec<_> = changed.iter().map(|(_, class)| class.as_str()).collect();
    assert_eq!(classes, ["configuration", "cron"]);
}

#[test]
fn the_whole_catalogue_fits_and_a_shell_at_its_daily_business_is_not_told() {
    let Some(rig) = Rig::new() else { return };
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    let labels = SharedLabels::open(&folder.path().join("state.db")).unwrap();
    let (rules, expectations) = Catalogue::built_in().unwrap().rules(&[], &[]);
    let watches = Watches {
        rules,
        expectations,
        homes: Homes::default(),
    };
    let mut bench = Bench::start(rig, folder, labels, watches);
    // Programs that everybody runs read passwd, profiles and libraries.
    let seen = bench
        .after("id; ls -la ~ /etc > /dev/null; bash -lc 'echo hello'; cat /etc/passwd > /dev/null");
    assert_eq!(seen, [], "a quiet shell");
    let shadow = inode(Path::new("/etc/shadow"));
    let opens = bench.opens("cat /etc/shadow > /dev/null");
    assert_eq!(opens, [(shadow, "password-digest".to_owned())]);
    drop(drain(&mut bench.rig.rings.priority));
}
