//! FHIR Appointment and Slot.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    http::{Answer, post, send},
    started::{Started, close, owner_of, release, until},
};

struct Client<'a> {
    fhir: &'a Started,
    authorization: String,
}

impl<'a> Client<'a> {
    async fn new(fhir: &'a Started) -> Self {
        let form = format!(
            "grant_type=client_credentials&client_id=slotproof&client_secret={}",
            fhir.get("FHIR_CLIENT_SECRET")
        );
        let kind = "application/x-www-form-urlencoded";
        let answer = send("POST", fhir.get("FHIR_TOKEN_URL"), &[], Some((kind, form))).await;
        let token = answer.json["access_token"].as_str().expect("a token");
        Self { fhir, authorization: format!("Bearer {token}") }
    }

    async fn call(&self, method: &str, path: &str, more: (&str, &str), body: Value) -> Answer {
        let url = format!("{}{path}", self.fhir.get("FHIR_URL"));
        let headers = [("Authorization", self.authorization.as_str()), more];
        let kind = if method == "PATCH" { "application/json-patch+json" } else { FHIR };
        let body = (!body.is_null()).then(|| (kind, body.to_string()));
        send(method, &url, &headers, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, ("Accept", FHIR), Value::Null).await
    }

    async fn slot(&self, capacity: u32) -> String {
        let extension = json!([{ "url": "urn:slotproof:slot-capacity", "valueInteger": capacity }]);
        let slot = json!({ "resourceType": "Slot", "status": "free", "extension": extension });
        let made = self.call("POST", "/Slot", ("Accept", FHIR), slot).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json["id"].as_str().expect("an id").to_owned()
    }

    async fn reserve(&self, slot: &str, key: &str) -> Answer {
        let appointment = json!({
            "resourceType": "Appointment",
            "status": "pending",
            "identifier": [{ "system": "urn:slotproof", "value": key }],
            "slot": [{ "reference": format!("Slot/{slot}") }],
        });
        let unless = format!("identifier=urn:slotproof|{key}");
        self.call("POST", "/Appointment", ("If-None-Exist", &unless), appointment).await
    }

    async fn patch(&self, location: &str, etag: &str, status: &str) -> Answer {
        let (_, path) = location.split_once("/Appointment/").expect("an appointment");
        let (id, _) = path.split_once('/').expect("a version");
        let patch = json!([{ "op": "replace", "path": "/status", "value": status }]);
        self.call("PATCH", &format!("/Appointment/{id}"), ("If-Match", etag), patch).await
    }
}

const FHIR: &str = "application/fhir+json";

#[tokio::test]
async fn the_honest_one_through_its_whole_life() {
    let fhir = Started::new(&["fhir", "--token-seconds", "600"]);
    let client = Client::new(&fhir).await;
    let slot = client.slot(2).await;

    let first = client.reserve(&slot, "first").await;
    assert_eq!((first.status, first.header("ETag")), (201, "W/\"1\""));
    assert!(first.header("Location").ends_with("/_history/1"));
    let again = client.reserve(&slot, "first").await;
    assert_eq!((again.status, &again.json["id"]), (200, &first.json["id"]), "one for its key");
    assert_eq!(client.get(&format!("/Slot/{slot}")).await.json["status"], "free");
    let second = client.reserve(&slot, "second").await;
    let full = client.get(&format!("/Slot/{slot}")).await;
    assert_eq!(
        (&full.json["status"], &full.json["meta"]["versionId"]),
        (&json!("busy"), &json!("3"))
    );

    let refused = client.reserve(&slot, "third").await;
    assert_eq!((refused.status, &refused.json["issue"][0]["code"]), (422, &json!("conflict")));

    let place = second.header("Location");
    let booked = client.patch(place, second.header("ETag"), "booked").await;
    assert_eq!((booked.status, &booked.json["status"]), (200, &json!("booked")));
    let stale = client.patch(place, second.header("ETag"), "cancelled").await;
    assert_eq!(stale.status, 412, "the ETag is from before the confirmation");
    let cancelled = client.patch(place, booked.header("ETag"), "cancelled").await;
    assert_eq!(cancelled.json["status"], "cancelled");
    let revived = client.patch(place, cancelled.header("ETag"), "booked").await;
    assert_eq!(revived.status, 422, "a cancelled appointment stays cancelled");

    assert_eq!(client.reserve(&slot, "third").await.status, 201, "its place can be taken");
    two_hundred_clients_take_ten_places(&client).await;
    every_appointment_is_on_one_page(&client, 13).await;
}

async fn two_hundred_clients_take_ten_places(client: &Client<'_>) {
    let slot = client.slot(10).await;
    let keys: Vec<_> = (0..200).map(|number| format!("racer-{number}")).collect();
    let answers = join_all(keys.iter().map(|key| client.reserve(&slot, key))).await;
    let with = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((with(201), with(422)), (10, 190));
}

async fn every_appointment_is_on_one_page(client: &Client<'_>, number: usize) {
    let mut found = std::collections::BTreeSet::new();
    let mut path = "/Appointment?identifier=urn:slotproof|&_count=4".to_owned();
    loop {
        let page = client.get(&path).await.json;
        let entries = page["entry"].as_array().expect("entries");
        for entry in entries {
            assert!(found.insert(entry["resource"]["id"].to_string()), "twice: {entry}");
        }
        let links = page["link"].as_array().expect("links");
        let Some(next) = links.iter().find(|link| link["relation"] == "next") else { break };
        let url = next["url"].as_str().expect("a URL");
        path = url.strip_prefix(client.fhir.get("FHIR_URL")).expect("it is ours").to_owned();
    }
    assert_eq!(found.len(), number);
}

#[tokio::test]
async fn tokens_expire_and_secrets_are_checked() {
    let fhir = Started::new(&["fhir", "--token-seconds", "3"]);
    let client = Client::new(&fhir).await;
    assert_eq!(client.get("/Slot/1").await.status, 404, "the token is good");
    until("the token expires", async || {
        let answer = client.get("/Slot/1").await;
        answer.status == 401 && answer.json["issue"][0]["code"] == "expired"
    })
    .await;
    assert_eq!(Client::new(&fhir).await.get("/Slot/1").await.status, 404, "a fresh one is good");
    let form = "grant_type=client_credentials&client_id=slotproof&client_secret=guess".to_owned();
    let kind = "application/x-www-form-urlencoded";
    let refused = send("POST", fhir.get("FHIR_TOKEN_URL"), &[], Some((kind, form))).await;
    assert_eq!((refused.status, &refused.json["error"]), (401, &json!("invalid_client")));
    let url = format!("{}/Slot", fhir.get("FHIR_URL"));
    assert_eq!(post(&url, &[], &json!({})).await.status, 401, "no token at all");
}

#[tokio::test]
async fn check_then_insert_overbooks() {
    let server = Started::new(&["server", "postgresql"]);
    let url = server.get("DATABASE_URL");
    for (broken, made) in [(None, 1), (Some("check_then_insert"), 2)] {
        let mut arguments = vec!["fhir", "--token-seconds", "600", "--database-url", url];
        arguments.extend(broken.iter().flat_map(|name| ["--broken", name]));
        let fhir = Started::new(&arguments);
        let client = Client::new(&fhir).await;
        let slot = client.slot(1).await;
        let mut owner = owner_of(&server, fhir.get("FHIR_DATABASE_URL")).await;
        // Both have counted, or wait to count, before either can insert.
        close(&mut owner, "appointment").await;
        let (a, b, ()) = tokio::join!(
            client.reserve(&slot, "a"),
            client.reserve(&slot, "b"),
            release(&mut owner, 2)
        );
        let statuses = [a.status, b.status];
        let number = statuses.iter().filter(|status| **status == 201).count();
        assert_eq!(number, made, "{broken:?}: {statuses:?}");
    }
}

#[tokio::test]
async fn cancel_returns_none_stays_full() {
    let fhir = Started::new(&["fhir", "--token-seconds", "600", "--broken", "cancel_returns_none"]);
    let client = Client::new(&fhir).await;
    let slot = client.slot(1).await;
    let first = client.reserve(&slot, "first").await;
    let (place, etag) = (first.header("Location"), first.header("ETag"));
    assert_eq!(client.patch(place, etag, "cancelled").await.status, 200);
    assert_eq!(client.reserve(&slot, "second").await.status, 422);
    assert_eq!(client.get(&format!("/Slot/{slot}")).await.json["status"], "busy");
}
