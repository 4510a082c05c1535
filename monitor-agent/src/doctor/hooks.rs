//! What this kernel lets the agent see, family by family. Where probes run,
//! they are looked at: loading others beside them would be told as somebody's
//! use of BPF. Elsewhere every program is loaded in a folder of its own and
//! taken away again.

use super::Finding;
use crate::{
    config::Config,
    kernel::{FamilyReport, KernelError, ProbeConfig, Tier, armed, hooks::best, trial},
};

/// Where the trial is made, when no configuration says where pins are.
const PIN_DIR: &str = "/sys/fs/bpf/monitor";

/// One finding a family; without a configuration by its defaults.
pub(super) fn findings(config: Option<&Config>) -> Vec<Finding> {
    const NAME: &str = "hooks";
    if !rustix::process::geteuid().is_root() {
        return vec![
            Finding::warning(NAME, "not tried: that needs root", "run doctor as root")
                .costs("what this kernel lets the agent see is not known"),
        ];
    }
    let mut probes = ProbeConfig::new(PIN_DIR);
    if let Some(config) = config {
        probes.pin_dir.clone_from(&config.pin_dir);
        probes.best_tier = config.best_tier;
    }
    if let Some(report) = armed(&probes.pin_dir) {
        let finding = "probes run, and were only looked at; why a better tier was refused is told \
                       where none run";
        let families = report.families.iter().map(of_family);
        return std::iter::once(Finding::ok(NAME, finding))
            .chain(families)
            .collect();
    }
    match trial(&probes) {
        Ok(report) => report.families.iter().map(of_family).collect(),
        // Told by the first finding.
        Err(KernelError::NoObject) => Vec::new(),
        Err(error) => vec![
            Finding::missing(NAME, error.to_string(), "correct what the error names")
                .costs("nothing can be seen"),
        ],
    }
}

fn of_family(report: &FamilyReport) -> Finding {
    let name = format!("hook {}", report.family.name());
    let why = report
        .refusals
        .iter()
        .map(|refusal| {
            format!(
                "not {}: {}",
                refusal.tier.name(),
                first_line(&refusal.reason)
            )
        })
        .collect::<Vec<_>>()
        .join("; ");
    let Some(tier) = report.armed else {
        return Finding::warning(&name, format!("blind. Not seen: {}", report.misses), why);
    };
    let found = format!(
        "{}: {}. Not seen: {}",
        tier.name(),
        report.sees,
        report.misses
    );
    if tier == Tier::Tracepoint && best(report.family) != Some(tier) {
        Finding::warning(&name, found, why)
    } else {
        Finding::ok(&name, found)
    }
}

/// The verifier's words are for who writes programs.
fn first_line(reason: &str) -> &str {
    let line = reason.lines().next().unwrap_or_default();
    line.split("; the verifier says").next().unwrap_or(line)
}
