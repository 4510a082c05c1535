//! Tables for people, JSON for programs.
//!
//! Everything that reaches standard output goes through [`Screen`]: it knows
//! the format, the colours and the time zone, and nothing passes it unescaped.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use anstyle::{AnsiColor, Effects, Style};
use jiff::tz::TimeZone;
use monitor_model::clock::UnixNs;

use self::{
    json::Record,
    table::{Cell, Table},
};

pub mod csv;
pub mod json;
pub mod table;
pub mod time;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document; of a stream without end, as [`Format::Ndjson`].
    Json,
    /// One JSON object a line.
    Ndjson,
    /// The columns of a list as RFC 4180 has it.
    Csv,
}

/// What a piece of text means, told by its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Somebody must act.
    Bad,
    /// Not sure, or incomplete.
    Doubtful,
    /// Of little interest.
    Dim,
    /// A heading.
    Bold,
}

/// Whether colours are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// With colours.
    pub const ON: Self = Self(true);
    /// Without.
    pub const OFF: Self = Self(false);

    /// The text in the colours of its tone.
    #[must_use]
    pub fn text(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
            Tone::Doubtful => AnsiColor::Yellow.on_default(),
            Tone::Dim => Style::new().effects(Effects::DIMMED),
            Tone::Bold => Style::new().effects(Effects::BOLD),
        };
        if self.0 {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// Where results go, and how they look there.
pub struct Screen {
    out: Box<dyn Write>,
    /// How results are written.
    pub format: Format,
    /// Whether they are coloured.
    pub paint: Paint,
    /// The zone of times in tables.
    pub zone: TimeZone,
    /// Whether everything is shown in full.
    pub verbose: bool,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Screen {
    /// A screen that writes to `out`, without colours.
    #[must_use]
    pub fn new(out: Box<dyn Write>, format: Format) -> Self {
        Self {
            out,
            format,
            paint: Paint::OFF,
            zone: TimeZone::UTC,
            verbose: false,
        }
    }

    /// Whether people read it.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Whether the columns of a list are asked for.
    #[must_use]
    pub fn is_csv(&self) -> bool {
        self.format == Format::Csv
    }

    /// Writes one line, escaped, in a tone.
    ///
    /// # Errors
    /// As writing does.
    pub fn line(&mut self, tone: Tone, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", self.paint.text(tone, &safe(text)))
    }

    /// Writes one line of parts, each escaped and in its own tone.
    ///
    /// # Errors
    /// As writing does.
    pub fn parts(&mut self, parts: &[(Tone, String)]) -> io::Result<()> {
        let line: String = parts
            .iter()
            .map(|(tone, text)| self.paint.text(*tone, &safe(text)))
            .collect();
        writeln!(self.out, "{}", line.trim_end())
    }

    /// Writes one record as a line of JSON.
    ///
    /// # Errors
    /// As writing does.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        record.line(&mut self.out)
    }

    /// Writes a whole table.
    ///
    /// # Errors
    /// As writing does.
    pub fn table(&mut self, columns: &[&str], rows: &[Vec<Cell>]) -> io::Result<()> {
        Table::new(columns).rows(&mut self.out, self.paint, rows)
    }

    /// Sends what is written on its way.
    ///
    /// # Errors
    /// As writing does.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Local date and time to the second; RFC 3339 in UTC where programs read it.
    #[must_use]
    pub fn moment(&self, at: UnixNs) -> String {
        if self.format == Format::Csv {
            return time::rfc3339(at).unwrap_or_default();
        }
        time::local_seconds(at, &self.zone)
    }

    /// Local date and time to the millisecond.
    #[must_use]
    pub fn exact_moment(&self, at: UnixNs) -> String {
        time::local_millis(at, &self.zone)
    }

    /// The last six characters of an id; all of them when verbose, and where
    /// programs read it.
    #[must_use]
    pub fn id(&self, id: &impl ToString) -> String {
        let text = id.to_string();
        if self.verbose || self.format == Format::Csv {
            text
        } else {
            short(&text).to_owned()
        }
    }
}

/// A list that comes in pages.
#[derive(Debug)]
pub struct Listing<'a> {
    screen: &'a mut Screen,
    table: Table,
    written: usize,
}

impl<'a> Listing<'a> {
    /// A list with these columns.
    #[must_use]
    pub fn new(screen: &'a mut Screen, columns: &[&str]) -> Self {
        Self {
            screen,
            table: Table::new(columns),
            written: 0,
        }
    }

    /// Writes one page.
    ///
    /// # Errors
    /// As writing does.
    pub fn page<T>(
        &mut self,
        items: &[T],
        row: impl Fn(&Screen, &T) -> Vec<Cell>,
        record: impl Fn(&T) -> Record,
    ) -> io::Result<()> {
        match self.screen.format {
            Format::Table => {
                let rows: Vec<_> = items.iter().map(|item| row(self.screen, item)).collect();
                self.table
                    .rows(&mut self.screen.out, self.screen.paint, &rows)?;
            }
            Format::Csv => {
                if self.written == 0 {
                    csv::header(&mut self.screen.out, &self.table)?;
                }
                for item in items {
                    let cells = row(self.screen, item);
                    csv::row(&mut self.screen.out, &cells)?;
                }
            }
            Format::Ndjson => items
                .iter()
                .try_for_each(|item| self.screen.record(&record(item)))?,
            Format::Json => {
                for (at, item) in items.iter().enumerate() {
                    let before = if self.written + at == 0 { "[" } else { "," };
                    write!(self.screen.out, "{before}\n  {}", record(item).text()?)?;
                }
            }
        }
        self.written += items.len();
        Ok(())
    }

    /// Ends the list; an empty one says so to people, on standard error.
    ///
    /// # Errors
    /// As writing does.
    pub fn end(self, when_empty: &str) -> io::Result<()> {
        match (self.screen.format, self.written) {
            (Format::Json, 0) => writeln!(self.screen.out, "[]")?,
            (Format::Json, _) => writeln!(self.screen.out, "\n]")?,
            (Format::Table, 0) => {
                self.screen.flush()?;
                note(when_empty);
            }
            (Format::Csv, 0) => csv::header(&mut self.screen.out, &self.table)?,
            (Format::Table | Format::Ndjson | Format::Csv, _) => {}
        }
        self.screen.flush()
    }
}

/// Says something to the person, on standard error, beside the results.
pub fn note(text: &str) {
    // A closed standard error leaves nobody to tell.
    _ = writeln!(io::stderr(), "monitorctl: {}", safe(text));
}

/// The last six characters of an id: the random ones, enough for people.
#[must_use]
pub fn short(id: &str) -> &str {
    id.char_indices()
        .rev()
        .nth(5)
        .and_then(|(at, _)| id.get(at..))
        .unwrap_or(id)
}

/// One of it or several: `1 session`, `2 sessions`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// Text that drives no terminal: control characters and marks that reorder or
/// hide what stands around them become `\xNN`. Backslashes stay as they are,
/// since the model's own texts are escaped already.
#[must_use]
pub fn safe(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            let mut room = [0; 4];
            for byte in c.encode_utf8(&mut room).bytes() {
                // Writing to a string cannot fail.
                _ = write!(clean, "\\x{byte:02x}");
            }
        } else {
            clean.push(c);
        }
    }
    clean
}

/// Whether a terminal may take a character for more than itself.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_drives_no_terminal() {
        assert_eq!(
            safe("a\x1b[31m\u{202e}\n\\x00"),
            "a\\x1b[31m\\xe2\\x80\\xae\\x0a\\x00"
        );
    }

    #[test]
    fn ids_are_shortened_to_their_random_end() {
        assert_eq!(short("01JG3Y2E8QW0X9V5T4R3S2A1B0"), "S2A1B0");
        assert_eq!(short("abc"), "abc");
    }
}
