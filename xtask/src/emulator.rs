//! What emulation breaks, and how a machine is run again then.
//!
//! A kernel patches its code while it runs, also when probes are attached: for a
//! moment a breakpoint stands where a call was. QEMU's translations of code are
//! not always made anew in time where each processor has a thread of its own: one
//! takes a breakpoint that another had put back. Early in a boot the kernel says
//! `Oops: int3` then; later it takes the breakpoint over and over, and says that the
//! processor stands still. (Seen by QEMU's own debugger: the code in memory was the
//! old one again, and a single step past the translation let the machine go on.)
//! Neither happens where one thread runs all processors in turn; what stands still
//! there, too, is no fault of the emulator.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::process;

/// How often a machine is started that breaks before any program ran.
const STARTS_MAX: u32 = 3;
/// A processor that stands still for so many seconds does so for good: on a busy host
/// some do for half a minute.
const STUCK_SECONDS: u64 = 120;
/// What a kernel says of one.
const STUCK: &str = "soft lockup";

/// Who runs a machine's processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Each is run by a thread of its own.
    Each,
    /// One thread runs all, in turn: slower, and nothing is patched under anybody.
    One,
}

impl Threads {
    /// As QEMU wants it said.
    pub(crate) const fn accelerator(self) -> &'static str {
        match self {
            Self::Each => "tcg,thread=multi",
            Self::One => "tcg,thread=single",
        }
    }
}

/// Runs a machine, and again where its emulator broke: before `started` was on its
/// console, with which the first program of ours begins; or since a processor stands
/// still, and then with one thread for all.
///
/// # Errors
/// The machine's own, the last time.
pub(crate) fn started_again<T>(
    console: &Path,
    started: &str,
    mut run: impl FnMut(Threads) -> Result<T>,
) -> Result<T> {
    let (mut starts, mut threads) = (1, Threads::Each);
    loop {
        let ended = run(threads);
        if ended.is_ok() {
            return ended;
        }
        let text = fs::read(console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if starts < STARTS_MAX && broke_early(&text, started) {
            process::say(
                "the emulator broke while the kernel patched itself, before any program ran; \
                 the machine is started again",
            );
        } else if threads == Threads::Each && text.lines().any(is_stuck) {
            process::say(
                "a processor stands still, as in emulation it does at times when the kernel \
                 patches itself; the machine is started again, with one thread for all processors",
            );
            threads = Threads::One;
        } else {
            return ended;
        }
        starts += 1;
    }
}

/// Whether a processor took a breakpoint that was not there any more. A machine in
/// which a program of ours began is never taken for one.
fn broke_early(console: &str, started: &str) -> bool {
    console.contains("Oops: int3") && !console.contains(started)
}

/// Whether a line of a console says that a processor stands still for good.
pub(crate) fn is_stuck(line: &str) -> bool {
    let seconds = line
        .split_once(STUCK)
        .and_then(|(_, said)| said.split_once(" stuck for "))
        .and_then(|(_, said)| said.split_once("s!"))
        .and_then(|(seconds, _)| seconds.parse::<u64>().ok());
    seconds.is_some_and(|seconds| seconds >= STUCK_SECONDS)
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    const STARTED: &str = "VM-INIT";
    const EARLY: &str = "[    6.020132] Oops: int3: 0000 [#1] SMP NOPTI\r\n";
    const STILL: &str =
        "[  872.5] watchdog: BUG: soft lockup - CPU#0 stuck for 130s! [bash:5226]\r\n";
    const SLOW: &str =
        "[  784.5] watchdog: BUG: soft lockup - CPU#0 stuck for 48s! [bash:5226]\r\n";

    /// Who ran a machine that always ends badly, with this on its console.
    fn runs_of(text: &str) -> Vec<Threads> {
        let folder = tempfile::tempdir().unwrap();
        let console = folder.path().join("console");
        fs::write(&console, text).unwrap();
        let mut runs = Vec::new();
        let ended: Result<()> = started_again(&console, STARTED, |threads| {
            runs.push(threads);
            bail!("it stopped")
        });
        assert!(ended.is_err());
        runs
    }

    #[test]
    fn machine_is_started_again_only_if_its_emulator_broke() {
        let early = runs_of(EARLY);
        assert_eq!(early, [Threads::Each; 3], "before any program of ours");
        let begun = format!("VM-INIT\r\n{EARLY}");
        assert_eq!(runs_of(&begun), [Threads::Each]);
        let panic = "Kernel panic - not syncing: VFS\r\n";
        assert_eq!(runs_of(panic), [Threads::Each]);
        let still = format!("VM-INIT\r\n{STILL}");
        assert_eq!(runs_of(&still), [Threads::Each, Threads::One]);
        let slow = format!("VM-INIT\r\n{SLOW}");
        assert_eq!(runs_of(&slow), [Threads::Each], "it may go on");
    }

    #[test]
    fn the_next_run_is_what_counts() {
        let folder = tempfile::tempdir().unwrap();
        let console = folder.path().join("console");
        let mut starts = 0;
        let ended = started_again(&console, STARTED, |_| {
            starts += 1;
            fs::write(&console, if starts == 1 { EARLY } else { STARTED })?;
            if starts == 1 {
                bail!("it stopped");
            }
            Ok(starts)
        });
        assert_eq!(ended.unwrap(), 2);
    }
}
