//! I16: no owner has more live bookings in a period than the declared limit.
//!
//! Judged only where a limit is declared, and for reserves that name their owner. A booking counts
//! while it surely takes seats (`held_interval.rs`), in whatever slot. An owner that surely has
//! more than the limit at one instant is over it in every order of events.

use std::collections::BTreeMap;

use slotproof_vocabulary::{Finding, Invariant, Witness};

use super::{Count, Evidence, counted, witness};
use crate::held_interval::HeldInterval;

/// An owner in a period.
type Account<'a> = (&'a str, &'a str);

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let limit = evidence.case.history.declarations.limit?;
    let mut accounts: BTreeMap<Account<'_>, Vec<&HeldInterval<'_>>> = BTreeMap::new();
    for held in evidence.held_intervals() {
        let terms = evidence.case.history.operations.at(held.reserve).terms;
        let Some((owner, terms)) = terms.and_then(|it| Some((it.owner.as_deref()?, it))) else {
            continue;
        };
        let period = terms.period.as_deref().unwrap_or_default();
        accounts.entry((owner, period)).or_default().push(held);
    }
    let mut count = Count::new(Invariant::LimitPerOwner);
    for ((owner, period), bookings) in &accounts {
        count.examine();
        let Some(at_ns) = first_beyond(bookings, limit) else { continue };
        count.violation(|| {
            let live = bookings.iter().filter(|held| held.surely_held_at(at_ns));
            let live: Vec<&&HeldInterval<'_>> = live.collect();
            let during = if period.is_empty() { String::new() } else { format!(" in {period}") };
            Witness {
                instant_ns: Some(at_ns),
                operations: evidence.show(live.iter().map(|held| held.reserve)),
                ..witness(
                    live[0].slot,
                    format!(
                        "at {}, owner {owner} has {}{during}; the limit is {limit}",
                        evidence.instant(at_ns),
                        counted(live.len() as u64, "live booking")
                    ),
                )
            }
        });
    }
    Some(count.finding(
        |examined| format!("no owner is over the limit of {limit}, in {examined} accounts"),
        |violations, examined| {
            format!("{violations} of {examined} accounts are over the limit of {limit}")
        },
    ))
}

/// The first instant at which more bookings than the limit are surely held.
fn first_beyond(bookings: &[&HeldInterval<'_>], limit: u32) -> Option<u64> {
    let mut changes: Vec<(u64, i64)> = Vec::new();
    for held in bookings {
        held.each_certain(|interval, _| {
            changes.push((interval.from_ns, 1));
            changes.push((interval.to_ns, -1));
        });
    }
    changes.sort_unstable_by_key(|(at_ns, _)| *at_ns);
    let mut live = 0;
    changes.chunk_by(|left, right| left.0 == right.0).find_map(|same| {
        live += same.iter().map(|(_, change)| change).sum::<i64>();
        (live > i64::from(limit)).then_some(same[0].0)
    })
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{Operation, Terms, Verdict, operation_builder};

    use super::*;
    use crate::fixture::{cancel, case, only};

    fn of_kim(slot: &str, booking: &str, sent_ns: u64) -> Operation {
        let terms =
            Terms { owner: Some("kim".into()), period: Some("monday".into()), ..Terms::default() };
        let reserve = operation_builder::reserve(slot).key(format!("key-{booking}")).terms(terms);
        reserve.at(sent_ns, sent_ns + 10).booked(booking)
    }

    fn verdict(operations: Vec<Operation>) -> Verdict {
        let mut case = case(9, operations);
        case.history.declarations.limit = Some(1);
        only(&case, Invariant::LimitPerOwner).verdict
    }

    #[test]
    fn one_booking_after_the_other_keeps_the_limit_and_two_at_once_do_not() {
        let again = vec![of_kim("s", "a", 0), cancel("a", 20, 30), of_kim("t", "b", 40)];
        assert_eq!(verdict(again), Verdict::Upheld);
        assert_eq!(verdict(vec![of_kim("s", "a", 0), of_kim("t", "b", 5)]), Verdict::Violated);
    }

    #[test]
    fn without_an_owner_there_is_nothing_to_judge() {
        assert_eq!(verdict(vec![crate::fixture::reserve("a", 1, 0, 10)]), Verdict::Unknown);
    }
}
