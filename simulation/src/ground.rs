//! What one play stands on: folders, clocks, kernels, and what everybody knows.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result};
use monitor_model::id::{GrantId, OrderId, PrincipalId, TenantId};
use monitor_transport::tls::TlsFiles;

use crate::{
    chance::Chance,
    clock::{HostClock, Time},
    kernel::Kernel,
    keys::{AGENTS, Keys},
    play::Sabotage,
    stores::copy_folder,
    trace::Trace,
};

/// A place in memory, where there is one: what is synced to it costs nothing.
const MEMORY: &str = "/dev/shm";

/// Everything of one play.
#[derive(Debug)]
pub struct Ground {
    folder: tempfile::TempDir,
    /// The seed.
    pub seed: u64,
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// Simulated time.
    pub time: Time,
    /// What happened.
    pub trace: Trace,
    /// The watched hosts.
    pub hosts: Vec<Arc<Host>>,
    /// The collector's clock, and the broker's.
    pub clocks: [HostClock; 2],
    /// How the collector reaches the broker.
    pub way: BrokerWay,
    /// Everybody's certificates.
    pub keys: Keys,
    /// What people know.
    pub people: Arc<People>,
}

/// How orders reach the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerWay {
    /// The collector asks it.
    Asked,
    /// It dials in.
    Feed,
}

/// One watched host.
#[derive(Debug)]
pub struct Host {
    /// Its name, and its agent's.
    pub name: &'static str,
    /// Which it is.
    pub number: u64,
    /// The folder of its agent.
    pub folder: PathBuf,
    /// The certificate of its agent.
    pub tls: TlsFiles,
    /// Its clock.
    pub clock: HostClock,
    /// Its kernel, which outlives the agent.
    pub kernel: Arc<Kernel>,
    /// Whether its agent has everything stored and acked.
    pub is_at_rest: AtomicBool,
    /// Whether it will lose its power.
    loses_power: AtomicBool,
}

/// What people know and did.
#[derive(Debug, Default)]
pub struct People {
    /// Engineers with their certificates, once all have one.
    engineers: Mutex<Vec<Engineer>>,
    /// Orders that were given, and taken by the collector.
    orders: Mutex<Vec<Given>>,
    /// Nothing goes wrong any more, and nobody works.
    pub is_over: AtomicBool,
}

/// Somebody with a certificate for a grant.
#[derive(Clone, Debug)]
pub struct Engineer {
    /// Who.
    pub name: PrincipalId,
    /// For whom they work.
    pub tenant: TenantId,
    /// Under which grant.
    pub grant: GrantId,
    /// The serial of the certificate.
    pub serial: u64,
}

/// An order that was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its name.
    pub id: OrderId,
    /// Whom it is against.
    pub engineer: PrincipalId,
    /// Their serial.
    pub serial: u64,
    /// The one session that it names; none: all that they hold.
    pub session: Option<monitor_model::id::SessionId>,
}

impl Ground {
    /// Makes the folders, and everybody's certificates.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn new(seed: u64, sabotage: Sabotage) -> Result<Self> {
        let within = Path::new(MEMORY);
        let within = if within.is_dir() {
            within.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::Builder::new()
            .prefix("monitor-simulation-")
            .tempdir_in(within)
            .context("a folder to play in")?;
        let keys = Keys::make(folder.path().join("keys"))?;
        let time = Time::default();
        let trace = Trace::new(time.clone());
        let mut hosts = Vec::new();
        for (number, name) in (1..).zip(AGENTS) {
            let path = folder.path().join(name);
            std::fs::create_dir(&path)?;
            let clock = time.clock();
            let chance = Chance::of(seed, number);
            let kernel = Kernel::new(name, chance, clock.clone(), trace.clone());
            hosts.push(Arc::new(Host {
                name,
                number,
                folder: path,
                tls: keys.of("agent", name),
                clock,
                kernel: Arc::new(kernel),
                is_at_rest: AtomicBool::new(false),
                loses_power: AtomicBool::new(false),
            }));
        }
        let way = if Chance::of(seed, 90).happens(50) {
            BrokerWay::Asked
        } else {
            BrokerWay::Feed
        };
        Ok(Self {
            seed,
            sabotage,
            hosts,
            clocks: [time.clock(), time.clock()],
            time,
            trace,
            way,
            keys,
            people: Arc::default(),
            folder,
        })
    }

    /// The collector's folder.
    #[must_use]
    pub fn collector(&self) -> PathBuf {
        self.folder.path().join("collector")
    }

    /// The broker's folder.
    #[must_use]
    pub fn broker(&self) -> PathBuf {
        self.folder.path().join("broker")
    }

    /// A folder for copies.
    #[must_use]
    pub fn copies(&self) -> PathBuf {
        self.folder.path().join("copies")
    }

    /// Notes which hosts will lose their power: of them copies are kept.
    pub fn expect_power_loss(&self, loses: impl Fn(&Host) -> bool) {
        for host in &self.hosts {
            host.loses_power.store(loses(host), Ordering::Relaxed);
        }
    }

    /// Whether a host will lose its power.
    #[must_use]
    pub fn loses_power(&self, host: &Host) -> bool {
        host.loses_power.load(Ordering::Relaxed)
    }

    /// The collector's disk as it is now, to be fallen back to.
    pub fn remember_collector(&self) {
        if copy_folder(&self.collector(), &self.copies().join("collector")).is_err() {
            self.trace.note("collector", "no copy could be made");
        }
    }

    /// The collector's disk is as it was when it was remembered last.
    ///
    /// # Errors
    /// It cannot be put back.
    pub fn forget_collector(&self) -> Result<()> {
        let copy = self.copies().join("collector");
        if copy.exists() {
            copy_folder(&copy, &self.collector())?;
        }
        Ok(())
    }

    /// Who is not at rest, in words.
    #[must_use]
    pub fn stands(&self) -> String {
        let hosts = self.hosts.iter().map(|host| {
            let is_done = host.is_at_rest.load(Ordering::Relaxed);
            let is_settled = host.kernel.is_settled();
            format!(
                "{}: stored and acked {is_done}, settled {is_settled}",
                host.name
            )
        });
        let hosts: Vec<String> = hosts.collect();
        hosts.join("; ")
    }

    /// Whether every agent has everything stored and acked.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.all(|host| host.is_at_rest.load(Ordering::Relaxed) && host.kernel.is_settled())
    }
}

impl Host {
    /// The agent's queue.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool.db")
    }
}

impl People {
    /// Engineers with certificates; none before all have one.
    #[must_use]
    pub fn engineers(&self) -> Vec<Engineer> {
        lock(&self.engineers).clone()
    }

    /// All engineers have their certificates now.
    pub fn certified(&self, engineers: Vec<Engineer>) {
        *lock(&self.engineers) = engineers;
    }

    /// What was ordered so far.
    #[must_use]
    pub fn orders(&self) -> Vec<Given> {
        lock(&self.orders).clone()
    }

    /// An order is given. It counts from now on: whoever asks again names it again.
    pub fn orders_now(&self, given: Given) {
        lock(&self.orders).push(given);
    }

    /// Whether nothing goes wrong any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
