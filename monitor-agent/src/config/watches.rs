//! What is watched: own rules, then the catalogue.

use std::path::PathBuf;

use monitor_model::{grant::Tier, id::TenantId};
use serde::Deserialize;
use toml::Spanned;

use super::{Check, ConfigError, RULES_MAX};
use crate::watch::{
    Catalogue, Expectation, Label, Pattern, Rule, Watches,
    catalogue::{Given, Owner, TECHNIQUE_FORM, Told, is_technique},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWatch {
    pattern: Spanned<String>,
    class: Spanned<String>,
    tenant: Option<Spanned<String>>,
    tier: Option<Spanned<String>>,
    technique: Option<Spanned<String>>,
    #[serde(default)]
    operations: Told,
    #[serde(default)]
    injectors: Vec<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCatalogue {
    enabled: bool,
    off: Vec<Spanned<String>>,
    item: Vec<RawGiven>,
}

impl Default for RawCatalogue {
    fn default() -> Self {
        Self {
            enabled: true,
            off: Vec::new(),
            item: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGiven {
    id: Spanned<String>,
    tenant: Option<Spanned<String>>,
    tier: Option<Spanned<String>>,
    #[serde(default)]
    readers: Vec<Spanned<PathBuf>>,
}

impl Check<'_> {
    /// Own rules first: of two that fit a file the first counts.
    pub(super) fn watches(
        &self,
        own: &[RawWatch],
        raw: &RawCatalogue,
    ) -> Result<Watches, ConfigError> {
        if let Some(beyond) = own.get(RULES_MAX) {
            let wanted =
                format!("the rule after the {RULES_MAX} that are allowed; join some by globs");
            return Err(self.0.wrong("watch.pattern", &beyond.pattern, wanted));
        }
        let mut watches = Watches::default();
        for raw in own {
            let rule = self.rule(raw)?;
            if let Some(item) = rule.label.injection.clone() {
                watches.expectations.push(Expectation {
                    item,
                    owner: Owner::Host,
                    readers: self.programs("watch.injectors", &raw.injectors)?,
                    writers: Vec::new(),
                });
            }
            watches.rules.push(rule);
        }
        let catalogue = Catalogue::built_in()?;
        let known = |key, id: &Spanned<String>| {
            if catalogue.has(id.get_ref()) {
                return Ok(id.get_ref().clone());
            }
            let wanted = "an item of the catalogue; `monitor-agent config --catalogue` prints it";
            Err(self.0.wrong(key, id, wanted))
        };
        let off: Result<Vec<_>, _> = raw
            .off
            .iter()
            .map(|id| known("catalogue.off", id))
            .collect();
        let off = off?;
        let mut given = Vec::with_capacity(raw.item.len());
        for item in &raw.item {
            let id = known("catalogue.item.id", &item.id)?;
            given.push(self.given(id, item)?);
        }
        if raw.enabled {
            let (rules, expectations) = catalogue.rules(&off, &given);
            watches.rules.extend(rules);
            watches.expectations.extend(expectations);
        }
        Ok(watches)
    }

    fn given(&self, id: String, raw: &RawGiven) -> Result<Given, ConfigError> {
        Ok(Given {
            id,
            tenant: self.tenant("catalogue.item.tenant", raw.tenant.as_ref())?,
            tier: self.tier("catalogue.item.tier", raw.tier.as_ref())?,
            readers: self.programs("catalogue.item.readers", &raw.readers)?,
        })
    }

    fn programs(
        &self,
        key: &'static str,
        paths: &[Spanned<PathBuf>],
    ) -> Result<Vec<PathBuf>, ConfigError> {
        if let Some(path) = paths.iter().find(|path| path.get_ref().is_relative()) {
            return Err(self.0.wrong(key, path, "the program's absolute path"));
        }
        Ok(paths.iter().map(|path| path.get_ref().clone()).collect())
    }

    pub(super) fn tenant(
        &self,
        key: &'static str,
        raw: Option<&Spanned<String>>,
    ) -> Result<Option<TenantId>, ConfigError> {
        let parsed = raw.map(|tenant| {
            TenantId::new(tenant.get_ref().clone())
                .map_err(|error| self.0.wrong(key, tenant, error.to_string()))
        });
        parsed.transpose()
    }

    fn tier(
        &self,
        key: &'static str,
        raw: Option<&Spanned<String>>,
    ) -> Result<Option<Tier>, ConfigError> {
        let parsed = raw.map(|tier| {
            let parsed: Result<Tier, _> = tier.get_ref().parse();
            parsed.map_err(|error| self.0.wrong(key, tier, error.to_string()))
        });
        parsed.transpose()
    }

    fn rule(&self, raw: &RawWatch) -> Result<Rule, ConfigError> {
        let pattern = Pattern::new(raw.pattern.get_ref()).map_err(|error| {
            self.0
                .wrong("watch.pattern", &raw.pattern, error.to_string())
        })?;
        if raw.class.get_ref().is_empty() {
            let wanted = "a word such as \"kubeconfig\"".to_owned();
            return Err(self.0.wrong("watch.class", &raw.class, wanted));
        }
        if let (true, Some(tenant)) = (pattern.names_tenant(), &raw.tenant) {
            let wanted = "nothing: the pattern names the tenant by {tenant}".to_owned();
            return Err(self.0.wrong("watch.tenant", tenant, wanted));
        }
        let technique = raw.technique.as_ref();
        if let Some(wrong) = technique.filter(|text| !is_technique(text.get_ref())) {
            return Err(self.0.wrong("watch.technique", wrong, TECHNIQUE_FORM));
        }
        let label = Label {
            tenant: self.tenant("watch.tenant", raw.tenant.as_ref())?,
            tier: self.tier("watch.tier", raw.tier.as_ref())?,
            technique: technique.map(|text| text.get_ref().clone()),
            operations: raw.operations.into(),
            // Two rules of one pattern have their programs together.
            injection: (!raw.injectors.is_empty())
                .then(|| format!("injection: {}", raw.pattern.get_ref())),
            ..Label::of_class(raw.class.get_ref().clone())
        };
        Ok(Rule { pattern, label })
    }
}
