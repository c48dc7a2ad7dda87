//! What a person sees while a run goes on: bars on a terminal, plain lines elsewhere. Always on
//! stderr.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use slotproof_scenarios::{Event, Progress, engine::Phase};
use slotproof_vocabulary::{LoadTotals, Outcome, Plan, Verdict, VerdictReport};

/// Without a terminal, progress is a line this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    Bars,
    Lines,
    /// Lines, and for programs every event as JSON on standard output.
    Events,
    /// Nothing: somebody else says what is going on.
    Silent,
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
            Self::Lines | Self::Events | Self::Silent => ProgressBar::hidden(),
        };
        Step { voice: self, what, bar, begun: Instant::now() }
    }

    /// Says something.
    pub(crate) fn say(self, what: &str) {
        if self != Self::Silent {
            note!("  {what}");
        }
    }

    /// Shows the load of a plan.
    pub(crate) fn load(self, plan: &Plan) -> LoadBar {
        let lasts_ms = plan.warm_up.ms() + plan.duration().ms();
        let bar = match self {
            Self::Bars => {
                let style = ProgressStyle::with_template("  {prefix} {bar:20} {wide_msg}");
                ProgressBar::new(lasts_ms).with_style(style.expect("the template is valid"))
            }
            Self::Lines | Self::Events | Self::Silent => ProgressBar::hidden(),
        };
        LoadBar { voice: self, bar, lasts_ms, last_line: None, before: Progress::default() }
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
        let separator = if result.is_empty() { "" } else { ": " };
        self.voice.say(&format!(
            "{}{separator}{result} ({:.1} s)",
            self.what,
            self.begun.elapsed().as_secs_f64()
        ));
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
    lasts_ms: u64,
    last_line: Option<Instant>,
    /// What was shown last: rates are of the time since then.
    before: Progress,
}

impl LoadBar {
    pub(crate) fn update(&mut self, progress: &Progress) {
        if self.voice == Voice::Events {
            let event = serde_json::to_string(&Event::Progress(progress.clone()));
            out!("{}", event.expect("an event is numbers and names"));
        }
        if self.voice == Voice::Silent {
            return;
        }
        let due = self.voice == Voice::Bars
            || self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if !due || progress.elapsed_ms <= self.before.elapsed_ms {
            return;
        }
        let text = describe(&self.before, progress);
        self.bar.set_prefix(phase(progress.phase));
        self.bar.set_position(progress.elapsed_ms.min(self.lasts_ms));
        self.bar.set_message(text.clone());
        if self.voice != Voice::Bars {
            note!(
                "  {} {:.1} of {:.1} s: {text}",
                phase(progress.phase),
                progress.elapsed_ms as f64 / 1e3,
                self.lasts_ms as f64 / 1e3
            );
        }
        self.last_line = Some(Instant::now());
        self.before = progress.clone();
    }

    pub(crate) fn done(self) {
        self.bar.finish_and_clear();
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Hatching => "hatching",
        Phase::WarmUp => "warm-up",
        Phase::Load => "load",
        Phase::Drain => "drain",
    }
}

fn describe(before: &Progress, now: &Progress) -> String {
    let elapsed_ms = (now.elapsed_ms - before.elapsed_ms).max(1);
    let per_s = |count: u64| count * 1_000 / elapsed_ms;
    let operations = |progress: &Progress| progress.outcomes.values().sum::<u64>();
    let mut text = String::new();
    if let (Some(due), Some(made)) = (now.arrivals_due, now.arrivals_made) {
        let new =
            |now: u64, before: Option<u64>| per_s(now.saturating_sub(before.unwrap_or_default()));
        let (asked, came) = (new(due, before.arrivals_due), new(made, before.arrivals_made));
        text.push_str(&format!(
            "{asked}/s asked, {came}/s made, {} waiting; ",
            due.saturating_sub(made)
        ));
    }
    text.push_str(&format!(
        "{} operations/s",
        per_s(operations(now).saturating_sub(operations(before)))
    ));
    if now.response_us_p99 > 0 {
        let ms = |us: u64| us as f64 / 1e3;
        text.push_str(&format!(
            ", response p50 {:.1} ms, p99 {:.1} ms",
            ms(now.response_us_p50),
            ms(now.response_us_p99)
        ));
    }
    for outcome in Outcome::ALL {
        match now.outcomes.get(&outcome) {
            Some(count) if *count > 0 => text.push_str(&format!(", {count} {}", outcome.name())),
            _ => {}
        }
    }
    if let Some(seats_left) = now.seats_left {
        text.push_str(&format!(", {seats_left} seats left"));
    }
    if now.overbooked_slots > 0 {
        text.push_str(&format!(", OVERBOOKED: {} slot(s)", now.overbooked_slots));
    }
    text
}

/// A load that has ended, in a line.
pub(crate) fn describe_totals(totals: &LoadTotals) -> String {
    let operations = format!("{} operations", totals.operations);
    match &totals.arrivals {
        None => operations,
        Some(arrivals) => format!(
            "{operations}; arrivals: {:.1}/s asked, {:.1}/s made ({} of {}), at most {} waiting for a client",
            arrivals.asked_per_s,
            arrivals.made_per_s,
            arrivals.made,
            arrivals.asked,
            arrivals.waiting_max
        ),
    }
}

/// The verdict as a table.
pub(crate) fn print_verdict(verdict: &VerdictReport) {
    for finding in &verdict.findings {
        note!("  {:<4} {:<9} {}", finding.invariant.to_string(), finding.verdict, finding.summary);
    }
    let first = verdict.findings.iter().find(|finding| finding.verdict == Verdict::Violated);
    if let Some(witness) = first.and_then(|finding| finding.witness.as_ref()) {
        note!("\n  witness: {}", witness.explanation);
        for shown in witness.operations.iter().take(5) {
            let operation = &shown.operation;
            let booking = operation.seen.booking.as_deref().unwrap_or("-");
            note!(
                "    line {:<8} client {:<6} {} {} booking {booking}",
                shown.line,
                operation.client,
                operation.action.name(),
                operation.outcome.name()
            );
        }
        if witness.operations.len() > 5 {
            note!("    and {} more in the report", witness.operations.len() - 5);
        }
    }
    note!("\n  verdict: {}", verdict.verdict);
}
