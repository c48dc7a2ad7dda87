//! How far `compare` can be trusted, measured: the same plan twice, and a known difference.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DATA_FILE;
use crate::{
    comparison::{Contrast, Decision},
    document::{Document, Section},
    header::ReportHeader,
    quantity, run_context,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
};

/// Many comparisons of two plans whose true difference is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonBench {
    /// Version, name, origin and environment.
    #[serde(flatten)]
    pub header: ReportHeader,
    /// The budget of each comparison.
    pub budget_ms: u64,
    /// The margin of each comparison.
    pub margin: f64,
    /// Each comparison.
    pub rows: Vec<ComparisonRow>,
}

/// What is known of two plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pair {
    /// They are the same, of clients that never pause.
    Same,
    /// The second has 0.7 times the clients of the first, who pause so long that the service hardly
    /// matters.
    Different,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparisonRow {
    /// What is known of its plans.
    pub pair: Pair,
    /// Its seed.
    pub seed: u32,
    /// Rounds that it took.
    pub rounds: usize,
    /// Median confirmed bookings per second of the first plan and of the second.
    pub goodput: Vec<f64>,
    /// The slower plan beside the faster one, in throughput.
    pub contrast: Option<Contrast>,
}

impl ComparisonRow {
    /// What it says of the throughput.
    pub fn decision(&self, margin: f64) -> Decision {
        self.contrast.as_ref().map_or(Decision::Undecided, |contrast| contrast.decision(margin))
    }

    /// The plan that is said to be worse.
    fn worse(&self, margin: f64) -> Option<&str> {
        let contrast = self.contrast.as_ref()?;
        (contrast.decision(margin) == Decision::Worse).then_some(contrast.variant.as_str())
    }
}

impl fmt::Display for ComparisonRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = match self.pair {
            Pair::Same => "same",
            Pair::Different => "different",
        };
        write!(f, "{pair}, seed {}, {} rounds: ", self.seed, self.rounds)?;
        match self.contrast.as_ref().and_then(|it| Some((&it.variant, &it.best, it.ratio?))) {
            None => f.write_str("nothing was measured"),
            Some((variant, best, ratio)) => {
                let ratio = ratio.text(|value| format!("{value:.3}"));
                write!(f, "{variant} makes {ratio} of {best}")
            }
        }
    }
}

impl ComparisonBench {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    fn of(&self, pair: Pair) -> impl Iterator<Item = &ComparisonRow> {
        self.rows.iter().filter(move |row| row.pair == pair)
    }

    /// Comparisons of a plan with itself in which one of the two is called worse.
    pub fn false_differences(&self) -> usize {
        self.of(Pair::Same).filter(|row| row.worse(self.margin).is_some()).count()
    }

    /// Comparisons with a known difference in which the slower plan is called worse.
    pub fn found_differences(&self) -> usize {
        self.of(Pair::Different).filter(|row| row.worse(self.margin) == Some("second")).count()
    }

    /// Whether at most one plan in 40 was called worse than itself, and every difference was found.
    pub fn is_met(&self) -> bool {
        self.false_differences() * 40 <= self.of(Pair::Same).count()
            && self.found_differences() == self.of(Pair::Different).count()
    }

    /// The page, and the table of `bench.md`.
    pub fn document(&self) -> Document {
        let (same, different) = (self.of(Pair::Same).count(), self.of(Pair::Different).count());
        let (wrong, found) = (self.false_differences(), self.found_differences());
        let headline = format!(
            "Of {same} comparisons of a plan with itself, {wrong} called one of the two worse. Of \
             {different} with a difference of 30 %, {found} found it, in the right direction."
        );
        let section = Section::new("rows", "Comparisons")
            .paragraph(format!(
                "Each row is a whole comparison on the real service: two plans in rounds of random \
                 order, at least {} of them, and more until it is decided or {} have passed; the \
                 margin is {}. The same plan twice has clients that never pause, so the service is \
                 as noisy as it ever is. With a known difference, the second plan has 0.7 times \
                 the clients of the first, who pause so long that the throughput follows their \
                 number.",
                self.rows.iter().map(|row| row.rounds).min().unwrap_or_default(),
                quantity::duration_ms(self.budget_ms),
                quantity::percent(self.margin),
            ))
            .table("", self.table());
        Document {
            kicker: "Slotproof bench",
            title: "how far compare can be trusted".to_owned(),
            subtitle: "a plan beside itself, and beside a slower one".to_owned(),
            tone: if self.is_met() { Tone::Good } else { Tone::Uncertain },
            outcome: "measured".to_owned(),
            headline,
            facts: Vec::new(),
            origin: Some((&self.header).into()),
            sections: vec![section, run_context::section(&self.header.context)],
            data_file: DATA_FILE,
            made_by: self.header.made_by(DATA_FILE),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[
            words("plans"),
            numbers("seed"),
            numbers("rounds"),
            numbers("first, bookings / s"),
            numbers("second"),
            words("ratio"),
            words("decision"),
        ]);
        for row in &self.rows {
            let goodput = |place: usize| {
                row.goodput.get(place).map_or(String::new(), |it| quantity::rate(*it))
            };
            let ratio = row.contrast.as_ref().and_then(|contrast| contrast.ratio);
            let (expected, decision) = match (row.pair, row.worse(self.margin)) {
                (Pair::Same, Some(worse)) => (false, format!("{worse} is worse")),
                (Pair::Different, Some(worse)) => (worse == "second", format!("{worse} is worse")),
                (pair, None) if row.decision(self.margin) == Decision::Equal => {
                    (pair == Pair::Same, "equal".to_owned())
                }
                (pair, None) => (pair == Pair::Same, "undecided".to_owned()),
            };
            table.push(vec![
                match row.pair {
                    Pair::Same => "the same".into(),
                    Pair::Different => "0.7 of the clients".into(),
                },
                row.seed.to_string().into(),
                row.rounds.to_string().into(),
                goodput(0).into(),
                goodput(1).into(),
                ratio.map_or(String::new(), |it| it.text(|value| format!("{value:.3}"))).into(),
                TableCell::outcome(if expected { Tone::Good } else { Tone::Bad }, decision),
            ]);
        }
        table
    }
}
