//! Freshness: whether an answer is of now, or may repeat an older one.
//!
//! A service answers a request that it has already done with the answer of the first time: a
//! receipt, whose numbers are as old as that. The acknowledgement of a reserve may be a receipt if
//! another attempt by its key can have made the booking before this one was answered; so may that
//! of a confirm or cancel of a booking for which another one was sent. An attempt that was refused
//! for certain has made nothing, and leaves the next one fresh.

use foldhash::{HashMap, HashSet};
use slotproof_history::{ActionRef, OperationRef};
use slotproof_vocabulary::Outcome;

use crate::slot_operations::SlotOperations;

/// What was asked for, and the id of the key or booking that it was asked for with.
type Request = (Asked, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    Reserve,
    Confirm,
    Cancel,
}

/// Requests of one slot that were sent more than once.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    /// When each was sent, in rising order.
    repeated: HashMap<Request, Vec<u64>>,
}

impl Freshness {
    pub(crate) fn of(operations: &SlotOperations<'_>) -> Self {
        let mut repeated: HashMap<Request, Vec<u64>> = HashMap::default();
        let mut once: HashSet<Request> = HashSet::default();
        for operation in operations.just() {
            if let Some(request) = request(&operation)
                && !once.insert(request)
            {
                repeated.entry(request).or_default();
            }
        }
        if !repeated.is_empty() {
            for operation in operations.just() {
                if let Some(sent) = request(&operation).and_then(|it| repeated.get_mut(&it)) {
                    sent.push(operation.sent_ns);
                }
            }
        }
        repeated.values_mut().for_each(|sent| sent.sort_unstable());
        Self { repeated }
    }
    /// Whether an answer says what was true during its call.
    pub(crate) fn is_fresh(&self, operation: &OperationRef<'_>) -> bool {
        match operation.outcome {
            Outcome::Unknown => false,
            // An operation of several requests may have been done by one of the earlier ones.
            Outcome::Ok if operation.attempts > 1 => request(operation).is_none(),
            Outcome::Ok => self.no_other_before(operation),
            Outcome::SoldOut | Outcome::Rejected | Outcome::Throttled => true,
        }
    }

    fn no_other_before(&self, operation: &OperationRef<'_>) -> bool {
        if self.repeated.is_empty() {
            return true;
        }
        let Some(sent) = request(operation).and_then(|request| self.repeated.get(&request)) else {
            return true;
        };
        let others = sent.iter().filter(|sent_ns| **sent_ns <= operation.returned_ns);
        others.count() == 1
    }
}

/// What names the effect of a request that may have had one.
fn request(operation: &OperationRef<'_>) -> Option<Request> {
    if !matches!(operation.outcome, Outcome::Ok | Outcome::Unknown) {
        return None;
    }
    Some(match operation.action {
        ActionRef::Reserve { key, .. } => (Asked::Reserve, key.id()),
        ActionRef::Confirm { booking } => (Asked::Confirm, booking.id()),
        ActionRef::Cancel { booking } => (Asked::Cancel, booking.id()),
        ActionRef::Change { .. }
        | ActionRef::Booking { .. }
        | ActionRef::Read
        | ActionRef::Resize { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        fixture::{cancel, history, reserve, sold_out, unknown},
        slot_operations::by_slot,
    };

    /// Whether each answer is of now.
    fn fresh(operations: Vec<Operation>) -> Vec<bool> {
        let history = history(operations);
        let slots: Vec<_> = by_slot(&history).collect();
        let freshness = Freshness::of(&slots[0].1);
        slots[0].1.just().map(|operation| freshness.is_fresh(&operation)).collect()
    }

    #[test]
    fn the_first_acknowledgement_is_fresh_and_later_ones_may_be_receipts() {
        let again = || vec![reserve("a", 1, 0, 10), reserve("a", 1, 20, 30)];
        assert_eq!(fresh(again()), [true, false]);
        assert_eq!(fresh(vec![cancel("a", 0, 10), cancel("a", 5, 30)]), [false, false], "at once");
    }

    #[test]
    fn an_attempt_that_was_not_answered_may_have_been_the_first_and_a_refused_one_was_not() {
        assert_eq!(
            fresh(vec![unknown(reserve("a", 1, 0, 5)), reserve("a", 1, 20, 30)]),
            [false; 2]
        );
        let mut refused = sold_out(1, 0, 5);
        refused.action = reserve("a", 1, 0, 0).action;
        assert_eq!(fresh(vec![refused, reserve("a", 1, 20, 30)]), [true, true]);
    }

    #[test]
    fn an_operation_of_several_requests_may_have_been_done_by_an_earlier_one() {
        let mut resent = cancel("a", 0, 10);
        resent.attempts = 2;
        assert_eq!(fresh(vec![resent]), [false]);
    }
}
