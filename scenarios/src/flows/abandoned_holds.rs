//! `abandoned_holds`: most users reserve and leave.
//!
//! Their seats come back only when the hold has expired, so for a while every seat is held and none
//! is sold; expired seats must be resold, and once. Some of the users who left return after their
//! hold has expired and try to confirm it: some before the service has swept it, some after.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use slotproof_vocabulary::Flow;

use super::{
    intent::Intent,
    steady::{self, RETURN_WITHIN_MS},
};
use crate::{client::Client, random};

pub(crate) use steady::intent;

/// Percentage of the users who left that return too late.
const RETURN_PERCENT: u32 = 15;
/// How much too late, in milliseconds.
const LATE_MS: Range<u64> = 20..1_000;

pub(crate) async fn run(
    client: &mut Client,
    intent: Intent,
    rng: &mut ChaCha8Rng,
    scheduled_ns: u64,
) -> u64 {
    if intent.flow != Flow::Abandon || !random::percent(rng, RETURN_PERCENT) {
        return steady::run(client, intent, rng, scheduled_ns).await;
    }
    let response = client.reserve(intent.slot, intent.seats, scheduled_ns).await;
    let Some(mut held) = response.held else { return response.returned_ns };
    if held.hold_ms > RETURN_WITHIN_MS {
        return held.since_ns;
    }
    let late_ns = held.since_ns + held.hold_ms * 1_000_000 + random::pause_ns(rng, LATE_MS);
    client.sleep_until(late_ns).await;
    client.confirm(&mut held, late_ns).await.returned_ns
}
