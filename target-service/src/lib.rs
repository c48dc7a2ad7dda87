#![doc = include_str!("../README.md")]

pub mod application;
pub mod config;
mod connections;
mod start_error;

mod database;
mod metrics;
mod occupancy;
pub mod pausing;
mod routing;

mod reserve;
pub mod strategies;

mod cache;
mod catalogue;
mod heartbeat;
mod lifecycle;
pub mod months;
mod operations;
mod pooled;
mod pooler_check;
mod read_model;
pub mod sharding;
mod standbys;
mod sweeper;
mod unnamed;

pub mod queue;

mod http;

pub use application::Application;
pub use config::{
    Announcements, CachedReads, Config, ConfigError, Months, Pooler, ShardSet, ShardUrl,
    StandbyReads,
};
pub use start_error::StartError;
pub use strategies::policy::{Policy, PolicyError};
