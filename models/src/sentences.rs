//! A path as sentences.

use stateright::Path;

use crate::{
    schedule::ScheduledEvent,
    transition::Transition,
    world::{Phase, World},
};

/// The events of a path, each with its sentence.
pub(crate) fn scheduled(path: Path<World, Transition>) -> Vec<ScheduledEvent> {
    let steps = path.into_vec();
    let pairs = steps.iter().zip(steps.iter().skip(1));
    pairs
        .filter_map(|((before, taken), (after, _))| Some(scheduled_event(before, (*taken)?, after)))
        .collect()
}

/// A transition between two worlds as an event with its sentence.
pub(crate) fn scheduled_event(
    before: &World,
    transition: Transition,
    after: &World,
) -> ScheduledEvent {
    ScheduledEvent {
        what: transition.into(),
        text: format!("{transition}{}", consequences(before, after)),
    }
}

/// The answers that clients get by a transition, and what it changes about the seats.
fn consequences(before: &World, after: &World) -> String {
    let mut all = Vec::new();
    for ((client, now), was) in (1..).zip(&after.clients).zip(&before.clients) {
        if was.phase != now.phase {
            let answered = answered(was.phase, now.phase);
            all.extend(answered.map(|answered| format!("client {client} {answered}")));
        }
    }
    let taken = after.database.taken();
    if before.database.taken() != taken {
        all.push(format!("{taken} of {} seats taken", after.database.slot.capacity));
    }
    let available = after.database.slot.available;
    if before.database.slot.available != available {
        all.push(format!("available_seats {available}"));
    }
    match all.is_empty() {
        true => String::new(),
        false => format!(": {}", all.join(", ")),
    }
}

fn answered(was: Phase, now: Phase) -> Option<&'static str> {
    match now {
        Phase::Waiting { call: 1.., .. } if matches!(was, Phase::Waiting { call: 0, .. }) => {
            Some("retries with the same key")
        }
        Phase::Idle | Phase::Waiting { .. } => None,
        Phase::Holding { .. } => Some("gets ok"),
        Phase::Confirmed { .. } => Some("gets confirmed"),
        Phase::Cancelled { .. } => Some("gets cancelled"),
        Phase::HoldExpired => Some("gets hold_expired"),
        Phase::SoldOut { .. } => Some("gets sold_out"),
        Phase::RetryLater => Some("gets retry_later"),
        Phase::Unknown => Some("gives up without an answer"),
    }
}
