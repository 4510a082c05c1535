//! A collector whose state is sealed: nothing in its files says who or for whom,
//! and everything comes back.

use monitor_ledger::seal::SealKey;
use monitor_model::{
    alert::AlertState,
    event::{HookState, Process},
    krl::{ListInPlace, RevocationList},
    live::LiveJob,
};
use rusqlite::Connection;

use super::*;
use crate::{
    core::{alerts::Handling, voice::Said},
    ledger::LedgerError,
    processes::Change,
    reseal::{Keys, Outcome, Renewal, ResealError, Stage, reseal},
    state::{
        Denial, SetAside, State, StateError,
        read::{Place, SessionFilter},
    },
    testing::log_key,
};

/// What somebody who takes the disk would look for in the state.
const WORDS: [&str; 12] = [
    "keeper",
    "alice",
    "acme",
    "globex",
    "INC-4711",
    "jump-1",
    "01JG",
    "soc/bob",
    "SHA256:y",
    "as agreed",
    "secret batch",
    "/usr/bin/kubectl",
];

fn key(number: u8) -> SealKey {
    SealKey::new([number; 32])
}

fn keys(old: u8, new: u8) -> Keys {
    Keys {
        old: key(old),
        new: key(new),
    }
}

/// The configuration, with a key where there is to be one.
fn sealed(folder: &Path, number: Option<u8>) -> Config {
    let mut config = config(folder);
    config.ledger_seal = number.map(|number| {
        let path = folder.join(format!("seal-{number}.key"));
        if !path.exists() {
            key(number).store(&path).unwrap();
        }
        path
    });
    config
}

fn opened_with(folder: &Path, number: Option<u8>) -> Result<Core, CoreError> {
    Core::open(&sealed(folder, number), Arc::new(SystemClock))
}

fn home(folder: &Path, number: Option<u8>) -> Home {
    Home::new(folder.join("data"), number.map(key))
}

/// Something in every table.
fn played(folder: &Path, number: Option<u8>) {
    let mut core = opened_with(folder, number).unwrap();
    granted(&mut core);
    let started = event(
        event_id("jump-1", Source::Agent, 9),
        Action::AgentStarted {
            version: "1".into(),
            kernel: "6.12".into(),
            resumed: false,
            hooks: vec![HookState {
                family: "exec".into(),
                tier: None,
                unseen: String::new(),
            }],
        },
    );
    let mut ran = read(7, "acme");
    let object = crate::testing::label("/usr/bin/kubectl");
    ran.process = Some(Process {
        pid: 8,
        start_boot_ns: 5,
        exe: Some(object),
        ..Process::default()
    });
    take(
        &mut core,
        &[
            started,
            login(1, session_id(1), 7),
            login(2, session_id(2), 8),
        ],
    );
    let raised = take(&mut core, &[read(1, "globex"), read(2, "acme"), ran]);
    core.handle(Handling {
        alert: raised[0].alert.id,
        state: AlertState::Acknowledged,
        author: "soc/bob".into(),
        note: "as agreed".into(),
    })
    .unwrap()
    .unwrap();
    core.order(wanted(1, Target::Session(session_id(1))))
        .unwrap()
        .unwrap();
    beside(&mut core);
    core.note_followed().unwrap();
    core.publish().unwrap();
}

/// What no event and no call leads to here.
fn beside(core: &mut Core) {
    let agent: monitor_model::id::AgentName = "jump-1".parse().unwrap();
    let order = OrderId::from_parts(BASE, 1);
    let alice = Denial::Principal("alice".parse().unwrap());
    core.state.put_denial(&alice, order).unwrap();
    core.state.put_file_grant(&"01JG".parse().unwrap()).unwrap();
    core.state
        .put_aside(&SetAside {
            agent: agent.clone(),
            batch: 1,
            at: BASE,
            reason: "as agreed".into(),
            event: b"secret batch".to_vec(),
        })
        .unwrap();
    core.state
        .put_list(&RevocationList {
            number: 1,
            bytes: b"secret batch".to_vec(),
            sha256: [1; 32],
            published_at: BASE,
        })
        .unwrap();
    let broker = "keeper".parse().unwrap();
    core.state.set_list_changed_at(&broker, BASE).unwrap();
    let place = ListInPlace {
        number: Some(1),
        at: BASE,
        problem: "as agreed".into(),
    };
    core.state.put_list_in_place(&agent, &place).unwrap();
    let job = LiveJob {
        id: session_id(9),
        leader_pid: 9,
        way: Vec::new(),
        started_at: BASE,
    };
    let change = Change::Job(agent, job.id, Some((session_id(1), job)));
    core.state.put_processes(&change).unwrap();
    core.state.cursor_key([9; 32]).unwrap();
    let said = Said::of("acme".parse().unwrap(), read(30, "acme").action, BASE);
    core.state.keep_said(&said, BASE).unwrap();
}

/// Each as a line, in an order that does not hang on how names lie in the file.
fn lines<T: std::fmt::Debug>(found: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut lines: Vec<String> = found.into_iter().map(|it| format!("{it:?}")).collect();
    lines.sort_unstable();
    assert!(!lines.is_empty());
    lines
}

/// Everything that the state says.
fn said(home: &Home) -> Vec<String> {
    let state = State::open(home).unwrap();
    let kept = state.processes().unwrap();
    let agent = "jump-1".parse().unwrap();
    let mut said = [
        lines(state.grants().unwrap()),
        lines(state.file_grants().unwrap()),
        lines(state.uses().unwrap()),
        lines(state.live_sessions().unwrap()),
        lines(state.orders().unwrap()),
        lines([state.denied().unwrap()]),
        lines(state.kept().unwrap()),
        lines(state.held().unwrap()),
        lines(state.reached().unwrap()),
        lines(state.list().unwrap()),
        lines(state.lists_in_place().unwrap()),
        lines(kept.hosts),
        lines(kept.jobs),
        lines(kept.processes),
        lines([state.cursor_key([0; 32]).unwrap()]),
        lines([state.set_aside(&agent).unwrap()]),
        lines([state.has_host(&agent).unwrap()]),
        lines(state.alerts_after(UnixNs(0), &[session_id(1)]).unwrap()),
        lines(state.session(session_id(1)).unwrap()),
        lines(state.said().unwrap()),
        lines(state.list_changed_at(&"keeper".parse().unwrap()).unwrap()),
    ]
    .concat();
    drop(state);
    said.extend(shown(home));
    said
}

/// The same as people read it, each by a name.
fn shown(home: &Home) -> Vec<String> {
    let reader = StateReader::open(home).unwrap();
    let agent = "jump-1".parse().unwrap();
    let filter = SessionFilter {
        principal: Some("alice".parse().unwrap()),
        tenants: vec!["acme".parse().unwrap()],
        host: Some("jump-1".parse().unwrap()),
        ended: true,
    };
    let alerts = AlertFilter {
        principal: Some("alice".parse().unwrap()),
        ledgers: vec!["globex".parse().unwrap(), "acme".parse().unwrap()],
        ..AlertFilter::default()
    };
    let first = Place::first();
    let raised = reader.alerts(&alerts, UnixNs::MAX, 9).unwrap();
    let policies = Connection::open(home.join("state.db")).unwrap();
    let policies: i64 = policies
        .query_row("SELECT count(*) FROM policy", [], |row| row.get(0))
        .unwrap();
    [
        lines(reader.alerts_of(&raised[0].alert.event).unwrap()),
        lines(reader.sessions(&filter, &first, 9).unwrap()),
        lines(reader.session(session_id(2), &filter.tenants).unwrap()),
        lines(reader.orders(&first, 9).unwrap()),
        lines(reader.hosts(None, "", 9).unwrap()),
        lines(reader.hosts(Some(&agent), "", 9).unwrap()),
        lines(reader.forms(&"01JG".parse().unwrap()).unwrap()),
        lines(raised),
        lines([policies]),
    ]
    .concat()
}

/// Bytes of all files of the state.
fn state_bytes(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder.join("data")).unwrap();
    let of_state = files.map(|file| file.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("state.db")
    });
    of_state
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|part| part == word)
}

#[test]
fn nothing_in_a_sealed_state_says_who_or_for_whom_and_everything_comes_back() {
    let clear = tempfile::tempdir().unwrap();
    played(clear.path(), None);
    let found = state_bytes(clear.path());
    for word in WORDS {
        assert!(holds(&found, word.as_bytes()), "{word} is in no row");
    }
    let folder = tempfile::tempdir().unwrap();
    played(folder.path(), Some(1));
    // While the log is there, and when it is not.
    let found = state_bytes(folder.path());
    let home = home(folder.path(), Some(1));
    assert!(said(&home).len() > 25);
    for bytes in [found, state_bytes(folder.path())] {
        for word in WORDS {
            assert!(!holds(&bytes, word.as_bytes()), "{word}");
        }
    }
    drop(opened_with(folder.path(), Some(1)).unwrap());
    let reader = StateReader::open(&home).unwrap();
    let auditor = ["globex".parse().unwrap()];
    assert!(reader.session(session_id(1), &auditor).unwrap().is_none());
}

#[test]
fn every_column_of_every_table_has_rows_here_and_a_way_to_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    played(folder.path(), None);
    let state = Connection::open(folder.path().join("data/state.db")).unwrap();
    let found = crate::state::unspoken(&state).unwrap();
    assert_eq!(found, Vec::<String>::new(), "see state/table.rs");
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut names = state.prepare(sql).unwrap();
    let names = names.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for name in names.map(Result::unwrap) {
        let sql = format!("SELECT count(*) FROM {name}");
        let rows: i64 = state.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert!(rows > 0, "{name}");
    }
}

#[test]
fn a_state_in_clear_is_sealed_at_the_next_start_and_nothing_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    played(folder.path(), None);
    let before = said(&home(folder.path(), None));
    drop(State::open(home(folder.path(), Some(1))).unwrap());
    let bytes = state_bytes(folder.path());
    for word in WORDS {
        assert!(!holds(&bytes, word.as_bytes()), "{word}");
    }
    let after = said(&home(folder.path(), Some(1)));
    assert_eq!(after, before);
    drop(opened_with(folder.path(), Some(1)).unwrap());
}

#[test]
fn without_the_key_or_with_another_nothing_opens() {
    let folder = tempfile::tempdir().unwrap();
    played(folder.path(), Some(1));
    for (number, why) in [
        (None, "it is sealed: give the key"),
        (Some(2), "with another"),
    ] {
        let home = home(folder.path(), number);
        for refused in [
            State::open(&home).map(|_| ()).unwrap_err(),
            StateReader::open(&home).map(|_| ()).unwrap_err(),
        ] {
            assert!(matches!(refused, StateError::Seal { .. }), "{refused:?}");
            assert!(refused.to_string().contains(why), "{refused}");
        }
        assert!(opened_with(folder.path(), number).is_err());
    }
    let state = Connection::open(folder.path().join("data/state.db")).unwrap();
    state
        .execute("DELETE FROM meta WHERE key = 'seal'", [])
        .unwrap();
    let refused = State::open(home(folder.path(), Some(1))).unwrap_err();
    assert!(matches!(refused, StateError::Mixed { .. }), "{refused:?}");
}

#[test]
fn rows_that_change_places_do_not_open() {
    for (sql, what) in [
        (
            "UPDATE session SET message = (SELECT message FROM session ORDER BY id LIMIT 1)",
            "session",
        ),
        // Who may see it follows from this.
        (
            "UPDATE session SET tenant = (SELECT ledger FROM alert
             WHERE ledger != session.tenant LIMIT 1)",
            "session",
        ),
        (
            "UPDATE granted SET message = (SELECT message FROM grant_form LIMIT 1)",
            "granted",
        ),
        ("UPDATE alert SET outside = fold", "alert"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        played(folder.path(), Some(1));
        let state = Connection::open(folder.path().join("data/state.db")).unwrap();
        assert!(state.execute(sql, []).unwrap() > 0, "{sql}");
        let Err(refused) = opened_with(folder.path(), Some(1)) else {
            panic!("it opens after {sql}");
        };
        let said = refused.to_string();
        assert!(
            said.contains(what) && said.contains("does not open"),
            "{said}"
        );
    }
}

/// The folder as a kill now would leave it.
fn copied(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for part in ["data", "data/ledger"] {
        std::fs::create_dir_all(copy.path().join(part)).unwrap();
        for file in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = file.unwrap().path();
            // SQLite makes the index of its log anew.
            if path.is_file() && !path.to_string_lossy().ends_with("-shm") {
                let to = copy.path().join(part).join(path.file_name().unwrap());
                std::fs::copy(&path, to).unwrap();
            }
        }
    }
    log_key().store(&copy.path().join("ledger.key")).unwrap();
    copy
}

fn again(folder: &Path, keys: &Keys, renewal: Renewal) -> Vec<Outcome> {
    let mut done = Vec::new();
    reseal(&folder.join("data"), keys, renewal, &mut |_, stage| {
        if let Stage::Done(outcome) = stage {
            done.push(outcome);
        }
    })
    .unwrap();
    done
}

/// What each file of a folder is opened by: its key under the collector's.
fn wrapped(folder: &Path) -> Vec<Vec<u8>> {
    let data = folder.join("data");
    let sql = "SELECT CAST(value AS BLOB) FROM meta WHERE key = 'seal'";
    [
        "state.db",
        "ledger/acme.db",
        "ledger/globex.db",
        "ledger/provider.db",
    ]
    .map(|file| {
        let connection = Connection::open(data.join(file)).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    })
    .into()
}

fn all_bytes(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in ["data", "data/ledger"] {
        for file in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                bytes.extend(std::fs::read(path).unwrap());
            }
        }
    }
    bytes
}

/// Checked roots of the ledgers.
fn roots(folder: &Path, number: u8) -> Vec<String> {
    let trust = monitor_ledger::check::Trust {
        seal: Some(key(number)),
        ..Default::default()
    };
    ["acme", "globex", "provider"]
        .map(|tenant| {
            let path = Ledger::path(&folder.join("data"), &tenant.parse().unwrap());
            let report = monitor_ledger::check::file::check(&path, tenant, &trust).unwrap();
            format!("{tenant} {} {}", report.records, report.root)
        })
        .into()
}

/// Ciphertexts of rows and blocks, some bytes of each.
fn ciphertexts(folder: &Path) -> Vec<Vec<u8>> {
    let data = folder.join("data");
    let part = |file: &str, sql: &str| -> Vec<u8> {
        let connection = Connection::open(data.join(file)).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    vec![
        part("state.db", "SELECT substr(message, 1, 40) FROM granted"),
        part("state.db", "SELECT substr(message, 1, 40) FROM ordered"),
        part(
            "state.db",
            "SELECT CAST(substr(id, 1, 40) AS BLOB) FROM file_grant",
        ),
        part("ledger/acme.db", "SELECT substr(content, 1, 40) FROM block"),
        part(
            "ledger/globex.db",
            "SELECT substr(content, 1, 40) FROM block",
        ),
    ]
}

/// What holds once the new key is in the place of the old one.
fn settled_under(folder: &Path, new: u8, before: &Before) {
    let bytes = all_bytes(folder);
    for wrapped in &before.wrapped {
        assert!(!holds(&bytes, wrapped), "the old seal is still in a file");
    }
    let reader = StateReader::open(home(folder, Some(1)));
    assert!(matches!(reader, Err(StateError::Seal { .. })));
    for tenant in ["acme", "globex", "provider"] {
        let opened = Ledger::open(home(folder, Some(1)), &tenant.parse().unwrap(), None);
        assert!(matches!(opened, Err(LedgerError::Seal { .. })), "{tenant}");
    }
    assert_eq!(roots(folder, new), before.roots);
    assert_eq!(said(&home(folder, Some(new))), before.said);
}

struct Before {
    wrapped: Vec<Vec<u8>>,
    roots: Vec<String>,
    said: Vec<String>,
    ciphertexts: Vec<Vec<u8>>,
}

fn before(folder: &Path) -> Before {
    Before {
        wrapped: wrapped(folder),
        roots: roots(folder, 1),
        said: said(&home(folder, Some(1))),
        ciphertexts: ciphertexts(folder),
    }
}

#[test]
fn another_key_takes_the_place_of_the_old_one_whenever_it_is_ended_and_begun_again() {
    for renewal in [Renewal::Keys, Renewal::Contents] {
        let folder = tempfile::tempdir().unwrap();
        played(folder.path(), Some(1));
        let before = before(folder.path());
        let mut copies = Vec::new();
        let data = folder.path().join("data");
        reseal(&data, &keys(1, 2), renewal, &mut |path, stage| {
            copies.push((path.to_path_buf(), stage, copied(folder.path())));
        })
        .unwrap();
        assert_eq!(copies.len(), 12, "three stages of four files");
        settled_under(folder.path(), 2, &before);
        let is_new = |old: &Vec<u8>| !holds(&all_bytes(folder.path()), old);
        let renewed = before.ciphertexts.iter().filter(|old| is_new(old)).count();
        let wanted = match renewal {
            Renewal::Keys => 0,
            Renewal::Contents => before.ciphertexts.len(),
        };
        assert_eq!(renewed, wanted);
        for (path, stage, copy) in copies {
            let done = again(copy.path(), &keys(1, 2), renewal);
            assert_eq!(done.len(), 4, "{} {stage:?}", path.display());
            settled_under(copy.path(), 2, &before);
            let left = before.ciphertexts.iter();
            let bytes = all_bytes(copy.path());
            let left = left.filter(|old| holds(&bytes, old)).count();
            assert_eq!(left, before.ciphertexts.len() - wanted, "{stage:?}");
        }
        assert_eq!(
            again(folder.path(), &keys(1, 2), renewal),
            [Outcome::Already; 4]
        );
        let mut core = opened_with(folder.path(), Some(2)).unwrap();
        take(&mut core, &[read(20, "acme")]);
    }
}

#[test]
fn what_lies_in_clear_is_sealed_with_the_new_key_as_well() {
    let folder = tempfile::tempdir().unwrap();
    played(folder.path(), None);
    let done = again(folder.path(), &keys(1, 2), Renewal::Keys);
    assert_eq!(done, [Outcome::Sealed; 4]);
    assert!(!holds(&all_bytes(folder.path()), b"alice"));
    drop(opened_with(folder.path(), Some(2)).unwrap());
}

#[test]
fn a_key_is_not_replaced_by_itself_nor_under_a_collector_nor_without_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    played(folder.path(), Some(1));
    let data = folder.path().join("data");
    let refused =
        |keys: &Keys, data: &Path| reseal(data, keys, Renewal::Keys, &mut |_, _| ()).unwrap_err();
    assert!(matches!(refused(&keys(1, 1), &data), ResealError::SameKey));
    let wrong = refused(&keys(3, 2), &data);
    assert!(wrong.to_string().contains("with another"), "{wrong}");
    let elsewhere = refused(&keys(1, 2), folder.path());
    assert!(
        matches!(elsewhere, ResealError::Empty { .. }),
        "{elsewhere}"
    );
    let core = opened_with(folder.path(), Some(1)).unwrap();
    let running = refused(&keys(1, 2), &data);
    assert!(
        running.to_string().contains("another collector"),
        "{running}"
    );
    drop(core);
    let reader = Connection::open(data.join("ledger/acme.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM meta").unwrap();
    let read = refused(&keys(1, 2), &data);
    assert!(
        read.to_string().contains("another program reads it"),
        "{read}"
    );
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(again(folder.path(), &keys(1, 2), Renewal::Keys).len(), 4);
}
