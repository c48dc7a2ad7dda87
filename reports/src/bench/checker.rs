//! What judging costs: time and memory by the size of the history, beside porcupine-rs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use slotproof_vocabulary::Verdict;

use super::{DATA_FILE, made_by};
use crate::{
    document::{Document, Section},
    quantity,
    table::{Table, TableCell, numbers, words},
    tone::Tone,
};

/// A bench of the checker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckerBench {
    /// Version of this shape: [`CheckerBench::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// CPUs of the machine.
    pub cpus: usize,
    /// Each size of history.
    pub rows: Vec<CheckerRow>,
}

/// The size of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistorySize {
    /// Operations.
    pub operations: u64,
    /// Clients.
    pub clients: u64,
    /// Slots.
    pub slots: u64,
}

/// One history in one process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckerRow {
    /// The size of the history.
    pub size: HistorySize,
    /// The size of its file.
    pub file_bytes: u64,
    /// What judging it took.
    pub judged: Judged,
    /// Largest resident size of the process.
    pub memory_bytes_max: u64,
    /// porcupine-rs on the same file; absent where it was not tried.
    pub porcupine: Option<Porcupine>,
}

/// What judging a history took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Reading the file.
    pub read_ms: u64,
    /// Tier A: the histories of all slots, and the check of their certificates.
    pub tier_a_ms: u64,
    /// Slots that tier A proved.
    pub proved_slots: u64,
    /// Every invariant that a history alone can be judged by: tier A and tier B together.
    pub judge_ms: u64,
}

/// What porcupine-rs made of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Porcupine {
    /// `ok`, `illegal` or `unknown`.
    pub result: String,
    /// How long it took.
    pub took_ms: u64,
}

impl CheckerBench {
    /// Version of the shape that this code writes.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The page, and the table of `bench.md`. `seats` are those of each slot, `porcupine_limit` is
    /// the time that porcupine-rs has for a file.
    pub fn document(&self, seats: u32, porcupine_limit: Duration) -> Document {
        let section = Section::new("sizes", "By size of the history")
            .paragraph(format!(
                "Lawful histories of slots with {}, half of the clients in flight at any time. \
                 Each row is one run of one process on {}. Tier A uses one CPU; reading, and \
                 from 200,000 operations on the whole check, use all. Tier A is the certificate by the \
                 versions in the answers; the whole check is every invariant that a history alone \
                 can be judged by, tier A included. porcupine-rs stops after {} per file.",
                quantity::counted(seats.into(), "seat"),
                quantity::counted(self.cpus as u64, "CPU"),
                duration(porcupine_limit),
            ))
            .table("", self.table());
        Document {
            kicker: "Slotproof bench",
            title: "The cost of judging".to_owned(),
            subtitle: String::new(),
            tone: Tone::Neutral,
            outcome: "measured".to_owned(),
            headline: self.headline(),
            facts: Vec::new(),
            origin: None,
            sections: vec![section],
            data_file: DATA_FILE,
            made_by: made_by(self.schema_version),
        }
    }

    fn headline(&self) -> String {
        let Some(largest) = self.rows.iter().max_by_key(|row| row.size.operations) else {
            return "No history was judged.".to_owned();
        };
        format!(
            "{} on {} are read in {} and judged in {}, with {} of memory.",
            quantity::counted(largest.size.operations, "operation"),
            quantity::counted(largest.size.slots, "slot"),
            quantity::duration_ms(largest.judged.read_ms),
            quantity::duration_ms(largest.judged.judge_ms),
            quantity::bytes(largest.memory_bytes_max)
        )
    }

    fn table(&self) -> Table {
        let columns = [
            numbers("operations"),
            numbers("clients"),
            numbers("slots"),
            numbers("file"),
            numbers("read"),
            numbers("tier A"),
            numbers("whole check"),
            words("verdict"),
            numbers("largest memory"),
            words("porcupine-rs"),
        ];
        let mut table = Table::new(&columns);
        for CheckerRow { size, file_bytes, judged, memory_bytes_max, porcupine } in &self.rows {
            let porcupine = porcupine.as_ref().map(|porcupine| {
                let took = quantity::duration_ms(porcupine.took_ms);
                format!("{} after {took}", porcupine.result)
            });
            table.push(vec![
                quantity::count(size.operations).into(),
                quantity::count(size.clients).into(),
                quantity::count(size.slots).into(),
                quantity::bytes(*file_bytes).into(),
                quantity::duration_ms(judged.read_ms).into(),
                quantity::duration_ms(judged.tier_a_ms).into(),
                quantity::duration_ms(judged.judge_ms).into(),
                TableCell::verdict(judged.verdict),
                quantity::bytes(*memory_bytes_max).into(),
                porcupine.unwrap_or_else(|| "not tried".to_owned()).into(),
            ]);
        }
        table
    }
}

fn duration(duration: Duration) -> String {
    quantity::duration_us(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
