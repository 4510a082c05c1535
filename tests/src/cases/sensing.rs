//! What the agent says it can see, and what not.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::expect::{Blind, kernel_is, kernel_number};
use crate::command::{self, command};
use crate::facts::Fact;
use crate::stage::Folder;

/// What became of one family of hooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// The tier that was armed; `none` when nothing was.
    pub tier: String,
    /// What stays unseen, in words.
    pub unseen: String,
}

/// What the agent says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sensing {
    /// The kernel's release.
    pub release: String,
    /// By the name of the family.
    pub families: BTreeMap<String, Family>,
    /// Everything that doctor says, in lower case.
    pub doctor: String,
}

impl Sensing {
    /// From what the agent said at its start, and what doctor says now.
    ///
    /// # Errors
    /// Doctor cannot be run.
    pub fn of(started: &Fact, folder: &Folder) -> Result<Self> {
        let mut doctor = command(folder.program("monitor-agent"), ["doctor", "--config"]);
        let output = command::output(doctor.arg(folder.at("agent.toml")))?;
        Ok(Self::read(
            started,
            &String::from_utf8_lossy(&output.stdout),
        ))
    }

    fn read(started: &Fact, doctor: &str) -> Self {
        let hooks = started
            .value
            .pointer("/event/action/hooks")
            .and_then(Value::as_array);
        let family = |hook: &Value| {
            let text = |name: &str| hook.get(name).and_then(Value::as_str).unwrap_or_default();
            let tier = match text("tier") {
                "" => "none".to_owned(),
                tier => tier.to_lowercase(),
            };
            let unseen = text("unseen").to_owned();
            (text("family").to_owned(), Family { tier, unseen })
        };
        Self {
            release: started.text("/event/action/kernel").to_owned(),
            families: hooks.into_iter().flatten().map(family).collect(),
            doctor: doctor.to_lowercase(),
        }
    }

    /// Whether a statement of blindness is about this kernel and these tiers.
    ///
    /// # Errors
    /// It names a family that the agent does not know.
    pub fn concerns(&self, blind: &Blind) -> Result<bool> {
        if let Some(bound) = &blind.kernel {
            let number = kernel_number(&self.release).context("the kernel has no number")?;
            if !kernel_is(bound, number)? {
                return Ok(false);
            }
        }
        let (Some(family), Some(tiers)) = (&blind.family, &blind.tier) else {
            return Ok(true);
        };
        let known = self.families.get(family).with_context(|| {
            let names: Vec<&str> = self.families.keys().map(String::as_str).collect();
            format!(
                "[[blind]] names family {family:?}, and the agent knows {}",
                names.join(", ")
            )
        })?;
        Ok(tiers.all().contains(&known.tier))
    }

    /// Whether the agent says so too.
    #[must_use]
    pub fn admits(&self, blind: &Blind) -> bool {
        if let Some(words) = &blind.doctor {
            return self.doctor.contains(&words.to_lowercase());
        }
        let Some(family) = &blind.family else {
            return false;
        };
        let says = self
            .families
            .get(family)
            .is_some_and(|family| !family.unseen.is_empty());
        says && self.doctor.contains(&family.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cases::expect::Expectations;

    fn blind(text: &str) -> Blind {
        let text =
            format!("title='x'\nneeds=[]\n[[expect]]\nkind='exec'\n[[blind]]\nreason='r'\n{text}");
        Expectations::read(&text).unwrap().blind.remove(0)
    }

    fn sensing() -> Sensing {
        let value = json!({"event": {"action": {"kernel": "6.1.0-50", "hooks": [
            {"family": "received", "tier": "Tracepoint", "unseen": "some"},
            {"family": "memory", "tier": "", "unseen": "all"}]}}});
        let started = Fact {
            seen_unix_ns: 0,
            value,
        };
        Sensing::read(&started, "warning received: Descriptors by io_uring\n")
    }

    #[test]
    fn blindness_is_about_tiers_and_kernels() {
        let is = |text: &str| sensing().concerns(&blind(text)).unwrap();
        assert!(is("family='received'\ntier='tracepoint'"));
        assert!(is("family='memory'\ntier=['none','fentry']"));
        assert!(!is("family='received'\ntier='lsm'"));
        assert!(is("kernel='<6.6'") && !is("kernel='>=6.6'"));
        assert!(!is("family='received'\ntier='tracepoint'\nkernel='>=6.6'"));
    }

    #[test]
    fn unknown_family_is_an_error_that_names_the_known_ones() {
        let error = sensing()
            .concerns(&blind("family='moon'\ntier='lsm'"))
            .unwrap_err();
        assert!(error.to_string().contains("memory, received"), "{error}");
    }

    #[test]
    fn agent_must_say_that_it_is_blind() {
        let admits = |text: &str| sensing().admits(&blind(text));
        assert!(admits("family='received'\ntier='tracepoint'"));
        assert!(
            !admits("family='memory'\ntier='none'"),
            "doctor says nothing of it"
        );
        assert!(admits("kernel='<6.6'\ndoctor='by IO_URING'"));
        assert!(!admits("kernel='<6.6'"));
    }
}
