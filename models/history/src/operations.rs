//! The store: the operations of a history, in its order.

use std::{borrow::Cow, sync::Arc};

use slotproof_vocabulary::{Action, Operation, Outcome};

use crate::{
    extras::{Extra, Extras, Wide},
    group::Group,
    names::{Name, Names},
    operation_ref::{ActionRef, ChangeRef, OperationRef, SeenRef},
    row::{Kind, NO_NUMBER, NONE, Row, packed, unpacked},
};

/// Operations in 64 bytes each, and their names once. A clone shares the names.
#[derive(Debug, Clone, Default)]
pub struct Operations {
    rows: Vec<Row>,
    tables: Arc<Tables>,
}

/// What rows refer to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tables {
    pub(crate) slots: Names,
    /// Keys, bookings and reasons.
    pub(crate) names: Names,
    pub(crate) extras: Extras,
}

impl Operations {
    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// An operation.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub fn at(&self, index: usize) -> OperationRef<'_> {
        self.tables.view(&self.rows[index])
    }

    /// All of them, in the order of the history.
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rows: self.rows.iter(), tables: &self.tables }
    }

    /// The names of slots: every slot that an operation is about, or moves a booking to.
    pub fn slots(&self) -> &Names {
        &self.tables.slots
    }

    /// The names of keys, bookings and reasons.
    pub fn names(&self) -> &Names {
        &self.tables.names
    }

    /// Some of the operations, one behind the other in memory.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn gathered(&self, places: &[u32]) -> Gathered<'_> {
        // All of them in their order are the store itself.
        let all = places.len() == self.rows.len()
            && places.iter().enumerate().all(|(index, place)| index == *place as usize);
        let rows = match all {
            true => Cow::Borrowed(&*self.rows),
            false => places.iter().map(|place| self.rows[*place as usize]).collect(),
        };
        Gathered { rows, tables: &self.tables }
    }

    /// Appends an operation.
    pub fn push(&mut self, operation: &Operation) {
        let row = Arc::make_mut(&mut self.tables).row(operation);
        self.rows.push(row);
    }

    /// Appends the operations of another store.
    pub fn append(&mut self, other: Self) {
        if self.is_empty() && self.tables.is_empty() {
            *self = other;
            return;
        }
        let of = &other.tables;
        let ids = Arc::make_mut(&mut self.tables).ids_of(
            of.slots.iter().map(Name::text),
            of.names.iter().map(Name::text),
            of.extras.iter(),
        );
        self.rows.extend(other.rows.iter().map(|row| ids.row(row)));
    }

    /// Appends the operations of a frame, in the order of their places.
    pub(crate) fn append_frame(&mut self, groups: &[Group], operations: usize) {
        let first = self.rows.len();
        self.rows.resize(first + operations, Row::EMPTY);
        let rows = &mut self.rows[first..];
        let tables = Arc::make_mut(&mut self.tables);
        for group in groups {
            let slots = group.slots.iter().map(|slot| &**slot);
            let ids = tables.ids_of(slots, group.names.iter(), group.extras.iter());
            for (row, place) in group.rows.iter().zip(&group.places) {
                rows[*place as usize] = ids.row(row);
            }
        }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Bytes of the names that operations refer to.
    pub(crate) fn names_bytes(&self) -> usize {
        self.tables.names.bytes() + self.tables.slots.bytes()
    }

    /// Keeps a name that an operation may be given.
    pub fn name(&mut self, name: &str) -> u32 {
        Arc::make_mut(&mut self.tables).names.intern(name)
    }

    /// Gives an operation another outcome.
    pub fn set_outcome(&mut self, index: usize, outcome: Outcome) {
        self.rows[index].outcome = outcome;
    }

    /// Gives an operation another return.
    pub fn set_returned_ns(&mut self, index: usize, returned_ns: u64) {
        self.rows[index].returned_ns = returned_ns;
    }

    /// Gives the key of a reserve, or the booking that any other operation is about, another name,
    /// by its id.
    ///
    /// # Panics
    /// If the operation has neither.
    pub fn set_subject(&mut self, index: usize, name: u32) {
        assert_ne!(self.rows[index].subject, NONE, "operation {index} names nothing");
        self.rows[index].subject = name;
    }

    /// Gives the booking of an answer another name, by its id.
    pub fn set_booking(&mut self, index: usize, name: u32) {
        self.rows[index].booking = name;
    }

    /// Changes operations in any way, one after the other. Slower than the other ways.
    pub fn edit_each(&mut self, mut change: impl FnMut(&mut Operation)) {
        (0..self.len()).for_each(|index| self.edit(index, &mut change));
    }

    /// Changes an operation in any way.
    pub fn edit(&mut self, index: usize, change: impl FnOnce(&mut Operation)) {
        let mut operation = self.at(index).to_operation();
        change(&mut operation);
        self.rows[index] = Arc::make_mut(&mut self.tables).row(&operation);
    }
}

/// The ids that slots, names and extras of another store or of a file have here.
struct Ids {
    slots: Vec<u32>,
    names: Vec<u32>,
    /// From number 0, the empty one.
    extras: Vec<u32>,
}

impl Ids {
    /// A row of the other store as a row of this one.
    #[inline]
    fn row(&self, row: &Row) -> Row {
        let name = |id: u32| if id == NONE { NONE } else { self.names[id as usize] };
        Row {
            slot: self.slots[row.slot as usize],
            subject: name(row.subject),
            booking: name(row.booking),
            reason: name(row.reason),
            extra: self.extras[row.extra as usize],
            ..*row
        }
    }
}

impl Tables {
    /// Keeps what another store or a file refers to.
    fn ids_of<'a>(
        &mut self,
        slots: impl Iterator<Item = &'a str> + Clone,
        names: impl Iterator<Item = &'a str> + Clone,
        extras: impl Iterator<Item = &'a Extra>,
    ) -> Ids {
        let slots = self.slots.intern_all(slots);
        let names = self.names.intern_all(names);
        let here = |extra: &Extra| {
            let to_slot = extra.to_slot.map(|slot| slots[slot as usize]);
            self.extras.intern(Extra { to_slot, ..extra.clone() })
        };
        let extras = std::iter::once(0).chain(extras.map(here)).collect();
        Ids { slots, names, extras }
    }

    fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.names.is_empty()
    }

    #[inline]
    fn name(&self, id: u32) -> Option<Name<'_>> {
        (id != NONE).then_some(self.names.name(id))
    }

    #[inline]
    fn view(&self, row: &Row) -> OperationRef<'_> {
        let extra = self.extras.get(row.extra);
        let wide = extra.and_then(|extra| extra.wide.as_deref());
        let subject = self.names.name(row.subject);
        OperationRef {
            client: wide.map_or(row.client.into(), |wide| wide.client),
            process: wide.map_or(row.process.into(), |wide| wide.process),
            slot: self.slots.name(row.slot),
            action: match row.kind {
                Kind::Reserve => ActionRef::Reserve { seats: row.amount, key: subject },
                Kind::Confirm => ActionRef::Confirm { booking: subject },
                Kind::Cancel => ActionRef::Cancel { booking: subject },
                Kind::Change => {
                    let slot = extra.and_then(|extra| extra.to_slot);
                    let slot = slot.map(|slot| self.slots.name(slot));
                    let seats = extra.and_then(|extra| extra.to_seats);
                    ActionRef::Change { booking: subject, to: ChangeRef { slot, seats } }
                }
                Kind::Booking => ActionRef::Booking { booking: subject },
                Kind::Read => ActionRef::Read,
                Kind::Resize => ActionRef::Resize { capacity: row.amount },
            },
            terms: extra.and_then(|extra| extra.terms.as_deref()),
            scheduled_ns: wide
                .map_or(row.sent_ns.wrapping_sub(row.lag_ns()), |wide| wide.scheduled_ns),
            sent_ns: row.sent_ns,
            returned_ns: row.returned_ns,
            attempts: wide.map_or(row.attempts.into(), |wide| wide.attempts),
            outcome: row.outcome,
            reason: self.name(row.reason),
            seen: SeenRef {
                booking: self.name(row.booking),
                version: wide.map_or_else(|| unpacked(row.version), |wide| wide.version),
                available: wide.map_or_else(|| unpacked(row.available), |wide| wide.available),
                pending: extra.and_then(|extra| extra.pending),
                confirmed: extra.and_then(|extra| extra.confirmed),
                capacity: extra.and_then(|extra| extra.capacity),
                hold_ms: extra.and_then(|extra| extra.hold_ms),
                status: extra.and_then(|extra| extra.status),
            },
        }
    }

    fn row(&mut self, operation: &Operation) -> Row {
        let mut extra = Extra {
            terms: operation.terms.clone(),
            pending: operation.seen.pending,
            confirmed: operation.seen.confirmed,
            capacity: operation.seen.capacity,
            hold_ms: operation.seen.hold_ms,
            status: operation.seen.status,
            ..Extra::default()
        };
        let (kind, subject, amount) = match &operation.action {
            Action::Reserve { seats, key } => (Kind::Reserve, Some(key), *seats),
            Action::Confirm { booking } => (Kind::Confirm, Some(booking), 0),
            Action::Cancel { booking } => (Kind::Cancel, Some(booking), 0),
            Action::Change { booking, to } => {
                extra.to_slot = to.slot.as_ref().map(|slot| self.slots.intern(slot));
                extra.to_seats = to.seats;
                (Kind::Change, Some(booking), 0)
            }
            Action::Booking { booking } => (Kind::Booking, Some(booking), 0),
            Action::Read => (Kind::Read, None, 0),
            Action::Resize { capacity } => (Kind::Resize, None, *capacity),
        };
        let mut row = Row {
            sent_ns: operation.sent_ns,
            returned_ns: operation.returned_ns,
            lag_low_ns: 0,
            client: operation.client as u32,
            process: operation.process as u32,
            slot: self.slots.intern(&operation.slot),
            subject: self.id(subject.map(|name| &**name)),
            booking: self.id(operation.seen.booking.as_deref()),
            reason: self.id(operation.reason.as_deref()),
            version: packed(operation.seen.version).unwrap_or(NO_NUMBER),
            available: packed(operation.seen.available).unwrap_or(NO_NUMBER),
            amount,
            extra: 0,
            attempts: operation.attempts as u8,
            kind,
            outcome: operation.outcome,
            lag_high_ns: 0,
        };
        let lag_ns = operation.sent_ns.checked_sub(operation.scheduled_ns);
        let fits = lag_ns.is_some_and(|lag_ns| row.set_lag_ns(lag_ns))
            && u64::from(row.client) == operation.client
            && u64::from(row.process) == operation.process
            && u32::from(row.attempts) == operation.attempts
            && unpacked(row.version) == operation.seen.version
            && unpacked(row.available) == operation.seen.available;
        if !fits {
            extra.wide = Some(Box::new(Wide {
                client: operation.client,
                process: operation.process,
                scheduled_ns: operation.scheduled_ns,
                attempts: operation.attempts,
                version: operation.seen.version,
                available: operation.seen.available,
            }));
        }
        row.extra = self.extras.intern(extra);
        row
    }

    fn id(&mut self, name: Option<&str>) -> u32 {
        name.map_or(NONE, |name| self.names.intern(name))
    }
}

/// Some operations of a store, copied one behind the other: visiting them misses no cache.
#[derive(Debug, Clone)]
pub struct Gathered<'a> {
    rows: Cow<'a, [Row]>,
    tables: &'a Tables,
}

impl<'a> Gathered<'a> {
    /// In the order in which they were asked for.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = OperationRef<'a>> + Clone + use<'a, '_> {
        let tables = self.tables;
        self.rows.iter().map(move |row| tables.view(row))
    }
}

/// The operations of a store, one after the other.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rows: std::slice::Iter<'a, Row>,
    tables: &'a Tables,
}

impl<'a> Iterator for Iter<'a> {
    type Item = OperationRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<OperationRef<'a>> {
        self.rows.next().map(|row| self.tables.view(row))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.rows.next_back().map(|row| self.tables.view(row))
    }
}

impl<'a> IntoIterator for &'a Operations {
    type Item = OperationRef<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl PartialEq for Operations {
    /// Whether they say the same, whatever their ids are.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .zip(other.iter())
                .all(|(one, it)| one.to_operation() == it.to_operation())
    }
}

impl Eq for Operations {}

impl<O: std::borrow::Borrow<Operation>> Extend<O> for Operations {
    fn extend<I: IntoIterator<Item = O>>(&mut self, operations: I) {
        operations.into_iter().for_each(|operation| self.push(operation.borrow()));
    }
}

impl<O: std::borrow::Borrow<Operation>> FromIterator<O> for Operations {
    fn from_iter<I: IntoIterator<Item = O>>(operations: I) -> Self {
        let mut store = Self::default();
        store.extend(operations);
        store
    }
}

impl From<Vec<Operation>> for Operations {
    fn from(operations: Vec<Operation>) -> Self {
        operations.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use slotproof_vocabulary::{BookingStatus, ChangeTo, Seen, Terms};

    use super::*;

    /// Numbers from this one on, of which few do not fit in a row: an operation with one that does
    /// not must not need another one.
    fn number(from: u64) -> impl Strategy<Value = u64> {
        prop_oneof![20 => from..from + 5, 1 => any::<u32>().prop_map(u64::from), 1 => any::<u64>()]
    }

    fn seats() -> impl Strategy<Value = Option<i64>> {
        let near = (i64::from(i32::MIN) - 1)..=(i64::from(i32::MIN) + 1);
        proptest::option::of(prop_oneof![20 => 0..5_i64, 1 => near, 1 => any::<i64>()])
    }

    fn name() -> impl Strategy<Value = Box<str>> {
        "[a-c\u{e4}]{0,2}".prop_map(Into::into)
    }

    fn action() -> impl Strategy<Value = Action> {
        let to = (proptest::option::of(name()), proptest::option::of(1..9_u32));
        let to = to.prop_map(|(slot, seats)| {
            Box::new(ChangeTo { slot: slot.map(|slot| slot.to_string().into()), seats })
        });
        prop_oneof![
            (any::<u32>(), name()).prop_map(|(seats, key)| Action::Reserve { seats, key }),
            name().prop_map(|booking| Action::Confirm { booking }),
            name().prop_map(|booking| Action::Cancel { booking }),
            (name(), to).prop_map(|(booking, to)| Action::Change { booking, to }),
            name().prop_map(|booking| Action::Booking { booking }),
            Just(Action::Read),
            any::<u32>().prop_map(|capacity| Action::Resize { capacity }),
        ]
    }

    fn terms() -> impl Strategy<Value = Option<Box<Terms>>> {
        let texts = (proptest::option::of(name()), proptest::option::of(name()));
        let terms = (texts, any::<[bool; 3]>()).prop_map(|((basket, owner), flags)| Terms {
            basket,
            overbook: flags[0],
            awaits_approval: flags[1],
            provisional: flags[2],
            period: owner.clone(),
            owner,
        });
        proptest::option::of(terms.prop_map(Box::new))
    }

    fn seen() -> impl Strategy<Value = Seen> {
        let status = proptest::sample::select(vec![BookingStatus::Pending, BookingStatus::Failed]);
        (
            proptest::option::of(name()),
            [seats(), seats(), seats(), seats(), seats()],
            proptest::option::of(number(0)),
            proptest::option::of(status),
        )
            .prop_map(|(booking, numbers, hold_ms, status)| {
                let [version, available, pending, confirmed, capacity] = numbers;
                Seen { booking, version, available, pending, confirmed, capacity, hold_ms, status }
            })
    }

    /// Any operation, whether a history can have it or not.
    fn operation() -> impl Strategy<Value = Operation> {
        let outcome = proptest::sample::select(Outcome::ALL.to_vec());
        let attempts = prop_oneof![20 => 1..3_u32, 1 => any::<u32>()];
        let rest = (attempts, outcome, proptest::option::of(name()));
        // Client, process, scheduled, sent, returned.
        let numbers = [number(0), number(0), number(0), number(5), number(10)];
        (numbers, name(), action(), terms(), seen(), rest).prop_map(
            |(numbers, slot, action, terms, seen, (attempts, outcome, reason))| {
                let [client, process, scheduled_ns, sent_ns, returned_ns] = numbers;
                Operation {
                    client,
                    process,
                    slot: slot.to_string().into(),
                    action,
                    terms,
                    scheduled_ns,
                    sent_ns,
                    returned_ns,
                    attempts,
                    outcome,
                    reason,
                    seen,
                }
            },
        )
    }

    fn back(operations: &Operations) -> Vec<Operation> {
        operations.iter().map(|operation| operation.to_operation()).collect()
    }

    proptest! {
        #[test]
        fn every_operation_comes_back_as_it_was(
            operations in proptest::collection::vec(operation(), 0..40)
        ) {
            let store: Operations = operations.iter().collect();
            prop_assert_eq!(back(&store), operations);
        }

        #[test]
        fn stores_are_put_behind_one_another(
            one in proptest::collection::vec(operation(), 0..20),
            other in proptest::collection::vec(operation(), 0..20),
        ) {
            let mut store: Operations = one.iter().collect();
            store.append(other.iter().collect());
            let whole = [one, other].concat();
            prop_assert_eq!(&back(&store), &whole);
            prop_assert_eq!(&store, &whole.iter().collect());
            let places: Vec<u32> = (0..whole.len() as u32).rev().collect();
            let reversed: Vec<Operation> =
                store.gathered(&places).iter().map(|it| it.to_operation()).collect();
            prop_assert!(reversed.iter().eq(whole.iter().rev()));
        }

        #[test]
        fn an_edit_changes_one_operation(
            operations in proptest::collection::vec(operation(), 1..9), to in operation()
        ) {
            let mut store: Operations = operations.iter().collect();
            store.edit(0, |operation| *operation = to.clone());
            let mut wanted = operations;
            wanted[0] = to;
            prop_assert_eq!(back(&store), wanted);
        }
    }
}
