//! The evidence of a target that a file describes: what its API or its database shows after the
//! load, bookings as final rows and their changes as the audit log.

mod sql;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use slotproof_scenarios::{
    Connections,
    target::file::{FileTarget, Place, RowsEach, Source},
};
use slotproof_vocabulary::{AuditRecord, BookingRow, BookingStatus, EndState, ForeignRows};

/// `evidence.json`: what a run on a target can be judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetEvidence {
    /// Whether the API is said to know a key that is sent again.
    pub keeps_keys: bool,
    /// Whether a reserve alone sells: the API has no confirm.
    #[serde(default)]
    pub sells_at_once: bool,
    /// How old a read may be, as the file claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_ms: Option<u64>,
    /// Seats of slots that the run did not make.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub capacities: BTreeMap<String, i64>,
    /// The rows, if the file says where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowsEvidence>,
    /// The log, if the file says where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogEvidence>,
    /// Whether holds may still have been there when the service was probed.
    #[serde(default)]
    pub holds_left: bool,
    /// Why the rows or the log could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What is known of the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsEvidence {
    /// How many there are.
    pub read: u64,
    /// Whether a booking that no client was told of would be among them.
    pub all: bool,
    /// Whether any has the key of its reserve.
    pub keyed: bool,
    /// Whether the run made the slots, so that no one else books in them.
    #[serde(default)]
    pub own_slots: bool,
    /// Whether a booking that has ended still has a row.
    pub ended_are_kept: bool,
}

/// What is known of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEvidence {
    /// How many changes it has.
    pub read: u64,
    /// Whether every change says how many seats it left.
    pub counts_seats: bool,
}

/// The changes that a log has.
#[derive(Debug)]
pub struct ReadLog {
    /// In the order of slots and versions.
    pub records: Vec<AuditRecord>,
    /// What is known of them.
    pub evidence: LogEvidence,
    /// Why they are not all that there must be.
    pub problem: Option<String>,
}

/// Where the rows of a run are read.
#[derive(Debug, Clone, Copy)]
pub struct TargetRows<'a> {
    /// The target.
    pub target: &'a FileTarget,
    /// Connections to it.
    pub http: &'a Connections,
    /// The slots of the run.
    pub places: &'a [Place],
}

impl TargetRows<'_> {
    /// The bookings that are there before the run: they are not its own. None are, of slots that
    /// the run has made.
    ///
    /// # Errors
    /// The rows cannot be read, in words.
    pub async fn before(&self) -> Result<BTreeSet<String>, String> {
        // Whether they can be read at all is better known before the load than after it.
        self.log(&[]).await?;
        if !self.target.finds_slots() {
            self.read(&[], &HashSet::new()).await?;
            return Ok(BTreeSet::new());
        }
        let rows = self.read(&[], &HashSet::new()).await?.unwrap_or_default();
        Ok(rows.into_iter().map(|row| row.booking).collect())
    }

    /// How many of the rows are holds.
    ///
    /// # Errors
    /// The rows cannot be read, in words.
    pub async fn pending(&self, bookings: &[(usize, String)]) -> Result<usize, String> {
        let rows = self.read(bookings, &HashSet::new()).await?.unwrap_or_default();
        Ok(rows.iter().filter(|row| row.status == BookingStatus::Pending).count())
    }

    /// The end state that the rows show. `bookings` are those that clients were told of, with the
    /// index of their slot.
    ///
    /// # Errors
    /// The rows cannot be read, in words.
    pub async fn end_state(
        &self,
        before: &BTreeSet<String>,
        bookings: &[(usize, String)],
        keys: &HashSet<String>,
        read_ns: u64,
    ) -> Result<Option<(EndState, RowsEvidence)>, String> {
        let Some(of) = &self.target.rows else { return Ok(None) };
        let mut rows = self.read(bookings, keys).await?.unwrap_or_default();
        rows.retain(|row| !before.contains(&row.booking));
        rows.sort_unstable_by(|one, other| one.booking.cmp(&other.booking));
        let known = |booking: &String| rows.iter().any(|row| row.booking == *booking);
        // Where ended bookings have no row, none may be left of all.
        let may_be_empty = !of.ended_are_kept && rows.is_empty();
        let none_known = !bookings.iter().any(|(_, booking)| known(booking));
        if !bookings.is_empty() && none_known && !may_be_empty {
            return Err(format!(
                "none of the {} bookings that clients were told of is among the {} rows of these \
                 slots; see that the columns booking and slot are the ids of the API, as it writes \
                 them",
                bookings.len(),
                rows.len()
            ));
        }
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].booking == pair[1].booking) {
            return Err(format!(
                "booking {} has two rows; write one row for each booking, with the sum of its seats",
                pair[0].booking
            ));
        }
        let keyed = rows.iter().any(|row| row.key.is_some());
        let all_keyed = keyed && rows.iter().all(|row| row.key.is_some());
        let own_slots = !self.target.finds_slots();
        let evidence = RowsEvidence {
            read: rows.len() as u64,
            all: of.are_all(),
            keyed,
            own_slots,
            ended_are_kept: of.ended_are_kept,
        };
        let foreign = ForeignRows {
            ended_are_kept: of.ended_are_kept,
            by_key: of.are_all() && of.ended_are_kept && all_keyed,
            own_slots,
        };
        let end = EndState {
            read_ns: Some(read_ns),
            slots: Vec::new(),
            bookings: rows,
            announced: None,
            foreign: Some(foreign),
        };
        Ok(Some((end, evidence)))
    }

    /// The changes of the run's slots; `None` where the file does not say where they are. `bookings`
    /// are those that clients were told of.
    ///
    /// # Errors
    /// The log cannot be read, in words.
    pub async fn log(&self, bookings: &[(usize, String)]) -> Result<Option<ReadLog>, String> {
        let Some(log) = &self.target.log else { return Ok(None) };
        let listed = match &log.source {
            Source::Http(list) => self.target.listed(self.http, list, self.places, &[]).await?,
            Source::Sql(query) => sql::read(query, sql::LOG).await?,
        };
        let capacity = |place: &Place| (place.slot_name(), i64::from(place.capacity()));
        let capacities = self.places.iter().map(capacity).collect();
        let records = log.records(&listed, &capacities)?;
        let logged: HashSet<&str> = records.iter().map(|record| &*record.booking).collect();
        let mut missing = bookings.iter().filter(|(_, it)| !logged.contains(&**it));
        let problem = missing.next().map(|(_, booking)| {
            format!(
                "the log has {} changes of these slots, and none of booking {booking}, nor of {} \
                 others that clients were told of; see that booking and slot are the ids of the API, \
                 as it writes them, and that all pages are read",
                records.len(),
                missing.count()
            )
        });
        let counts_seats = log.counts_seats(&listed);
        let evidence = LogEvidence { read: records.len() as u64, counts_seats };
        Ok(Some(ReadLog { records, evidence, problem }))
    }

    /// The rows of the run's slots; `None` where the file does not say where they are.
    /// Those with a key of the run are, whatever slot they name.
    async fn read(
        &self,
        bookings: &[(usize, String)],
        keys: &HashSet<String>,
    ) -> Result<Option<Vec<BookingRow>>, String> {
        let Some(rows) = &self.target.rows else { return Ok(None) };
        let listed = match &rows.source {
            Source::Http(list) => {
                self.target.listed(self.http, list, self.places, bookings).await?
            }
            Source::Sql(query) => sql::read(query, sql::ROWS).await?,
        };
        let mut read = listed.iter().map(|of| rows.row(of)).collect::<Result<Vec<_>, _>>()?;
        let slots: BTreeSet<String> = self.places.iter().map(Place::slot_name).collect();
        let of_the_run = |row: &BookingRow| row.key.as_ref().is_some_and(|it| keys.contains(it));
        read.retain(|row| slots.contains(&row.slot) || of_the_run(row));
        if let Source::Http(list) = &rows.source
            && list.each == RowsEach::Booking
        {
            // A booking that is asked for twice is one booking.
            read.sort_unstable_by(|one, other| one.booking.cmp(&other.booking));
            read.dedup();
        }
        Ok(Some(read))
    }
}
