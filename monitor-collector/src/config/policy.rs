//! What verdicts are made under, from one file or several: tenants with their
//! zones, the inventory of credentials, and who may use what belongs to no tenant.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use monitor_model::{
    grant::{PortRange, Tier},
    id::{AgentName, PrincipalId, TenantId},
    inventory::{ITEMS_MAX, Item, Template},
    policy::{Admission, Terms},
    tenant::{Tenant, Zone},
};
use monitor_transport::configuration::{ConfigError, Document};
use toml::Spanned;

use super::{
    INCLUDES_MAX, RESOLVE_MINUTES_MAX, TENANTS_MAX, ZONES_MAX,
    check::{Wrong, each, known, parsed, wrong},
    names::{NAMES_MAX, Names as _, SystemNames},
    raw,
    retention::Retention,
};

const TIERS: &str = "give one of standard, production, backup, identity, endpoint";
const TWICE: &str = "another file says it already; say it once";
const ADMISSIONS: &str = "give one of owner_grant, any_grant, everybody";

/// What is resolved anew how often, where nothing is stated.
const RESOLVE_MINUTES: u64 = 5;

/// What files say of verdicts.
pub(super) struct Stated {
    pub(super) terms: Terms,
    /// How often the host names of zones are resolved anew.
    pub(super) resolve: Duration,
    /// How long ledgers keep content.
    pub(super) retention: Retention,
}

/// One file, read.
struct File {
    path: PathBuf,
    text: String,
}

/// Reads the files that a configuration includes and checks all of them together.
pub(super) fn checked(
    document: &Document<'_>,
    include: &[Spanned<PathBuf>],
    own: raw::Part,
) -> Result<Stated, ConfigError> {
    let told = |document: &Document<'_>, wrong: Wrong| {
        document.wrong_at(wrong.span.start, wrong.key, wrong.value, wrong.wanted)
    };
    if let Some(beyond) = include.get(INCLUDES_MAX) {
        let wanted = format!("more than {INCLUDES_MAX} files; put some together");
        return Err(document.wrong("include", beyond, wanted));
    }
    let files: Vec<File> = include
        .iter()
        .map(|path| read(&document.beside(path.get_ref())))
        .collect::<Result<_, _>>()?;
    let documents: Vec<Document<'_>> = files
        .iter()
        .map(|file| Document::new(&file.path, &file.text))
        .collect();
    let mut parts = vec![(*document, own)];
    for document in documents {
        parts.push((document, document.parse()?));
    }
    // Tenants of all files first: credentials of any file name them.
    let mut draft = Draft::default();
    let mut rest = Vec::with_capacity(parts.len());
    for (document, part) in parts {
        let raw::Part {
            policy,
            tenant,
            hold,
            credential,
        } = part;
        let taken = draft
            .tenants(tenant)
            .and_then(|()| draft.admissions(policy));
        taken.map_err(|wrong| told(&document, wrong))?;
        rest.push((document, hold, credential));
    }
    draft.with_provider();
    for (document, holds, credentials) in rest {
        let taken = draft
            .holds(holds)
            .and_then(|()| draft.credentials(credentials));
        taken.map_err(|wrong| told(&document, wrong))?;
    }
    let minutes = draft.resolve_minutes.unwrap_or(RESOLVE_MINUTES);
    Ok(Stated {
        resolve: Duration::from_secs(minutes * 60),
        retention: draft.retention,
        terms: Terms {
            tenants: draft.tenants,
            inventory: draft.inventory,
            provider: draft.provider.unwrap_or_default(),
            unknown: draft.unknown.unwrap_or_default(),
        },
    })
}

fn read(path: &Path) -> Result<File, ConfigError> {
    Ok(File {
        path: path.to_owned(),
        text: Document::read(path)?,
    })
}

/// What the files say so far.
#[derive(Default)]
struct Draft {
    tenants: Vec<Tenant>,
    zones: usize,
    hosts: usize,
    inventory: Vec<Item>,
    provider: Option<Admission>,
    unknown: Option<Admission>,
    resolve_minutes: Option<u64>,
    retention: Retention,
}

impl Draft {
    fn holds(&mut self, raw: Vec<raw::Hold>) -> Result<(), Wrong> {
        let Self {
            tenants, retention, ..
        } = self;
        let has = |id: &TenantId| tenants.iter().any(|tenant| tenant.id == *id);
        raw.into_iter()
            .try_for_each(|hold| retention.hold(hold, has))
    }

    fn tenants(&mut self, raw: Vec<raw::Tenant>) -> Result<(), Wrong> {
        for tenant in raw {
            let raw::Tenant {
                id,
                retention_days,
                contract,
                zone,
            } = tenant;
            let name = TenantId::new(id.get_ref().as_str())
                .map_err(|error| wrong("tenant.id", &id, &error.to_string()))?;
            if self.has(&name) {
                let wanted = "named twice; give each tenant one table";
                return Err(wrong("tenant.id", &id, wanted));
            }
            if self.tenants.len() >= TENANTS_MAX {
                let wanted = format!("more than {TENANTS_MAX} tenants; run a second collector");
                return Err(wrong("tenant.id", &id, &wanted));
            }
            self.zones += zone.len();
            if self.zones > ZONES_MAX {
                let wanted = format!("more than {ZONES_MAX} zones; give a zone several networks");
                return Err(wrong("tenant.id", &id, &wanted));
            }
            let hosts = zone.iter().flat_map(|zone| &zone.hosts);
            if let Some(beyond) = hosts.clone().nth(NAMES_MAX.saturating_sub(self.hosts)) {
                let wanted = format!("more than {NAMES_MAX} host names; give networks");
                return Err(wrong("tenant.zone.hosts", beyond, &wanted));
            }
            self.hosts += hosts.count();
            let zones = zone.into_iter().map(|zone| checked_zone(zone, &name));
            let zones = zones.collect::<Result<_, _>>()?;
            self.retention
                .tenant(&name, retention_days.as_ref(), contract)?;
            self.tenants.push(Tenant { id: name, zones });
        }
        Ok(())
    }

    fn has(&self, id: &TenantId) -> bool {
        self.tenants.iter().any(|tenant| tenant.id == *id)
    }

    fn with_provider(&mut self) {
        let id = TenantId::provider();
        if !self.has(&id) {
            let zones = Vec::new();
            self.tenants.push(Tenant { id, zones });
        }
    }

    fn admissions(&mut self, raw: raw::Admissions) -> Result<(), Wrong> {
        let raw::Admissions {
            provider,
            unknown_destinations,
            resolve_minutes,
        } = raw;
        let stated = [
            ("policy.provider", provider, &mut self.provider),
            (
                "policy.unknown_destinations",
                unknown_destinations,
                &mut self.unknown,
            ),
        ];
        for (key, text, place) in stated {
            let Some(text) = text else {
                continue;
            };
            if place.is_some() {
                return Err(wrong(key, &text, TWICE));
            }
            *place = Some(parsed(key, &text, ADMISSIONS)?);
        }
        let Some(minutes) = resolve_minutes else {
            return Ok(());
        };
        let key = "policy.resolve_minutes";
        if self.resolve_minutes.is_some() {
            return Err(wrong(key, &minutes, TWICE));
        }
        if !(1..=RESOLVE_MINUTES_MAX).contains(minutes.get_ref()) {
            return Err(wrong(key, &minutes, "give 1 to 1440 minutes"));
        }
        self.resolve_minutes = Some(minutes.into_inner());
        Ok(())
    }

    fn credentials(&mut self, raw: Vec<raw::Credential>) -> Result<(), Wrong> {
        for credential in raw {
            if self.inventory.len() >= ITEMS_MAX {
                let wanted = format!("more than {ITEMS_MAX} items; use wider templates");
                return Err(wrong("credential.template", &credential.template, &wanted));
            }
            let item = self.credential(credential)?;
            self.inventory.push(item);
        }
        Ok(())
    }

    fn credential(&self, raw: raw::Credential) -> Result<Item, Wrong> {
        let raw::Credential {
            template: text,
            tenant,
            owner,
            tier,
            workload,
            admits,
        } = raw;
        let template = Template::new(text.get_ref())
            .map_err(|error| wrong("credential.template", &text, &error.to_string()))?;
        match &tenant {
            Some(tenant) if template.names_tenant() => {
                let wanted = "nothing: the template names the tenant by {tenant}";
                return Err(wrong("credential.tenant", tenant, wanted));
            }
            None if !template.names_tenant() => {
                let wanted = "name the tenant by {tenant} in the template, or as tenant = \"...\"";
                return Err(wrong("credential.template", &text, wanted));
            }
            Some(_) | None => {}
        }
        let tenant = tenant.map(|tenant| self.known(&tenant)).transpose()?;
        let is_provider = tenant.as_ref().is_some_and(TenantId::is_provider);
        Ok(Item {
            template,
            owner: principal("credential.owner", owner)?,
            tier: tiered("credential.tier", tier)?,
            workload: principal("credential.workload", workload)?,
            admits: admitting("credential.admits", admits, is_provider)?,
            tenant,
        })
    }

    fn known(&self, tenant: &Spanned<String>) -> Result<TenantId, Wrong> {
        known("credential.tenant", tenant, |id| self.has(id))
    }
}

fn checked_zone(raw: raw::Zone, tenant: &TenantId) -> Result<Zone, Wrong> {
    let raw::Zone {
        name,
        networks,
        hosts,
        ports,
        interface,
        net_ns,
        mark,
        jump_host,
        tier,
        admits,
    } = raw;
    if networks.get_ref().is_empty() && hosts.is_empty() {
        return Err(wrong(
            "tenant.zone.networks",
            &networks,
            "give at least one, as in [\"10.20.0.0/24\"], or hosts = [\"db.acme.example\"]",
        ));
    }
    let resolved = |host: &Spanned<String>| {
        let cause =
            |error| format!("cannot be resolved: {error}; give a name that can, or networks");
        let found = SystemNames.resolve(host.get_ref());
        found.map_err(|error| wrong("tenant.zone.hosts", host, &cause(error)))
    };
    let hosts = hosts.iter().map(resolved).collect::<Result<_, _>>()?;
    let jump_host = jump_host.map(|name| {
        let id = AgentName::new(name.get_ref().as_str());
        id.map_err(|error| wrong("tenant.zone.jump_host", &name, &error.to_string()))
    });
    let networks = each(
        "tenant.zone.networks",
        networks.get_ref(),
        "not a network, as in 10.20.0.0/24 or fd00::/64",
    )?;
    let ports: Vec<PortRange> = each(
        "tenant.zone.ports",
        &ports,
        "not a port, a range such as 8000-8999, or *",
    )?;
    Ok(Zone {
        name,
        networks,
        hosts,
        ports,
        interface,
        net_ns,
        mark,
        jump_host: jump_host.transpose()?,
        tier: tiered("tenant.zone.tier", tier)?,
        admits: admitting("tenant.zone.admits", admits, tenant.is_provider())?,
    })
}

fn tiered(key: &'static str, tier: Option<Spanned<String>>) -> Result<Option<Tier>, Wrong> {
    tier.map(|tier| parsed(key, &tier, TIERS)).transpose()
}

fn principal(
    key: &'static str,
    name: Option<Spanned<String>>,
) -> Result<Option<PrincipalId>, Wrong> {
    let read = |name: Spanned<String>| {
        let id = PrincipalId::new(name.get_ref().as_str());
        id.map_err(|error| wrong(key, &name, &error.to_string()))
    };
    name.map(read).transpose()
}

/// A client's things are its own: only a grant of its opens them.
fn admitting(
    key: &'static str,
    admits: Option<Spanned<String>>,
    is_provider: bool,
) -> Result<Option<Admission>, Wrong> {
    let Some(text) = admits else {
        return Ok(None);
    };
    if !is_provider {
        let wanted = "nothing: only what is of the tenant provider admits others";
        return Err(wrong(key, &text, wanted));
    }
    parsed(key, &text, ADMISSIONS).map(Some)
}
