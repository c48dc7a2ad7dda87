//! Markdown: texts, tables and fences that no content can break out of.

use crate::{
    printable::one_line,
    quantity,
    table::{Align, Table},
};

/// GitHub refuses a comment of 65,536 characters; the difference is left to the text around it.
const CHARACTERS_MAX: usize = 59_000;
/// Characters of a cell: one hostile reason must not push the verdict out of sight.
const CELL_CHARACTERS_MAX: usize = 200;

/// The sections in their order of weight, as many as fit.
pub(crate) fn assemble(sections: &[String]) -> String {
    let mut text = String::new();
    let mut left_out = 0;
    for section in sections.iter().filter(|section| !section.is_empty()) {
        if text.chars().count() + section.chars().count() + 1 < CHARACTERS_MAX {
            text.push_str(section);
            text.push('\n');
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        text.push_str(&format!(
            "{} left out to fit the size of a comment: see report.html.\n",
            quantity::counted(left_out, "section")
        ));
    }
    text
}

/// The first rows of a table. `left_out` more rows were cut off before; `data_file` has all of
/// them.
pub(crate) fn table(table: &Table, rows_max: usize, left_out: usize, data_file: &str) -> String {
    let titles: Vec<_> = table.columns.iter().map(|column| column.title.as_ref()).collect();
    let rules: Vec<_> = table.columns.iter().map(|column| rule(column.align)).collect();
    let mut text = format!("| {} |\n| {} |\n", titles.join(" | "), rules.join(" | "));
    let (rows, more) = table.first(rows_max);
    for row in rows {
        let cells: Vec<_> = row.iter().map(|shown| cell(&shown.text)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    if more + left_out > 0 {
        let more = quantity::counted((more + left_out) as u64, "more row");
        text.push_str(&format!("\n{more} in {data_file}.\n"));
    }
    text
}

fn rule(align: Align) -> &'static str {
    match align {
        Align::Left => "---",
        Align::Right => "--:",
    }
}

/// Text that stays text: on one line, not too long, with everything escaped that Markdown or HTML
/// would read.
pub(crate) fn cell(text: &str) -> String {
    cell_of(text, CELL_CHARACTERS_MAX)
}

/// The same, with another length.
pub(crate) fn cell_of(text: &str, characters_max: usize) -> String {
    let mut escaped = String::new();
    for (index, character) in one_line(text).chars().enumerate() {
        if index == characters_max {
            escaped.push('…');
            break;
        }
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '[' | ']' | '~' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A name in a code span, which its own backticks cannot leave.
pub(crate) fn code(text: &str) -> String {
    format!("`{}`", one_line(text).replace('`', " "))
}

/// A command in a fence, which its own backticks cannot close.
pub(crate) fn fenced(text: &str) -> String {
    let mut fence = String::from("```");
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}sh\n{}\n{fence}", one_line(text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_leave_its_table() {
        assert_eq!(cell("a|b\n<img> `c`"), "a\\|b\\\\n&lt;img&gt; \\`c\\`");
        assert_eq!(cell(&"x".repeat(300)).chars().count(), CELL_CHARACTERS_MAX + 1);
    }

    #[test]
    fn a_command_cannot_leave_its_fence() {
        assert_eq!(fenced("a ``` b"), "````sh\na ``` b\n````");
    }

    #[test]
    fn sections_that_do_not_fit_are_counted() {
        let text = assemble(&["first".to_owned(), "x".repeat(CHARACTERS_MAX), "last".to_owned()]);
        assert_eq!(
            text,
            "first\nlast\n1 section left out to fit the size of a comment: see report.html.\n"
        );
    }
}
