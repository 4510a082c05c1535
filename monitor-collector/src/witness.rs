//! Checkpoints to a witness on another machine, and its signatures back.
//!
//! In: the newest checkpoint of each ledger that grew, once in `every`. Out: the
//! same with the witness's signature, on disk beside the ledger. Bound: one
//! request at a time; a ledger that is refused waits longer each time, up to
//! [`PAUSE_MAX`], and so does everything while the witness is not reached.
//! Loss: none: what was not signed is asked for again. Nothing waits for this.
//!
//! # Layout
//! - [`link`]: the connection. [`submission`]: what is sent.

use std::{collections::HashMap, time::Duration};

use monitor_ledger::{
    checkpoint::{Checkpoint, CheckpointError},
    cosignature,
};
use monitor_model::id::TenantId;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::{
    link::{Answer, Link, LinkError},
    submission::Submission,
};
use crate::{
    config::{Config, Witness},
    ledger::{Home, LedgerError, cosigned},
    tables::Tables,
};

pub mod link;
pub mod submission;

/// Longest pause before a witness that refused, or was not reached, is asked again.
pub const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How often the size that was signed last may be told within one round.
const TURNS_MAX: usize = 3;

/// Why a ledger's checkpoint is not signed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// The ledger lacks what was signed.
    #[error(
        "{told} entries were signed, and the ledger has {size} that are signed by its own key: it was cut off, or is an old copy"
    )]
    Behind {
        /// The size that was signed last.
        told: u64,
        /// The size of its newest checkpoint.
        size: u64,
    },
    /// The ledger is not what was signed, or the witness does not know it.
    #[error("the witness answers {status}: {text}")]
    Answered {
        /// The status of HTTP.
        status: u16,
        /// What it said.
        text: String,
    },
    /// The answer is no signature of this witness.
    #[error("the witness's answer: {0}")]
    Unsigned(#[from] CheckpointError),
}

impl Refusal {
    /// Whether the ledger and what was signed do not fit.
    const fn contradicts(&self) -> bool {
        match self {
            Self::Behind { .. } => true,
            Self::Answered { status, .. } => matches!(*status, 409 | 422),
            Self::Unsigned(_) => false,
        }
    }
}

/// What comes of asking for one ledger.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Refusal(#[from] Refusal),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// How one ledger stands with the witness.
#[derive(Debug, Default)]
struct Standing {
    /// The size that was cosigned last; 0 before the first.
    cosigned: u64,
    /// How often it was refused since.
    refused: u32,
    /// It is not asked before.
    again: Option<Instant>,
}

/// Begins to ask the witness of a configuration, until `stop`; does nothing
/// without one.
///
/// # Errors
/// [`LinkError`] names a file that cannot be used.
pub fn start(
    config: &Config,
    home: &Home,
    tables: watch::Receiver<Tables>,
    stop: &CancellationToken,
) -> Result<Option<JoinHandle<()>>, LinkError> {
    let Some(witness) = config.witness.clone() else {
        return Ok(None);
    };
    let submitter = Submitter::new(witness, home.clone(), tables)?;
    Ok(Some(tokio::spawn(submitter.run(stop.clone()))))
}

/// Sees to it that the witness signs every ledger.
#[derive(Debug)]
pub struct Submitter {
    witness: Witness,
    home: Home,
    tables: watch::Receiver<Tables>,
    link: Link,
    standing: HashMap<TenantId, Standing>,
    /// Rounds in which the witness was not reached, one after the other.
    missed: u32,
}

impl Submitter {
    /// For the ledgers below a folder.
    ///
    /// # Errors
    /// [`LinkError`] names a file that cannot be used.
    pub fn new(
        witness: Witness,
        home: Home,
        tables: watch::Receiver<Tables>,
    ) -> Result<Self, LinkError> {
        let link = Link::new(&witness)?;
        Ok(Self {
            witness,
            home,
            tables,
            link,
            standing: HashMap::new(),
            missed: 0,
        })
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let pause = self.pause(self.missed);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round() => {}
            }
        }
    }

    /// Asks for every ledger that grew, until the witness cannot be reached.
    async fn round(&mut self) {
        let heads: Vec<(TenantId, u64)> = {
            let tables = self.tables.borrow_and_update();
            let heads = tables.heads.iter();
            heads
                .map(|(tenant, head)| (tenant.clone(), head.position))
                .collect()
        };
        for (tenant, position) in heads {
            if !self.is_due(&tenant, position) {
                continue;
            }
            match self.ask(&tenant).await {
                Ok(()) => {}
                Err(Failed::Link(error)) => return self.lost(&error),
                Err(Failed::Refusal(refusal)) => self.refused(&tenant, &refusal),
                Err(Failed::Ledger(error)) => {
                    if self.puts_off(&tenant) == 0 {
                        error!(%tenant, %error, "Ledger could not be shown to the witness.");
                    }
                }
            }
        }
    }

    fn is_due(&mut self, tenant: &TenantId, position: u64) -> bool {
        let home = &self.home;
        let standing = self.standing.entry(tenant.clone()).or_insert_with(|| {
            // One that cannot be read is asked for from the beginning.
            let note = cosigned::read(home, tenant).ok().flatten();
            let kept = note.and_then(|note| cosignature::open(&note, &self.witness.key).ok());
            Standing {
                cosigned: kept.map_or(0, |kept| kept.checkpoint.tree.size),
                ..Standing::default()
            }
        });
        let waits = standing.again.is_some_and(|again| again > Instant::now());
        // Fewer than were cosigned is as wrong as it gets, and is asked for as well.
        position != standing.cosigned && !waits
    }

    /// Asks for one ledger, from the size on that the witness tells.
    async fn ask(&mut self, tenant: &TenantId) -> Result<(), Failed> {
        let standing = self.standing.get(tenant);
        let mut old = standing.map_or(0, |standing| standing.cosigned);
        let mut told = None;
        for _ in 0..TURNS_MAX {
            let (home, of) = (self.home.clone(), tenant.clone());
            let prepared =
                tokio::task::spawn_blocking(move || submission::prepare(&home, &of, old));
            let prepared = prepared.await.map_err(|_| LinkError::Ended)??;
            let Some(Submission { note, size, body }) = prepared else {
                return Ok(());
            };
            if old > size {
                return Err(Refusal::Behind { told: old, size }.into());
            }
            // Nothing is new, unless the witness signed it and the answer was lost.
            if old == size && told.is_none() {
                return Ok(());
            }
            let answer = self.link.post(body).await?;
            self.reached();
            match answer {
                Answer::Signed(lines) => return self.keep(tenant, &note, &lines).await,
                // It tells the size that was sent: the roots differ.
                Answer::Size(again) if again != old => {
                    (old, told) = (again, Some(again));
                }
                Answer::Size(again) => {
                    let text = format!("another tree of {again} entries was signed");
                    return Err(Refusal::Answered { status: 409, text }.into());
                }
                Answer::Refused { status, text } => {
                    return Err(Refusal::Answered { status, text }.into());
                }
            }
        }
        // Somebody else asks for the same log at the same time: the next round is early enough.
        Ok(())
    }

    async fn keep(&mut self, tenant: &TenantId, note: &[u8], lines: &[u8]) -> Result<(), Failed> {
        let key = &self.witness.key;
        let joined = cosignature::join(note, lines, key).map_err(Refusal::Unsigned)?;
        let size = Checkpoint::read(&joined)
            .map_err(Refusal::Unsigned)?
            .tree
            .size;
        let (home, of) = (self.home.clone(), tenant.clone());
        let stored = tokio::task::spawn_blocking(move || cosigned::store(&home, &of, &joined));
        stored.await.map_err(|_| LinkError::Ended)??;
        let standing = self.standing.entry(tenant.clone()).or_default();
        if standing.refused > 0 {
            let refused = standing.refused;
            info!(%tenant, size, refused, "The witness signs this ledger again.");
        }
        *standing = Standing {
            cosigned: size,
            ..Standing::default()
        };
        Ok(())
    }

    fn reached(&mut self) {
        if self.missed > 0 {
            info!(url = %self.witness.url, missed = self.missed, "Witness reached again.");
        }
        self.missed = 0;
    }

    fn lost(&mut self, error: &LinkError) {
        if self.missed == 0 {
            warn!(url = %self.witness.url, %error, "Witness not reached, checkpoints wait for its signature.");
        }
        self.missed = self.missed.saturating_add(1);
    }

    fn refused(&mut self, tenant: &TenantId, refusal: &Refusal) {
        match (self.puts_off(tenant), refusal.contradicts()) {
            (0, true) => {
                error!(%tenant, %refusal, "The ledger is not what the witness signed: compare it with a copy, and keep both.");
            }
            (0, false) => warn!(%tenant, %refusal, "The witness does not sign this ledger."),
            (_, _) => {}
        }
    }

    /// Lets a ledger wait, longer each time; says how often it had to before.
    fn puts_off(&mut self, tenant: &TenantId) -> u32 {
        let before = self.standing.get(tenant).map_or(0, |one| one.refused);
        let refused = before.saturating_add(1);
        let again = Instant::now() + self.pause(refused);
        let standing = self.standing.entry(tenant.clone()).or_default();
        standing.refused = refused;
        standing.again = Some(again);
        before
    }

    /// Twice as long each time.
    fn pause(&self, times: u32) -> Duration {
        let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
        let longest = PAUSE_MAX.max(self.witness.every);
        self.witness.every.saturating_mul(factor).min(longest)
    }
}
