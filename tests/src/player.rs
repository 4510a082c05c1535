//! What the programs that play on a stage share: where everything is, how patient
//! they are, and how they end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::stage::lock::Patience;
use crate::stage::{Settings, folder};
use crate::{interrupt, poll};

/// How long another stage is waited for.
const OTHERS_WITHIN: Duration = Duration::from_secs(20 * 60);

/// The part of the command line that all of them have.
#[derive(Debug, Clone, clap::Args)]
pub struct Ground {
    /// Where the programs of the stage are.
    #[arg(long, value_name = "FOLDER")]
    pub programs: PathBuf,
    /// The sshd of the stage.
    #[arg(long, value_name = "FILE")]
    pub sshd: PathBuf,
    /// Where the results are written.
    #[arg(long, value_name = "FILE")]
    pub json: PathBuf,
    /// How many times as long as usual everything may take.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub slowness: u32,
}

impl Ground {
    /// Listens for Ctrl-C and becomes as patient as it is told; the settings of a
    /// stage of that name.
    ///
    /// # Errors
    /// Signals cannot be listened for.
    pub fn settings(&self, name: &str) -> Result<Settings> {
        interrupt::listen()?;
        poll::allow_slowness(self.slowness);
        Ok(Settings {
            programs: self.programs.clone(),
            sshd: self.sshd.clone(),
            name: format!("{}-{name}", folder::PREFIX),
            patience: Patience::Wait(OTHERS_WITHIN),
            best_tier: None,
        })
    }
}

/// How a program ends that was as good as it says, or failed.
#[must_use]
pub fn exit_code(played: Result<bool>) -> ExitCode {
    match played {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
