//! The one folder that everything of a stage lies in.
//!
//! Root's, in a root's folder: sshd runs a command only from such a place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Settings, TENANTS};

/// Where stages' folders lie.
pub const PARENT: &str = "/var/lib";
/// How their names begin.
pub const PREFIX: &str = "monitor-demo";
/// The programs that are copied onto the stage.
pub const PROGRAMS: [&str; 7] = [
    "monitor-agent",
    "monitor-collector",
    "monitor-broker",
    "monitorctl",
    "monitor-verify",
    "monitor-tenant-service",
    "monitor-steady-work",
];
/// The private sshd's file name, which is also its PAM service.
pub const SSHD: &str = "monitor-demo-sshd";

/// The folder, and the places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Its place; nothing is made yet.
    ///
    /// # Errors
    /// The name is not one that clean-up would find.
    pub fn new(settings: &Settings) -> Result<Self> {
        if !settings.name.starts_with(PREFIX) {
            bail!(
                "the stage's folder {} must begin with {PREFIX}: that is how clean-up finds it",
                settings.name
            );
        }
        let root = Path::new(PARENT).join(&settings.name);
        Ok(Self { root })
    }

    /// Makes it, with the programs copied in.
    ///
    /// # Errors
    /// A program is missing (which, and how to build it), or the disk refused.
    pub fn fill(&self, settings: &Settings) -> Result<()> {
        make_folder(&self.root, 0o755)?;
        for place in ["bin", "log", "run", "srv"] {
            make_folder(&self.root.join(place), 0o755)?;
        }
        for place in ["agent", "collector", "broker", "engineers"] {
            make_folder(&self.root.join(place), 0o700)?;
        }
        self.copy_programs(settings)?;
        self.write_credentials()
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A place in it.
    #[must_use]
    pub fn at(&self, place: impl AsRef<Path>) -> PathBuf {
        self.root.join(place)
    }

    /// A program of the stage.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// Puts another program in the place of one, as a package does: the old file is
    /// gone, and goes on in who runs it.
    ///
    /// # Errors
    /// It is not there, or the disk refused.
    pub fn replace_program(&self, name: &str, by: &Path) -> Result<()> {
        let new = self.program(name).with_extension("new");
        copy_program(by, &new)?;
        fs::rename(&new, self.program(name)).with_context(|| format!("replacing {name}"))
    }

    /// The unix socket of the agent.
    #[must_use]
    pub fn agent_socket(&self) -> PathBuf {
        self.at("run/agent.sock")
    }

    /// The key that signs the collector's ledgers.
    #[must_use]
    pub fn ledger_key(&self) -> PathBuf {
        self.at("pki/ledger.key")
    }

    /// A tenant's credential file.
    #[must_use]
    pub fn credential(&self, tenant: &str) -> PathBuf {
        self.at("srv").join(tenant).join("kubeconfig")
    }

    /// The broker's list of revoked keys.
    #[must_use]
    pub fn krl(&self) -> PathBuf {
        self.at("revoked.krl")
    }

    /// The same as the agent brings it to the host: the one that sshd reads.
    #[must_use]
    pub fn host_krl(&self) -> PathBuf {
        self.at("host.krl")
    }

    /// The broker's CA for user certificates, public part.
    #[must_use]
    pub fn user_ca(&self) -> PathBuf {
        self.at("broker/ca.pub")
    }

    fn copy_programs(&self, settings: &Settings) -> Result<()> {
        for name in PROGRAMS {
            let from = settings.programs.join(name);
            if !from.is_file() {
                bail!(
                    "{} is missing: build it with `cargo xtask build`",
                    from.display()
                );
            }
            copy_program(&from, &self.program(name))?;
        }
        if !settings.sshd.is_file() {
            bail!(
                "{} is missing: `cargo xtask setup --for demo` brings an sshd",
                settings.sshd.display()
            );
        }
        copy_program(&settings.sshd, &self.program(SSHD))
    }

    /// A credential of each tenant. What is in them opens nothing.
    fn write_credentials(&self) -> Result<()> {
        for tenant in TENANTS {
            let file = self.credential(tenant);
            if let Some(place) = file.parent() {
                make_folder(place, 0o755)?;
            }
            let text = format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: {tenant}\nusers:\n- name: {tenant}-admin\n"
            );
            write(&file, &text, 0o644)?;
        }
        Ok(())
    }
}

/// Makes one folder with a mode.
fn make_folder(place: &Path, mode: u32) -> Result<()> {
    fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    fs::set_permissions(place, fs::Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", place.display()))
}

/// Writes a file with a mode.
///
/// # Errors
/// The disk refused.
pub fn write(file: &Path, text: &str, mode: u32) -> Result<()> {
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", file.display()))
}

/// A copy that belongs to root, whoever built the original.
fn copy_program(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("setting the mode of {}", to.display()))
}
