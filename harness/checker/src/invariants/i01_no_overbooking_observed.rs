//! I1: never more seats promised than the slot has, from what clients were told alone.
//!
//! Where bookings are made, cancelled and confirmed this is exact: violated if and only if more
//! seats are surely held than the slot has at some instant. It is a bound, without false alarms,
//! where holds run out (no client sees when), where the capacity falls, and where bookings change:
//! there the search of I13 is exact. The witness is the fewest bookings that were surely held at
//! the first such instant. To verify it, check that each reserve had returned by then and that no
//! cancel had been sent.

use slotproof_vocabulary::{Finding, Invariant, Witness};

use super::{Count, Evidence, counted, fewest_beyond, witness};
use crate::{
    held_interval::HeldInterval,
    overbooking::{Overbooking, Promised},
    slot_evidence::SlotEvidence,
};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    finding(tally(evidence))
}

/// What was found in some slots.
pub(super) struct Tally<'a> {
    count: Count,
    worst: Worst<'a>,
}

impl Tally<'_> {
    /// Adds what was found in later slots.
    pub(super) fn merge(&mut self, later: Self) {
        self.count.merge(later.count);
        self.worst = self.worst.max(later.worst);
    }
}

pub(super) fn tally<'a>(evidence: &Evidence<'a>) -> Tally<'a> {
    let mut count = Count::new(Invariant::NoOverbookingObserved);
    let mut worst = Worst::default();
    for slot in &evidence.slots {
        // A slot without an acknowledged booking promised nothing.
        if slot.held_intervals.is_empty() {
            continue;
        }
        count.examined += slot.available.at_most.seats.len() as u64;
        let Some(overbooking) = &slot.overbooking else { continue };
        worst = worst.max(Worst::of(slot, overbooking));
        count.violation(|| show(evidence, slot, &overbooking.first));
    }
    Tally { count, worst }
}

pub(super) fn finding(Tally { count, worst }: Tally<'_>) -> Option<Finding> {
    Some(count.finding(
        |examined| {
            format!("at each of {examined} instants, acknowledged seats are within capacity")
        },
        |slots, _| {
            let Worst { beyond, capacity, slot } = worst;
            let held = capacity + beyond;
            format!(
                "{} overbooked; at worst {held} acknowledged seats were held at once in slot \
                 {slot}, capacity {capacity}",
                counted(slots, "slot")
            )
        },
    ))
}

/// Where the most seats beyond the capacity were promised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Worst<'a> {
    beyond: i64,
    capacity: i64,
    slot: &'a str,
}

impl<'a> Worst<'a> {
    fn of(slot: &SlotEvidence<'a>, overbooking: &Overbooking) -> Self {
        let Promised { seats, capacity, .. } = overbooking.worst;
        Self { beyond: seats - capacity, capacity, slot: slot.name }
    }
}

fn show(evidence: &Evidence<'_>, slot: &SlotEvidence<'_>, promised: &Promised) -> Witness {
    let Promised { at_ns, capacity, .. } = *promised;
    let mut held: Vec<(i64, &HeldInterval<'_>)> = Vec::new();
    for booking in slot.held_intervals.iter().filter(|held| !held.overbooks) {
        booking.each_certain(|interval, seats| {
            if interval.from_ns <= at_ns && at_ns < interval.to_ns {
                held.push((seats, booking));
            }
        });
    }
    let held = held.into_iter().map(|(seats, booking)| (seats, (seats, booking)));
    let fewest = fewest_beyond(held.collect(), capacity);
    let seats: i64 = fewest.iter().map(|(seats, _)| seats).sum();
    // A request takes its seats by its confirm.
    let confirm = |held: &HeldInterval<'_>| held.confirmed.filter(|_| held.awaits_approval);
    let operations =
        fewest.iter().flat_map(|(_, held)| [Some(held.reserve), confirm(held)]).flatten();
    Witness {
        instant_ns: Some(at_ns),
        operations: evidence.show(operations),
        ..witness(
            slot.name,
            format!(
                "at {}, {} hold {seats} seats of {capacity}: none had been cancelled, and none can \
                 have expired",
                evidence.instant(at_ns),
                counted(fewest.len() as u64, "acknowledged booking")
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Operation, Verdict};

    use super::*;
    use crate::fixture::{cancel, case, confirm, ms, only, reserve, resize, unknown};

    fn verdict(capacity: i64, operations: Vec<Operation>) -> Verdict {
        only(&case(capacity, operations), Invariant::NoOverbookingObserved).verdict
    }

    #[test]
    fn as_many_seats_as_there_are_may_be_held() {
        assert_eq!(
            verdict(3, vec![reserve("a", 2, 0, 10), reserve("b", 1, 0, 10)]),
            Verdict::Upheld
        );
    }

    #[test]
    fn two_holds_of_the_last_seat_are_an_overbooking_and_both_are_named() {
        let finding = only(
            &case(1, vec![reserve("a", 1, 0, 10), reserve("b", 1, 5, 20)]),
            Invariant::NoOverbookingObserved,
        );
        assert_eq!(finding.verdict, Verdict::Violated);
        let witness = finding.witness.expect("it is shown");
        assert_eq!(witness.instant_ns, Some(20));
        assert_eq!(witness.operations.iter().map(|shown| shown.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_seat_may_be_sold_again_once_its_cancel_is_sent() {
        assert_eq!(
            verdict(1, vec![reserve("a", 1, 0, 10), cancel("a", 15, 30), reserve("b", 1, 12, 20)]),
            Verdict::Upheld
        );
        let unsure = unknown(cancel("a", 15, 30));
        assert_eq!(
            verdict(1, vec![reserve("a", 1, 0, 10), unsure, reserve("b", 1, 12, 20)]),
            Verdict::Upheld
        );
        assert_eq!(
            verdict(1, vec![reserve("a", 1, 0, 10), cancel("a", 25, 30), reserve("b", 1, 12, 20)]),
            Verdict::Violated
        );
    }

    #[test]
    fn an_unknown_reserve_promises_nothing() {
        assert_eq!(
            verdict(1, vec![reserve("a", 1, 0, 10), unknown(reserve("b", 1, 0, 10))]),
            Verdict::Upheld
        );
    }

    #[test]
    fn a_retry_that_is_told_of_the_same_booking_takes_no_second_seat() {
        assert_eq!(
            verdict(1, vec![reserve("a", 1, 0, 10), reserve("a", 1, 20, 30)]),
            Verdict::Upheld
        );
    }

    #[test]
    fn of_a_double_click_the_call_that_was_answered_first_is_the_witness() {
        let operations =
            vec![reserve("a", 1, 0, 50), reserve("a", 1, 0, 10), reserve("b", 1, 5, 20)];
        let witness = only(&case(1, operations), Invariant::NoOverbookingObserved)
            .witness
            .expect("it is shown");
        assert_eq!(witness.instant_ns, Some(20));
        assert_eq!(witness.operations.iter().map(|shown| shown.line).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_hold_that_can_have_run_out_is_not_held_and_a_confirmed_one_is() {
        let mut hold = reserve("a", 1, 0, 10);
        hold.seen.hold_ms = Some(1);
        let later = reserve("b", 1, ms(1), ms(2));
        assert_eq!(verdict(1, vec![hold.clone(), later.clone()]), Verdict::Upheld);
        assert_eq!(verdict(1, vec![hold, confirm("a", 20, 30), later]), Verdict::Violated);
    }

    #[test]
    fn seats_are_weighed_and_the_witness_is_the_fewest_bookings() {
        let operations = vec![
            reserve("a", 1, 0, 10),
            reserve("b", 1, 0, 11),
            reserve("c", 3, 0, 12),
            reserve("d", 2, 0, 13),
        ];
        let finding = only(&case(4, operations), Invariant::NoOverbookingObserved);
        let witness = finding.witness.expect("5 seats at instant 12");
        assert_eq!(witness.instant_ns, Some(12));
        assert_eq!(witness.operations.len(), 3, "3 + 1 is not beyond 4, 3 + 1 + 1 is");
    }

    #[test]
    fn a_history_that_breaks_off_convicts_only_by_what_nothing_missing_can_excuse() {
        let by = |client, mut operation: Operation| {
            operation.client = client;
            operation
        };
        let cut_by = |origin, operations| {
            let mut case = case(1, operations);
            case.history = case.history.cut("the load was killed");
            case.origin = origin;
            only(&case, Invariant::NoOverbookingObserved)
        };
        let cut = |operations| cut_by(crate::Origin::Recorder, operations);
        let held = || vec![by(1, reserve("a", 1, 0, 10)), by(2, reserve("b", 1, 12, 20))];
        let finding = cut(held());
        assert_eq!(
            finding.verdict,
            Verdict::Unknown,
            "client 1 may have cancelled at 11: {}",
            finding.summary
        );
        let heard_of_later = [1, 2].map(|client| by(client, crate::fixture::read(0, 30, 40)));
        let foreign = cut_by(crate::Origin::Foreign, [held(), heard_of_later.to_vec()].concat());
        assert_eq!(
            foreign.verdict,
            Verdict::Unknown,
            "lines in any order: an earlier cancel may be missing"
        );
        let finding = cut([held(), heard_of_later.to_vec()].concat());
        assert_eq!(
            finding.verdict,
            Verdict::Violated,
            "both were heard of at 40, and had cancelled nothing"
        );
        assert!(finding.summary.contains("breaks off"), "{}", finding.summary);
        let upheld = cut(vec![by(1, reserve("a", 1, 0, 10))]);
        assert_eq!(upheld.verdict, Verdict::Unknown, "nothing is upheld by half of a history");
    }

    #[test]
    fn a_slot_that_was_given_more_seats_may_sell_them_once_that_was_asked_for() {
        let sold =
            |from_ns| vec![reserve("a", 1, 0, 10), resize(2, 20, 30), reserve("b", 1, 12, from_ns)];
        assert_eq!(verdict(1, sold(25)), Verdict::Upheld, "it may have been in force");
        assert_eq!(verdict(1, sold(19)), Verdict::Violated, "it was not asked for yet");
        let shrunk =
            |sent_ns| vec![reserve("a", 1, 0, 10), resize(1, 20, 30), reserve("b", 1, sent_ns, 40)];
        assert_eq!(
            verdict(2, shrunk(31)),
            Verdict::Violated,
            "one seat was left, and it was taken"
        );
        let refused = resize(2, 20, 30);
        let refused = Operation { outcome: slotproof_vocabulary::Outcome::Rejected, ..refused };
        let sold = vec![reserve("a", 1, 0, 10), refused, reserve("b", 1, 32, 40)];
        assert_eq!(verdict(1, sold), Verdict::Violated, "it was refused");
    }

    #[test]
    fn no_booking_at_all_upholds_nothing() {
        assert_eq!(verdict(1, vec![]), Verdict::Unknown);
    }
}
