//! What lives in a session: its processes as a tree, its jobs, the sessions that
//! were opened from it. As the events tell of them; what they do not tell is
//! said to be missing.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use crate::{
    bytes::{ByteText, PathLabel},
    clock::UnixNs,
    event::{Carrier, Lineage, NoSession, Step},
    id::SessionId,
    session::Session,
};

/// A process of one boot of one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ProcessKey {
    /// Start of the process in nanoseconds since boot. First, so that keys
    /// order by age.
    pub start_boot_ns: u64,
    /// Process id in the host's pid namespace.
    pub pid: u32,
}

/// What a process was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Arguments {
    /// As the ledger has them: secrets removed, any bytes.
    pub argv: Vec<ByteText>,
    /// Whether some are missing.
    pub truncated: bool,
    /// How many secrets were removed.
    pub redacted: u32,
}

/// A process that lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveProcess {
    /// Which.
    #[serde(flatten)]
    pub key: ProcessKey,
    /// When it started, by the host's clock.
    pub started_at: UnixNs,
    /// Who made it; none where that was not told.
    pub parent: Option<ProcessKey>,
    /// Its parent's process id when it was first told of: an orphan has another
    /// one than it was made by. 0 when not known.
    pub parent_pid: u32,
    /// Path of its executable, from the kernel's object; none when not told.
    pub exe: Option<PathLabel>,
    /// Path of the script that the executable was started for.
    pub script: Option<PathLabel>,
    /// Its arguments; none when its start was not told.
    pub arguments: Option<Arguments>,
    /// Whether it started no program since it was made: program and arguments
    /// are its parent's.
    pub forked: bool,
    /// How it is known to be the session's.
    pub lineage: Lineage,
    /// Why what it does is nobody's, where it is.
    pub reason: Option<NoSession>,
    /// How it came from the session, or who else steers it.
    pub way: Vec<Step>,
    /// The job that it is part of.
    pub job: Option<SessionId>,
}

/// Work that a session handed over, and that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveJob {
    /// Its name.
    pub id: SessionId,
    /// Its first process.
    pub leader_pid: u32,
    /// How it came from the session.
    pub way: Vec<Step>,
    /// When it began.
    pub started_at: UnixNs,
}

/// Why a tree may lack processes, or show some that are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Events of the host that never came; 0 where none did since the session
    /// opened.
    pub lost_events: u64,
    /// When the last of them was missed.
    pub lost_at: Option<UnixNs>,
    /// The probes were loaded anew then, while the session lived: what started
    /// or ended just before was not seen.
    pub unwatched_until: Option<UnixNs>,
    /// Processes of the host that found no room.
    pub untaken: u64,
    /// The collector keeps the host's processes since then, which is after the
    /// session opened.
    pub kept_since: Option<UnixNs>,
    /// The agent is not connected: all is as it last told.
    pub agent_away: bool,
}

impl Missing {
    /// Each in words.
    #[must_use]
    pub fn sentences(&self, moment: impl Fn(UnixNs) -> String) -> Vec<String> {
        let mut said = Vec::new();
        if self.agent_away {
            said.push("the host's agent is away: this is as it last told".to_owned());
        }
        if let Some(at) = self.lost_at {
            said.push(format!(
                "{} events of the host never came, the last at {}: processes may be missing, and some may be gone",
                self.lost_events,
                moment(at)
            ));
        }
        if let Some(at) = self.unwatched_until {
            said.push(format!(
                "the probes were loaded anew at {}: what started or ended just before was not seen",
                moment(at)
            ));
        }
        if let Some(at) = self.kept_since {
            said.push(format!(
                "the collector keeps processes since {}: older ones are shown once they do something",
                moment(at)
            ));
        }
        if self.untaken > 0 {
            said.push(format!(
                "{} processes of the host found no room at the collector",
                self.untaken
            ));
        }
        said
    }
}

/// A session and what lives in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveSession {
    /// The session.
    pub session: Session,
    /// Its jobs, the earliest first.
    pub jobs: Vec<LiveJob>,
    /// Its processes, those of its jobs among them, the oldest first.
    pub processes: Vec<LiveProcess>,
    /// What the tree may lack.
    pub missing: Missing,
}

/// One line of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the list.
    pub index: usize,
    /// How many stand above it.
    pub depth: usize,
}

/// Processes as a tree, parents before their children, the oldest first. Those
/// whose parent is not among them stand at the top; each stands once.
#[must_use]
pub fn tree(processes: &[LiveProcess]) -> Vec<Place> {
    let by_key: HashMap<ProcessKey, usize> = (0..)
        .zip(processes)
        .map(|(index, process)| (process.key, index))
        .collect();
    let mut by_pid: HashMap<u32, Vec<(ProcessKey, usize)>> = HashMap::new();
    for (key, index) in &by_key {
        by_pid.entry(key.pid).or_default().push((*key, *index));
    }
    let parents = processes.iter().map(|process| {
        let told = process.parent.and_then(|parent| by_key.get(&parent));
        // A number may be given again: the youngest that is older.
        let by_number = || {
            let same = by_pid.get(&process.parent_pid)?.iter();
            let older = same.filter(|(key, _)| *key < process.key);
            older.max().map(|(_, index)| index)
        };
        // An older one only, so that nothing turns in a circle.
        told.or_else(by_number).copied().filter(|parent| {
            let parent = processes.get(*parent).map(|parent| parent.key);
            parent.is_some_and(|parent| parent < process.key)
        })
    });
    nested(&parents.collect::<Vec<_>>(), |index| {
        processes.get(index).map(|process| process.key)
    })
}

/// Sessions as a tree: what was opened from another on the same host below it.
#[must_use]
pub fn forest(sessions: &[LiveSession]) -> Vec<Place> {
    let by_id: HashMap<SessionId, usize> = (0..)
        .zip(sessions)
        .map(|(index, live)| (live.session.id, index))
        .collect();
    let parents: Vec<_> = sessions
        .iter()
        .map(|live| {
            let from = opened_from(&live.session).and_then(|id| by_id.get(&id));
            from.copied().filter(|from| {
                let from = sessions.get(*from).map(|from| &from.session);
                // What came later opened nothing that was before.
                from.is_some_and(|from| {
                    (from.opened_at, from.id) < (live.session.opened_at, live.session.id)
                })
            })
        })
        .collect();
    nested(&parents, |index| {
        let live = sessions.get(index);
        live.map(|live| (live.session.opened_at, live.session.id))
    })
}

/// The session that a session was opened from.
#[must_use]
pub fn opened_from(session: &Session) -> Option<SessionId> {
    let mut steps = session.way.iter().rev();
    steps
        .find(|step| step.carrier == Carrier::SshHop)
        .and_then(|step| step.session)
}

/// Depth first, without recursion: depth is the sender's to choose.
pub(crate) fn nested<K: Ord>(parents: &[Option<usize>], order: impl Fn(usize) -> K) -> Vec<Place> {
    let mut children: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (index, parent) in parents.iter().enumerate() {
        children.entry(*parent).or_default().push(index);
    }
    for siblings in children.values_mut() {
        // From the back: the first comes off the stack first.
        siblings.sort_by_key(|index| std::cmp::Reverse(order(*index)));
    }
    let take = |parent: Option<usize>, depth: usize| {
        let found = children.get(&parent).into_iter().flatten();
        found.map(move |index| Place {
            index: *index,
            depth,
        })
    };
    let mut stack: Vec<Place> = take(None, 0).collect();
    let (mut places, mut seen) = (Vec::with_capacity(parents.len()), HashSet::new());
    while let Some(place) = stack.pop() {
        if seen.insert(place.index) {
            stack.extend(take(Some(place.index), place.depth + 1));
            places.push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, start: u64, parent: Option<(u32, u64)>, parent_pid: u32) -> LiveProcess {
        LiveProcess {
            key: ProcessKey {
                start_boot_ns: start,
                pid,
            },
            started_at: UnixNs(start),
            parent: parent.map(|(pid, start_boot_ns)| ProcessKey { start_boot_ns, pid }),
            parent_pid,
            exe: None,
            script: None,
            arguments: None,
            forked: false,
            lineage: Lineage::Kernel,
            reason: None,
            way: Vec::new(),
            job: None,
        }
    }

    fn shown(processes: &[LiveProcess]) -> Vec<(u32, usize)> {
        let places = tree(processes).into_iter();
        places
            .map(|place| (processes[place.index].key.pid, place.depth))
            .collect()
    }

    #[test]
    fn children_stand_below_who_made_them_the_oldest_first() {
        let all = [
            process(30, 30, Some((20, 20)), 20),
            process(10, 10, None, 1),
            process(21, 21, Some((10, 10)), 10),
            process(20, 20, Some((10, 10)), 10),
            process(40, 40, Some((9, 9)), 9),
        ];
        assert_eq!(shown(&all), [(10, 0), (20, 1), (30, 2), (21, 1), (40, 0)]);
    }

    #[test]
    fn a_parent_that_was_not_told_is_found_by_its_number_if_it_is_older() {
        // 5 was given three times; who was made at 25 is the second's.
        let all = [
            process(5, 10, None, 0),
            process(5, 20, None, 0),
            process(5, 30, None, 0),
            process(6, 25, None, 5),
            process(7, 5, None, 5),
        ];
        assert_eq!(shown(&all), [(7, 0), (5, 0), (5, 0), (6, 1), (5, 0)]);
    }

    #[test]
    fn whatever_is_told_each_stands_once_and_deep_trees_end() {
        let circle = [
            process(1, 7, Some((2, 7)), 2),
            process(2, 7, Some((1, 7)), 1),
            process(3, 7, Some((3, 7)), 3),
        ];
        assert_eq!(shown(&circle), [(1, 0), (2, 1), (3, 0)]);
        let chain: Vec<_> = (1..50_000)
            .map(|pid| process(pid, u64::from(pid), Some((pid - 1, u64::from(pid - 1))), 0))
            .collect();
        assert_eq!(shown(&chain).last(), Some(&(49_999, 49_998)));
        let twice = [process(1, 1, None, 0), process(1, 1, None, 0)];
        assert_eq!(tree(&twice).len(), 2);
    }

    #[test]
    fn what_is_missing_is_said_and_nothing_is_said_of_the_rest() {
        let said = |missing: Missing| missing.sentences(|at| at.0.to_string());
        assert!(said(Missing::default()).is_empty());
        let all = said(Missing {
            lost_events: 3,
            lost_at: Some(UnixNs(7)),
            unwatched_until: Some(UnixNs(8)),
            untaken: 2,
            kept_since: Some(UnixNs(9)),
            agent_away: true,
        });
        assert_eq!(all.len(), 5);
        assert!(
            all[1].contains("3 events") && all[1].contains("at 7"),
            "{all:?}"
        );
    }
}
