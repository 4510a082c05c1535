//! Credentials that were touched, and the connections that used them.
//!
//! What a process read, nobody sees it send. A connection counts as a use of a
//! credential by who made it and when, and the grade says how far that goes.
//! Pure: events in, credentials out. Bound: [`USES_MAX`] uses of each are told,
//! [`ANCESTORS_MAX`] forebears of a process looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use monitor_model::{
    bytes::PathLabel,
    clock::UnixNs,
    event::{Action, Event, Operation},
    id::{AgentName, BootId, EventId, SessionId, TenantId},
    session::{Credential, Session},
    verdict::{Judgement, Verdict},
};
use serde::Serialize;

use super::{
    family::{Family, Node, node},
    story::{address, owner},
};

/// Most uses of one credential that are told, the earliest of the best grades.
pub const USES_MAX: usize = 50;
/// Most forebears of a process that are looked at.
pub const ANCESTORS_MAX: usize = 256;

/// How sure it is that a connection used a credential, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// The process that had opened the credential connected.
    SameProcess,
    /// A process that descends from it connected, after it was opened.
    Descendant,
    /// The process connected first and opened the credential then, as ssh does.
    SameProcessBefore,
    /// Another process of the session connected, after it was opened. Told only
    /// where there is nothing surer.
    LaterInSession,
}

impl Grade {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameProcess => "same process",
            Self::Descendant => "descendant",
            Self::SameProcessBefore => "same process, connected before",
            Self::LaterInSession => "later in the session",
        }
    }
}

/// A connection that used a credential, as far as the grade says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// How sure it is.
    pub grade: Grade,
    /// When it connected.
    pub at: UnixNs,
    /// The connection.
    pub event: EventId,
    /// Where to: address and port.
    pub destination: String,
    /// Whose that is, in a word.
    pub owner: String,
}

/// A credential that was touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Touched {
    /// The host it lies on.
    pub host: AgentName,
    /// Where it was found first.
    pub path: PathLabel,
    /// Class from the watch list.
    pub class: String,
    /// Whose it is, by the watch list.
    pub tenant: Option<TenantId>,
    /// What was done to it.
    pub operations: BTreeSet<Operation>,
    /// The sessions that did.
    pub sessions: BTreeSet<SessionId>,
    /// How often.
    pub times: usize,
    /// How often the kernel refused it.
    pub denied: usize,
    /// How often it was out of scope.
    pub out_of_scope: usize,
    /// When first.
    pub first_at: UnixNs,
    /// When last.
    pub last_at: UnixNs,
    /// What used it, the surest first.
    pub uses: Vec<Use>,
    /// Further ones that are not told.
    pub uses_more: usize,
    /// Fingerprint of the key in it; none where it holds none that can be told.
    pub key: Option<String>,
    /// Logins with that key after it was first touched, on whatever host and in
    /// whatever name, the earliest first; at most [`USES_MAX`].
    pub logins: Vec<SessionId>,
}

/// A file of one host.
type FileKey = (AgentName, u64, u64, u32, Vec<u8>);

/// One opening of a credential that let its content out.
struct Access<'a> {
    file: usize,
    session: SessionId,
    node: Node<'a>,
    boot_ns: u64,
}

/// The credentials that these events touched, in the order they were first
/// touched in.
#[must_use]
pub fn touched(events: &[(Event, Judgement)]) -> Vec<Touched> {
    let mut files: HashMap<FileKey, usize> = HashMap::new();
    let mut found: Vec<Touched> = Vec::new();
    let mut accesses = Vec::new();
    for (event, judgement) in events {
        let Some((key, made)) = credential(event, judgement) else {
            continue;
        };
        let file = *files.entry(key).or_insert(found.len());
        match found.get_mut(file) {
            Some(known) => known.add(made),
            None => found.push(made),
        }
        accesses.extend(access(event, file));
    }
    for (file, uses) in uses(events, &accesses) {
        if let Some(touched) = found.get_mut(file) {
            (touched.uses, touched.uses_more) = uses.told();
        }
    }
    found
}

/// Notes the logins that a key in one of these credentials opened.
pub fn logins(credentials: &mut [Touched], sessions: &[Session]) {
    let mut by_age: Vec<&Session> = sessions.iter().collect();
    by_age.sort_by_key(|session| (session.opened_at, session.id));
    for touched in credentials {
        let Some(key) = touched.key.as_deref() else {
            continue;
        };
        let opened = by_age.iter().filter(|session| {
            session.opened_at >= touched.first_at && fingerprint(&session.credential) == Some(key)
        });
        touched.logins = opened.take(USES_MAX).map(|session| session.id).collect();
    }
}

/// The fingerprint of the key that a login was made with.
fn fingerprint(credential: &Credential) -> Option<&str> {
    match credential {
        Credential::SshCertificate {
            key_fingerprint, ..
        }
        | Credential::SshKey { key_fingerprint } => Some(key_fingerprint),
        Credential::Other { .. } => None,
    }
}

impl Touched {
    /// One more time of the same file.
    fn add(&mut self, other: Self) {
        self.operations.extend(other.operations);
        self.sessions.extend(other.sessions);
        self.times += other.times;
        self.denied += other.denied;
        self.out_of_scope += other.out_of_scope;
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        self.key = self.key.take().or(other.key);
    }
}

fn credential(event: &Event, judgement: &Judgement) -> Option<(FileKey, Touched)> {
    let Action::Credential {
        object,
        class,
        tenant,
        operation,
        denied,
        key,
        ..
    } = &event.action
    else {
        return None;
    };
    let file = (
        event.id.agent.clone(),
        object.device,
        object.inode,
        object.generation,
        object.path.text.0.clone(),
    );
    let out = matches!(judgement.verdict, Verdict::OutOfScope { .. });
    let made = Touched {
        host: event.id.agent.clone(),
        path: object.path.clone(),
        class: class.clone(),
        tenant: tenant.clone(),
        operations: BTreeSet::from([*operation]),
        sessions: event.attribution.session.into_iter().collect(),
        times: 1,
        denied: usize::from(*denied),
        out_of_scope: usize::from(out),
        first_at: event.at,
        last_at: event.at,
        uses: Vec::new(),
        uses_more: 0,
        key: key.clone(),
        logins: Vec::new(),
    };
    Some((file, made))
}

/// Whether what was done lets somebody use what is in the file.
const fn lets_out(operation: Operation) -> bool {
    match operation {
        Operation::Read
        | Operation::ReadWrite
        | Operation::Received
        | Operation::UsedElsewhere
        | Operation::Mapped
        | Operation::Connected => true,
        Operation::Write
        | Operation::PathOnly
        | Operation::Execute
        | Operation::Created
        | Operation::Truncated
        | Operation::ModeChanged
        | Operation::OwnerChanged
        | Operation::Renamed
        | Operation::Linked
        | Operation::Symlinked
        | Operation::Removed
        | Operation::AttributesChanged => false,
    }
}

fn access(event: &Event, file: usize) -> Option<Access<'_>> {
    let Action::Credential {
        operation,
        denied: false,
        ..
    } = &event.action
    else {
        return None;
    };
    lets_out(*operation).then_some(())?;
    Some(Access {
        file,
        session: event.attribution.session?,
        node: node(event)?,
        boot_ns: event.boot_ns,
    })
}

/// A connection that was not refused.
struct Connected<'a> {
    event: &'a Event,
    judgement: &'a Judgement,
    session: SessionId,
    node: Node<'a>,
}

impl Connected<'_> {
    fn used(&self, grade: Grade) -> Use {
        Use {
            grade,
            at: self.event.at,
            event: self.event.id.clone(),
            destination: address(self.event).unwrap_or_default(),
            owner: owner(self.judgement),
        }
    }
}

fn connected((event, judgement): &(Event, Judgement)) -> Option<Connected<'_>> {
    let Action::Connect { denied: false, .. } = &event.action else {
        return None;
    };
    Some(Connected {
        event,
        judgement,
        session: event.attribution.session?,
        node: node(event)?,
    })
}

/// The uses of one credential while they are counted: of each grade the first.
#[derive(Default)]
struct Counted {
    first: BTreeMap<Grade, Vec<Use>>,
    total: usize,
}

impl Counted {
    fn add(&mut self, grade: Grade, connection: &Connected<'_>) {
        self.total += 1;
        let first = self.first.entry(grade).or_default();
        if first.len() < USES_MAX {
            first.push(connection.used(grade));
        }
    }

    /// Those that are told, the surest first, and how many more there are.
    fn told(self) -> (Vec<Use>, usize) {
        let mut told: Vec<Use> = self.first.into_values().flatten().collect();
        told.truncate(USES_MAX);
        let more = self.total - told.len();
        (told, more)
    }
}

/// The uses of each credential.
fn uses(events: &[(Event, Judgement)], accesses: &[Access<'_>]) -> BTreeMap<usize, Counted> {
    let family = Family::of(events);
    let mut by_node: HashMap<Node<'_>, Vec<&Access<'_>>> = HashMap::new();
    for access in accesses {
        by_node.entry(access.node).or_default().push(access);
    }
    let connections: Vec<Connected<'_>> = events.iter().filter_map(connected).collect();
    let mut uses: BTreeMap<usize, Counted> = BTreeMap::new();
    for connection in &connections {
        for (file, grade) in sure(connection, &family, &by_node) {
            uses.entry(file).or_default().add(grade, connection);
        }
    }
    let sure: BTreeSet<usize> = uses.keys().copied().collect();
    later(&connections, accesses, |file, connection| {
        if !sure.contains(&file) {
            let counted = uses.entry(file).or_default();
            counted.add(Grade::LaterInSession, connection);
        }
    });
    uses
}

/// The credentials that a connection used by descent, each with its best grade.
fn sure(
    connection: &Connected<'_>,
    family: &Family<'_>,
    by_node: &HashMap<Node<'_>, Vec<&Access<'_>>>,
) -> BTreeMap<usize, Grade> {
    let mut found: BTreeMap<usize, Grade> = BTreeMap::new();
    let mut at = Some(connection.node);
    for generation in 0..ANCESTORS_MAX {
        let Some(node) = at else { break };
        let of_session = by_node.get(&node).into_iter().flatten();
        for access in of_session.filter(|access| access.session == connection.session) {
            let before = access.boot_ns <= connection.event.boot_ns;
            let grade = match (generation, before) {
                (0, true) => Grade::SameProcess,
                (0, false) => Grade::SameProcessBefore,
                (_, true) => Grade::Descendant,
                (_, false) => continue,
            };
            let known = found.entry(access.file).or_insert(grade);
            *known = grade.min(*known);
        }
        at = family.parent(node);
    }
    found
}

/// Tells of the connections of a session after each credential was first opened
/// in it.
fn later<'a>(
    connections: &'a [Connected<'a>],
    accesses: &[Access<'_>],
    mut tell: impl FnMut(usize, &'a Connected<'a>),
) {
    let mut first: HashMap<(&AgentName, BootId, SessionId), BTreeMap<usize, u64>> = HashMap::new();
    for access in accesses {
        let (host, boot, _) = access.node;
        let files = first.entry((host, boot, access.session)).or_default();
        let at = files.entry(access.file).or_insert(access.boot_ns);
        *at = access.boot_ns.min(*at);
    }
    for connection in connections {
        let (host, boot, _) = connection.node;
        let files = first.get(&(host, boot, connection.session));
        for (file, opened) in files.into_iter().flatten() {
            if *opened <= connection.event.boot_ns {
                tell(*file, connection);
            }
        }
    }
}
