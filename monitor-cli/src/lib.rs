//! monitorctl: the command line of the SOC, as a library, so that it can be tested.
//!
//! # Layout
//! - [`cli`]: the commands and their flags.
//! - [`settings`]: flag, environment, file: in that order.
//! - [`connection`]: the collector, dialled with this person's certificate.
//! - [`command`]: one module a command.
//! - [`output`]: tables for people, JSON for programs.
//! - [`error`]: what can go wrong, and the exit codes.
#![forbid(unsafe_code)]

use std::{ffi::OsString, io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;

pub mod cli;
pub mod command;
pub mod connection;
pub mod error;
pub mod output;
pub mod settings;

use cli::Cli;
use command::Terminal;

/// Parses the command line and carries it out.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to tell when neither stream can be written.
            _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let terminal = if std::io::stdout().is_terminal() {
        Terminal::Yes
    } else {
        Terminal::No
    };
    match command::run(&cli, &|name| std::env::var_os(name), terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&error.to_string());
            error.exit_code()
        }
    }
}
