//! What an experiment says while it goes on. The command line shows it to people or programs; an
//! experiment that runs inside another one is silent.

use std::time::{Duration, Instant};

use slotproof_vocabulary::Plan;

/// Something that people may want to see.
#[derive(Debug)]
pub enum Event<'a> {
    /// A line of text.
    Line(&'a str),
    /// A step begins, such as the start of the servers.
    StepBegun {
        /// What is done.
        what: &'a str,
    },
    /// The step that began last is over.
    StepEnded {
        /// What was done.
        what: &'a str,
        /// What came of it; empty if there is nothing to say. `None`: it failed, and the error says
        /// why.
        result: Option<&'a str>,
        /// How long it took.
        took: Duration,
    },
    /// A load begins.
    LoadBegun(&'a Plan),
    /// A load goes on.
    Load(&'a slotproof_scenarios::Progress),
    /// The load is over.
    LoadEnded,
}

/// Shows events.
pub trait Progress: Sync {
    /// Shows one.
    fn show(&self, event: Event<'_>);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn show(&self, _: Event<'_>) {}
}

impl dyn Progress + '_ {
    /// Shows a line of text.
    pub fn line(&self, text: &str) {
        self.show(Event::Line(text));
    }

    /// Begins a step; it ends when the answer is finished or dropped.
    pub fn step<'a>(&'a self, what: impl Into<String>) -> Step<'a> {
        let what = what.into();
        self.show(Event::StepBegun { what: &what });
        Step { progress: self, what, begun: Instant::now(), result: None }
    }
}

/// A step that is under way.
pub struct Step<'a> {
    progress: &'a dyn Progress,
    what: String,
    begun: Instant,
    result: Option<String>,
}

impl Step<'_> {
    /// The step is over.
    pub fn done(mut self, result: &str) {
        self.result = Some(result.to_owned());
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.progress.show(Event::StepEnded {
            what: &self.what,
            result: self.result.as_deref(),
            took: self.begun.elapsed(),
        });
    }
}
