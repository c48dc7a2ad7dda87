//! The selftest on simulated services: which bugs the checker convicts, and that it convicts no
//! lawful run.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::Invariant;

use crate::{
    document::{Document, Section},
    quantity,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
};

/// A selftest on simulated services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedSelftest {
    /// Version of this shape: [`SimulatedSelftest::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Runs of services without a bug.
    pub lawful: LawfulRuns,
    /// Every bug.
    pub bugs: Vec<SimulatedBug>,
}

/// Runs of services without a bug. Each is judged twice: by its history alone, and with log, rows
/// and probes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LawfulRuns {
    /// Runs.
    pub runs: u64,
    /// Verdicts.
    pub judged: u64,
    /// Verdicts that are upheld.
    pub upheld: u64,
    /// Verdicts that are violated: false alarms.
    pub convicted: u64,
    /// The first false alarm, with its seed.
    pub first_convicted: Option<String>,
}

/// The runs of a service with one bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedBug {
    /// Its name.
    pub bug: String,
    /// What the service does wrong.
    pub summary: String,
    /// Where answers carry versions and seats left.
    pub with_versions: Detection,
    /// Where only reads say how many seats are left.
    pub without_versions: Detection,
}

/// How often a bug was convicted by the history alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// Runs, one for each seed.
    pub runs: u64,
    /// Runs in which the bug changed something.
    pub struck: u64,
    /// Runs in which some answer differs from what a lawful service would have answered.
    pub revealed: u64,
    /// Runs that were convicted.
    pub convicted: u64,
    /// How many of them must be.
    pub least_convicted: u64,
    /// The invariants that convicted first.
    pub first_by: BTreeSet<Invariant>,
    /// Operations that had returned when the first violation was complete: the median of the runs
    /// that were convicted.
    pub operations_until: Option<u64>,
}

impl Detection {
    fn passed(&self) -> bool {
        self.convicted >= self.least_convicted
    }

    fn rate(&self) -> String {
        format!("{} of {}, at least {}", self.convicted, self.revealed, self.least_convicted)
    }
}

impl SimulatedBug {
    fn passed(&self) -> bool {
        self.with_versions.passed() && self.without_versions.passed()
    }

    /// Whether it must be convicted at all: a checker may not know of it yet.
    fn required(&self) -> bool {
        self.with_versions.least_convicted + self.without_versions.least_convicted > 0
    }
}

impl SimulatedSelftest {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Whether each bug was convicted as often as it must be, and no lawful run was.
    pub fn passed(&self) -> bool {
        self.lawful.convicted == 0 && self.bugs.iter().all(SimulatedBug::passed)
    }

    /// The page.
    pub fn document(&self) -> Document {
        let seeds = self.bugs.first().map_or(0, |bug| bug.with_versions.runs);
        let section = Section::new("bugs", "Simulated bugs")
            .paragraph(format!(
                "Each bug is simulated with {} and judged by the history alone. Struck counts runs \
                 in which the bug changed something. Convicted counts convicted runs, of those in \
                 which some answer differs from a lawful one, and how many must be. Operations \
                 are those that had returned when the first violation was complete.",
                quantity::counted(seeds, "seed"),
            ))
            .table("", self.table());
        let (tone, outcome) =
            if self.passed() { (Tone::Good, "passed") } else { (Tone::Bad, "failed") };
        Document {
            kicker: "Slotproof selftest",
            title: "Detection of simulated bugs".to_owned(),
            subtitle: String::new(),
            tone,
            outcome: outcome.to_owned(),
            headline: self.headline(),
            facts: Vec::new(),
            origin: None,
            sections: vec![section],
            data_file: "selftest.json",
            made_by: format!("Made by Slotproof, schema version {}.", self.schema_version),
        }
    }

    fn headline(&self) -> String {
        let LawfulRuns { runs, judged, upheld, convicted, first_convicted } = &self.lawful;
        let lawful = format!(
            "Lawful: {}, {judged} verdicts, {convicted} violated, {upheld} upheld.",
            quantity::counted(*runs, "simulation"),
        );
        let alarm = first_convicted.iter().map(|first| format!(" False alarm: {first}."));
        let failed: Vec<&str> =
            self.bugs.iter().filter(|it| !it.passed()).map(|it| it.bug.as_str()).collect();
        let bugs = match failed.as_slice() {
            [] => format!(
                " Bugs: {} of {} must be convicted, and each was as often as it must be.",
                self.bugs.iter().filter(|it| it.required()).count(),
                self.bugs.len()
            ),
            failed => format!(" Convicted too seldom: {}.", failed.join(", ")),
        };
        format!("{lawful}{}{bugs}", alarm.collect::<String>())
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[
            words("bug"),
            words("what the service does"),
            numbers("struck"),
            words("convicted, with versions"),
            words("without"),
            words("first by"),
            numbers("operations, median"),
            words("result"),
        ]);
        for row in &self.bugs {
            let (with, without) = (&row.with_versions, &row.without_versions);
            let first_by: BTreeSet<&Invariant> = with.first_by.union(&without.first_by).collect();
            let first_by: Vec<String> = first_by.iter().map(ToString::to_string).collect();
            table.push(vec![
                row.bug.as_str().into(),
                row.summary.as_str().into(),
                format!("{} of {}", with.struck, with.runs).into(),
                with.rate().into(),
                without.rate().into(),
                first_by.join(" ").into(),
                with.operations_until.map(quantity::count).unwrap_or_default().into(),
                match (row.passed(), row.required()) {
                    (true, true) => TableCell::outcome(Tone::Good, "expected"),
                    (true, false) => "not required".to_owned().into(),
                    (false, _) => TableCell::outcome(Tone::Bad, "MISSED"),
                },
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selftest(convicted: u64, false_alarms: u64) -> SimulatedSelftest {
        let detection = Detection {
            runs: 10,
            struck: 10,
            revealed: 9,
            convicted,
            least_convicted: 9,
            first_by: [Invariant::OneOrder].into(),
            operations_until: Some(70),
        };
        SimulatedSelftest {
            schema_version: SimulatedSelftest::SCHEMA_VERSION,
            lawful: LawfulRuns {
                runs: 7,
                judged: 14,
                upheld: 14 - false_alarms,
                convicted: false_alarms,
                first_convicted: (false_alarms > 0).then(|| "Weights, seed 3".to_owned()),
            },
            bugs: vec![SimulatedBug {
                bug: "stale_read".to_owned(),
                summary: "a read is old".to_owned(),
                with_versions: detection.clone(),
                without_versions: detection,
            }],
        }
    }

    #[test]
    fn a_bug_that_is_missed_too_often_fails_and_so_does_a_false_alarm() {
        assert!(selftest(9, 0).passed());
        assert!(!selftest(8, 0).passed());
        assert!(!selftest(9, 1).passed());
        let mut unknown = selftest(0, 0);
        unknown.bugs[0].with_versions.least_convicted = 0;
        unknown.bugs[0].without_versions.least_convicted = 0;
        assert!(unknown.passed() && unknown.document().markdown().contains("not required"));
        let failed = selftest(8, 1).document().markdown();
        for says in ["failed", "Convicted too seldom: stale_read", "Weights, seed 3", "MISSED"] {
            assert!(failed.contains(says), "{says}: {failed}");
        }
    }

    #[test]
    fn the_page_states_the_rates() {
        insta::assert_snapshot!(selftest(9, 0).document().markdown());
    }
}
