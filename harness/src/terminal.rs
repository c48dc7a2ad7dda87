//! What a person sees while a run goes on: bars on a terminal, plain lines elsewhere. Always on stderr.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use slotproof_scenarios::Progress;
use slotproof_vocabulary::{Outcome, Verdict, VerdictReport};

/// Without a terminal, progress is a line this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    Bars,
    Lines,
}

impl Voice {
    pub(crate) fn of_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Bars } else { Self::Lines }
    }

    /// Says what is being done, until the answer is dropped or finished.
    pub(crate) fn step(self, what: impl Into<String>) -> Step {
        let what = what.into();
        let bar = match self {
            Self::Bars => {
                let bar = ProgressBar::new_spinner().with_message(what.clone());
                bar.enable_steady_tick(Duration::from_millis(100));
                bar
            }
            Self::Lines => ProgressBar::hidden(),
        };
        Step { voice: self, what, bar, begun: Instant::now() }
    }

    /// Shows a load that lasts `duration_ms`.
    pub(crate) fn load(self, duration_ms: u64) -> LoadBar {
        let bar = match self {
            Self::Bars => {
                let style = ProgressStyle::with_template("  load {bar:30} {msg}");
                ProgressBar::new(duration_ms).with_style(style.expect("the template is valid"))
            }
            Self::Lines => ProgressBar::hidden(),
        };
        LoadBar { voice: self, bar, duration_ms, last_line: None }
    }
}

/// Something that is being done.
pub(crate) struct Step {
    voice: Voice,
    what: String,
    bar: ProgressBar,
    begun: Instant,
}

impl Step {
    pub(crate) fn done(self, result: &str) {
        self.bar.finish_and_clear();
        let _ = self.voice;
        let separator = if result.is_empty() { "" } else { ": " };
        eprintln!("  {}{separator}{result} ({:.1} s)", self.what, self.begun.elapsed().as_secs_f64());
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The load's progress.
pub(crate) struct LoadBar {
    voice: Voice,
    bar: ProgressBar,
    duration_ms: u64,
    last_line: Option<Instant>,
}

impl LoadBar {
    pub(crate) fn update(&mut self, progress: &Progress) {
        let text = describe(progress);
        self.bar.set_position(progress.elapsed_ms.min(self.duration_ms));
        self.bar.set_message(text.clone());
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if self.voice == Voice::Lines && due && progress.elapsed_ms > 0 {
            self.last_line = Some(Instant::now());
            eprintln!(
                "  load {:.1} of {:.1} s: {text}",
                progress.elapsed_ms as f64 / 1e3,
                self.duration_ms as f64 / 1e3
            );
        }
    }

    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
    }
}

fn describe(progress: &Progress) -> String {
    let operations: u64 = progress.outcomes.values().sum();
    let per_s = (operations * 1_000).checked_div(progress.elapsed_ms).unwrap_or_default();
    let mut text = format!("{operations} operations, {per_s}/s");
    for outcome in Outcome::ALL {
        match progress.outcomes.get(&outcome) {
            Some(count) if *count > 0 => text.push_str(&format!(", {count} {}", outcome.name())),
            _ => {}
        }
    }
    text
}

/// The verdict as a table.
pub(crate) fn print_verdict(verdict: &VerdictReport) {
    for finding in &verdict.findings {
        eprintln!("  {:<4} {:<9} {}", finding.invariant.to_string(), finding.verdict, finding.summary);
    }
    let first = verdict.findings.iter().find(|finding| finding.verdict == Verdict::Violated);
    if let Some(witness) = first.and_then(|finding| finding.witness.as_ref()) {
        eprintln!("\n  witness: {}", witness.explanation);
        for shown in witness.operations.iter().take(5) {
            let operation = &shown.operation;
            let booking = operation.seen.booking.as_deref().unwrap_or("-");
            eprintln!(
                "    line {:<8} client {:<6} {} {} booking {booking}",
                shown.line,
                operation.client,
                operation.action.name(),
                operation.outcome.name()
            );
        }
        if witness.operations.len() > 5 {
            eprintln!("    and {} more in the report", witness.operations.len() - 5);
        }
    }
    eprintln!("\n  verdict: {}", verdict.verdict);
}
