//! Maps Booking v3.

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    http::post,
    started::{Started, program, until},
};

/// A bug that needs requests at the same moment is looked for so often.
const ROUNDS_MAX: u32 = 20;

struct Partner<'a> {
    maps: &'a Started,
    authorization: String,
}

impl<'a> Partner<'a> {
    fn new(maps: &'a Started) -> Self {
        let login = STANDARD.encode(format!("slotproof:{}", maps.get("MAPS_PASSWORD")));
        Self { maps, authorization: format!("Basic {login}") }
    }

    async fn call(&self, path: &str, json: Value) -> Value {
        let url = format!("{}{path}", self.maps.get("MAPS_URL"));
        let answer = post(&url, &[("Authorization", &self.authorization)], &json).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json
    }

    async fn feed(&self, service: &str, spots: u32) {
        let line = json!({ "service_id": service, "start_sec": 60, "spots_total": spots });
        self.call("/admin/feed", json!({ "availability": [line] })).await;
    }

    async fn create(&self, service: &str, token: &str, party: u32) -> Value {
        let body = json!({
            "slot": slot(service, party),
            "user_information": { "user_id": "me", "email": format!("{token}@example.org") },
            "idempotency_token": token,
        });
        self.call("/v3/CreateBooking", body).await
    }

    async fn cancel(&self, id: &Value) -> Value {
        let booking = json!({ "booking_id": id, "status": "CANCELED" });
        self.call("/v3/UpdateBooking", json!({ "booking": booking })).await["booking"].clone()
    }

    async fn free(&self, service: &str) -> Value {
        let body = json!({ "slot": slot(service, 1) });
        self.call("/v3/CheckAvailability", body).await["count_available"].clone()
    }

    async fn emails(&self) -> Vec<String> {
        let list = self.call("/v3/ListBookings", json!({ "user_id": "me" })).await;
        let bookings = list["bookings"].as_array().expect("bookings");
        let email =
            |booking: &Value| booking["user_information"]["email"].as_str().map(str::to_owned);
        bookings.iter().filter_map(email).collect()
    }
}

fn slot(service: &str, party: u32) -> Value {
    json!({ "service_id": service, "start_sec": 60, "resources": { "party_size": party } })
}

fn is_full(answer: &Value) -> bool {
    answer["booking_failure"]["cause"] == "SLOT_UNAVAILABLE"
}

#[tokio::test]
async fn the_honest_one_through_its_whole_life() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let arguments = ["maps", "--journal", journal.to_str().expect("a path")];
    // Killed, it cannot delete its files: they are here.
    let mut command = program();
    let mut maps = Started::of(command.args(arguments).env("TMPDIR", directory.path()));
    let partner = Partner::new(&maps);
    partner.feed("cut", 3).await;

    let first = partner.create("cut", "first", 2).await;
    assert_eq!(first["booking"]["status"], "CONFIRMED");
    assert_eq!(partner.create("cut", "first", 2).await, first, "one for its token");
    assert!(is_full(&partner.create("cut", "second", 2).await));
    assert_eq!(partner.free("cut").await, 1);
    let body = json!({ "service_id": "cut", "slot_time": [{ "start_sec": 60 }] });
    let lookup = partner.call("/v3/BatchAvailabilityLookup", body).await;
    assert_eq!(lookup["slot_time_availability"][0]["available"], true);

    let id = &first["booking"]["booking_id"];
    for _ in 0..2 {
        assert_eq!(partner.cancel(id).await["status"], "CANCELED", "again is well");
    }
    assert_eq!(partner.free("cut").await, 3, "its seats came back once");
    let second = partner.create("cut", "second", 2).await;
    assert_eq!(second["booking"]["status"], "CONFIRMED", "a refusal is not kept");

    partner.feed("shave", 10).await;
    let tokens: Vec<_> = (0..200).map(|number| format!("racer-{number}")).collect();
    let answers = join_all(tokens.iter().map(|token| partner.create("shave", token, 1))).await;
    assert_eq!(answers.iter().filter(|answer| is_full(answer)).count(), 190);

    let before = partner.emails().await;
    maps.signal(Signal::KILL);
    maps.wait();
    let maps = Started::new(&arguments);
    let partner = Partner::new(&maps);
    assert_eq!(partner.emails().await, before, "what was acknowledged is in the journal");
    assert_eq!((partner.free("cut").await, partner.free("shave").await), (json!(1), json!(0)));
    assert_eq!(partner.create("cut", "second", 2).await, second, "and so are the tokens");
}

#[tokio::test]
async fn lost_ack_lists_fewer_bookings_than_it_acknowledged() {
    let maps = Started::new(&["maps", "--broken", "lost_ack"]);
    let partner = Partner::new(&maps);
    for round in 0..ROUNDS_MAX {
        let service = format!("cut-{round}");
        partner.feed(&service, 10_000).await;
        let tokens: Vec<_> = (0..200).map(|number| format!("{service}-{number}")).collect();
        let answers = join_all(tokens.iter().map(|token| partner.create(&service, token, 1))).await;
        assert!(answers.iter().all(|answer| answer["booking"]["status"] == "CONFIRMED"));
        // What was acknowledged before a booking that is listed is listed by now, or never.
        let mut marks = 0;
        until("a mark is listed", async || {
            marks += 1;
            let mark = format!("mark-{round}-{marks}");
            partner.create(&service, &mark, 1).await;
            partner.emails().await.iter().any(|email| email.starts_with(&format!("mark-{round}-")))
        })
        .await;
        let emails = partner.emails().await;
        let listed = |token: &&String| emails.contains(&format!("{token}@example.org"));
        if tokens.iter().filter(listed).count() < 200 {
            return;
        }
    }
    panic!("no booking was lost in {ROUNDS_MAX} rounds");
}

#[tokio::test]
async fn false_full_refuses_while_seats_are_free() {
    let maps = Started::new(&["maps", "--broken", "false_full"]);
    let partner = Partner::new(&maps);
    partner.feed("cut", 100_000).await;
    for round in 0..ROUNDS_MAX {
        let tokens: Vec<_> = (0..200).map(|number| format!("{round}-{number}")).collect();
        let answers = join_all(tokens.iter().map(|token| partner.create("cut", token, 1))).await;
        if answers.iter().any(is_full) {
            return;
        }
    }
    panic!("nobody was refused in {ROUNDS_MAX} rounds");
}
