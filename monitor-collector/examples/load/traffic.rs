//! What busy jump hosts say: programs that start and end in sessions of many
//! engineers for many tenants, with connections and uses of credentials.
//!
//! Of 100 events some 29 are forks, program starts and exits each, 7 are
//! connections and 4 uses of credentials; one alert for about 100,000. The same
//! host says the same again from the same number on, but for the times.

use std::collections::VecDeque;

use monitor_model::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{
        Action, Attribution, Destination, Event, FileObject, Lineage, Operation, Process, Protocol,
    },
    grant::Tier,
    id::{
        AgentName, BootId, EventId, GrantId, InvalidId, PrincipalId, SessionId, Source, TenantId,
    },
    session::{Binding, Credential, Session, SessionState},
};
use monitor_proto::v1;
use prost::Message as _;

/// Clients of the provider.
pub(crate) const TENANTS: u64 = 50;
/// Engineers, each with grants in [`TENANTS_OF_ONE`] tenants.
pub(crate) const ENGINEERS: u64 = 100;
/// In how many tenants one engineer works.
pub(crate) const TENANTS_OF_ONE: u64 = 5;
/// Sessions of one host at a time.
const LIVE: u64 = 25;
/// Programs that one session starts.
const PROGRAMS_OF_SESSION: u64 = 3_000;
/// Of so many sessions one ends with a credential of another tenant.
const STRAYS_EVERY: u64 = 10;
/// Of so many programs one uses a file that nobody used before.
const RARE_EVERY: u64 = 3_000;
/// The first session's name begins with this time, each further one a second later.
const FIRST: UnixNs = UnixNs::from_seconds(1_790_000_000);

/// A host, and how far it came.
pub(crate) struct Host {
    pub(crate) number: u64,
    name: AgentName,
    boot: BootId,
    /// Next number of the agent's own stream, and of each ring and processor.
    agent: u64,
    rings: [[u64; 2]; 2],
    sessions: VecDeque<Work>,
    /// Sessions that were opened.
    pub(crate) opened: u64,
    /// Programs that were started.
    programs: u64,
    /// Files that were used once.
    pub(crate) rare: Vec<String>,
    random: u64,
}

/// A session, with an event of each kind to be filled in.
struct Work {
    number: u64,
    tenant: u64,
    id: SessionId,
    left: u64,
    events: Events,
}

struct Events {
    fork: v1::Event,
    exec: v1::Event,
    connect: v1::Event,
    credential: v1::Event,
    exit: v1::Event,
}

/// The name of an engineer.
pub(crate) fn engineer(number: u64) -> Result<PrincipalId, InvalidId> {
    format!("engineer-{number}").parse()
}

/// The name of a tenant.
pub(crate) fn tenant(number: u64) -> Result<TenantId, InvalidId> {
    format!("tenant-{number}").parse()
}

/// The tenants that an engineer has grants in.
pub(crate) fn tenants_of(engineer: u64) -> impl Iterator<Item = u64> {
    (0..TENANTS_OF_ONE).map(move |nth| (engineer * 7 + nth * 11) % TENANTS)
}

/// The name of the grant of an engineer in a tenant.
pub(crate) fn grant(engineer: u64, tenant: u64) -> Result<GrantId, InvalidId> {
    format!("G-{engineer}-{tenant}").parse()
}

/// A session of a host, by its number.
pub(crate) fn session(host: u64, number: u64) -> SessionId {
    let at = FIRST.0 + number * 1_000_000_000;
    SessionId::from_parts(UnixNs(at), u128::from(host) << 64 | u128::from(number))
}

/// Who a session of a host is, and for which tenant.
fn who(host: u64, number: u64) -> (u64, u64) {
    let engineer = (host * 31 + number) % ENGINEERS;
    let nth = usize::try_from(number / ENGINEERS % TENANTS_OF_ONE).unwrap_or(0);
    (engineer, tenants_of(engineer).nth(nth).unwrap_or(0))
}

fn label(text: &str) -> PathLabel {
    PathLabel {
        text: text.into(),
        truncated: false,
    }
}

const EXECUTABLES: u64 = 400;

/// A file, to be filled in.
fn executable() -> FileObject {
    FileObject {
        device: 2_049,
        inode: 262_144,
        generation: 7,
        path: label(""),
    }
}

impl Work {
    fn new(host: &Host, number: u64) -> anyhow::Result<Self> {
        let (engineer, of) = who(host.number, number);
        let id = session(host.number, number);
        let attribution = Attribution {
            session: Some(id),
            principal: Some(self::engineer(engineer)?),
            tenant: Some(tenant(of)?),
            grants: vec![grant(engineer, of)?],
            lineage: Lineage::Kernel,
            reason: None,
            way: Vec::new(),
        };
        let event = |action| {
            let event = Event {
                id: EventId {
                    agent: host.name.clone(),
                    boot: host.boot,
                    source: Source::Agent,
                    sequence: 1,
                },
                at: FIRST,
                boot_ns: 1,
                process: Some(process(number)),
                attribution: attribution.clone(),
                action,
            };
            v1::Event::from(&event)
        };
        Ok(Self {
            number,
            tenant: of,
            id,
            // Sessions of the first hour do not end all at once.
            left: PROGRAMS_OF_SESSION - number % LIVE * (PROGRAMS_OF_SESSION / LIVE / 2),
            events: Events::new(of, event),
        })
    }
}

impl Events {
    fn new(of: u64, event: impl Fn(Action) -> v1::Event) -> Self {
        Self {
            fork: event(Action::Fork {
                child_pid: 1,
                child_start_boot_ns: 1,
            }),
            exec: event(Action::Exec {
                exe: executable(),
                argv: Vec::new(),
                argv_bytes: 0,
                argv_truncated: false,
                redacted: 0,
                argv_digest: None,
                script: None,
                given: "".into(),
                interpreter: "".into(),
            }),
            connect: event(Action::Connect {
                destination: Destination {
                    address: [10, 0, 0, 1].into(),
                    port: 22,
                    protocol: Protocol::Tcp,
                    interface: None,
                    interface_index: 0,
                    net_ns: 4_026_531_840,
                    net_ns_name: None,
                    mark: 0,
                },
                denied: false,
                scope: None,
            }),
            credential: event(Action::Credential {
                object: executable(),
                class: "ssh-key".into(),
                tenant: tenant(of).ok(),
                tier: None,
                technique: Some("T1552.004".into()),
                operation: Operation::Read,
                flags: 0,
                other: None,
                denied: false,
                expected: None,
                injected: false,
                key: None,
                counted: None,
            }),
            exit: event(Action::Exit { status: 0 }),
        }
    }
}

fn process(session: u64) -> Process {
    Process {
        pid: 1_500,
        tid: 1_500,
        parent_pid: 1_400,
        start_boot_ns: 5_000_000_000 + session,
        uid: 1_000,
        euid: 1_000,
        gid: 1_000,
        login_uid: Some(1_000),
        audit_session: u32::try_from(session).ok(),
        cgroup_id: 10_000 + session,
        net_ns: 4_026_531_840,
        mount_ns: 4_026_531_841,
        pid_ns: 4_026_531_836,
        comm: "bash".into(),
        exe: Some(label("/usr/bin/bash")),
    }
}

impl Host {
    /// A host that was booted just now.
    pub(crate) fn new(number: u64, boot: u64) -> anyhow::Result<Self> {
        Ok(Self {
            number,
            name: format!("jump-{number}").parse()?,
            boot: BootId::from_parts(UnixNs(boot), u128::from(number)),
            agent: 0,
            rings: [[0; 2]; 2],
            sessions: VecDeque::new(),
            opened: 0,
            programs: 0,
            rare: Vec::new(),
            random: number + 1,
        })
    }

    /// The agent's name.
    pub(crate) const fn name(&self) -> &AgentName {
        &self.name
    }

    /// The boot, as a Hello says it.
    pub(crate) fn boot(&self) -> Vec<u8> {
        self.boot.to_bytes().to_vec()
    }

    /// The next events, encoded: at least so many.
    pub(crate) fn batch(&mut self, size: usize, now: UnixNs) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut batch = Vec::with_capacity(size + 8);
        while self.sessions.len() < usize::try_from(LIVE)? {
            self.open(now, &mut batch)?;
        }
        while batch.len() < size
            && let Some(mut work) = self.sessions.pop_front()
        {
            self.program(&mut work, now, &mut batch);
            work.left -= 1;
            if work.left > 0 {
                self.sessions.push_back(work);
            } else {
                self.close(&mut work, now, &mut batch);
                self.open(now, &mut batch)?;
            }
        }
        Ok(batch)
    }

    fn random(&mut self) -> u64 {
        // SplitMix64: even, fast, and the same in each run.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn open(&mut self, now: UnixNs, batch: &mut Vec<Vec<u8>>) -> anyhow::Result<()> {
        let number = self.opened;
        self.opened += 1;
        let work = Work::new(self, number)?;
        let (engineer, of) = who(self.number, number);
        let session = Session {
            id: work.id,
            host: self.name.clone(),
            account: "ops".into(),
            principal: Some(self::engineer(engineer)?),
            tenant: Some(tenant(of)?),
            grants: vec![grant(engineer, of)?],
            ticket: format!("INC-{number}"),
            tier: Some(Tier::Production),
            credential: Credential::SshCertificate {
                serial: self.number << 32 | number,
                key_id: format!("v1;eng=engineer-{engineer};tenant=tenant-{of}"),
                ca_fingerprint: "SHA256:u1WJFGxKpPOBVMKP2AF5Rp0UaUN9dFQYsrVNRWBxLqA".into(),
                key_fingerprint: "SHA256:kVbJx0CU0cHD1LdnYTJ0BsB1ulMuE0iLp0wHkPqHJ4E".into(),
            },
            peer: None,
            peer_port: 0,
            leader_pid: 1_000,
            binding: Binding::Certificate,
            way: Vec::new(),
            audit_session: None,
            opened_at: now,
            ended_at: None,
            adopted: false,
            state: SessionState::Live,
            frozen: None,
        };
        let mut event = work.events.exit.clone();
        event.process = None;
        event.action = Some(v1::event::Action::SessionOpened(v1::SessionOpened {
            session: Some((&session).into()),
        }));
        self.tell(&mut event, now, None, batch);
        self.sessions.push_back(work);
        Ok(())
    }

    fn close(&mut self, work: &mut Work, now: UnixNs, batch: &mut Vec<Vec<u8>>) {
        if work.number.is_multiple_of(STRAYS_EVERY) {
            let of = (work.tenant + 1) % TENANTS;
            use_file(
                &mut work.events.credential,
                of,
                format!("/srv/tenant-{of}/kubeconfig"),
            );
            self.tell(&mut work.events.credential, now, Some(0), batch);
        }
        let mut event = work.events.exit.clone();
        event.process = None;
        event.action = Some(v1::event::Action::SessionEnded(v1::SessionEnded {
            session: work.id.to_bytes().to_vec(),
        }));
        self.tell(&mut event, now, None, batch);
    }

    /// A shell starts a program that does something and ends.
    fn program(&mut self, work: &mut Work, now: UnixNs, batch: &mut Vec<Vec<u8>>) {
        self.programs += 1;
        let random = self.random();
        let pid = 2_000 + u32::try_from(self.programs % 4_000_000).unwrap_or(0);
        let start = self.programs * 1_000_003;
        let Events {
            fork,
            exec,
            connect,
            credential,
            exit,
        } = &mut work.events;
        if let Some(v1::event::Action::Fork(fork)) = &mut fork.action {
            fork.child_pid = pid;
            fork.child_start_boot_ns = start;
        }
        for event in [&mut *exec, connect, credential, exit] {
            if let Some(process) = &mut event.process {
                (process.pid, process.tid, process.start_boot_ns) = (pid, pid, start);
            }
        }
        start_program(exec, random);
        self.tell(fork, now, Some(1), batch);
        self.tell(exec, now, Some(0), batch);
        match random % 20 {
            0..=4 => {
                if let Some(v1::event::Action::Connect(connect)) = &mut connect.action
                    && let Some(to) = &mut connect.destination
                {
                    let [.., last] = u32::to_be_bytes(pid);
                    let network = u8::try_from(work.tenant).unwrap_or(0);
                    to.address = vec![10, network, 0, last];
                }
                self.tell(connect, now, Some(0), batch);
            }
            5..=7 => {
                use_file(credential, work.tenant, file(work.tenant, random));
                self.tell(credential, now, Some(0), batch);
            }
            8.. => {}
        }
        if self.programs.is_multiple_of(RARE_EVERY) {
            let (host, number) = (self.number, self.rare.len());
            let once = format!("/srv/tenant-{}/once/{host}-{number}.key", work.tenant);
            use_file(credential, work.tenant, once.clone());
            self.rare.push(once);
            self.tell(credential, now, Some(0), batch);
        }
        self.tell(exit, now, Some(1), batch);
    }

    /// Gives an event its name and time; `ring` 0 is priority, 1 bulk, none the
    /// agent's own stream.
    fn tell(
        &mut self,
        event: &mut v1::Event,
        now: UnixNs,
        ring: Option<usize>,
        batch: &mut Vec<Vec<u8>>,
    ) {
        let cpu = self.programs % 2;
        let lane = usize::try_from(cpu).unwrap_or(0);
        let next = match ring {
            Some(ring) => self.rings.get_mut(ring).and_then(|ring| ring.get_mut(lane)),
            None => Some(&mut self.agent),
        };
        let Some(next) = next else { return };
        *next += 1;
        if let Some(id) = &mut event.id {
            id.sequence = *next;
            if let Some(source) = &mut id.source {
                source.set_kind(match ring {
                    Some(0) => v1::SourceKind::Priority,
                    Some(_) => v1::SourceKind::Bulk,
                    None => v1::SourceKind::Agent,
                });
                source.cpu = ring.map_or(0, |_| u32::try_from(cpu).unwrap_or(0));
            }
        }
        event.at_unix_ns = now.0 + u64::try_from(batch.len()).unwrap_or(0);
        event.boot_ns = event.at_unix_ns - FIRST.0 / 2;
        batch.push(event.encode_to_vec());
    }
}

fn file(tenant: u64, random: u64) -> String {
    format!("/srv/tenant-{tenant}/keys/{}.pem", random >> 8 & 63)
}

fn use_file(event: &mut v1::Event, tenant: u64, path: String) {
    if let Some(v1::event::Action::Credential(access)) = &mut event.action {
        access.tenant = format!("tenant-{tenant}");
        if let Some(object) = &mut access.object {
            object.inode = 1 << 20 | u64::try_from(path.len()).unwrap_or(0);
            object.path = Some(v1::PathLabel {
                text: path.into_bytes(),
                truncated: false,
            });
        }
    }
}

fn start_program(event: &mut v1::Event, random: u64) {
    let number = random % EXECUTABLES;
    let path = format!("/usr/bin/tool-{number}").into_bytes();
    let Some(v1::event::Action::Exec(exec)) = &mut event.action else {
        return;
    };
    exec.given.clone_from(&path);
    exec.argv = vec![
        format!("tool-{number}").into_bytes(),
        b"--namespace".to_vec(),
        format!("prod-{}", random >> 16 & 15).into_bytes(),
        format!("/var/lib/app/{:x}/data", random >> 32).into_bytes(),
    ];
    let bytes: usize = exec.argv.iter().map(|text| text.len() + 1).sum();
    exec.argv_bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    exec.argv_digest = Some(random);
    if let Some(exe) = &mut exec.exe {
        exe.inode = 262_144 + number;
        exe.path = Some(v1::PathLabel {
            text: path.clone(),
            truncated: false,
        });
    }
    if let Some(process) = &mut event.process {
        process.exe = Some(v1::PathLabel {
            text: path,
            truncated: false,
        });
    }
}
