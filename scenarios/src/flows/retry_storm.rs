//! `retry_storm`: impatient clients.
//!
//! An operation that is not answered in time is resent with the same key, several times (the plan's
//! `attempts` and `resend`; the recording client does it, and counts). Some send it twice at once: a
//! fast service answers before it would be resent, and would never have one key twice in flight.
//! After `sold_out` a client reserves again at once with a new key. So a service that becomes slow
//! gets more work, and every duplicate may book twice.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::{Flow, Outcome};

use super::{intent::Intent, steady};
use crate::{client::Client, random};

pub(crate) use steady::intent;

/// Percentage of reserves that are sent twice at once with one key.
const TWICE_PERCENT: u32 = 20;
/// How often a client reserves again after `sold_out`.
const RESERVE_AGAIN: u32 = 3;
/// Milliseconds before it does.
const AGAIN_MS: Range<u64> = 1..20;

pub(crate) async fn run(
    client: &mut Client,
    intent: Intent,
    rng: &mut ChaCha8Rng,
    scheduled_ns: u64,
) -> u64 {
    if intent.flow == Flow::Browse {
        return steady::run(client, intent, rng, scheduled_ns).await;
    }
    let mut due_ns = scheduled_ns;
    for _ in 0..RESERVE_AGAIN {
        let response = if random::percent(rng, TWICE_PERCENT) {
            client.reserve_twice(intent.slot, intent.seats, due_ns).await
        } else {
            client.reserve(intent.slot, intent.seats, due_ns).await
        };
        if response.outcome != Outcome::SoldOut {
            return match response.held {
                Some(held) => steady::decide(client, intent.flow, held, rng).await,
                None => response.returned_ns,
            };
        }
        due_ns = response.returned_ns + random::pause_ns(rng, AGAIN_MS);
        client.sleep_until(due_ns).await;
    }
    steady::run(client, intent, rng, due_ns).await
}
