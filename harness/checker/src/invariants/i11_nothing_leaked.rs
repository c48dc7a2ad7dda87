//! I11: no under-selling: after the run has settled, free seats can be bought and no hold has
//! leaked.
//!
//! After the last answer the harness waits until every hold has expired and been swept, and then
//! reserves one seat of each slot itself. It is the only client then, so a free seat must be sold
//! to it.

use slotproof_vocabulary::{
    Action, BookingRow, BookingStatus, Finding, Invariant, Outcome, ReasonCode, Verdict, Witness,
};

use super::{Count, Evidence, counted, witness};

/// How late a sweep may be: longer than any sweeper sleeps.
const SWEEP_GRACE_MS: i64 = 2_000;

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let end = evidence.case.end.as_ref()?;
    let mut count = Count::new(Invariant::NothingLeaked);
    for row in &end.bookings {
        count.examine();
        match row.overdue_ms {
            Some(overdue_ms) if overdue_ms > SWEEP_GRACE_MS => {
                count.violation(|| {
                    leaked(row, &format!("expired {overdue_ms} ms ago and still takes seats"))
                });
            }
            // Another API does not say when a hold runs out: the probes judge that.
            None if row.status == BookingStatus::Pending && evidence.foreign_rows().is_none() => {
                count.violation(|| leaked(row, "has no expiry"))
            }
            Some(_) | None => {}
        }
    }
    let taken = evidence.rows_that_take_seats();
    let (mut answered, mut unanswered) = (0, 0);
    for slot in &evidence.slots {
        let probes =
            slot.operations.iter().filter(|(_, it)| Some(it.client) == evidence.case.prober);
        for (index, operation) in probes {
            let Action::Reserve { seats, .. } = operation.action else { continue };
            // Who is asked to come later, or has no connection, is told nothing about seats.
            if matches!(operation.outcome, Outcome::Unknown | Outcome::Throttled)
                || operation.reason_code() == Some(ReasonCode::NotConnected)
            {
                unanswered += 1;
                continue;
            }
            count.examine();
            answered += 1;
            let used: i64 = taken.get(slot.name).into_iter().flatten().map(|row| row.seats).sum();
            // An unanswered cancel may have taken effect after the probe: the seats that it gave
            // back may not have been free.
            let late = slot
                .held_intervals
                .iter()
                .filter(|held| held.maybe_cancelled && held.cancelled.is_none());
            let late: i64 = late.map(|held| held.seats).sum();
            // Of another API a reserve without an answer may have taken seats that no row shows.
            let unseen = slot.operations.iter().filter(|(_, it)| {
                it.outcome == Outcome::Unknown && evidence.foreign_rows().is_some()
            });
            let unseen: i64 = unseen
                .filter_map(|(_, it)| match it.action {
                    Action::Reserve { seats, .. } => Some(i64::from(seats)),
                    _ => None,
                })
                .sum();
            let free = slot.capacity.at_the_end().0 - used - late - unseen;
            if operation.outcome != Outcome::Ok && free >= i64::from(seats) {
                count.violation(|| Witness {
                    operations: evidence.show([index]),
                    ..witness(
                        slot.name,
                        format!(
                            "a probe of {} was refused after the run had settled, and {free} were \
                             free",
                            counted(seats, "seat")
                        ),
                    )
                });
            }
        }
    }
    let finding = count.finding(
        |examined| {
            format!(
                "free seats can be bought and no hold has leaked, in {examined} rows and probes"
            )
        },
        |violations, examined| {
            format!("{violations} of {examined} rows and probes show seats that cannot be bought")
        },
    );
    if (unanswered > 0 || answered == 0) && finding.verdict != Verdict::Violated {
        let summary = match unanswered {
            0 => "no probe tried to buy a seat after the run had settled".to_owned(),
            _ => format!(
                "{unanswered} of {} probes of the settled service were not answered",
                unanswered + answered
            ),
        };
        return Some(Finding { verdict: Verdict::Unknown, summary, ..finding });
    }
    Some(finding)
}

fn leaked(row: &BookingRow, how: &str) -> Witness {
    Witness {
        rows: vec![row.clone()],
        ..witness(&row.slot, format!("the hold of booking {} {how}", row.booking))
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        Case,
        fixture::{case, end, foreign_end, only, reserve, row, sold_out, unknown},
    };

    fn verdict(operations: Vec<Operation>, rows: Vec<BookingRow>) -> Verdict {
        only(
            &Case { end: Some(end(1, 0, rows)), prober: Some(1), ..case(1, operations) },
            Invariant::NothingLeaked,
        )
        .verdict
    }

    #[test]
    fn a_probe_that_buys_a_free_seat_or_finds_none_upholds() {
        assert_eq!(
            verdict(vec![reserve("a", 1, 0, 10)], vec![row("a", BookingStatus::Cancelled, 1)]),
            Verdict::Upheld
        );
        assert_eq!(
            verdict(vec![sold_out(1, 0, 10)], vec![row("a", BookingStatus::Confirmed, 1)]),
            Verdict::Upheld
        );
    }

    #[test]
    fn a_probe_that_is_refused_a_free_seat_convicts() {
        assert_eq!(
            verdict(vec![sold_out(1, 0, 10)], vec![row("a", BookingStatus::Cancelled, 1)]),
            Verdict::Violated
        );
    }

    #[test]
    fn a_probe_of_another_api_may_meet_what_no_row_shows() {
        let judged = |mut before: Vec<Operation>, probe: Operation| {
            before.iter_mut().for_each(|it| it.client = 2);
            let operations = [before, vec![probe]].concat();
            let end = Some(foreign_end(vec![row("a", BookingStatus::Cancelled, 1)]));
            let case = Case { end, prober: Some(1), ..case(1, operations) };
            only(&case, Invariant::NothingLeaked).verdict
        };
        let refused = || sold_out(1, 40, 50);
        assert_eq!(judged(vec![], refused()), Verdict::Violated);
        let lost = || vec![unknown(reserve("x", 1, 0, 10))];
        assert_eq!(judged(lost(), refused()), Verdict::Upheld, "its seat may be taken");
        let mut throttled = refused();
        throttled.outcome = Outcome::Throttled;
        assert_eq!(judged(vec![], throttled), Verdict::Unknown, "it says nothing of seats");
    }

    #[test]
    fn a_probe_without_an_answer_neither_upholds_nor_convicts() {
        let cancelled = || vec![row("a", BookingStatus::Cancelled, 1)];
        assert_eq!(verdict(vec![unknown(reserve("b", 1, 0, 10))], cancelled()), Verdict::Unknown);
        let mut nobody_there = sold_out(1, 0, 10);
        (nobody_there.outcome, nobody_there.reason) =
            (Outcome::Rejected, Some(ReasonCode::NotConnected.to_string().into()));
        assert_eq!(verdict(vec![nobody_there], cancelled()), Verdict::Unknown);
    }

    #[test]
    fn a_hold_that_outlives_its_time_has_leaked() {
        let mut hold = row("a", BookingStatus::Pending, 1);
        hold.overdue_ms = Some(SWEEP_GRACE_MS);
        let probe = || vec![sold_out(1, 0, 10)];
        assert_eq!(verdict(probe(), vec![hold.clone()]), Verdict::Upheld);
        assert_eq!(verdict(vec![], vec![hold.clone()]), Verdict::Unknown, "no probe");
        hold.overdue_ms = Some(SWEEP_GRACE_MS + 1);
        assert_eq!(verdict(probe(), vec![hold.clone()]), Verdict::Violated);
        hold.overdue_ms = None;
        assert_eq!(verdict(probe(), vec![hold]), Verdict::Violated, "it has no expiry");
    }
}
