//! One call that puts something on disk fails, once: a write, a flush or a
//! rename, at its n-th time, in the agent, the collector and the broker. Rounds
//! go through all of them in turn, from one that the seed begins with.
//!
//! strace has the kernel answer the call with an error instead of carrying it
//! out; the program is the one that is installed, and its file system too.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::ground::Ground;
use crate::command::command;
use crate::poll;
use crate::stage::program::Program;

/// The calls that put things on disk, by what they do.
const CALLS: [(&str, &str); 3] = [
    ("write", "pwrite64,ftruncate"),
    ("flush", "fsync,fdatasync"),
    ("rename", "rename,renameat,renameat2"),
];
/// It is one of the first so many of a thread that fails.
const TIMES: u64 = 24;
/// What the kernel says.
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];
/// So many rounds on end have each call fail with each error at each of its times.
const ROUNDS_OF_ALL: u64 = TIMES * 6;
/// How long it may take until strace holds a program.
const ATTACHED_WITHIN: Duration = Duration::from_secs(20);
/// How long such a call is waited for: rare ones may not come in a round.
const FAILS_WITHIN: Duration = Duration::from_secs(3);
/// What strace writes behind a call that it had fail.
const MARK: &str = "(INJECTED)";

/// In each program one call fails, in any order.
///
/// # Errors
/// strace is not there, or cannot hold a program.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    let turn = Turn::of(ground.turn % ROUNDS_OF_ALL);
    for program in ground.chance.shuffled(Program::ALL) {
        let (word, calls) = turn.calls(program);
        let Turn { time, error, .. } = turn;
        let rule = format!("inject={calls}:error={error}:when={time}");
        let mut holder = Holder::attach(ground, program, calls, &rule)?;
        if holder.has_failed_a_call()? {
            ground.counts(&format!("{word} of the {} failed", program.word()));
        }
        holder.lets_go()?;
    }
    Ok(())
}

/// What fails in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// The n-th call of a thread, from 1.
    time: u64,
    /// With what.
    error: &'static str,
    /// Which of a program's calls; those that have fewer begin again.
    call: usize,
}

impl Turn {
    fn of(number: u64) -> Self {
        let kind = number / TIMES;
        let [first, second] = ERRORS;
        Self {
            time: number % TIMES + 1,
            error: if kind.is_multiple_of(2) {
                first
            } else {
                second
            },
            call: usize::try_from(kind / 2).unwrap_or(0),
        }
    }

    fn calls(self, program: Program) -> (&'static str, &'static str) {
        let [write, flush, rename] = CALLS;
        match program {
            // These rename nothing that they store events in.
            Program::Agent | Program::Collector if self.call.is_multiple_of(2) => write,
            Program::Agent | Program::Collector => flush,
            Program::Broker => match self.call {
                0 => write,
                1 => flush,
                _ => rename,
            },
        }
    }
}

/// strace on one program.
#[derive(Debug)]
struct Holder {
    strace: Child,
    log: PathBuf,
}

impl Holder {
    fn attach(ground: &Ground, program: Program, calls: &str, rule: &str) -> Result<Self> {
        let folder = &ground.stage.folder;
        let pid = ground.stage.services.pid(program.name())?.to_string();
        let log = folder
            .at("log")
            .join(format!("strace-{}.log", program.word()));
        let said = folder.at("log").join("strace.log");
        fs::write(&log, "").with_context(|| format!("writing {}", log.display()))?;
        let mut strace = command(
            "strace",
            ["-f", "-p", &pid, "-e", &format!("trace={calls}")],
        );
        let strace = strace
            .args(["-e", rule, "-o"])
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&said)?)
            .spawn()
            .context("`strace` could not be started: apt-get install strace")?;
        let mut holder = Self { strace, log };
        poll::until("strace holding the program", ATTACHED_WITHIN, || {
            let words = fs::read_to_string(&said).unwrap_or_default();
            if let Some(status) = holder.strace.try_wait()? {
                bail!("strace ended ({status}): {}", words.trim());
            }
            Ok(words.contains("attached").then_some(()))
        })?;
        Ok(holder)
    }

    /// Waits until a call has failed; whether one did.
    fn has_failed_a_call(&mut self) -> Result<bool> {
        let failed = poll::until_ignoring_interrupts(FAILS_WITHIN, || {
            let text = fs::read_to_string(&self.log)?;
            Ok(text.contains(MARK).then_some(()))
        });
        Ok(failed?.is_some())
    }

    /// The program goes on by itself.
    fn lets_go(&mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.strace), Signal::INT)?;
        let strace = &mut self.strace;
        poll::until("the end of strace", ATTACHED_WITHIN, || {
            Ok(strace.try_wait()?.map(drop))
        })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rounds_on_end_have_every_call_fail_with_every_error_at_each_of_its_times() {
        let all: BTreeSet<Turn> = (0..ROUNDS_OF_ALL).map(Turn::of).collect();
        assert_eq!(all.len(), usize::try_from(ROUNDS_OF_ALL).unwrap());
        for (program, calls) in [(Program::Agent, 2), (Program::Broker, 3)] {
            let failing = all
                .iter()
                .map(|turn| (turn.calls(program).0, turn.error, turn.time));
            let failing: BTreeSet<_> = failing.collect();
            assert_eq!(failing.len(), calls * 2 * 24, "{program:?}");
        }
    }
}
