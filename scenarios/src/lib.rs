#![doc = include_str!("../README.md")]

pub mod engine;
mod virtual_user;

mod flows;
mod planned_arrivals;
mod random;

mod pacer;
pub mod schedule;
mod start_barrier;

mod call;
mod client;
pub mod target;

mod connections;

pub mod clock;

mod history_file;
pub mod latency_log;
mod live_overbooking;
pub mod recorder;

mod plain_goose;

pub use call::RetryPolicy;
pub use client::{Client, Held, Response, Site};
pub use clock::Clock;
pub use connections::Connections;
pub use engine::{Event, LoadError, LoadOrder, Progress, run};
pub use latency_log::Durations;
pub use live_overbooking::LiveOverbooking;
pub use plain_goose::plain_goose;
pub use planned_arrivals::{PlannedArrival, planned};
pub use target::{Answer, Target};
