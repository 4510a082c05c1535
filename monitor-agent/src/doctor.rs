//! What this kernel and this host allow, what is missing, what that costs and
//! what would help.
//!
//! Exit code: 0 the agent can run, 1 something that stops it is missing. A
//! warning costs something and stops nothing.

use std::path::Path;

use anyhow::Context as _;
use monitor_model::clock::{Clock as _, SystemClock};
use monitor_transport::{identity::Role, tls::Tls};
use serde::Serialize;

use crate::{
    cli::Output,
    config::Config,
    kernel::features::{FeatureState, features},
    login::Askers,
    lossy, watch,
};

mod hooks;
mod loginuid;
mod pam;
mod root;
mod sshd;

use root::Root;

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Costs something.
    Warning,
    /// Stops the agent.
    Missing,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub finding: String,
    /// What that costs: which attribution is lost, which confidence falls;
    /// empty where nothing is, or where the advice says it.
    pub cost: String,
    /// What would be right; empty where all is well.
    pub advice: String,
}

impl Finding {
    fn ok(name: &str, finding: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            state: State::Ok,
            finding: finding.into(),
            cost: String::new(),
            advice: String::new(),
        }
    }

    fn warning(name: &str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            state: State::Warning,
            advice: advice.into(),
            ..Self::ok(name, finding)
        }
    }

    fn missing(name: &str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            state: State::Missing,
            advice: advice.into(),
            ..Self::ok(name, finding)
        }
    }

    /// The same with what it costs.
    fn costs(self, cost: impl Into<String>) -> Self {
        Self {
            cost: cost.into(),
            ..self
        }
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The worst state.
    pub state: State,
    /// In the order of looking.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// 0 the agent can run, 1 something that stops it is missing.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.state {
            State::Ok | State::Warning => 0,
            State::Missing => 1,
        }
    }

    /// For people or programs.
    ///
    /// # Errors
    /// When it cannot be put into JSON.
    pub fn show(&self, output: Output) -> anyhow::Result<String> {
        if output == Output::Json {
            return Ok(serde_json::to_string_pretty(self).context("JSON")? + "\n");
        }
        let mut text = String::new();
        for Finding {
            name,
            state,
            finding,
            cost,
            advice,
        } in &self.findings
        {
            let sign = match state {
                State::Ok => "ok      ",
                State::Warning => "warning ",
                State::Missing => "missing ",
            };
            text.extend([sign, " ", name.as_str(), ": ", finding.as_str(), "\n"]);
            if !cost.is_empty() {
                text.extend(["          cost: ", cost.as_str(), "\n"]);
            }
            if !advice.is_empty() {
                let sign = if cost.is_empty() { "" } else { "change: " };
                text.extend(["          ", sign, advice.as_str(), "\n"]);
            }
        }
        text.push_str(match self.state {
            State::Ok => "All is well.\n",
            State::Warning => "The agent can run; see the warnings.\n",
            State::Missing => "The agent cannot run; see what is missing.\n",
        });
        Ok(text)
    }
}

/// Looks at everything; nothing is left changed.
pub async fn diagnose(config: Option<&Path>) -> Diagnosis {
    let mut findings: Vec<Finding> = features()
        .features
        .into_iter()
        .map(|feature| Finding {
            name: feature.name.to_owned(),
            state: match feature.state {
                FeatureState::Good => State::Ok,
                FeatureState::Limited => State::Warning,
                FeatureState::Missing => State::Missing,
            },
            finding: feature.finding,
            cost: feature.cost,
            advice: String::new(),
        })
        .collect();
    let config = config.map(|path| (path, Config::load(path)));
    let read = config.as_ref().and_then(|(_, config)| config.as_ref().ok());
    findings.extend(hooks::findings(read));
    match &config {
        None => findings.push(
            Finding::warning("configuration", "not looked at", "give it by --config FILE")
                .costs("certificates, collector, watches and the hooks' sockets were not checked"),
        ),
        Some((path, Ok(config))) => {
            findings.push(Finding::ok("configuration", path.display().to_string()));
            findings.extend(of_config(config).await);
        }
        Some((_, Err(error))) => findings.push(Finding::missing(
            "configuration",
            error.to_string(),
            "correct it; `monitor-agent config --default` prints a documented one",
        )),
    }
    let config = config.and_then(|(_, config)| config.ok());
    let root = Root::at(Path::new("/"));
    findings.extend(sshd::findings(root, config.as_ref()));
    findings.push(loginuid::finding(root));
    let state = findings
        .iter()
        .map(|finding| finding.state)
        .max()
        .unwrap_or(State::Ok);
    Diagnosis { state, findings }
}

async fn of_config(config: &Config) -> Vec<Finding> {
    let mut findings = vec![state_dir(config), socket(config), askers(config)];
    match config.tls.load(SystemClock.now()) {
        Ok(tls) if tls.identity().role == Role::Agent => {
            findings.push(Finding::ok("certificate", tls.identity().to_string()));
            findings.push(collector(config, &tls).await);
        }
        Ok(tls) => findings.push(
            Finding::missing(
                "certificate",
                tls.identity().to_string(),
                "issue one for monitor://agent/NAME",
            )
            .costs("the collector takes events of agents only"),
        ),
        Err(error) => findings.push(
            Finding::missing(
                "certificate",
                error.to_string(),
                "`monitorctl pki issue --role agent` makes one",
            )
            .costs("without it no collector is reached"),
        ),
    }
    findings.extend(watches(config));
    findings
}

async fn collector(config: &Config, tls: &Tls) -> Finding {
    match tls.connect(&config.collector.address).await {
        Ok(_) => Finding::ok("collector", config.collector.address.clone()),
        Err(error) => Finding::warning(
            "collector",
            error.to_string(),
            "correct what the error names",
        )
        .costs("events wait on disk, and logins are decided by what is known, until it is reached"),
    }
}

fn state_dir(config: &Config) -> Finding {
    let path = &config.state_dir;
    let existing = path
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    match rustix::fs::access(existing, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Finding::ok("state folder", path.display().to_string()),
        Err(error) => Finding::missing(
            "state folder",
            format!("{}: {error}", existing.display()),
            "make it writable for root",
        )
        .costs("events cannot be kept"),
    }
}

fn socket(config: &Config) -> Finding {
    const NAME: &str = "login socket";
    let path = config.socket.display().to_string();
    match std::os::unix::net::UnixStream::connect(&config.socket) {
        Ok(_) => Finding::ok(NAME, format!("{path}: an agent answers")),
        Err(error) => Finding::warning(NAME, format!("{path}: {error}"), "start it")
            .costs("no agent answers now: with the hooks in place nobody can log in"),
    }
}

fn askers(config: &Config) -> Finding {
    let passwd = lossy::text("/etc/passwd").unwrap_or_default();
    match Askers::find(&config.principals_users, &passwd) {
        Ok(_) => Finding::ok("principals users", config.principals_users.join(", ")),
        Err(error) => Finding::missing(
            "principals users",
            error.to_string(),
            "correct the configuration",
        ),
    }
}

fn watches(config: &Config) -> Vec<Finding> {
    const NAME: &str = "watched files";
    if config.watches.rules.is_empty() {
        return vec![
            Finding::warning(NAME, "none", "add [[watch]] rules to the configuration")
                .costs("no use of a credential is seen"),
        ];
    }
    let absent = watch::missing(&config.watches);
    let mut findings = vec![Finding::ok(
        NAME,
        format!("{} rules", config.watches.rules.len()),
    )];
    findings.extend(absent.into_iter().map(|pattern| {
        let advice = "it is watched as soon as something fits it; look for a slip of the pen";
        Finding::warning(NAME, format!("nothing fits {pattern}"), advice)
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_diagnosis_names_everything_and_is_one_object_in_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, crate::config::DEFAULT).unwrap();
        let diagnosis = diagnose(Some(&path)).await;
        let names: Vec<_> = diagnosis
            .findings
            .iter()
            .map(|finding| finding.name.as_str())
            .collect();
        for name in [
            "kernel version",
            "configuration",
            "state folder",
            "certificate",
            "sshd",
        ] {
            assert!(names.contains(&name), "{names:?}");
        }
        let json = diagnosis.show(Output::Json).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(value["findings"].as_array().unwrap().len() > 8);
        assert!(
            diagnosis
                .show(Output::Text)
                .unwrap()
                .contains("certificate")
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_configuration_is_missing_and_told() {
        let diagnosis = diagnose(Some(Path::new("/nonexistent"))).await;
        assert_eq!(
            (diagnosis.state, diagnosis.exit_code()),
            (State::Missing, 1)
        );
    }
}
