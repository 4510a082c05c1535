//! Messages between the programs, and those that rows and answers are made of.

use std::{cell::RefCell, fmt::Debug, path::PathBuf};

use monitor_agent::standing::Standing;
use monitor_model::{
    alert::Alert,
    enforce::ScopeTable,
    event::OrderEntry,
    grant::{Grant, Review},
    host::Host,
    id::{OrderId, SessionId},
    inspect::Snapshot,
    krl::RevocationList,
    live::{LiveJob, LiveProcess, LiveSession},
    policy::{Policy, Terms},
    revocation::Order,
    session::Session,
    verdict::Judgement,
};
use monitor_proto::{
    convert::contain_mode,
    mask::Mask,
    v1::{self, stream_response::Message},
};
use prost::Message as _;
use tempfile::TempDir;

/// Reads a message of one kind.
type Read = fn(&[u8]) -> bool;

/// The first byte of an input names one of them.
const KINDS: [Read; 15] = [
    same::<v1::Grant, Grant>,
    same::<v1::GrantReview, Review>,
    same::<v1::Order, Order>,
    same::<v1::OrderEntry, OrderEntry>,
    same::<v1::Alert, Alert>,
    same::<v1::Session, Session>,
    policy,
    same::<v1::Host, Host>,
    same::<v1::LiveSession, LiveSession>,
    same::<v1::LiveProcess, LiveProcess>,
    same::<v1::LiveJob, LiveJob>,
    same::<v1::Judgement, Judgement>,
    same::<v1::RevocationList, RevocationList>,
    same::<v1::ScopeTable, ScopeTable>,
    same::<v1::SessionSnapshot, Snapshot>,
];

/// A message of the kind that the first byte names.
pub(crate) fn message(bytes: &[u8]) -> bool {
    let Some((kind, bytes)) = bytes.split_first() else {
        return false;
    };
    let kind = usize::from(*kind) % KINDS.len();
    KINDS.get(kind).is_some_and(|read| read(bytes))
}

/// What is read is the same when it is written and read again.
fn same<M, T>(bytes: &[u8]) -> bool
where
    M: prost::Message + Default + for<'a> From<&'a T>,
    T: TryFrom<M> + PartialEq + Debug,
{
    of_bytes::<M, T>(bytes).is_some()
}

fn of_bytes<M, T>(bytes: &[u8]) -> Option<T>
where
    M: prost::Message + Default + for<'a> From<&'a T>,
    T: TryFrom<M> + PartialEq + Debug,
{
    let of = |bytes: &[u8]| {
        M::decode(bytes)
            .ok()
            .and_then(|read| T::try_from(read).ok())
    };
    let read = of(bytes)?;
    let again = of(&M::from(&read).encode_to_vec());
    assert!(again.as_ref() == Some(&read), "{read:?} became {again:?}");
    Some(read)
}

/// Terms that are kept become a policy as well, or it is said why not.
fn policy(bytes: &[u8]) -> bool {
    let terms = of_bytes::<v1::Policy, Terms>(bytes);
    terms.is_some_and(|terms| Policy::new(terms, "1-0".to_owned()).is_ok())
}

/// Where an agent keeps what the collector sent.
struct Kept {
    _folder: TempDir,
    path: PathBuf,
    standing: Standing,
}

impl Kept {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.ok()?;
        let path = folder.path().join("state.db");
        Some(Self {
            standing: Standing::open(&path).ok()?,
            _folder: folder,
            path,
        })
    }

    /// Keeps a table as the agent does, and reads it as the next start does.
    fn keeps(&self, message: Message) -> Option<bool> {
        let is_read = match message {
            Message::Grants(grants) => self.standing.replace_grants(grants).ok()? == 0,
            Message::Deny(denied) => {
                self.standing.replace_denied(&denied);
                self.standing.keep_denials().ok()?;
                true
            }
            Message::Scopes(scopes) => {
                self.standing.replace_scopes(&scopes).ok()?;
                let kept = self.standing.scopes().ok()??;
                assert!(kept == scopes, "{scopes:?} became {kept:?}");
                same::<v1::ScopeTable, ScopeTable>(&scopes.encode_to_vec())
            }
            Message::Contain(command) => {
                OrderId::from_slice(&command.order).is_ok()
                    && SessionId::from_slice(&command.session).is_ok()
                    && contain_mode(command.mode).is_ok()
            }
            Message::List(list) => {
                same::<v1::RevocationList, RevocationList>(&list.encode_to_vec())
            }
            Message::Inspect(asked) => SessionId::from_slice(&asked.session).is_ok(),
            Message::Ack(_) | Message::ScopeLease(_) => true,
        };
        let (before, again) = (
            self.standing.lock().clone(),
            Standing::open(&self.path).ok()?,
        );
        let again = again.lock();
        let are_same = before.grants == again.grants
            && before.denied_serials == again.denied_serials
            && before.denied_principals == again.denied_principals;
        assert!(are_same, "{before:?} became {again:?}");
        Some(is_read)
    }
}

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// What the collector sends to an agent.
pub(crate) fn downward(bytes: &[u8]) -> bool {
    let Ok(v1::StreamResponse {
        message: Some(message),
    }) = v1::StreamResponse::decode(bytes)
    else {
        return false;
    };
    KEPT.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Kept::new();
        }
        let read = kept.as_ref().and_then(|kept| kept.keeps(message));
        assert!(read.is_some(), "the agent's state cannot be used");
        read == Some(true)
    })
}

/// Paths of a reader's mask, one a line up to an empty one, and a judged event.
pub(crate) fn mask(bytes: &[u8]) -> bool {
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (paths, event) = end
        .and_then(|end| Some((bytes.get(..end)?, bytes.get(end + 2..)?)))
        .unwrap_or((bytes, &[]));
    let Ok(paths) = std::str::from_utf8(paths) else {
        return false;
    };
    let paths: Vec<String> = paths.lines().map(str::to_owned).collect();
    let (Ok(mask), Ok(judged)) = (Mask::of(&paths), v1::JudgedEvent::decode(event)) else {
        return false;
    };
    let Some(mask) = mask else { return true };
    let Ok(masked) = mask.apply(judged) else {
        return false;
    };
    // Of what is left nothing more is taken away.
    let again = mask.apply(masked.clone());
    assert!(
        again.as_ref().is_ok_and(|again| *again == masked),
        "{masked:?} became {again:?}"
    );
    true
}
