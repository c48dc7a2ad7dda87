//! `steady`: an ordinary day. People look, book, and sometimes cancel, over slots that are all
//! alike.
//!
//! What a visit is, which slot it wants and how many seats is drawn before its first request, so
//! that it does not depend on what others were told. Between two operations of one visit people
//! take a moment; told `sold_out`, they leave.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::{Flow, Outcome};

use crate::{
    chance,
    client::{Client, Held},
    clock,
    visits::World,
};

/// Milliseconds between seats in hand and confirming, or giving up.
const DECIDE_MS: std::ops::Range<u64> = 10..150;
/// Milliseconds between confirming and cancelling.
const KEEP_MS: std::ops::Range<u64> = 200..1_500;

/// What somebody comes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) visit: Flow,
    /// The slot's place among the site's.
    pub(crate) slot: usize,
    pub(crate) seats: u32,
}

pub(crate) fn intent(world: &World, rng: &mut ChaCha8Rng) -> Intent {
    Intent {
        visit: chance::visit(rng, &world.plan.mix),
        slot: rng.random_range(0..world.slots),
        seats: chance::seats(rng),
    }
}

/// One visit; answers with the instant at which the client is free again.
pub(crate) async fn visit(
    client: &mut Client,
    intent: Intent,
    rng: &mut ChaCha8Rng,
    scheduled_ns: u64,
) -> u64 {
    if intent.visit == Flow::Browse {
        return client.read(intent.slot, scheduled_ns).await.returned_ns;
    }
    let told = client.reserve(intent.slot, intent.seats, scheduled_ns).await;
    match told.held {
        Some(held) => decide(client, intent.visit, held, rng).await,
        None => told.returned_ns,
    }
}

/// What becomes of seats in hand.
pub(crate) async fn decide(
    client: &mut Client,
    visit: Flow,
    mut held: Held,
    rng: &mut ChaCha8Rng,
) -> u64 {
    if visit == Flow::Abandon {
        return held.since_ns;
    }
    let decided_ns = held.since_ns + chance::pause_ns(rng, DECIDE_MS);
    clock::sleep_until(decided_ns).await;
    if visit == Flow::GiveUp {
        return client.cancel(&mut held, decided_ns).await.returned_ns;
    }
    let confirmed = client.confirm(&mut held, decided_ns).await;
    if visit == Flow::Book || confirmed.outcome != Outcome::Ok {
        return confirmed.returned_ns;
    }
    let cancel_ns = confirmed.returned_ns + chance::pause_ns(rng, KEEP_MS);
    clock::sleep_until(cancel_ns).await;
    client.cancel(&mut held, cancel_ns).await.returned_ns
}
