//! `completions`: what a shell needs to complete monitorctl's commands.

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::Generator as _;

use crate::{
    cli::{Cli, Shell},
    error::CliError,
};

/// Writes the completion script.
///
/// # Errors
/// [`CliError::Output`] when it cannot be written.
pub fn run(shell: Shell, out: &mut dyn Write) -> Result<(), CliError> {
    let mut command = Cli::command();
    command.set_bin_name("monitorctl");
    command.build();
    match shell {
        Shell::Bash => clap_complete::Shell::Bash.try_generate(&command, out)?,
        Shell::Zsh => clap_complete::Shell::Zsh.try_generate(&command, out)?,
        Shell::Fish => clap_complete::Shell::Fish.try_generate(&command, out)?,
    }
    Ok(())
}
