//! What is judged.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use slotproof_history::{ActionRef, Name, OperationRef};
use slotproof_vocabulary::{
    AuditRecord, BookingIds, EndState, Expectation, LoadTotals, Outcome, Scope,
};

use crate::History;

/// A run, as evidence.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// What the clients observed.
    pub history: History,
    /// Seats of each slot at the beginning, known from where the slots were made: the number that
    /// the service reports is evidence, not truth.
    pub capacity: i64,
    /// Seats of the slots that have another capacity.
    pub capacities: BTreeMap<String, i64>,
    /// Every change of state that the service logged, if it keeps such a log.
    pub audit: Option<Vec<AuditRecord>>,
    /// The rows after the run had settled, if they can be read: read after the last operation of
    /// the history had returned.
    pub end: Option<EndState>,
    /// The client that tried to buy the free seats after the run had settled.
    pub prober: Option<u64>,
    /// Whether the service was to announce what it committed.
    pub announces: bool,
    /// What the run must have reached (I15).
    pub expectations: Vec<Expectation>,
    /// Who wrote the history.
    pub origin: Origin,
    /// How long the plan says that a hold lasts; an answer that says less is held against it.
    pub hold_ms: Option<u64>,
    /// Whether a reserve alone sells: the API has no confirm.
    pub sells_at_once: bool,
    /// The totals of the load engine, if the load ended in order.
    pub load: Option<LoadTotals>,
}

/// Who wrote a history: it decides what follows from a history that breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// Another system: its lines may be in any order.
    #[default]
    Foreign,
    /// Our recorder: each client's operations are in their order, and only its client changes a
    /// booking. So a history that breaks off holds a prefix of what each client did.
    Recorder,
}

/// No number of seats is larger: sums of them must fit an `i64`.
const SEATS_MAX: i64 = 1_000_000_000;

/// Evidence that no service can have produced: it is damaged, or was not recorded as it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaseError {
    /// A number of seats that would overflow.
    #[error("{place}: {field} = {value} is outside -1,000,000,000 to 1,000,000,000")]
    OutOfRange {
        /// Where it stands.
        place: String,
        /// Which number.
        field: &'static str,
        /// The number.
        value: i64,
    },
    /// An answer about a booking before the booking can have been made.
    #[error(
        "line {answer} of the history: the {what} of booking {booking} returned before the booking \
         was first asked for on line {reserve}; the clock went back, or clients choose the ids \
         (then declare booking_ids: chosen_by_clients)"
    )]
    BeforeItsReserve {
        /// The line of the answer.
        answer: usize,
        /// Its operation.
        what: &'static str,
        /// The booking.
        booking: String,
        /// The line of the first reserve that can have made it.
        reserve: usize,
    },
    /// A change that was acknowledged, of a booking that no reserve can have made.
    #[error("line {line} of the history: no reserve made booking {booking}, which was changed")]
    ChangeOfNothing {
        /// The line of the change.
        line: usize,
        /// The booking.
        booking: String,
    },
    /// A basket with one booking for two parts in one slot.
    #[error(
        "line {line} of the history: basket {basket} has booking {booking} twice in one slot; write \
         one line with the sum of the seats"
    )]
    BookingTwiceInABasket {
        /// The second line.
        line: usize,
        /// The basket.
        basket: String,
        /// The booking.
        booking: String,
    },
}

impl Case {
    /// Seats of a slot.
    pub fn capacity_of(&self, slot: &str) -> i64 {
        self.capacities.get(slot).copied().unwrap_or(self.capacity)
    }

    /// Refuses evidence that no service can have produced.
    ///
    /// # Errors
    /// Names the first contradiction.
    pub fn validate(&self) -> Result<(), CaseError> {
        self.validate_bookings()?;
        self.validate_baskets()?;
        for (index, operation) in self.history.indexed() {
            let place = || format!("line {} of the history", index + 1);
            let seen = &operation.seen;
            in_range("available", seen.available, place)?;
            in_range("pending", seen.pending, place)?;
            in_range("confirmed", seen.confirmed, place)?;
            in_range("capacity", seen.capacity, place)?;
        }
        for (index, record) in self.audit.iter().flatten().enumerate() {
            let place = || format!("line {} of the audit log", index + 1);
            in_range("seats", Some(record.seats), place)?;
            in_range("available", Some(record.available), place)?;
        }
        for row in self.end.iter().flat_map(|end| &end.slots) {
            let place = || format!("the final row of slot {}", row.slot);
            in_range("capacity", Some(row.capacity), place)?;
            in_range("available", Some(row.available), place)?;
        }
        for row in self.end.iter().flat_map(|end| &end.bookings) {
            in_range("seats", Some(row.seats), || {
                format!("the final row of booking {}", row.booking)
            })?;
        }
        Ok(())
    }

    /// Where the service chooses the ids, nobody knows a booking before it was asked for.
    fn validate_bookings(&self) -> Result<(), CaseError> {
        let declared = self.history.declarations.booking_ids;
        fn known(operation: OperationRef<'_>) -> Option<Name<'_>> {
            let told = operation.outcome == Outcome::Ok;
            operation.names_booking().filter(|_| told)
        }
        let operations = &self.history.operations;
        if !operations.iter().any(|it| it.names_booking().is_some())
            || declared == BookingIds::ChosenByClients
        {
            return Ok(());
        }
        let mut attempts: HashMap<Name<'_>, (u64, u32)> = HashMap::default();
        let mut any_unanswered = false;
        for (index, operation) in self.history.indexed() {
            let ActionRef::Reserve { key, .. } = operation.action else { continue };
            if operation.outcome == Outcome::Unknown {
                any_unanswered = true;
                let first = attempts.entry(key).or_insert((u64::MAX, 0));
                *first = (*first).min((operation.sent_ns, index as u32));
            }
        }
        // The first reserve that can have made each booking, by the id of the booking's name.
        const NOBODY: u32 = u32::MAX;
        let mut made_by = vec![NOBODY; operations.names().len()];
        for (index, operation) in self.history.indexed() {
            let ActionRef::Reserve { key, .. } = operation.action else { continue };
            let Some(booking) = operation.seen.booking else { continue };
            let this = (operation.sent_ns, index as u32);
            let first = attempts.get(&key).map_or(this, |unanswered| this.min(*unanswered));
            let made_by = &mut made_by[booking.id() as usize];
            if *made_by == NOBODY || first < (operations.at(*made_by as usize).sent_ns, *made_by) {
                *made_by = first.1;
            }
        }
        // Names that mean something else for each client or slot are not compared.
        if self.history.declarations.bookings != Scope::Service {
            return Ok(());
        }
        for (index, operation) in self.history.indexed() {
            let Some(booking) = known(operation) else { continue };
            let reserve = made_by[booking.id() as usize];
            let sent_ns = match reserve {
                NOBODY => u64::MAX,
                reserve => operations.at(reserve as usize).sent_ns,
            };
            let line = self.history.line_of(index);
            if sent_ns < u64::MAX && operation.returned_ns < sent_ns {
                return Err(CaseError::BeforeItsReserve {
                    answer: line,
                    what: operation.action.name(),
                    booking: booking.text().to_owned(),
                    reserve: self.history.line_of(reserve as usize),
                });
            }
            let made_by_nobody = sent_ns == u64::MAX && !any_unanswered;
            if made_by_nobody && matches!(operation.action, ActionRef::Change { .. }) {
                return Err(CaseError::ChangeOfNothing {
                    line,
                    booking: booking.text().to_owned(),
                });
            }
        }
        Ok(())
    }

    fn validate_baskets(&self) -> Result<(), CaseError> {
        let mut parts: HashSet<(&str, Name<'_>, Name<'_>)> = HashSet::default();
        for (index, operation) in self.history.indexed() {
            let (Some(basket), Some(booking)) = (operation.basket(), operation.seen.booking) else {
                continue;
            };
            if !parts.insert((basket, booking, operation.slot)) {
                return Err(CaseError::BookingTwiceInABasket {
                    line: self.history.line_of(index),
                    basket: basket.to_owned(),
                    booking: booking.text().to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn in_range(
    field: &'static str,
    value: Option<i64>,
    place: impl Fn() -> String,
) -> Result<(), CaseError> {
    match value {
        Some(value) if !(-SEATS_MAX..=SEATS_MAX).contains(&value) => {
            Err(CaseError::OutOfRange { place: place(), field, value })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Terms, operation_builder};

    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::fixture::{cancel, case, read, reserve, unknown};

    #[test]
    fn a_number_that_would_overflow_is_refused_with_its_place() {
        assert!(case(9, vec![read(9, 0, 1)]).validate().is_ok());
        let error = case(9, vec![read(9, 0, 1), read(i64::MIN, 0, 1)])
            .validate()
            .expect_err("out of range")
            .to_string();
        assert!(error.starts_with("line 2 of the history"), "{error}");
    }

    fn refused(operations: Vec<Operation>) -> String {
        case(9, operations).validate().expect_err("no service did this").to_string()
    }

    #[test]
    fn an_answer_about_a_booking_before_it_was_asked_for_is_refused_with_both_lines() {
        let went_back = || vec![reserve("a", 1, 50, 60), cancel("a", 30, 40)];
        let error = refused(went_back());
        assert!(error.contains("line 2") && error.contains("line 1"), "{error}");
        let mut chosen = case(9, went_back());
        chosen.history.declarations.booking_ids = BookingIds::ChosenByClients;
        assert!(chosen.validate().is_ok(), "clients choose the ids");
        // The first attempt was not answered, and can have made the booking.
        let mut unanswered = unknown(reserve("a", 1, 0, 10));
        unanswered.client = 2;
        assert!(case(9, [vec![unanswered], went_back()].concat()).validate().is_ok());
    }

    #[test]
    fn a_change_of_a_booking_that_nobody_made_is_refused_unless_a_call_was_not_answered() {
        let changed = || operation_builder::change("s", "a").seats(2).at(20, 30).ok();
        assert!(refused(vec![reserve("b", 1, 0, 10), changed()]).contains("line 2"));
        let perhaps = vec![unknown(reserve("a", 1, 0, 10)), changed()];
        assert!(case(9, perhaps).validate().is_ok());
    }

    #[test]
    fn one_booking_twice_in_a_basket_and_a_slot_is_refused() {
        let part = |key: &str| {
            let terms = Terms { basket: Some("o".into()), ..Terms::default() };
            operation_builder::reserve("s").key(key).terms(terms).at(0, 10).booked("a")
        };
        assert!(refused(vec![part("k1"), part("k2")]).contains("line 2"));
    }
}
