//! The log: every change of every booking that an API keeps, read after a run.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use slotproof_vocabulary::{AuditRecord, BookingStatus};

use super::rows::{Item, Source};

/// Where the changes of bookings are read after the run.
#[derive(Debug)]
pub struct Log {
    /// How.
    pub source: Source,
    /// What each of their words for a status is.
    pub(super) statuses: BTreeMap<String, BookingStatus>,
}

impl Log {
    /// The changes in these slots, in the order of slots and versions, of what a query or a list
    /// says. `capacities` are the seats of each slot, by its name. The status before a change is
    /// that of the booking's last one; seats left that are not said are those that bookings do not
    /// take.
    ///
    /// # Errors
    /// Says what is missing or not understood.
    pub fn records(
        &self,
        listed: &[Map<String, Value>],
        capacities: &BTreeMap<String, i64>,
    ) -> Result<Vec<AuditRecord>, String> {
        let changes = listed.iter().map(|of| self.change(of));
        let mut changes = changes.collect::<Result<Vec<_>, _>>()?;
        changes.retain(|change| capacities.contains_key(&change.record.slot));
        changes.sort_by(|one, other| {
            let place = |it: &Change| (it.record.slot.clone(), it.record.version);
            place(one).cmp(&place(other))
        });
        let of_one_slot = |one: &Change, other: &Change| one.record.slot == other.record.slot;
        Ok(changes.chunk_by(of_one_slot).flat_map(|slot| replayed(slot, capacities)).collect())
    }

    /// Whether each of them says how many seats it left.
    pub fn counts_seats(&self, listed: &[Map<String, Value>]) -> bool {
        listed.iter().all(|of| !of.get("available").unwrap_or(&Value::Null).is_null())
    }

    fn change(&self, of: &Map<String, Value>) -> Result<Change, String> {
        let item = Item { what: "a change", of };
        let record = AuditRecord {
            slot: item.text("slot")?,
            version: item.integer("version")?,
            booking: item.text("booking")?,
            from: None,
            to: item.status(&self.statuses, "[log.status]")?,
            seats: item.integer("seats")?,
            available: 0,
        };
        let available = match of.get("available") {
            None | Some(Value::Null) => None,
            Some(_) => Some(item.integer("available")?),
        };
        Ok(Change { record, available })
    }
}

/// A change, and the seats that it says were left.
#[derive(Clone)]
struct Change {
    record: AuditRecord,
    available: Option<i64>,
}

fn replayed(slot: &[Change], capacities: &BTreeMap<String, i64>) -> Vec<AuditRecord> {
    let mut before: HashMap<String, (BookingStatus, i64)> = HashMap::new();
    let mut taken = 0;
    let seats_of = |status: BookingStatus, seats| if status.takes_seats() { seats } else { 0 };
    let replay = |Change { mut record, available }: Change| {
        let was = before.insert(record.booking.clone(), (record.to, record.seats));
        taken += seats_of(record.to, record.seats);
        taken -= was.map_or(0, |(status, seats)| seats_of(status, seats));
        record.from = was.map(|(status, _)| status);
        record.available = available.unwrap_or(capacities[&record.slot] - taken);
        record
    };
    slot.iter().cloned().map(replay).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_does_not_say_follows_from_those_before_it() {
        use BookingStatus::{Cancelled, Pending};
        let statuses = [("held", Pending), ("gone", Cancelled)];
        let statuses = statuses.map(|(word, status)| (word.to_owned(), status)).into();
        let source =
            Source::Sql(super::super::SqlList { url: String::new(), query: String::new() });
        let log = Log { source, statuses };
        let listed: Vec<Map<String, Value>> = serde_json::from_str(
            r#"[
                {"slot": "s", "version": 2, "booking": "b", "status": "held", "seats": 1},
                {"slot": "s", "version": 1, "booking": "a", "status": "held", "seats": 2},
                {"slot": "s", "version": "3", "booking": "a", "status": "gone", "seats": 2, "available": 7},
                {"slot": "t", "version": 1, "booking": "c", "status": "held", "seats": 1}
            ]"#,
        )
        .expect("JSON");
        let capacities = BTreeMap::from([("s".to_owned(), 5)]);
        let records = log.records(&listed, &capacities).expect("they are understood");
        let said: Vec<_> =
            records.iter().map(|it| (it.version, it.from, it.to, it.available)).collect();
        assert_eq!(
            said,
            [(1, None, Pending, 3), (2, None, Pending, 2), (3, Some(Pending), Cancelled, 7)]
        );

        let strange = listed[0].clone().into_iter().map(|(name, value)| match &*name {
            "status" => (name, "lost".into()),
            _ => (name, value),
        });
        let error = log.records(&[strange.collect()], &capacities).expect_err("no status");
        assert!(error.contains("\"lost\", which [log.status] does not name"), "{error}");
        assert!(!log.counts_seats(&listed) && log.counts_seats(&listed[2..3]));
        let uncounted = listed[2].clone().into_iter().map(|(name, value)| match &*name {
            "available" => (name, "many".into()),
            _ => (name, value),
        });
        let error = log.records(&[uncounted.collect()], &capacities).expect_err("no number");
        assert!(error.contains("a change has no available"), "{error}");
        let error = log.records(&[Map::new()], &capacities).expect_err("nothing");
        assert!(error.contains("a change has no slot"), "{error}");
    }
}
