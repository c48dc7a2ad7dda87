//! I14: each committed change is announced once, and no other change is announced.
//!
//! The audit log says what was committed. Messages are compared with it one by one, counts by their
//! sums: a consumer that applied an event twice, or never, has other sums.

use std::collections::BTreeMap;

use slotproof_vocabulary::{
    Announced, AuditRecord, BookingStatus, Finding, Invariant, Notice, Verdict, Witness,
};

use super::{Count, Evidence, witness};

pub(super) fn check(evidence: &Evidence<'_>) -> Option<Finding> {
    let audit = evidence.case.audit.as_ref()?;
    let mut count = Count::new(Invariant::AnnouncedOnce);
    let Some(announced) = evidence.case.end.as_ref()?.announced.as_ref() else {
        count.undecided(|| "the announcements of the run were not collected".to_owned());
        return evidence
            .case
            .announces
            .then(|| count.finding(|_| String::new(), |_, _| String::new()));
    };

    let mut committed: BTreeMap<(&str, i64), (&AuditRecord, u64)> =
        audit.iter().map(|record| ((record.slot.as_str(), record.version), (record, 0))).collect();
    for notice in &announced.notices {
        count.examine();
        match committed.get_mut(&(notice.slot.as_str(), notice.version)) {
            Some((record, times))
                if record.booking == notice.booking && record.to == notice.status =>
            {
                *times += 1;
                if *times > 1 {
                    let record = *record;
                    count.violation(|| about(record, &format!("was announced {times} times")));
                }
            }
            Some((record, _)) => {
                let record = *record;
                count.violation(|| {
                    about(record, &format!("was announced as {}", described(notice)))
                });
            }
            None => count.violation(|| {
                witness(
                    &notice.slot,
                    format!("{}: was announced, and was not committed", described(notice)),
                )
            }),
        }
    }
    // A change that still waits may yet be announced.
    if announced.waiting == 0 {
        for (record, _) in committed.values().filter(|(_, times)| *times == 0) {
            count.violation(|| about(record, "was committed and never announced"));
        }
        check_counts(audit, announced, &mut count);
    }
    let finding = count.finding(
        |_| {
            format!(
                "each of {} committed changes was announced once, and no other change was",
                audit.len()
            )
        },
        |violations, examined| {
            format!("{violations} of {examined} announcements and counts are wrong")
        },
    );
    if announced.waiting > 0 && finding.verdict != Verdict::Violated {
        let summary = format!("{} changes were still waiting to be announced", announced.waiting);
        return Some(Finding { verdict: Verdict::Unknown, summary, ..finding });
    }
    Some(finding)
}

fn check_counts(audit: &[AuditRecord], announced: &Announced, count: &mut Count) {
    let mut sums: BTreeMap<BookingStatus, [(i64, i64); 2]> = BTreeMap::new();
    for record in audit {
        let [committed, _] = sums.entry(record.to).or_default();
        *committed = (committed.0 + 1, committed.1 + record.seats);
    }
    for row in &announced.counts {
        let [_, counted] = sums.entry(row.status).or_default();
        *counted = (counted.0.saturating_add(row.changes), counted.1.saturating_add(row.seats));
    }
    for (status, [committed, counted]) in sums {
        count.examine();
        if committed != counted {
            count.violation(|| {
                let explanation = format!(
                    "changes to {}: {} with {} seats were committed, {} with {} were counted",
                    status.name(),
                    committed.0,
                    committed.1,
                    counted.0,
                    counted.1
                );
                witness("all slots", explanation)
            });
        }
    }
}

fn about(record: &AuditRecord, what: &str) -> Witness {
    let explanation = format!(
        "version {}, booking {} {}: {what}",
        record.version,
        record.booking,
        record.to.name()
    );
    Witness { records: vec![record.clone()], ..witness(&record.slot, explanation) }
}

fn described(notice: &Notice) -> String {
    format!("version {}, booking {} {}", notice.version, notice.booking, notice.status.name())
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{EndState, StatusCount};

    use super::*;
    use crate::{
        Case,
        fixture::{case, only},
    };

    fn record(version: i64, to: BookingStatus) -> AuditRecord {
        AuditRecord {
            slot: "s".to_owned(),
            version,
            booking: "b".to_owned(),
            from: None,
            to,
            seats: 2,
            available: 0,
        }
    }

    fn notice(version: i64, status: BookingStatus) -> Notice {
        Notice { slot: "s".to_owned(), version, booking: "b".to_owned(), status }
    }

    fn counted(status: BookingStatus, changes: i64) -> StatusCount {
        StatusCount { status, changes, seats: 2 * changes }
    }

    /// A booking that was made and confirmed.
    fn verdict(waiting: u64, notices: Vec<Notice>, counts: Vec<StatusCount>) -> Verdict {
        let announced = Some(Announced { waiting, notices, counts });
        let audit = vec![record(1, BookingStatus::Pending), record(2, BookingStatus::Confirmed)];
        let end = Some(EndState { announced, ..EndState::default() });
        only(&Case { audit: Some(audit), end, ..case(2, Vec::new()) }, Invariant::AnnouncedOnce)
            .verdict
    }

    const PENDING: BookingStatus = BookingStatus::Pending;
    const CONFIRMED: BookingStatus = BookingStatus::Confirmed;

    #[test]
    fn each_change_once_is_upheld() {
        let notices = vec![notice(1, PENDING), notice(2, CONFIRMED)];
        assert_eq!(
            verdict(0, notices, vec![counted(PENDING, 1), counted(CONFIRMED, 1)]),
            Verdict::Upheld
        );
    }

    #[test]
    fn a_change_that_was_announced_twice_never_or_wrongly_convicts() {
        let counts = || vec![counted(PENDING, 1), counted(CONFIRMED, 1)];
        let twice = vec![notice(1, PENDING), notice(1, PENDING), notice(2, CONFIRMED)];
        let never = vec![notice(1, PENDING)];
        let wrongly = vec![notice(1, PENDING), notice(2, BookingStatus::Cancelled)];
        let phantom =
            vec![notice(1, PENDING), notice(2, CONFIRMED), notice(3, BookingStatus::Cancelled)];
        for notices in [twice, never, wrongly, phantom] {
            assert_eq!(verdict(0, notices.clone(), counts()), Verdict::Violated, "{notices:?}");
        }
    }

    #[test]
    fn counts_that_do_not_add_up_convict() {
        let notices = || vec![notice(1, PENDING), notice(2, CONFIRMED)];
        assert_eq!(
            verdict(0, notices(), vec![counted(PENDING, 2), counted(CONFIRMED, 1)]),
            Verdict::Violated
        );
        assert_eq!(verdict(0, notices(), vec![counted(PENDING, 1)]), Verdict::Violated);
    }

    #[test]
    fn a_change_that_still_waits_is_unknown_and_one_announced_twice_is_not() {
        assert_eq!(verdict(1, vec![notice(1, PENDING)], Vec::new()), Verdict::Unknown);
        assert_eq!(
            verdict(1, vec![notice(1, PENDING), notice(1, PENDING)], Vec::new()),
            Verdict::Violated
        );
    }
}
