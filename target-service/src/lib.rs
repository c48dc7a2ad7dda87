#![doc = include_str!("../README.md")]

pub mod application;
mod database;
mod metrics;

mod booking;
pub mod strategies;

mod lifecycle;
mod slots;
mod sweeper;

mod http;

pub use application::{Application, Config, StartError};
