//! Loads the kernel programs, attaches and pins them.
//!
//! Every program is loaded by itself, so that one that this kernel refuses
//! takes nothing else with it; the tail of the verifier's words is kept.
//!
//! - [`attach`]: one program, by what it is attached to. [`trial`]: whether
//!   this kernel calls what is attached.

use std::fs;

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, Map, MapData},
};

use super::{
    KernelError, ProbeConfig,
    btf::BtfError,
    features,
    hooks::{Attach, DISPATCHER, Family, Hook, Tier, rows},
    identify,
    offsets::Offsets,
    pins::Pins,
    process::Process,
    sums,
    switch::{self, Side},
};

mod attach;
mod trial;

pub(crate) use attach::cgroup_root;
pub(super) use attach::say as refused;
use trial::Trial;

/// Maps of one version that user space opens again by their pins.
const OWN_MAPS: &[&str] = &[
    "PRIORITY",
    "BULK",
    "RING_COUNTERS",
    "RING_WAKE",
    "FAULTS",
    "IDENTIFIED",
    "SUM_STATES",
    "SYSCALL_SLOTS",
    "SYSCALL_PROGRAMS",
];

/// Maps with what programs remember: a version that follows another goes on with
/// them ([`monitor_common::STATE_VERSION`]). Records are in none of them.
const SHARED_MAPS: &[&str] = &[
    "SWITCH",
    "TASK_MARKS",
    "PROCESS_MARKS",
    "STOPPED",
    "SESSION_CONTROL",
    "SESSION_LIVE",
    "SESSIONS_EPOCH",
    "SCOPES",
    "SESSION_SCOPES",
    "SCOPE_LEASE",
    "WATCH",
    "WATCH_BITS",
    "WATCH_NAMES",
    "LEARNED",
    "OPENED",
    "RECEIVED_AT",
    "SENT",
    "FLOWS",
    "SCRIPTS",
    "DIGESTS",
    "STARTED",
    "SELF",
];

/// What was armed, and what was not and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmReport {
    /// Probes were running already, these or those that they followed; records
    /// made since are in the rings.
    pub resumed: bool,
    /// One entry for each family.
    pub families: Vec<FamilyReport>,
}

/// What became of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyReport {
    /// The family.
    pub family: Family,
    /// The tier that is armed.
    pub armed: Option<Tier>,
    /// What is seen, in plain words; empty where nothing is.
    pub sees: &'static str,
    /// What is not seen, in plain words.
    pub misses: &'static str,
    /// Why better tiers, or all, are not armed. Empty after a resume: the
    /// reasons were told by the start that loaded the probes.
    pub refusals: Vec<Refusal>,
}

/// Why a tier is not armed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The tier.
    pub tier: Tier,
    /// The reason, with the tail of the verifier's log where it spoke.
    pub reason: String,
}

impl Refusal {
    /// Whether this kernel was built without what the tier looks at (modules,
    /// for example), so that there is nothing to be seen.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.reason.contains("unknown BTF type")
    }
}

impl ArmReport {
    /// Families of which nothing is seen.
    pub fn blind(&self) -> impl Iterator<Item = &FamilyReport> {
        self.families.iter().filter(|family| family.armed.is_none())
    }
}

/// Loads, attaches and pins everything that this kernel takes: on the other side
/// of the switch than what the kernel runs `before`, where there is such.
pub(super) fn load(
    config: &ProbeConfig,
    object: &[u8],
    pins: &Pins,
    before: Option<&Pins>,
) -> Result<ArmReport, KernelError> {
    let offsets = Offsets::of_this_kernel()?;
    let btf = Btf::from_sys_fs().map_err(|_| BtfError::Loader)?;
    let used = before.and_then(Pins::side);
    let side = used.map_or(Side::FIRST, Side::other);
    pins.prepare(side)?;
    if let Some(before) = before {
        // Of a start that did not come to its end.
        switch::clear(before, side)?;
        for name in SHARED_MAPS {
            Pins::share(&before.map(name), &pins.map(name))?;
        }
    }
    let mut ebpf = parse(config, object, pins, (&offsets, &btf))?;
    identify::load(&mut ebpf, pins)?;
    sums::load(&mut ebpf, pins)?;
    name_self(pins)?;
    let trial = Trial::of_this_kernel(&mut ebpf, &btf);
    let mut armory = Armory {
        ebpf: &mut ebpf,
        btf: &btf,
        offsets: &offsets,
        pins,
        before,
        side,
        trial,
        is_dispatching: false,
        looks_twice: features::preempts_tracepoints(),
        best_tier: config.best_tier,
    };
    let families = Family::ALL
        .iter()
        .map(|family| armory.arm(*family))
        .collect();
    let report = ArmReport {
        resumed: before.is_some(),
        families,
    };
    for family in report.blind() {
        pins.refuse(family.family.name())?;
    }
    pins.complete()?;
    Ok(report)
}

fn parse(
    config: &ProbeConfig,
    object: &[u8],
    pins: &Pins,
    (offsets, btf): (&Offsets, &Btf),
) -> Result<Ebpf, KernelError> {
    let mut loader = EbpfLoader::new();
    let second_looks = u32::from(features::preempts_tracepoints());
    loader
        .btf(Some(btf))
        // Task storage: aya has no type for it, `Table` reads it.
        .allow_unsupported_maps()
        .map_max_entries("PRIORITY", config.priority_ring_bytes)
        .map_max_entries("BULK", config.bulk_ring_bytes)
        .override_global("DIGEST_KEY", &config.digest_key.0, true)
        .override_global("SECOND_LOOKS", &second_looks, true);
    // Those that are there already are used; others are made, and pinned.
    for name in OWN_MAPS.iter().chain(SHARED_MAPS) {
        loader.map_pin_path(name, pins.map(name));
    }
    for (global, offset) in offsets.globals() {
        loader.override_global(global, offset, true);
    }
    loader.load(object).map_err(|error| KernelError::Object {
        error: Box::new(error),
    })
}

/// Tells the programs who the agent is: its own use of BPF, and that it lists
/// watched directories, is not told.
pub(super) fn name_self(pins: &Pins) -> Result<(), KernelError> {
    let path = pins.map("SELF");
    let pid = std::process::id();
    let start_ticks = Process::open(pid)?.start_ticks()?;
    let told = MapData::from_pin(&path).and_then(|map| {
        let mut own = Array::<_, [u64; 2]>::try_from(Map::Array(map))?;
        own.set(0, [u64::from(pid), start_ticks], 0)
    });
    told.map_err(|error| KernelError::Pin {
        action: "write the map at",
        path,
        error: std::io::Error::other(error),
    })
}

/// What pins say of probes that run already.
pub(super) fn resumed(is_pinned: impl Fn(&str) -> bool) -> ArmReport {
    let families = Family::ALL.iter().map(|family| {
        let armed =
            rows(*family).find(|hook| hook.programs.iter().all(|program| is_pinned(program.pin())));
        report(*family, armed, Vec::new())
    });
    ArmReport {
        resumed: true,
        families: families.collect(),
    }
}

fn report(family: Family, armed: Option<&Hook>, refusals: Vec<Refusal>) -> FamilyReport {
    let best = rows(family).next();
    FamilyReport {
        family,
        armed: armed.map(|hook| hook.tier),
        sees: armed.map_or("", |hook| hook.sees),
        misses: match (armed, best) {
            (Some(hook), _) => hook.misses,
            (None, Some(hook)) => hook.sees,
            (None, None) => family.subject(),
        },
        refusals,
    }
}

struct Armory<'a> {
    ebpf: &'a mut Ebpf,
    btf: &'a Btf,
    offsets: &'a Offsets,
    pins: &'a Pins,
    /// What the kernel runs so far.
    before: Option<&'a Pins>,
    /// Where the programs go.
    side: Side,
    trial: Trial,
    /// Whether the dispatcher of system calls is attached.
    is_dispatching: bool,
    /// Whether second looks are attached.
    looks_twice: bool,
    /// The best tier that is wanted.
    best_tier: Tier,
}

impl Armory<'_> {
    /// Tries the rows of a family, the best first.
    fn arm(&mut self, family: Family) -> FamilyReport {
        let mut refusals = Vec::new();
        for hook in rows(family) {
            match self.arm_hook(hook) {
                Ok(()) => return report(family, Some(hook), refusals),
                Err(reason) => refusals.push(Refusal {
                    tier: hook.tier,
                    reason,
                }),
            }
        }
        report(family, None, refusals)
    }

    fn arm_hook(&mut self, hook: &Hook) -> Result<(), String> {
        if hook.tier < self.best_tier {
            return Err(format!(
                "the configuration wants nothing better than {} (probes.best_tier)",
                self.best_tier.name()
            ));
        }
        self.trial.allows(hook.tier)?;
        let missing = self.offsets.missing(hook.needs);
        if !missing.is_empty() {
            return Err(format!("this kernel has no {}", missing.join(", ")));
        }
        if hook
            .programs
            .iter()
            .any(|program| matches!(program.attach, Attach::Syscall(_)))
        {
            self.dispatch()?;
        }
        for program in hook.programs {
            if let Err(reason) = self.arm_program(program) {
                self.disarm(hook);
                let (major, minor) = hook.kernel_min;
                return Err(format!(
                    "{} (needs Linux {major}.{minor} or later): {reason}",
                    program.name
                ));
            }
        }
        Ok(())
    }

    /// Attaches the dispatcher of system calls, once.
    fn dispatch(&mut self) -> Result<(), String> {
        if !self.is_dispatching {
            self.arm_program(&DISPATCHER)
                .map_err(|reason| format!("{}: {reason}", DISPATCHER.name))?;
            self.is_dispatching = true;
        }
        Ok(())
    }

    /// Takes away what a family armed before one of its programs failed.
    fn disarm(&mut self, hook: &Hook) {
        for program in hook.programs {
            // What cannot be taken away was not put there.
            let _ = self.leave_side(program.name);
            let _ = fs::remove_file(self.pins.link(program.name));
            if let Attach::Syscall(calls) = program.attach {
                let _ = attach::give_slot(self.ebpf, calls, 0);
            }
        }
    }
}
