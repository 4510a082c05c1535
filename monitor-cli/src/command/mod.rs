//! One module a command.

use crate::{
    cli::{Cli, Command},
    error::CliError,
};

pub mod completions;
pub mod pki;

/// Carries out a command.
///
/// # Errors
/// [`CliError`] with what went wrong and what would be right.
pub fn run(cli: Cli) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match cli.command {
        Command::Pki { command } => pki::run(&command, &mut out),
        Command::Completions { shell } => completions::run(shell, &mut out),
    }
}
