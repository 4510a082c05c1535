//! Columns of text for people.

use std::io::{self, Write};

use super::{Paint, Tone, safe};

/// One field of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it says; escaped already.
    text: String,
    /// How it looks.
    tone: Tone,
}

impl Cell {
    /// Takes any text; an empty one shows as `-`.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = match text.as_ref() {
            "" => "-".to_owned(),
            text => safe(text),
        };
        Self {
            text,
            tone: Tone::Plain,
        }
    }

    /// Takes what may be absent.
    #[must_use]
    pub fn maybe(value: Option<impl ToString>) -> Self {
        Self::new(value.map(|value| value.to_string()).unwrap_or_default())
    }

    /// The same in another tone.
    #[must_use]
    pub fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    /// What it says; nothing where it shows as `-`.
    #[must_use]
    pub fn value(&self) -> &str {
        match self.text.as_str() {
            "-" => "",
            text => text,
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// Rows under a header, each column as wide as its widest cell so far.
#[derive(Debug)]
pub struct Table {
    names: Vec<String>,
    header: Option<Vec<Cell>>,
    widths: Vec<usize>,
}

impl Table {
    /// A table with these columns; nothing is written before the first rows.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        let header: Vec<Cell> = columns
            .iter()
            .map(|name| Cell {
                text: (*name).to_owned(),
                tone: Tone::Bold,
            })
            .collect();
        Self {
            names: columns.iter().map(ToString::to_string).collect(),
            widths: header.iter().map(Cell::width).collect(),
            header: Some(header),
        }
    }

    /// The names of its columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Writes rows, the header before the first ones.
    ///
    /// # Errors
    /// As writing does.
    pub fn rows(
        &mut self,
        out: &mut dyn Write,
        paint: Paint,
        rows: &[Vec<Cell>],
    ) -> io::Result<()> {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        if let Some(header) = self.header.take() {
            self.row(out, paint, &header)?;
        }
        rows.iter().try_for_each(|row| self.row(out, paint, row))
    }

    fn row(&self, out: &mut dyn Write, paint: Paint, row: &[Cell]) -> io::Result<()> {
        let mut line = String::new();
        let mut gap = 0;
        for (cell, width) in row.iter().zip(&self.widths) {
            line.extend(std::iter::repeat_n(' ', gap));
            line.push_str(&paint.text(cell.tone, &cell.text));
            gap = width.saturating_sub(cell.width()) + 2;
        }
        writeln!(out, "{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(paint: Paint, pages: &[Vec<Vec<Cell>>]) -> String {
        let mut out = Vec::new();
        let mut table = Table::new(&["NAME", "STATE"]);
        for page in pages {
            table.rows(&mut out, paint, page).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let rows = vec![
            vec![Cell::new("a"), Cell::new("live")],
            vec![Cell::new("longer"), Cell::new("")],
        ];
        assert_eq!(
            written(Paint::OFF, &[rows]),
            "NAME    STATE\na       live\nlonger  -\n"
        );
    }

    #[test]
    fn the_header_is_written_once_and_only_with_rows() {
        let page = || vec![vec![Cell::new("a"), Cell::new("b")]];
        assert_eq!(
            written(Paint::OFF, &[vec![], page(), page()]),
            "NAME  STATE\na     b\na     b\n"
        );
        assert_eq!(written(Paint::OFF, &[vec![]]), "");
    }

    #[test]
    fn cells_drive_no_terminal() {
        let rows = vec![vec![
            Cell::new("a\x1b[2J\u{9b}31m\u{202e}"),
            Cell::new("x\ny"),
        ]];
        let text = written(Paint::OFF, &[rows]);
        assert!(
            text.contains("a\\x1b[2J\\xc2\\x9b31m\\xe2\\x80\\xae"),
            "{text}"
        );
        assert!(text.contains("x\\x0ay"), "{text}");
    }

    #[test]
    fn colour_does_not_move_the_columns() {
        let rows = vec![vec![Cell::new("a").tone(Tone::Bad), Cell::new("b")]];
        let text = written(Paint::ON, &[rows]);
        assert!(text.contains("\x1b[31ma\x1b[0m     b"), "{text:?}");
    }
}
