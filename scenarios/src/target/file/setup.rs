//! What is made before a load and taken away after it: slots, the things of clients and visits, and
//! the teardown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use serde_json::{Map, Value};

use super::{
    at::At,
    capture::{Capture, Captures, captured},
    compile::FileTarget,
    exchange::Exchanged,
    format::{Each, Meaning, TeardownEach},
    made_slots::made,
    request::RequestTemplate,
    scope::{self, Place, PlaceNames, Scope, object},
};
use crate::connections::Connections;

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

/// What the setup has made so far, which the teardown takes away: also of a setup that fails or is
/// interrupted halfway.
#[derive(Debug, Clone, Default)]
pub struct SetUp(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    /// The names of the run, once a request has made something for it.
    run: Option<Map<String, Value>>,
    /// Slots by their number.
    places: BTreeMap<usize, Place>,
}

impl SetUp {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slots, in the order of their numbers.
    pub fn places(&self) -> Vec<Place> {
        self.parts().places.values().cloned().collect()
    }

    /// Where the run itself is: at the first slot, or at none.
    fn of_run(&self) -> Option<Place> {
        let parts = self.parts();
        let alone = || Some(Place { run: parts.run.clone()?, slot: Map::new() });
        parts.places.values().next().cloned().or_else(alone)
    }

    fn add(&self, number: usize, place: &Place) {
        self.parts().places.insert(number, place.clone());
    }
}

impl FileTarget {
    /// Whether the slots were there before the run, with bookings of others perhaps.
    pub fn finds_slots(&self) -> bool {
        !matches!(self.slots, Slots::Made)
    }

    /// Prepares slots by the setup requests of the file: of so many seats, where the setup makes
    /// them. `set_up` is told of each thing as soon as it is there.
    ///
    /// # Errors
    /// A setup request that was not answered with a success, or whose captures are missing; fewer
    /// slots than are wanted.
    pub async fn prepare(
        &self,
        http: &Connections,
        run: &str,
        capacities: &[u32],
        set_up: &SetUp,
    ) -> Result<Prepared, TargetError> {
        let mut of_run = Map::from_iter([("id".to_owned(), Value::String(run.to_owned()))]);
        let mut exchanges = Vec::new();
        for setup in self.setup.iter().filter(|setup| setup.each == Each::Run) {
            let place = Place { run: of_run.clone(), slot: Map::new() };
            let names = [("run", object(&place.run))];
            of_run.extend(self.set_up(http, setup, names, &mut exchanges).await?);
            set_up.parts().run = Some(of_run.clone());
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
        let (places, of_slots) = self.set_up_slots(http, &of_run, slots, set_up).await?;
        exchanges.extend(of_slots);
        Ok(Prepared { places, exchanges })
    }

    /// After a request that fails no more slots are begun; those that are begun are ended, so that
    /// they are known to the teardown.
    async fn set_up_slots(
        &self,
        http: &Connections,
        of_run: &Map<String, Value>,
        slots: impl Iterator<Item = (usize, Map<String, Value>)>,
        set_up: &SetUp,
    ) -> Result<(Vec<Place>, Vec<Exchanged>), TargetError> {
        let failed = Mutex::new(None);
        let failure = || failed.lock().unwrap_or_else(PoisonError::into_inner);
        let each = slots.map(async |(number, slot)| {
            if failure().is_some() {
                return None;
            }
            match self.set_up_slot(http, of_run, number, slot, set_up).await {
                Ok(done) => Some(done),
                Err(error) => {
                    failure().get_or_insert(error);
                    None
                }
            }
        });
        let done: Vec<_> = futures::stream::iter(each).buffered(SLOTS_AT_ONCE).collect().await;
        if let Some(error) = failure().take() {
            return Err(error);
        }
        let (places, exchanges): (Vec<Place>, Vec<Vec<Exchanged>>) =
            done.into_iter().flatten().unzip();
        Ok((places, exchanges.into_iter().flatten().collect()))
    }

    async fn set_up_slot(
        &self,
        http: &Connections,
        of_run: &Map<String, Value>,
        number: usize,
        slot: Map<String, Value>,
        set_up: &SetUp,
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
            set_up.add(number, &place);
        }
        // One that no request of the setup is about.
        set_up.add(number, &place);
        Ok((place, exchanges))
    }

    async fn find_slots(
        &self,
        http: &Connections,
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
        http: &Connections,
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
        http: &Connections,
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
        http: &Connections,
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
        http: &Connections,
        set_up: &SetUp,
        bookings: &[(usize, String)],
    ) -> (usize, Option<String>) {
        let places: Vec<PlaceNames> = set_up.places().iter().map(Place::names).collect();
        let of_run = set_up.of_run().map(|place| place.names());
        let (mut sent, mut failed) = (0, None);
        for each in [TeardownEach::Booking, TeardownEach::Slot, TeardownEach::Run] {
            for teardown in self.teardown.iter().filter(|it| it.each == each) {
                let scopes: Vec<(Option<&PlaceNames>, Option<&str>)> = match each {
                    TeardownEach::Booking => bookings
                        .iter()
                        .map(|(place, booking)| (places.get(*place), Some(booking.as_str())))
                        .collect(),
                    TeardownEach::Slot => places.iter().map(|place| (Some(place), None)).collect(),
                    TeardownEach::Run => of_run.iter().map(|place| (Some(place), None)).collect(),
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
        http: &Connections,
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// An API that makes slots, but not the one with the number 3; the paths that it was asked to
    /// take away.
    async fn calendar() -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let taken_away = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&taken_away);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let noted = Arc::clone(&noted);
                tokio::spawn(async move {
                    let mut request = [0; 4_096];
                    while let Ok(read @ 1..) = stream.read(&mut request).await {
                        let text = String::from_utf8_lossy(&request[..read]).into_owned();
                        let mut words = text.split(' ');
                        let (method, path) = (words.next(), words.next().unwrap_or_default());
                        if method == Some("DELETE") {
                            noted.lock().expect("one at a time").push(path.to_owned());
                        }
                        let refused = path == "/calendars/c/slots/3";
                        let status = if refused { "500 no" } else { "200 OK" };
                        let body = r#"{"id":"c"}"#;
                        let answer =
                            format!("HTTP/1.1 {status}\r\ncontent-length: 10\r\n\r\n{body}");
                        stream.write_all(answer.as_bytes()).await.expect("a client");
                    }
                });
            }
        });
        (format!("http://{address}"), taken_away)
    }

    #[tokio::test]
    async fn a_setup_that_fails_halfway_is_taken_away_as_far_as_it_went() {
        let text = r#"
[target]
name = "calendar"
base = "BASE"
[[setup]]
each = "run"
request = { method = "POST", path = "/calendars" }
capture = { calendar = "$.id" }
[[setup]]
each = "slot"
request = { method = "POST", path = "/calendars/{{ run.calendar }}/slots/{{ slot.number }}" }
capture = { id = "$.id" }
[[teardown]]
each = "slot"
request = { method = "DELETE", path = "/calendars/{{ run.calendar }}/slots/{{ slot.number }}" }
[[teardown]]
each = "run"
request = { method = "DELETE", path = "/calendars/{{ run.calendar }}" }
[claims]
hold_ms = 0
[[reserve.step]]
request = { method = "POST", path = "/bookings" }
answers = [{ status = 201, means = "ok", capture = { booking = "$.id" } }]
"#;
        let (base, taken_away) = calendar().await;
        let text = text.replace("BASE", &base);
        let target = FileTarget::parse(&text, Path::new(""), &[], |_| None).expect("a target");
        let (http, set_up) = (Connections::default(), SetUp::default());
        let failed = target.prepare(&http, "run", &[1; 40], &set_up).await;
        let said = failed.expect_err("one slot cannot be made").to_string();
        assert!(said.contains("slots/3 was answered 500"), "{said}");
        let (sent, failed) = target.tear_down(&http, &set_up, &[]).await;
        assert_eq!(failed, None);
        let taken_away = taken_away.lock().expect("nobody writes").clone();
        assert_eq!(
            (sent, taken_away.last().map(String::as_str)),
            (taken_away.len(), Some("/calendars/c"))
        );
        // The first three at least, not the fourth, and not those that were not begun.
        let slots = &taken_away[..taken_away.len() - 1];
        let slot = |number: u32| format!("/calendars/c/slots/{number}");
        assert!((0..3).all(|number| slots.contains(&slot(number))), "{slots:?}");
        assert!(!slots.contains(&slot(3)) && !slots.contains(&slot(39)), "{slots:?}");
    }
}
