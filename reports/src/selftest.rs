//! `selftest.json`: every strategy and every negative control under the same loads, and which
//! invariants convicted which of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Invariant, ShownBy, StrategyKind, Verdict};

use crate::{
    document::{Document, Section},
    quantity,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
};

/// A selftest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selftest {
    /// Version of this shape: [`Selftest::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Clients of each load.
    pub clients: u32,
    /// Seats of the slot.
    pub capacity: u32,
    /// How long each load lasted at least; one that does not decide is repeated for longer.
    pub duration_ms: u64,
    /// A load of each strategy for each seed.
    pub seeds: Vec<u64>,
    /// How long the selftest took.
    pub took_s: u64,
    /// Every strategy.
    pub rows: Vec<SelftestRow>,
}

/// One strategy over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelftestRow {
    /// The strategy.
    pub strategy: StrategyKind,
    /// What it takes to see it break; absent for a strategy that claims to be safe.
    pub needs: Option<String>,
    /// A load for each seed.
    pub trials: Vec<SelftestTrial>,
    /// Whether it was convicted exactly if it should have been.
    #[serde(rename = "as_it_should")]
    pub expected: bool,
}

/// One load of one strategy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelftestTrial {
    /// The seed of the load.
    pub seed: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// Operations of the history.
    pub operations: u64,
    /// Invariants that were violated.
    pub convicted_by: BTreeSet<Invariant>,
    /// Operations that had returned when the first violation was complete, and the tier that shows
    /// it.
    pub first: Option<(u64, Tier)>,
}

/// The evidence that an invariant convicts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The order of decisions that the service claims.
    A,
    /// What clients observed.
    B,
    /// Rows and audit log after the run had settled.
    End,
}

impl Tier {
    /// The tier that an invariant is first judged in.
    pub fn of(invariant: Invariant) -> Self {
        match invariant {
            Invariant::OneOrder => Self::A,
            Invariant::NoOverbookingObserved
            | Invariant::Idempotent
            | Invariant::HonestSoldOut
            | Invariant::PossibleReads
            | Invariant::SessionOrder
            | Invariant::UniqueBookings
            | Invariant::LimitPerOwner => Self::B,
            Invariant::NoOverbookingStored
            | Invariant::NoLostBooking
            | Invariant::NoPhantom
            | Invariant::LawfulLifecycle
            | Invariant::SeatsConserved
            | Invariant::NothingLeaked
            | Invariant::AnnouncedOnce
            | Invariant::RunCoverage => Self::End,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::End => "end",
        }
    }
}

impl SelftestRow {
    /// Whether the trials are as they should be: a bug that shows under load must be convicted, a
    /// bug that needs a fault must stay unseen without one, and a safe strategy must be upheld.
    pub fn new(strategy: StrategyKind, trials: Vec<SelftestTrial>) -> Self {
        let any = |verdict| trials.iter().any(|trial| trial.verdict == verdict);
        let (convicted, undecided) = (any(Verdict::Violated), any(Verdict::Unknown));
        let (needs, expected) = match strategy.shown_by() {
            None => (None, !convicted && !undecided),
            Some(ShownBy::Load) => (Some("load"), convicted),
            Some(ShownBy::Pause) => (Some("a pause"), !convicted),
            Some(ShownBy::Crash) => (Some("a crash"), !convicted),
        };
        Self { strategy, needs: needs.map(str::to_owned), trials, expected }
    }

    fn convicted(&self) -> usize {
        self.trials.iter().filter(|trial| trial.verdict == Verdict::Violated).count()
    }

    /// The row in a phrase: `expected: convicted in 2 of 2 trials by I1 I2`.
    pub fn summary(&self) -> String {
        let expected = if self.expected { "expected" } else { "UNEXPECTED" };
        format!("{expected}: {}", self.conviction())
    }

    fn conviction(&self) -> String {
        let by: BTreeSet<Invariant> =
            self.trials.iter().flat_map(|trial| trial.convicted_by.iter().copied()).collect();
        let by: Vec<String> = by.iter().map(ToString::to_string).collect();
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(" ")) };
        let trials = quantity::counted(self.trials.len() as u64, "trial");
        format!("convicted in {} of {trials}{by}", self.convicted())
    }

    /// Operations until the first violation, by rank among the trials that were convicted.
    fn operations_until(&self, share: f64) -> String {
        let mut first: Vec<u64> =
            self.trials.iter().filter_map(|trial| trial.first).map(|(count, _)| count).collect();
        first.sort_unstable();
        let rank = ((first.len().max(1) - 1) as f64 * share).ceil() as usize;
        first.get(rank).map(|count| quantity::count(*count)).unwrap_or_default()
    }

    /// The tier of the earliest violation.
    fn tier(&self) -> &'static str {
        let first = self.trials.iter().filter_map(|trial| trial.first).min();
        first.map_or("", |(_, tier)| tier.name())
    }
}

impl Selftest {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The file that it is stored in.
    const DATA_FILE: &str = "selftest.json";

    /// Whether every row is as expected.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(|row| row.expected)
    }

    /// The page, and the table of `selftest.md`.
    pub fn document(&self) -> Document {
        let seeds: Vec<String> = self.seeds.iter().map(ToString::to_string).collect();
        let section = Section::new("matrix", "Detection matrix")
            .paragraph(format!(
                "flash_sale with {} for {}, {}, seeds {}. A number under an invariant counts the \
                 loads in which it convicted, one for each seed. Operations are those that had \
                 returned when the first violation was complete. Tier A is the order that the \
                 service claims, B is what clients observed, end is rows and audit log after the \
                 run.",
                quantity::counted(self.clients.into(), "client"),
                quantity::counted(self.capacity.into(), "seat"),
                quantity::duration_ms(self.duration_ms),
                seeds.join(", "),
            ))
            .table("", self.table());
        Document {
            kicker: "Slotproof selftest",
            title: "Detection of negative controls".to_owned(),
            subtitle: String::new(),
            tone: if self.passed() { Tone::Good } else { Tone::Bad },
            outcome: if self.passed() { "passed" } else { "failed" }.to_owned(),
            headline: self.headline(),
            facts: vec![("time used".to_owned(), quantity::duration_ms(self.took_s * 1_000))],
            origin: None,
            sections: vec![section],
            data_file: Self::DATA_FILE,
            made_by: format!(
                "Made by Slotproof from {} alone, schema version {}.",
                Self::DATA_FILE,
                self.schema_version
            ),
        }
    }

    fn headline(&self) -> String {
        let mut unexpected = self.rows.iter().filter(|row| !row.expected);
        let Some(first) = unexpected.next() else {
            return format!(
                "{} behaved as expected: every control that load can expose was convicted, and no \
                 safe strategy was.",
                quantity::counted(self.rows.len() as u64, "strategy")
            );
        };
        let headline = format!("{} is unexpected: {}.", first.strategy, first.conviction());
        match unexpected.count() as u64 {
            0 => headline,
            more => format!("{headline} {} unexpected too.", quantity::counted(more, "row")),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[words("strategy"), words("shown by"), numbers("convicted")]);
        table.columns.extend(Invariant::ALL.iter().map(|invariant| numbers(invariant.number())));
        table.columns.extend([
            numbers("operations, median"),
            numbers("p95"),
            words("tier"),
            words("result"),
        ]);
        for row in &self.rows {
            let mut counts: BTreeMap<Invariant, u64> = BTreeMap::new();
            for invariant in row.trials.iter().flat_map(|trial| &trial.convicted_by) {
                *counts.entry(*invariant).or_default() += 1;
            }
            let mut cells: Vec<TableCell> = vec![
                row.strategy.name().into(),
                row.needs.clone().unwrap_or_default().into(),
                format!("{} of {}", row.convicted(), row.trials.len()).into(),
            ];
            let count = |invariant| counts.get(invariant).map(ToString::to_string);
            cells.extend(
                Invariant::ALL.iter().map(|invariant| count(invariant).unwrap_or_default().into()),
            );
            cells.extend([
                row.operations_until(0.5).into(),
                row.operations_until(0.95).into(),
                row.tier().into(),
                match row.expected {
                    true => TableCell::outcome(Tone::Good, "expected"),
                    false => TableCell::outcome(Tone::Bad, "UNEXPECTED"),
                },
            ]);
            table.push(cells);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(strategy: StrategyKind, verdicts: &[Verdict]) -> SelftestRow {
        let trial = |verdict: &Verdict| SelftestTrial {
            seed: 1,
            verdict: *verdict,
            operations: 10,
            convicted_by: BTreeSet::new(),
            first: None,
        };
        SelftestRow::new(strategy, verdicts.iter().map(trial).collect())
    }

    #[test]
    fn a_safe_strategy_must_be_upheld_and_a_control_that_load_shows_must_be_convicted() {
        use Verdict::{Unknown, Upheld, Violated};
        assert!(row(StrategyKind::Conditional, &[Upheld, Upheld]).expected);
        assert!(!row(StrategyKind::Conditional, &[Upheld, Violated]).expected);
        assert!(!row(StrategyKind::Conditional, &[Unknown]).expected);
        assert!(row(StrategyKind::LostUpdate, &[Upheld, Violated]).expected);
        assert!(!row(StrategyKind::LostUpdate, &[Upheld]).expected);
        assert!(row(StrategyKind::CommitNotDurable, &[Upheld]).expected);
        assert!(!row(StrategyKind::CommitNotDurable, &[Violated]).expected);
    }

    #[test]
    fn an_unexpected_row_states_in_how_many_trials_it_was_convicted() {
        let row = row(StrategyKind::LostUpdate, &[Verdict::Upheld, Verdict::Upheld]);
        assert_eq!(row.summary(), "UNEXPECTED: convicted in 0 of 2 trials");
    }
}
