//! Interpretation: what a history says, before anything is judged.
//!
//! Most histories say what they mean. Four things are read first, and the operations are judged as
//! they are read; a witness shows them as they were written.
//!
//! - *Scopes.* Where a declaration says that a key or a booking id names something for one client
//!   or one slot only, names get that client or slot added.
//! - *Baskets.* The parts of a basket share a key and a booking: each part is one of its slot.
//! - *Ids that are used again.* A reserve that gives an id again, after a cancel of it had returned,
//!   begins another booking.
//! - *Bookings found later.* A reserve that was not answered, and whose booking a later answer
//!   knows, was made before that answer: its client found it in a list, or confirmed it.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashSet};
use slotproof_history::{ActionRef, Name, OperationRef, Operations};
use slotproof_vocabulary::{Action, BookingIds, Operation, Outcome, Scope};

use crate::Case;

/// The case as it is to be judged; `None` if it is judged as it was written.
pub(crate) fn interpreted(case: &Case) -> Option<Case> {
    let declared = case.history.declarations;
    let operations = &case.history.operations;
    let has_baskets = operations.iter().any(|operation| operation.basket().is_some());
    let found = found_later(operations);
    if declared.names_are_plain() && !has_baskets && found.is_empty() {
        return None;
    }
    let mut case = case.clone();
    for Found { reserve, booking, returned_ns } in found {
        case.history.operations.edit(reserve, |operation| {
            operation.outcome = Outcome::Ok;
            operation.seen.booking = Some(booking);
            operation.returned_ns = returned_ns;
            // Nobody was told how long it is held.
            operation.seen.hold_ms.get_or_insert(0);
        });
    }
    if has_baskets {
        name_parts_of_baskets(&mut case);
    }
    scope_keys(&mut case, declared.keys);
    scope_bookings(&mut case, declared.bookings);
    match declared.booking_ids {
        BookingIds::Unique => {}
        BookingIds::Reused => tell_lives_apart(&mut case.history.operations),
        BookingIds::ChosenByClients => excuse_early_cancels(&mut case.history.operations),
    }
    Some(case)
}

/// A reserve without an answer, and the first answer that knew its booking.
struct Found {
    reserve: usize,
    booking: Box<str>,
    returned_ns: u64,
}

fn found_later(operations: &Operations) -> Vec<Found> {
    let unanswered: Vec<(usize, OperationRef<'_>)> = operations
        .iter()
        .enumerate()
        .filter(|(_, it)| {
            matches!(it.action, ActionRef::Reserve { .. }) && it.outcome == Outcome::Unknown
        })
        .collect();
    if unanswered.is_empty() {
        return Vec::new();
    }
    let acknowledged: HashSet<Name<'_>> = operations
        .iter()
        .filter(|operation| operation.outcome == Outcome::Ok)
        .filter_map(|operation| operation.seen.booking)
        .collect();
    // Bookings that some answer knew, and no reserve was acknowledged with: the first such answer.
    let mut known: BTreeMap<&str, OperationRef<'_>> = BTreeMap::new();
    for operation in operations.iter().filter(|operation| operation.outcome == Outcome::Ok) {
        let Some(booking) = operation.names_booking() else { continue };
        if acknowledged.contains(&booking) {
            continue;
        }
        let first = known.entry(booking.text()).or_insert(operation);
        if operation.returned_ns < first.returned_ns {
            *first = operation;
        }
    }
    let mut taken: HashSet<usize> = HashSet::default();
    let mut found = Vec::new();
    for (booking, answer) in known {
        let may_have_made = |(index, operation): &&(usize, OperationRef<'_>)| {
            operation.slot == answer.slot
                && operation.sent_ns <= answer.returned_ns
                && !taken.contains(index)
        };
        let candidates: Vec<&(usize, OperationRef<'_>)> =
            unanswered.iter().filter(may_have_made).collect();
        let one = |these: Vec<usize>| (these.len() == 1).then(|| these[0]);
        let places = |wanted: &dyn Fn(&OperationRef<'_>) -> bool| -> Vec<usize> {
            candidates.iter().filter(|(_, it)| wanted(it)).map(|(index, _)| *index).collect()
        };
        // The one that names the booking; else the client's own; else the only one there is.
        let reserve = one(places(&|it| it.seen.booking.is_some_and(|it| it.text() == booking)))
            .or_else(|| one(places(&|it| it.seen.booking.is_none() && it.client == answer.client)))
            .or_else(|| one(places(&|it| it.seen.booking.is_none())));
        if let Some(reserve) = reserve {
            taken.insert(reserve);
            let returned_ns = answer.returned_ns;
            found.push(Found { reserve, booking: booking.into(), returned_ns });
        }
    }
    found
}

/// Adds something to the name of a booking or a key, wherever it stands.
fn rename(name: &mut Box<str>, addition: impl std::fmt::Display) {
    *name = format!("{name} {addition}").into();
}

/// The booking that an operation names or was told of.
fn booking_of(operation: &mut Operation) -> Option<&mut Box<str>> {
    match &mut operation.action {
        Action::Confirm { booking }
        | Action::Cancel { booking }
        | Action::Change { booking, .. }
        | Action::Booking { booking } => Some(booking),
        Action::Reserve { .. } => operation.seen.booking.as_mut(),
        Action::Read | Action::Resize { .. } => None,
    }
}

fn name_parts_of_baskets(case: &mut Case) {
    let (mut keys, mut bookings) = (BTreeSet::new(), BTreeSet::new());
    for operation in case.history.operations.iter().filter(|it| it.basket().is_some()) {
        if let ActionRef::Reserve { key, .. } = operation.action {
            keys.insert(Box::<str>::from(key.text()));
        }
        bookings.extend(operation.seen.booking.map(|booking| Box::<str>::from(booking.text())));
    }
    rename_keys(case, |key, slot| keys.contains(key).then(|| format!("in {slot}")));
    rename_bookings(case, |booking, slot| bookings.contains(booking).then(|| format!("in {slot}")));
}

fn rename_keys(case: &mut Case, addition: impl Fn(&str, &str) -> Option<String>) {
    case.history.operations.edit_each(|operation| {
        if let Action::Reserve { key, .. } = &mut operation.action
            && let Some(addition) = addition(key, &operation.slot)
        {
            rename(key, addition);
        }
    });
    for row in case.end.iter_mut().flat_map(|end| &mut end.bookings) {
        let Some(key) = &mut row.key else { continue };
        if let Some(addition) = addition(key, &row.slot) {
            *key = format!("{key} {addition}");
        }
    }
}

fn rename_bookings(case: &mut Case, addition: impl Fn(&str, &str) -> Option<String>) {
    case.history.operations.edit_each(|operation| {
        let slot = operation.slot.clone();
        if let Some(booking) = booking_of(operation)
            && let Some(addition) = addition(booking, &slot)
        {
            rename(booking, addition);
        }
    });
    let renamed = |booking: &mut String, slot: &str| {
        if let Some(addition) = addition(booking, slot) {
            *booking = format!("{booking} {addition}");
        }
    };
    let end = case.end.iter_mut();
    for end in end {
        end.bookings.iter_mut().for_each(|row| renamed(&mut row.booking, &row.slot));
        for notice in end.announced.iter_mut().flat_map(|announced| &mut announced.notices) {
            renamed(&mut notice.booking, &notice.slot);
        }
    }
    for record in case.audit.iter_mut().flatten() {
        renamed(&mut record.booking, &record.slot);
    }
}

fn scope_keys(case: &mut Case, scope: Scope) {
    match scope {
        Scope::Service => {}
        Scope::Slot => rename_keys(case, |_, slot| Some(format!("in {slot}"))),
        Scope::Client => {
            // A row does not say whose its key is; the acknowledgement of its booking does.
            let mut owners: BTreeMap<Box<str>, u64> = BTreeMap::new();
            case.history.operations.edit_each(|operation| {
                let client = operation.client;
                if let Action::Reserve { key, .. } = &mut operation.action {
                    rename(key, format_args!("of client {client}"));
                    owners.extend(operation.seen.booking.clone().map(|booking| (booking, client)));
                }
            });
            for row in case.end.iter_mut().flat_map(|end| &mut end.bookings) {
                if let Some(client) = owners.get(row.booking.as_str()) {
                    row.key = row.key.take().map(|key| format!("{key} of client {client}"));
                }
            }
        }
    }
}

fn scope_bookings(case: &mut Case, scope: Scope) {
    match scope {
        Scope::Service => {}
        Scope::Slot => rename_bookings(case, |_, slot| Some(format!("in {slot}"))),
        Scope::Client => {
            case.history.operations.edit_each(|operation| {
                let client = operation.client;
                if let Some(booking) = booking_of(operation) {
                    rename(booking, format_args!("of client {client}"));
                }
            });
        }
    }
}

/// Numbers the lives of each booking id. An operation belongs to the last life that can have begun
/// when it returned; if that one had not begun for certain when it was sent, the operation says
/// nothing sure.
fn tell_lives_apart(operations: &mut Operations) {
    /// A life of an id: its reserve, and when a cancel had ended the life before it.
    struct Life {
        key: Box<str>,
        sent_ns: u64,
        returned_ns: u64,
    }
    let mut lives: HashMap<Box<str>, Vec<Life>> = HashMap::default();
    let mut order: Vec<usize> = (0..operations.len()).collect();
    order.sort_by_key(|index| operations.at(*index).returned_ns);
    for index in &order {
        let operation = operations.at(*index);
        if let (ActionRef::Reserve { key, .. }, Outcome::Ok, Some(booking)) =
            (operation.action, operation.outcome, operation.seen.booking)
        {
            let lives = lives.entry(booking.text().into()).or_default();
            match lives.iter_mut().find(|life| *life.key == *key) {
                Some(life) => life.sent_ns = life.sent_ns.min(operation.sent_ns),
                None => lives.push(Life {
                    key: key.text().into(),
                    sent_ns: operation.sent_ns,
                    returned_ns: operation.returned_ns,
                }),
            }
        }
    }
    lives.retain(|_, lives| lives.len() > 1);
    operations.edit_each(|operation| {
        let (sent_ns, returned_ns) = (operation.sent_ns, operation.returned_ns);
        let own_key = match &operation.action {
            Action::Reserve { key, .. } => Some(key.clone()),
            _ => None,
        };
        let Some(booking) = booking_of(operation) else { return };
        let Some(lives) = lives.get(&**booking) else { return };
        let number = match &own_key {
            Some(key) => lives.iter().position(|life| life.key == *key),
            None => lives.iter().rposition(|life| life.sent_ns <= returned_ns),
        };
        let number = number.unwrap_or(0);
        let sure = own_key.is_some() || lives[number].returned_ns < sent_ns || number == 0;
        rename(booking, format_args!("({})", number + 1));
        if !sure && operation.outcome != Outcome::Unknown {
            (operation.outcome, operation.returned_ns) = (Outcome::Unknown, returned_ns);
        }
    });
}

/// Where clients choose the ids, a cancel may come before its booking is made: deleting what is not
/// there is no mistake. One that returned before frees nothing; one that was sent before the
/// booking was acknowledged may have freed it or not.
fn excuse_early_cancels(operations: &mut Operations) {
    let mut made: HashMap<u32, (u64, u64)> = HashMap::default();
    for operation in operations.iter() {
        if let (ActionRef::Reserve { .. }, Some(booking)) =
            (operation.action, operation.seen.booking)
        {
            let (sent_ns, returned_ns) = made.entry(booking.id()).or_insert((u64::MAX, 0));
            *sent_ns = operation.sent_ns.min(*sent_ns);
            *returned_ns = operation.returned_ns.max(*returned_ns);
        }
    }
    for index in 0..operations.len() {
        let operation = operations.at(index);
        let (ActionRef::Cancel { booking }, Outcome::Ok) = (operation.action, operation.outcome)
        else {
            continue;
        };
        let outcome = match made.get(&booking.id()) {
            Some((sent_ns, _)) if operation.returned_ns < *sent_ns => Outcome::Rejected,
            Some((_, returned_ns)) if operation.sent_ns <= *returned_ns => Outcome::Unknown,
            Some(_) => continue,
            // Deleting what never was.
            None => Outcome::Rejected,
        };
        operations.set_outcome(index, outcome);
    }
}

#[cfg(test)]
mod tests {
    use slotproof_vocabulary::{
        BookingRow, BookingStatus, Declarations, EndState, Invariant, SlotRow, Terms, Verdict,
        operation_builder,
    };

    use slotproof_vocabulary::Action;

    use super::*;
    use crate::fixture::{booking, cancel, case, only, reserve, row, sold_out, unknown};

    fn read(declarations: Declarations, operations: Vec<Operation>) -> Vec<Operation> {
        let mut case = case(9, operations);
        case.history.declarations = declarations;
        let operations =
            interpreted(&case).map_or(case.history.operations, |case| case.history.operations);
        operations.iter().map(|operation| operation.to_operation()).collect()
    }

    fn names(operation: &Operation) -> (Option<&str>, Option<&str>) {
        let key = match &operation.action {
            Action::Reserve { key, .. } => Some(&**key),
            _ => None,
        };
        (key, operation.names_booking().or(operation.seen.booking.as_deref()))
    }

    #[test]
    fn a_history_with_plain_names_is_judged_as_it_was_written() {
        assert!(interpreted(&case(1, vec![reserve("a", 1, 0, 10), sold_out(1, 20, 30)])).is_none());
    }

    #[test]
    fn a_booking_that_is_found_later_was_made_before() {
        let operations = vec![unknown(reserve("a", 1, 0, 10)), cancel("a", 20, 30)];
        let read_as = read(Declarations::default(), operations);
        assert_eq!(read_as[0].outcome, Outcome::Ok);
        assert_eq!((names(&read_as[0]).1, read_as[0].returned_ns), (Some("a"), 30));
        let of_two = vec![
            unknown(reserve("a", 1, 0, 10)),
            unknown(reserve("b", 1, 0, 10)),
            booking("a", 20, 30),
        ];
        let read_as = read(Declarations::default(), of_two);
        assert_eq!(read_as[0].outcome, Outcome::Unknown, "either may have made it");
    }

    #[test]
    fn the_parts_of_a_basket_have_names_of_their_own() {
        let part = |slot: &str| {
            let terms = Terms { basket: Some("o".into()), ..Terms::default() };
            operation_builder::reserve(slot).key("k").terms(terms).at(0, 10).booked("b")
        };
        let read_as = read(Declarations::default(), vec![part("s"), part("t")]);
        assert_eq!(names(&read_as[0]), (Some("k in s"), Some("b in s")));
        assert_eq!(names(&read_as[1]), (Some("k in t"), Some("b in t")));
    }

    #[test]
    fn the_rows_of_a_basket_are_those_of_its_parts_and_a_part_without_a_row_is_lost() {
        let part = |slot: &str| {
            let terms = Terms { basket: Some("o".into()), ..Terms::default() };
            operation_builder::reserve(slot).key("k").terms(terms).at(0, 10).booked("b")
        };
        let row_in = |slot: &str| BookingRow {
            slot: slot.to_owned(),
            key: Some("k".to_owned()),
            ..row("b", BookingStatus::Pending, 1)
        };
        let verdicts = |kept: &[&str]| {
            let bookings: Vec<BookingRow> = kept.iter().map(|slot| row_in(slot)).collect();
            let slot = |slot: &&str| SlotRow {
                slot: (*slot).to_owned(),
                capacity: 9,
                available: 9 - i64::from(kept.contains(slot)),
                version: 1,
            };
            let slots = ["s", "t"].iter().map(slot).collect();
            let end = EndState { slots, bookings, ..EndState::default() };
            let judged = Case { end: Some(end), ..case(9, vec![part("s"), part("t")]) };
            let of = [Invariant::NoLostBooking, Invariant::NoPhantom, Invariant::Idempotent];
            of.map(|invariant| only(&judged, invariant).verdict)
        };
        assert_eq!(verdicts(&["s", "t"]), [Verdict::Upheld; 3]);
        assert_eq!(verdicts(&["s"]), [Verdict::Violated, Verdict::Upheld, Verdict::Upheld]);
    }

    #[test]
    fn an_id_that_is_used_again_names_another_booking() {
        let again = operation_builder::reserve("s").key("k2").at(40, 50).booked("a");
        let operations =
            vec![reserve("a", 1, 0, 10), cancel("a", 20, 30), again, cancel("a", 60, 70)];
        let reused = Declarations { booking_ids: BookingIds::Reused, ..Declarations::default() };
        let bookings: Vec<_> = read(reused, operations)
            .iter()
            .map(|operation| names(operation).1.expect("a booking").to_owned())
            .collect();
        assert_eq!(bookings, ["a (1)", "a (1)", "a (2)", "a (2)"]);
    }

    #[test]
    fn a_cancel_before_its_booking_frees_nothing_where_clients_choose_the_id() {
        let chosen =
            Declarations { booking_ids: BookingIds::ChosenByClients, ..Declarations::default() };
        let outcome = |sent_ns, returned_ns| {
            let operations = vec![cancel("a", sent_ns, returned_ns), reserve("a", 1, 30, 40)];
            read(chosen, operations)[0].outcome
        };
        assert_eq!(outcome(10, 20), Outcome::Rejected);
        assert_eq!(outcome(10, 35), Outcome::Unknown);
        assert_eq!(outcome(50, 60), Outcome::Ok);
    }
}
