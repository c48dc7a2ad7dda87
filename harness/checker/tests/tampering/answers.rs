//! Tampering with what answers say.

use slotproof_vocabulary::{
    Action, BookingStatus,
    Invariant::{
        HonestSoldOut, Idempotent, LawfulLifecycle, NoLostBooking, NoOverbookingObserved,
        NoPhantom, OneOrder, PossibleReads, SeatsConserved, SessionOrder, UniqueBookings,
    },
    Operation, Outcome, Seen,
};

use crate::{Case, Tampering, convicted, evidence::*, harmless};

const LESS: &str = "the answer says less, and what it still says is true";

pub(crate) fn all() -> Vec<Tampering> {
    [reads(), refusals(), reserves(), changes(), everywhere(), ids()]
        .into_iter()
        .flatten()
        .collect()
}

fn reads() -> Vec<Tampering> {
    vec![
        convicted("a read's seats left +1", &[SeatsConserved, OneOrder], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).available, 1)
        }),
        convicted("a read's seats left -1", &[SeatsConserved, OneOrder], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).available, -1)
        }),
        convicted("a read's seats left +1, pending -1", &[PossibleReads, OneOrder], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).available, 1)?;
            add(&mut seen(case, at).pending, -1)
        }),
        convicted("a read's seats left -1, confirmed +1", &[PossibleReads, OneOrder], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).available, -1)?;
            add(&mut seen(case, at).confirmed, 1)
        }),
        convicted("a read's pending +1, confirmed -1", &[SeatsConserved, OneOrder], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).pending, 1)?;
            add(&mut seen(case, at).confirmed, -1)
        }),
        convicted("a read's pending -1, confirmed +1", &[SeatsConserved, OneOrder], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).pending, -1)?;
            add(&mut seen(case, at).confirmed, 1)
        }),
        convicted("a read's pending +1", &[SeatsConserved], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).pending, 1)
        }),
        convicted("a read's confirmed -1", &[SeatsConserved], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).confirmed, -1)
        }),
        convicted("a read's capacity +1", &[SeatsConserved], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).capacity, 1)
        }),
        convicted("a read's capacity -1", &[SeatsConserved], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).capacity, -1)
        }),
        convicted("a read's capacity and seats left +1", &[SeatsConserved], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).capacity, 1)?;
            add(&mut seen(case, at).available, 1)
        }),
        convicted("a read of less than no seats", &[SeatsConserved], |case| {
            let at = read(case)?;
            seen(case, at).available = Some(-1);
            Some(())
        }),
        convicted("a read of more seats than there are", &[SeatsConserved], |case| {
            let at = read(case)?;
            seen(case, at).available = Some(case.capacity + 1);
            Some(())
        }),
        convicted("a read of 10^18 seats", &[], |case| {
            let at = read(case)?;
            seen(case, at).available = Some(1_000_000_000_000_000_000);
            Some(())
        }),
        harmless("a read without seats left", LESS, |case| {
            let at = read(case)?;
            seen(case, at).available = None;
            Some(())
        }),
        harmless("a read without pending", LESS, |case| {
            let at = read(case)?;
            seen(case, at).pending = None;
            Some(())
        }),
        harmless("a read without parts and capacity", LESS, |case| {
            let at = read(case)?;
            let Seen { version, available, .. } = *seen(case, at);
            *seen(case, at) = Seen { version, available, ..Seen::default() };
            Some(())
        }),
        convicted("a read's version +1, with other seats", &[OneOrder], |case| {
            let at = find(case, |it| is("read", Outcome::Ok)(it) && other_seats_at(case, it, 1))?;
            add(&mut seen(case, at).version, 1)
        }),
        convicted("a read's version -1, with other seats", &[OneOrder], |case| {
            let at = find(case, |it| is("read", Outcome::Ok)(it) && other_seats_at(case, it, -1))?;
            add(&mut seen(case, at).version, -1)
        }),
        convicted("a read's version +1, to a confirm", &[SeatsConserved, OneOrder], |case| {
            let at = find(case, |it| is("read", Outcome::Ok)(it) && confirm_at(case, it, 1))?;
            add(&mut seen(case, at).version, 1)
        }),
        convicted("a read's version that the log does not have", &[OneOrder], |case| {
            let at = read(case)?;
            add(&mut seen(case, at).version, 100_000)
        }),
        convicted("a read's version below 0", &[OneOrder], |case| {
            let at = read(case)?;
            seen(case, at).version = Some(-3);
            Some(())
        }),
        harmless("a read without its version", LESS, |case| {
            let at = read(case)?;
            seen(case, at).version = None;
            Some(())
        }),
    ]
}

/// Whether the record so many versions after an answer's own is a confirm.
fn confirm_at(case: &Case, operation: &Operation, later: i64) -> bool {
    let own = operation.seen.version;
    let there = own.and_then(|own| record_at(case, &operation.slot, own + later));
    there.is_some_and(|there| there.to == BookingStatus::Confirmed)
}

/// Whether the next version was written by a confirm whose call was in flight at the same time.
fn confirmed_during(case: &Case, reserve: &Operation) -> bool {
    let version = reserve.seen.version.map(|version| version + 1);
    confirm_at(case, reserve, 1)
        && case.history.operations.iter().any(|it| {
            it.action.name() == "confirm"
                && it.slot == reserve.slot
                && it.seen.version == version
                && it.sent_ns < reserve.returned_ns
                && reserve.sent_ns < it.returned_ns
        })
}

fn refusals() -> Vec<Tampering> {
    vec![
        convicted("a sold_out that says there are seats", &[HonestSoldOut, OneOrder], |case| {
            let at = sold_out(case)?;
            add(&mut seen(case, at).available, 2)
        }),
        convicted("a sold_out of less than no seats", &[SeatsConserved], |case| {
            let at = sold_out(case)?;
            add(&mut seen(case, at).available, -1)
        }),
        convicted("a sold_out's version, to one with free seats", &[OneOrder], |case| {
            let at = sold_out(case)?;
            let slot = op(case, at).slot.to_string();
            let free = record(case, |it| it.slot == slot && it.available >= 3)?;
            let version = log(case)[free].version;
            seen(case, at).version = Some(version);
            Some(())
        }),
        harmless("a sold_out without seats left", LESS, |case| {
            let at = sold_out(case)?;
            seen(case, at).available = None;
            Some(())
        }),
        harmless("a sold_out without its version", LESS, |case| {
            let at = sold_out(case)?;
            seen(case, at).version = None;
            Some(())
        }),
    ]
}

fn reserves() -> Vec<Tampering> {
    vec![
        convicted("a reserve's seats left +1", &[OneOrder], |case| {
            let at = kept(case)?.reserve;
            add(&mut seen(case, at).available, 1)
        }),
        convicted("a reserve's seats left -1", &[OneOrder, SeatsConserved], |case| {
            let at = kept(case)?.reserve;
            add(&mut seen(case, at).available, -1)
        }),
        convicted("a reserve's version +1, with other seats", &[OneOrder], |case| {
            let operations = &case.history.operations;
            let life = life(case, |it| other_seats_at(case, &operations[it.reserve], 1))?;
            add(&mut seen(case, life.reserve).version, 1)
        }),
        convicted("a reserve's version +1, to a confirm at the same time", &[OneOrder], |case| {
            let operations = &case.history.operations;
            let life = life(case, |it| confirmed_during(case, &operations[it.reserve]))?;
            add(&mut seen(case, life.reserve).version, 1)
        }),
        convicted("a reserve's version, to another's, without its seats", &[OneOrder], |case| {
            let operations = &case.history.operations;
            let made = |it: &Operation| {
                let version = it.seen.version?;
                let next = record_at(case, &it.slot, version + 1)?;
                next.from.is_none().then_some(())
            };
            let life = life(case, |it| made(&operations[it.reserve]).is_some())?;
            seen(case, life.reserve).available = None;
            add(&mut seen(case, life.reserve).version, 1)
        }),
        harmless("a reserve without seats left", LESS, |case| {
            let at = kept(case)?.reserve;
            seen(case, at).available = None;
            Some(())
        }),
        harmless("a reserve without its version", LESS, |case| {
            let at = kept(case)?.reserve;
            seen(case, at).version = None;
            Some(())
        }),
        convicted("hold_ms 0 in every answer", &[LawfulLifecycle, NoLostBooking], |case| {
            let held = case.history.operations.iter_mut().filter(|it| it.seen.hold_ms.is_some());
            held.for_each(|it| it.seen.hold_ms = Some(0));
            Some(())
        }),
        convicted(
            "an expired hold was to last an hour",
            &[NoLostBooking, LawfulLifecycle, NoOverbookingObserved, PossibleReads],
            |case| {
                let at = expired(case)?.reserve;
                seen(case, at).hold_ms = Some(3_600_000);
                Some(())
            },
        ),
        convicted(
            "no answer has versions or seats, and an expired hold was to last an hour",
            &[NoLostBooking, LawfulLifecycle],
            |case| {
                let at = expired(case)?.reserve;
                seen(case, at).hold_ms = Some(3_600_000);
                silence(case);
                Some(())
            },
        ),
        convicted(
            "no answer has versions or seats, and an expired hold was no hold",
            &[NoLostBooking, LawfulLifecycle],
            |case| {
                let at = expired(case)?.reserve;
                seen(case, at).hold_ms = None;
                silence(case);
                Some(())
            },
        ),
        convicted(
            "every hold was to last an hour",
            &[NoLostBooking, LawfulLifecycle, NoOverbookingObserved, PossibleReads],
            |case| {
                let held = case.history.operations.iter_mut();
                let held = held.filter(|it| it.seen.hold_ms.is_some());
                held.for_each(|it| it.seen.hold_ms = Some(3_600_000));
                Some(())
            },
        ),
        convicted(
            "an expired hold was no hold",
            &[NoLostBooking, LawfulLifecycle, NoOverbookingObserved, PossibleReads],
            |case| {
                let at = expired(case)?.reserve;
                seen(case, at).hold_ms = None;
                Some(())
            },
        ),
        harmless("a confirmed hold was to last an hour", "it was confirmed in time", |case| {
            let at = kept(case)?.reserve;
            seen(case, at).hold_ms = Some(3_600_000);
            Some(())
        }),
    ]
}

fn changes() -> Vec<Tampering> {
    vec![
        convicted("a cancel's seats left +1", &[OneOrder], |case| {
            let at = cancelled(case)?.cancels[0];
            add(&mut seen(case, at).available, 1)
        }),
        convicted("a cancel's seats left -1", &[OneOrder], |case| {
            let at = cancelled(case)?.cancels[0];
            add(&mut seen(case, at).available, -1)
        }),
        convicted("a cancel's version -1, with other seats", &[OneOrder], |case| {
            let at = cancelled(case)?.cancels[0];
            add(&mut seen(case, at).version, -1)
        }),
        harmless("a cancel without its version", LESS, |case| {
            let at = cancelled(case)?.cancels[0];
            seen(case, at).version = None;
            Some(())
        }),
        convicted("a confirm's seats left +1", &[OneOrder], |case| {
            let at = kept(case)?.confirms[0];
            add(&mut seen(case, at).available, 1)
        }),
        convicted("a confirm's version +1, with other seats", &[OneOrder], |case| {
            let operations = &case.history.operations;
            let at = find(case, |it| is("confirm", Outcome::Ok)(it) && other_seats_at(case, it, 1));
            let at = at.filter(|at| operations[*at].seen.version.is_some())?;
            add(&mut seen(case, at).version, 1)
        }),
        convicted("a confirm's version, to the one before, with its seats", &[OneOrder], |case| {
            let at = kept(case)?.confirms[0];
            add(&mut seen(case, at).version, -1)
        }),
        harmless("a confirm without its version", LESS, |case| {
            let at = kept(case)?.confirms[0];
            seen(case, at).version = None;
            Some(())
        }),
    ]
}

fn everywhere() -> Vec<Tampering> {
    vec![
        convicted("every version +1", &[OneOrder], |case| {
            let all = case.history.operations.iter_mut();
            all.filter_map(|it| add(&mut it.seen.version, 1)).last()
        }),
        convicted("every version -1", &[OneOrder], |case| {
            let all = case.history.operations.iter_mut();
            all.filter_map(|it| add(&mut it.seen.version, -1)).last()
        }),
        convicted("every version doubled", &[OneOrder], |case| {
            let all = case.history.operations.iter_mut();
            all.filter_map(|it| it.seen.version.as_mut()).for_each(|it| *it *= 2);
            Some(())
        }),
        convicted("every number of seats left +1", &[OneOrder, SeatsConserved], |case| {
            let all = case.history.operations.iter_mut();
            all.filter_map(|it| add(&mut it.seen.available, 1)).last()
        }),
        harmless("no answer has a version", LESS, |case| {
            case.history.operations.iter_mut().for_each(|it| it.seen.version = None);
            Some(())
        }),
        harmless("no answer has versions or seats", LESS, |case| {
            silence(case);
            Some(())
        }),
        convicted(
            "no answer has a version, and a read's seats left +1, pending -1",
            &[PossibleReads, OneOrder],
            |case| {
                let at = read(case)?;
                add(&mut seen(case, at).available, 1)?;
                add(&mut seen(case, at).pending, -1)?;
                case.history.operations.iter_mut().for_each(|it| it.seen.version = None);
                Some(())
            },
        ),
        convicted("the versions of two answers swapped", &[OneOrder, SessionOrder], |case| {
            let (one, other) = (kept(case)?.reserve, cancelled(case)?.cancels[0]);
            let version = seen(case, one).version;
            seen(case, one).version = seen(case, other).version;
            seen(case, other).version = version;
            Some(())
        }),
    ]
}

/// No answer says anything but which booking was made, and for how long it is held.
fn silence(case: &mut Case) {
    for it in &mut case.history.operations {
        let Seen { booking, hold_ms, .. } = std::mem::take(&mut it.seen);
        it.seen = Seen { booking, hold_ms, ..Seen::default() };
    }
}

fn ids() -> Vec<Tampering> {
    vec![
        convicted("a reserve's booking is another, without a row", &[NoLostBooking], |case| {
            let at = kept(case)?.reserve;
            seen(case, at).booking = Some("forged".into());
            Some(())
        }),
        convicted("the bookings of two reserves swapped", &[NoPhantom, NoLostBooking], |case| {
            let (one, other) = (kept(case)?.reserve, expired(case)?.reserve);
            let booking = seen(case, one).booking.take();
            seen(case, one).booking = seen(case, other).booking.take();
            seen(case, other).booking = booking;
            Some(())
        }),
        convicted("a reserve has the booking of another", &[UniqueBookings], |case| {
            let (one, other) = (kept(case)?.reserve, expired(case)?.reserve);
            seen(case, one).booking = seen(case, other).booking.clone();
            Some(())
        }),
        convicted("a reserve's key is another", &[NoPhantom], |case| {
            let at = kept(case)?.reserve;
            set_key(op(case, at), "forged");
            Some(())
        }),
        convicted("the keys of two reserves swapped", &[NoPhantom, NoLostBooking], |case| {
            let (one, other) = (kept(case)?.reserve, expired(case)?.reserve);
            let keys = [one, other].map(|at| key(op(case, at)).unwrap_or_default().to_owned());
            set_key(op(case, one), &keys[1]);
            set_key(op(case, other), &keys[0]);
            Some(())
        }),
        convicted("a reserve has the key of another", &[Idempotent, NoPhantom], |case| {
            let (one, other) = (kept(case)?.reserve, expired(case)?.reserve);
            let key = key(op(case, other))?.to_owned();
            set_key(op(case, one), &key);
            Some(())
        }),
        convicted("a reserve asked for one seat more", &[NoLostBooking, NoPhantom], |case| {
            let at = kept(case)?.reserve;
            let Action::Reserve { seats, .. } = &mut op(case, at).action else { return None };
            *seats += 1;
            Some(())
        }),
        convicted("a reserve asked for one seat less", &[NoLostBooking, NoPhantom], |case| {
            let two = |it: &Life| row(case, &it.booking).is_some_and(|row| row.seats == 2);
            let at = life(case, two)?.reserve;
            let Action::Reserve { seats, .. } = &mut op(case, at).action else { return None };
            *seats -= 1;
            Some(())
        }),
        convicted("a reserve was in the other slot", &[NoLostBooking, NoPhantom], |case| {
            let at = kept(case)?.reserve;
            op(case, at).slot = other_slot(op(case, at));
            Some(())
        }),
        convicted("a cancel was in the other slot", &[OneOrder, SessionOrder], |case| {
            let at = cancelled(case)?.cancels[0];
            op(case, at).slot = other_slot(op(case, at));
            Some(())
        }),
        convicted("a confirm names another booking", &[NoLostBooking], |case| {
            let id = expired(case)?.booking;
            let at = kept(case)?.confirms[0];
            op(case, at).action = Action::Confirm { booking: id.into() };
            Some(())
        }),
        convicted("a cancel names another booking", &[NoLostBooking], |case| {
            let id = kept(case)?.booking;
            let at = cancelled(case)?.cancels[0];
            op(case, at).action = Action::Cancel { booking: id.into() };
            Some(())
        }),
        harmless("every client has another number", "numbers are names", |case| {
            for it in &mut case.history.operations {
                it.client += 1_000_000;
                it.process += 1_000_000;
            }
            case.prober = case.prober.map(|prober| prober + 1_000_000);
            Some(())
        }),
        harmless("every key has another name", "in the rows too: names are opaque", |case| {
            for it in &mut case.history.operations {
                let name = key(it).map(|key| format!("other-{key}"));
                name.iter().for_each(|name| set_key(it, name));
            }
            end(case)
                .bookings
                .iter_mut()
                .for_each(|row| row.key = row.key.take().map(|key| format!("other-{key}")));
            Some(())
        }),
    ]
}

fn other_slot(operation: &Operation) -> std::sync::Arc<str> {
    if *operation.slot == *"slot-1" { "slot-2".into() } else { "slot-1".into() }
}
