//! `steady`: ordinary traffic. Users browse, book and sometimes cancel, over slots of equal
//! popularity.
//!
//! The flow, its slot and its seats are drawn before the first request, so that they do not depend
//! on the answers of others. Users pause between two operations; told `sold_out`, they leave.

use std::ops::Range;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::{Flow, Outcome};

use super::intent::{FlowContext, Intent};
use crate::{
    client::{Client, Held},
    random,
};

/// Milliseconds between a hold and its confirm or cancel.
const DECIDE_MS: Range<u64> = 10..150;
/// Milliseconds between a confirm and its cancel.
const KEEP_MS: Range<u64> = 200..1_500;
/// A user does not return for a hold of longer than this: a load must end.
pub(crate) const RETURN_WITHIN_MS: u64 = 10_000;
/// Milliseconds between the end of a hold and the second look at it.
const LOOK_MS: Range<u64> = 300..1_000;

pub(crate) fn intent(context: &FlowContext, rng: &mut ChaCha8Rng) -> Intent {
    Intent {
        flow: random::flow(rng, &context.plan.mix),
        slot: rng.random_range(0..context.slots),
        seats: random::seats(rng),
    }
}

/// Runs one flow; returns the instant at which the client is free again.
pub(crate) async fn run(
    client: &mut Client,
    intent: Intent,
    rng: &mut ChaCha8Rng,
    scheduled_ns: u64,
) -> u64 {
    if intent.flow == Flow::Browse {
        return client.read(intent.slot, scheduled_ns).await.returned_ns;
    }
    let response = client.reserve(intent.slot, intent.seats, scheduled_ns).await;
    match response.held {
        Some(held) => decide(client, intent.flow, held, rng).await,
        None => response.returned_ns,
    }
}

/// What a flow does with its hold.
pub(crate) async fn decide(
    client: &mut Client,
    flow: Flow,
    mut held: Held,
    rng: &mut ChaCha8Rng,
) -> u64 {
    if flow == Flow::Abandon {
        return held.since_ns;
    }
    if flow == Flow::Watch {
        return watch(client, &held, rng).await;
    }
    let pause_ns = if flow == Flow::Buy { 0 } else { random::pause_ns(rng, DECIDE_MS) };
    let decided_ns = held.since_ns + pause_ns;
    client.sleep_until(decided_ns).await;
    if flow == Flow::GiveUp {
        return client.cancel(&mut held, decided_ns).await.returned_ns;
    }
    let confirmed = client.confirm(&mut held, decided_ns).await;
    if matches!(flow, Flow::Book | Flow::Buy) || confirmed.outcome != Outcome::Ok {
        return confirmed.returned_ns;
    }
    let cancel_ns = confirmed.returned_ns + random::pause_ns(rng, KEEP_MS);
    client.sleep_until(cancel_ns).await;
    client.cancel(&mut held, cancel_ns).await.returned_ns
}

/// Looks at a hold while it lasts, and after it has run out.
async fn watch(client: &mut Client, held: &Held, rng: &mut ChaCha8Rng) -> u64 {
    let looked_ns = client.look(held, held.since_ns).await.returned_ns;
    let over_ns = held.since_ns.saturating_add(held.hold_ms.saturating_mul(1_000_000));
    let again_ns = over_ns.saturating_add(random::pause_ns(rng, LOOK_MS));
    if held.hold_ms > RETURN_WITHIN_MS {
        return looked_ns;
    }
    client.sleep_until(again_ns).await;
    client.look(held, again_ns).await.returned_ns
}
