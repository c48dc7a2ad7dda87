//! Tampering with which operations there are, how they ended, and when.

use slotproof_vocabulary::{
    AuditRecord, BookingRow, BookingStatus,
    Invariant::{
        HonestSoldOut, LawfulLifecycle, NoLostBooking, NoPhantom, NothingLeaked, OneOrder,
        PossibleReads, SeatsConserved, SessionOrder, UniqueBookings,
    },
    Notice, Operation, Outcome, Seen,
    operation_builder::{self, reserve},
};

use crate::{Case, Tampering, convicted, evidence::*, harmless, undecided};

const LESS: &str = "what was never seen is no evidence, and nothing else needs it";
const AGAIN: &str = "the same answer twice is a repeated request and its receipt";
const MAYBE: &str = "an unanswered operation need not have happened";
const MS: u64 = 1_000_000;

pub(crate) fn all() -> Vec<Tampering> {
    [dropped(), doubled(), added(), retyped(), times()].into_iter().flatten().collect()
}

fn remove(case: &mut Case, at: usize) -> Option<()> {
    case.history.operations.remove(at);
    Some(())
}

fn retain(case: &mut Case, keeps: impl Fn(&Operation) -> bool) -> Option<()> {
    case.history.operations.retain(keeps);
    Some(())
}

fn push(case: &mut Case, operation: Operation) -> Option<()> {
    case.history.operations.push(operation);
    Some(())
}

fn again(case: &mut Case, at: usize) -> Option<()> {
    let operation = op(case, at).clone();
    push(case, operation)
}

fn dropped() -> Vec<Tampering> {
    vec![
        convicted("a reserve taken out", &[NoPhantom], |case| {
            let at = kept(case)?.reserve;
            remove(case, at)
        }),
        convicted("a reserve of a cancelled booking taken out", &[NoPhantom], |case| {
            let at = cancelled(case)?.reserve;
            remove(case, at)
        }),
        convicted("a booking's operations taken out", &[NoPhantom], |case| {
            let id = kept(case)?.booking;
            retain(case, |it| {
                booking(it) != Some(&id) && it.seen.booking.as_deref() != Some(id.as_str())
            })
        }),
        convicted("a cancel taken out", &[NoLostBooking], |case| {
            let at = cancelled(case)?.cancels[0];
            remove(case, at)
        }),
        convicted("a confirm taken out", &[NoPhantom, LawfulLifecycle], |case| {
            let at = kept(case)?.confirms[0];
            remove(case, at)
        }),
        convicted("every confirm taken out", &[NoPhantom, LawfulLifecycle], |case| {
            retain(case, |it| it.action.name() != "confirm")
        }),
        convicted("an unanswered reserve that made a booking taken out", &[NoPhantom], |case| {
            let at = unanswered(case, true)?;
            remove(case, at)
        }),
        harmless("an unanswered reserve that made nothing taken out", LESS, |case| {
            let at = unanswered(case, false)?;
            remove(case, at)
        }),
        harmless("a read taken out", LESS, |case| {
            let at = read(case)?;
            remove(case, at)
        }),
        harmless("every read taken out", LESS, |case| {
            retain(case, |it| it.action.name() != "read")
        }),
        harmless("a sold_out taken out", LESS, |case| {
            let at = sold_out(case)?;
            remove(case, at)
        }),
        undecided("every sold_out taken out", |case| {
            retain(case, |it| it.outcome != Outcome::SoldOut)
        }),
        harmless("a refused confirm taken out", LESS, |case| {
            let at = find(case, is("confirm", Outcome::Rejected))?;
            remove(case, at)
        }),
        convicted("the probes taken out", &[NoPhantom], |case| {
            let prober = case.prober?;
            retain(case, |it| it.client != prober)
        }),
        undecided("nobody is the prober", |case| {
            case.prober = None;
            Some(())
        }),
        convicted("every reserve of a slot taken out", &[NoPhantom], |case| {
            retain(case, |it| it.action.name() != "reserve" || *it.slot != *"slot-1")
        }),
        convicted("the second half taken out", &[NoPhantom], |case| {
            let half = case.history.operations.len() / 2;
            case.history.operations.truncate(half);
            Some(())
        }),
        convicted("the history is empty", &[NoPhantom], |case| retain(case, |_| false)),
        undecided("the history breaks off", |case| {
            let at = case.history.operations.len() - 5;
            case.history.operations.truncate(at);
            case.history = std::mem::take(&mut case.history).cut("no newline");
            Some(())
        }),
    ]
}

fn doubled() -> Vec<Tampering> {
    vec![
        harmless("a reserve twice", AGAIN, |case| {
            let at = kept(case)?.reserve;
            again(case, at)
        }),
        harmless("a confirm twice", AGAIN, |case| {
            let at = kept(case)?.confirms[0];
            again(case, at)
        }),
        harmless("a cancel twice", AGAIN, |case| {
            let at = cancelled(case)?.cancels[0];
            again(case, at)
        }),
        harmless("a read twice", AGAIN, |case| {
            let at = read(case)?;
            again(case, at)
        }),
        harmless("a sold_out twice", AGAIN, |case| {
            let at = sold_out(case)?;
            again(case, at)
        }),
        harmless("every line twice", AGAIN, |case| {
            let all = case.history.operations.clone();
            case.history.operations.extend(all);
            Some(())
        }),
        convicted("a reserve twice, by another key", &[UniqueBookings], |case| {
            let at = kept(case)?.reserve;
            let mut twin = op(case, at).clone();
            set_key(&mut twin, "forged");
            push(case, twin)
        }),
        convicted(
            "a reserve twice, by another key for another booking",
            &[NoLostBooking],
            |case| {
                let at = kept(case)?.reserve;
                let mut twin = op(case, at).clone();
                set_key(&mut twin, "forged");
                twin.seen.booking = Some("forged".into());
                push(case, twin)
            },
        ),
    ]
}

/// An operation of a client that nobody knows, long after the end or long before the beginning.
fn stranger(
    built: operation_builder::OperationBuilder,
    sent_ns: u64,
) -> operation_builder::OperationBuilder {
    built.by(77_777).at(sent_ns, sent_ns + MS)
}

fn added() -> Vec<Tampering> {
    vec![
        convicted(
            "an acknowledged cancel of a confirmed booking added",
            &[NoLostBooking],
            |case| {
                let (id, slot) = id_and_slot(case, kept(case)?)?;
                let after_ns = last_ns(case) + MS;
                push(case, stranger(operation_builder::cancel(slot, id), after_ns).ok())
            },
        ),
        harmless("an unanswered cancel of a confirmed booking added", MAYBE, |case| {
            let (id, slot) = id_and_slot(case, kept(case)?)?;
            let after_ns = last_ns(case) + MS;
            push(case, stranger(operation_builder::cancel(slot, id), after_ns).unknown())
        }),
        convicted("a confirm of an expired booking added", &[NoLostBooking], |case| {
            let (id, slot) = id_and_slot(case, expired(case)?)?;
            let after_ns = last_ns(case) + MS;
            push(case, stranger(operation_builder::confirm(slot, id), after_ns).ok())
        }),
        convicted("a confirm of a booking that never was added", &[NoLostBooking], |case| {
            let after_ns = last_ns(case) + MS;
            push(case, stranger(operation_builder::confirm("slot-1", "forged"), after_ns).ok())
        }),
        convicted("a cancel of a booking that never was added", &[NoLostBooking], |case| {
            let after_ns = last_ns(case) + MS;
            push(case, stranger(operation_builder::cancel("slot-1", "forged"), after_ns).ok())
        }),
        convicted("a reserve without a row added", &[NoLostBooking], |case| {
            let after_ns = last_ns(case) + MS;
            push(case, stranger(reserve("slot-1").key("forged"), after_ns).booked("forged"))
        }),
        convicted("a read of too many seats added", &[PossibleReads], |case| {
            let after_ns = last_ns(case) + MS;
            let seats = case.capacity;
            push(case, stranger(operation_builder::read("slot-1"), after_ns).available(seats).ok())
        }),
        convicted(
            "a read of taken seats before the first booking added",
            &[PossibleReads],
            |case| {
                let before_ns = first_ns(case) - 10 * MS;
                push(case, stranger(operation_builder::read("slot-1"), before_ns).available(1).ok())
            },
        ),
        convicted("a sold_out before the first booking added", &[HonestSoldOut], |case| {
            let before_ns = first_ns(case) - 10 * MS;
            push(case, stranger(reserve("slot-1").key("forged"), before_ns).sold_out())
        }),
        convicted("a resize that left no trace added", &[SeatsConserved], |case| {
            let (after_ns, seats) = (last_ns(case) + MS, case.capacity as u32 + 1);
            push(case, stranger(operation_builder::resize("slot-1", seats), after_ns).ok())
        }),
        harmless("a refused resize added", "it changed nothing", |case| {
            let after_ns = last_ns(case) + MS;
            let resize = stranger(operation_builder::resize("slot-1", 0), after_ns);
            push(case, resize.rejected("invalid_field"))
        }),
        harmless("an unanswered resize added", MAYBE, |case| {
            let (after_ns, seats) = (last_ns(case) + MS, case.capacity as u32 + 1);
            push(case, stranger(operation_builder::resize("slot-1", seats), after_ns).unknown())
        }),
        harmless("an unanswered reserve added", MAYBE, |case| {
            let after_ns = last_ns(case) + MS;
            push(case, stranger(reserve("slot-1").key("forged"), after_ns).unknown())
        }),
        harmless("a throttled reserve added", "it says nothing of seats", |case| {
            let after_ns = last_ns(case) + MS;
            let reserve = stranger(reserve("slot-1").key("forged"), after_ns);
            push(case, reserve.ends(Outcome::Throttled))
        }),
        harmless("a long reserve added, with its record, row and notices", "all agrees", |case| {
            long_reserve(case).map(|_| ())
        }),
        convicted(
            "a long reserve added, and two reads that see it made and then not made",
            &[OneOrder],
            |case| {
                let (slot, sent_ns, left) = long_reserve(case)?;
                for (later_ms, available) in [(20, left), (40, left + 1)] {
                    let read = operation_builder::read(slot.as_str());
                    let read = stranger(read, sent_ns + later_ms * MS);
                    push(case, read.available(available).ok())?;
                }
                Some(())
            },
        ),
    ]
}

fn id_and_slot(case: &mut Case, life: Life) -> Option<(String, String)> {
    let slot = op(case, life.reserve).slot.to_string();
    Some((life.booking, slot))
}

/// Adds a reserve that takes 100 ms, without a version, after the probes; returns its slot, when it
/// was sent, and the seats left after it.
fn long_reserve(case: &mut Case) -> Option<(String, u64, i64)> {
    let sent_ns = last_ns(case) + MS;
    let row = end(case).slots.iter_mut().find(|row| row.available > 0)?;
    row.version += 1;
    row.available -= 1;
    let (slot, version, available) = (row.slot.clone(), row.version, row.available);
    let pending = BookingStatus::Pending;
    end(case).bookings.push(BookingRow {
        booking: "late".to_owned(),
        slot: slot.clone(),
        status: pending,
        seats: 1,
        key: Some("late".to_owned()),
        overdue_ms: Some(-50),
    });
    let announced = end(case).announced.as_mut()?;
    announced.notices.push(Notice {
        slot: slot.clone(),
        version,
        booking: "late".to_owned(),
        status: pending,
    });
    let count = announced.counts.iter_mut().find(|count| count.status == pending)?;
    (count.changes, count.seats) = (count.changes + 1, count.seats + 1);
    log(case).push(AuditRecord {
        slot: slot.clone(),
        version,
        booking: "late".to_owned(),
        from: None,
        to: pending,
        seats: 1,
        available,
    });
    let made = reserve(slot.as_str()).by(88_888).key("late").at(sent_ns, sent_ns + 100 * MS);
    push(case, made.hold_ms(100).booked("late"))?;
    Some((slot, sent_ns, available))
}

/// The same operation with another outcome, and nothing in its answer.
fn ends(case: &mut Case, at: usize, outcome: Outcome) -> Option<()> {
    let operation = op(case, at);
    (operation.outcome, operation.seen) = (outcome, Seen::default());
    Some(())
}

fn retyped() -> Vec<Tampering> {
    vec![
        convicted("an acknowledged reserve becomes sold_out", &[NoPhantom], |case| {
            let at = kept(case)?.reserve;
            ends(case, at, Outcome::SoldOut)
        }),
        convicted("an acknowledged reserve becomes rejected", &[NoPhantom], |case| {
            let at = kept(case)?.reserve;
            ends(case, at, Outcome::Rejected)
        }),
        convicted("an acknowledged reserve becomes throttled", &[NoPhantom], |case| {
            let at = kept(case)?.reserve;
            ends(case, at, Outcome::Throttled)
        }),
        harmless("an acknowledged reserve becomes unknown", MAYBE, |case| {
            let at = expired(case)?.reserve;
            ends(case, at, Outcome::Unknown)
        }),
        convicted("a sold_out becomes acknowledged", &[NoLostBooking], |case| {
            let at = sold_out(case)?;
            op(case, at).outcome = Outcome::Ok;
            seen(case, at).booking = Some("forged".into());
            Some(())
        }),
        harmless("a sold_out becomes unknown", MAYBE, |case| {
            let at = sold_out(case)?;
            ends(case, at, Outcome::Unknown)
        }),
        harmless("a sold_out becomes rejected", "a no that claims less", |case| {
            let at = sold_out(case)?;
            ends(case, at, Outcome::Rejected)
        }),
        convicted("a throttled reserve becomes acknowledged", &[NoLostBooking], |case| {
            let at =
                find(case, |it| is("reserve", Outcome::Throttled)(it) && sendings(case, it) == 1)?;
            op(case, at).outcome = Outcome::Ok;
            seen(case, at).booking = Some("forged".into());
            Some(())
        }),
        convicted("an acknowledged cancel becomes rejected", &[NoLostBooking], |case| {
            let at = cancelled(case)?.cancels[0];
            ends(case, at, Outcome::Rejected)
        }),
        harmless("an acknowledged cancel becomes unknown", MAYBE, |case| {
            let at = cancelled(case)?.cancels[0];
            ends(case, at, Outcome::Unknown)
        }),
        convicted(
            "an acknowledged confirm becomes rejected",
            &[NoPhantom, LawfulLifecycle],
            |case| {
                let at = kept(case)?.confirms[0];
                ends(case, at, Outcome::Rejected)
            },
        ),
        harmless("an acknowledged confirm becomes unknown", MAYBE, |case| {
            let at = kept(case)?.confirms[0];
            ends(case, at, Outcome::Unknown)
        }),
        convicted("a refused confirm becomes acknowledged", &[NoLostBooking], |case| {
            let expired =
                |id: &str| row(case, id).is_some_and(|row| row.status == BookingStatus::Expired);
            let at = find(case, |it| {
                is("confirm", Outcome::Rejected)(it) && booking(it).is_some_and(expired)
            })?;
            op(case, at).outcome = Outcome::Ok;
            Some(())
        }),
        convicted("an unanswered reserve that made a booking was refused", &[NoPhantom], |case| {
            let at = unanswered(case, true)?;
            ends(case, at, Outcome::Rejected)
        }),
        convicted(
            "an unanswered reserve is acknowledged without a row",
            &[NoLostBooking],
            |case| {
                let at = unanswered(case, false)?;
                op(case, at).outcome = Outcome::Ok;
                seen(case, at).booking = Some("forged".into());
                Some(())
            },
        ),
        convicted("every unanswered operation was refused", &[NoPhantom], |case| {
            let all = case.history.operations.iter_mut();
            let unanswered = all.filter(|it| it.outcome == Outcome::Unknown);
            unanswered.for_each(|it| it.outcome = Outcome::Rejected);
            Some(())
        }),
        harmless("nothing was answered", MAYBE, |case| {
            (0..case.history.operations.len()).for_each(|at| {
                ends(case, at, Outcome::Unknown);
            });
            Some(())
        }),
        convicted("a read becomes a cancel of a confirmed booking", &[NoLostBooking], |case| {
            let (id, slot) = id_and_slot(case, kept(case)?)?;
            let at = read(case)?;
            op(case, at).slot = slot.into();
            op(case, at).action = operation_builder::cancel("", id).ok().action;
            Some(())
        }),
        convicted("a probe is refused, and seats were free", &[NothingLeaked, NoPhantom], |case| {
            let prober = case.prober?;
            let at = find(case, |it| it.client == prober && it.outcome == Outcome::Ok)?;
            ends(case, at, Outcome::SoldOut)
        }),
        undecided("a probe is not answered", |case| {
            let prober = case.prober?;
            let at = find(case, |it| it.client == prober)?;
            ends(case, at, Outcome::Unknown)
        }),
    ]
}

/// The operation happens at another time, and takes as long.
fn moved(case: &mut Case, at: usize, sent_ns: u64) -> Option<()> {
    let operation = op(case, at);
    let took_ns = operation.returned_ns - operation.sent_ns;
    (operation.scheduled_ns, operation.sent_ns) = (sent_ns, sent_ns);
    operation.returned_ns = sent_ns + took_ns;
    Some(())
}

fn times() -> Vec<Tampering> {
    vec![
        convicted("a read moved to the end", &[OneOrder, SessionOrder], |case| {
            let (at, after_ns) = (read(case)?, last_ns(case) + MS);
            moved(case, at, after_ns)
        }),
        convicted("a read moved to the beginning", &[OneOrder, PossibleReads], |case| {
            let (at, before_ns) = (read(case)?, first_ns(case) - 500 * MS);
            moved(case, at, before_ns)
        }),
        convicted("a sold_out moved to the beginning", &[HonestSoldOut, OneOrder], |case| {
            let (at, before_ns) = (sold_out(case)?, first_ns(case) - 500 * MS);
            moved(case, at, before_ns)
        }),
        convicted("a reserve moved to the end", &[OneOrder, SessionOrder], |case| {
            let (at, after_ns) = (kept(case)?.reserve, last_ns(case) + MS);
            moved(case, at, after_ns)
        }),
        convicted("a reserve moved to the beginning", &[OneOrder], |case| {
            let (at, before_ns) = (kept(case)?.reserve, first_ns(case) - 500 * MS);
            moved(case, at, before_ns)
        }),
        convicted("a cancel moved to the end", &[OneOrder, SessionOrder], |case| {
            let (at, after_ns) = (cancelled(case)?.cancels[0], last_ns(case) + MS);
            moved(case, at, after_ns)
        }),
        convicted("a confirm moved before its reserve", &[OneOrder], |case| {
            let Life { reserve, confirms, .. } = kept(case)?;
            let before_ns = op(case, reserve).sent_ns - 200 * MS;
            moved(case, confirms[0], before_ns)
        }),
        convicted("the times of two reserves swapped", &[OneOrder], |case| {
            let (one, other) = (kept(case)?.reserve, expired(case)?.reserve);
            let sent_ns = [one, other].map(|at| case.history.operations[at].sent_ns);
            moved(case, one, sent_ns[1])?;
            moved(case, other, sent_ns[0])
        }),
        convicted("a slot's times run backwards", &[OneOrder, SessionOrder], |case| {
            let last_ns = last_ns(case);
            let all = case.history.operations.iter_mut().filter(|it| *it.slot == *"slot-1");
            for it in all {
                let took_ns = it.returned_ns - it.sent_ns;
                it.sent_ns = last_ns - it.returned_ns;
                (it.scheduled_ns, it.returned_ns) = (it.sent_ns, it.sent_ns + took_ns);
            }
            Some(())
        }),
        harmless("every operation an hour later", "the clock's zero means nothing", |case| {
            for it in &mut case.history.operations {
                it.scheduled_ns += 3_600_000 * MS;
                it.sent_ns += 3_600_000 * MS;
                it.returned_ns += 3_600_000 * MS;
            }
            let read_ns = case.end.as_mut()?.read_ns.as_mut()?;
            *read_ns += 3_600_000 * MS;
            Some(())
        }),
        harmless("every call 1 ms longer at both ends", "wider calls permit more", |case| {
            for it in &mut case.history.operations {
                (it.sent_ns, it.returned_ns) = (it.sent_ns - MS, it.returned_ns + MS);
            }
            Some(())
        }),
        harmless("the lines in reverse", "another system's lines may be in any order", |case| {
            case.history.operations.reverse();
            Some(())
        }),
        harmless("every operation scheduled earlier", "latency is no matter of safety", |case| {
            case.history.operations.iter_mut().for_each(|it| it.scheduled_ns -= 100 * MS);
            Some(())
        }),
        harmless("every operation of a process of its own", "processes are names", |case| {
            let all = case.history.operations.iter_mut().enumerate();
            all.for_each(|(at, it)| it.process = 1_000_000 + at as u64);
            Some(())
        }),
        harmless("every operation sent five times", "attempts are not judged", |case| {
            case.history.operations.iter_mut().for_each(|it| it.attempts = 5);
            Some(())
        }),
        harmless("reasons taken out", "reasons are not judged", |case| {
            case.history.operations.iter_mut().for_each(|it| it.reason = None);
            Some(())
        }),
    ]
}
