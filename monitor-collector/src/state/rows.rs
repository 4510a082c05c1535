//! Sessions, alerts, orders, denials and what was set aside, as tables.

use super::{
    cover::Name,
    table::{Form, Table},
};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS granted (id TEXT PRIMARY KEY, message BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (
    id TEXT PRIMARY KEY, opened_at INTEGER NOT NULL, host TEXT NOT NULL, boot TEXT NOT NULL,
    principal TEXT, tenant TEXT, ended INTEGER NOT NULL, message BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS session_opened ON session (opened_at, id);
CREATE INDEX IF NOT EXISTS session_live ON session (ended) WHERE ended = 0;
CREATE TABLE IF NOT EXISTS alert (
    stamp INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, event TEXT NOT NULL UNIQUE, at INTEGER NOT NULL,
    event_at INTEGER NOT NULL, ledger TEXT NOT NULL, principal TEXT, session TEXT, severity INTEGER NOT NULL,
    fold TEXT NOT NULL, outside TEXT NOT NULL, message BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS alert_session ON alert (session) WHERE session IS NOT NULL;
CREATE TABLE IF NOT EXISTS ordered (
    id TEXT PRIMARY KEY, ordered_at INTEGER NOT NULL, message BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS ordered_at ON ordered (ordered_at, id);
CREATE TABLE IF NOT EXISTS denied (
    kind TEXT NOT NULL, name TEXT NOT NULL, ordered TEXT NOT NULL, PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS host (name TEXT PRIMARY KEY, message BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quarantine (
    agent TEXT NOT NULL, digest BLOB NOT NULL, batch INTEGER NOT NULL, at INTEGER NOT NULL,
    reason TEXT NOT NULL, event BLOB NOT NULL, PRIMARY KEY (agent, digest)
) WITHOUT ROWID;
";

pub(super) const SESSION: Table = Table {
    name: "session",
    columns: &[
        ("id", Form::Key),
        ("opened_at", Form::Plain),
        ("host", Form::Name(Name::Agent)),
        ("boot", Form::Key),
        ("principal", Form::Name(Name::Principal)),
        // Part of the place: who may see the row follows from it.
        ("tenant", Form::KeyName(Name::Tenant)),
        ("ended", Form::Plain),
        ("message", Form::Blob),
    ],
};
pub(super) const ALERT: Table = Table {
    name: "alert",
    columns: &[
        ("stamp", Form::Plain),
        ("id", Form::Key),
        ("event", Form::KeyName(Name::Event)),
        ("at", Form::Plain),
        ("event_at", Form::Plain),
        ("ledger", Form::KeyName(Name::Tenant)),
        ("principal", Form::Name(Name::Principal)),
        ("session", Form::Plain),
        ("severity", Form::Plain),
        ("fold", Form::Text),
        ("outside", Form::Text),
        ("message", Form::Blob),
    ],
};
pub(super) const ORDERED: Table = Table {
    name: "ordered",
    columns: &[
        ("id", Form::Key),
        ("ordered_at", Form::Plain),
        ("message", Form::Blob),
    ],
};
pub(super) const DENIED: Table = Table {
    name: "denied",
    columns: &[
        ("kind", Form::Key),
        ("name", Form::KeyName(Name::Denied)),
        ("ordered", Form::Plain),
    ],
};
pub(super) const QUARANTINE: Table = Table {
    name: "quarantine",
    columns: &[
        ("agent", Form::KeyName(Name::Agent)),
        ("digest", Form::KeyName(Name::Digest)),
        ("batch", Form::Plain),
        ("at", Form::Plain),
        ("reason", Form::Text),
        ("event", Form::Blob),
    ],
};

/// Of the rows of `meta` the secret ones: the others say nothing of anybody.
pub(super) const SECRET: Table = Table {
    name: "meta",
    columns: &[("key", Form::Key), ("value", Form::Blob)],
};
/// The row of `meta` with the key that cursors are sealed with.
pub(super) const CURSOR_KEY: &str = "cursor_key";
