//! Benches: the same work by several means, interleaved in random order over rounds, as ratios with
//! intervals.

pub mod checker;
pub mod comparison;
#[cfg(feature = "porcupine")]
pub mod porcupine;
pub mod synthetic;

pub mod engine;
pub mod trivial_server;

pub mod pgbench;
pub mod reserves;
pub mod strategies;

use anyhow::Result;
use slotproof_evidence::RunDirectory;
use slotproof_reports::Document;

/// Writes `bench.md` and the page of a bench.
fn write_bench(run: &RunDirectory, document: &Document) -> Result<()> {
    run.write("bench.md", document.markdown().as_bytes())?;
    run.write_document(document)
}
