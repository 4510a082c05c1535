//! Real processes of this machine, with a table of marks of the test's own.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use monitor_model::{
    clock::SystemClock,
    inspect::{
        ConnectionState, DESCRIPTORS_OF_ONE_MAX, Descriptor, DescriptorKind, ProcessState,
        SocketProtocol,
    },
};

use super::*;
use crate::{
    attribute::sessions::tests::session,
    kernel::{FileIdentity, WatchName},
    marks::tests::FakeMarks,
    watch::{
        labels::Label,
        resolve::{Look as Identify, tests::Stat},
    },
};

const SECRET: &str = "hunter2geheim";

/// Watches of a test, on the files of this machine.
#[derive(Debug, Default)]
struct Watched {
    files: Mutex<BTreeMap<FileIdentity, u32>>,
    names: Mutex<Vec<(WatchName, u32)>>,
}

impl Identify for Watched {
    fn identify(&self, path: &Path) -> io::Result<FileIdentity> {
        Stat.identify(path)
    }
}

impl Objects for Watched {
    fn watched(&self, file: &FileIdentity) -> Result<Option<u32>, KernelError> {
        Ok(self.files.lock().unwrap().get(file).copied())
    }

    fn watched_name(&self, name: &WatchName) -> Result<Option<u32>, KernelError> {
        let names = self.names.lock().unwrap();
        let found = names.iter().find(|(watched, _)| watched == name);
        Ok(found.map(|(_, id)| *id))
    }
}

/// One who looks, for other tests: nothing is watched.
pub(crate) fn inspector(
    folder: &Path,
    (sessions, marks): (&SharedSessions, &Arc<FakeMarks>),
) -> Inspector {
    Inspector {
        sessions: sessions.clone(),
        jobs: SharedJobs::default(),
        marks: marks.clone(),
        objects: Arc::new(Watched::default()),
        labels: SharedLabels::open(&folder.join("labels.db")).unwrap(),
        redactor: Arc::new(Redactor::new(&[7; 32]).unwrap()),
        clock: Arc::new(SystemClock),
        places: Inspector::places(),
    }
}

/// A process with things open, ended with the test.
struct Working(Child);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Working {
    /// Runs lines of a shell, then says so and waits.
    fn does(lines: &str, arguments: &[&str]) -> Self {
        let script = format!("{lines}; echo ready; read -r wait");
        let child = Command::new("bash")
            .args(["-c", &script, "work"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut working = Self(child.unwrap());
        let mut said = String::new();
        let out = working.0.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        working
    }
}

struct Scene {
    inspector: Inspector,
    marks: Arc<FakeMarks>,
    objects: Arc<Watched>,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sessions, marks) = (SharedSessions::default(), Arc::new(FakeMarks::default()));
        sessions.lock().put(session(1)).unwrap();
        let objects = Arc::new(Watched::default());
        let inspector = Inspector {
            objects: objects.clone(),
            ..inspector(folder.path(), (&sessions, &marks))
        };
        Self {
            inspector,
            marks,
            objects,
            folder,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.folder.path().canonicalize().unwrap().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x").unwrap();
        path
    }

    fn label(&self, class: &str) -> u32 {
        let label = Label {
            tenant: Some("globex".parse().unwrap()),
            ..Label::of_class(class)
        };
        self.inspector.labels.id(&label).unwrap()
    }

    fn watch(&self, path: &Path, class: &str) {
        let file = Stat.identify(path).unwrap();
        let id = self.label(class);
        self.objects.files.lock().unwrap().insert(file, id);
    }

    fn of(&self, working: &[&Working]) -> Snapshot {
        for one in working {
            self.marks.mark(one.0.id(), session(1).id).unwrap();
        }
        self.inspector.see(session(1).id).unwrap().unwrap()
    }
}

/// Looks until a process does what is waited for: it takes a moment.
fn until(scene: &Scene, state: ProcessState) -> Snapshot {
    let began = std::time::Instant::now();
    loop {
        let seen = scene.inspector.see(session(1).id).unwrap().unwrap();
        if seen.processes[0].state == state {
            return seen;
        }
        assert!(began.elapsed().as_secs() < 20, "{seen:#?}");
        std::thread::yield_now();
    }
}

/// What is open under a path.
fn at<'a>(snapshot: &'a Snapshot, path: &Path) -> &'a Descriptor {
    let open = snapshot.processes.iter().flat_map(|one| &one.descriptors);
    let mut open = open.filter(|one| one.object.path.to_string() == path.display().to_string());
    open.next().unwrap()
}

#[test]
fn a_process_is_shown_with_what_it_has_open_and_without_its_secrets() {
    let scene = Scene::new();
    let [plain, own, below, named] =
        ["plain", "own.key", "keys/a/b", "store/kubeconfig"].map(|name| scene.file(name));
    scene.watch(&own, "ssh-key");
    scene.watch(below.parent().unwrap().parent().unwrap(), "keys");
    let directory = Stat.identify(named.parent().unwrap()).unwrap();
    let name = WatchName::new(directory, b"kubeconfig", 0, crate::kernel::Operations::All);
    let id = scene.label("kubeconfig");
    scene
        .objects
        .names
        .lock()
        .unwrap()
        .push((name.unwrap(), id));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = format!(
        "exec 3<{} 4<{} 5<{} 6>>{} 7<>/dev/tcp/127.0.0.1/{port}",
        plain.display(),
        own.display(),
        below.display(),
        named.display(),
    );
    let secret = format!("--password={SECRET}");
    let working = Working::does(&lines, &[&secret]);
    let stranger = Working::does(":", &[]);
    scene.of(&[&working]);
    let seen = until(&scene, ProcessState::Sleeping);

    let [process] = seen.processes.as_slice() else {
        panic!("{seen:#?}");
    };
    assert_eq!(process.key.pid, working.0.id());
    assert_ne!(process.key.pid, stranger.0.id());
    assert_eq!(process.parent_pid, std::process::id());
    assert_eq!(process.threads, 1);
    let exe = process.exe.as_ref().unwrap();
    assert_eq!(exe.path.text.file_name().to_string(), "bash");
    assert!(exe.inode > 0 && process.cwd.is_some() && process.root.is_none());
    let told = format!("{seen:?}");
    assert!(!told.contains(SECRET), "{told}");
    assert!(process.arguments.as_ref().unwrap().redacted >= 1);
    let age = seen.taken_at.since(process.started_at);
    assert!(age < std::time::Duration::from_secs(60), "{age:?}");

    let class = |path: &Path| {
        at(&seen, path)
            .credential
            .as_ref()
            .map(|one| one.class.as_str())
    };
    assert_eq!(class(&plain), None);
    assert_eq!(class(&own), Some("ssh-key"));
    assert_eq!(class(&below), Some("keys"));
    assert_eq!(class(&named), Some("kubeconfig"));
    assert_eq!(seen.tenants().count(), 3);
    let (read, written) = (at(&seen, &plain), at(&seen, &named));
    assert_eq!((read.reads, read.writes), (true, false));
    assert_eq!((written.reads, written.writes), (false, true));
    assert_eq!(read.kind, DescriptorKind::File);

    let mut sockets = process
        .descriptors
        .iter()
        .filter_map(|one| one.socket.as_ref());
    let socket = sockets.next().unwrap();
    assert_eq!(socket.protocol, SocketProtocol::Tcp);
    assert_eq!(socket.state, Some(ConnectionState::Established));
    assert_eq!(socket.peer.unwrap().port, port);
    assert!(socket.local.is_some_and(|local| local.port != 0));
    assert_eq!(sockets.next(), None);
}

#[test]
fn a_file_that_was_moved_away_from_a_watched_directory_is_not_told_by_its_path() {
    let scene = Scene::new();
    let (below, other) = (scene.file("keys/a"), scene.file("keys/b"));
    scene.watch(below.parent().unwrap(), "keys");
    let working = Working::does(&format!("exec 3<{}", below.display()), &[]);
    std::fs::rename(&other, &below).unwrap();
    let seen = scene.of(&[&working]);
    let open = &seen.processes[0].descriptors;
    let gone = |one: &&Descriptor| one.object.path.to_string().contains("(deleted)");
    assert_eq!(open.iter().find(gone).unwrap().credential, None);
}

#[test]
fn a_process_whose_name_is_no_text_is_shown_as_others_are() {
    let scene = Scene::new();
    let name = "printf '\\377) R \\376' >/proc/$$/comm";
    let working = Working::does(name, &[]);
    let stat = std::fs::read(format!("/proc/{}/stat", working.0.id())).unwrap();
    assert!(stat.contains(&0xff), "{stat:?}");
    scene.of(&[&working]);
    let seen = until(&scene, ProcessState::Sleeping);
    assert_eq!(seen.processes.len(), 1);
}

#[test]
fn who_is_stopped_with_the_session_is_frozen_and_more_descriptors_than_fit_are_counted() {
    let scene = Scene::new();
    let lines = "for n in {1..600}; do exec {fd}</dev/null; done";
    let working = Working::does(lines, &[]);
    let pid = rustix::process::Pid::from_child(&working.0);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    scene.of(&[&working]);
    let seen = until(&scene, ProcessState::Stopped);
    assert_eq!(seen.stance, Stance::Open);
    let process = &seen.processes[0];
    assert_eq!(process.descriptors.len(), DESCRIPTORS_OF_ONE_MAX);
    assert!((100..200).contains(&process.more_descriptors));
    scene.marks.hold(session(1).id).unwrap();
    let held = scene.inspector.see(session(1).id).unwrap().unwrap();
    assert_eq!(held.stance, Stance::Frozen);
    assert_eq!(held.processes[0].state, ProcessState::Frozen);
}

#[tokio::test]
async fn who_is_not_there_is_said_and_too_many_looks_are_told_to_come_again() {
    let scene = Scene::new();
    let looked = |id| scene.inspector.look(id);
    let (seen, place) = looked(session(1).id).await;
    assert_eq!(seen, Err(NotShown::Unknown), "nobody lives in it");
    assert_eq!(looked(session(2).id).await.0, Err(NotShown::Unknown));
    drop(place);
    let mut places = Vec::new();
    for _ in 0..LOOKS_MAX {
        places.push(looked(session(1).id).await.1);
    }
    assert_eq!(looked(session(1).id).await.0, Err(NotShown::Busy));
    places.pop();
    assert_eq!(looked(session(1).id).await.0, Err(NotShown::Unknown));
    *scene.marks.blind.lock().unwrap() = true;
    drop(places);
    assert_eq!(looked(session(1).id).await.0, Err(NotShown::Failed));
}

#[test]
fn a_process_that_is_another_sessions_by_now_is_left_out() {
    let scene = Scene::new();
    let working = Working::does(":", &[]);
    let one = Looked {
        start_ticks: ProcessStat::read(working.0.id()).unwrap().start_ticks,
        pid: working.0.id(),
        mark: session(1).id,
        job: None,
        is_held: false,
    };
    scene.marks.mark(working.0.id(), session(2).id).unwrap();
    let mut look = Look {
        inspector: &scene.inspector,
        room: Room::default(),
        since_boot: TimeOffset::now(),
        held: BTreeSet::new(),
    };
    assert_eq!(look.process(&one).unwrap(), None);
}

#[test]
fn long_paths_keep_their_end_and_an_answer_ends_where_it_is_full() {
    let scene = Scene::new();
    let mut look = Look {
        inspector: &scene.inspector,
        room: Room::default(),
        since_boot: TimeOffset::now(),
        held: BTreeSet::new(),
    };
    let long = format!("/{}/end", "a".repeat(2 * PATH_BYTES_MAX));
    let shown = look.path(long.into_bytes());
    assert!(shown.truncated && shown.text.0.ends_with(b"/end"));
    assert_eq!(shown.text.0.len(), PATH_BYTES_MAX);
    for _ in 0..DESCRIPTORS_MAX {
        assert!(look.room.take_descriptor());
    }
    assert!(!look.room.take_descriptor());
    look.room.take_text(TEXT_BYTES_MAX);
    assert!(look.room.is_full());
}
