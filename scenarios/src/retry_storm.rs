//! `retry_storm`: impatient people.
//!
//! An operation that is not answered in time is sent again by the same key, several times (the
//! plan's `attempts` and `resend`; the recording client does it, and counts). Told `sold_out`, they
//! ask again at once with a new key. So a service that becomes slow gets more to do, and every
//! duplicate is a chance to book twice.

use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::{Flow, Outcome};

use crate::{
    chance,
    client::Client,
    clock,
    steady::{self, Intent},
};

pub(crate) use steady::intent;

/// How often somebody who was told `sold_out` asks anew.
const ASK_AGAIN: u32 = 3;
/// Milliseconds before they do.
const AGAIN_MS: std::ops::Range<u64> = 1..20;

pub(crate) async fn visit(
    client: &mut Client,
    intent: Intent,
    rng: &mut ChaCha8Rng,
    scheduled_ns: u64,
) -> u64 {
    if intent.visit == Flow::Browse {
        return steady::visit(client, intent, rng, scheduled_ns).await;
    }
    let mut due_ns = scheduled_ns;
    for _ in 0..ASK_AGAIN {
        let told = client.reserve(intent.slot, intent.seats, due_ns).await;
        if told.outcome != Outcome::SoldOut {
            return match told.held {
                Some(held) => steady::decide(client, intent.visit, held, rng).await,
                None => told.returned_ns,
            };
        }
        due_ns = told.returned_ns + chance::pause_ns(rng, AGAIN_MS);
        clock::sleep_until(due_ns).await;
    }
    steady::visit(client, intent, rng, due_ns).await
}
