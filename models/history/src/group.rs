//! A group: the operations of one partition in one frame, as columns and the names that they refer
//! to.

use std::cell::Cell;

use slotproof_vocabulary::Outcome;

use crate::{
    columns::{self, ColumnError, unzigzag, zigzag},
    extras::Extra,
    operations::Operations,
    row::{Kind, NO_NUMBER, NONE, Row},
};

/// What is wrong with a group whose bytes are those that were written: another program wrote it, and
/// wrongly.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// A column is not there.
    #[error(transparent)]
    Column(#[from] ColumnErrorOf),
    /// A name is not text.
    #[error("a name is not UTF-8")]
    NotText,
    /// An operation refers to a name or to an extra that is not there.
    #[error("operation {place} refers to a {what} that is not there")]
    NoSuch {
        /// Its place in the group.
        place: usize,
        /// What it refers to.
        what: &'static str,
    },
    /// An operation that no line of a history could say.
    #[error("operation {place}: {reason}")]
    Unlawful {
        /// Its place in the group.
        place: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What few operations have is not readable.
    #[error("what few operations have: {0}")]
    Extra(#[from] serde_json::Error),
    /// Two operations have one place, or one is outside the frame.
    #[error("two operations have one place in the frame, or a place is outside it")]
    Places,
}

/// A [`ColumnError`] outside this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ColumnErrorOf(ColumnError);

impl From<ColumnError> for GroupError {
    fn from(error: ColumnError) -> Self {
        Self::Column(ColumnErrorOf(error))
    }
}

/// A group that has been read: rows whose ids are those of its own names.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) rows: Vec<Row>,
    /// Where each row stands in its frame.
    pub(crate) places: Vec<u32>,
    pub(crate) slots: Vec<Box<str>>,
    pub(crate) names: Texts,
    pub(crate) extras: Vec<Extra>,
}

/// Texts one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        self.ends.iter().zip(begins).map(|(end, begin)| &self.text[begin..*end])
    }

    fn write<'a>(out: &mut Vec<u8>, texts: impl Iterator<Item = &'a str> + Clone) {
        let lengths: Vec<u64> = texts.clone().map(|text| text.len() as u64).collect();
        columns::write(out, &[lengths.len() as u64]);
        columns::write(out, &lengths);
        texts.for_each(|text| out.extend_from_slice(text.as_bytes()));
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, GroupError> {
        let count = count(bytes)?;
        let (mut ends, mut end) = (Vec::new(), 0_usize);
        columns::read(bytes, count, |_, length| {
            end = end.saturating_add(length as usize);
            ends.push(end);
        })?;
        let text = columns::take(bytes, end)?;
        let text = std::str::from_utf8(text).map_err(|_| GroupError::NotText)?;
        if !ends.iter().all(|end| text.is_char_boundary(*end)) {
            return Err(GroupError::NotText);
        }
        Ok(Self { text: text.to_owned(), ends })
    }
}

/// A number of things, of which each takes a byte or more; a column of one value takes none, so
/// what is asked for is limited.
fn count(bytes: &mut &[u8]) -> Result<usize, GroupError> {
    let mut count = 0;
    columns::read(bytes, 1, |_, value| count = value)?;
    match usize::try_from(count) {
        Ok(count) if count <= OPERATIONS_MAX * 4 => Ok(count),
        _ => Err(ColumnError.into()),
    }
}

/// Operations of a frame at most: what a writer keeps in memory, and a reader at once.
pub const OPERATIONS_MAX: usize = 1 << 16;

/// Numbers names by their first use in a group. It is used for one group after another.
#[derive(Debug, Default)]
struct Numbers {
    /// The number of each id in this group, and one more; 0 for none.
    of_id: Vec<u32>,
    ids: Vec<u32>,
}

impl Numbers {
    /// The number of an id, from 1; 0 for [`NONE`].
    fn number(&mut self, id: u32) -> u64 {
        if id == NONE {
            return 0;
        }
        let place = id as usize;
        if place >= self.of_id.len() {
            self.of_id.resize((place + 1).next_power_of_two(), 0);
        }
        if self.of_id[place] == 0 {
            self.ids.push(id);
            self.of_id[place] = self.ids.len() as u32;
        }
        self.of_id[place].into()
    }

    fn clear(&mut self) {
        self.ids.drain(..).for_each(|id| self.of_id[id as usize] = 0);
    }
}

/// Writes groups.
#[derive(Debug, Default)]
pub(crate) struct GroupWriter {
    slots: Numbers,
    names: Numbers,
    extras: Numbers,
    column: Vec<u64>,
}

impl GroupWriter {
    /// Appends a group of the operations at these places, which are counted from `first`.
    pub(crate) fn write(
        &mut self,
        out: &mut Vec<u8>,
        operations: &Operations,
        first: usize,
        places: &[u32],
    ) {
        self.slots.clear();
        self.names.clear();
        self.extras.clear();
        let tables = operations.tables();
        let rows = || places.iter().map(|place| &operations.rows()[first + *place as usize]);
        // The names come first in the file, and are known when all rows have been seen.
        for row in rows() {
            self.slots.number(row.slot);
            for name in [row.subject, row.booking, row.reason] {
                self.names.number(name);
            }
            if row.extra > 0 {
                self.extras.number(row.extra - 1);
            }
        }
        let mut extras = Vec::new();
        for number in &self.extras.ids {
            let extra = tables.extras.get(number + 1).expect("rows refer to it");
            let to_slot = extra.to_slot.map(|slot| self.slots.number(slot) as u32 - 1);
            let extra = Extra { to_slot, ..extra.clone() };
            extras.push(serde_json::to_string(&extra).expect("it is numbers and texts"));
        }
        Texts::write(out, self.slots.ids.iter().map(|id| tables.slots.text(*id)));
        Texts::write(out, self.names.ids.iter().map(|id| tables.names.text(*id)));
        Texts::write(out, extras.iter().map(String::as_str));
        self.column.clear();
        self.column.extend(places.iter().map(|place| u64::from(*place)));
        columns::write(out, &self.column);
        let Self { slots, names, extras, column } = self;
        let mut write = |value: &mut dyn FnMut(&Row) -> u64| {
            column.clear();
            column.extend(rows().map(value));
            columns::write(out, column);
        };
        write(&mut |row| slots.number(row.slot) - 1);
        write(&mut |row| row.kind as u64 * 8 + row.outcome as u64);
        write(&mut |row| row.sent_ns);
        write(&mut |row| row.returned_ns.wrapping_sub(row.sent_ns));
        write(&mut |row| row.lag_ns());
        write(&mut |row| row.client.into());
        write(&mut |row| zigzag(i64::from(row.process) - i64::from(row.client)));
        write(&mut |row| names.number(row.subject));
        write(&mut |row| names.number(row.booking));
        write(&mut |row| names.number(row.reason));
        write(&mut |row| number(row.version));
        write(&mut |row| number(row.available));
        write(&mut |row| row.amount.into());
        write(&mut |row| row.attempts.into());
        write(&mut |row| row.extra.checked_sub(1).map_or(0, |extra| extras.number(extra)));
    }
}

fn number(number: i32) -> u64 {
    if number == NO_NUMBER { 0 } else { zigzag(number.into()) + 1 }
}

/// A value in its place in a row; `fits` says whether there was room for it.
#[inline]
fn narrow<Wide, Narrow: TryFrom<Wide> + Default>(value: Wide, fits: &Cell<bool>) -> Narrow {
    Narrow::try_from(value).unwrap_or_else(|_| {
        fits.set(false);
        Narrow::default()
    })
}

/// Fills one field of every row from a column.
fn fill(
    bytes: &mut &[u8],
    rows: &mut [Row],
    mut each: impl FnMut(&mut Row, u64),
) -> Result<(), ColumnError> {
    columns::read(bytes, rows.len(), |place, value| each(&mut rows[place], value))
}

impl Group {
    /// Reads a group of so many operations.
    pub(crate) fn read(mut bytes: &[u8], operations: usize) -> Result<Self, GroupError> {
        let bytes = &mut bytes;
        let slots = Texts::read(bytes)?;
        let names = Texts::read(bytes)?;
        let extras = Texts::read(bytes)?;
        let extras: Vec<Extra> =
            extras.iter().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let mut rows = vec![Row::EMPTY; operations];
        let mut places = vec![0; operations];
        let fits = Cell::new(true);
        let small = |value: u64| -> u32 { narrow(value, &fits) };
        let id = |value: u64| small(value).wrapping_sub(1);
        let signed = |value: u64| match value {
            0 => NO_NUMBER,
            value => narrow(unzigzag(value - 1), &fits),
        };
        let mut kinds = vec![0_u8; operations];
        columns::read(bytes, operations, |place, value| places[place] = small(value))?;
        fill(bytes, &mut rows, |row, value| row.slot = small(value))?;
        columns::read(bytes, operations, |place, value| {
            kinds[place] = u8::try_from(value).unwrap_or(u8::MAX);
        })?;
        fill(bytes, &mut rows, |row, value| row.sent_ns = value)?;
        fill(bytes, &mut rows, |row, value| row.returned_ns = row.sent_ns.wrapping_add(value))?;
        fill(bytes, &mut rows, |row, value| fits.set(fits.get() & row.set_lag_ns(value)))?;
        fill(bytes, &mut rows, |row, value| row.client = small(value))?;
        fill(bytes, &mut rows, |row, value| {
            row.process = narrow(i64::from(row.client).wrapping_add(unzigzag(value)), &fits);
        })?;
        fill(bytes, &mut rows, |row, value| row.subject = id(value))?;
        fill(bytes, &mut rows, |row, value| row.booking = id(value))?;
        fill(bytes, &mut rows, |row, value| row.reason = id(value))?;
        fill(bytes, &mut rows, |row, value| row.version = signed(value))?;
        fill(bytes, &mut rows, |row, value| row.available = signed(value))?;
        fill(bytes, &mut rows, |row, value| row.amount = small(value))?;
        fill(bytes, &mut rows, |row, value| row.attempts = narrow(value, &fits))?;
        fill(bytes, &mut rows, |row, value| row.extra = small(value))?;
        let to_slots = extras.iter().filter_map(|extra| extra.to_slot);
        let known = to_slots.into_iter().all(|slot| (slot as usize) < slots.ends.len());
        if !bytes.is_empty() || !fits.get() || !known {
            return Err(ColumnError.into());
        }
        let group =
            Self { slots: slots.iter().map(Box::from).collect(), names, extras, places, rows };
        for (place, (row, kind)) in group.rows.iter().zip(&kinds).enumerate() {
            group.check(place, row, *kind)?;
        }
        Ok(group.with_kinds(&kinds))
    }

    fn with_kinds(mut self, kinds: &[u8]) -> Self {
        for (row, kind) in self.rows.iter_mut().zip(kinds) {
            row.kind = Kind::ALL[usize::from(kind / 8)];
            row.outcome = Outcome::ALL[usize::from(kind % 8)];
        }
        self
    }

    /// What every line of a history says, an operation of a group must say too.
    fn check(&self, place: usize, row: &Row, kind: u8) -> Result<(), GroupError> {
        let no_such = |what| Err(GroupError::NoSuch { place, what });
        let unlawful = |reason| Err(GroupError::Unlawful { place, reason });
        let kind_of = Kind::ALL.get(usize::from(kind / 8));
        let outcome_of = Outcome::ALL.get(usize::from(kind % 8));
        let (Some(kind), Some(outcome)) = (kind_of, outcome_of) else {
            return unlawful("its kind or its outcome has no name");
        };
        let known = |id: u32| id == NONE || (id as usize) < self.names.ends.len();
        if row.slot as usize >= self.slots.len() {
            return no_such("slot");
        }
        if ![row.subject, row.booking, row.reason].into_iter().all(known) {
            return no_such("name");
        }
        let extra = match row.extra.checked_sub(1) {
            None => None,
            Some(extra) => match self.extras.get(extra as usize) {
                None => return no_such("extra"),
                extra => extra,
            },
        };
        let says = |what: fn(&Extra) -> bool| extra.is_some_and(what);
        if says(|it| it.status.is_some()) && *kind != Kind::Booking {
            return unlawful("it has a status, and reads no booking");
        }
        if says(|it| it.terms.is_some()) && *kind != Kind::Reserve {
            return unlawful("it has terms, and reserves nothing");
        }
        if says(|it| it.to_slot.is_some() || it.to_seats.is_some()) && *kind != Kind::Change {
            return unlawful("it goes elsewhere, and changes nothing");
        }
        if says(|it| it.to_seats == Some(0)) {
            return unlawful("it changes to no seat");
        }
        if row.returned_ns < row.sent_ns {
            return unlawful("it returned before it was sent");
        }
        if (row.subject == NONE) != matches!(kind, Kind::Read | Kind::Resize) {
            return unlawful("it names no key or booking, or one too many");
        }
        let for_sale = matches!(kind, Kind::Reserve | Kind::Confirm | Kind::Change);
        if *outcome == Outcome::SoldOut && !for_sale {
            return unlawful("sold_out does not apply to it");
        }
        if *kind == Kind::Reserve {
            if row.amount == 0 {
                return unlawful("it reserves no seat");
            }
            if *outcome == Outcome::Ok && row.booking == NONE {
                return unlawful("it was acknowledged without a booking");
            }
        }
        Ok(())
    }
}
