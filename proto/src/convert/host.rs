//! Jump hosts.

use monitor_model::{clock::UnixNs, host::Host, id::BootId};

use super::{
    InvalidMessage,
    wire::{id, name},
};
use crate::v1;

impl From<&Host> for v1::Host {
    fn from(value: &Host) -> Self {
        let Host {
            host,
            boot,
            started_at,
            version,
            kernel,
            resumed,
            hooks,
        } = value;
        Self {
            host: host.to_string(),
            boot: boot.to_bytes().to_vec(),
            started_at_unix_ns: started_at.0,
            version: version.clone(),
            kernel: kernel.clone(),
            resumed: *resumed,
            hooks: hooks.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Host> for Host {
    type Error = InvalidMessage;
    fn try_from(value: v1::Host) -> Result<Self, InvalidMessage> {
        Ok(Self {
            host: name("host.host", &value.host)?,
            boot: id("host.boot", &value.boot, BootId::from_slice)?,
            started_at: UnixNs(value.started_at_unix_ns),
            version: value.version,
            kernel: value.kernel,
            resumed: value.resumed,
            hooks: value.hooks.into_iter().map(Into::into).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use monitor_model::event::HookState;

    use super::*;

    #[test]
    fn hosts_survive_their_encoding() {
        let hook = |tier: Option<&str>| HookState {
            family: "memory".into(),
            tier: tier.map(Into::into),
            unseen: "pidfd_getfd".into(),
        };
        let host = Host {
            host: "jump-1".parse().unwrap(),
            boot: BootId::from_parts(UnixNs(7_000_000), 9),
            started_at: UnixNs(8),
            version: "1".into(),
            kernel: "6.18".into(),
            resumed: true,
            hooks: vec![hook(None), hook(Some("lsm"))],
        };
        assert_eq!(Host::try_from(v1::Host::from(&host)).unwrap(), host);
        let mut nameless = v1::Host::from(&host);
        nameless.host.clear();
        assert!(
            Host::try_from(nameless)
                .unwrap_err()
                .to_string()
                .contains("host.host")
        );
    }
}
