//! Markdown: a summary that fits into a comment on a pull request.

use slotproof_vocabulary::{Finding, Verdict, Witness};

use crate::{
    evidence, measurements, quantity, run_context,
    run_report::RunReport,
    table::{Align, Table},
    verdict_text,
};

/// GitHub refuses a comment of 65,536 characters; the rest is left to whoever posts it.
const CHARACTERS_MAX: usize = 59_000;
/// Characters of a cell: one hostile reason must not push the verdict out of sight.
const CELL_CHARACTERS_MAX: usize = 200;
/// Rows of a witness.
const WITNESS_ROWS_MAX: usize = 20;
/// Rows of any other table.
pub(crate) const ROWS_MAX: usize = 40;
/// Witnesses that are shown: the first ones, which are the first.
const WITNESSES_MAX: usize = 3;

pub(crate) fn render(report: &RunReport) -> String {
    let mut sections = vec![head(report), table(&verdict_text::table(report), ROWS_MAX)];
    sections.extend(verdict_text::witnessed(report).take(WITNESSES_MAX).map(witness));
    sections.push(format!("### Latency\n\n{}", latency(report)));
    sections
        .push(format!("### Environment\n\n{}", table(&run_context::environment(report), ROWS_MAX)));
    sections.push(servers(report));
    assemble(&sections)
}

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
            "Left out to fit here: {}. report.html has all.\n",
            quantity::counted(left_out, "section")
        ));
    }
    text
}

fn head(report: &RunReport) -> String {
    let (sign, totals) = (sign(report.verdict.verdict), &report.totals);
    format!(
        "## {sign} {}: {} on {}\n\n{}\n\n{}, {} of {}, {} in {}, {} reserves \
         acknowledged per second.\n\nRun {}. Repeat it:\n\n{}\n",
        report.verdict.verdict.name(),
        verdict_text::strategy(report),
        report.plan.scenario,
        cell(&verdict_text::headline(report)),
        quantity::counted(report.plan.clients().into(), "client"),
        quantity::counted(report.plan.slots.into(), "slot"),
        quantity::counted(report.plan.capacity.into(), "seat"),
        quantity::counted(totals.operations, "operation"),
        quantity::duration_ms(totals.elapsed_ms),
        quantity::rate(totals.reserved_per_s),
        code(&report.run),
        fenced(&report.repeat_command),
    )
}

fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Upheld => "✅",
        Verdict::Unknown => "❔",
        Verdict::Violated => "❌",
    }
}

fn witness(finding: &Finding) -> String {
    let Some(witness) = &finding.witness else { return String::new() };
    format!(
        "### Witness of {}\n\nSlot {}. {}\n{}{}{}",
        finding.invariant,
        cell(&witness.slot),
        cell(&verdict_text::sentence(&witness.explanation)),
        instant(witness),
        witness_table("Operations", &evidence::operations(witness)),
        witness_table("Audit records", &evidence::records(witness))
            + &witness_table("Final rows", &evidence::rows(witness)),
    )
}

fn instant(witness: &Witness) -> String {
    let since = |instant| quantity::instant_ms(instant, evidence::origin_ns(witness));
    let line = |instant| {
        format!("It shows at {} ms after the first of these operations was sent.\n", since(instant))
    };
    witness.instant_ns.map(line).unwrap_or_default()
}

fn witness_table(title: &str, rows: &Table) -> String {
    if rows.rows.is_empty() {
        String::new()
    } else {
        format!("\n{title}:\n\n{}", table(rows, WITNESS_ROWS_MAX))
    }
}

fn latency(report: &RunReport) -> String {
    if report.latency.is_empty() {
        return "No operation was recorded.\n".to_owned();
    }
    let note = "Response counts from the schedule, service from the socket.";
    format!("{}\n{note}\n", table(&measurements::latency_table(report), ROWS_MAX))
}

fn servers(report: &RunReport) -> String {
    let line = |name: &str, version: &str, settings: &[String]| {
        format!("- {} {}: {}\n", cell(name), cell(version), cell(&settings.join(", ")))
    };
    report
        .environment
        .servers
        .iter()
        .map(|server| {
            let settings: Vec<_> =
                server.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            line(&server.name, &server.version, &settings)
        })
        .collect()
}

pub(crate) fn table(table: &Table, rows_max: usize) -> String {
    let titles: Vec<_> = table.columns.iter().map(|column| column.title.as_ref()).collect();
    let rules: Vec<_> = table.columns.iter().map(|column| rule(column.align)).collect();
    let mut text = format!("| {} |\n| {} |\n", titles.join(" | "), rules.join(" | "));
    let (rows, left_out) = table.first(rows_max);
    for row in rows {
        let cells: Vec<_> = row.iter().map(|text| cell(text)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    if left_out > 0 {
        text.push_str(&format!(
            "\n{} more rows are in verdict.json.\n",
            quantity::count(left_out as u64)
        ));
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
    for (index, character) in text.chars().enumerate() {
        if index == characters_max {
            escaped.push('…');
            break;
        }
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '|' | '\\' | '`' | '*' | '[' | ']' | '~' => escaped.extend(['\\', character]),
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A name in a code span, which its own backticks cannot leave.
pub(crate) fn code(text: &str) -> String {
    format!("`{}`", text.replace(|character: char| character == '`' || character.is_control(), " "))
}

/// A command in a fence, which its own backticks cannot close.
pub(crate) fn fenced(text: &str) -> String {
    let mut fence = String::from("```");
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}sh\n{}\n{fence}", text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_leave_its_table() {
        assert_eq!(cell("a|b\n<img> `c`"), "a\\|b &lt;img&gt; \\`c\\`");
        assert_eq!(cell(&"x".repeat(300)).chars().count(), CELL_CHARACTERS_MAX + 1);
    }

    #[test]
    fn a_command_cannot_leave_its_fence() {
        assert_eq!(fenced("a ``` b"), "````sh\na ``` b\n````");
    }

    #[test]
    fn sections_that_do_not_fit_are_counted() {
        let text = assemble(&["first".to_owned(), "x".repeat(CHARACTERS_MAX), "last".to_owned()]);
        assert_eq!(text, "first\nlast\nLeft out to fit here: 1 section. report.html has all.\n");
    }
}
