//! `abandoned_holds`: most take seats and walk away.
//!
//! Their seats come back only when the hold has run out, so for a while everything is held and
//! nothing is sold; what expires must be sold again, and once. Some of those who walked away come
//! back when their hold has run out, and try to confirm it: some of them before the service has
//! swept it, some after.

use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::Flow;

use crate::{
    chance,
    client::Client,
    clock,
    steady::{self, Intent},
};

pub(crate) use steady::intent;

/// How many of a hundred that walk away come back too late.
const COME_BACK_PERCENT: u32 = 15;
/// Nobody comes back for a hold of longer than this: a load must come to its end.
const COME_BACK_WITHIN_MS: u64 = 10_000;
/// How much too late, in milliseconds.
const LATE_MS: std::ops::Range<u64> = 20..1_000;

pub(crate) async fn visit(
    client: &mut Client,
    intent: Intent,
    rng: &mut ChaCha8Rng,
    scheduled_ns: u64,
) -> u64 {
    if intent.visit != Flow::Abandon || !chance::percent(rng, COME_BACK_PERCENT) {
        return steady::visit(client, intent, rng, scheduled_ns).await;
    }
    let told = client.reserve(intent.slot, intent.seats, scheduled_ns).await;
    let Some(mut held) = told.held else { return told.returned_ns };
    if held.hold_ms > COME_BACK_WITHIN_MS {
        return held.since_ns;
    }
    let late_ns = held.since_ns + held.hold_ms * 1_000_000 + chance::pause_ns(rng, LATE_MS);
    clock::sleep_until(late_ns).await;
    client.confirm(&mut held, late_ns).await.returned_ns
}
