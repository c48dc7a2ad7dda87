//! porcupine-rs on the histories of the checker's bench, for comparison. Behind the feature
//! `porcupine`: that crate brings a whole benchmark framework with it.

use std::{collections::BTreeMap, path::Path, time::Instant};

use anyhow::Result;
use porcupine_rs::{CheckResult, Model};
use slotproof_checker::History;
use slotproof_history::ActionRef;
use slotproof_reports::bench::checker::Porcupine;
use slotproof_vocabulary::Outcome;

use super::checker::{CAPACITY, PORCUPINE_WITHIN};
use crate::check_run;

/// What happens to the one slot, for porcupine.
#[derive(Debug, Clone, Copy)]
enum Event {
    Change(i64),
    Full(i64),
    Look(i64),
}

#[derive(Debug, Clone)]
struct Seats;

impl Model for Seats {
    type State = i64;
    type Op = Event;
    type Metadata = ();

    fn init() -> i64 {
        CAPACITY
    }

    fn step(free: &i64, event: &Event) -> (bool, i64) {
        match event {
            Event::Change(seats) => (free + seats >= 0, free + seats),
            Event::Full(seats) => (seats > free, *free),
            Event::Look(available) => (available == free, *free),
        }
    }
}

/// In the process of its own: reads, and lets porcupine decide. Slots are checked one after the
/// other, which is to its advantage.
pub fn porcupine_file(path: &Path) -> Result<Porcupine> {
    let history = check_run::case_of_history(path, Some(CAPACITY), BTreeMap::new())?.history;
    let slots = events(&history);
    let begun = Instant::now();
    let mut result = "ok";
    for operations in slots.values() {
        let left = PORCUPINE_WITHIN.saturating_sub(begun.elapsed());
        match porcupine_rs::check_operations_timeout(operations, left) {
            CheckResult::Ok => {}
            CheckResult::Illegal => result = "illegal",
            CheckResult::Unknown => result = "unknown",
        }
        if result != "ok" {
            break;
        }
    }
    Ok(Porcupine { result: result.to_owned(), took_ms: begun.elapsed().as_millis() as u64 })
}

fn events(history: &History) -> BTreeMap<&str, Vec<porcupine_rs::Operation<Seats>>> {
    let mut seats_of: BTreeMap<&str, i64> = BTreeMap::new();
    for operation in &history.operations {
        if let (ActionRef::Reserve { seats, .. }, Some(booking)) =
            (operation.action, operation.seen.booking)
        {
            seats_of.insert(booking.text(), i64::from(seats));
        }
    }
    let mut slots: BTreeMap<&str, Vec<porcupine_rs::Operation<Seats>>> = BTreeMap::new();
    for operation in &history.operations {
        let op = match (operation.action, operation.outcome) {
            (ActionRef::Reserve { seats, .. }, Outcome::SoldOut) => Event::Full(seats.into()),
            (ActionRef::Reserve { seats, .. }, _) => Event::Change(-i64::from(seats)),
            (ActionRef::Cancel { booking }, _) => {
                Event::Change(seats_of.get(booking.text()).copied().unwrap_or(0))
            }
            (ActionRef::Read, _) => Event::Look(operation.seen.available.unwrap_or_default()),
            _ => continue,
        };
        slots.entry(operation.slot.text()).or_default().push(porcupine_rs::Operation {
            client_id: None,
            call_time: operation.sent_ns as i64,
            return_time: operation.returned_ns as i64,
            op,
            metadata: None,
        });
    }
    slots
}
