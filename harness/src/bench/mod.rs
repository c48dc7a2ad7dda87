//! Benches: the same work by several means, interleaved in random order over rounds, as ratios with
//! intervals.

pub(crate) mod checker;
pub(crate) mod synthetic;

pub(crate) mod engine;
pub(crate) mod trivial_server;

pub(crate) mod pgbench;
pub(crate) mod report;
pub(crate) mod reserves;
pub(crate) mod strategies;
