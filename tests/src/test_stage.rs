//! A stage for one end-to-end test, or the reason why there is none.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::facts::{self, Facts};
use crate::stage::lock::Patience;
use crate::stage::{self, Settings, Shape, Stage};
use crate::timeline::{Show, Timeline};

/// How long one test waits for another's stage.
const OTHERS_WITHIN: Duration = Duration::from_secs(10 * 60);

/// A stage with somebody who reads its events.
#[derive(Debug)]
pub struct TestStage {
    /// What the collector says.
    pub facts: Arc<Facts>,
    /// Shows nothing.
    pub timeline: Arc<Timeline>,
    /// The stage; taken down when dropped.
    pub stage: Stage,
}

impl Drop for TestStage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for words in self.stage.services.last_words() {
                eprintln!("{words}");
            }
        }
    }
}

/// A whole stage in a folder of the test's own; none, said aloud, without root.
///
/// # Errors
/// It could not be set.
pub fn whole(name: &str) -> Result<Option<TestStage>> {
    if !can_run() {
        return Ok(None);
    }
    let stage = Stage::set(&settings(name)?, Shape::Scene)?;
    let timeline = Arc::new(Timeline::new(Show::Nothing));
    let facts = facts::shown_on(&stage.folder, &timeline)?;
    Ok(Some(TestStage {
        facts,
        timeline,
        stage,
    }))
}

/// Whether there is what a stage needs; says aloud when there is not.
#[must_use]
pub fn can_run() -> bool {
    if !stage::is_root() {
        eprintln!("SKIPPED: not root: run `cargo xtask test --only e2e` as root or with sudo");
    }
    stage::is_root()
}

/// What a test's stage is made from.
///
/// # Errors
/// The folder of the programs is not known.
pub fn settings(name: &str) -> Result<Settings> {
    Ok(Settings {
        programs: programs()?,
        sshd: sshd(),
        name: format!(
            "{}-test-{name}-{}",
            stage::folder::PREFIX,
            std::process::id()
        ),
        patience: Patience::Wait(OTHERS_WITHIN),
        best_tier: None,
    })
}

/// The folder of the built programs: `MONITOR_BIN_DIR`, else cargo's own
/// folder, which is the parent of that of the test binary.
///
/// # Errors
/// Neither is known.
pub fn programs() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("MONITOR_BIN_DIR") {
        return Ok(folder.into());
    }
    let own = env::current_exe().context("finding this test's own file")?;
    let folder = own.parent().and_then(|deps| deps.parent());
    folder
        .map(PathBuf::from)
        .context("the test's file has no folder")
}

/// The machine's sshd, or the one that `cargo xtask setup` unpacked.
fn sshd() -> PathBuf {
    let installed = PathBuf::from("/usr/sbin/sshd");
    match env::var_os("MONITOR_CACHE") {
        Some(cache) if !installed.is_file() => PathBuf::from(cache).join("sshd/usr/sbin/sshd"),
        _ => installed,
    }
}
