//! What waits in a lane, and which of it is the next batch.

use std::collections::{HashMap, VecDeque};

use slotproof_vocabulary::SlotId;
use tokio::sync::oneshot;

use super::Answer;
use crate::reserve::ReserveCommand;

/// Requests in one transaction: a few milliseconds of work, for which the rows are locked.
pub(super) const BATCH_MAX: usize = 256;
/// Requests that wait for one slot, some tenths of a second of work; more are told `retry_later`.
const WAITING_MAX: usize = 4_096;

pub(super) struct Waiting {
    pub(super) command: ReserveCommand,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// The requests that wait in a lane, in order of arrival for each slot.
#[derive(Default)]
pub(super) struct Gathered {
    queues: HashMap<SlotId, VecDeque<Waiting>>,
    /// Slots that have requests waiting, each once, in the order in which it is their turn.
    turns: VecDeque<SlotId>,
}

impl Gathered {
    /// `false`: too many wait for this slot already. A slot is refused no request because of
    /// another one.
    pub(super) fn push(&mut self, waiting: Waiting) -> bool {
        let slot = waiting.command.slot;
        let queue = self.queues.entry(slot).or_default();
        if queue.len() >= WAITING_MAX {
            return false;
        }
        if queue.is_empty() {
            self.turns.push_back(slot);
        }
        queue.push_back(waiting);
        true
    }

    /// At most `BATCH_MAX` requests, one of each slot in turn, so that a hot slot leaves room for
    /// the cold ones. All have the same hold, because one statement writes them and computes their
    /// expiry once; slots whose next request has another hold are the first of the next batch.
    /// Requests differ in their hold only where a director or a change of the configuration says
    /// so.
    pub(super) fn next_batch(&mut self) -> Vec<Waiting> {
        let mut batch: Vec<Waiting> = Vec::new();
        let mut other_hold = VecDeque::new();
        while batch.len() < BATCH_MAX
            && let Some(slot) = self.turns.pop_front()
        {
            let Some(queue) = self.queues.get_mut(&slot) else { continue };
            let hold_ms = batch.first().map(|first| first.command.hold_ms);
            let has_that_hold =
                |next: &mut Waiting| hold_ms.is_none_or(|hold_ms| next.command.hold_ms == hold_ms);
            match queue.pop_front_if(has_that_hold) {
                Some(waiting) => batch.push(waiting),
                None => {
                    other_hold.push_back(slot);
                    continue;
                }
            }
            if queue.is_empty() {
                self.queues.remove(&slot);
            } else {
                self.turns.push_back(slot);
            }
        }
        other_hold.append(&mut self.turns);
        self.turns = other_hold;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reserve::IdempotencyKey;
    use slotproof_vocabulary::{BookingId, DoctorId, Month};
    use time::macros::date;

    fn waiting(slot: u64, number: usize, hold_ms: i64) -> Waiting {
        let month = Month::of(date!(2026 - 12 - 01).midnight().assume_utc()).expect("a month");
        let slot = SlotId::new(DoctorId(1), month, slot);
        let key = IdempotencyKey::parse(number.to_string().as_bytes()).expect("a key");
        let booking = BookingId::new(slot, 7);
        let command = ReserveCommand { slot, seats: 1, key, booking, hold_ms, urgent: false };
        Waiting { command, answer: oneshot::channel().0 }
    }

    /// A lane with requests, given by slot and hold, with their place as their key.
    fn gathered(requests: impl IntoIterator<Item = (u64, i64)>) -> Gathered {
        let mut gathered = Gathered::default();
        for (number, (slot, hold_ms)) in requests.into_iter().enumerate() {
            assert!(gathered.push(waiting(slot, number, hold_ms)));
        }
        gathered
    }

    fn keys(batch: &[Waiting]) -> Vec<&str> {
        batch.iter().map(|waiting| waiting.command.key.as_str()).collect()
    }

    #[test]
    fn requests_with_different_holds_are_not_written_with_the_hold_of_the_first() {
        let mut lane = gathered([(1, 300), (1, 300), (1, 60), (2, 60), (1, 300)]);
        assert_eq!(keys(&lane.next_batch()), ["0", "1"]);
        assert_eq!(keys(&lane.next_batch()), ["3", "2"]);
        assert_eq!(keys(&lane.next_batch()), ["4"]);
        assert!(lane.next_batch().is_empty());
    }

    #[test]
    fn a_batch_takes_no_more_requests_than_one_transaction_may_hold() {
        let mut lane = gathered([(1, 300); 300]);
        assert_eq!(lane.next_batch().len(), BATCH_MAX);
        assert_eq!(lane.next_batch().len(), 300 - BATCH_MAX);
    }

    #[test]
    fn a_hot_slot_leaves_room_for_cold_ones_that_arrive_later() {
        let hot = std::iter::repeat_n((1, 300), 1_000);
        let cold = (2..12).map(|slot| (slot, 300));
        let mut lane = gathered(hot.chain(cold));
        let batch = lane.next_batch();
        let hot = batch[0].command.slot;
        let cold = batch.iter().filter(|waiting| waiting.command.slot != hot);
        assert_eq!((cold.count(), batch.len()), (10, BATCH_MAX));
    }

    #[test]
    fn each_slot_is_served_in_order_of_arrival_and_more_slots_than_a_batch_holds_take_turns() {
        let twice = (0..2_u64).flat_map(|_| (0..200).map(|slot| (slot, 300)));
        let mut lane = gathered(twice);
        let (first, second) = (lane.next_batch(), lane.next_batch());
        let numbers: Vec<String> = (0..400).map(|number| number.to_string()).collect();
        assert_eq!(keys(&first), numbers[..BATCH_MAX]);
        assert_eq!(keys(&second), numbers[BATCH_MAX..]);
    }

    #[test]
    fn a_slot_for_which_too_many_wait_refuses_more_and_keeps_no_other_slot_from_its_own() {
        let mut lane = gathered([(1, 300); WAITING_MAX]);
        assert!(!lane.push(waiting(1, WAITING_MAX, 300)));
        assert!(lane.push(waiting(2, 0, 300)));
    }
}
