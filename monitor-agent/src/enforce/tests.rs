//! Tables of a collector, sessions that come and go, and a kernel that
//! remembers what it was told.

use std::{collections::HashMap, path::Path};

use monitor_common::{
    SessionMark,
    scope::{SCOPE_NUMBER_BITS, SCOPE_REFUSED, ScopeCell, ScopeKey},
};
use monitor_model::{
    clock::UnixNs,
    enforce::{Block, Cell, Mode, Range, Says, ScopeTable},
    id::SessionId,
};
use tokio::sync::mpsc;

use super::{marks::ScopedMarks, *};
use crate::{
    attribute::sessions::tests::session,
    marks::{Marks, session_of, tests::FakeMarks},
};

/// A kernel that remembers what it was told.
#[derive(Debug, Default)]
pub(crate) struct FakeScopes {
    cells: Mutex<BTreeMap<u32, Vec<(u32, ScopeCell)>>>,
    rows: Mutex<HashMap<SessionMark, SessionScopes>>,
    leases: Mutex<Vec<(Option<Duration>, Away)>>,
    /// The table of cells is full.
    full: Mutex<bool>,
}

impl Scopes for FakeScopes {
    fn put(&self, cells: &[(ScopeKey, ScopeCell)]) -> Result<(), KernelError> {
        if *self.full.lock().unwrap() {
            return Err(KernelError::ScopesFull { cells_max: 1 });
        }
        for (key, cell) in cells {
            let mut written = self.cells.lock().unwrap();
            let bits = key.prefix_bits - SCOPE_NUMBER_BITS;
            written.entry(key.scope).or_default().push((bits, *cell));
        }
        Ok(())
    }

    fn retain(&self, numbers: &BTreeSet<u32>) -> Result<usize, KernelError> {
        let mut cells = self.cells.lock().unwrap();
        let before = cells.len();
        cells.retain(|number, _| numbers.contains(number));
        Ok(before - cells.len())
    }

    fn bind(&self, mark: SessionMark, scopes: &SessionScopes) -> Result<(), KernelError> {
        for number in rows::numbers(scopes) {
            assert!(
                self.cells.lock().unwrap().contains_key(&number),
                "cells first"
            );
        }
        self.rows.lock().unwrap().insert(mark, *scopes);
        Ok(())
    }

    fn unbind(&self, mark: SessionMark) -> Result<(), KernelError> {
        self.rows.lock().unwrap().remove(&mark);
        Ok(())
    }

    fn bound(&self) -> Result<Vec<(SessionId, SessionScopes)>, KernelError> {
        let rows = self.rows.lock().unwrap();
        Ok(rows
            .iter()
            .map(|(mark, row)| (session_of(*mark).unwrap(), *row))
            .collect())
    }

    fn lease(&self, renewed: Option<Duration>, when_away: Away) -> Result<(), KernelError> {
        self.leases.lock().unwrap().push((renewed, when_away));
        Ok(())
    }
}

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> UnixNs {
        UnixNs(5_000)
    }
}

struct Bench {
    kernel: Arc<FakeScopes>,
    enforcer: Arc<Enforcer>,
    sessions: SharedSessions,
    notes: mpsc::Receiver<Note>,
}

/// An agent that starts, beside a kernel that may know something already.
fn bench(folder: &Path, kernel: Arc<FakeScopes>, sessions: SharedSessions) -> Bench {
    let standing = Standing::open(&folder.join("state.db")).unwrap();
    let (notes, told) = Notes::channel();
    let tables = (standing, sessions.clone(), SharedJobs::default());
    let enforcer = Enforcer::resume(tables, kernel.clone(), notes, Arc::new(Noon)).unwrap();
    Bench {
        kernel,
        enforcer: Arc::new(enforcer),
        sessions,
        notes: told,
    }
}

impl Bench {
    /// A session under these grants, which logs in now.
    fn logs_in(&self, number: u128, grants: &[&str]) -> SessionId {
        let mut session = session(number);
        session.grants = grants.iter().map(|id| id.parse().unwrap()).collect();
        self.sessions.lock().put(session.clone()).unwrap();
        let marks = ScopedMarks {
            marks: Arc::new(FakeMarks::default()),
            enforcer: self.enforcer.clone(),
        };
        marks.mark(4_000_001, session.id).unwrap();
        session.id
    }

    fn row(&self, id: SessionId) -> Option<SessionScopes> {
        self.kernel.rows.lock().unwrap().get(&mark_of(id)).copied()
    }

    async fn look(&mut self) -> Vec<Action> {
        let untold = self.enforcer.look();
        self.enforcer.tell(untold).await;
        let mut told = Vec::new();
        while let Ok(note) = self.notes.try_recv() {
            told.push(note.action);
        }
        told
    }
}

fn compiled(id: &str, says: Says) -> Scoped {
    let block = Block::of("0.0.0.0/0".parse().unwrap()).unwrap();
    let ranges = vec![Range { first: 0, says }];
    Scoped::Compiled(CompiledGrant {
        grant: id.parse().unwrap(),
        from: UnixNs(1_000),
        until: UnixNs(9_000),
        over: Mode::Enforce,
        cells: vec![Cell { block, ranges }],
    })
}

fn table(version: u64, grants: Vec<Scoped>) -> v1::ScopeTable {
    v1::ScopeTable::from(&ScopeTable {
        version,
        lease: Duration::from_secs(60),
        when_away: Away::Tighten,
        grants,
    })
}

#[tokio::test]
async fn a_session_stands_on_its_grants_before_its_first_process_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = bench(folder.path(), Arc::default(), SharedSessions::default());
    let grants = vec![compiled("G1", Says::Refused), compiled("G2", Says::Granted)];
    bench.enforcer.replace(table(7, grants)).unwrap();
    let (one, both) = (bench.logs_in(1, &["G1"]), bench.logs_in(2, &["G2", "G1"]));
    let none = bench.logs_in(3, &[]);
    let row = bench.row(both).unwrap();
    assert_eq!((row.version, row.count), (7, 2));
    assert_eq!(row.grants[0].until_unix_ns, 9_000);
    assert_eq!(row.grants[1].scope, bench.row(one).unwrap().grants[0].scope);
    assert_eq!(bench.row(none), None);
    assert!(bench.look().await.is_empty());
    // What nobody stands on goes.
    bench.sessions.lock().ended(both, UnixNs(1));
    assert!(bench.look().await.is_empty());
    assert_eq!(bench.row(both), None);
    assert_eq!(bench.kernel.cells.lock().unwrap().len(), 1);
    let leases = bench.kernel.leases.lock().unwrap().clone();
    assert!(leases.contains(&(Some(Duration::from_secs(60)), Away::Tighten)));
    assert_eq!(
        leases.last(),
        Some(&(None, Away::Tighten)),
        "a look renews nothing"
    );
}

#[tokio::test]
async fn a_grant_that_is_told_of_no_more_is_over_and_one_that_is_off_opens() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = bench(folder.path(), Arc::default(), SharedSessions::default());
    bench
        .enforcer
        .replace(table(7, vec![compiled("G1", Says::Granted)]))
        .unwrap();
    let id = bench.logs_in(1, &["G1"]);
    let number = bench.row(id).unwrap().grants[0].scope;
    bench.enforcer.replace(table(8, vec![])).unwrap();
    let scope = bench.row(id).unwrap().grants[0];
    assert_eq!((scope.scope, scope.until_unix_ns), (number, 5_000));
    assert_eq!(scope.over, u32::from(SCOPE_REFUSED));
    // Told of again, it holds again; said differently, it has another number.
    bench
        .enforcer
        .replace(table(9, vec![compiled("G1", Says::Granted)]))
        .unwrap();
    assert_eq!(bench.row(id).unwrap().grants[0].until_unix_ns, 9_000);
    bench
        .enforcer
        .replace(table(10, vec![compiled("G1", Says::Refused)]))
        .unwrap();
    assert_ne!(bench.row(id).unwrap().grants[0].scope, number);
    assert_eq!(bench.kernel.cells.lock().unwrap().len(), 1);
    bench
        .enforcer
        .replace(table(11, vec![compiled("G1", Says::Open)]))
        .unwrap();
    assert_eq!(bench.row(id), None);
    bench
        .enforcer
        .replace(table(12, vec![compiled("G1", Says::Refused)]))
        .unwrap();
    assert!(bench.row(id).is_some());
    bench.enforcer.replace(v1::ScopeTable::default()).unwrap();
    assert_eq!(bench.row(id), None, "switched off");
    assert!(bench.kernel.cells.lock().unwrap().is_empty());
    assert!(bench.look().await.is_empty());
}

#[tokio::test]
async fn a_session_that_cannot_be_held_to_its_grants_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = bench(folder.path(), Arc::default(), SharedSessions::default());
    let unfit = Scoped::Unfit {
        grant: "G2".parse().unwrap(),
        why: "too long".to_owned(),
    };
    let mut given = table(7, vec![compiled("G1", Says::Refused), unfit]);
    let mut broken = given.grants[0].clone();
    broken.grant = "G3".to_owned();
    broken.cells[0].bits = 129;
    given.grants.push(broken);
    bench.enforcer.replace(given).unwrap();
    for (number, grants) in [(1, &["G1", "G2"]), (2, &["G1", "G3"]), (3, &["G1", "G4"])] {
        let id = bench.logs_in(number, grants);
        assert_eq!(bench.row(id), None);
    }
    let told = bench.look().await;
    assert_eq!(told.len(), 3);
    for action in told {
        assert!(matches!(&action, Action::Impaired { reason, .. } if reason == NOT_ENFORCED));
    }
    assert!(bench.look().await.is_empty(), "once");
    *bench.kernel.full.lock().unwrap() = true;
    bench
        .enforcer
        .replace(table(8, vec![compiled("G1", Says::Granted)]))
        .unwrap();
    bench.logs_in(4, &["G1"]);
    assert_eq!(bench.look().await.len(), 1);
    *bench.kernel.full.lock().unwrap() = false;
    assert!(bench.look().await.is_empty(), "it fits now");
}

#[tokio::test]
async fn an_agent_that_starts_again_goes_on_with_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = bench(folder.path(), Arc::default(), SharedSessions::default());
    let grants = vec![compiled("G1", Says::Refused), compiled("G2", Says::Refused)];
    first.enforcer.replace(table(7, grants)).unwrap();
    let one = first.logs_in(1, &["G1"]);
    let other = first.logs_in(2, &["G2"]);
    first.look().await;
    first
        .enforcer
        .replace(table(8, vec![compiled("G1", Says::Refused)]))
        .unwrap();
    let Bench {
        kernel, sessions, ..
    } = first;
    let before = kernel.rows.lock().unwrap().clone();
    let mut second = bench(folder.path(), kernel, sessions);
    assert!(second.look().await.is_empty());
    let row = second.row(one).unwrap();
    assert_eq!(row.version, 8);
    assert!(row.grants[0].scope > before[&mark_of(one)].grants[0].scope);
    // Of a grant that the table does not have, the kernel still knows.
    assert_eq!(second.row(other), Some(before[&mark_of(other)]));
    // Without the collector a login is held to what was given last.
    let third = second.logs_in(3, &["G1"]);
    assert_eq!(second.row(third).unwrap().version, 8);
}
