#![doc = include_str!("../README.md")]

pub mod engine;
mod flash_sale;

mod answer;
mod client;
pub mod clock;
mod gate;
pub mod recorder;

pub use client::{Client, Site};
pub use engine::{LoadError, LoadOrder, Progress, run};
