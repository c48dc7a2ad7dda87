//! What a document consists of.

use slotproof_vocabulary::RunContext;

use crate::{header::ReportHeader, plots::Figure, quantity, table::Table, tone::Tone};

/// A report in parts.
pub struct Document {
    pub(crate) kicker: &'static str,
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) tone: Tone,
    /// One word or two: the answer.
    pub(crate) outcome: String,
    /// One sentence: what stands behind it.
    pub(crate) headline: String,
    pub(crate) facts: Vec<(String, String)>,
    /// Absent for a document that no single command makes.
    pub(crate) origin: Option<Origin>,
    pub(crate) sections: Vec<Section>,
    /// The file that the document is drawn from, and that holds the rows which it leaves out.
    pub(crate) data_file: &'static str,
    /// Who made it, and from what.
    pub(crate) made_by: String,
}

/// Which run a document is about, and how to repeat it.
pub(crate) struct Origin {
    /// The name of its directory; empty where its data does not say.
    pub(crate) name: String,
    pub(crate) started_at: String,
    pub(crate) repeat_command: String,
}

impl From<&ReportHeader> for Origin {
    fn from(header: &ReportHeader) -> Self {
        Self { name: header.name.clone(), ..Self::from(&header.context) }
    }
}

impl From<&RunContext> for Origin {
    fn from(context: &RunContext) -> Self {
        Self {
            name: String::new(),
            started_at: context.started_at.clone(),
            repeat_command: context.repeat_command.clone(),
        }
    }
}

/// A part of a document.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) paragraphs: Vec<String>,
    pub(crate) items: Vec<String>,
    pub(crate) tables: Vec<TitledTable>,
    pub(crate) figures: Vec<Figure>,
}

/// A table with its title, which may be empty.
pub(crate) struct TitledTable {
    pub(crate) title: String,
    pub(crate) table: Table,
    /// Rows that were cut off.
    pub(crate) left_out: usize,
}

impl TitledTable {
    /// How many rows were cut off: `3 more rows`.
    pub(crate) fn left_out_text(&self) -> String {
        quantity::counted(self.left_out as u64, "more row")
    }
}

impl Section {
    pub(crate) fn new(id: impl Into<String>, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), ..Self::default() }
    }

    /// Whether only its title would be shown.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_text() && self.figures.is_empty()
    }

    /// Whether anything but plots would be shown.
    pub(crate) fn has_text(&self) -> bool {
        !(self.paragraphs.is_empty() && self.items.is_empty() && self.tables.is_empty())
    }

    pub(crate) fn paragraph(mut self, paragraph: impl Into<String>) -> Self {
        self.paragraphs.push(paragraph.into());
        self
    }

    pub(crate) fn list(mut self, items: impl IntoIterator<Item = String>) -> Self {
        self.items.extend(items);
        self
    }

    /// Adds a table, unless it has no rows.
    pub(crate) fn table(self, title: impl Into<String>, table: Table) -> Self {
        self.first_rows(title, table, usize::MAX)
    }

    /// Adds the first rows of a table, unless it has none.
    pub(crate) fn first_rows(
        mut self,
        title: impl Into<String>,
        mut table: Table,
        rows_max: usize,
    ) -> Self {
        let left_out = table.rows.len().saturating_sub(rows_max);
        table.rows.truncate(rows_max);
        if !table.rows.is_empty() {
            self.tables.push(TitledTable { title: title.into(), table, left_out });
        }
        self
    }

    pub(crate) fn figure(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }
}
