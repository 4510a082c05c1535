//! monitor-verify: whether anything was lost or told twice.

use std::process::ExitCode;

fn main() -> ExitCode {
    monitor_verify::cli::main(std::env::args_os())
}
