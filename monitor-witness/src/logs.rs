//! Whose checkpoints are taken: logs by their names, and what checks their signatures.

use monitor_ledger::key::VerifierKey;
use monitor_model::id::TenantId;

/// One log, or those of all tenants of a collector.
#[derive(Clone, Debug)]
pub struct Log {
    /// The key of the log, or of any of them: they differ in the name alone.
    pub key: VerifierKey,
    /// The name of the collector's key with a `/`, before each tenant's name;
    /// none for the key's log alone.
    pub origin_prefix: Option<String>,
}

impl Log {
    /// The key that checkpoints of this origin are checked with, if it is one of these.
    fn key_of(&self, origin: &str) -> Option<VerifierKey> {
        let Some(prefix) = &self.origin_prefix else {
            return (self.key.name() == origin).then(|| self.key.clone());
        };
        TenantId::new(origin.strip_prefix(prefix)?).ok()?;
        self.key.renamed(origin).ok()
    }
}

/// All logs that a witness knows.
#[derive(Clone, Debug)]
pub struct Logs(pub Vec<Log>);

impl Logs {
    /// The keys that are trusted for an origin; none when it is unknown.
    #[must_use]
    pub fn keys(&self, origin: &str) -> Vec<VerifierKey> {
        let keys = self.0.iter().filter_map(|log| log.key_of(origin));
        keys.collect()
    }
}

#[cfg(test)]
mod tests {
    use monitor_ledger::key::LogKey;

    use super::*;

    #[test]
    fn a_prefix_takes_each_tenants_log_with_the_key_under_its_name() {
        let key = LogKey::new("monitor.example", &[7; 32]).unwrap();
        let verifier = |tenant| key.signer(tenant).unwrap().verifier().clone();
        let alone = Logs(vec![Log {
            key: verifier("acme"),
            origin_prefix: None,
        }]);
        assert_eq!(alone.keys("monitor.example/acme"), [verifier("acme")]);
        assert_eq!(alone.keys("monitor.example/globex"), []);
        let all = Logs(vec![Log {
            key: verifier("acme"),
            origin_prefix: Some("monitor.example/".to_owned()),
        }]);
        for tenant in ["acme", "globex", "a@b"] {
            let origin = format!("monitor.example/{tenant}");
            assert_eq!(all.keys(&origin), [verifier(tenant)], "{tenant}");
        }
        for origin in [
            "monitor.example/",
            "monitor.example/a/b",
            "monitor.example/a+b",
            "monitor.example2/acme",
            "acme",
        ] {
            assert_eq!(all.keys(origin), [], "{origin}");
        }
    }
}
