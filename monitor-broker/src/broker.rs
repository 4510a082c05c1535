//! The broker itself: CA, store and list put together, without any network.
//!
//! In: grants, public keys, orders. Out: certificates, answers, a list on disk.
//! An order is answered after the list with its serials is in place. Every call
//! blocks on the disk; the service runs them beside its own threads.

use std::{
    fs::{self, File, Permissions, TryLockError},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use monitor_model::{
    clock::{Clock, UnixNs},
    grant::{CERTIFICATE_GRANTS_MAX, Grant, GrantState, Life},
    id::{GrantId, PrincipalId},
    krl::RevocationList,
    revocation::Revoked,
};
use tracing::{error, info, warn};

use crate::{
    ca::{self, Ca, Draft, FirstRun, Signed},
    key_id,
    krl::{
        Krl, KrlError,
        file::{self, FileError},
    },
    store::{Answer, Ending, Given, Held, Issued, RevokeOrder, Store, StoreError},
};

mod error;
mod list;
pub mod watch;

pub use error::{IssueError, OpenError, RegisterError, RevokeError};

/// Longest free text in a grant or order, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// What the list says of itself.
const KRL_COMMENT: &str = "monitor broker";

/// Where a broker lives.
#[derive(Clone, Debug)]
pub struct Places {
    /// Folder of database and CA.
    pub data_dir: PathBuf,
    /// The revocation list.
    pub krl: PathBuf,
    /// Longest validity of a certificate.
    pub certificate_max: Duration,
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    ca: Ca,
    store: Store,
    krl: PathBuf,
    certificate_max: Duration,
    clock: Arc<dyn Clock>,
    publishing: Mutex<()>,
    /// The list as this broker put it in place, whatever became of the file since.
    list: Mutex<Option<Arc<RevocationList>>>,
    /// What the file looked like when it was last found right.
    right: Mutex<Option<watch::Stamp>>,
    /// What was found in its place and could not be put right.
    stuck: Mutex<Option<watch::Found>>,
    _lock: File,
}

impl Broker {
    /// Opens or makes everything, and puts the list in place if it is not.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong and what would be right.
    pub fn open(places: &Places, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let folder = &places.data_dir;
        // Also where a package or an older start made it: nobody else's.
        let made = fs::create_dir_all(folder)
            .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o700)));
        made.map_err(|source| OpenError::Folder {
            path: folder.clone(),
            source,
        })?;
        let lock = lock(folder)?;
        let store = Store::open(&folder.join("state.db"))?;
        let first = match store.list_state(clock.now())?.serial_last {
            0 => FirstRun::Yes,
            _ => FirstRun::No,
        };
        let broker = Self {
            ca: Ca::open(folder, first)?,
            store,
            krl: places.krl.clone(),
            certificate_max: places.certificate_max,
            clock,
            publishing: Mutex::new(()),
            list: Mutex::new(None),
            right: Mutex::new(None),
            stuck: Mutex::new(None),
            _lock: lock,
        };
        broker.check_list()?;
        let published = broker.publish_pending();
        published
            .and_then(|()| broker.recall_list())
            .map_err(|error| match error {
                RevokeError::Store(error) => OpenError::Store(error),
                RevokeError::Publish(error) => OpenError::Krl(error),
                RevokeError::Ca(error) => OpenError::Ca(error),
            })?;
        Ok(broker)
    }

    /// Compares the list on disk with the database, and marks it for writing
    /// when it is missing, broken or old.
    fn check_list(&self) -> Result<(), OpenError> {
        let state = self.store.list_state(self.clock.now())?;
        let path = self.krl.display();
        let found = match file::inspect(&self.krl) {
            Ok(found) => found,
            Err(FileError::Missing { .. }) => {
                if state.serial_last > 0 {
                    error!(%path, "The revocation list is missing: every login was refused; it is written again.");
                    self.note_at_start(state.version, watch::Found::Nothing)?;
                }
                return Ok(self.store.renumber_list(0)?);
            }
            Err(FileError::Content {
                source: source @ KrlError::Foreign { .. },
                path,
            }) => {
                return Err(FileError::Content { path, source }.into());
            }
            Err(FileError::Content { source, .. }) => {
                let serials = state.serials.count();
                error!(%path, %source, serials, "The revocation list was broken, so that revoked certificates may have opened logins; it is written again.");
                self.note_at_start(state.version, watch::Found::NoList)?;
                return Ok(self.store.renumber_list(0)?);
            }
            Err(error) => return Err(error.into()),
        };
        let ours = self.ca.public_blob()?;
        if found.ca.as_ref().is_some_and(|ca| *ca != ours) && !found.serials.is_empty() {
            return Err(OpenError::OtherCa {
                path: self.krl.clone(),
            });
        }
        if let Some(serial) = found
            .serials
            .last()
            .filter(|serial| *serial > state.serial_last)
        {
            return Err(OpenError::ListAhead {
                path: self.krl.clone(),
                serial,
                serial_last: state.serial_last,
            });
        }
        if found.version < state.version && state.is_published {
            let number = found.version;
            self.note_at_start(state.version, watch::Found::Other { number })?;
        }
        if found.version > state.version || state.is_published && found.serials != state.serials {
            info!(%path, version = found.version, "The revocation list on disk is not the current one; it is written again.");
            self.store.renumber_list(found.version)?;
        }
        Ok(())
    }

    /// Keeps for the collector what a start found in the list's place.
    fn note_at_start(&self, number: u64, found: watch::Found) -> Result<(), StoreError> {
        let found = format!("{found}, when the broker started; it is put right");
        self.note_change(number, found)
    }

    /// Puts the list in place if the one there is not the current one.
    ///
    /// # Errors
    /// [`RevokeError::Publish`] leaves the old list in place, to be tried again.
    pub fn publish_pending(&self) -> Result<(), RevokeError> {
        let _one_at_a_time = self
            .publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let state = self.store.list_state(now)?;
        if state.is_published {
            return Ok(());
        }
        let krl = Krl {
            version: state.version,
            generated_seconds: now.as_seconds(),
            comment: KRL_COMMENT.to_owned(),
            ca: Some(self.ca.public_blob()?),
            serials: state.serials,
        };
        let bytes = file::publish(&self.krl, &krl).inspect_err(|error| {
            error!(%error, version = krl.version, "The revocation list is not in place: revoked certificates still open logins.");
        })?;
        let at = self.clock.now();
        self.store.confirm_list(krl.version, at)?;
        self.note_list(krl.version, bytes, at);
        info!(version = krl.version, serials = krl.serials.count(), path = %self.krl.display(), "Published the revocation list.");
        Ok(())
    }

    /// Checks and stores a grant. It opens nothing before the collector has it.
    ///
    /// # Errors
    /// [`RegisterError`] says what would be right.
    pub fn register(&self, grant: &Grant) -> Result<(), RegisterError> {
        key_id::check_ticket(&grant.ticket)?;
        check_text("purpose", &grant.purpose)?;
        let over = |why| RegisterError::Over {
            id: grant.id.clone(),
            why,
        };
        match (&grant.state, grant.life(self.clock.now())) {
            (GrantState::Ended { .. }, _) => return Err(over("comes as one that was ended")),
            (GrantState::Standing, Life::Expired) => return Err(over("has expired")),
            _ => {}
        }
        self.store.put_grant(grant)?;
        info!(grant = %grant.id, principal = %grant.principal, tenant = %grant.tenant, ticket = %grant.ticket, "Registered a grant.");
        Ok(())
    }

    /// Signs a public key for a grant that is alive and known to the collector, and
    /// for further ones of the same engineer and tenant.
    ///
    /// # Errors
    /// [`IssueError`] says why not.
    pub fn issue(
        &self,
        (id, also): (&GrantId, &[GrantId]),
        public_key: &str,
    ) -> Result<(Issued, Signed), IssueError> {
        let public_key = ca::accept(public_key)?;
        let now = self.clock.now();
        if also.len() >= CERTIFICATE_GRANTS_MAX {
            let grants = also.len() + 1;
            return Err(IssueError::TooMany { grants });
        }
        let alive = |id: &GrantId, held: Option<Held>| {
            let held = held.ok_or_else(|| IssueError::NotFound { id: id.clone() })?;
            check_alive(&held, now)?;
            Ok(held.grant)
        };
        let (issued, signed) = self.store.issue((id, also), now, |held, others, serial| {
            let grant = alive(id, held)?;
            let others = also.iter().zip(others).map(|(id, held)| alive(id, held));
            let others = others.collect::<Result<Vec<Grant>, IssueError>>()?;
            let whose = |grant: &Grant| (grant.principal.clone(), grant.tenant.clone());
            if let Some(other) = others.iter().find(|other| whose(other) != whose(&grant)) {
                return Err(IssueError::Differs {
                    id: other.id.clone(),
                    first: grant.id.clone(),
                });
            }
            let draft = Draft {
                grant: &grant,
                also: &others,
                public_key: &public_key,
                serial,
                now,
                longest: self.certificate_max,
            };
            Ok(self.ca.certify(&draft)?)
        })?;
        info!(serial = issued.serial, grant = %id, also = also.len(), key = %signed.key_fingerprint, "Issued a certificate.");
        Ok((issued, signed))
    }

    /// Carries out an order: afterwards its grants are ended, its certificates
    /// are revoked, and the list that says so is in place.
    ///
    /// # Errors
    /// [`RevokeError`]; after `Publish` the order is stored and will be published.
    pub fn revoke(&self, order: &RevokeOrder) -> Result<Answer, RevokeError> {
        let mut answer = self.store.revoke(order, self.clock.now())?;
        self.publish_pending()?;
        if answer.published_at.is_none() {
            answer.published_at = self.store.order_published_at(order.id)?;
        }
        if answer.published_at.is_some() {
            answer.list = self.store.list_in_place()?.map(|(number, _)| number);
        }
        let (entries, again) = (answer.revoked.len(), answer.given == Given::Again);
        info!(order = %order.id, target = %order.target, initiator = %order.initiator, entries, again, "Carried out a revocation order.");
        if entries == 0 {
            warn!(order = %order.id, target = %order.target, "The order reached nothing here.");
        }
        Ok(answer)
    }

    /// Ends what somebody who left, or a ticket that was closed, holds: grants,
    /// certificates, and the list that says so is in place. The collector is
    /// told by the courier.
    ///
    /// # Errors
    /// [`RevokeError`]; after `Publish` it is stored and will be published.
    pub fn end_subject(&self, ending: &Ending) -> Result<Vec<Revoked>, RevokeError> {
        let revoked = self.store.end_subject(ending, self.clock.now())?;
        self.publish_pending()?;
        info!(ending = %ending.id, subject = %ending.subject, initiator = %ending.initiator,
            entries = revoked.len(), "Ended what a subject held.");
        Ok(revoked)
    }

    /// Everything a principal holds or held.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed.
    pub fn describe(
        &self,
        principal: &PrincipalId,
    ) -> Result<(Vec<Grant>, Vec<Issued>), StoreError> {
        self.store.describe(principal)
    }

    /// The database, for the outbox.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The present instant by this broker's clock.
    #[must_use]
    pub fn now(&self) -> UnixNs {
        self.clock.now()
    }

    /// SHA-256 fingerprint of the CA's key.
    #[must_use]
    pub fn ca_fingerprint(&self) -> String {
        self.ca.fingerprint()
    }
}

/// Checks a text that people will read in logs.
///
/// # Errors
/// [`RegisterError::Text`] names the field.
pub fn check_text(field: &'static str, text: &str) -> Result<(), RegisterError> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(RegisterError::Text {
            field,
            bytes: text.len(),
        });
    }
    Ok(())
}

fn check_alive(held: &Held, now: UnixNs) -> Result<(), IssueError> {
    let Held {
        grant,
        put_at,
        refused,
        ..
    } = held;
    let why = match grant.life(now) {
        Life::Alive => None,
        Life::NotStarted => Some(format!(
            "has not begun: it holds from {}",
            moment(grant.not_before)
        )),
        Life::Expired => Some(format!(
            "has expired: it held until {}",
            moment(grant.expires)
        )),
        Life::Ended => match &grant.state {
            GrantState::Ended { at, reason } => {
                Some(format!("was ended at {}: {reason}", moment(*at)))
            }
            GrantState::Standing => Some("was ended".to_owned()),
        },
    };
    if let Some(why) = why {
        return Err(IssueError::NotAlive {
            id: grant.id.clone(),
            why,
        });
    }
    if put_at.is_none() {
        let why = refused
            .as_ref()
            .map(|text| format!(" (it said: {text})"))
            .unwrap_or_default();
        return Err(IssueError::NotAtCollector {
            id: grant.id.clone(),
            why,
        });
    }
    Ok(())
}

/// An instant as people read it: RFC 3339, UTC.
#[must_use]
pub fn moment(at: UnixNs) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(at.0));
    stamp.map_or_else(|_| "never".to_owned(), |stamp| stamp.to_string())
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let opened = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = opened.map_err(|source| OpenError::Folder {
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: folder.into(),
        }),
        Err(TryLockError::Error(source)) => Err(OpenError::Folder { path, source }),
    }
}

#[cfg(test)]
mod tests;
