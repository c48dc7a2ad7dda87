//! Documents: reports about more than one run. What a comparison, a capacity search, a gate and an
//! index have in common is said here once: a verdict, a few facts, and sections of words, tables
//! and plots. Each builds a document, and the document is written as HTML or Markdown.

use askama::Template;

use crate::{
    markdown,
    plots::Figure,
    render_error::RenderError,
    table::{Column, Table},
};

/// What the banner says, and in which tone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Uncertain,
}

impl Tone {
    /// The class of the stylesheet, which is a verdict.
    fn class(self) -> &'static str {
        match self {
            Self::Good => "upheld",
            Self::Bad => "violated",
            Self::Uncertain => "unknown",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Good => "✅",
            Self::Bad => "❌",
            Self::Uncertain => "❔",
        }
    }
}

/// A report in parts.
pub struct Document {
    pub(crate) kicker: &'static str,
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) tone: Tone,
    /// One word or two: the answer.
    pub(crate) word: String,
    /// One sentence: what stands behind it.
    pub(crate) headline: String,
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) name: String,
    pub(crate) started_at: String,
    pub(crate) repeat_command: String,
    pub(crate) sections: Vec<Section>,
    pub(crate) made_by: String,
}

/// A part of a document.
#[derive(Default)]
pub(crate) struct Section {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) paragraphs: Vec<String>,
    pub(crate) items: Vec<String>,
    pub(crate) tables: Vec<Titled>,
    pub(crate) figures: Vec<Figure>,
}

/// A table with its title; a cell that is a relative path of a page becomes a link to it.
pub(crate) struct Titled {
    pub(crate) title: String,
    pub(crate) table: Table,
}

impl Section {
    pub(crate) fn new(id: impl Into<String>, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), ..Self::default() }
    }

    pub(crate) fn says_something(&self) -> bool {
        !(self.paragraphs.is_empty()
            && self.items.is_empty()
            && self.tables.is_empty()
            && self.figures.is_empty())
    }

    pub(crate) fn say(mut self, paragraph: impl Into<String>) -> Self {
        self.paragraphs.push(paragraph.into());
        self
    }

    pub(crate) fn list(mut self, items: impl IntoIterator<Item = String>) -> Self {
        self.items.extend(items);
        self
    }

    pub(crate) fn table(mut self, title: impl Into<String>, table: Table) -> Self {
        if !table.rows.is_empty() {
            self.tables.push(Titled { title: title.into(), table });
        }
        self
    }

    pub(crate) fn figure(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }
}

#[derive(Template)]
#[template(path = "document.html")]
struct Page<'a> {
    document: &'a Document,
    style: &'static str,
}

impl Page<'_> {
    fn class(&self, column: &Column, cell: &str) -> &'static str {
        match cell {
            "upheld" | "supported" | "passed" | "met" | "holds" => "upheld verdict",
            "violated" | "refuted" | "disqualified" | "failed" | "missed" | "fails" => {
                "violated verdict"
            }
            "unknown"
            | "not measurable here"
            | "no significant difference"
            | "the generator ended it" => "unknown verdict",
            cell if Self::link(cell) => "link",
            _ => column.class(),
        }
    }

    /// The directory that a link leads to.
    fn link_text(cell: &str) -> &str {
        cell.trim_end_matches("/report.html")
    }

    fn link(cell: &str) -> bool {
        cell.ends_with(".html")
            && !cell.contains(':')
            && !cell.starts_with('/')
            && !cell.contains("..")
    }
}

impl Document {
    /// The document as one file that needs no network, no font and no script.
    ///
    /// # Errors
    /// The template did not become HTML.
    pub fn html(&self) -> Result<Vec<u8>, RenderError> {
        Ok(Page { document: self, style: include_str!("../templates/report.css") }
            .render()?
            .into_bytes())
    }

    /// The document as a comment on a pull request, without its plots.
    pub fn markdown(&self) -> String {
        let mut sections = vec![format!(
            "## {} {}: {}\n\n{}\n",
            self.tone.sign(),
            self.word,
            markdown::cell(&self.title),
            markdown::cell(&self.headline)
        )];
        for section in &self.sections {
            let mut text = format!("### {}\n\n", section.title);
            for paragraph in &section.paragraphs {
                text.push_str(&format!("{}\n\n", markdown::cell_of(paragraph, 2_000)));
            }
            for item in &section.items {
                text.push_str(&format!("- {}\n", markdown::cell_of(item, 2_000)));
            }
            if !section.items.is_empty() {
                text.push('\n');
            }
            for titled in &section.tables {
                text.push_str(&markdown::table(&titled.table, markdown::ROWS_MAX));
                text.push('\n');
            }
            let said = !section.paragraphs.is_empty()
                || !section.items.is_empty()
                || !section.tables.is_empty();
            sections.extend(said.then_some(text));
        }
        if !self.repeat_command.is_empty() {
            sections.push(format!(
                "{}. Repeat it:\n\n{}\n",
                markdown::code(&self.name),
                markdown::fenced(&self.repeat_command)
            ));
        }
        markdown::assemble(&sections)
    }
}
