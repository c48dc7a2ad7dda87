//! `flash_sale`: all clients compete for one slot from the same instant, and retry.
//!
//! A client reserves; with a hold it mostly confirms, sometimes cancels, and sometimes lets the
//! hold expire. Most of those that confirmed cancel later, so that seats are resold for as long as
//! the run lasts, and the moment in which a slot can be overbooked recurs. After `sold_out` a
//! client sometimes reads the slot, and tries again.
//!
//! Some do what people do: click twice, cancel again to be sure, or confirm after their hold has
//! expired or their booking was cancelled.

use std::ops::Range;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::Outcome;

use crate::{
    client::{Client, Held},
    random,
};

/// Percentages of what clients with a hold do; the others confirm.
const GIVE_UP_PERCENT: u32 = 10;
const ABANDON_PERCENT: u32 = 5;
/// Percentage of confirmed bookings that are cancelled later.
const CANCEL_PERCENT: u32 = 90;
/// Percentage of clients that read the slot after `sold_out`, before they try again.
const READ_PERCENT: u32 = 20;

/// Percentage of reserves that are a double click: two calls at once with one key.
const TWICE_PERCENT: u32 = 10;
/// Percentage of cancels that are repeated.
const CANCEL_AGAIN_PERCENT: u32 = 10;
/// Percentage of cancelled bookings that their client confirms after all.
const CONFIRM_CANCELLED_PERCENT: u32 = 5;
/// Percentage of clients with a hold that confirm after it has expired.
const LATE_PERCENT: u32 = 3;
/// How much too late, in milliseconds: some before the sweep, some after.
const LATE_MS: Range<u64> = 20..1_000;

/// Pauses in milliseconds: between a hold and its confirm, ...
const DECIDE_MS: Range<u64> = 10..150;
/// ... between a confirm and its cancel, ...
const KEEP_MS: Range<u64> = 200..1_500;
/// ... and before the next try.
const RETRY_MS: Range<u64> = 50..300;

/// One client, from the start to the end.
pub(crate) async fn run(
    client: &mut Client,
    slot: usize,
    rng: &mut ChaCha8Rng,
    start_ns: u64,
    end_ns: u64,
) {
    let mut scheduled_ns = start_ns;
    while scheduled_ns < end_ns {
        client.sleep_until(scheduled_ns).await;
        let seats = random::seats(rng);
        let response = if random::percent(rng, TWICE_PERCENT) {
            client.reserve_twice(slot, seats, scheduled_ns).await
        } else {
            client.reserve(slot, seats, scheduled_ns).await
        };
        let done_ns = match (response.outcome, response.held) {
            (Outcome::Ok, Some(held)) => decide(client, held, rng, end_ns).await,
            (Outcome::SoldOut, _) if random::percent(rng, READ_PERCENT) => {
                client.read(slot, response.returned_ns).await.returned_ns
            }
            _ => response.returned_ns,
        };
        scheduled_ns = done_ns + random::pause_ns(rng, RETRY_MS);
    }
}

/// What a client does with its hold; returns the instant at which it is free again.
async fn decide(client: &mut Client, mut held: Held, rng: &mut ChaCha8Rng, end_ns: u64) -> u64 {
    let choice = rng.random_range(0..100);
    if choice < ABANDON_PERCENT {
        return held.since_ns;
    }
    let decided_ns = if random::percent(rng, LATE_PERCENT) {
        let expired_ns = held.since_ns.saturating_add(held.hold_ms.saturating_mul(1_000_000));
        expired_ns.saturating_add(random::pause_ns(rng, LATE_MS))
    } else {
        held.since_ns + random::pause_ns(rng, DECIDE_MS)
    };
    if decided_ns >= end_ns {
        return decided_ns;
    }
    client.sleep_until(decided_ns).await;
    if choice < ABANDON_PERCENT + GIVE_UP_PERCENT {
        return cancel(client, held, rng, decided_ns).await;
    }
    let confirmed = client.confirm(&mut held, decided_ns).await;
    let cancel_ns = confirmed.returned_ns + random::pause_ns(rng, KEEP_MS);
    if confirmed.outcome != Outcome::Ok
        || !random::percent(rng, CANCEL_PERCENT)
        || cancel_ns >= end_ns
    {
        return confirmed.returned_ns;
    }
    client.sleep_until(cancel_ns).await;
    cancel(client, held, rng, cancel_ns).await
}

async fn cancel(client: &mut Client, mut held: Held, rng: &mut ChaCha8Rng, cancel_ns: u64) -> u64 {
    let cancelled = client.cancel(&mut held, cancel_ns).await;
    let returned_ns = cancelled.returned_ns;
    if random::percent(rng, CANCEL_AGAIN_PERCENT) {
        return client.cancel(&mut held, returned_ns).await.returned_ns;
    }
    if cancelled.outcome == Outcome::Ok && random::percent(rng, CONFIRM_CANCELLED_PERCENT) {
        return client.confirm(&mut held, returned_ns).await.returned_ns;
    }
    returned_ns
}
