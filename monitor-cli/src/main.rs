//! monitorctl: the command line of the SOC.

use std::process::ExitCode;

fn main() -> ExitCode {
    monitor_cli::main(std::env::args_os())
}
