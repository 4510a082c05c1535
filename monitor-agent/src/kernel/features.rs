//! What this kernel and this process allow, in plain words: for `doctor`.
//!
//! Nothing is changed by looking. What a program really does in this kernel,
//! [`trial`] tells: it loads everything and takes it away again.

use std::{fmt::Write, fs, io, path::Path};

use super::{
    ArmReport, KernelError, OBJECT, ProbeConfig, Probes, Started, detach, ensure_bpffs,
    load::cgroup_root,
    offsets::{BTF_PATH, Need, Offsets},
    pins::{is_bpffs, leave},
};

/// The oldest kernel that is supported.
pub const KERNEL_MIN: (u32, u32) = (5, 15);

/// How it stands with a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeatureState {
    /// As it should be.
    Good,
    /// The probes work; something is not as good as it could be.
    Limited,
    /// The probes do not work.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// How it stands.
    pub state: FeatureState,
    /// What was found.
    pub finding: String,
    /// What that costs, and what would help; empty where all is good.
    pub cost: String,
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureReport {
    /// In the order of importance.
    pub features: Vec<Feature>,
}

impl FeatureReport {
    /// The worst state.
    #[must_use]
    pub fn state(&self) -> FeatureState {
        let states = self.features.iter().map(|feature| feature.state);
        states.max().unwrap_or(FeatureState::Good)
    }
}

fn good(name: &'static str, finding: impl Into<String>) -> Feature {
    Feature {
        name,
        state: FeatureState::Good,
        finding: finding.into(),
        cost: String::new(),
    }
}

fn limited(name: &'static str, finding: impl Into<String>, cost: &str) -> Feature {
    let (finding, cost) = (finding.into(), cost.to_owned());
    Feature {
        name,
        state: FeatureState::Limited,
        finding,
        cost,
    }
}

fn missing(name: &'static str, finding: impl Into<String>, cost: &str) -> Feature {
    let (finding, cost) = (finding.into(), cost.to_owned());
    Feature {
        name,
        state: FeatureState::Missing,
        finding,
        cost,
    }
}

/// Looks at this kernel and this process.
#[must_use]
pub fn features() -> FeatureReport {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let features = vec![
        object(OBJECT),
        kernel(&release),
        rights(&status),
        btf(),
        cgroup(),
        pin_folder(Path::new("/sys/fs/bpf")),
        lockdown(fs::read_to_string("/sys/kernel/security/lockdown")),
        lsm(fs::read_to_string("/sys/kernel/security/lsm")),
        audit(Path::new("/proc/self/loginuid").exists()),
    ];
    FeatureReport { features }
}

/// Loads and attaches everything in a folder of its own below the pins, and
/// takes it away again: what is armed here, `run` can arm. Probes that run
/// already are not touched.
///
/// # Errors
/// As [`Probes::start`].
pub fn trial(config: &ProbeConfig) -> Result<ArmReport, KernelError> {
    ensure_bpffs(&config.pin_dir)?;
    let pin_dir = config.pin_dir.join("trial");
    ensure_bpffs(&pin_dir)?;
    let started = Probes::start(&ProbeConfig {
        pin_dir: pin_dir.clone(),
        ..config.clone()
    });
    let report = started.map(|Started { report, .. }| report);
    detach(&pin_dir)?;
    leave(&config.pin_dir)?;
    report
}

fn object(object: &[u8]) -> Feature {
    const NAME: &str = "probes in this program";
    if object.is_empty() {
        let cost = "nothing can be seen; build it with `cargo xtask build`";
        return missing(NAME, "none: it was built without them", cost);
    }
    good(NAME, format!("{} bytes", object.len()))
}

fn kernel(release: &str) -> Feature {
    const NAME: &str = "kernel version";
    let (major, minor) = KERNEL_MIN;
    match version(release) {
        Some(found) if found >= KERNEL_MIN => good(NAME, release),
        Some(_) => missing(
            NAME,
            format!("{release}, older than {major}.{minor}"),
            "probes are refused: session marks need task storage and control group kill; \
             boot a newer kernel",
        ),
        None => limited(
            NAME,
            format!("{release}: not understood"),
            "cannot be checked",
        ),
    }
}

/// Refuses kernels that are too old; one whose name is not understood is tried.
pub(super) fn refuse_old(release: &str) -> Result<(), KernelError> {
    match version(release) {
        Some(found) if found < KERNEL_MIN => Err(KernelError::TooOld {
            release: release.to_owned(),
            oldest: KERNEL_MIN,
        }),
        _ => Ok(()),
    }
}

/// The first version whose tracepoints may be preempted, so that a program on
/// one may not be run: Linux 7. The one before is taken along, for what is
/// ported back.
const PREEMPTED_TRACEPOINTS: (u32, u32) = (6, 19);

/// Whether this kernel may be interrupted in a tracepoint.
pub(super) fn preempts_tracepoints() -> bool {
    is_at_least(PREEMPTED_TRACEPOINTS)
}

/// Whether this kernel is of a version or a later one. One whose name is not
/// understood is taken for the newest.
pub(super) fn is_at_least(wanted: (u32, u32)) -> bool {
    let name = rustix::system::uname();
    version(&name.release().to_string_lossy()).is_none_or(|found| found >= wanted)
}

/// `6.12.117+deb12-cloud-amd64` is (6, 12).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Name and number of the capabilities that probes need. `CAP_SYS_RESOURCE` is
/// not among them: since Linux 5.11 the memory of programs and maps is charged
/// to the control group, not to `RLIMIT_MEMLOCK`.
const CAPABILITIES: [(&str, u32); 6] = [
    ("CAP_BPF", 39),
    ("CAP_PERFMON", 38),
    ("CAP_NET_ADMIN", 12),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_SYS_PTRACE", 19),
    ("CAP_KILL", 5),
];

fn rights(status: &str) -> Feature {
    const NAME: &str = "rights";
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0);
    let mut lacking = String::new();
    for (name, number) in CAPABILITIES {
        if effective & (1 << number) == 0 {
            // Writing to a string cannot fail.
            let _ = write!(lacking, " {name}");
        }
    }
    if lacking.is_empty() {
        return good(NAME, "all capabilities that probes need");
    }
    missing(
        NAME,
        format!("without{lacking}"),
        "probes cannot be loaded, or sessions not ended; run as root or give these capabilities",
    )
}

fn btf() -> Feature {
    const NAME: &str = "type information (BTF)";
    const NEEDS: [Need; 5] = [
        Need::Paths,
        Need::Exec,
        Need::Life,
        Need::Open,
        Need::Nobody,
    ];
    match Offsets::of_this_kernel() {
        Err(error) => missing(
            NAME,
            error.to_string(),
            "probes cannot find kernel fields; boot a kernel with CONFIG_DEBUG_INFO_BTF",
        ),
        Ok(offsets) => {
            let lacking = offsets.missing(&NEEDS);
            if lacking.is_empty() {
                return good(NAME, BTF_PATH);
            }
            let cost = "hooks that need these fields are not armed; optional ones stay empty";
            limited(
                NAME,
                format!("{BTF_PATH} lacks {}", lacking.join(", ")),
                cost,
            )
        }
    }
}

fn cgroup() -> Feature {
    const NAME: &str = "control groups version 2";
    match cgroup_root() {
        Some(root) => good(NAME, format!("mounted at {}", root.display())),
        None => limited(
            NAME,
            "not mounted",
            "connections are neither seen nor refused; mount one: \
             mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
        ),
    }
}

fn pin_folder(usual: &Path) -> Feature {
    const NAME: &str = "BPF file system";
    if is_bpffs(usual) {
        return good(NAME, format!("mounted at {}", usual.display()));
    }
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known
        .lines()
        .any(|line| line.split_whitespace().last() == Some("bpf"))
    {
        return good(NAME, "not mounted; the agent mounts its own");
    }
    let cost = "probes cannot outlive the agent, so it does not start them";
    missing(NAME, "this kernel has none", cost)
}

fn lockdown(file: io::Result<String>) -> Feature {
    const NAME: &str = "lockdown";
    let Ok(modes) = file else {
        return good(NAME, "none (the kernel tells no mode)");
    };
    // The mode in force stands in brackets: none [integrity] confidentiality
    let mode = modes
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    match mode.map(|(mode, _)| mode) {
        Some("confidentiality") => missing(
            NAME,
            "confidentiality",
            "programs may not read kernel memory; boot with lockdown=integrity",
        ),
        Some(mode) => good(NAME, mode),
        None => limited(
            NAME,
            format!("{modes:?}: not understood"),
            "cannot be checked",
        ),
    }
}

fn lsm(file: io::Result<String>) -> Feature {
    const NAME: &str = "BPF security module";
    const COST: &str = "nothing can be refused but connections, and what only its hooks see stays \
                        unseen (see the hooks below); boot with bpf in lsm=";
    match file {
        Ok(names) if names.trim().split(',').any(|name| name == "bpf") => good(NAME, "active"),
        Ok(names) => limited(NAME, format!("not active ({})", names.trim()), COST),
        Err(error) => limited(
            NAME,
            format!("unknown: /sys/kernel/security/lsm: {error}"),
            COST,
        ),
    }
}

fn audit(has_loginuid: bool) -> Feature {
    const NAME: &str = "audit login ids";
    if has_loginuid {
        return good(NAME, "kept by the kernel");
    }
    limited(
        NAME,
        "this kernel is built without audit",
        "events lack the login user and audit session; sessions are told by the agent's own \
         marks all the same",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernel_is_missing_and_new_one_good() {
        assert_eq!(
            kernel("6.12.117+deb12-cloud-amd64").state,
            FeatureState::Good
        );
        assert_eq!(kernel("5.15.0-91-generic").state, FeatureState::Good);
        assert_eq!(kernel("5.10.0-28-amd64").state, FeatureState::Missing);
        assert_eq!(kernel("what").state, FeatureState::Limited);
    }

    #[test]
    fn kernel_that_is_too_old_is_refused_before_anything_is_loaded() {
        let error = refuse_old("5.10.0-28-amd64").unwrap_err();
        assert!(error.to_string().contains("older than 5.15"), "{error}");
        for release in ["5.15.0-91-generic", "7.2", "what"] {
            assert!(refuse_old(release).is_ok(), "{release}");
        }
    }

    #[test]
    fn confidentiality_is_the_only_lockdown_that_hurts() {
        let state = |text: &str| lockdown(Ok(text.to_owned())).state;
        assert_eq!(
            state("[none] integrity confidentiality\n"),
            FeatureState::Good
        );
        assert_eq!(
            state("none [integrity] confidentiality\n"),
            FeatureState::Good
        );
        assert_eq!(
            state("none integrity [confidentiality]\n"),
            FeatureState::Missing
        );
        assert_eq!(
            lockdown(Err(io::ErrorKind::NotFound.into())).state,
            FeatureState::Good
        );
    }

    #[test]
    fn rights_name_what_is_lacking() {
        assert_eq!(
            rights("CapEff:\t000001ffffffffff\n").state,
            FeatureState::Good
        );
        let lacking = rights("CapEff:\t0000000000000000\n");
        assert_eq!(lacking.state, FeatureState::Missing);
        assert!(lacking.finding.contains("CAP_BPF"), "{}", lacking.finding);
        assert_eq!(rights("").state, FeatureState::Missing);
    }

    #[test]
    fn lsm_list_is_matched_by_whole_names() {
        let state = |text: &str| lsm(Ok(text.to_owned())).state;
        assert_eq!(state("lockdown,yama,bpf\n"), FeatureState::Good);
        assert_eq!(state("lockdown,bpfish\n"), FeatureState::Limited);
    }

    #[test]
    fn program_without_probes_says_how_to_get_them() {
        let found = object(&[]);
        assert_eq!(found.state, FeatureState::Missing);
        assert!(found.cost.contains("cargo xtask build"));
    }

    #[test]
    fn rights_are_those_that_probes_need_and_no_others() {
        let all_but = |number: u32| format!("CapEff:\t{:016x}\n", !(1_u64 << number));
        let resource = rights(&all_but(24));
        assert_eq!(resource.state, FeatureState::Good, "{}", resource.finding);
        assert!(rights(&all_but(39)).finding.contains("CAP_BPF"));
    }
}
