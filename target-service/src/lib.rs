#![doc = include_str!("../README.md")]

pub mod application;
mod database;
mod metrics;

mod booking;
mod bookings;
pub mod strategies;

pub mod queue;

mod lifecycle;
pub mod pausing;
mod slots;
mod sweeper;

mod http;

pub use application::{Announcements, Application, Config, StartError};
pub use strategies::hybrid::Policy;
