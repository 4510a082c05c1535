//! What `monitorctl tail` says, as it says it.
//!
//! In: its lines of JSON, from the first event of the stage on. Out: facts, to
//! whoever waits for one, and to one listener as they come. Bound:
//! [`FACTS_MAX`] are kept; the oldest go first. Loss: what goes is counted. A
//! reader that ends is started again, and what was seen before is not told
//! twice.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::clock::now_unix_ns;
use crate::interrupt;
use crate::poll;
use crate::stage::services::last_lines;
use crate::stage::{Folder, config};
use crate::timeline::Timeline;

/// Most facts that are kept.
const FACTS_MAX: usize = 200_000;
/// How long one look at the facts waits for a new one.
const LOOK: Duration = Duration::from_millis(50);
/// How long until a reader that ended is started again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// One line of `monitorctl tail`.
#[derive(Debug, Clone)]
pub struct Fact {
    /// When it came here, nanoseconds since 1970.
    pub seen_unix_ns: u64,
    /// The line.
    pub value: Value,
}

impl Fact {
    /// Text at a place; empty when there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A number at a place.
    #[must_use]
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.value.pointer(pointer).and_then(Value::as_u64)
    }

    /// Whether it is an event of this kind.
    #[must_use]
    pub fn is_event(&self, kind: &str) -> bool {
        self.text("/type") == "event" && self.text("/event/action/kind") == kind
    }

    /// Whether it is an alert.
    #[must_use]
    pub fn is_alert(&self) -> bool {
        self.text("/type") == "alert"
    }

    /// `in_scope`, `out_of_scope`, `unattributed` or `exempt`.
    #[must_use]
    pub fn verdict(&self) -> &str {
        self.text("/judgement/verdict/verdict")
    }

    /// Why an event is out of scope.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.text("/judgement/verdict/reason")
    }

    /// The session that an event or alert belongs to; empty for none.
    #[must_use]
    pub fn session(&self) -> &str {
        match self.text("/type") {
            "alert" => self.text("/alert/session"),
            _ => self.text("/event/attribution/session"),
        }
    }

    /// The person or workload behind it; empty for none.
    #[must_use]
    pub fn principal(&self) -> &str {
        match self.text("/type") {
            "alert" => self.text("/alert/principal"),
            _ => self.text("/event/attribution/principal"),
        }
    }

    /// Its name: an event's or an alert's id.
    fn name(&self) -> Option<String> {
        let id = match self.text("/type") {
            "event" => self.text("/event/id"),
            "alert" => self.text("/alert/id"),
            _ => return None,
        };
        Some(id.to_owned())
    }
}

#[derive(Debug, Default)]
struct Seen {
    facts: VecDeque<Fact>,
    names: HashSet<String>,
    /// How many were dropped from the front.
    dropped: usize,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    news: Condvar,
    stop: AtomicBool,
    child: Mutex<Option<Child>>,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader of the collector's stream, from the stage's first event on.
#[derive(Debug)]
pub struct Facts {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    log: PathBuf,
}

/// A reader that shows each fact on a screen.
///
/// # Errors
/// `monitorctl` could not be started.
pub fn shown_on(folder: &Folder, timeline: &Arc<Timeline>) -> Result<Arc<Facts>> {
    let screen = Arc::clone(timeline);
    let facts = Facts::read(folder, Box::new(move |fact| screen.shows(fact)))?;
    Ok(Arc::new(facts))
}

/// Is told each fact as it comes.
pub type Listener = Box<dyn FnMut(&Fact) + Send>;

impl Facts {
    /// Starts reading.
    ///
    /// # Errors
    /// `monitorctl` could not be started.
    pub fn read(folder: &Folder, listener: Listener) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let log = folder.at("log/monitorctl-tail.log");
        let tail = Tail {
            folder: folder.clone(),
            log: log.clone(),
        };
        let first = tail.start()?;
        let reader = thread::Builder::new().name("facts".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || read_all(&tail, first, &shared, listener)
        })?;
        Ok(Self {
            shared,
            reader: Some(reader),
            log,
        })
    }

    /// The first fact that `is` true of, of those that came and those to come.
    ///
    /// # Errors
    /// None came in time: the error says `what` was waited for.
    pub fn wait(&self, what: &str, deadline: Duration, is: impl Fn(&Fact) -> bool) -> Result<Fact> {
        self.wait_after(0, what, deadline, is)
    }

    /// The same, of those that came after the first `from`.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_after(
        &self,
        from: usize,
        what: &str,
        deadline: Duration,
        is: impl Fn(&Fact) -> bool,
    ) -> Result<Fact> {
        let (start, deadline) = (Instant::now(), poll::allowed(deadline));
        let mut next = from;
        loop {
            let mut seen = self.shared.seen();
            let from = next.max(seen.dropped).saturating_sub(seen.dropped);
            if let Some(fact) = seen.facts.iter().skip(from).find(|fact| is(fact)) {
                return Ok(fact.clone());
            }
            next = seen.dropped.saturating_add(seen.facts.len());
            let waited = self.shared.news.wait_timeout(seen, LOOK);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
            drop(seen);
            interrupt::check()?;
            if start.elapsed() > deadline {
                bail!(
                    "{what} did not happen within {} s; {}",
                    deadline.as_secs_f32(),
                    last_lines(&self.log)
                );
            }
        }
    }

    /// Every fact so far that `is` true of.
    #[must_use]
    pub fn all(&self, is: impl Fn(&Fact) -> bool) -> Vec<Fact> {
        let seen = self.shared.seen();
        seen.facts.iter().filter(|fact| is(fact)).cloned().collect()
    }

    /// Every fact that came after the first `from`.
    #[must_use]
    pub fn since(&self, from: usize) -> Vec<Fact> {
        let seen = self.shared.seen();
        let skipped = from.saturating_sub(seen.dropped);
        seen.facts.iter().skip(skipped).cloned().collect()
    }

    /// How many came so far.
    #[must_use]
    pub fn count(&self) -> usize {
        let seen = self.shared.seen();
        seen.dropped.saturating_add(seen.facts.len())
    }
}

impl Drop for Facts {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut child = self
            .shared
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        drop(child);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// How the reader is started.
struct Tail {
    folder: Folder,
    log: PathBuf,
}

impl Tail {
    fn start(&self) -> Result<Child> {
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log);
        let file = file.with_context(|| format!("writing {}", self.log.display()))?;
        self.command()?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .process_group(0)
            .spawn()
            .context("starting `monitorctl tail`")
    }

    fn command(&self) -> Result<Command> {
        let arguments = ["tail", "--from-start", "--alerts", "-o", "ndjson"];
        config::monitorctl(&self.folder, arguments)
    }
}

fn read_all(tail: &Tail, first: Child, shared: &Shared, mut listener: Listener) {
    let mut child = Some(first);
    while !shared.stop.load(Ordering::Relaxed) {
        let Some(mut started) = child.take().or_else(|| tail.start().ok()) else {
            thread::sleep(AGAIN_AFTER);
            continue;
        };
        let lines = started.stdout.take();
        *shared.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        for line in lines
            .into_iter()
            .flat_map(|pipe| BufReader::new(pipe).lines())
        {
            let Ok(line) = line else { break };
            take_line(&line, shared, &mut listener);
        }
        let ended = shared
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut ended) = ended {
            let _ = ended.kill();
            let _ = ended.wait();
            // Its collector is away: it is asked again until it is back.
            thread::sleep(AGAIN_AFTER);
        }
    }
}

fn take_line(line: &str, shared: &Shared, listener: &mut Listener) {
    let value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => {
            eprintln!("`monitorctl tail` said what is not JSON ({error}): {line}");
            return;
        }
    };
    let fact = Fact {
        seen_unix_ns: now_unix_ns(),
        value,
    };
    let mut seen = shared.seen();
    if fact.name().is_some_and(|name| !seen.names.insert(name)) {
        return;
    }
    if seen.facts.len() == FACTS_MAX {
        seen.facts.pop_front();
        seen.dropped = seen.dropped.saturating_add(1);
    }
    seen.facts.push_back(fact.clone());
    drop(seen);
    shared.news.notify_all();
    listener(&fact);
}
