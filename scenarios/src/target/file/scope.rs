//! What the names in a request stand for: the values of a run, a slot, a client, a visit and an
//! operation.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use minijinja::value::Serde;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::capture::integer;

/// What setup has captured for a slot, with the values of its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    pub(super) run: Map<String, Value>,
    pub(super) slot: Map<String, Value>,
}

impl Place {
    /// The slot's name in a history: its captured `id`, or its number.
    pub fn slot_name(&self) -> String {
        match self.slot.get("id").or_else(|| self.slot.get("number")) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// Seats of the slot.
    pub fn capacity(&self) -> u32 {
        let capacity = self.slot.get("capacity").and_then(integer);
        capacity.and_then(|seats| u32::try_from(seats).ok()).unwrap_or_default()
    }

    /// A slot that was made, of which requests need no more than its id.
    pub fn of_id(id: &str) -> Self {
        let slot = Map::from_iter([("id".to_owned(), Value::String(id.to_owned()))]);
        Self { run: Map::new(), slot }
    }

    /// As requests need it.
    pub fn names(&self) -> PlaceNames {
        PlaceNames { run: object(&self.run), slot: object(&self.slot) }
    }
}

/// A place, ready for requests: they share it.
#[derive(Debug, Clone)]
pub struct PlaceNames {
    pub(super) run: minijinja::Value,
    pub(super) slot: minijinja::Value,
}

/// What a client knows from one operation to the next.
#[derive(Debug, Default)]
pub struct Session {
    /// What its setup has captured; it is made once.
    pub(super) client: OnceCell<minijinja::Value>,
    /// By booking.
    kept: Mutex<HashMap<String, Kept>>,
}

/// What is known of a booking beside its id.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// What the setup of its visit has captured.
    pub(super) visit: minijinja::Value,
    /// What its reserve has captured.
    pub(super) captured: Map<String, Value>,
}

impl Session {
    pub(super) fn keep(&self, booking: &str, kept: Kept) {
        self.lock().insert(booking.to_owned(), kept);
    }

    pub(super) fn kept(&self, booking: &str) -> Option<Kept> {
        self.lock().get(booking).cloned()
    }

    pub(super) fn forget(&self, booking: &str) {
        self.lock().remove(booking);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The values of one operation.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Where its requests go, without a slash at the end.
    pub base_url: &'a str,
    /// Where it is made.
    pub place: &'a PlaceNames,
    /// Who makes it.
    pub session: &'a Session,
    /// The client's number.
    pub client: u64,
    /// Seats of a reserve.
    pub seats: u32,
    /// The key of the logical operation.
    pub key: &'a str,
    /// The booking that is confirmed or cancelled.
    pub booking: Option<&'a str>,
    /// The highest version of the slot that the client was told; 0 before.
    pub seen_version: i64,
}

impl<'a> Scope<'a> {
    /// An operation of a client alone, on one seat, without a key.
    pub fn of(base_url: &'a str, place: &'a PlaceNames, session: &'a Session) -> Self {
        Self {
            base_url,
            place,
            session,
            client: 0,
            seats: 1,
            key: "",
            booking: None,
            seen_version: 0,
        }
    }
}

/// A scope without names.
pub(super) fn nothing() -> minijinja::Value {
    static NOTHING: LazyLock<minijinja::Value> = LazyLock::new(|| object(&Map::new()));
    NOTHING.clone()
}

pub(super) fn object(map: &Map<String, Value>) -> minijinja::Value {
    minijinja::Value::from(Serde(map))
}

pub(super) fn value(value: &Value) -> minijinja::Value {
    minijinja::Value::from(Serde(value))
}
