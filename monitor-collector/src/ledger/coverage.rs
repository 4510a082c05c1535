//! Whether everything of a host within a time is here, or what is missing.
//!
//! In: the ledgers of all tenants, which hold a host's events between them, a
//! host, a time. Out: the numbers that are held of each of its streams, those
//! that are missing with their cause, and what uses up no number: times at
//! which nothing watched, or the kernel could not tell all. Bound: as
//! [`Sequences`], and [`NOTES_MAX`] notes.

use std::{collections::BTreeSet, ops::ControlFlow};

use monitor_ledger::{
    file,
    index::{Span, Term},
    sequences::{Missing, Sequences, Stream},
};
use monitor_model::{
    clock::UnixNs,
    event::{Action, Event, Kind},
    id::{AgentName, BootId},
};
use rusqlite::{OptionalExtension as _, params};

use super::{LedgerError, integer, number, read::Reader, scan::Scan};

/// Most notes of a coverage: starts of agents, and what the kernel could not tell.
pub const NOTES_MAX: usize = 1_000;
/// Events of a host whose times are looked at: streams do not come in one order.
const NEWEST_READ: u32 = 256;

/// Of which host, and when it happened there.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The host.
    pub host: AgentName,
    /// From then on.
    pub from: UnixNs,
    /// Until then.
    pub to: UnixNs,
    /// In this boot only.
    pub boot: Option<BootId>,
}

impl Asked {
    fn admits(&self, boot: BootId) -> bool {
        self.boot.is_none_or(|asked| asked == boot)
    }
}

/// Numbers that are held of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The stream.
    pub stream: Stream,
    /// The first number that belongs to the time asked for.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Something that uses up no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: UnixNs,
    /// The host's boot.
    pub boot: BootId,
    /// What.
    pub what: Noted,
}

/// What uses up no number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The probes were loaded anew: nothing watched before, since the host's
    /// last event or its boot.
    Unwatched,
    /// The kernel's programs could not tell all: why, and how often at most.
    Impaired {
        /// Why, as the event names it.
        reason: String,
        /// How often, at most.
        times: u64,
    },
}

/// What is held of a host within a time.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// By stream.
    pub held: Vec<Held>,
    /// What is missing, by stream, ascending. Numbers next to what belongs to
    /// the time are among them: nothing says when they were.
    pub missing: Vec<Missing>,
    /// What uses up no number, by time.
    pub notes: Vec<Note>,
    /// When the newest event of the host that is here happened.
    pub known_to: UnixNs,
    /// There was too much to say all of it.
    pub is_cut: bool,
}

impl Coverage {
    /// Whether everything is here that happened until an instant.
    #[must_use]
    pub fn is_complete(&self, to: UnixNs) -> bool {
        !self.held.is_empty()
            && self.missing.is_empty()
            && self.notes.is_empty()
            && !self.is_cut
            && self.known_to >= to
    }

    /// Looks through all ledgers.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn of(readers: &[Reader], asked: &Asked) -> Result<Self, LedgerError> {
        let mut coverage = Self::default();
        let (mut streams, mut named) = (BTreeSet::new(), Sequences::default());
        for reader in readers {
            streams.extend(reader.streams_of(&asked.host)?);
            coverage.known_to = coverage.known_to.max(reader.newest_of(&asked.host)?);
            reader.told_of(&asked.host, |event| {
                named.take_gap(event);
                coverage.note(event, asked);
            })?;
        }
        coverage.notes.sort_by_key(|note| note.at);
        streams.retain(|stream| asked.admits(stream.boot));
        for stream in streams {
            coverage.look(readers, asked, stream, named.clone())?;
        }
        Ok(coverage)
    }

    /// Looks at one stream in all ledgers; the gaps that were named are known.
    fn look(
        &mut self,
        readers: &[Reader],
        asked: &Asked,
        stream: Stream,
        mut sequences: Sequences,
    ) -> Result<(), LedgerError> {
        let mut within: Option<Span> = None;
        for reader in readers {
            if let Some((low, high)) = reader.numbers_within(&stream, asked)? {
                within = Some(within.map_or((low, high), |(first, last)| {
                    (first.min(low), last.max(high))
                }));
            }
            reader.hold(&stream, &mut sequences)?;
        }
        let Some((first, last)) = within else {
            return Ok(());
        };
        let held = Held {
            first: sequences.first_missing_before(&stream, first),
            last: sequences.last_missing_after(&stream, last),
            stream,
        };
        self.is_cut |= sequences.is_full();
        self.missing
            .extend(sequences.missing(&held.stream, held.first, held.last));
        self.held.push(held);
        Ok(())
    }

    /// Takes what uses up no number.
    fn note(&mut self, event: &Event, asked: &Asked) {
        if event.at < asked.from || event.at > asked.to || !asked.admits(event.id.boot) {
            return;
        }
        let what = if let Action::Impaired { reason, times, .. } = &event.action {
            Noted::Impaired {
                reason: reason.clone(),
                times: *times,
            }
        } else if let Action::AgentStarted { resumed: false, .. } = &event.action {
            Noted::Unwatched
        } else {
            return;
        };
        if self.notes.len() >= NOTES_MAX {
            self.is_cut = true;
            return;
        }
        self.notes.push(Note {
            at: event.at,
            boot: event.id.boot,
            what,
        });
    }
}

impl Reader {
    /// Streams of a host.
    fn streams_of(&self, host: &AgentName) -> Result<Vec<Stream>, LedgerError> {
        let read = || {
            let sql = "SELECT boot, source FROM stream WHERE agent = ?1";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map([host.as_str()], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let found = read().map_err(|error| self.sqlite(error))?;
        let stream = |(boot, source): (String, String)| {
            let wrong = |what: String| LedgerError::broken(&self.path, 1, what);
            Ok(Stream {
                agent: host.clone(),
                boot: boot.parse().map_err(|error| wrong(format!("{error}")))?,
                source: source.parse().map_err(|error| wrong(format!("{error}")))?,
            })
        };
        found.into_iter().map(stream).collect()
    }

    /// When the latest of a host's newest events happened; 1970 when there is none.
    fn newest_of(&self, host: &AgentName) -> Result<UnixNs, LedgerError> {
        let newest = Scan {
            terms: vec![vec![Term::Host(host).code(self.blinding())]],
            backwards: true,
            ..Scan::all()
        };
        let (mut found, mut left) = (UnixNs(0), NEWEST_READ);
        self.scan(&newest, |entry| {
            let event = &entry.judged.event;
            if event.id.agent == *host {
                found = found.max(event.at);
                left -= 1;
            }
            if left == 0 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(found)
    }

    /// The lowest and highest number of a stream in blocks of a time.
    fn numbers_within(&self, stream: &Stream, asked: &Asked) -> Result<Option<Span>, LedgerError> {
        let sql =
            "SELECT min(low), max(high) FROM numbers JOIN block ON block.first = numbers.block
                   WHERE at_to >= ?4 AND at_from <= ?5 AND stream = (
                       SELECT id FROM stream WHERE agent = ?1 AND boot = ?2 AND source = ?3)";
        let (boot, source) = (stream.boot.to_string(), stream.source.to_string());
        let (from, to) = (integer(asked.from.0), integer(asked.to.0));
        let values = params![stream.agent.as_str(), boot, source, from, to];
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
        };
        let found = self
            .connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(values, read).optional());
        let found = found.map_err(|error| self.sqlite(error))?;
        Ok(found.and_then(|(low, high)| Some((number(low?), number(high?)))))
    }

    /// Adds all numbers of a stream.
    fn hold(&self, stream: &Stream, into: &mut Sequences) -> Result<(), LedgerError> {
        let added = file::numbers(&self.connection, stream, |numbers| {
            for (first, last) in numbers.ranges() {
                into.hold_range(stream, *first, *last);
            }
        });
        added.map_err(|error| self.sqlite(error))
    }

    /// What a host's agent told of gaps, of its starts, and of what the kernel
    /// could not tell, in stored order.
    fn told_of(&self, host: &AgentName, mut take: impl FnMut(&Event)) -> Result<(), LedgerError> {
        let kinds = [Kind::AgentStarted, Kind::Impaired, Kind::Gap];
        let code = |term: Term<'_>| term.code(self.blinding());
        let wanted = Scan {
            terms: vec![
                kinds.iter().map(|kind| code(Term::Kind(*kind))).collect(),
                vec![code(Term::Host(host))],
            ],
            ..Scan::all()
        };
        self.scan(&wanted, |entry| {
            let event = &entry.judged.event;
            if event.id.agent == *host && kinds.contains(&event.action.kind()) {
                take(event);
            }
            ControlFlow::Continue(())
        })
    }
}
