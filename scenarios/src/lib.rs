#![doc = include_str!("../README.md")]

pub mod engine;
mod life;

mod abandoned_holds;
mod flash_sale;
mod hot_and_cold;
mod retry_storm;
mod steady;
mod visits;

mod pacer;
pub mod schedule;

pub mod target;

mod board;
mod call;
mod client;

mod chance;
pub mod clock;
mod gate;

mod history_file;
pub mod latency_log;
pub mod recorder;

mod plain_goose;

pub use board::Board;
pub use call::Patience;
pub use client::{Client, Site};
pub use engine::{Event, LoadError, LoadOrder, Progress, run};
pub use latency_log::Durations;
pub use plain_goose::plain_goose;
pub use target::{Answer, Exchange, Expected};
pub use visits::{PlannedArrival, planned};
