//! Service and model side by side: whatever can be seen of either after a step, as text.

use std::collections::BTreeMap;

use anyhow::Result;
use slotproof_evidence::reference::observation::Observation;
use slotproof_models::{CallId, LastAnswer, ReceiptView, View};
use uuid::Uuid;

use super::{At, Director, Work, work_of};

impl Director<'_> {
    /// Everything that can be seen, held against the model.
    pub(super) async fn compare(
        &self,
        seen: &Observation,
        blocked: &BTreeMap<String, String>,
        differences: &mut Vec<String>,
    ) -> Result<()> {
        let view = self.walk.view();
        let mut differ = |what: &str, service: String, model: String| {
            if service != model {
                differences.push(format!("{what}: {service}; in the model {model}"));
            }
        };
        differ("seats said to be free", seen.available.to_string(), view.available.to_string());
        differ("version of the slot", seen.version.to_string(), view.version.to_string());
        differ("bookings", self.bookings_seen(seen), bookings_expected(&view));
        differ("receipts", self.receipts_seen(seen), receipts_expected(&view));
        differ(
            "holder of the slot's row",
            self.holder(&seen.slot_locked_by),
            spoken(view.slot_locked_by),
        );
        differ(
            "holder of the slot's name",
            self.holder(&seen.name_locked_by),
            spoken(view.name_locked_by),
        );
        let told = |told: Option<LastAnswer>| format!("{:?}", told.unwrap_or(LastAnswer::Nothing));
        for (number, (client, expected)) in (1..).zip(self.clients.iter().zip(&view.answers)) {
            differ(&format!("client {number} was told"), told(client.told), told(Some(*expected)));
        }
        for (work, at) in &self.work {
            if let Work::Call(call) = work {
                let expected = self.walk.point(*call);
                let stands = match at {
                    At::Parked(step) => Some(step.as_str()),
                    // It is on its way to the step that it was let go for, and waits for a lock.
                    At::Going => expected,
                    At::Over => None,
                };
                let place = |step: Option<&str>| {
                    step.map_or("over".to_owned(), |step| format!("before `{step}`"))
                };
                differ(&format!("{call} is"), place(stands), place(expected));
            }
        }
        let waits: Vec<String> = self
            .walk
            .waiting()
            .iter()
            .filter_map(work_of)
            .map(|work| self.full_name(work))
            .collect();
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names.join(", ")
        };
        differ("who waits for a lock", sorted(blocked.keys().cloned().collect()), sorted(waits));
        if let Some(mut redis) = self.rig.redis.clone() {
            let held: i64 =
                redis::cmd("EXISTS").arg(&self.lock_keys()[..]).query_async(&mut redis).await?;
            differ("lock in Redis taken", (held > 0).to_string(), view.redis.0.to_string());
            if self.rig.strategy == slotproof_vocabulary::StrategyKind::RedisLock {
                let fence = format!("fence:{{{}}}", self.slot);
                let tokens: Option<u32> =
                    redis::cmd("GET").arg(fence).query_async(&mut redis).await?;
                differ(
                    "tokens given out",
                    tokens.unwrap_or(0).to_string(),
                    view.redis.1.to_string(),
                );
                differ(
                    "highest token that has written",
                    seen.fence.to_string(),
                    view.fence.to_string(),
                );
            }
        }
        Ok(())
    }

    fn holder(&self, name: &Option<String>) -> String {
        name.as_deref().map_or_else(|| "nobody".to_owned(), |name| self.spoken(name))
    }

    fn whose(&self, id: &Uuid) -> String {
        self.bookings.get(id).map_or_else(|| format!("a stranger ({id})"), ToString::to_string)
    }

    fn bookings_seen(&self, seen: &Observation) -> String {
        let mut all: Vec<String> = seen
            .bookings
            .iter()
            .map(|(id, (status, overdue))| booking_words(&self.whose(id), status.name(), *overdue))
            .collect();
        all.sort();
        all.join(", ")
    }

    fn receipts_seen(&self, seen: &Observation) -> String {
        let mut all: Vec<String> = (0..self.clients.len())
            .filter_map(|client| {
                let number = u8::try_from(client).ok()?;
                let booking = seen.receipts.get(&self.key(number))?;
                Some(receipt_words(client, booking.as_ref().map(|id| self.whose(id))))
            })
            .collect();
        all.sort();
        all.join(", ")
    }
}

fn spoken(call: Option<CallId>) -> String {
    call.map_or_else(|| "nobody".to_owned(), |call| call.to_string())
}

fn booking_words(whose: &str, status: &str, overdue: bool) -> String {
    let time = if overdue { ", out of time" } else { "" };
    format!("{status} by {whose}{time}")
}

fn receipt_words(client: usize, whose: Option<String>) -> String {
    let whose = whose.map_or_else(|| "a no".to_owned(), |whose| format!("the booking of {whose}"));
    format!("client {} has {whose}", client + 1)
}

fn bookings_expected(view: &View) -> String {
    let mut all: Vec<String> = view
        .bookings
        .iter()
        .map(|(call, (status, overdue))| booking_words(&call.to_string(), status.name(), *overdue))
        .collect();
    all.sort();
    all.join(", ")
}

fn receipts_expected(view: &View) -> String {
    let mut all: Vec<String> = view
        .receipts
        .iter()
        .enumerate()
        .filter_map(|(client, receipt)| {
            receipt.map(|receipt| match receipt {
                ReceiptView::Booking(call) => receipt_words(client, Some(call.to_string())),
                ReceiptView::Refused => receipt_words(client, None),
            })
        })
        .collect();
    all.sort();
    all.join(", ")
}
