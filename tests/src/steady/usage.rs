//! Memory and processor time of a program that runs, from /proc.

use std::fs;

use anyhow::{Context as _, Result};

use super::Usage;

/// A program that is looked at now and then.
#[derive(Debug)]
pub(super) struct Watched {
    pid: u32,
    used: Usage,
    ticks_before: u64,
}

impl Watched {
    /// Begins to watch a process.
    pub(super) fn new(pid: u32) -> Result<Self> {
        let memory_before = memory(pid)?;
        Ok(Self {
            pid,
            used: Usage {
                memory_before,
                memory_early: memory_before,
                memory_max: memory_before,
                memory_end: memory_before,
                processor_ms: 0,
            },
            ticks_before: ticks(pid)?,
        })
    }

    /// Looks at it, in the first tenth of the work or later.
    pub(super) fn look(&mut self, is_early: bool) -> Result<()> {
        let now = memory(self.pid)?;
        self.used.memory_max = self.used.memory_max.max(now);
        self.used.memory_end = now;
        if is_early {
            self.used.memory_early = now;
        }
        Ok(())
    }

    /// What it used since.
    pub(super) fn used(&self) -> Result<Usage> {
        let ticks = ticks(self.pid)?.saturating_sub(self.ticks_before);
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Usage {
            processor_ms: ticks.saturating_mul(1_000) / per_second.max(1),
            ..self.used
        })
    }
}

/// Resident memory, bytes.
fn memory(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|rest| rest.trim().strip_suffix("kB"));
    let kibibytes: u64 = kibibytes
        .and_then(|number| number.trim().parse().ok())
        .with_context(|| format!("{file} says no resident memory"))?;
    Ok(kibibytes * 1_024)
}

/// Processor time of all its threads, in the system's ticks.
fn ticks(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    // The name is in parentheses and may hold anything, blanks included.
    let (_, after) = text
        .rsplit_once(')')
        .with_context(|| format!("{file} says no name"))?;
    let fields = after.split_whitespace().skip(11).take(2);
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn memory_and_time_of_a_process_grow_by_what_it_does() {
        let mut watched = Watched::new(std::process::id()).unwrap();
        let room = std::hint::black_box(vec![1u8; 64 << 20]);
        let start = Instant::now();
        while start.elapsed().as_millis() < 50 {
            std::hint::black_box(room.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        }
        watched.look(true).unwrap();
        let used = watched.used().unwrap();
        assert!(
            used.memory_max >= used.memory_before + (60 << 20),
            "{used:?}"
        );
        assert_eq!(used.memory_early, used.memory_end);
        assert!(used.processor_ms > 0, "{used:?}");
    }
}
