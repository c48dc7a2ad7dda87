//! A document as a comment on a pull request, without its plots: the answer first, then what fits.

use super::data::{Document, Origin, Section, TitledTable};
use crate::markdown;

/// Characters of a paragraph.
const PARAGRAPH_CHARACTERS_MAX: usize = 2_000;
/// Rows of a table.
const ROWS_MAX: usize = 100;

impl Document {
    /// The document as a comment on a pull request, without its plots.
    pub fn markdown(&self) -> String {
        let mut parts = vec![self.head()];
        parts.extend(self.sections.iter().filter(|section| section.has_text()).map(|section| {
            let tables: String =
                section.tables.iter().map(|table| self.titled_table(table)).collect();
            let text =
                format!("### {}\n\n{}{tables}", markdown::cell(&section.title), prose(section));
            format!("{}\n", text.trim_end())
        }));
        markdown::assemble(&parts)
    }

    fn head(&self) -> String {
        let facts: Vec<String> =
            self.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let lines = [self.headline.clone(), self.subtitle.clone(), facts.join("; ")];
        let lines = lines.iter().filter(|line| !line.is_empty());
        let lines: Vec<String> = lines.map(|line| paragraph(line)).collect();
        let head = format!(
            "## {}{}: {}\n\n{}{}",
            self.tone.sign(),
            self.outcome,
            markdown::cell(&self.title),
            lines.concat(),
            self.origin.as_ref().map(origin).unwrap_or_default()
        );
        format!("{}\n", head.trim_end())
    }

    fn titled_table(&self, titled: &TitledTable) -> String {
        let title = match titled.title.as_str() {
            "" => String::new(),
            title => format!("{}:\n\n", markdown::cell(title)),
        };
        let table = markdown::table(&titled.table, ROWS_MAX, titled.left_out, self.data_file);
        format!("{title}{table}\n")
    }
}

fn origin(origin: &Origin) -> String {
    let name = match origin.name.as_str() {
        "" => String::new(),
        name => format!("Run {}. ", markdown::code(name)),
    };
    format!("{name}Repeat it with:\n\n{}\n", markdown::fenced(&origin.repeat_command))
}

fn prose(section: &Section) -> String {
    let paragraphs: String = section.paragraphs.iter().map(|text| paragraph(text)).collect();
    let item = |text: &String| format!("- {}\n", markdown::cell_of(text, PARAGRAPH_CHARACTERS_MAX));
    let items: String = section.items.iter().map(item).collect();
    let end = if items.is_empty() { "" } else { "\n" };
    format!("{paragraphs}{items}{end}")
}

fn paragraph(text: &str) -> String {
    format!("{}\n\n", markdown::cell_of(text, PARAGRAPH_CHARACTERS_MAX))
}
