//! Benches: the same work by several means, interleaved in random order over rounds, as ratios with
//! intervals.

pub mod checker;
#[cfg(feature = "porcupine")]
pub mod porcupine;
pub mod synthetic;

pub mod engine;
pub mod trivial_server;

pub mod pgbench;
pub mod report;
pub mod reserves;
pub mod strategies;
