//! How fast the judge is, and what live grants take: one JSON object.
//!
//! `cargo xtask bench judge` builds and runs it. One thread, no I/O but the
//! look at its own memory and clock.

#![expect(clippy::print_stdout, reason = "its result")]
#![expect(clippy::unwrap_used, reason = "its own input, which is right")]

use std::{collections::HashMap, hint::black_box};

use monitor_model::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{
        Action, Attribution, Destination, Event, FileObject, Lineage, Operation, Process, Protocol,
    },
    grant::{Grant, GrantKind, GrantState, Holder, PathPatterns, Scope, Tier},
    id::{AgentName, BootId, EventId, GrantId, SessionId, Source, TenantId},
    inventory::{Item, Template},
    judge::{World, judge},
    policy::{Admission, Policy, Terms},
    tenant::{Tenant, Zone},
};
use rustix::time::{ClockId, clock_gettime};

const TENANTS: usize = 1_000;
const GRANTS: usize = 10_000;
/// Different events of each kind that are judged in turn.
const EVENTS: usize = 1_024;
/// Judgements of each kind.
const JUDGED: usize = 1_000_000;

fn main() {
    let policy = Policy::new(terms(), "1-0123456789abcdef".to_owned()).unwrap();
    let before = resident_bytes();
    let plain: HashMap<GrantId, Grant> = grants(Scope::default);
    let after_plain = resident_bytes();
    let listed = grants(scope);
    let after_listed = resident_bytes();
    drop(plain);
    let world = World {
        policy: policy.into(),
        grants: listed,
    };
    let mut kinds = Vec::new();
    let (mut seconds, mut all) = (0.0, 0);
    for (name, event) in KINDS {
        let events: Vec<Event> = (0..EVENTS).map(event).collect();
        let took = timed(&world, &events);
        seconds += took;
        all += JUDGED;
        kinds.push(serde_json::json!({ "kind": name, "ns": took * 1e9 / millions(JUDGED) / 1e6 }));
    }
    let result = serde_json::json!({
        "tenants": TENANTS,
        "grants": GRANTS,
        "events": all,
        "events_per_second": (millions(all) * 1e6 / seconds).round(),
        "kinds": kinds,
        "bytes_per_10000_grants": {
            "opens_all": after_plain.saturating_sub(before),
            "lists": after_listed.saturating_sub(after_plain),
        },
    });
    println!("{result}");
}

fn millions(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap()) / 1e6
}

/// Seconds of the processor that [`JUDGED`] judgements take.
fn timed(world: &World, events: &[Event]) -> f64 {
    for event in events {
        black_box(judge(world, event));
    }
    let began = processor_seconds();
    for event in events.iter().cycle().take(JUDGED) {
        black_box(judge(world, black_box(event)));
    }
    processor_seconds() - began
}

/// Time that this thread ran: what others run beside it does not count.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a measurement of some seconds"
)]
fn processor_seconds() -> f64 {
    let ran = clock_gettime(ClockId::ThreadCPUTime);
    ran.tv_sec as f64 + ran.tv_nsec as f64 / 1e9
}

/// Resident memory of this process (proc(5)).
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
    kibibytes.unwrap().parse::<u64>().unwrap() * 1_024
}

fn tenant(number: usize) -> TenantId {
    format!("tenant-{number}").parse().unwrap()
}

fn zone(network: &str, interface: Option<String>) -> Zone {
    Zone {
        name: "lan".into(),
        networks: vec![network.parse().unwrap()],
        interface,
        ..Zone::default()
    }
}

/// Every tenant shares two ranges with all others and has one of its own.
fn terms() -> Terms {
    let mut tenants: Vec<Tenant> = (0..TENANTS)
        .map(|number| {
            let own = format!("10.{}.{}.0/24", 100 + number / 256, number % 256);
            let interface = Some(format!("wg-{number}"));
            let zones = vec![
                zone("192.168.0.0/16", interface.clone()),
                zone("10.20.0.0/16", interface),
                zone(&own, None),
            ];
            let id = tenant(number);
            Tenant { id, zones }
        })
        .collect();
    let resolvers = Zone {
        admits: Some(Admission::AnyGrant),
        ..zone("192.0.2.0/24", None)
    };
    tenants.push(Tenant {
        id: TenantId::provider(),
        zones: vec![resolvers],
    });
    let item = |template: &str, tenant: Option<TenantId>| Item {
        template: Template::new(template).unwrap(),
        tenant,
        owner: Some("carol".parse().unwrap()),
        tier: Some(Tier::Production),
        workload: None,
        admits: None,
    };
    let mut inventory = vec![item("/srv/{tenant}/kubeconfig", None)];
    let vaults = (0..TENANTS).map(|n| item(&format!("/vault/{n}/**"), Some(tenant(n))));
    inventory.extend(vaults);
    Terms {
        tenants,
        inventory,
        ..Terms::default()
    }
}

fn scope() -> Scope {
    let patterns = |texts: &[&str]| {
        PathPatterns::new(texts.iter().map(ToString::to_string).collect()).unwrap()
    };
    Scope {
        destinations: ["192.168.0.0/16:22", "192.168.0.0/16:443", "10.0.0.0/8:*"]
            .map(|text| text.parse().unwrap())
            .into(),
        credentials: patterns(&["/srv/*/kubeconfig", "/vault/**"]),
        programs: patterns(&["/usr/bin/*", "/usr/local/bin/*"]),
    }
}

fn grants(scope: fn() -> Scope) -> HashMap<GrantId, Grant> {
    let grant = |number: usize| {
        let id: GrantId = format!("grant-{number}").parse().unwrap();
        let grant = Grant {
            id: id.clone(),
            principal: "alice".parse().unwrap(),
            holder: Holder::Staff,
            tenant: tenant(number % TENANTS),
            ticket: "INC-4711".into(),
            task: String::new(),
            purpose: "restore the web shop".into(),
            approved_by: "bob".parse().unwrap(),
            tier: Tier::Production,
            kind: GrantKind::JustInTime,
            not_before: UnixNs(0),
            expires: UnixNs::MAX,
            scope: scope(),
            state: GrantState::Standing,
            review: None,
        };
        (id, grant)
    };
    (0..GRANTS).map(grant).collect()
}

type Make = fn(usize) -> Event;

const KINDS: [(&str, Make); 7] = [
    ("connection, own tenant, shared range", |n| {
        connect(n, n, [192, 168, 7, 9])
    }),
    ("connection, another tenant", |n| {
        connect(n, n + 1, [10, 20, 7, 9])
    }),
    ("connection, a range of its own", |n| {
        let own = n % TENANTS;
        let (high, low) = (100 + own / 256, own % 256);
        connect(n, n, [10, byte(high), byte(low), 9])
    }),
    ("connection, the provider's resolver", |n| {
        connect(n, n, [192, 0, 2, 53])
    }),
    ("credential, by the inventory", |n| {
        let path = format!("/srv/tenant-{}/kubeconfig", n % TENANTS);
        event(n, credential(&path))
    }),
    ("program start", |n| event(n, exec())),
    ("fork", |n| {
        event(
            n,
            Action::Fork {
                child_pid: 1,
                child_start_boot_ns: 1,
            },
        )
    }),
];

fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}

/// A session of one tenant's grant, and of that of three others.
fn event(number: usize, action: Action) -> Event {
    let grants = [5, 7, 11, 0].map(|by| format!("grant-{}", (number + by) % GRANTS));
    Event {
        id: EventId {
            agent: AgentName::new("jump-1").unwrap(),
            boot: BootId::from_parts(UnixNs(0), 1),
            source: Source::Priority { cpu: 0 },
            sequence: 1,
        },
        at: UnixNs(1),
        boot_ns: 1,
        process: Some(Process::default()),
        attribution: Attribution {
            session: Some(SessionId::from_parts(UnixNs(0), 1)),
            principal: Some("alice".parse().unwrap()),
            tenant: Some(tenant(number % TENANTS)),
            grants: grants.iter().map(|id| id.parse().unwrap()).collect(),
            lineage: Lineage::Kernel,
            reason: None,
            way: Vec::new(),
        },
        action,
    }
}

fn connect(number: usize, of: usize, address: [u8; 4]) -> Event {
    let destination = Destination {
        address: address.into(),
        port: 443,
        protocol: Protocol::Tcp,
        interface: Some(format!("wg-{}", of % TENANTS)),
        interface_index: 4,
        net_ns: 1,
        net_ns_name: None,
        mark: 0,
    };
    let denied = false;
    event(
        number,
        Action::Connect {
            destination,
            denied,
            scope: None,
        },
    )
}

fn object(path: &str) -> FileObject {
    FileObject {
        device: 1,
        inode: 2,
        generation: 3,
        path: PathLabel {
            text: path.into(),
            truncated: false,
        },
    }
}

fn credential(path: &str) -> Action {
    Action::Credential {
        object: object(path),
        class: "kubeconfig".into(),
        tenant: None,
        tier: None,
        technique: None,
        operation: Operation::Read,
        flags: 0,
        other: None,
        denied: false,
        expected: None,
        injected: false,
        key: None,
        counted: None,
    }
}

fn exec() -> Action {
    Action::Exec {
        exe: object("/usr/bin/kubectl"),
        argv: vec!["kubectl".into()],
        argv_bytes: 8,
        argv_truncated: false,
        redacted: 0,
        argv_digest: None,
        script: None,
        given: "/usr/bin/kubectl".into(),
        interpreter: "".into(),
    }
}
