//! Runs monitorctl as a person does: certificates on disk, settings in the environment.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use monitor_model::clock::{Clock as _, SystemClock, UnixNs};
use monitor_transport::{
    identity::Identity,
    pki::{Authority, Leaf},
    tls::{Tls, TlsFiles},
};
use tempfile::TempDir;

use crate::collector::{Collector, World};

/// 2020-09-13.
pub(crate) const LONG_AGO: UnixNs = UnixNs::from_seconds(1_600_000_000);
const PATIENCE: Duration = Duration::from_secs(60);

/// An authority with a collector's and carol's certificate.
pub(crate) struct Site {
    folder: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::since(SystemClock.now())
    }

    /// A site whose authority was made at some time.
    pub(crate) fn since(begin: UnixNs) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Authority::create(folder.path(), begin, 36_500).unwrap();
        let site = Self { folder };
        site.issue("monitor://collector/collector", 1);
        site.issue("monitor://soc/carol", 1);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certifies somebody for the hosts `localhost` and 127.0.0.1.
    pub(crate) fn issue(&self, identity: &str, days: u64) {
        let identity: Identity = identity.parse().unwrap();
        let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf = Leaf {
            identity: &identity,
            hosts: &hosts,
            not_before: SystemClock.now(),
            days,
        };
        Authority::open(self.folder.path())
            .issue(&leaf, self.folder.path())
            .unwrap();
    }

    /// Certifies somebody for a day that is long over.
    pub(crate) fn issue_expired(&self, identity: &str) {
        let identity: Identity = identity.parse().unwrap();
        let hosts = ["127.0.0.1".to_owned()];
        let leaf = Leaf {
            identity: &identity,
            hosts: &hosts,
            not_before: LONG_AGO,
            days: 1,
        };
        Authority::open(self.folder.path())
            .issue(&leaf, self.folder.path())
            .unwrap();
    }

    pub(crate) fn tls(&self, name: &str) -> Tls {
        self.files(name).load(SystemClock.now()).unwrap()
    }

    pub(crate) fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            ca: self.path("ca.pem"),
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
        }
    }

    pub(crate) fn collector(&self, world: World) -> Collector {
        Collector::start(&self.tls("collector"), world)
    }

    /// monitorctl as carol, with nothing else in its environment.
    pub(crate) fn command(&self, collector: &Collector, arguments: &[&str]) -> Command {
        let mut command = bare(arguments);
        let files = self.files("carol");
        command
            .env(
                "MONITOR_COLLECTOR",
                format!("https://{}", collector.address),
            )
            .env("MONITOR_CA", files.ca)
            .env("MONITOR_CERTIFICATE", files.certificate)
            .env("MONITOR_KEY", files.key);
        command
    }

    pub(crate) fn run(&self, collector: &Collector, arguments: &[&str]) -> Ran {
        ran(self.command(collector, arguments))
    }
}

/// monitorctl without any setting.
pub(crate) fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monitorctl"));
    command
        .args(arguments)
        .env_clear()
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn ran(mut command: Command) -> Ran {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    finish(child)
}

/// Waits for the end, but not for ever.
pub(crate) fn finish(mut child: Child) -> Ran {
    let mut out = child.stdout.take();
    let mut err = child.stderr.take();
    let out = std::thread::spawn(move || text(out.as_mut()));
    let err = std::thread::spawn(move || text(err.as_mut()));
    let deadline = Instant::now() + PATIENCE;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!(
                "it did not end; it said {:?} and {:?}",
                out.join().unwrap(),
                err.join().unwrap()
            );
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    Ran {
        code,
        out: out.join().unwrap(),
        err: err.join().unwrap(),
    }
}

fn text(stream: Option<&mut impl std::io::Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.read_to_end(&mut bytes).unwrap();
    }
    String::from_utf8(bytes).unwrap()
}

/// Runs a command on a terminal of its own, with these lines typed; what both
/// streams showed. None when there is no `script` to make the terminal.
pub(crate) fn on_terminal(command: &Command, typed: &str) -> Option<Ran> {
    let mut line = vec![quote(Path::new(command.get_program()))];
    line.extend(
        command
            .get_args()
            .map(|argument| quote(Path::new(argument))),
    );
    let mut script = Command::new("script");
    script
        .args(["-qec", &line.join(" "), "/dev/null"])
        .env_clear();
    script.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    script
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SHELL", "/bin/sh");
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, typed.as_bytes()).unwrap();
    let spawned = script
        .stdin(reader)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    match spawned {
        Ok(child) => {
            // The terminal hangs up when nobody can type any more.
            let ran = finish(child);
            drop(writer);
            Some(ran)
        }
        Err(error) => {
            println!("SKIPPED: no terminal can be made: script: {error}");
            None
        }
    }
}

fn quote(word: &Path) -> String {
    format!("'{}'", word.to_str().unwrap())
}

/// Waits until something holds, and says what when it does not.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it did not come to pass: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The lines of ndjson.
pub(crate) fn records(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}
