//! What a person sees while an experiment goes on: bars on a terminal, plain lines elsewhere.
//! Always on stderr.

use std::{
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use slotproof_experiments::progress;
use slotproof_reports::{RunReport, quantity};
use slotproof_scenarios::{Event, Progress, engine::Phase};
use slotproof_vocabulary::{Outcome, Plan, Verdict, VerdictReport};

/// Without a terminal, the load's progress is a line this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputMode {
    /// Bars that change in place.
    Bars,
    /// Lines of text.
    Lines,
    /// Lines of text, and for programs every event of the load as JSON on standard output.
    Events,
}

/// Shows the progress of an experiment.
pub(crate) struct Console {
    mode: OutputMode,
    shown: Mutex<Shown>,
}

/// What is on the screen.
#[derive(Default)]
struct Shown {
    step: Option<ProgressBar>,
    load: Option<LoadBar>,
}

impl Console {
    pub(crate) fn new(mode: OutputMode) -> Self {
        Self { mode, shown: Mutex::default() }
    }

    /// Bars if stderr is a terminal, else lines.
    pub(crate) fn of_stderr() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self::new(if terminal { OutputMode::Bars } else { OutputMode::Lines })
    }
}

impl progress::Progress for Console {
    fn show(&self, event: progress::Event<'_>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            progress::Event::Line(text) => note!("{text}"),
            progress::Event::StepBegun { what } => {
                shown.step = (self.mode == OutputMode::Bars).then(|| spinner(what));
            }
            progress::Event::StepEnded { what, result, took } => {
                if let Some(bar) = shown.step.take() {
                    bar.finish_and_clear();
                }
                if let Some(result) = result {
                    let separator = if result.is_empty() { "" } else { ": " };
                    note!("  {what}{separator}{result} ({:.1} s)", took.as_secs_f64());
                }
            }
            progress::Event::LoadBegun(plan) => shown.load = Some(LoadBar::new(self.mode, plan)),
            progress::Event::Load(now) => {
                if let Some(load) = &mut shown.load {
                    load.update(now);
                }
            }
            progress::Event::LoadEnded => {
                if let Some(load) = shown.load.take() {
                    load.bar.finish_and_clear();
                }
            }
        }
    }
}

fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// The load's progress.
struct LoadBar {
    mode: OutputMode,
    bar: ProgressBar,
    lasts_ms: u64,
    last_line: Option<Instant>,
    /// What was shown last: rates are of the time since then.
    before: Progress,
}

impl LoadBar {
    fn new(mode: OutputMode, plan: &Plan) -> Self {
        let lasts_ms = plan.warm_up.ms() + plan.duration().ms();
        let bar = match mode {
            OutputMode::Bars => {
                let style = ProgressStyle::with_template("  {prefix} {bar:20} {wide_msg}");
                ProgressBar::new(lasts_ms).with_style(style.expect("the template is valid"))
            }
            OutputMode::Lines | OutputMode::Events => ProgressBar::hidden(),
        };
        Self { mode, bar, lasts_ms, last_line: None, before: Progress::default() }
    }

    fn update(&mut self, progress: &Progress) {
        if self.mode == OutputMode::Events {
            let event = serde_json::to_string(&Event::Progress(progress.clone()));
            out!("{}", event.expect("an event is numbers and names"));
        }
        let bars = self.mode == OutputMode::Bars;
        let due = bars || self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if !due || progress.elapsed_ms <= self.before.elapsed_ms {
            return;
        }
        let text = describe(&self.before, progress);
        self.bar.set_prefix(phase(progress.phase));
        self.bar.set_position(progress.elapsed_ms.min(self.lasts_ms));
        self.bar.set_message(text.clone());
        if !bars {
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
    if now.errors > 0 {
        let share = now.errors as f64 / operations(now).max(1) as f64;
        text.push_str(&format!(", {} without a decision", quantity::share(share)));
    }
    if let Some(seats_left) = now.seats_left {
        text.push_str(&format!(", {seats_left} seats left"));
    }
    if now.overbooked_slots > 0 {
        text.push_str(&format!(", OVERBOOKED: {} slot(s)", now.overbooked_slots));
    }
    text
}

/// Objectives that were missed, and the processes that served nobody.
pub(crate) fn print_missed(report: &RunReport) {
    for objective in report.missed() {
        note!(
            "  objective missed: {}: {}, limit {}",
            objective.name,
            objective.measured,
            objective.limit
        );
    }
    for replica in report.totals.errors.by_replica.iter().filter(|replica| replica.is_down()) {
        note!("  {} served no operation", replica.address);
    }
}

/// The verdict as a table.
pub(crate) fn print_verdict(verdict: &VerdictReport) {
    for finding in &verdict.findings {
        note!("  {:<4} {:<9} {}", finding.invariant.to_string(), finding.verdict, finding.summary);
    }
    let first = verdict.findings.iter().find(|finding| finding.verdict == Verdict::Violated);
    if let Some(witness) = first.and_then(|finding| finding.witness.as_ref()) {
        note!();
        note!("  witness: {}", witness.explanation);
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
    let not_judged: Vec<String> = verdict.not_judged.iter().map(ToString::to_string).collect();
    if !not_judged.is_empty() {
        note!("  not judged, for lack of evidence: {}", not_judged.join(", "));
    }
    note!();
    let as_told = if verdict.is_as_told() { " as far as clients were told" } else { "" };
    note!("  verdict: {}{as_told}", verdict.verdict);
}
