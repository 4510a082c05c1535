//! Subscribers while the collector fails: some take nothing, some go without a
//! word, one stands still at times. That one is told every event all the same,
//! and each once.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::chance::Chance;
use super::ground::Ground;
use crate::command::{self, shown};
use crate::poll;
use crate::stage::program::Program;
use crate::stage::{Folder, config};

/// How many take nothing.
const IDLE: usize = 8;
/// Most time between two faults.
const APART: Duration = Duration::from_millis(400);
/// Most time that the one who reads stands still, and the collector stays away.
const STILL: Duration = Duration::from_secs(2);
/// How long it may take until one is told the first event.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take until it has read everything.
const READ_WITHIN: Duration = Duration::from_secs(120);
/// What each asks for: everything there is, and what comes.
const EVERYTHING: [&str; 5] = ["tail", "--from-start", "--verbose", "-o", "ndjson"];

/// What fails.
#[derive(Debug, Clone, Copy)]
enum Fault {
    ReaderStops,
    IdleGoes,
    CollectorKilled,
}

/// Who subscribes.
#[derive(Debug)]
pub(super) struct Readers {
    folder: Folder,
    reading: Subscriber,
    told: PathBuf,
    idle: Vec<Subscriber>,
}

impl Readers {
    /// All of them begin.
    ///
    /// # Errors
    /// One could not be started.
    pub(super) fn begin(folder: &Folder) -> Result<Self> {
        let told = folder.at("run/told.ndjson");
        let file = File::create(&told).with_context(|| format!("writing {}", told.display()))?;
        let idle = (0..IDLE).map(|_| Subscriber::takes_nothing(folder));
        let idle = idle.collect::<Result<_>>()?;
        let reading = Subscriber::starts(folder, file.into())?;
        poll::until("the reader's first event", BEGUN_WITHIN, || {
            Ok((fs::metadata(&told)?.len() > 0).then_some(()))
        })?;
        Ok(Self {
            folder: folder.clone(),
            reading,
            told,
            idle,
        })
    }

    /// One that takes nothing is gone without a word, and another one comes.
    fn one_goes(&mut self, chance: &mut Chance) -> Result<()> {
        let which = chance.below(u64::try_from(self.idle.len())?);
        let which = usize::try_from(which)?;
        drop(self.idle.swap_remove(which));
        self.idle.push(Subscriber::takes_nothing(&self.folder)?);
        Ok(())
    }

    /// Whoever reads was told everything that is stored by now, each event once.
    ///
    /// # Errors
    /// It was not, or a subscriber has ended.
    pub(super) fn have_read(&mut self) -> Result<()> {
        let mut tail = config::monitorctl(&self.folder, EVERYTHING)?;
        let stored = command::stdout(tail.arg("--until-now"))?;
        let stored: BTreeSet<String> = events(&stored)?.into_iter().collect();
        ensure!(!stored.is_empty(), "the ledgers tell no event");
        let mut missing = stored.len();
        let read = poll::until("every event at its reader", READ_WITHIN, || {
            for subscriber in self.idle.iter_mut().chain([&mut self.reading]) {
                subscriber.still_runs()?;
            }
            let told = events(&fs::read_to_string(&self.told)?)?;
            let once: BTreeSet<String> = told.iter().cloned().collect();
            ensure!(
                once.len() == told.len(),
                "of {} events that were told, {} were told again",
                told.len(),
                told.len() - once.len()
            );
            missing = stored.difference(&once).count();
            Ok((missing == 0).then_some(()))
        });
        read.with_context(|| format!("{missing} of {} stored events were not told", stored.len()))
    }
}

/// The names of events in what `tail` has written so far; a last line may be half
/// there.
fn events(text: &str) -> Result<Vec<String>> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut names = Vec::new();
    for line in whole.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| format!("reading {line}"))?;
        if let Some(id) = line.pointer("/event/id").and_then(Value::as_str) {
            names.push(id.to_owned());
        }
    }
    Ok(names)
}

/// One `monitorctl tail`; killed when it is dropped.
#[derive(Debug)]
struct Subscriber(Child);

impl Subscriber {
    fn starts(folder: &Folder, told: Stdio) -> Result<Self> {
        let mut tail = config::monitorctl(folder, EVERYTHING)?;
        let log = folder.at("log/subscribers.log");
        let log = File::options().create(true).append(true).open(log)?;
        tail.stdin(Stdio::null()).stdout(told).stderr(log);
        let child = tail.spawn();
        Ok(Self(child.with_context(|| {
            format!("`{}` could not be started", shown(&tail))
        })?))
    }

    /// One that is told something, and takes nothing of it. It is started until the
    /// collector is there: who never was connected ends with an error.
    fn takes_nothing(folder: &Folder) -> Result<Self> {
        let mut subscriber = Self::starts(folder, Stdio::piped())?;
        poll::until("a subscriber that is told something", BEGUN_WITHIN, || {
            if subscriber.0.try_wait()?.is_some() {
                subscriber = Self::starts(folder, Stdio::piped())?;
            }
            let told = subscriber.0.stdout.as_ref().map(ioctl_fionread);
            Ok((told.transpose()? > Some(0)).then_some(()))
        })?;
        Ok(subscriber)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let sent = kill_process(Pid::from_child(&self.0), signal);
        sent.with_context(|| format!("sending {signal:?} to a subscriber"))
    }

    fn still_runs(&mut self) -> Result<()> {
        let ended = self.0.try_wait()?;
        ensure!(
            ended.is_none(),
            "a subscriber ended by itself: {ended:?}; log/subscribers.log of the stage says why"
        );
        Ok(())
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The one who reads stands still, one who takes nothing goes, and the collector
/// is killed; in any order, while the others take nothing.
///
/// # Errors
/// A program or a subscriber is not there.
pub(super) fn strike(ground: &mut Ground) -> Result<()> {
    let faults = [Fault::ReaderStops, Fault::IdleGoes, Fault::CollectorKilled];
    for fault in ground.chance.shuffled(faults) {
        ground.waits(APART)?;
        match fault {
            Fault::ReaderStops => {
                ground.readers()?.reading.signal(Signal::STOP)?;
                ground.counts("reader stopped");
                ground.waits(STILL)?;
                ground.readers()?.reading.signal(Signal::CONT)?;
            }
            Fault::IdleGoes => {
                let mut chance = ground.chance.clone();
                ground.readers()?.one_goes(&mut chance)?;
                ground.chance = chance;
                ground.counts("reader that takes nothing killed");
            }
            Fault::CollectorKilled => {
                ground.stage.services.kill(Program::Collector.name())?;
                ground.counts("collector killed");
                ground.waits(STILL)?;
                ground.stage.services.start_program(Program::Collector)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_events_in_whole_lines() {
        let event = |id: &str| format!("{{\"type\":\"event\",\"event\":{{\"id\":\"{id}\"}}}}\n");
        let text = [
            &event("j/b/p0/1"),
            "{\"type\":\"cut\"}\n",
            &event("j/b/a/1"),
        ]
        .concat();
        assert_eq!(events(&text).unwrap(), ["j/b/p0/1", "j/b/a/1"]);
        let half = &text[..text.len() - 9];
        assert_eq!(events(half).unwrap(), ["j/b/p0/1"]);
        assert!(events("").unwrap().is_empty());
        assert!(events("half\n").is_err());
    }
}
