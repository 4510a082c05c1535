//! Kernel, spool and ledgers together.
//!
//! They are read in this order, while everything goes on: a number that the
//! kernel had given out when it was asked is in the ring or the spool by the time
//! the spool is read, and what is acked meanwhile is in a ledger by the time those
//! are read. The kernel is asked once more after the spool: the agent may have read
//! what was given out in between.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use monitor_ledger::{key::KeyError, seal::SealKey, sequences::Stream};
use monitor_model::{
    event::{Action, Event},
    id::{AgentName, BootId, Source},
};

use crate::{
    equation::{Known, Row},
    kernel::{self, KernelError},
    ledgers::{self, LedgersError, Said},
    spool::{self, SpoolError},
};

/// What is read.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The collector's `data_dir`.
    pub ledgers: PathBuf,
    /// The key that its ledgers are sealed with.
    pub seal: Option<PathBuf>,
    /// An agent's `spool.db`.
    pub spool: Option<PathBuf>,
    /// Its folder of pins.
    pub pins: Option<PathBuf>,
    /// Its name; only its streams are told.
    pub agent: Option<AgentName>,
}

/// Why the equation cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// Counters.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Ledgers.
    #[error(transparent)]
    Ledgers(#[from] LedgersError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Whose spool or pins these are is not said.
    #[error("a spool and pins do not say whose they are: give the agent's name with --agent")]
    Nameless,
    /// Which boot the counters are of is in the spool.
    #[error(
        "the kernel's counters do not say of which boot they are: give the agent's spool.db with --spool"
    )]
    Bootless,
}

/// Where every number of every stream is.
///
/// # Errors
/// [`BooksError`].
pub fn read(asked: &Asked) -> Result<Vec<Row>, BooksError> {
    let seal = asked.seal.as_deref().map(SealKey::load).transpose()?;
    let mut books = Books::default();
    match (&asked.agent, &asked.spool, &asked.pins) {
        (None, Some(_), _) | (None, _, Some(_)) => return Err(BooksError::Nameless),
        (Some(_), None, Some(_)) => return Err(BooksError::Bootless),
        (Some(agent), Some(spool), pins) => books.take_host(agent, spool, pins.as_deref())?,
        (_, None, None) => {}
    }
    ledgers::read(&asked.ledgers, seal.as_ref(), |said| match said {
        Said::Event(event) => books.take_stored(event),
        Said::Removed(stream, numbers) => {
            let known = books.streams.entry((*stream).clone()).or_default();
            for (first, last) in numbers.ranges() {
                known.stored.insert_range(*first, *last);
            }
        }
    })?;
    let streams = books.streams.iter();
    let is_asked = |stream: &Stream| {
        asked
            .agent
            .as_ref()
            .is_none_or(|agent| stream.agent == *agent)
    };
    let rows = streams.filter(|(stream, _)| is_asked(stream));
    Ok(rows.map(|(stream, known)| known.row(stream)).collect())
}

/// What is known of each stream.
#[derive(Debug, Default)]
struct Books {
    streams: BTreeMap<Stream, Known>,
}

impl Books {
    fn take_host(
        &mut self,
        agent: &AgentName,
        spool: &Path,
        pins: Option<&Path>,
    ) -> Result<(), BooksError> {
        let produced = pins.map(kernel::produced).transpose()?;
        let spool = spool::read(spool)?;
        let later = pins.map(kernel::produced).transpose()?;
        let later: BTreeMap<Source, u64> = later.into_iter().flatten().collect();
        let boots: Vec<BootId> = spool.places.iter().map(|(boot, _, _)| *boot).collect();
        for (boot, source, place) in spool.places {
            self.of(agent, boot, source).place = Some(place);
        }
        for (source, produced) in produced.into_iter().flatten() {
            // A processor that never told anything has no stream.
            if let Some(boot) = boots.first()
                && produced > 0
            {
                let later = later.get(&source).copied().unwrap_or(produced);
                let known = self.of(agent, *boot, source);
                let place = known.place.get_or_insert_default();
                known.produced = Some(place.given_out(produced, later));
            }
        }
        for event in &spool.events {
            let known = self.of(&event.id.agent, event.id.boot, event.id.source);
            known.spool.insert(event.id.sequence);
            self.take_gap(event);
        }
        // The agent names them as missing when it comes to them.
        for held in spool.damaged {
            let known = self.of(agent, held.boot, held.source);
            known.spool.insert_range(held.first, held.last);
        }
        Ok(())
    }

    fn take_stored(&mut self, event: &Event) {
        let known = self.of(&event.id.agent, event.id.boot, event.id.source);
        if known.stored.contains(event.id.sequence) {
            known.twice += 1;
        } else if let Some(counted) = event.counted() {
            known.counting.0 += 1;
            known.counting.1 += u64::from(counted.acts);
        }
        known.stored.insert(event.id.sequence);
        self.take_gap(event);
    }

    fn take_gap(&mut self, event: &Event) {
        if let Action::Gap {
            source,
            first,
            last,
            ..
        } = &event.action
        {
            let known = self.of(&event.id.agent, event.id.boot, *source);
            known.gaps.insert_range(*first, *last);
        }
    }

    fn of(&mut self, agent: &AgentName, boot: BootId, source: Source) -> &mut Known {
        let stream = Stream {
            agent: agent.clone(),
            boot,
            source,
        };
        self.streams.entry(stream).or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn said(asked: &Asked) -> String {
        read(asked).unwrap_err().to_string()
    }

    #[test]
    fn what_is_missing_is_said_with_what_would_be_right() {
        let folder = tempfile::tempdir().unwrap();
        let ledgers = folder.path().to_path_buf();
        let asked = Asked {
            ledgers: ledgers.clone(),
            ..Asked::default()
        };
        assert!(said(&asked).contains("data_dir"), "{}", said(&asked));
        fs::create_dir(ledgers.join("ledger")).unwrap();
        assert!(
            said(&asked).contains("no ledger is there"),
            "{}",
            said(&asked)
        );
        fs::write(ledgers.join("ledger/acme.db"), "no database").unwrap();
        assert!(said(&asked).contains("acme.db"), "{}", said(&asked));
        let spool = Some(ledgers.join("spool.db"));
        let nameless = Asked {
            spool: spool.clone(),
            ..asked.clone()
        };
        assert!(said(&nameless).contains("--agent"), "{}", said(&nameless));
        let agent = Some("jump-1".parse().unwrap());
        let bootless = Asked {
            agent: agent.clone(),
            pins: Some(ledgers.clone()),
            ..asked.clone()
        };
        assert!(said(&bootless).contains("--spool"), "{}", said(&bootless));
        let host = Asked {
            spool,
            agent,
            ..bootless
        };
        let none = "0 versions of probes are pinned there";
        assert!(said(&host).contains(none), "{}", said(&host));
        let host = Asked { pins: None, ..host };
        assert!(said(&host).contains("spool.db"), "{}", said(&host));
    }
}
