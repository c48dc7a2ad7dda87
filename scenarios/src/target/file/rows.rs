//! Rows: the bookings that an API keeps, read after a run. How lists are read is here too, for the
//! log is one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use reqwest::Url;
use serde_json::{Map, Value};
use slotproof_vocabulary::{BookingRow, BookingStatus};

use super::{
    at::At,
    capture::{Capture, integer},
    compile::FileTarget,
    format::RowsEach,
    request::RequestTemplate,
    scope::{Place, PlaceNames},
};
use crate::connections::Connections;

/// Every status, by the name that it has where a file does not translate.
pub(super) const OWN_STATUSES: [BookingStatus; 5] = [
    BookingStatus::Pending,
    BookingStatus::Confirmed,
    BookingStatus::Cancelled,
    BookingStatus::Expired,
    BookingStatus::Failed,
];
/// Pages of one list. An API whose last page names a next one must not be read for ever.
const PAGES_MAX: usize = 100_000;

/// Where the bookings are read after the run.
#[derive(Debug)]
pub struct Rows {
    /// How.
    pub source: Source,
    /// Whether bookings that are cancelled or expired are among them.
    pub ended_are_kept: bool,
    /// What each of their words for a status is.
    pub(super) statuses: BTreeMap<String, BookingStatus>,
}

/// How bookings or their changes are read.
#[derive(Debug)]
pub enum Source {
    /// By a query.
    Sql(SqlList),
    /// By requests.
    Http(Box<HttpList>),
}

/// A query, with a role that can only read.
pub struct SqlList {
    /// The database, with user and password.
    pub url: String,
    /// For rows: columns `booking`, `slot`, `seats`, `status`, and perhaps `key`. For a log: `slot`,
    /// `version`, `booking`, `status`, `seats`, and perhaps `available`.
    pub query: String,
}

impl fmt::Debug for SqlList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SqlList").field("query", &self.query).finish_non_exhaustive()
    }
}

/// Requests that list bookings or their changes.
#[derive(Debug)]
pub struct HttpList {
    /// How often they are made.
    pub each: RowsEach,
    pub(super) request: RequestTemplate,
    pub(super) items: At,
    pub(super) next: Option<At>,
    pub(super) item: Vec<(String, Capture)>,
}

impl Rows {
    /// Whether a booking that no client was told of would be among them.
    pub fn are_all(&self) -> bool {
        match &self.source {
            Source::Sql(_) => true,
            Source::Http(list) => list.each != RowsEach::Booking,
        }
    }

    /// A booking, of what a query or a list says of it.
    ///
    /// # Errors
    /// Says what is missing or not understood.
    pub fn row(&self, of: &Map<String, Value>) -> Result<BookingRow, String> {
        let item = Item { what: "a booking", of };
        Ok(BookingRow {
            booking: item.text("booking")?,
            slot: item.text("slot")?,
            status: item.status(&self.statuses, "[rows.status]")?,
            seats: item.integer("seats")?,
            key: item.text("key").ok(),
            overdue_ms: None,
        })
    }
}

/// What a query or a list says of one thing.
pub(super) struct Item<'a> {
    pub(super) what: &'static str,
    pub(super) of: &'a Map<String, Value>,
}

impl Item<'_> {
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        match self.of.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => Err(self.lacks(name)),
        }
    }

    pub(super) fn integer(&self, name: &str) -> Result<i64, String> {
        self.of.get(name).and_then(integer).ok_or_else(|| self.lacks(name))
    }

    pub(super) fn status(
        &self,
        statuses: &BTreeMap<String, BookingStatus>,
        section: &str,
    ) -> Result<BookingStatus, String> {
        let word = self.text("status")?;
        statuses.get(&word).copied().ok_or_else(|| {
            format!(
                "{} has the status {word:?}, which {section} does not name; add it to pending, \
                 confirmed, cancelled, expired or failed",
                self.what
            )
        })
    }

    fn lacks(&self, name: &str) -> String {
        format!("{} has no {name}: {}", self.what, Value::Object(self.of.clone()))
    }
}

/// A key for a reserve, which no other reserve of this run or of another has: a UUID, because many
/// APIs take nothing else.
pub fn key(run: &str, client: u64, number: u64) -> String {
    let run = run.bytes().filter(u8::is_ascii_hexdigit).map(char::from);
    let run: String = run.chain(std::iter::repeat('0')).take(15).collect();
    // Version 8, whose bits are free, and the variant of RFC 9562.
    let (first, second, third) = (&run[..8], &run[8..12], &run[12..]);
    format!("{first}-{second}-8{third}-8{:03x}-{:04x}{:08x}", client >> 16, client & 0xffff, number)
}

impl FileTarget {
    /// What one of their words for a status is; ours, where the file translates none.
    pub(super) fn status(&self, word: &str) -> Option<BookingStatus> {
        match &self.rows {
            Some(rows) => rows.statuses.get(word).copied(),
            None => OWN_STATUSES.into_iter().find(|status| status.name() == word),
        }
    }

    /// The items that requests of the file list, of the slots of a run. `bookings` are those that
    /// clients were told of, with the index of their slot.
    ///
    /// # Errors
    /// A request that was not answered with a list.
    pub async fn listed(
        &self,
        http: &Connections,
        list: &HttpList,
        places: &[Place],
        bookings: &[(usize, String)],
    ) -> Result<Vec<Map<String, Value>>, String> {
        let names: Vec<PlaceNames> = places.iter().map(Place::names).collect();
        let slots: Vec<String> = places.iter().map(Place::slot_name).collect();
        let mut items = Vec::new();
        let scopes: Vec<(usize, Option<&str>)> = match list.each {
            RowsEach::Run => vec![(0, None)],
            RowsEach::Slot => (0..places.len()).map(|place| (place, None)).collect(),
            RowsEach::Booking => {
                bookings.iter().map(|(place, booking)| (*place, Some(booking.as_str()))).collect()
            }
        };
        for (place, booking) in scopes {
            let Some(names) = names.get(place) else { continue };
            for mut of in self.pages(http, list, names, booking).await? {
                // A list of one slot need not say which.
                if list.each != RowsEach::Run && !of.contains_key("slot") {
                    of.insert("slot".to_owned(), slots[place].clone().into());
                }
                items.push(of);
            }
        }
        Ok(items)
    }

    async fn pages(
        &self,
        http: &Connections,
        list: &HttpList,
        place: &PlaceNames,
        booking: Option<&str>,
    ) -> Result<Vec<Map<String, Value>>, String> {
        let context = self.context([
            ("run", place.run.clone()),
            ("slot", place.slot.clone()),
            ("booking", booking.map_or(minijinja::Value::UNDEFINED, Into::into)),
        ]);
        let mut items = Vec::new();
        self.limits.turn().await;
        let to = self.by(http);
        let mut sent = self.send(to, &list.request, &context, None, true).await?;
        let mut asked = BTreeSet::from_iter(sent.url.clone());
        for _ in 0..PAGES_MAX {
            let said = || format!("{}: {}", sent.exchanged.request, sent.exchanged.received);
            let json = match &sent.received {
                // A booking that a client was told of, and that is not there: it has no row.
                Ok(received) if booking.is_some() && [404, 410].contains(&received.status) => {
                    return Ok(items);
                }
                Ok(received) if (200..300).contains(&received.status) => received.json.as_ref(),
                _ => None,
            };
            let json = json.ok_or_else(|| format!("no list came of {}", said()))?;
            for item in list.items.all(json) {
                let value = |(name, capture): &(String, Capture)| {
                    Some((name.clone(), capture.of_json(Some(item))?))
                };
                items.push(list.item.iter().filter_map(value).collect());
            }
            let next = list.next.as_ref().and_then(|next| next.first(json));
            let next = match next {
                None | Some(Value::Null) => return Ok(items),
                Some(Value::String(next)) if next.is_empty() => return Ok(items),
                Some(Value::String(next)) => next,
                Some(other) => {
                    return Err(format!(
                        "the next page is {other}, not a URL; next must lead to a URL or to nothing"
                    ));
                }
            };
            let page = self.page(sent.url.as_ref(), next)?;
            if !asked.insert(page.clone()) {
                return Err(format!(
                    "{page} is the next page of itself or of an earlier one; see next of the list"
                ));
            }
            let page = RequestTemplate::get(page);
            self.limits.turn().await;
            sent = self.send(to, &page, &context, None, true).await?;
        }
        Err(format!("the list has more than {PAGES_MAX} pages"))
    }

    /// The URL of a next page, which stays on the API's own host.
    fn page(&self, of: Option<&Url>, next: &str) -> Result<Url, String> {
        let base = Url::parse(&self.base_url).map_err(|error| error.to_string())?;
        let url = of
            .unwrap_or(&base)
            .join(next)
            .map_err(|error| format!("the next page {next:?}: {error}"))?;
        if url.origin() != base.origin() {
            return Err(format!(
                "the next page {next:?} is on another host than {}",
                self.base_url
            ));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_uuids_that_tell_runs_clients_and_reserves_apart() {
        let run = "0f8fad5bd9cb469fa16570867728950e";
        assert_eq!(key(run, 5, 9), "0f8fad5b-d9cb-8469-8000-000500000009");
        assert_eq!(key(run, 0x12_3456, 9), "0f8fad5b-d9cb-8469-8012-345600000009");
        assert_ne!(key("1f8fad5b", 5, 9), key(run, 5, 9));
        assert_eq!(key(run, 1, 1).len(), 36);
    }
}
