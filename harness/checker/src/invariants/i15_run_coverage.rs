//! I15: coverage: the run reached the situations that its scenario is about.
//!
//! A slot that never sold out was never in danger, and a verdict about it says nothing. What a run
//! must have reached depends on its scenario; a run that did not reach it is unknown, neither
//! upheld nor violated.

use std::collections::BTreeSet;

use slotproof_vocabulary::{
    Action, BookingStatus, Expectation, Finding, Invariant, Operation, Outcome, Verdict,
};

use super::Evidence;
use crate::slot_evidence::SlotEvidence;

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let expected = &evidence.case.expectations;
    let in_danger = in_danger(evidence);
    let missing: Vec<String> = expected
        .iter()
        .filter_map(|expectation| missing(evidence, &in_danger, *expectation))
        .collect();
    let off_schedule = expected.iter().find_map(|expectation| off_schedule(evidence, *expectation));
    let (verdict, summary) = if let Some(reason) = off_schedule {
        // First: what such a load did not reach says nothing.
        (Verdict::Unknown, reason)
    } else if evidence.case.history.operations.is_empty() {
        (Verdict::Unknown, "the history is empty".to_owned())
    } else if missing.is_empty() {
        (Verdict::Upheld, "the run reached everything that its scenario requires".to_owned())
    } else {
        (Verdict::Unknown, format!("{}; {REMEDY}", missing.join(", and ")))
    };
    let examined = expected.len() as u64;
    Some(Finding {
        invariant: Invariant::RunCoverage,
        verdict,
        summary,
        examined,
        violations: 0,
        witness: None,
    })
}

/// What is missing of an expectation.
fn missing(
    evidence: &Evidence<'_>,
    in_danger: &[SlotActivity<'_>],
    expectation: Expectation,
) -> Option<String> {
    let prober = evidence.case.prober;
    let operations = &evidence.case.history.operations;
    let (reached, missing) = match expectation {
        Expectation::SoldOut => (
            operations.iter().any(|it| it.outcome == Outcome::SoldOut && Some(it.client) != prober),
            "no client was told sold_out",
        ),
        Expectation::Full => (!in_danger.is_empty(), "no slot that refused a client was full"),
        Expectation::Resale => {
            (in_danger.iter().any(SlotActivity::resold), "no seat was resold after a cancel")
        }
        Expectation::Reclaim => {
            (reclaim(evidence), "no seat was resold after its hold had expired")
        }
        Expectation::Resend => {
            (operations.iter().any(|operation| operation.attempts > 1), "no request was resent")
        }
        Expectation::OnSchedule(_) => return None,
    };
    (!reached).then(|| missing.to_owned())
}

/// The cure for most of what can be missing.
const REMEDY: &str = "use more clients, a higher rate, a longer run or fewer seats";

/// Why the load generator did not make the load of the plan, if it did not. Then the run says
/// nothing about the service under that load.
fn off_schedule(evidence: &Evidence<'_>, expectation: Expectation) -> Option<String> {
    let Expectation::OnSchedule(limit_ms) = expectation else { return None };
    let load = evidence.case.load.as_ref()?;
    let arrivals = load.arrivals?;
    if arrivals.made < arrivals.asked {
        return Some(format!(
            "load generator saturated: {} of {} arrivals were made, {} waited at once for a free \
             client; use more clients or a lower rate",
            arrivals.made, arrivals.asked, arrivals.waiting_max
        ));
    }
    let measured = evidence.case.history.operations.iter().filter(|operation| {
        operation.scheduled_ns >= load.measured_from_ns
            && Some(operation.client) != evidence.case.prober
    });
    let mut lags: Vec<u64> = measured
        .map(|operation| operation.sent_ns.saturating_sub(operation.scheduled_ns))
        .collect();
    let place = lags.len().checked_sub(1)? * 99 / 100;
    let (_, lag_ns, _) = lags.select_nth_unstable(place);
    let lag_ms = *lag_ns / 1_000_000;
    (lag_ms > limit_ms).then(|| {
        format!(
            "load generator saturated: p99 send lag {lag_ms} ms, limit {limit_ms} ms; {} arrivals \
             waited at once for a free client; use more clients, a lower rate or a faster machine",
            arrivals.waiting_max
        )
    })
}

/// What clients did in one slot, without the prober, which comes after the run.
struct SlotActivity<'a> {
    slot: &'a SlotEvidence<'a>,
    prober: Option<u64>,
}

impl SlotActivity<'_> {
    fn operations(&self) -> impl Iterator<Item = &Operation> {
        let operations = self.slot.operations.iter().map(|(_, operation)| operation);
        operations.filter(|operation| Some(operation.client) != self.prober)
    }

    fn first_sold_out_ns(&self) -> Option<u64> {
        let refused = self.operations().filter(|operation| operation.outcome == Outcome::SoldOut);
        refused.map(|operation| operation.returned_ns).min()
    }

    /// By the log where there is one, or by what clients were told.
    fn full(&self, logged_full: &BTreeSet<&str>) -> bool {
        logged_full.contains(self.slot.name) || self.slot.available.none_at_some_instant()
    }

    /// Whether a refusal was at stake: one more booking like it would have been an overbooking. A
    /// refusal of more seats than the slot has shows no danger.
    fn refused_at_stake(&self, explained: bool) -> bool {
        let mut refused = self.operations().filter_map(|operation| match operation.action {
            Action::Reserve { seats, .. } if operation.outcome == Outcome::SoldOut => {
                Some((operation, i64::from(seats)))
            }
            _ => None,
        });
        refused.any(|(operation, seats)| {
            let (from_ns, to_ns) = (operation.sent_ns, operation.returned_ns);
            let fits_an_empty_slot = seats <= self.slot.capacity.within(from_ns, to_ns).1;
            // Where an order explains all answers, this one is true in it.
            fits_an_empty_slot
                && (explained || self.slot.available.fewer_than(seats, from_ns, to_ns))
        })
    }

    /// A reserve that was sent after a client had been told `sold_out` and a cancel had returned,
    /// and got its seats.
    fn resold(&self) -> bool {
        let ok = || self.operations().filter(|operation| operation.outcome == Outcome::Ok);
        let cancels = ok().filter(|it| matches!(it.action, Action::Cancel { .. }));
        let (Some(sold_out_ns), Some(cancel_ns)) =
            (self.first_sold_out_ns(), cancels.map(|cancel| cancel.returned_ns).min())
        else {
            return false;
        };
        let mut reserves = ok().filter(|it| matches!(it.action, Action::Reserve { .. }));
        reserves.any(|reserve| reserve.sent_ns > sold_out_ns.max(cancel_ns))
    }
}

/// The slots that refused a client when one more booking would have been too many.
fn in_danger<'a>(evidence: &'a Evidence<'a>) -> Vec<SlotActivity<'a>> {
    let log = evidence.case.audit.iter().flatten();
    let logged_full =
        log.filter(|record| record.available == 0).map(|record| record.slot.as_str()).collect();
    let activity =
        evidence.slots.iter().map(|slot| SlotActivity { slot, prober: evidence.case.prober });
    let explained = &evidence.one_order().explained;
    let in_danger = |activity: &SlotActivity<'_>| {
        activity.first_sold_out_ns().is_some()
            && (activity.full(&logged_full)
                || activity.refused_at_stake(explained.contains(activity.slot.name)))
    };
    activity.filter(in_danger).collect()
}

/// By the log: a booking expired, and later another one was made in the same slot. Without a log no
/// expiry is seen.
fn reclaim(evidence: &Evidence<'_>) -> bool {
    let mut expired = BTreeSet::new();
    evidence.case.audit.iter().flatten().any(|record| {
        if record.to == BookingStatus::Expired {
            expired.insert(record.slot.as_str());
        }
        record.from.is_none() && expired.contains(record.slot.as_str())
    })
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{ArrivalTotals, LoadTotals, Operation};

    use super::*;
    use crate::{
        Case,
        fixture::{cancel, case, ms, only, read, record, reserve, sold_out},
    };

    fn judged(operations: Vec<Operation>) -> Finding {
        let expectations = vec![Expectation::SoldOut, Expectation::Full, Expectation::Resale];
        only(&Case { expectations, ..case(1, operations) }, Invariant::RunCoverage)
    }

    #[test]
    fn a_run_that_sold_out_and_resold_is_covered() {
        let run = vec![
            reserve("a", 1, 0, 10),
            sold_out(1, 20, 30),
            cancel("a", 40, 50),
            reserve("b", 1, 60, 70),
        ];
        assert_eq!(judged(run).verdict, Verdict::Upheld);
    }

    #[test]
    fn what_was_not_reached_is_named_and_makes_the_run_unknown() {
        let never_full = judged(vec![sold_out(1, 20, 30)]);
        assert_eq!(never_full.verdict, Verdict::Unknown);
        assert!(
            never_full.summary.contains("no slot that refused a client was full"),
            "{}",
            never_full.summary
        );
        let never_sold_out = judged(vec![reserve("a", 1, 0, 10)]);
        assert!(
            never_sold_out.summary.contains("no client was told sold_out"),
            "{}",
            never_sold_out.summary
        );
        let never_resold =
            judged(vec![reserve("a", 1, 0, 10), sold_out(1, 20, 30), cancel("a", 40, 50)]);
        assert!(never_resold.summary.contains("no seat was resold"), "{}", never_resold.summary);
        assert_eq!(judged(vec![]).verdict, Verdict::Unknown);
    }

    /// An open load whose operations were sent late by these times.
    fn open(lags_ms: &[u64], made: u64) -> Finding {
        let late = |lag_ms: &u64| {
            let mut operation = read(9, ms(1_000 + lag_ms), ms(2_000));
            operation.scheduled_ns = ms(1_000);
            operation
        };
        let arrivals =
            ArrivalTotals { asked: 200, made, waiting_max: 3, asked_per_s: 20.0, made_per_s: 20.0 };
        let load = LoadTotals {
            operations: 200,
            measured_from_ns: ms(500),
            measured_until_ns: ms(900),
            arrivals: Some(arrivals),
        };
        let case = case(9, lags_ms.iter().map(late).collect());
        let case =
            Case { load: Some(load), expectations: vec![Expectation::OnSchedule(100)], ..case };
        only(&case, Invariant::RunCoverage)
    }

    #[test]
    fn a_generator_that_was_late_or_left_arrivals_out_makes_the_run_unknown() {
        assert_eq!(open(&[0; 200], 200).verdict, Verdict::Upheld);
        let mut one_late = [0; 200];
        one_late[7] = 900;
        assert_eq!(open(&one_late, 200).verdict, Verdict::Upheld, "one of two hundred");
        let late = open(&[&[0; 190][..], &[150; 10][..]].concat(), 200);
        assert_eq!(late.verdict, Verdict::Unknown);
        assert!(late.summary.starts_with("load generator saturated"), "{}", late.summary);
        let left_out = open(&[0; 200], 199);
        assert_eq!(left_out.verdict, Verdict::Unknown);
        assert!(left_out.summary.contains("199 of 200 arrivals"), "{}", left_out.summary);
    }

    #[test]
    fn a_hold_that_ran_out_must_have_been_sold_again() {
        let judged = |records| {
            let case = Case { audit: Some(records), ..case(9, vec![read(9, 0, 1)]) };
            only(&Case { expectations: vec![Expectation::Reclaim], ..case }, Invariant::RunCoverage)
                .verdict
        };
        let held = || record(1, "a", None, BookingStatus::Pending, 1);
        let expired = || record(2, "a", Some(BookingStatus::Pending), BookingStatus::Expired, 1);
        let again = || record(3, "b", None, BookingStatus::Pending, 1);
        assert_eq!(judged(vec![held(), expired(), again()]), Verdict::Upheld);
        assert_eq!(judged(vec![held(), expired()]), Verdict::Unknown);
        assert_eq!(judged(vec![held(), again()]), Verdict::Unknown);
    }

    #[test]
    fn a_storm_in_which_nothing_was_sent_twice_is_none() {
        let judged = |attempts| {
            let operation = Operation { attempts, ..read(9, 0, 1) };
            let case = case(9, vec![operation]);
            only(&Case { expectations: vec![Expectation::Resend], ..case }, Invariant::RunCoverage)
                .verdict
        };
        assert_eq!((judged(2), judged(1)), (Verdict::Upheld, Verdict::Unknown));
    }
}
