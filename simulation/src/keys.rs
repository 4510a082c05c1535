//! Certificates of everybody: nothing that happens depends on their bytes.

use std::path::PathBuf;

use anyhow::Result;
use monitor_ledger::key::LogKey;
use monitor_model::clock::UnixNs;
use monitor_transport::{
    identity::Identity,
    pki::{Authority, Leaf},
    tls::TlsFiles,
};

/// The name of each agent and of its host.
pub const AGENTS: [&str; 3] = ["jump-1", "jump-2", "jump-3"];
/// The host of the collector, and where it listens.
pub const COLLECTOR: (&str, u16) = ("collector", 7443);
/// The host of the broker, and where it listens.
pub const BROKER: (&str, u16) = ("broker", 7444);
/// The host of the people.
pub const DESK: &str = "desk";

/// Certificates are checked against the machine's own clock, too: they hold from
/// 2023 on, for a hundred years.
const NOT_BEFORE: UnixNs = UnixNs::from_seconds(1_700_000_000);
const DAYS: u64 = 36_500;

/// The folder with everybody's files.
#[derive(Debug)]
pub struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// Makes everybody's in a folder.
    ///
    /// # Errors
    /// They could not be written.
    pub fn make(folder: PathBuf) -> Result<Self> {
        let keys = Self { folder };
        let authority = Authority::create(&keys.folder.join("ca"), NOT_BEFORE, DAYS)?;
        let agents = AGENTS.iter().map(|name| format!("agent/{name}"));
        let others = ["collector/main", "broker/b", "soc/sam", "admin/eve"];
        for name in agents.chain(others.map(ToOwned::to_owned)) {
            let identity: Identity = format!("monitor://{name}").parse()?;
            let hosts = [COLLECTOR.0.to_owned(), BROKER.0.to_owned()];
            let leaf = Leaf {
                identity: &identity,
                hosts: &hosts,
                not_before: NOT_BEFORE,
                days: DAYS,
            };
            authority.issue(&leaf, &keys.folder.join(identity.role.as_str()))?;
        }
        LogKey::new("monitor.simulated", &[7; 32])?.store(&keys.ledger())?;
        Ok(keys)
    }

    /// The key that checkpoints are signed with.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.folder.join("ledger.key")
    }

    /// The files of one of a role.
    #[must_use]
    pub fn of(&self, role: &str, name: &str) -> TlsFiles {
        let folder = self.folder.join(role);
        TlsFiles {
            ca: self.folder.join("ca/ca.pem"),
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        }
    }
}
