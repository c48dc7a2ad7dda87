//! Tampering with the final rows and the announcements.

use slotproof_vocabulary::{
    Announced, BookingRow, BookingStatus,
    Invariant::{
        AnnouncedOnce, Idempotent, NoLostBooking, NoPhantom, NothingLeaked, OneOrder,
        SeatsConserved,
    },
    Notice, SlotRow,
};

use crate::{Case, Tampering, convicted, evidence::*, harmless, undecided};

pub(crate) fn all() -> Vec<Tampering> {
    [bookings(), slots(), announced()].into_iter().flatten().collect()
}

fn edit(case: &mut Case, booking: &str, change: impl FnOnce(&mut BookingRow)) -> Option<()> {
    end(case).bookings.iter_mut().find(|row| row.booking == booking).map(change)
}

fn bookings() -> Vec<Tampering> {
    vec![
        convicted("the row of a confirmed booking taken out", &[NoLostBooking], |case| {
            let id = kept(case)?.booking;
            end(case).bookings.retain(|row| row.booking != id);
            Some(())
        }),
        convicted("the row of an expired booking taken out", &[NoLostBooking], |case| {
            let id = expired(case)?.booking;
            end(case).bookings.retain(|row| row.booking != id);
            Some(())
        }),
        convicted("there are no rows of bookings", &[NoLostBooking], |case| {
            end(case).bookings.clear();
            Some(())
        }),
        convicted("a confirmed booking's row is cancelled", &[NoLostBooking], |case| {
            let id = kept(case)?.booking;
            edit(case, &id, |row| row.status = BookingStatus::Cancelled)
        }),
        convicted("a confirmed booking's row is expired", &[NoLostBooking], |case| {
            let id = kept(case)?.booking;
            edit(case, &id, |row| row.status = BookingStatus::Expired)
        }),
        convicted("a cancelled booking's row is confirmed", &[NoLostBooking], |case| {
            let id = cancelled(case)?.booking;
            edit(case, &id, |row| row.status = BookingStatus::Confirmed)
        }),
        convicted("an expired booking's row is cancelled", &[NoLostBooking], |case| {
            let id = expired(case)?.booking;
            edit(case, &id, |row| row.status = BookingStatus::Cancelled)
        }),
        convicted("an expired booking's row is overdue", &[NothingLeaked], |case| {
            let id = expired(case)?.booking;
            edit(case, &id, |row| {
                (row.status, row.overdue_ms) = (BookingStatus::Pending, Some(60_000));
            })
        }),
        convicted("a row's seats +1", &[NoLostBooking, NoPhantom], |case| {
            let id = kept(case)?.booking;
            edit(case, &id, |row| row.seats += 1)
        }),
        convicted("a row is in the other slot", &[NoLostBooking, NoPhantom], |case| {
            let id = kept(case)?.booking;
            edit(case, &id, |row| {
                let other = if row.slot == "slot-1" { "slot-2" } else { "slot-1" };
                row.slot = other.to_owned();
            })
        }),
        convicted("a row's key is another", &[NoPhantom], |case| {
            let id = kept(case)?.booking;
            edit(case, &id, |row| row.key = Some("forged".to_owned()))
        }),
        convicted("the keys of two rows swapped", &[NoPhantom], |case| {
            let ids = [kept(case)?.booking, expired(case)?.booking];
            let keys = ids.clone().map(|id| row(case, &id).map(|row| row.key.clone()));
            let [one, other] = keys;
            let (one, other) = (one?, other?);
            edit(case, &ids[0], |row| row.key = other)?;
            edit(case, &ids[1], |row| row.key = one)
        }),
        convicted("a row's booking is another", &[NoLostBooking], |case| {
            let id = kept(case)?.booking;
            edit(case, &id, |row| row.booking = "forged".to_owned())
        }),
        convicted("a row twice", &[Idempotent], |case| {
            let twin = row(case, &kept(case)?.booking)?.clone();
            end(case).bookings.push(twin);
            Some(())
        }),
        convicted("a row of a booking that nobody made", &[NoPhantom], |case| {
            end(case).bookings.push(BookingRow {
                booking: "forged".to_owned(),
                slot: "slot-1".to_owned(),
                status: BookingStatus::Cancelled,
                seats: 1,
                key: Some("forged".to_owned()),
                overdue_ms: None,
            });
            Some(())
        }),
        convicted("a pending row without an end", &[NothingLeaked], |case| {
            let pending = |row: &&mut BookingRow| row.status == BookingStatus::Pending;
            end(case).bookings.iter_mut().find(pending)?.overdue_ms = None;
            Some(())
        }),
        convicted("a pending row that is overdue", &[NothingLeaked], |case| {
            let pending = |row: &&mut BookingRow| row.status == BookingStatus::Pending;
            end(case).bookings.iter_mut().find(pending)?.overdue_ms = Some(10_000);
            Some(())
        }),
        harmless("the rows in reverse", "rows have no order", |case| {
            end(case).bookings.reverse();
            end(case).slots.reverse();
            Some(())
        }),
        harmless(
            "there is no end state",
            "less evidence; `load.json` says of our own runs that there was one",
            |case| case.end.take().map(|_| ()),
        ),
    ]
}

/// Changes the row of the first slot.
fn slot(case: &mut Case, change: impl FnOnce(&mut SlotRow)) -> Option<()> {
    end(case).slots.first_mut().map(change)
}

fn slots() -> Vec<Tampering> {
    vec![
        convicted("a slot's row has one seat more left", &[SeatsConserved], |case| {
            slot(case, |row| row.available += 1)
        }),
        convicted("a slot's row has one seat less left", &[SeatsConserved], |case| {
            slot(case, |row| row.available -= 1)
        }),
        convicted("a slot's row has one seat more", &[SeatsConserved], |case| {
            slot(case, |row| row.capacity += 1)
        }),
        convicted("a slot's row has one seat more, and it is left", &[SeatsConserved], |case| {
            slot(case, |row| (row.capacity, row.available) = (row.capacity + 1, row.available + 1))
        }),
        convicted("a slot's row has the next version", &[OneOrder], |case| {
            slot(case, |row| row.version += 1)
        }),
        convicted("a slot's row has the version before", &[OneOrder], |case| {
            slot(case, |row| row.version -= 1)
        }),
        convicted("a slot's row taken out", &[OneOrder], |case| end(case).slots.pop().map(|_| ())),
        convicted("a slot's row twice", &[OneOrder], |case| {
            let twin = end(case).slots.first()?.clone();
            end(case).slots.push(twin);
            Some(())
        }),
        convicted("the rows of two slots swapped", &[OneOrder], |case| {
            let slots = &mut end(case).slots;
            let name = std::mem::take(&mut slots[0].slot);
            slots[0].slot = std::mem::replace(&mut slots[1].slot, name);
            Some(())
        }),
        convicted("the plan has one seat more", &[SeatsConserved], |case| {
            case.capacity += 1;
            Some(())
        }),
        convicted("the plan has one seat less", &[SeatsConserved], |case| {
            case.capacity -= 1;
            Some(())
        }),
        convicted("the plan has one seat more in one slot", &[SeatsConserved], |case| {
            let seats = case.capacity + 1;
            case.capacities.insert("slot-2".to_owned(), seats);
            Some(())
        }),
    ]
}

fn told(case: &mut Case) -> Option<&mut Announced> {
    end(case).announced.as_mut()
}

/// Changes the announcement in the middle.
fn notice(case: &mut Case, change: impl FnOnce(&mut Notice)) -> Option<()> {
    let notices = &mut told(case)?.notices;
    let at = notices.len() / 2;
    notices.get_mut(at).map(change)
}

fn announced() -> Vec<Tampering> {
    vec![
        convicted("an announcement taken out", &[AnnouncedOnce], |case| {
            told(case)?.notices.pop().map(|_| ())
        }),
        convicted("every announcement taken out", &[AnnouncedOnce], |case| {
            told(case)?.notices.clear();
            Some(())
        }),
        convicted("an announcement twice", &[AnnouncedOnce], |case| {
            let twin = told(case)?.notices.first()?.clone();
            told(case)?.notices.push(twin);
            Some(())
        }),
        convicted("an announcement of another status", &[AnnouncedOnce], |case| {
            notice(case, |it| it.status = BookingStatus::Failed)
        }),
        convicted("an announcement of another version", &[AnnouncedOnce], |case| {
            notice(case, |it| it.version += 1)
        }),
        convicted("an announcement of another booking", &[AnnouncedOnce], |case| {
            notice(case, |it| it.booking = "forged".to_owned())
        }),
        convicted("an announcement of another slot", &[AnnouncedOnce], |case| {
            notice(case, |it| it.slot = "slot-9".to_owned())
        }),
        convicted("an announcement of what never was", &[AnnouncedOnce], |case| {
            let mut forged = told(case)?.notices.first()?.clone();
            forged.version = 100_000;
            told(case)?.notices.push(forged);
            Some(())
        }),
        convicted("one change too many was counted", &[AnnouncedOnce], |case| {
            told(case)?.counts.first_mut()?.changes += 1;
            Some(())
        }),
        convicted("one seat too many was counted", &[AnnouncedOnce], |case| {
            told(case)?.counts.first_mut()?.seats += 1;
            Some(())
        }),
        convicted("a count taken out", &[AnnouncedOnce], |case| {
            told(case)?.counts.pop().map(|_| ())
        }),
        convicted("a count twice", &[AnnouncedOnce], |case| {
            let twin = told(case)?.counts.first()?.clone();
            told(case)?.counts.push(twin);
            Some(())
        }),
        undecided("changes still wait to be announced", |case| {
            told(case)?.waiting = 3;
            Some(())
        }),
        harmless("the announcements in reverse", "they are compared one by one", |case| {
            told(case)?.notices.reverse();
            Some(())
        }),
        undecided("no word of announcements", |case| end(case).announced.take().map(|_| ())),
    ]
}
