//! `architecture.json`: every negative control of a topology under its fault, which invariants
//! convicted it, and its right twin under the same load and fault.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::{Invariant, Verdict};

use crate::{
    document::{Document, Section},
    quantity,
    table::{Table, TableCell, words},
    tone::Tone,
};

/// A selftest of topologies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchitectureSelftest {
    /// Version of this shape: [`ArchitectureSelftest::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// How long the selftest took.
    pub took_s: u64,
    /// Every negative control.
    pub rows: Vec<ArchitectureRow>,
}

/// A negative control and its right twin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchitectureRow {
    /// The topology that is broken on purpose.
    pub mutant: String,
    /// What is wrong with it.
    pub summary: String,
    /// What is done to both under load; absent where load alone shows the bug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The invariant that must convict it.
    pub convicts: Invariant,
    /// The verdict on it.
    pub verdict: Verdict,
    /// Invariants that were violated.
    pub convicted_by: BTreeSet<Invariant>,
    /// The topology that is right.
    pub twin: String,
    /// The verdict on the twin.
    pub twin_verdict: Verdict,
}

impl ArchitectureRow {
    /// Whether the control was convicted by its invariant, and its twin upheld.
    pub fn is_expected(&self) -> bool {
        self.convicted_by.contains(&self.convicts) && self.twin_verdict == Verdict::Upheld
    }

    /// The row in a phrase: `expected: convicted by I9 I10; replicas upheld`.
    pub fn summary(&self) -> String {
        let expected = if self.is_expected() { "expected" } else { "UNEXPECTED" };
        format!("{expected}: {}; {} {}", self.conviction(), self.twin, self.twin_verdict.name())
    }

    fn conviction(&self) -> String {
        match self.convicted_by.is_empty() {
            true => format!("not convicted ({})", self.verdict.name()),
            false => format!("convicted by {}", numbers_of(&self.convicted_by)),
        }
    }
}

fn numbers_of(invariants: &BTreeSet<Invariant>) -> String {
    let numbers: Vec<_> = invariants.iter().map(ToString::to_string).collect();
    numbers.join(" ")
}

impl ArchitectureSelftest {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The file that it is stored in.
    const DATA_FILE: &str = "architecture.json";

    /// Whether every row is as expected.
    pub fn passed(&self) -> bool {
        self.rows.iter().all(ArchitectureRow::is_expected)
    }

    /// The page, and the table of `architecture.md`.
    pub fn document(&self) -> Document {
        let section = Section::new("matrix", "Detection matrix")
            .paragraph(
                "Each row is one broken topology and its right twin, under one load and one fault. \
                 The broken one must be convicted by the invariant that is named, and the twin \
                 upheld."
                    .to_owned(),
            )
            .table("", self.table());
        Document {
            kicker: "Slotproof selftest",
            title: "Detection of broken topologies".to_owned(),
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
        match self.rows.iter().find(|row| !row.is_expected()) {
            None => format!(
                "{} convicted, and every right twin upheld under the same fault.",
                quantity::counted(self.rows.len() as u64, "broken topology")
            ),
            Some(row) => format!("{} is {}.", row.mutant, row.summary()),
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[
            words("mutant"),
            words("fault"),
            words("must be convicted by"),
            words("convicted by"),
            words("right twin"),
            words("its verdict"),
            words("result"),
        ]);
        for row in &self.rows {
            let cells: Vec<TableCell> = vec![
                row.mutant.clone().into(),
                row.fault.clone().unwrap_or_else(|| "none".to_owned()).into(),
                row.convicts.to_string().into(),
                numbers_of(&row.convicted_by).into(),
                row.twin.clone().into(),
                row.twin_verdict.name().into(),
                match row.is_expected() {
                    true => TableCell::outcome(Tone::Good, "expected"),
                    false => TableCell::outcome(Tone::Bad, "UNEXPECTED"),
                },
            ];
            table.push(cells);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(convicted_by: &[Invariant], twin_verdict: Verdict) -> ArchitectureRow {
        let convicted = !convicted_by.is_empty();
        ArchitectureRow {
            mutant: "mutant".to_owned(),
            summary: "broken".to_owned(),
            fault: None,
            convicts: Invariant::PossibleReads,
            verdict: if convicted { Verdict::Violated } else { Verdict::Upheld },
            convicted_by: convicted_by.iter().copied().collect(),
            twin: "twin".to_owned(),
            twin_verdict,
        }
    }

    #[test]
    fn a_mutant_must_be_convicted_by_its_invariant_and_its_twin_upheld() {
        use Invariant::{PossibleReads, SessionOrder};
        let good = row(&[PossibleReads, SessionOrder], Verdict::Upheld);
        assert_eq!(good.summary(), "expected: convicted by I9 I10; twin upheld");
        for unexpected in [
            row(&[], Verdict::Upheld),
            row(&[SessionOrder], Verdict::Upheld),
            row(&[PossibleReads], Verdict::Violated),
            row(&[PossibleReads], Verdict::Unknown),
        ] {
            assert!(!unexpected.is_expected(), "{}", unexpected.summary());
            let rows = vec![good.clone(), unexpected];
            assert!(!ArchitectureSelftest { schema_version: 1, took_s: 1, rows }.passed());
        }
        assert_eq!(
            row(&[], Verdict::Upheld).summary(),
            "UNEXPECTED: not convicted (upheld); twin upheld"
        );
    }
}
