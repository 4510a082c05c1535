//! What can go wrong with probes, one variant for each thing to do about it.

use std::{io, path::PathBuf};

use super::btf::BtfError;

/// Why probes could not be started, read or steered.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// This agent was built without kernel programs.
    #[error(
        "this monitor-agent was built without probes in it: build it with `cargo xtask build`, \
         which sets MONITOR_BPF_OBJECT"
    )]
    NoObject,
    /// The kernel is older than any that is supported.
    #[error(
        "this kernel is {release}, older than {}.{}: session marks need task storage and \
         control groups that can be killed; boot a newer kernel",
        .oldest.0, .oldest.1
    )]
    TooOld {
        /// What the kernel calls itself.
        release: String,
        /// The oldest that is supported.
        oldest: (u32, u32),
    },
    /// No BPF file system is where the pins should go.
    #[error("{path} is not on a BPF file system: mount one there (`mount -t bpf bpf {path}`)")]
    NotBpffs {
        /// The folder for pins.
        path: PathBuf,
    },
    /// Another agent uses the probes.
    #[error(
        "another monitor-agent uses the probes pinned in {path}: stop it first, there is one \
         reader of a ring"
    )]
    Locked {
        /// The folder for pins.
        path: PathBuf,
    },
    /// Probes of another version are pinned.
    #[error(
        "{path} holds the probes of another version ({found}; this agent has {wanted}), whose \
         tables this agent cannot go on with: remove them with `monitor-agent detach`, which \
         forgets what they did not tell yet, then start again"
    )]
    OtherVersion {
        /// The folder for pins.
        path: PathBuf,
        /// The version that is there.
        found: String,
        /// The version of this agent.
        wanted: String,
    },
    /// These probes were loaded before, others have followed them, and they have
    /// records that may be unread.
    #[error("the probes {version} were followed by others, and are not read to their end")]
    Followed {
        /// The name of their folder.
        version: String,
    },
    /// Probes that nobody has followed.
    #[error("{path} is not the folder of probes that others have followed")]
    NotOver {
        /// The folder.
        path: PathBuf,
    },
    /// The switch between versions could not be read or turned.
    #[error("{action} the switch between versions of the probes: {error}")]
    Switch {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// The size of a ring is no power of two of pages.
    #[error("a ring of {bytes} bytes: it must be a power of two, {bytes_min} to {bytes_max}")]
    RingSize {
        /// The size asked for.
        bytes: u32,
        /// The smallest.
        bytes_min: u32,
        /// The largest.
        bytes_max: u32,
    },
    /// A folder or pin could not be used.
    #[error("{action} {path}: {error}")]
    Pin {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// The object was refused as a whole (maps, BTF).
    #[error("the kernel refused the probes: {error}")]
    Object {
        /// What aya says; usual causes are missing rights and a kernel before 5.15.
        error: Box<aya::EbpfError>,
    },
    /// The program that says who a file is was refused.
    #[error("asking the kernel who a file is: {error}")]
    Identify {
        /// Why it failed.
        error: io::Error,
    },
    /// The kernel's type information cannot be read.
    #[error("the kernel's type information (/sys/kernel/btf/vmlinux) {0}")]
    Btf(#[from] BtfError),
    /// A table of the probes could not be read or written.
    #[error("{action} the table {table}: {error}")]
    Table {
        /// What was tried.
        action: &'static str,
        /// The table.
        table: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// A ring could not be mapped or waited for.
    #[error("{action} the {ring} ring: {error}")]
    Ring {
        /// What was tried.
        action: &'static str,
        /// The ring.
        ring: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// The process is gone, or was never there.
    #[error("process {pid} does not exist")]
    NoProcess {
        /// Its id.
        pid: u32,
    },
    /// The process cannot be reached.
    #[error("{action} process {pid}: {error}")]
    Process {
        /// What was tried.
        action: &'static str,
        /// Its id.
        pid: u32,
        /// Why it failed.
        error: io::Error,
    },
    /// All rows of the session table are in use.
    #[error("the session table is full: {sessions_max} sessions are open")]
    SessionsFull {
        /// Its size.
        sessions_max: usize,
    },
    /// The session has no row: it was never opened, or it was forgotten.
    #[error("the session is not known to the probes")]
    NoSession,
    /// The session is to be killed, which is not taken back.
    #[error("the session is being killed, which cannot be taken back")]
    BeingKilled,
    /// All cells of the compiled grants are in use.
    #[error("the table of scopes is full: it holds {cells_max} networks, over all grants")]
    ScopesFull {
        /// Its size.
        cells_max: usize,
    },
    /// More watches than the table holds.
    #[error("{given} watches: at most {max} {what} can be watched")]
    TooManyWatches {
        /// What is counted.
        what: &'static str,
        /// How many were asked for.
        given: usize,
        /// The most.
        max: usize,
    },
}
