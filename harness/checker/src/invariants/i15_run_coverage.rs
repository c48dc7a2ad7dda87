//! I15: coverage: the run reached the situations that its scenario is about.
//!
//! A slot that never sold out was never in danger, and a verdict about it says nothing. What a run
//! must have reached depends on its scenario; a run that did not reach it is unknown, neither
//! upheld nor violated.

use std::collections::BTreeSet;

use foldhash::HashSet;
use slotproof_history::{ActionRef, Name, OperationRef};
use slotproof_vocabulary::{BookingStatus, Expectation, Finding, Invariant, Outcome, Verdict};

use super::{Evidence, i05_idempotent};
use crate::slot_evidence::SlotEvidence;

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    finding(&tally(evidence), evidence)
}

/// What some slots reached.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whether a slot refused a client when one more booking would have been too many.
    in_danger: bool,
    /// Whether such a slot resold a seat.
    resold: bool,
    reclaimed: bool,
    contested: u64,
}

impl Tally {
    /// Adds what later slots reached.
    pub(super) fn merge(&mut self, later: Self) {
        self.in_danger |= later.in_danger;
        self.resold |= later.resold;
        self.reclaimed |= later.reclaimed;
        self.contested += later.contested;
    }
}

pub(super) fn tally(evidence: &Evidence<'_>) -> Tally {
    let expected = &evidence.case.expectations;
    let counts =
        expected.iter().any(|it| matches!(it, Expectation::Contested(_) | Expectation::Full));
    let in_danger = in_danger(evidence);
    Tally {
        in_danger: !in_danger.is_empty(),
        resold: expected.contains(&Expectation::Resale)
            && in_danger.iter().any(SlotActivity::resold),
        reclaimed: expected.contains(&Expectation::Reclaim) && reclaim(evidence),
        contested: if counts { contested(evidence) } else { 0 },
    }
}

pub(super) fn finding(tally: &Tally, evidence: &Evidence<'_>) -> Option<Finding> {
    let expected = &evidence.case.expectations;
    let missing: Vec<String> =
        expected.iter().filter_map(|expectation| missing(evidence, tally, *expectation)).collect();
    let off_schedule = expected.iter().find_map(|expectation| off_schedule(evidence, *expectation));
    let (verdict, summary) = if let Some(reason) = off_schedule {
        // First: what such a load did not reach says nothing.
        (Verdict::Unknown, reason)
    } else if evidence.case.history.operations.is_empty() {
        (Verdict::Unknown, "the history is empty".to_owned())
    } else if missing.is_empty() {
        let reached = "the run reached everything that its scenario requires";
        let summary = match expected.contains(&Expectation::Full) {
            true => format!("{reached}; {} of its grants were contested", tally.contested),
            false => reached.to_owned(),
        };
        (Verdict::Upheld, summary)
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
fn missing(evidence: &Evidence<'_>, tally: &Tally, expectation: Expectation) -> Option<String> {
    let prober = evidence.case.prober;
    let operations = &evidence.case.history.operations;
    if let Expectation::Contested(least) = expectation {
        let contested = tally.contested;
        return (contested < u64::from(least)).then(|| {
            format!(
                "{contested} contested grants, {least} needed (a client got seats while another was \
                 refused seats of the slot); lower contested_min if the load cannot have so many"
            )
        });
    }
    if let Expectation::KeyTwice(least) = expectation {
        let keys = i05_idempotent::keys_in_flight_twice(&evidence.case.history);
        return (keys < u64::from(least)).then(|| {
            format!(
                "{} in flight twice at once and got seats, {least} needed",
                i05_idempotent::were(keys)
            )
        });
    }
    let (reached, missing) = match expectation {
        Expectation::SoldOut => (
            operations.iter().any(|it| it.outcome == Outcome::SoldOut && Some(it.client) != prober),
            "no client was told sold_out",
        ),
        Expectation::Full => (tally.in_danger, "no slot that refused a client was full"),
        Expectation::Resale => (tally.resold, "no seat was resold after a cancel"),
        Expectation::Reclaim => {
            let missing = "no seat was resold after its hold had expired (a hold must end within the \
                           load: use a longer run or shorter holds)";
            (tally.reclaimed, missing)
        }
        Expectation::Resend => {
            let resent = operations.iter().any(|operation| operation.attempts > 1);
            (resent, "no request was resent (answers came within --resend: shorten it)")
        }
        Expectation::Contested(_) | Expectation::KeyTwice(_) | Expectation::OnSchedule(_) => {
            return None;
        }
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
    fn operations(&self) -> impl Iterator<Item = OperationRef<'_>> {
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
            ActionRef::Reserve { seats, .. } if operation.outcome == Outcome::SoldOut => {
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
        let cancels = ok().filter(|it| matches!(it.action, ActionRef::Cancel { .. }));
        let (Some(sold_out_ns), Some(cancel_ns)) =
            (self.first_sold_out_ns(), cancels.map(|cancel| cancel.returned_ns).min())
        else {
            return false;
        };
        let mut reserves = ok().filter(|it| matches!(it.action, ActionRef::Reserve { .. }));
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

/// A refusal: what is compared of it, because a slot may have millions.
struct Refused {
    client: u64,
    sent_ns: u64,
    returned_ns: u64,
}

impl Refused {
    fn of(operation: &OperationRef<'_>) -> Self {
        let OperationRef { client, sent_ns, returned_ns, .. } = *operation;
        Self { client, sent_ns, returned_ns }
    }
}

/// The latest return of some refusals: the client's and when, and that of any other client.
#[derive(Debug, Clone, Copy, Default)]
struct Latest {
    first: Option<(u64, u64)>,
    of_others_ns: Option<u64>,
}

impl Latest {
    fn with(&mut self, refused: &Refused) -> Self {
        let this = (refused.client, refused.returned_ns);
        match &mut self.first {
            Some((client, ns)) if *client == this.0 => *ns = this.1.max(*ns),
            Some((_, ns)) if this.1 <= *ns => {
                self.of_others_ns = self.of_others_ns.max(Some(this.1));
            }
            first => self.of_others_ns = first.replace(this).map(|(_, ns)| ns),
        }
        *self
    }

    /// Of clients other than this one.
    fn of_others(&self, client: u64) -> Option<u64> {
        match self.first {
            Some((first, ns)) if first != client => Some(ns),
            _ => self.of_others_ns,
        }
    }
}

/// Reserves that got seats while another client was refused seats of the same slot: as often the
/// service had to decide who gets the last ones.
fn contested(evidence: &Evidence<'_>) -> u64 {
    let of_slot = |slot: &SlotEvidence<'_>| {
        let activity = SlotActivity { slot, prober: evidence.case.prober };
        let reserves = |outcome| {
            let made = activity.operations().filter(move |it| it.outcome == outcome);
            made.filter(|it| matches!(it.action, ActionRef::Reserve { .. }))
        };
        let refused = reserves(Outcome::SoldOut);
        let mut refused: Vec<Refused> = refused.map(|it| Refused::of(&it)).collect();
        refused.sort_unstable_by_key(|it| it.sent_ns);
        // The latest return of those that were sent until then, and the latest of other clients.
        let mut latest = Latest::default();
        let latest: Vec<Latest> = refused.iter().map(|it| latest.with(it)).collect();
        let is_contested = |granted: &OperationRef<'_>| {
            let before = refused.partition_point(|it| it.sent_ns <= granted.returned_ns);
            let latest = before.checked_sub(1).map(|last| &latest[last]);
            let returned_ns = latest.and_then(|latest| latest.of_others(granted.client));
            returned_ns.is_some_and(|returned_ns| returned_ns >= granted.sent_ns)
        };
        let contested = reserves(Outcome::Ok)
            .filter(|it| !it.terms.as_ref().is_some_and(|terms| terms.provisional));
        // A booking that was acknowledged twice was granted once.
        let bookings: HashSet<Name<'_>> =
            contested.filter(is_contested).filter_map(|it| it.seen.booking).collect();
        bookings.len() as u64
    };
    evidence.slots.iter().map(of_slot).sum()
}

/// By the log: a booking expired, and later another one was made in the same slot. Without a log:
/// a slot gave more seats than it has, and no cancel can have given enough of them back.
fn reclaim(evidence: &Evidence<'_>) -> bool {
    let given_again = |slot: &SlotEvidence<'_>| {
        let given = slot.held_intervals.iter().filter(|held| {
            let by_prober = Some(evidence.case.history.operations.at(held.reserve).client);
            !held.maybe_cancelled && held.pieces.is_none() && by_prober != evidence.case.prober
        });
        let seats: i64 = given.map(|held| held.seats).sum();
        seats > slot.capacity.within(0, u64::MAX).1
            && slot.held_intervals.iter().any(|held| held.is_hold)
    };
    if evidence.case.audit.is_none() {
        return evidence.slots.iter().any(given_again);
    }
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

    fn by(client: u64, operation: Operation) -> Operation {
        Operation { client, process: client, ..operation }
    }

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
    fn a_grant_is_contested_if_another_client_is_refused_meanwhile() {
        let asked = |operations: Vec<Operation>, least| {
            let expectations = vec![Expectation::Full, Expectation::Contested(least)];
            only(&Case { expectations, ..case(2, operations) }, Invariant::RunCoverage)
        };
        // The long refusal overlaps both grants, and the short one inside it none.
        let contested = || {
            vec![
                reserve("a", 1, 0, 10),
                by(2, sold_out(2, 5, 100)),
                sold_out(2, 30, 40),
                reserve("b", 1, 60, 70),
                // Its receipt, again.
                reserve("b", 1, 60, 75),
            ]
        };
        let covered = asked(contested(), 2);
        assert_eq!(covered.verdict, Verdict::Upheld, "{}", covered.summary);
        assert!(covered.summary.contains("2 of its grants were contested"), "{}", covered.summary);
        let missed = asked(contested(), 3);
        assert_eq!(missed.verdict, Verdict::Unknown);
        assert!(missed.summary.starts_with("2 contested grants, 3 needed"), "{}", missed.summary);
        let after = vec![reserve("a", 2, 0, 10), by(2, sold_out(1, 11, 20))];
        assert!(asked(after, 1).summary.starts_with("0 contested grants, 1 needed"));
        let itself = vec![reserve("a", 2, 0, 10), sold_out(1, 5, 20)];
        assert!(
            asked(itself, 1).summary.starts_with("0 contested grants, 1 needed"),
            "refused by nobody else"
        );
        let later_of_itself =
            vec![reserve("a", 2, 0, 10), by(2, sold_out(1, 5, 8)), sold_out(1, 6, 90)];
        assert_eq!(asked(later_of_itself, 1).verdict, Verdict::Upheld);
    }

    #[test]
    fn without_a_log_seats_that_were_given_twice_show_that_a_hold_ran_out() {
        let hold = |booking: &str, at: u64| {
            let mut hold = reserve(booking, 1, at, at + 10);
            hold.seen.hold_ms = Some(1);
            hold
        };
        let reached = |operations: Vec<Operation>| {
            let expectations = vec![Expectation::Reclaim];
            let case = Case { expectations, ..case(1, operations) };
            only(&case, Invariant::RunCoverage).verdict
        };
        let later = 5 * ms(1);
        assert_eq!(reached(vec![hold("a", 0), hold("b", later)]), Verdict::Upheld);
        assert_eq!(reached(vec![hold("a", 0)]), Verdict::Unknown, "given once");
        let cancelled = vec![hold("a", 0), cancel("a", 20, 30), hold("b", later)];
        assert_eq!(reached(cancelled), Verdict::Unknown, "given back by a cancel");
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
    fn a_key_that_was_sent_again_after_its_answer_was_not_in_flight_twice() {
        let judged = |from_ns, outcome| {
            let second = Operation { outcome, ..reserve("a", 1, from_ns, 90) };
            let case = case(9, vec![reserve("a", 1, 0, 50), by(2, second)]);
            let expectations = vec![Expectation::KeyTwice(1)];
            only(&Case { expectations, ..case }, Invariant::RunCoverage)
        };
        assert_eq!(judged(20, Outcome::Ok).verdict, Verdict::Upheld);
        assert_eq!(judged(20, Outcome::Throttled).verdict, Verdict::Upheld, "told to wait");
        let after = judged(51, Outcome::Ok);
        assert_eq!(after.verdict, Verdict::Unknown);
        assert!(after.summary.starts_with("0 keys were in flight twice"), "{}", after.summary);
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
