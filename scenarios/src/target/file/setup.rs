//! What is made before a load and taken away after it: slots, the things of clients and visits, and
//! the teardown.

use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;

use super::{
    at::At,
    capture::{Capture, Captures, captured},
    compile::FileTarget,
    exchange::Exchanged,
    format::{Each, Meaning, TeardownEach},
    request::RequestTemplate,
    scope::{self, Place, PlaceNames, Scope, object},
};

/// Slots that are made at once.
const SLOTS_AT_ONCE: usize = 16;

/// What keeps a target from being used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The file is wrong; the text says where.
    #[error("{0}")]
    File(String),
    /// The API did not answer a request of the setup, or refused it.
    #[error("{0}")]
    Setup(String),
    /// Connections cannot be made.
    #[error("failed to prepare connections: {0}")]
    Connections(#[from] reqwest::Error),
}

/// A request that is made before the load, or before an operation.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) each: Each,
    pub(super) request: RequestTemplate,
    pub(super) captures: Captures,
    pub(super) line: usize,
}

/// A request that is made after the run.
#[derive(Debug)]
pub(super) struct Teardown {
    pub(super) each: TeardownEach,
    pub(super) request: RequestTemplate,
    pub(super) line: usize,
}

/// Where slots come from.
#[derive(Debug)]
pub(super) enum Slots {
    /// The setup makes them.
    Made,
    /// They exist, and the file lists them.
    Given(Vec<Map<String, Value>>),
    /// They exist, and a request lists them.
    Found(Box<SlotList>),
}

#[derive(Debug)]
pub(super) struct SlotList {
    pub(super) request: RequestTemplate,
    pub(super) items: At,
    pub(super) captures: Vec<(String, Capture)>,
    pub(super) line: usize,
}

/// The slots of a run, and the requests that prepared them.
#[derive(Debug)]
pub struct Prepared {
    /// One place for each slot.
    pub places: Vec<Place>,
    /// Every request, in order.
    pub exchanges: Vec<Exchanged>,
}

impl FileTarget {
    /// Whether the slots were there before the run, with bookings of others perhaps.
    pub fn finds_slots(&self) -> bool {
        !matches!(self.slots, Slots::Made)
    }

    /// Prepares slots by the setup requests of the file: of so many seats, where the setup makes
    /// them.
    ///
    /// # Errors
    /// A setup request that was not answered with a success, or whose captures are missing; fewer
    /// slots than are wanted.
    pub async fn prepare(
        &self,
        http: &reqwest::Client,
        run: &str,
        capacities: &[u32],
    ) -> Result<Prepared, TargetError> {
        let mut of_run = Map::from_iter([("id".to_owned(), Value::String(run.to_owned()))]);
        let mut exchanges = Vec::new();
        for setup in self.setup.iter().filter(|setup| setup.each == Each::Run) {
            let place = Place { run: of_run.clone(), slot: Map::new() };
            let names = [("run", object(&place.run))];
            of_run.extend(self.set_up(http, setup, names, &mut exchanges).await?);
        }
        let slots = match &self.slots {
            Slots::Made => made(capacities)?,
            Slots::Given(slots) => slots.clone(),
            Slots::Found(list) => self.find_slots(http, list, &of_run, &mut exchanges).await?,
        };
        if slots.len() < capacities.len() {
            return Err(TargetError::Setup(format!(
                "the API has {} slots with free seats, and {} are asked for; use --slots {}",
                slots.len(),
                capacities.len(),
                slots.len().max(1)
            )));
        }
        let slots = slots.into_iter().take(capacities.len()).enumerate();
        let set_up = slots.map(|(number, slot)| self.set_up_slot(http, &of_run, number, slot));
        let mut set_up = futures::stream::iter(set_up).buffered(SLOTS_AT_ONCE);
        let mut places = Vec::new();
        while let Some((place, of_slot)) = set_up.try_next().await? {
            places.push(place);
            exchanges.extend(of_slot);
        }
        Ok(Prepared { places, exchanges })
    }

    async fn set_up_slot(
        &self,
        http: &reqwest::Client,
        of_run: &Map<String, Value>,
        number: usize,
        slot: Map<String, Value>,
    ) -> Result<(Place, Vec<Exchanged>), TargetError> {
        let mut place = Place { run: of_run.clone(), slot };
        if place.capacity() == 0 {
            return Err(TargetError::Setup(format!(
                "slot {number} has the capacity {}, and a number of seats above 0 is needed",
                place.slot.get("capacity").unwrap_or(&Value::Null)
            )));
        }
        place.slot.insert("number".to_owned(), number.into());
        let mut exchanges = Vec::new();
        for setup in self.setup.iter().filter(|setup| setup.each == Each::Slot) {
            let names = [("run", object(&place.run)), ("slot", object(&place.slot))];
            let captured = self.set_up(http, setup, names, &mut exchanges).await?;
            place.slot.extend(captured);
        }
        Ok((place, exchanges))
    }

    async fn find_slots(
        &self,
        http: &reqwest::Client,
        list: &SlotList,
        of_run: &Map<String, Value>,
        exchanges: &mut Vec<Exchanged>,
    ) -> Result<Vec<Map<String, Value>>, TargetError> {
        let at =
            |reason: String| TargetError::Setup(format!("[slots] on line {}: {reason}", list.line));
        let context = self.context([("run", object(of_run))]);
        let sent = self.send(self.by(http), &list.request, &context, None, true).await;
        let sent = sent.map_err(at)?;
        let (exchanged, received) = (sent.exchanged, sent.received);
        let json = match received {
            Ok(received) if (200..300).contains(&received.status) => received.json,
            _ => None,
        };
        let json = json.ok_or_else(|| {
            at(format!("{} gave no list: {}", exchanged.request, exchanged.received))
        })?;
        exchanges.push(exchanged);
        let mut slots = Vec::new();
        for item in list.items.all(&json) {
            let mut slot = Map::new();
            for (name, capture) in &list.captures {
                let value = capture.of_json(Some(item)).ok_or_else(|| {
                    at(format!("an item has no {name}: its path matches nothing in {item}"))
                })?;
                slot.insert(name.clone(), value);
            }
            slots.push(slot);
        }
        Ok(slots)
    }

    async fn set_up<const N: usize>(
        &self,
        http: &reqwest::Client,
        setup: &Setup,
        names: [(&'static str, minijinja::Value); N],
        exchanges: &mut Vec<Exchanged>,
    ) -> Result<Map<String, Value>, TargetError> {
        let at = |reason: String| {
            TargetError::Setup(format!("[[setup]] on line {}: {reason}", setup.line))
        };
        let context = self.context(names);
        self.limits.turn().await;
        let sent = self.send(self.by(http), &setup.request, &context, None, true).await;
        let sent = sent.map_err(at)?;
        let mut exchanged = sent.exchanged;
        let Ok(received) = sent.received else {
            return Err(at(format!("{}: {}", exchanged.request, exchanged.received)));
        };
        if !(200..300).contains(&received.status) {
            return Err(at(format!(
                "{} was answered {}: {}",
                exchanged.request, received.status, exchanged.received
            )));
        }
        exchanged.matched = Some((Meaning::Ok, setup.line));
        let captured = captured(&setup.captures, &received);
        if let Some((name, _)) =
            setup.captures.iter().find(|(name, _)| !captured.contains_key(name))
        {
            return Err(at(format!(
                "the answer has no {name}: its path matches nothing in {}",
                exchanged.received
            )));
        }
        exchanges.push(exchanged);
        Ok(captured)
    }

    /// The values of a client: made once, by the setup of each client.
    pub(super) async fn client_names(
        &self,
        http: &reqwest::Client,
        scope: Scope<'_>,
    ) -> Result<minijinja::Value, TargetError> {
        let made = || async {
            let mut client = Map::from_iter([("number".to_owned(), scope.client.into())]);
            for setup in self.setup.iter().filter(|setup| setup.each == Each::Client) {
                let names = [("run", scope.place.run.clone()), ("client", object(&client))];
                client.extend(self.set_up(http, setup, names, &mut Vec::new()).await?);
            }
            Ok(object(&client))
        };
        scope.session.client.get_or_try_init(made).await.cloned()
    }

    /// The values of a visit, by the setup of each visit.
    pub(super) async fn visit_names(
        &self,
        http: &reqwest::Client,
        scope: Scope<'_>,
        client: &minijinja::Value,
    ) -> Result<minijinja::Value, TargetError> {
        if !self.setup.iter().any(|setup| setup.each == Each::Visit) {
            return Ok(scope::nothing());
        }
        let mut visit = Map::new();
        for setup in self.setup.iter().filter(|setup| setup.each == Each::Visit) {
            let names = [
                ("run", scope.place.run.clone()),
                ("slot", scope.place.slot.clone()),
                ("client", client.clone()),
                ("visit", object(&visit)),
            ];
            visit.extend(self.set_up(http, setup, names, &mut Vec::new()).await?);
        }
        Ok(object(&visit))
    }

    /// Whether the file says how to take away what a run has made.
    pub fn has_teardown(&self) -> bool {
        !self.teardown.is_empty()
    }

    /// Takes away what the run has made: bookings first, then slots, then the rest, each in the
    /// order of the file. A request that fails does not keep the next from being sent. Answers with
    /// the number of requests, and with the first that failed.
    pub async fn tear_down(
        &self,
        http: &reqwest::Client,
        places: &[Place],
        bookings: &[(usize, String)],
    ) -> (usize, Option<String>) {
        let places: Vec<PlaceNames> = places.iter().map(Place::names).collect();
        let (mut sent, mut failed) = (0, None);
        for each in [TeardownEach::Booking, TeardownEach::Slot, TeardownEach::Run] {
            for teardown in self.teardown.iter().filter(|it| it.each == each) {
                let scopes: Vec<(Option<&PlaceNames>, Option<&str>)> = match each {
                    TeardownEach::Booking => bookings
                        .iter()
                        .map(|(place, booking)| (places.get(*place), Some(booking.as_str())))
                        .collect(),
                    TeardownEach::Slot => places.iter().map(|place| (Some(place), None)).collect(),
                    TeardownEach::Run => vec![(places.first(), None)],
                };
                for (place, booking) in scopes {
                    sent += 1;
                    if let Err(error) = self.take_away(http, teardown, place, booking).await {
                        failed.get_or_insert(format!(
                            "[[teardown]] on line {}: {error}",
                            teardown.line
                        ));
                    }
                }
            }
        }
        (sent, failed)
    }

    async fn take_away(
        &self,
        http: &reqwest::Client,
        teardown: &Teardown,
        place: Option<&PlaceNames>,
        booking: Option<&str>,
    ) -> Result<(), String> {
        let place = place.cloned();
        let of = |it: Option<minijinja::Value>| it.unwrap_or(minijinja::Value::UNDEFINED);
        let context = self.context([
            ("run", of(place.as_ref().map(|it| it.run.clone()))),
            ("slot", of(place.map(|it| it.slot))),
            ("booking", of(booking.map(minijinja::Value::from))),
        ]);
        self.limits.turn().await;
        let sent = self.send(self.by(http), &teardown.request, &context, None, true).await?;
        match sent.exchanged.status {
            // What is gone already needs no taking away.
            Some(200..300 | 404 | 410) => Ok(()),
            _ => Err(format!("{}: {}", sent.exchanged.request, sent.exchanged.received)),
        }
    }
}

/// Slots that are to be made: a quarter of an hour each, from tomorrow on.
fn made(capacities: &[u32]) -> Result<Vec<Map<String, Value>>, TargetError> {
    let tomorrow = time::OffsetDateTime::now_utc().date().next_day().unwrap_or(time::Date::MAX);
    let slot = |(number, capacity): (u32, &u32)| {
        let starts_at = tomorrow.midnight().assume_utc() + time::Duration::minutes(15) * number;
        let starts_at =
            starts_at.format(&Rfc3339).map_err(|error| TargetError::Setup(error.to_string()))?;
        Ok(Map::from_iter([
            ("capacity".to_owned(), (*capacity).into()),
            ("starts_at".to_owned(), starts_at.into()),
        ]))
    };
    (0_u32..).zip(capacities).map(slot).collect()
}
