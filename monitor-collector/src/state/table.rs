//! Every table of the state, and how each of its columns is kept.

use std::fmt::Write as _;

use super::{alerts, cover::Name, grants, held, hosts, krl, policies, processes, rows, said, uses};

/// How a column is kept where the state is sealed. What is null stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is, and part of the row's place.
    Key,
    /// As it is: numbers, times, random ids, kinds. Nothing of a person or client.
    Plain,
    /// Sealed alike wherever it stands, and part of the row's place.
    KeyName(Name),
    /// Sealed alike wherever it stands.
    Name(Name),
    /// A text, sealed to its place.
    Text,
    /// Bytes, sealed to their place.
    Blob,
}

impl Form {
    /// Whether it is part of the row's place.
    pub(super) const fn is_key(self) -> bool {
        match self {
            Self::Key | Self::KeyName(_) => true,
            Self::Plain | Self::Name(_) | Self::Text | Self::Blob => false,
        }
    }
}

/// A table: its columns in their order.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Form)],
}

impl Table {
    /// What puts a whole row. `verb` is INSERT, or INSERT OR what.
    pub(super) fn insert(&self, verb: &str) -> String {
        let mut sql = format!("{verb} INTO {} VALUES (", self.name);
        for at in 1..=self.columns.len() {
            let comma = if at > 1 { ", " } else { "" };
            _ = write!(sql, "{comma}?{at}");
        }
        sql.push(')');
        sql
    }

    /// How many columns are the row's place.
    pub(super) fn keys(&self) -> usize {
        self.columns
            .iter()
            .filter(|(_, form)| form.is_key())
            .count()
    }
}

/// All but `meta`, whose rows are kept each in its way.
pub(super) const TABLES: [&Table; 22] = [
    &rows::SESSION,
    &rows::ALERT,
    &rows::ORDERED,
    &rows::DENIED,
    &rows::QUARANTINE,
    &alerts::HANDLED,
    &alerts::KEPT,
    &grants::GRANTED,
    &grants::FILE_GRANT,
    &policies::GRANT_FORM,
    &policies::POLICY,
    &uses::GRANT_USE,
    &hosts::HOST,
    &processes::PROCESS_HOST,
    &processes::PROCESS_JOB,
    &processes::PROCESS,
    &held::HELD,
    &held::REACHED,
    &krl::KRL,
    &krl::HOST_KRL,
    &krl::KRL_CHANGED,
    &said::SAID,
];

/// Columns that are there and not said of how they are kept, or the other way
/// round; and keys that do not come first.
#[cfg(test)]
pub(crate) fn unspoken(connection: &rusqlite::Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
               WHERE m.type = 'table' AND m.name != 'meta' ORDER BY m.name, c.cid";
    let mut select = connection.prepare(sql)?;
    let found = select.query_map([], |row| {
        Ok(format!(
            "{}.{}",
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?
        ))
    })?;
    let found: Vec<String> = found.collect::<rusqlite::Result<_>>()?;
    let mut tables = TABLES;
    tables.sort_by_key(|table| table.name);
    let said = tables.iter().flat_map(|table| {
        let columns = table.columns.iter();
        columns.map(|(column, _)| format!("{}.{column}", table.name))
    });
    let said: Vec<String> = said.collect();
    let differ = found.iter().zip(&said).filter(|(one, two)| one != two);
    let mut differ: Vec<String> = differ.map(|(one, two)| format!("{one} {two}")).collect();
    if found.len() != said.len() {
        differ.push(format!("{} columns, {} said", found.len(), said.len()));
    }
    Ok(differ)
}
