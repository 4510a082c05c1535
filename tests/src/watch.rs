//! The real sessions of this machine, instead of a scene.

use std::time::Duration;

use anyhow::Result;

use crate::interrupt;
use crate::poll;
use crate::stage::Stage;
use crate::timeline::Timeline;

/// Longer than any demo stays up.
const FOR_EVER: Duration = Duration::from_secs(u64::MAX);

/// What is said before the first event.
pub fn introduce(timeline: &Timeline) {
    for line in [
        "Watching this machine: programs of every login, and every connection.",
        "The machine's own sshd and PAM files are untouched, so its logins are bound to nobody and",
        "every event is judged `unattributed`. To bind them to engineers, tenants and grants, give",
        "sshd the agent's two hooks: see \"Install on a jump host\" in README.md.",
    ] {
        timeline.says(line);
    }
}

/// How to look from a second terminal.
pub fn explain(stage: &Stage, timeline: &Timeline) {
    let root = stage.folder.root().display();
    timeline.says("");
    timeline.says("To look from a second terminal, as root:");
    for line in [
        format!(". {root}/monitorctl.env"),
        format!("{root}/bin/monitorctl tail --from-start"),
        format!("{root}/bin/monitorctl sessions --all"),
        format!("{root}/bin/monitorctl alerts"),
        format!("{root}/bin/monitorctl orders"),
    ] {
        timeline.says(&format!("  {line}"));
    }
    timeline.says(&format!(
        "Logs are in {root}/log. Ctrl-C takes everything down."
    ));
}

/// Stays until somebody asks to stop.
///
/// # Errors
/// A program of the stage ended by itself.
pub fn until_interrupted(stage: &mut Stage) -> Result<()> {
    let stayed = poll::until("the end", FOR_EVER, || {
        stage.services.check()?;
        Ok(None::<()>)
    });
    match stayed {
        Err(error) if !error.is::<interrupt::Interrupted>() => Err(error),
        _ => Ok(()),
    }
}
