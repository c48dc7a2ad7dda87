//! Benches: what strategies, the load engine and the checker cost. Each is data that is stored as
//! `bench.json`, and a document of it.

pub mod checker;
pub mod comparison;
pub mod engine;
pub mod history;
pub mod strategies;

/// The file that a bench is stored in.
const DATA_FILE: &str = "bench.json";

/// The last line of a page whose data does not name the version that made it.
fn made_by(schema_version: u32) -> String {
    format!("Made by Slotproof from {DATA_FILE} alone, schema version {schema_version}.")
}
