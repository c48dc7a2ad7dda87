//! The history of benches: a line for each, kept in a file, so that a loss is seen. Only ratios are
//! compared: what a machine does in a second depends on the machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    checker::CheckerBench,
    engine::{EngineBench, Tool},
    strategies::StrategyBench,
};
use crate::{
    document::{Document, Section},
    estimate::median,
    plots, quantity,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
};

/// How much worse than before a ratio may be.
pub const LOSS_MAX: f64 = 0.1;
/// What a ratio is compared with: the median of so many records before the last one.
const BEFORE: usize = 5;

/// A bench that was recorded: a line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchRecord {
    /// Version of this shape: [`BenchRecord::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When, in UTC.
    pub recorded_at: String,
    /// The commit of the code; `-dirty` if it was changed; absent outside a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// `strategies`, `engine` or `checker`.
    pub bench: String,
    /// CPUs of the machine.
    pub cpus: usize,
    /// The ratios, by name.
    pub ratios: BTreeMap<String, Ratio>,
}

/// A figure that does not depend on the speed of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The median of its rounds.
    pub value: f64,
    /// Which way is better.
    pub better: Better,
}

/// Which way a ratio is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// A throughput.
    Higher,
    /// A cost.
    Lower,
}

impl BenchRecord {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;
}

impl StrategyBench {
    /// Bookings per second against `pessimistic`, and against pgbench in the same layout.
    pub fn ratios(&self) -> BTreeMap<String, Ratio> {
        let higher = |value| Ratio { value, better: Better::Higher };
        let mut ratios = BTreeMap::new();
        for cell in &self.cells {
            let layout = serde_json::to_value(cell.layout).unwrap_or_default();
            let of = format!(
                "{} {} {}",
                cell.strategy,
                layout.as_str().unwrap_or_default(),
                cell.clients
            );
            if let Some(ratio) = &cell.ratio_to_pessimistic {
                ratios.insert(format!("{of} to pessimistic"), higher(ratio.median));
            }
            let beside = self.pgbench.iter().filter(|it| it.layout == cell.layout);
            let best = beside.map(|it| it.bookings_per_s.median).fold(0.0, f64::max);
            if best > 0.0 {
                let ratio = cell.bookings_per_s.median / best;
                ratios.insert(format!("{of} to pgbench"), higher(ratio));
            }
        }
        ratios
    }
}

impl EngineBench {
    /// CPU per request against plain goose.
    pub fn ratios(&self) -> BTreeMap<String, Ratio> {
        let tools = self.tools.iter().filter(|it| it.tool != Tool::Goose);
        let ratio = |it: &super::engine::ToolReport| {
            let value = it.cpu_ratio_to_goose?.median;
            Some((format!("{} to goose", it.tool.name()), Ratio { value, better: Better::Lower }))
        };
        tools.filter_map(ratio).collect()
    }
}

impl CheckerBench {
    /// Reading and judging an operation, in steps of one core: `steps_per_s` is how many it makes.
    pub fn ratios(&self, steps_per_s: f64) -> BTreeMap<String, Ratio> {
        let ratio = |row: &super::checker::CheckerRow| {
            let seconds = (row.judged.read_ms + row.judged.judge_ms) as f64 / 1e3;
            let value = seconds * steps_per_s / row.size.operations as f64;
            let name = format!("{} operations, {} slots", row.size.operations, row.size.slots);
            (name, Ratio { value, better: Better::Lower })
        };
        self.rows.iter().map(ratio).collect()
    }
}

/// What became of a ratio since it was recorded before.
#[derive(Debug, Clone, PartialEq)]
struct Change<'a> {
    name: &'a str,
    now: f64,
    /// `None` of one that was not recorded before.
    before: Option<f64>,
    /// Above zero: better.
    gain: Option<f64>,
}

/// Records of benches, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BenchHistory(pub Vec<BenchRecord>);

impl BenchHistory {
    fn of<'a>(&'a self, bench: &'a str) -> Vec<&'a BenchRecord> {
        self.0.iter().filter(|record| record.bench == bench).collect()
    }

    fn benches(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.0.iter().map(|record| record.bench.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The ratios of the last record of a bench, and what they were in earlier ones.
    fn changes(&self, bench: &str) -> Vec<Change<'_>> {
        let records = self.0.iter().filter(|record| record.bench == bench);
        let records: Vec<&BenchRecord> = records.collect();
        let Some((last, before)) = records.split_last() else { return Vec::new() };
        let mut changes = Vec::new();
        for (name, ratio) in &last.ratios {
            let earlier = before.iter().rev().filter_map(|record| record.ratios.get(name));
            let earlier: Vec<f64> = earlier.take(BEFORE).map(|it| it.value).collect();
            let (now, before) = (ratio.value, median(earlier));
            let before = Some(before).filter(|before| *before > 0.0);
            let gain = before.filter(|_| now > 0.0).map(|before| match ratio.better {
                Better::Higher => now / before - 1.0,
                Better::Lower => before / now - 1.0,
            });
            changes.push(Change { name, now, before, gain });
        }
        changes
    }

    /// Ratios that are worse by more than [`LOSS_MAX`] than they were.
    pub fn losses(&self) -> usize {
        let benches = self.benches();
        let changes = benches.iter().flat_map(|bench| self.changes(bench));
        changes.filter(|change| change.gain.is_some_and(|gain| gain < -LOSS_MAX)).count()
    }

    /// The page.
    pub fn document(&self) -> Document {
        let losses = self.losses();
        let (tone, outcome) = match losses {
            0 => (Tone::Good, "no loss"),
            _ => (Tone::Uncertain, "a loss"),
        };
        let section = |bench: &str| {
            let records = self.of(bench);
            let mut table =
                Table::new(&[words("ratio"), numbers("last"), numbers("before"), numbers("gain")]);
            for Change { name, now, before, gain } in self.changes(bench) {
                let text = gain.map(|gain| format!("{:+.1} %", gain * 100.0)).unwrap_or_default();
                let gain = match gain.is_some_and(|gain| gain < -LOSS_MAX) {
                    true => TableCell::outcome(Tone::Uncertain, text),
                    false => text.into(),
                };
                table.push(vec![
                    name.into(),
                    format!("{now:.2}").into(),
                    before.map(|before| format!("{before:.2}")).unwrap_or_default().into(),
                    gain,
                ]);
            }
            let last = records.last().expect("a bench that was recorded");
            Section::new(bench, bench)
                .paragraph(format!(
                    "{}; the last one is of {}, commit {}. The column before is the median of up to \
                     {BEFORE} records before it.",
                    quantity::counted(records.len() as u64, "record"),
                    last.recorded_at,
                    last.commit.as_deref().unwrap_or("unknown"),
                ))
                .table("", table)
                .figure(plots::bench_history::figure(bench, &records))
        };
        Document {
            kicker: "Slotproof bench",
            title: "The history of benches".to_owned(),
            subtitle: String::new(),
            tone,
            outcome: outcome.to_owned(),
            headline: match losses {
                0 => {
                    format!("No ratio is worse than before by more than {:.0} %.", LOSS_MAX * 100.0)
                }
                _ => format!(
                    "{losses} of the ratios are worse than before by more than {:.0} %.",
                    LOSS_MAX * 100.0
                ),
            },
            facts: Vec::new(),
            origin: None,
            sections: self.benches().into_iter().map(section).collect(),
            data_file: "history.jsonl",
            made_by: format!(
                "Made by Slotproof from history.jsonl alone, schema version {}.",
                BenchRecord::SCHEMA_VERSION
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bench: &str, value: f64, better: Better) -> BenchRecord {
        BenchRecord {
            schema_version: BenchRecord::SCHEMA_VERSION,
            recorded_at: "2026-11-28T12:00:00Z".to_owned(),
            commit: None,
            bench: bench.to_owned(),
            cpus: 2,
            ratios: BTreeMap::from([("r".to_owned(), Ratio { value, better })]),
        }
    }

    fn losses(values: &[f64], better: Better) -> usize {
        BenchHistory(values.iter().map(|value| record("b", *value, better)).collect()).losses()
    }

    #[test]
    fn a_loss_of_more_than_a_tenth_is_seen_whichever_way_is_better() {
        assert_eq!(losses(&[1.0, 1.0, 0.89], Better::Higher), 1);
        assert_eq!(losses(&[1.0, 1.0, 0.91], Better::Higher), 0);
        assert_eq!(losses(&[1.0, 1.0, 1.12], Better::Lower), 1);
        assert_eq!(losses(&[1.0, 1.0, 1.10], Better::Lower), 0);
        assert_eq!(losses(&[1.0, 1.0, 0.5], Better::Lower), 0, "a gain");
        assert_eq!(losses(&[1.0], Better::Higher), 0, "nothing came before");
        assert_eq!(losses(&[9.0, 1.0, 1.0, 1.0, 0.95], Better::Higher), 0, "one odd record");
    }

    #[test]
    fn each_bench_is_compared_with_itself_and_a_loss_is_on_the_page() {
        let lower = |bench, value| record(bench, value, Better::Lower);
        let history = BenchHistory(vec![
            lower("engine", 1.0),
            lower("checker", 5.0),
            lower("engine", 1.5),
            lower("checker", 5.1),
        ]);
        assert_eq!(history.losses(), 1);
        let page = history.document().markdown();
        assert!(page.contains("1 of the ratios are worse"), "{page}");
        assert!(page.contains("-33.3 %") && page.contains("-2.0 %"), "{page}");
    }
}
