//! Columns for programs that read text: RFC 4180, lines ended by LF.
//!
//! What is escaped for terminals stays escaped: a line is a row. A field that
//! a spreadsheet would take for a formula gets an apostrophe before it, since
//! names come from hosts and may be anything.

use std::io::{self, Write};

use super::table::{Cell, Table};

/// Writes the names of the columns.
///
/// # Errors
/// As writing does.
pub fn header(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    let names = table
        .names()
        .map(|name| name.to_lowercase().replace(' ', "_"));
    line(out, names)
}

/// Writes one row.
///
/// # Errors
/// As writing does.
pub fn row(out: &mut dyn Write, cells: &[Cell]) -> io::Result<()> {
    line(out, cells.iter().map(|cell| cell.value().to_owned()))
}

fn line(out: &mut dyn Write, fields: impl Iterator<Item = String>) -> io::Result<()> {
    let fields: Vec<String> = fields.map(|field| quoted(&field)).collect();
    writeln!(out, "{}", fields.join(","))
}

fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@']);
    let field = if formula {
        format!("'{field}")
    } else {
        field.to_owned()
    };
    if field.contains([',', '"']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be_and_no_formula_goes_out() {
        let mut out = Vec::new();
        header(&mut out, &Table::new(&["TIME", "WHY NOT"])).unwrap();
        let cells = ["a", "", "b, \"c\"", "=1+2", "two\nlines"].map(Cell::new);
        row(&mut out, &cells).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "time,why_not\na,,\"b, \"\"c\"\"\",'=1+2,two\\x0alines\n"
        );
    }
}
