//! The programs of the stage as child processes, each with a log of its own.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::program::Program;
use super::{Folder, TENANTS, clocks, network};
use crate::command::{self, command, shown};
use crate::{interrupt, poll};

/// How long a program may take until it can be used.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long a program may take to drain when it is asked to end.
const DRAINED_WITHIN: Duration = Duration::from_secs(5);
/// Lines of a log that an error repeats.
const LOG_LINES_MAX: usize = 15;

/// Loopback ports of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The collector's.
    pub collector: u16,
    /// The broker's.
    pub broker: u16,
}

/// One program that runs.
#[derive(Debug)]
struct Service {
    name: String,
    child: Child,
    log: PathBuf,
}

/// The programs that run, in the order they were started.
#[derive(Debug)]
pub struct Services {
    folder: Folder,
    running: Vec<Service>,
    ports: Option<Ports>,
}

impl Services {
    /// None yet.
    #[must_use]
    pub fn new(folder: &Folder) -> Self {
        Self {
            folder: folder.clone(),
            running: Vec::new(),
            ports: None,
        }
    }

    /// Starts broker, collector and agent, and waits until each can be used.
    ///
    /// # Errors
    /// One ended or was not ready in time: its last words.
    pub fn start_core(&mut self, ports: Ports) -> Result<()> {
        self.ports = Some(ports);
        self.start_broker()?;
        self.start_collector()?;
        let (ca, krl) = (self.folder.user_ca(), self.folder.krl());
        self.wait_for("monitor-broker", "the broker listening", || {
            ca.exists() && krl.exists() && listens(ports.broker)
        })?;
        // It reads the authority that the broker has just made.
        self.start_agent()?;
        self.wait_for("monitor-collector", "the collector listening", || {
            listens(ports.collector)
        })?;
        self.agent_is_ready()?;
        let host_krl = self.folder.host_krl();
        // Without it sshd refuses everybody.
        self.wait_for("monitor-agent", "the revocation list on the host", || {
            host_krl.exists()
        })
    }

    /// Starts the broker, without waiting.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start_broker(&mut self) -> Result<()> {
        self.start_program(Program::Broker)
    }

    /// Starts the collector, without waiting.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start_collector(&mut self) -> Result<()> {
        self.start_program(Program::Collector)
    }

    /// Starts the agent, without waiting.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start_agent(&mut self) -> Result<()> {
        self.start_program(Program::Agent)
    }

    /// Starts one of the three, without waiting.
    ///
    /// # Errors
    /// It could not be started.
    pub fn start_program(&mut self, program: Program) -> Result<()> {
        let mut daemon = command(self.folder.program(program.name()), ["run", "--config"]);
        daemon.arg(self.folder.at(program.config()));
        daemon.envs(clocks::variables(self.folder.root(), program.name())?);
        self.start(program.name(), daemon)
    }

    /// Waits until each of the three can be used again, once they were started.
    ///
    /// # Errors
    /// One ended or was not ready in time: its last words.
    pub fn core_is_ready(&mut self) -> Result<()> {
        let ports = self.ports()?;
        for (program, port) in [
            (Program::Broker, ports.broker),
            (Program::Collector, ports.collector),
        ] {
            let what = format!("the {} listening", program.word());
            self.wait_for(program.name(), &what, || listens(port))?;
        }
        self.agent_is_ready()
    }

    /// The ports of collector and broker.
    ///
    /// # Errors
    /// They were never started.
    pub fn ports(&self) -> Result<Ports> {
        self.ports.context("the programs were never started")
    }

    /// Waits until the agent answers on its socket.
    ///
    /// # Errors
    /// It ended, or did not answer in time: its last words.
    pub fn agent_is_ready(&mut self) -> Result<()> {
        let socket = self.folder.agent_socket();
        self.wait_for("monitor-agent", "the agent answering", || {
            UnixStream::connect(&socket).is_ok()
        })
    }

    /// Starts each tenant's service in its namespace, without waiting.
    ///
    /// # Errors
    /// One could not be started.
    pub fn start_tenants(&mut self) -> Result<()> {
        for tenant in TENANTS {
            let mut inside =
                network::within(tenant, &self.folder.program("monitor-tenant-service"));
            inside.args([network::SERVICE, tenant]);
            self.start(&tenant_service(tenant), inside)?;
        }
        Ok(())
    }

    /// Starts each tenant's service at its own addresses, without waiting.
    ///
    /// # Errors
    /// One could not be started.
    pub fn start_wide_tenants(&mut self) -> Result<()> {
        for tenant in TENANTS {
            let mut inside =
                network::within(tenant, &self.folder.program("monitor-tenant-service"));
            inside.args([&format!("[::]:{}", network::OWN_PORT), tenant]);
            self.start(&format!("wide-service-{tenant}"), inside)?;
        }
        Ok(())
    }

    /// Waits until each tenant's service answers with its own name.
    ///
    /// # Errors
    /// One does not, or another tenant answers: the interfaces do not tell
    /// the tenants apart here.
    pub fn tenants_answer(&mut self) -> Result<()> {
        for tenant in TENANTS {
            let interface = network::interface(tenant);
            let url = format!("http://{}/", network::SERVICE);
            let said = |url: &str| {
                let mut curl = command("curl", ["-sS", "-m", "2", "--interface", &interface, url]);
                command::output(&mut curl)
                    .map(|output| output.stdout)
                    .unwrap_or_default()
            };
            let expected = format!("{tenant}\n");
            let what = format!("{tenant} answering by {interface}");
            self.wait_for(&tenant_service(tenant), &what, || {
                said(&url) == expected.as_bytes()
            })?;
        }
        Ok(())
    }

    /// The process of a program.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let service = self.running.iter().find(|service| service.name == name);
        service
            .map(|service| service.child.id())
            .with_context(|| format!("{name} does not run"))
    }

    /// Ends a program as `kill -9` does.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        let at = self.running.iter().position(|service| service.name == name);
        let at = at.with_context(|| format!("{name} does not run"))?;
        let mut service = self.running.remove(at);
        service.child.kill()?;
        service.child.wait()?;
        Ok(())
    }

    /// Asks a program to end, and waits until it has drained.
    ///
    /// # Errors
    /// It does not run, or did not end in time: its last words.
    pub fn end(&mut self, name: &str) -> Result<()> {
        let at = self.running.iter().position(|service| service.name == name);
        let at = at.with_context(|| format!("{name} does not run"))?;
        let mut service = self.running.remove(at);
        kill_process(Pid::from_child(&service.child), Signal::TERM)?;
        let ended = poll::until("its end", READY_WITHIN, || {
            Ok(service.child.try_wait()?.map(drop))
        });
        if ended.is_err() {
            let _ = service.child.kill();
            let _ = service.child.wait();
        }
        ended.with_context(|| format!("{name} was asked to end; {}", last_lines(&service.log)))
    }

    /// Sends a program a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let service = self.running.iter().find(|service| service.name == name);
        let service = service.with_context(|| format!("{name} does not run"))?;
        let pid = Pid::from_child(&service.child);
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {name}"))
    }

    /// Says which program has ended by itself, with its last words.
    ///
    /// # Errors
    /// One has.
    pub fn check(&mut self) -> Result<()> {
        for service in &mut self.running {
            if let Some(status) = service.child.try_wait()? {
                bail!(
                    "{} ended by itself ({status}); {}",
                    service.name,
                    last_lines(&service.log)
                );
            }
        }
        Ok(())
    }

    /// The last lines of each program's log.
    #[must_use]
    pub fn last_words(&self) -> Vec<String> {
        let of = |service: &Service| format!("{}: {}", service.name, last_lines(&service.log));
        self.running.iter().map(of).collect()
    }

    /// Asks every program to end, the last started first, and makes those end
    /// that do not.
    pub fn stop(&mut self) {
        while let Some(mut service) = self.running.pop() {
            let _ = kill_process(Pid::from_child(&service.child), Signal::TERM);
            let ended = poll::until_ignoring_interrupts(DRAINED_WITHIN, || {
                Ok(service.child.try_wait()?.map(drop))
            });
            if !matches!(ended, Ok(Some(()))) {
                eprintln!(
                    "{} did not end within {DRAINED_WITHIN:?}: killed",
                    service.name
                );
                let _ = service.child.kill();
                let _ = service.child.wait();
            }
        }
    }

    /// A group of its own: Ctrl-C on the terminal is for us, who end it in order.
    fn start(&mut self, name: &str, mut command: Command) -> Result<()> {
        interrupt::check()?;
        let log = self.folder.at("log").join(format!("{name}.log"));
        let file = fs::OpenOptions::new().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("writing {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("`{}` could not be started", shown(&command)))?;
        self.running.push(Service {
            name: name.to_owned(),
            child,
            log,
        });
        Ok(())
    }

    fn wait_for(&mut self, name: &str, what: &str, ready: impl Fn() -> bool) -> Result<()> {
        let log = self.folder.at("log").join(format!("{name}.log"));
        let waited = poll::until(what, READY_WITHIN, || {
            self.check()?;
            Ok(ready().then_some(()))
        });
        waited.map_err(|error| {
            if error.is::<interrupt::Interrupted>() || error.to_string().contains("ended by itself")
            {
                return error;
            }
            error.context(format!("{name} is not ready; {}", last_lines(&log)))
        })
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.stop();
    }
}

fn tenant_service(tenant: &str) -> String {
    format!("service-{tenant}")
}

/// Whether something listens on a loopback port.
fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Below those that the kernel gives to clients by itself: none of them takes a
/// port before the program that it is for listens there.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Loopback ports that are free now.
///
/// # Errors
/// All are taken.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // Each process begins elsewhere, and each call of one where the last ended.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id().wrapping_mul(131);
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let found = PORTS.clone().find_map(|_| {
            let place = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(own);
            let place = usize::try_from(place).unwrap_or(0) % PORTS.len();
            let port = PORTS.clone().nth(place)?;
            Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?))
        });
        let (free, listener) =
            found.with_context(|| format!("every loopback port of {PORTS:?} is taken"))?;
        *port = free;
        // Kept until all are chosen, so that none is chosen twice.
        held.push(listener);
    }
    Ok(ports)
}

/// The last lines of a log, for an error message.
#[must_use]
pub fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES_MAX);
    let last = lines.get(from..).unwrap_or_default().join("\n  ");
    if last.is_empty() {
        return format!("it wrote nothing to {}", log.display());
    }
    format!("its last lines in {}:\n  {last}", log.display())
}
