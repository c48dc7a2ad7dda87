//! Files on disk keep their shape: what an earlier version wrote is read, and written again the
//! same.

use slotproof_reports::{
    bench::{checker::CheckerBench, engine::EngineBench, strategies::StrategyBench},
    capacity::Capacity,
    comparison::Comparison,
    gate::Gate,
};

use crate::fixtures::example_text;

/// Reads a stored file and gives back what this version writes for it.
fn written_again<T: serde::de::DeserializeOwned + serde::Serialize>(text: &str) -> String {
    let report: T = serde_json::from_str(text).expect("a stored file is readable");
    serde_json::to_string_pretty(&report).expect("it was JSON before") + "\n"
}

#[test]
fn a_stored_comparison_is_written_again_byte_for_byte() {
    let text = example_text("comparison.json");
    assert!(written_again::<Comparison>(&text) == text);
}

#[test]
fn a_stored_capacity_search_is_written_again_byte_for_byte() {
    let text = example_text("capacity.json");
    assert!(written_again::<Capacity>(&text) == text);
}

#[test]
fn a_stored_gate_is_written_again_byte_for_byte() {
    let text = example_text("gate.json");
    assert!(written_again::<Gate>(&text) == text);
}

#[test]
fn a_stored_bench_of_strategies_is_written_again_byte_for_byte() {
    let text = example_text("bench-strategies.json");
    assert!(written_again::<StrategyBench>(&text) == text);
}

#[test]
fn a_stored_bench_of_the_load_engine_is_written_again_byte_for_byte() {
    let text = example_text("bench-engine.json");
    assert!(written_again::<EngineBench>(&text) == text);
}

#[test]
fn a_stored_bench_of_the_checker_is_written_again_byte_for_byte() {
    let text = example_text("bench-checker.json");
    assert!(written_again::<CheckerBench>(&text) == text);
}
