//! Tampering with the audit log.

use slotproof_vocabulary::{
    AuditRecord, BookingStatus,
    Invariant::{LawfulLifecycle, NoLostBooking, NoOverbookingStored, OneOrder, SeatsConserved},
};

use crate::{Case, Tampering, convicted, evidence::*, harmless};

pub(crate) fn all() -> Vec<Tampering> {
    [dropped_or_added(), edited()].into_iter().flatten().collect()
}

fn of_status(case: &Case, to: BookingStatus) -> Option<usize> {
    record(case, |it| it.to == to)
}

fn drop_one(case: &mut Case, to: BookingStatus) -> Option<()> {
    let at = of_status(case, to)?;
    log(case).remove(at);
    Some(())
}

fn dropped_or_added() -> Vec<Tampering> {
    vec![
        convicted("the record of a reserve taken out", &[OneOrder], |case| {
            drop_one(case, BookingStatus::Pending)
        }),
        convicted("the record of a confirm taken out", &[OneOrder], |case| {
            drop_one(case, BookingStatus::Confirmed)
        }),
        convicted("the record of a cancel taken out", &[OneOrder], |case| {
            drop_one(case, BookingStatus::Cancelled)
        }),
        convicted("the record of an expiry taken out", &[OneOrder], |case| {
            drop_one(case, BookingStatus::Expired)
        }),
        convicted("the last record taken out", &[OneOrder], |case| log(case).pop().map(|_| ())),
        convicted("a slot's records taken out", &[OneOrder], |case| {
            log(case).retain(|it| it.slot != "slot-1");
            Some(())
        }),
        convicted("a booking's records taken out, without a gap", &[OneOrder], |case| {
            let Life { booking, reserve, .. } = kept(case)?;
            let slot = op(case, reserve).slot.to_string();
            log(case).retain(|it| it.booking != booking);
            let of_slot = log(case).iter_mut().filter(|it| it.slot == slot);
            of_slot.zip(1..).for_each(|(it, version)| it.version = version);
            Some(())
        }),
        convicted("the log is empty", &[OneOrder], |case| {
            log(case).clear();
            Some(())
        }),
        harmless(
            "there is no log",
            "less evidence; `load.json` counts the records of our own runs",
            |case| case.audit.take().map(|_| ()),
        ),
        convicted("a record twice", &[OneOrder], |case| {
            let at = of_status(case, BookingStatus::Cancelled)?;
            let twin = log(case)[at].clone();
            log(case).push(twin);
            Some(())
        }),
        convicted("a booking that nobody knows at the end of the log", &[OneOrder], |case| {
            let last = log(case).last()?.clone();
            log(case).push(AuditRecord {
                version: last.version + 1,
                booking: "forged".to_owned(),
                from: None,
                to: BookingStatus::Pending,
                seats: 1,
                available: last.available - 1,
                ..last
            });
            Some(())
        }),
        harmless("the records in reverse", "they are ordered by slot and version", |case| {
            log(case).reverse();
            Some(())
        }),
    ]
}

fn edited() -> Vec<Tampering> {
    vec![
        convicted("two neighbouring versions swapped", &[SeatsConserved, OneOrder], |case| {
            let at = of_status(case, BookingStatus::Cancelled)?;
            let AuditRecord { slot, version, .. } = log(case)[at].clone();
            let of_slot = |it: &&mut AuditRecord| it.slot == slot;
            for it in log(case).iter_mut().filter(of_slot) {
                match it.version - version {
                    0 => it.version += 1,
                    1 => it.version -= 1,
                    _ => {}
                }
            }
            Some(())
        }),
        convicted("a record's version, to one that is far away", &[OneOrder], |case| {
            let at = of_status(case, BookingStatus::Cancelled)?;
            log(case)[at].version += 100_000;
            Some(())
        }),
        convicted("every version of a slot +1", &[OneOrder], |case| {
            let all = log(case).iter_mut().filter(|it| it.slot == "slot-1");
            all.for_each(|it| it.version += 1);
            Some(())
        }),
        convicted("a version left out everywhere, with all that follow +1", &[OneOrder], |case| {
            let at = of_status(case, BookingStatus::Cancelled)?;
            let AuditRecord { slot, version: from, .. } = log(case)[at].clone();
            let raise = |version: &mut i64| *version += i64::from(*version >= from);
            let records = log(case).iter_mut().filter(|it| it.slot == slot);
            records.for_each(|it| raise(&mut it.version));
            let rows = end(case).slots.iter_mut().filter(|it| it.slot == slot);
            rows.for_each(|it| raise(&mut it.version));
            let notices = end(case).announced.as_mut()?.notices.iter_mut();
            notices.filter(|it| it.slot == slot).for_each(|it| raise(&mut it.version));
            let answers = case.history.operations.iter_mut().filter(|it| *it.slot == *slot);
            answers.filter_map(|it| it.seen.version.as_mut()).for_each(raise);
            Some(())
        }),
        convicted("a record's seats left +1", &[SeatsConserved], |case| {
            let at = of_status(case, BookingStatus::Pending)?;
            log(case)[at].available += 1;
            Some(())
        }),
        convicted("every record's seats left -1", &[SeatsConserved], |case| {
            log(case).iter_mut().for_each(|it| it.available -= 1);
            Some(())
        }),
        convicted("a record's seats +1", &[LawfulLifecycle, SeatsConserved], |case| {
            let at = of_status(case, BookingStatus::Confirmed)?;
            log(case)[at].seats += 1;
            Some(())
        }),
        convicted("every record's seats tenfold", &[NoOverbookingStored, OneOrder], |case| {
            log(case).iter_mut().for_each(|it| it.seats *= 10);
            Some(())
        }),
        convicted("a record's seats below 0", &[LawfulLifecycle, SeatsConserved], |case| {
            let at = of_status(case, BookingStatus::Pending)?;
            log(case)[at].seats = -1;
            Some(())
        }),
        convicted("a record names another booking", &[LawfulLifecycle, OneOrder], |case| {
            let at = of_status(case, BookingStatus::Confirmed)?;
            log(case)[at].booking = "forged".to_owned();
            Some(())
        }),
        convicted("a record is in the other slot", &[OneOrder], |case| {
            let at = record(case, |it| it.slot == "slot-1")?;
            log(case)[at].slot = "slot-2".to_owned();
            Some(())
        }),
        convicted("a cancel is logged as an expiry", &[NoLostBooking, OneOrder], |case| {
            let at = of_status(case, BookingStatus::Cancelled)?;
            log(case)[at].to = BookingStatus::Expired;
            Some(())
        }),
        convicted("an expiry is logged as a confirm", &[SeatsConserved, OneOrder], |case| {
            let at = of_status(case, BookingStatus::Expired)?;
            log(case)[at].to = BookingStatus::Confirmed;
            Some(())
        }),
        convicted("a reserve is logged as failed", &[LawfulLifecycle], |case| {
            let at = of_status(case, BookingStatus::Pending)?;
            log(case)[at].to = BookingStatus::Failed;
            Some(())
        }),
        convicted(
            "a confirm is logged as one of a cancelled booking",
            &[LawfulLifecycle],
            |case| {
                let at = of_status(case, BookingStatus::Confirmed)?;
                log(case)[at].from = Some(BookingStatus::Cancelled);
                Some(())
            },
        ),
        convicted("a reserve is logged with a status before", &[LawfulLifecycle], |case| {
            let at = of_status(case, BookingStatus::Pending)?;
            log(case)[at].from = Some(BookingStatus::Confirmed);
            Some(())
        }),
    ]
}
