//! Starts the probes, and says what they see.

use monitor_model::event::{Action, HookState};
use tracing::{info, warn};

use super::RunError;
use crate::{
    config::Config,
    kernel::{
        self, ArmReport, DigestKey, Family, ProbeConfig, Probes, Started, hooks::NOTHING_KNOWN,
    },
    note::Note,
};

/// Starts the probes.
pub(super) fn start(config: &Config, digest_key: DigestKey) -> Result<Started, RunError> {
    kernel::ensure_bpffs(&config.pin_dir)?;
    let started = Probes::start(&ProbeConfig {
        pin_dir: config.pin_dir.clone(),
        priority_ring_bytes: config.priority_bytes,
        bulk_ring_bytes: config.bulk_bytes,
        best_tier: config.best_tier,
        digest_key,
    })?;
    for family in started.report.blind() {
        let reasons: Vec<_> = family
            .refusals
            .iter()
            .map(|refusal| refusal.reason.as_str())
            .collect();
        let reason = reasons.join("; ");
        if family.family == Family::Life {
            return Err(RunError::Blind { reason });
        }
        warn!(
            family = family.family.name(),
            unseen = family.misses,
            reason,
            "This kernel lets nothing be seen of a family."
        );
    }
    for (reader, bytes) in [
        (&started.rings.priority, config.priority_bytes),
        (&started.rings.bulk, config.bulk_bytes),
    ] {
        if reader.bytes() != u64::from(bytes) {
            warn!(
                ring = reader.ring().name(),
                bytes = reader.bytes(),
                configured = bytes,
                "A ring keeps the size it was loaded with; `monitor-agent detach` and a new start give it the configured one."
            );
        }
    }
    info!(resumed = started.report.resumed, "The probes run.");
    Ok(started)
}

/// Whether the agent's own pulse comes back.
pub(super) fn has_pulse(report: &ArmReport) -> bool {
    let mut families = report.families.iter();
    families.any(|family| family.family == Family::Signal && family.armed.is_some())
}

/// Tells that the agent began to watch.
pub(super) fn started_note(report: &ArmReport, hooks: Vec<HookState>) -> Note {
    Note::about_nobody(Action::AgentStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        resumed: report.resumed,
        hooks,
    })
}

/// What each family sees. A family that misses nothing is no blind spot.
pub(super) fn hook_states(report: &ArmReport) -> Vec<HookState> {
    let families = report.families.iter();
    families
        .map(|family| HookState {
            family: family.family.name().to_owned(),
            tier: family.armed.map(|tier| tier.name().to_owned()),
            unseen: match family.misses {
                NOTHING_KNOWN => String::new(),
                misses => misses.to_owned(),
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{FamilyReport, Tier};

    #[test]
    fn a_family_that_misses_nothing_is_told_without_a_blind_spot() {
        let family = |misses| FamilyReport {
            family: Family::Life,
            armed: Some(Tier::Tracepoint),
            sees: "tasks",
            misses,
            refusals: Vec::new(),
        };
        let states = hook_states(&ArmReport {
            resumed: false,
            families: vec![family(NOTHING_KNOWN), family("the rest")],
        });
        let unseen: Vec<_> = states.iter().map(|state| state.unseen.as_str()).collect();
        assert_eq!(unseen, ["", "the rest"]);
    }
}
