//! Tables: built once from the report, written by each format in its own way.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
};

use slotproof_vocabulary::Verdict;

use crate::{printable::one_line, quantity, tone::Tone};

/// A table of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<TableCell>>,
}

/// A text in a table, and what kind of text it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableCell {
    pub(crate) text: String,
    kind: CellKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellKind {
    /// Looks as its column does.
    Plain,
    /// An outcome.
    Outcome(Tone),
    /// The address of a report's page, relative to this one.
    Page,
}

impl TableCell {
    /// An outcome in a word or two.
    pub(crate) fn outcome(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: CellKind::Outcome(tone) }
    }

    /// A verdict by its name.
    pub(crate) fn verdict(verdict: Verdict) -> Self {
        Self::outcome(verdict.into(), verdict.name())
    }

    /// The page of the report in a directory beside this page. A name that would lead elsewhere
    /// stays text.
    pub(crate) fn page_of(directory: &str) -> Self {
        let safe = !directory.contains([':', '\\'])
            && !directory.starts_with('/')
            && !directory.contains("..");
        let kind = if safe { CellKind::Page } else { CellKind::Plain };
        Self { text: format!("{directory}/{}", Self::PAGE), kind }
    }

    /// The file name of a report's page.
    const PAGE: &str = "report.html";

    /// The class that the stylesheet knows it by.
    pub(crate) fn class(&self, column: &Column) -> &'static str {
        match self.kind {
            CellKind::Plain => column.class(),
            CellKind::Outcome(tone) => tone.cell_class(),
            CellKind::Page => "link",
        }
    }

    /// The directory that a page lies in; `None` of what is no page.
    pub(crate) fn directory(&self) -> Option<&str> {
        let directory = self.text.strip_suffix(Self::PAGE)?.trim_end_matches('/');
        (self.kind == CellKind::Page).then_some(directory)
    }
}

impl From<String> for TableCell {
    fn from(text: String) -> Self {
        Self { text, kind: CellKind::Plain }
    }
}

impl From<&str> for TableCell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl fmt::Display for TableCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A column and the side that its texts keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) title: Cow<'static, str>,
    pub(crate) align: Align,
}

/// Words keep left, numbers keep right so that their digits line up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A column of words.
pub(crate) fn words(title: impl Into<Cow<'static, str>>) -> Column {
    Column { title: title.into(), align: Align::Left }
}

/// A column of numbers.
pub(crate) fn numbers(title: impl Into<Cow<'static, str>>) -> Column {
    Column { title: title.into(), align: Align::Right }
}

impl Column {
    /// The class that the stylesheet aligns by.
    pub(crate) fn class(&self) -> &'static str {
        match self.align {
            Align::Left => "words",
            Align::Right => "numbers",
        }
    }
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn push<C: Into<TableCell>>(&mut self, row: Vec<C>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    /// The first `most` rows, and how many rows there are beyond them.
    pub(crate) fn first(&self, most: usize) -> (&[Vec<TableCell>], usize) {
        let shown = self.rows.len().min(most);
        (&self.rows[..shown], self.rows.len() - shown)
    }

    /// The table in aligned plain text, its first `most` rows.
    pub(crate) fn text(&self, most: usize) -> String {
        let (rows, left_out) = self.first(most);
        let titles: Vec<&str> = self.columns.iter().map(|column| column.title.as_ref()).collect();
        let texts: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| one_line(&cell.text)).collect()).collect();
        let texts = texts.iter().map(|row| row.iter().map(String::as_str).collect());
        let lines: Vec<Vec<&str>> = std::iter::once(titles).chain(texts).collect();
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for cells in &lines {
            let mut line = String::new();
            for ((cell, column), width) in cells.iter().zip(&self.columns).zip(&widths) {
                match column.align {
                    Align::Left => write!(line, "{cell:<width$}  "),
                    Align::Right => write!(line, "{cell:>width$}  "),
                }
                .expect("writing to a string cannot fail");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        if left_out > 0 {
            let more = quantity::counted(left_out as u64, "more row");
            writeln!(text, "({more} in verdict.json)").expect("writing to a string cannot fail");
        }
        text
    }

    /// The whole table as CSV (RFC 4180, lines ended by a line feed).
    pub(crate) fn csv(&self) -> String {
        let titles: Vec<_> = self.columns.iter().map(|column| field(&column.title)).collect();
        let mut csv = titles.join(",");
        csv.push('\n');
        for row in &self.rows {
            let fields: Vec<_> = row.iter().map(|cell| field(&cell.text)).collect();
            csv.push_str(&fields.join(","));
            csv.push('\n');
        }
        csv
    }

    /// The CSV as a `data:` address, so that the report's one file carries it.
    pub(crate) fn data_uri(&self) -> String {
        let mut uri = String::from("data:text/csv;charset=utf-8,");
        for byte in self.csv().bytes() {
            match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b',' | b'.' | b'-' | b'_' | b':' => {
                    uri.push(byte.into())
                }
                other => write!(uri, "%{other:02X}").expect("writing to a string cannot fail"),
            }
        }
        uri
    }
}

/// Quoted where RFC 4180 wants it, and never a formula to a spreadsheet.
fn field(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '@'])
        || (cell.starts_with('-') && cell.parse::<f64>().is_err());
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[words("slot"), numbers("seats")]);
        table.push(vec!["monday \"9\", early", "-3"]);
        table.push(vec!["=cmd()", "40"]);
        table
    }

    #[test]
    fn a_cell_is_coloured_by_its_kind_and_never_by_its_text() {
        let column = words("name");
        assert_eq!(TableCell::from("violated").class(&column), column.class());
        assert_eq!(TableCell::outcome(Tone::Bad, "2 missed").class(&column), "violated verdict");
        assert_eq!(TableCell::from("evil/report.html").directory(), None);
    }

    #[test]
    fn only_a_directory_beside_the_page_is_linked() {
        assert_eq!(TableCell::page_of("run-1").directory(), Some("run-1"));
        for elsewhere in ["https://x", "javascript:x", "/etc", "../up", "a/../../b"] {
            assert_eq!(TableCell::page_of(elsewhere).directory(), None, "{elsewhere}");
        }
    }

    #[test]
    fn csv_quotes_what_needs_it_and_disarms_formulas() {
        assert_eq!(table().csv(), "slot,seats\n\"monday \"\"9\"\", early\",-3\n'=cmd(),40\n");
    }

    #[test]
    fn a_data_uri_holds_no_character_that_ends_an_attribute() {
        assert_eq!(
            table().data_uri(),
            "data:text/csv;charset=utf-8,slot,seats%0A%22monday%20%22%229%22%22,%20early%22,-3%0A%27%3Dcmd%28%29,40%0A"
        );
    }

    #[test]
    fn text_lines_its_columns_up_and_says_what_it_leaves_out() {
        assert_eq!(
            table().text(1),
            "slot                seats\nmonday \"9\", early     -3\n(1 more row in verdict.json)\n"
                .replace("slot                seats", "slot               seats")
        );
    }
}
