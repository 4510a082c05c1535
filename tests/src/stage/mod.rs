//! The stage: everything the scene needs, in one folder, taken down in any case.
//!
//! # Layout
//! - `lock`: one stage at a time on a machine
//! - `folder`: the one folder that everything lies in, and what is in it
//! - `network`: two tenants with the same addresses behind two interfaces
//! - `accounts`: a shared account that only the private sshd knows
//! - `certificates`: mTLS, made on the spot
//! - `config`: the configuration files of the three programs
//! - `program`: the three programs; `services`: all of them as child processes, with their logs
//! - `clocks`: wall clocks of the programs that can be moved
//! - `sshd`: a private sshd on loopback
//! - `own_machine`: the same on a machine that is the stage's own
//! - `cleanup`: takes everything down, also what an earlier stage left

pub mod accounts;
pub mod certificates;
pub mod cleanup;
pub mod clocks;
pub mod config;
pub mod folder;
pub mod lock;
pub mod network;
pub mod own_machine;
pub mod program;
pub mod services;
pub mod sshd;

use std::path::PathBuf;

use anyhow::{Result, bail};

pub use folder::Folder;
use lock::{Lock, Patience};
use network::Network;
use services::Services;
use sshd::Sshd;

/// The account that engineers share.
pub const ACCOUNT: &str = "ops";
/// The account that is let in while the agent is down.
pub const BREAK_GLASS_ACCOUNT: &str = "rescue";
/// The two tenants of the stage.
pub const TENANTS: [&str; 2] = ["acme", "globex"];

/// What a stage is made from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the built programs.
    pub programs: PathBuf,
    /// The sshd of this machine, or one that was unpacked.
    pub sshd: PathBuf,
    /// The stage's own folder under [`folder::PARENT`].
    pub name: String,
    /// What to do when another stage stands.
    pub patience: Patience,
    /// The best tier of probes that the agent may take; none: the agent's own
    /// default.
    pub best_tier: Option<String>,
}

/// What stands on the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Everything.
    Scene,
    /// Everything, and what cases may use: root may log in, programs that
    /// change the account let everybody, addresses that one tenant alone has,
    /// and a policy that only tells.
    Cases,
    /// The same on a machine that is thrown away afterwards: sshd, accounts
    /// and PAM are the machine's own, so that its daemons know them too.
    OwnMachine,
    /// The three services only, watching the machine as it is.
    Host,
}

impl Shape {
    /// Whether cases are played on it.
    #[must_use]
    pub const fn is_for_cases(self) -> bool {
        matches!(self, Self::Cases | Self::OwnMachine)
    }
}

/// A stage that stands. Dropping it takes it down.
#[derive(Debug)]
pub struct Stage {
    /// Where everything lies.
    pub folder: Folder,
    /// The programs that run.
    pub services: Services,
    /// The private sshd; none when the machine itself is watched.
    pub sshd: Option<Sshd>,
    is_down: bool,
    _lock: Lock,
}

impl Stage {
    /// Sets the stage, after it removed what an earlier one left behind.
    ///
    /// # Errors
    /// Whatever could not be set, with what would help; everything that stood
    /// by then is taken down again.
    pub fn set(settings: &Settings, shape: Shape) -> Result<Self> {
        Self::set_prepared(settings, shape, |_| Ok(()))
    }

    /// The same, with something put into the folder before a program runs.
    ///
    /// # Errors
    /// As [`Self::set`], or those of `prepare`.
    pub fn set_prepared(
        settings: &Settings,
        shape: Shape,
        prepare: impl FnOnce(&Folder) -> Result<()>,
    ) -> Result<Self> {
        require_root()?;
        let lock = Lock::take(settings.patience)?;
        cleanup::sweep()?;
        let folder = Folder::new(settings)?;
        let mut stage = Self {
            services: Services::new(&folder),
            folder,
            sshd: None,
            is_down: false,
            _lock: lock,
        };
        stage.folder.fill(settings)?;
        prepare(&stage.folder)?;
        stage.raise(shape, settings.best_tier.as_deref())?;
        Ok(stage)
    }

    fn raise(&mut self, shape: Shape, best_tier: Option<&str>) -> Result<()> {
        certificates::make(&self.folder)?;
        let ports = config::write_all(&self.folder, shape, best_tier)?;
        if shape != Shape::Host {
            Network::lay()?;
            self.services.start_tenants()?;
        }
        if shape.is_for_cases() {
            Network::widen()?;
            self.services.start_wide_tenants()?;
        }
        self.services.start_core(ports)?;
        if shape != Shape::Host {
            accounts::write_all(&self.folder, shape)?;
            self.sshd = Some(Sshd::start(&self.folder, shape)?);
            self.services.tenants_answer()?;
        }
        Ok(())
    }

    /// The private sshd.
    ///
    /// # Errors
    /// There is none on this stage.
    pub fn sshd(&self) -> Result<&Sshd> {
        let Some(sshd) = &self.sshd else {
            bail!("this stage has no sshd: it watches the machine as it is");
        };
        Ok(sshd)
    }

    /// Takes everything down and says what would not go.
    ///
    /// # Errors
    /// What is left, and why.
    pub fn take_down(mut self) -> Result<()> {
        self.is_down = true;
        self.bring_down()
    }

    fn bring_down(&mut self) -> Result<()> {
        if let Some(sshd) = self.sshd.take() {
            sshd.stop();
        }
        self.services.stop();
        cleanup::remove(self.folder.root())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.is_down {
            return;
        }
        if let Err(error) = self.bring_down() {
            eprintln!("error: the stage was not taken down whole: {error:#}");
        }
    }
}

/// Refuses to go on without root, and says what needs it.
///
/// # Errors
/// This is not root.
pub fn require_root() -> Result<()> {
    if is_root() {
        return Ok(());
    }
    bail!(
        "root is needed: probes are loaded into the kernel, and network namespaces and a private \
         sshd are made; run this as root, or through sudo"
    );
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
