//! What hosts are given to refuse connections by themselves: the grants that
//! hold or will hold, compiled under the policy in force.
//!
//! In: a snapshot of the tables. Out: one message for each host that zones tell
//! apart, made once however many hosts ask. Bound: the grants, and the jump
//! hosts that zones name. Loss: a grant that does not fit is told to its hosts,
//! in the log, and refuses nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use monitor_model::{
    clock::UnixNs,
    enforce::{ScopeTable, Scoped, compile},
    grant::{Grant, GrantState},
    id::{AgentName, GrantId},
    policy::Policy,
};
use monitor_proto::v1;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use crate::{config::enforce::EnforcePolicy, tables::Tables};

/// A grant and the state that it was compiled in.
type Known = (GrantState, v1::CompiledGrant);

/// What was made, by the jump host where a zone names it.
#[derive(Debug, Default)]
pub struct Scopes {
    made: Mutex<HashMap<Option<AgentName>, Made>>,
}

#[derive(Debug)]
struct Made {
    grants_version: u64,
    policy: Arc<Policy>,
    enforce: Arc<EnforcePolicy>,
    table: Arc<v1::ScopeTable>,
    known: HashMap<GrantId, Known>,
}

impl Scopes {
    /// What a host is given. Blocks for as long as it takes to compile what was
    /// not compiled before: some tens of microseconds a grant.
    pub fn of(&self, tables: &Tables, agent: &AgentName, now: UnixNs) -> Arc<v1::ScopeTable> {
        let Tables {
            policy, enforce, ..
        } = tables;
        if enforce.modes.is_off() {
            return Arc::default();
        }
        let named = is_named(policy, agent).then(|| agent.clone());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, made| {
            Arc::ptr_eq(&made.policy, policy) && Arc::ptr_eq(&made.enforce, enforce)
        });
        if let Some(before) = made.get(&named)
            && before.grants_version == tables.grants_version
        {
            return Arc::clone(&before.table);
        }
        let before = made.remove(&named);
        let known = before.map(|before| before.known).unwrap_or_default();
        let fresh = make(tables, agent, known, now);
        let table = Arc::clone(&fresh.table);
        made.insert(named, fresh);
        table
    }
}

/// Whether a zone is told apart by this jump host.
fn is_named(policy: &Policy, agent: &AgentName) -> bool {
    let mut zones = policy.tenants().iter().flat_map(|tenant| &tenant.zones);
    zones.any(|zone| zone.jump_host.as_ref() == Some(agent))
}

fn make(
    tables: &Tables,
    agent: &AgentName,
    mut before: HashMap<GrantId, Known>,
    now: UnixNs,
) -> Made {
    let mut known = HashMap::new();
    let mut grants = Vec::new();
    for grant in tables.grants_alive(now) {
        let compiled = before
            .remove(&grant.id)
            .filter(|(state, _)| *state == grant.state)
            .map_or_else(|| compiled(tables, grant, agent), |(_, compiled)| compiled);
        grants.push(compiled.clone());
        known.insert(grant.id.clone(), (grant.state.clone(), compiled));
    }
    let empty = ScopeTable {
        version: 0,
        lease: tables.enforce.lease,
        when_away: tables.enforce.when_away,
        grants: Vec::new(),
    };
    let mut table = v1::ScopeTable {
        grants,
        ..v1::ScopeTable::from(&empty)
    };
    table.version = version_of(&table);
    info!(%agent, version = table.version, grants = table.grants.len(), policy = tables.policy.version(),
        "Scopes compiled.");
    Made {
        grants_version: tables.grants_version,
        policy: Arc::clone(&tables.policy),
        enforce: Arc::clone(&tables.enforce),
        table: Arc::new(table),
        known,
    }
}

fn compiled(tables: &Tables, grant: &Grant, agent: &AgentName) -> v1::CompiledGrant {
    let compiled = compile(&tables.policy, grant, agent, &tables.enforce.modes);
    let scoped = compiled.map_or_else(
        |unfit| {
            warn!(grant = %grant.id, %unfit, "A grant does not fit the kernel's tables; its sessions are judged, and refused nothing.");
            Scoped::Unfit {
                grant: grant.id.clone(),
                why: unfit.to_string(),
            }
        },
        Scoped::Compiled,
    );
    v1::CompiledGrant::from(&scoped)
}

/// A digest of all that the table says but its name; never 0.
fn version_of(table: &v1::ScopeTable) -> u64 {
    let digest = Sha256::digest(table.encode_to_vec());
    let bytes = digest.iter().take(8);
    bytes
        .fold(0, |bits, &byte| (bits << 8) | u64::from(byte))
        .max(1)
}
