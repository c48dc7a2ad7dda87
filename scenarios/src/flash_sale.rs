//! `flash_sale`: everyone wants the one slot at the one instant, and keeps trying.
//!
//! A client reserves; with seats in hand it mostly confirms, sometimes gives up at once, sometimes
//! just walks away and lets the hold run out. Most of those who confirmed cancel a while later, so
//! that seats are sold again and again for as long as the run lasts, and the moment in which a slot
//! is overbooked keeps coming back. Told `sold_out`, a client looks at the slot now and then, and
//! tries again.
//!
//! Some do what people do: click twice, cancel once more to be sure, or come to confirm when their
//! hold has run out.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::Outcome;

use crate::{
    chance,
    client::{Client, Held},
    clock,
};

/// What a hundred clients with seats in hand do; the rest confirm.
const GIVE_UP_PERCENT: u32 = 10;
const WALK_AWAY_PERCENT: u32 = 5;
/// How many of a hundred that confirmed cancel later.
const CANCEL_PERCENT: u32 = 90;
/// How many of a hundred that were told `sold_out` read the slot before they try again.
const LOOK_PERCENT: u32 = 20;

/// How many of a hundred reserves are an impatient click: two calls at once with one key.
const TWICE_PERCENT: u32 = 10;
/// How many of a hundred cancels are repeated by a client that wants to be sure.
const CANCEL_AGAIN_PERCENT: u32 = 10;
/// How many of a hundred clients with seats in hand come to confirm after the hold has run out.
const COME_LATE_PERCENT: u32 = 3;
/// How much too late, in milliseconds: some of them before the sweep, some after.
const LATE_MS: std::ops::Range<u64> = 20..1_000;

/// Thinking times in milliseconds: between seats in hand and confirming, ...
const DECIDE_MS: std::ops::Range<u64> = 10..150;
/// ... between confirming and cancelling, ...
const KEEP_MS: std::ops::Range<u64> = 200..1_500;
/// ... and before the next try.
const RETRY_MS: std::ops::Range<u64> = 50..300;

/// One client's life, from the opening of the gate to the end.
pub(crate) async fn live(
    client: &mut Client,
    slot: usize,
    rng: &mut ChaCha8Rng,
    opening_ns: u64,
    end_ns: u64,
) {
    let mut scheduled_ns = opening_ns;
    while scheduled_ns < end_ns {
        clock::sleep_until(scheduled_ns).await;
        let seats = chance::seats(rng);
        let told = if chance::percent(rng, TWICE_PERCENT) {
            client.reserve_twice(slot, seats, scheduled_ns).await
        } else {
            client.reserve(slot, seats, scheduled_ns).await
        };
        let done_ns = match (told.outcome, told.held) {
            (Outcome::Ok, Some(held)) => hold(client, held, rng, end_ns).await,
            (Outcome::SoldOut, _) if chance::percent(rng, LOOK_PERCENT) => {
                client.read(slot, told.returned_ns).await.returned_ns
            }
            _ => told.returned_ns,
        };
        scheduled_ns = done_ns + chance::pause_ns(rng, RETRY_MS);
    }
}

/// What becomes of seats in hand; answers with the instant at which the client is free again.
async fn hold(client: &mut Client, mut held: Held, rng: &mut ChaCha8Rng, end_ns: u64) -> u64 {
    let choice = rng.random_range(0..100);
    if choice < WALK_AWAY_PERCENT {
        return held.since_ns;
    }
    let decided_ns = if chance::percent(rng, COME_LATE_PERCENT) {
        let over_ns = held.since_ns.saturating_add(held.hold_ms.saturating_mul(1_000_000));
        over_ns.saturating_add(chance::pause_ns(rng, LATE_MS))
    } else {
        held.since_ns + chance::pause_ns(rng, DECIDE_MS)
    };
    if decided_ns >= end_ns {
        return decided_ns;
    }
    clock::sleep_until(decided_ns).await;
    if choice < WALK_AWAY_PERCENT + GIVE_UP_PERCENT {
        return cancel(client, held, rng, decided_ns).await;
    }
    let confirmed = client.confirm(&mut held, decided_ns).await;
    let cancel_ns = confirmed.returned_ns + chance::pause_ns(rng, KEEP_MS);
    if confirmed.outcome != Outcome::Ok
        || !chance::percent(rng, CANCEL_PERCENT)
        || cancel_ns >= end_ns
    {
        return confirmed.returned_ns;
    }
    clock::sleep_until(cancel_ns).await;
    cancel(client, held, rng, cancel_ns).await
}

async fn cancel(client: &mut Client, mut held: Held, rng: &mut ChaCha8Rng, cancel_ns: u64) -> u64 {
    let cancelled_ns = client.cancel(&mut held, cancel_ns).await.returned_ns;
    if !chance::percent(rng, CANCEL_AGAIN_PERCENT) {
        return cancelled_ns;
    }
    client.cancel(&mut held, cancelled_ns).await.returned_ns
}
