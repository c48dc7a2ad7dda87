//! The reserve flow around a strategy, the same for all of them: receipts for duplicates,
//! `sold_out` from one snapshot, and retries.

mod attempts;
mod command;
mod idempotency_key;
mod receipts;

pub(crate) use attempts::{
    Retrying, attempt, look, lost_race, nothing_written, once, pause_before, retrying,
};
pub(crate) use command::{
    Reservation, Reserve, ReserveCommand, ReserveError, Reserved, SEATS_MAX, Strategy,
};
pub(crate) use idempotency_key::IdempotencyKey;
pub(crate) use receipts::{Receipt, booked, outcome, replay};
