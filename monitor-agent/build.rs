//! Embeds the kernel programs.
//!
//! They are built by another compiler (`cargo xtask build`), which hands their
//! place over in `MONITOR_BPF_OBJECT`. Without it the agent builds all the
//! same, says so, and refuses to start probes.

use std::{env, fs, path::PathBuf};

const VARIABLE: &str = "MONITOR_BPF_OBJECT";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let embedded =
        PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?).join("monitor-ebpf.o");
    let Some(object) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
        println!(
            "cargo:warning=this monitor-agent has no probes in it: {VARIABLE} is not set. \
             It can be checked and tested, but it sees nothing; `cargo xtask build` makes a full one."
        );
        fs::write(embedded, [])?;
        return Ok(());
    };
    let object = PathBuf::from(object);
    println!("cargo:rerun-if-changed={}", object.display());
    fs::copy(&object, embedded)
        .map_err(|error| format!("{VARIABLE} names {}: {error}", object.display()))?;
    Ok(())
}
