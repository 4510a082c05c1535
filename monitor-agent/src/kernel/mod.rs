//! The probes: the only place of the agent that knows the kernel.
//!
//! # What others use
//! ```no_run
//! # use monitor_agent::kernel::*;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ProbeConfig::new("/sys/fs/bpf/monitor");
//! ensure_bpffs(&config.pin_dir)?;
//! let Started { probes, mut rings, report } = Probes::start(&config)?;
//! for family in report.blind() {
//!     eprintln!("not seen: {} ({:?})", family.misses, family.refusals);
//! }
//! probes.mark(std::process::id(), SessionMark([7; 16]))?;
//! let limits = BatchLimits { records_max: 1_000, bytes_max: 1 << 20 };
//! loop {
//!     rings.priority.wait(std::time::Duration::from_millis(100))?;
//!     let batch = rings.priority.read_batch(limits);
//!     for bytes in batch.records() {
//!         let record = monitor_common::decode(bytes);
//!     }
//!     // Once it is on disk:
//!     rings.priority.commit(batch.cursor());
//! #   break;
//! }
//! # Ok(())
//! # }
//! ```
//! [`Probes`] steers (marks, states, watches, counters), takes `&self`
//! everywhere and may be shared between threads. [`Rings`] are moved to who
//! reads them. [`features()`] tells what this kernel allows, [`detach`] removes
//! everything, [`TimeOffset`] turns the records' time into calendar time.
//!
//! Dropping both leaves the probes running and the rings filling: a start with
//! the same folder goes on where the last commit was. A start of another version
//! brings its own probes up beside those that run, turns the switch, and names the
//! others ([`Probes::before`]): what they told until then is in their rings, which
//! an agent of their ABI reads ([`Probes::open_before`]).
//!
//! # Layout
//! - [`hooks`]: which program serves which family, on which tier.
//! - `btf`: the kernel's type information; `offsets`: kernel fields by name; `load`: object, programs, links.
//! - `switch`: versions side by side, and the moment in which one follows another.
//! - `places`: whether what was armed still is. `pins`: the folder that keeps probes alive; `sys`, `table`, `mapping`: the
//!   system calls and shared memory.
//! - [`ring`], [`batch`]: the consumer; [`counters`]: what was lost and why.
//! - [`sessions`], `process`: marks, states, killing; `freeze`, `groups`: what
//!   stands still and goes on; `sockets`, `sock_diag`: connections that are cut.
//! - `scopes`: what sessions may reach. [`watch`]: watched files; `identify`: who a file is.
//! - [`clock`]: time; [`mod@features`]: what `doctor` tells.

use std::path::PathBuf;

pub use monitor_common::{DigestKey, SessionMark};

pub mod batch;
mod btf;
pub mod clock;
pub mod counters;
mod error;
pub mod features;
mod freeze;
mod groups;
pub mod hooks;
mod identify;
mod load;
mod mapping;
mod offsets;
mod pins;
mod places;
mod process;
mod program;
pub mod ring;
mod scopes;
pub mod sessions;
mod sock_diag;
mod sockets;
mod sums;
mod switch;
mod sys;
mod table;
pub mod watch;

pub use batch::{Batch, BatchLimits, Cursor};
pub use btf::BtfError;
pub use clock::TimeOffset;
pub use counters::{Counters, NotRun, RingCount, SecondLook};
pub use error::KernelError;
pub use features::{Feature, FeatureReport, FeatureState, features, trial};
pub use freeze::{Halted, Resumed};
pub use hooks::{Family, Tier};
pub(crate) use load::cgroup_root;
pub use load::{ArmReport, FamilyReport, Refusal};
pub use offsets::BTF_PATH;
pub use pins::{Detached, detach, ensure_bpffs, forget};
pub use ring::{RingReader, Rings, Waited};
pub use sessions::{Killed, Marked, SessionRow, SessionState};
pub use sockets::{Cut, IpSocket, ip_sockets};
pub use watch::{FileIdentity, Operations, WatchChange, WatchEntry, WatchName};

use pins::{Found, Pins};
use process::Process;
use scopes::ScopeTables;
use sessions::SessionTables;

/// The kernel programs; empty where the agent was built without them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/monitor-ebpf.o"));

/// Smallest ring, bytes.
pub const RING_BYTES_MIN: u32 = 65_536;
/// Largest ring, bytes.
pub const RING_BYTES_MAX: u32 = 1 << 30;

/// What is armed by probes of this version that run already, if any do. Takes
/// no lock and loads nothing: for `doctor` beside an agent that runs.
#[must_use]
pub fn armed(pin_dir: &std::path::Path) -> Option<ArmReport> {
    let links = pins::running(pin_dir, OBJECT)?;
    Some(load::resumed(|name| links.join(name).exists()))
}

/// How to start probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// Folder for the pins, on a BPF file system; see [`ensure_bpffs`].
    pub pin_dir: PathBuf,
    /// Size of the ring for exec, connect, credential and session ended: a
    /// power of two. Counts only when probes are loaded, not when resumed.
    pub priority_ring_bytes: u32,
    /// Size of the ring for fork and exit: a power of two.
    pub bulk_ring_bytes: u32,
    /// The best tier that may be taken. Counts only when probes are loaded.
    pub best_tier: Tier,
    /// Of the digests of arguments. Counts only when probes are loaded.
    pub digest_key: DigestKey,
}

impl ProbeConfig {
    /// 16 MiB for the priority ring (some 50,000 records), 4 MiB for the bulk
    /// ring, every tier, a digest key of zeros.
    pub fn new(pin_dir: impl Into<PathBuf>) -> Self {
        Self {
            pin_dir: pin_dir.into(),
            priority_ring_bytes: 16 << 20,
            bulk_ring_bytes: 4 << 20,
            best_tier: Tier::Lsm,
            digest_key: DigestKey([0, 0]),
        }
    }

    fn check(&self) -> Result<(), KernelError> {
        for bytes in [self.priority_ring_bytes, self.bulk_ring_bytes] {
            if !bytes.is_power_of_two() || !(RING_BYTES_MIN..=RING_BYTES_MAX).contains(&bytes) {
                let (bytes_min, bytes_max) = (RING_BYTES_MIN, RING_BYTES_MAX);
                return Err(KernelError::RingSize {
                    bytes,
                    bytes_min,
                    bytes_max,
                });
            }
        }
        Ok(())
    }
}

/// What [`Probes::start`] gives.
#[derive(Debug)]
pub struct Started {
    /// The handle that steers.
    pub probes: Probes,
    /// The consumers of the rings.
    pub rings: Rings,
    /// What was armed.
    pub report: ArmReport,
}

/// Probes that run.
#[derive(Debug)]
pub struct Probes {
    sessions: SessionTables,
    scopes: ScopeTables,
    watches: watch::WatchTables,
    identifier: identify::Identifier,
    counters: counters::CounterTables,
    places: places::Places,
    sums: sums::Sums,
    pins: Pins,
    /// What these have followed, and is not forgotten yet.
    before: Vec<Pins>,
}

/// Probes that others have followed, with records that may be unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// The name of their version.
    pub version: String,
    /// Whether an agent of this version reads their records.
    pub is_readable: bool,
}

impl Probes {
    /// Loads and attaches the kernel programs, or goes on with those that the
    /// last agent left. Probes of another version run on until these are armed
    /// beside them; then the kernel runs these, in one step for all hooks.
    ///
    /// # Errors
    /// Only what stops everything: [`KernelError::NoObject`], `TooOld`, `NotBpffs`,
    /// `Locked`, `OtherVersion`, `RingSize`, `Btf`, `Object`, `Pin`, `Switch`; and [`KernelError::Followed`]. A family
    /// that cannot be armed is in the report instead.
    pub fn start(config: &ProbeConfig) -> Result<Started, KernelError> {
        config.check()?;
        if OBJECT.is_empty() {
            return Err(KernelError::NoObject);
        }
        features::refuse_old(&rustix::system::uname().release().to_string_lossy())?;
        let pins = Pins::open(&config.pin_dir, OBJECT)?;
        if pins.is_over() {
            let version = pins.version();
            return Err(KernelError::Followed { version });
        }
        let before = pins.others()?;
        let report = match pins.found() {
            Found::Everything => {
                load::name_self(&pins)?;
                load::resumed(|name| pins.link(name).exists())
            }
            Found::Nothing => {
                let running = switch::running(&before)?;
                load::load(config, OBJECT, &pins, running).inspect_err(|_| {
                    // The first error is the one to tell.
                    let _ = pins.abandon();
                })?
            }
        };
        switch::turn_to(&pins)?;
        for pins in &before {
            pins.end()?;
        }
        Self::open(pins, before, report)
    }

    /// The name of the folder of the pins.
    #[must_use]
    pub fn version(&self) -> String {
        self.pins.version()
    }

    /// Opens probes that others have followed, to read what they told. Locks them;
    /// who followed them has made sure that they tell nothing more.
    ///
    /// # Errors
    /// [`KernelError::NotOver`], `Locked`, `Pin`, `Table`, `Ring`.
    pub fn open_before(pin_dir: &std::path::Path, version: &str) -> Result<Started, KernelError> {
        let pins = Pins::of_before(pin_dir, version)?;
        load::name_self(&pins)?;
        let report = load::resumed(|name| pins.link(name).exists());
        Self::open(pins, Vec::new(), report)
    }

    fn open(pins: Pins, before: Vec<Pins>, report: ArmReport) -> Result<Started, KernelError> {
        let rings = Rings::open(&pins)?;
        let probes = Self {
            sessions: SessionTables::open(&pins)?,
            scopes: ScopeTables::open(&pins)?,
            watches: watch::WatchTables::open(&pins)?,
            identifier: identify::Identifier::open(&pins)?,
            counters: counters::CounterTables::open(&pins)?,
            places: places::Places::open(&pins)?,
            sums: sums::Sums::open(&pins)?,
            pins,
            before,
        };
        Ok(Started {
            probes,
            rings,
            report,
        })
    }

    /// The folder of the pins.
    #[must_use]
    pub fn pin_dir(&self) -> &std::path::Path {
        self.pins.root()
    }

    /// What names this loading of the probes.
    ///
    /// # Errors
    /// [`KernelError::Pin`].
    pub fn epoch(&self) -> Result<String, KernelError> {
        self.pins.epoch()
    }

    /// Probes that these have followed: their records are read first, and then
    /// they are forgotten.
    #[must_use]
    pub fn before(&self) -> Vec<Before> {
        let before = self.before.iter();
        before
            .map(|pins| Before {
                version: pins.version(),
                is_readable: pins.is_of_this_abi(),
            })
            .collect()
    }

    /// Removes what is left of probes that these have followed; records that were
    /// not read are gone. Says again who the agent is: who read them said so of
    /// itself.
    ///
    /// # Errors
    /// [`KernelError::Pin`].
    pub fn forget_before(&mut self) -> Result<(), KernelError> {
        for pins in std::mem::take(&mut self.before) {
            pins.abandon()?;
        }
        load::name_self(&self.pins)
    }

    /// Gives a process the mark of a session, making the session's row where it
    /// has none. Its threads have the mark from then on, and every task that it
    /// makes, unto the last descendant. Children that it made before have not:
    /// mark a process before it forks.
    ///
    /// # Errors
    /// [`KernelError::NoProcess`], `SessionsFull`, `Process`, `Table`.
    pub fn mark(&self, pid: u32, mark: SessionMark) -> Result<Marked, KernelError> {
        self.sessions.mark(pid, mark)
    }

    /// The mark of a process.
    ///
    /// # Errors
    /// [`KernelError::NoProcess`], `Process`.
    pub fn mark_of(&self, pid: u32) -> Result<Option<SessionMark>, KernelError> {
        self.sessions.mark_of(&Process::open(pid)?)
    }

    /// Says what the kernel is to do with a session, from the next event on.
    ///
    /// # Errors
    /// [`KernelError::NoSession`], `Table`.
    pub fn set_session_state(
        &self,
        mark: SessionMark,
        state: SessionState,
    ) -> Result<(), KernelError> {
        self.sessions.set_state(mark, state)
    }

    /// The row of a session: living tasks, state. `None`: not known.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn session(&self, mark: SessionMark) -> Result<Option<SessionRow>, KernelError> {
        self.sessions.row(mark)
    }

    /// Living tasks of a session. `None`: not known.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn session_live(&self, mark: SessionMark) -> Result<Option<u64>, KernelError> {
        Ok(self.session(mark)?.map(|row| row.live_tasks))
    }

    /// All sessions that the probes know, for an agent that starts again.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn sessions(&self) -> Result<Vec<SessionRow>, KernelError> {
        self.sessions.rows()
    }

    /// Frees the row of a session that ended.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn forget_session(&self, mark: SessionMark) -> Result<(), KernelError> {
        self.sessions.forget(mark)
    }

    /// The living processes of a session.
    ///
    /// # Errors
    /// [`KernelError::Process`] where /proc cannot be listed.
    pub fn processes_of(&self, mark: SessionMark) -> Result<Vec<u32>, KernelError> {
        Ok(self
            .sessions
            .processes_of(mark)?
            .iter()
            .map(|process| process.pid)
            .collect())
    }

    /// Kills every process of a session, until none is left or the rounds are
    /// used up. Blocks; milliseconds as a rule, at most seconds.
    ///
    /// # Errors
    /// [`KernelError::NoSession`], `Process`, `Table`.
    pub fn kill_session(&self, mark: SessionMark) -> Result<Killed, KernelError> {
        self.unlock(mark)?;
        self.sessions.kill(mark)
    }

    /// Who the file at a path is now, symbolic links followed, as the kernel
    /// programs see it. It is not opened for reading, so nothing is told of it.
    ///
    /// # Errors
    /// What the system says, among it `NotFound`.
    pub fn identify(&self, path: &std::path::Path) -> std::io::Result<FileIdentity> {
        self.identifier.path(path)
    }

    /// The same of an open file.
    ///
    /// # Errors
    /// What the system says.
    pub fn identify_file(
        &self,
        file: std::os::fd::BorrowedFd<'_>,
    ) -> std::io::Result<FileIdentity> {
        self.identifier.file(file)
    }

    /// The number of the watch on a file or directory itself, where all uses of
    /// it are told; not what is watched below a directory, or by its name.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn watched(&self, file: &FileIdentity) -> Result<Option<u32>, KernelError> {
        self.watches.of_object(file)
    }

    /// The number of the watch on a name in a directory, where all uses are told.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn watched_name(&self, name: &WatchName) -> Result<Option<u32>, KernelError> {
        self.watches.of_name(name)
    }

    /// Watches exactly these files and directories, and no names. Entries that
    /// stay are watched without a gap.
    ///
    /// # Errors
    /// [`KernelError::TooManyWatches`] (nothing is changed then), `Table`.
    pub fn watch_set(&self, entries: &[WatchEntry]) -> Result<WatchChange, KernelError> {
        self.watch(entries, &[])
    }

    /// Watches exactly these files and directories, and whatever has these
    /// names. Entries that stay are watched without a gap.
    ///
    /// # Errors
    /// [`KernelError::TooManyWatches`] (nothing is changed then), `Table`.
    pub fn watch(
        &self,
        entries: &[WatchEntry],
        names: &[WatchName],
    ) -> Result<WatchChange, KernelError> {
        self.watches.set(entries, names)
    }

    /// What the kernel counted.
    ///
    /// # Errors
    /// [`KernelError::Table`].
    pub fn counters(&self) -> Result<Counters, KernelError> {
        self.counters.read()
    }

    /// Does what the probes must see and what means nothing else: a signal that
    /// nobody catches, to itself. It comes back as a [`monitor_common::Pulse`] on
    /// the priority ring.
    ///
    /// # Errors
    /// What the system says.
    pub fn pulse(&self) -> std::io::Result<()> {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::URG).map_err(Into::into)
    }

    /// Armed families of which a hook is not in its place any more.
    #[must_use]
    pub fn unhooked(&self) -> Vec<Family> {
        self.places.unhooked()
    }

    /// What turns records' time into calendar time, as of now.
    #[must_use]
    pub fn time_offset(&self) -> TimeOffset {
        TimeOffset::now()
    }
}
