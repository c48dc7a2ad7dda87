//! I11: no under-selling: after the run has settled, free seats can be bought and no hold has
//! leaked.
//!
//! After the last answer the harness waits until every hold has expired and been swept, and then
//! reserves one seat of each slot itself. It is the only client then, so a free seat must be sold
//! to it. Where the log shows that requests of before took the seats meanwhile, as those that a
//! queue kept, the run had not settled, and the refusal says nothing.

use slotproof_history::{ActionRef, OperationRef};
use slotproof_vocabulary::{
    BookingRow, BookingStatus, Finding, Invariant, Outcome, ReasonCode, Verdict, Witness,
};

use super::{Count, Evidence, counted, witness};
use crate::{audit::Entry, slot_evidence::SlotEvidence};

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
    let (mut answered, mut unanswered, mut too_early) = (0, 0, 0);
    for slot in &evidence.slots {
        let probes =
            slot.operations.iter().filter(|(_, it)| Some(it.client) == evidence.case.prober);
        for (index, operation) in probes {
            let ActionRef::Reserve { seats, .. } = operation.action else { continue };
            // Who is asked to come later, or has no connection, is told nothing about seats.
            if matches!(operation.outcome, Outcome::Unknown | Outcome::Throttled)
                || operation.reason_code() == Some(ReasonCode::NotConnected)
            {
                unanswered += 1;
                continue;
            }
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
                    ActionRef::Reserve { seats, .. } => Some(i64::from(seats)),
                    _ => None,
                })
                .sum();
            let free = slot.capacity.at_the_end().0 - used - late - unseen;
            let refused_free_seats = operation.outcome != Outcome::Ok && free >= i64::from(seats);
            if refused_free_seats && was_full(evidence, slot, operation, seats) {
                too_early += 1;
                continue;
            }
            count.examine();
            answered += 1;
            if refused_free_seats {
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
    let decided_nothing = unanswered + too_early > 0 || answered == 0;
    if decided_nothing && finding.verdict != Verdict::Violated {
        let all = answered + unanswered + too_early;
        let summary = match (unanswered, too_early) {
            (0, 0) => "no probe tried to buy a seat after the run had settled".to_owned(),
            (0, _) => format!(
                "{too_early} of {all} probes came while the service was still deciding earlier \
                 requests, which took the seats"
            ),
            _ => format!("{unanswered} of {all} probes of the settled service were not answered"),
        };
        return Some(Finding { verdict: Verdict::Unknown, summary, ..finding });
    }
    Some(finding)
}

/// Whether a refusal was right for now, although seats are free at the end: at the version that it
/// tells, the log shows too few, and later changes that gave seats back. The version must be of now,
/// or seats that leaked would be excused by the time when they were taken.
fn was_full(
    evidence: &Evidence<'_>,
    slot: &SlotEvidence<'_>,
    refused: OperationRef<'_>,
    seats: u32,
) -> bool {
    let Some(version) = refused.seen.version else { return false };
    let Some(log) = evidence.ledger.as_ref().and_then(|ledger| ledger.slot(slot.name)) else {
        return false;
    };
    let too_few = |it: Entry<'_>| it.taken + i64::from(seats) > *it.capacity.end();
    let told_before = slot.operations.just().filter(|it| it.returned_ns < refused.sent_ns);
    let newest_before =
        told_before.filter(|it| slot.freshness.is_fresh(it)).filter_map(|it| it.seen.version).max();
    log.at_version(version).is_some_and(too_few)
        && version < log.last_version()
        && newest_before.is_none_or(|newest| newest <= version)
}

fn leaked(row: &BookingRow, how: &str) -> Witness {
    Witness {
        rows: vec![row.clone()],
        ..witness(&row.slot, format!("the hold of booking {} {how}", row.booking))
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::AuditRecord;

    use slotproof_vocabulary::Operation;

    use super::*;
    use crate::{
        Case,
        fixture::{
            case, end, foreign_end, only, read, record, reserve, row, sold_out, unknown, versioned,
        },
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
    fn a_probe_is_too_early_while_the_log_shows_that_earlier_requests_take_the_seats() {
        let first_of_log = |records: usize| {
            let mut log = vec![
                record(1, "a", None, BookingStatus::Pending, 1),
                record(2, "a", Some(BookingStatus::Pending), BookingStatus::Expired, 1),
            ];
            log.truncate(records);
            log
        };
        let judged_by = |log: Vec<AuditRecord>, before: Vec<Operation>, version| {
            let probe = versioned(version, sold_out(1, 40, 50));
            let end = Some(end(1, 1, vec![row("a", BookingStatus::Expired, 1)]));
            let operations = [before, vec![probe]].concat();
            let case = Case { audit: Some(log), end, prober: Some(1), ..case(1, operations) };
            only(&case, Invariant::NothingLeaked)
        };
        let judged = |before, version| judged_by(first_of_log(2), before, version);
        let early = judged(vec![], 1);
        assert_eq!(early.verdict, Verdict::Unknown);
        assert!(early.summary.contains("still deciding"), "{}", early.summary);
        assert_eq!(judged(vec![], 2).verdict, Verdict::Violated, "the seat was free again");
        assert_eq!(judged(vec![], 3).verdict, Verdict::Violated, "no change has this version");
        let never_freed = judged_by(first_of_log(1), vec![], 1);
        assert_eq!(never_freed.verdict, Verdict::Violated, "the log has no end of it, and no row");
        let confirmed = Case {
            audit: Some(vec![
                record(1, "a", None, BookingStatus::Pending, 1),
                record(2, "a", Some(BookingStatus::Pending), BookingStatus::Confirmed, 1),
            ]),
            end: Some(end(1, 0, vec![row("a", BookingStatus::Confirmed, 1)])),
            prober: Some(1),
            ..case(1, vec![versioned(1, sold_out(1, 40, 50))])
        };
        let full_to_the_end = only(&confirmed, Invariant::NothingLeaked).verdict;
        assert_eq!(full_to_the_end, Verdict::Upheld, "no seat was free at the end either");
        let told = || vec![versioned(2, read(1, 10, 20))];
        assert_eq!(judged(told(), 1).verdict, Verdict::Violated, "the version is of before");
        let told_during = || vec![versioned(2, read(1, 10, 45))];
        assert_eq!(judged(told_during(), 1).verdict, Verdict::Unknown);
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
