//! A path as sentences that a person can follow.

use stateright::Path;

use crate::{
    schedule::Scheduled,
    step::Step,
    strategy::Strategy,
    world::{Phase, World},
};

/// The steps of a path, each with a sentence that says what it made visible.
pub(crate) fn told<S: Strategy>(path: Path<World<S>, Step<S>>) -> Vec<Scheduled> {
    let steps = path.into_vec();
    let pairs = steps.iter().zip(steps.iter().skip(1));
    pairs
        .filter_map(|((before, step), (after, _))| {
            let step = (*step)?;
            Some(Scheduled {
                what: step.into(),
                text: format!("{step}{}", consequences(before, after)),
            })
        })
        .collect()
}

/// What clients learn from a step, and what it does to the seats.
pub(crate) fn consequences<S: Strategy>(before: &World<S>, after: &World<S>) -> String {
    let mut all = Vec::new();
    for ((client, now), was) in (1..).zip(&after.clients).zip(&before.clients) {
        if was.phase != now.phase {
            all.extend(
                learnt(was.phase, now.phase).map(|learnt| format!("client {client} {learnt}")),
            );
        }
    }
    let taken = after.database.taken();
    if before.database.taken() != taken {
        all.push(format!("{taken} of {} seats taken", after.database.slot.capacity));
    }
    let available = after.database.slot.available;
    if before.database.slot.available != available {
        all.push(format!("{available} said to be free"));
    }
    match all.is_empty() {
        true => String::new(),
        false => format!(": {}", all.join(", ")),
    }
}

fn learnt(was: Phase, now: Phase) -> Option<&'static str> {
    match now {
        Phase::Waiting { call: 1.., .. } if matches!(was, Phase::Waiting { call: 0, .. }) => {
            Some("tries again with its key")
        }
        Phase::Idle | Phase::Waiting { .. } => None,
        Phase::Holding { .. } => Some("is told ok"),
        Phase::Confirmed { .. } => Some("is told that it is confirmed"),
        Phase::Cancelled { .. } => Some("is told that it is cancelled"),
        Phase::HoldExpired => Some("is told that its hold has expired"),
        Phase::SoldOut { .. } => Some("is told sold_out"),
        Phase::RetryLater => Some("is told retry_later"),
        Phase::Unknown => Some("never learns the outcome"),
    }
}
