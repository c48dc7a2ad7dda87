#![doc = include_str!("../README.md")]

mod size;

mod answer;
mod call_id;
mod database;

mod lanes;
mod strategy;

mod advisory;
mod batched;
mod conditional;
mod grouped;
mod hybrid;
mod optimistic;
mod pessimistic;
mod queue;
mod redis_lock;
mod seat_rows;
mod serializable;

mod lost_update;
mod mutants;
mod redis_lock_token;
mod redis_lock_unfenced;
mod unprotected;

#[cfg(test)]
mod broken;

mod page;

mod call;

mod symmetry;
mod world;

mod event;
mod schedule;

mod transition;

mod sentences;

mod budget;
mod properties;
mod protocol;
mod search;

mod exploration;

mod walk;

mod cover;

mod trace;

#[cfg(test)]
mod messages;

pub use budget::Limits;
pub use call_id::CallId;
pub use cover::{Cover, Edges, Leg, cover};
pub use event::ModelEvent;
pub use exploration::{Expectation, Exploration, PropertyResult, browse, explore};
pub use schedule::{BadSchedule, Schedule, ScheduledEvent};
pub use size::{Losses, Size};
pub use trace::{Explained, Unexplained, explain};
pub use walk::{EventEffect, LastAnswer, ReceiptView, View, Walk};
