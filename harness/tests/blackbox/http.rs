//! The service at its edge: what it refuses, and how it says so.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use slotproof_vocabulary::reference_api::{Occupancy, OccupancyReport};

use crate::stack::{Service, eventually, problem};

#[tokio::test]
async fn nothing_that_a_client_sends_is_answered_with_a_500() {
    let service = Service::start("conditional", "1m").await;
    let slot = service.slot(5).await;
    let path = format!("/v1/slots/{}/bookings", slot.id);
    let send = async |body: Vec<u8>, kind: &'static str| {
        let request = service
            .http
            .post(service.url(&path))
            .header("idempotency-key", "k")
            .header(CONTENT_TYPE, kind);
        problem(request.body(body).send().await.expect("an answer")).await
    };
    let json = "application/json";
    let cases: Vec<(Vec<u8>, &'static str, u16, &str)> = vec![
        (b"{\"seats\": 1".to_vec(), json, 400, "malformed_body"),
        (b"".to_vec(), json, 400, "malformed_body"),
        (b"null".to_vec(), json, 400, "malformed_body"),
        (b"{\"seats\": \"one\"}".to_vec(), json, 400, "malformed_body"),
        (b"{\"seats\": 1.5}".to_vec(), json, 400, "malformed_body"),
        (b"{\"seats\": 1e400}".to_vec(), json, 400, "malformed_body"),
        (b"{\"seats\": 99999999999999999999}".to_vec(), json, 400, "malformed_body"),
        (b"{\"seats\": 1, \"sets\": 2}".to_vec(), json, 400, "malformed_body"),
        (b"{}".to_vec(), json, 400, "malformed_body"),
        (b"\xff\xfe".to_vec(), json, 400, "malformed_body"),
        (b"{\"seats\": 0}".to_vec(), json, 422, "invalid_field"),
        (b"{\"seats\": -1}".to_vec(), json, 422, "invalid_field"),
        (b"{\"seats\": 101}".to_vec(), json, 422, "invalid_field"),
        (b"{\"seats\": 1000000000}".to_vec(), json, 422, "invalid_field"),
        (b"{\"seats\": 1}".to_vec(), "text/plain", 415, "unsupported_media_type"),
        (vec![b' '; 10 * 1024 * 1024], json, 413, "body_too_large"),
    ];
    for (body, kind, status, code) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(send(body, kind).await, (status, code.to_owned()), "{shown}");
    }
    assert_eq!(service.read(&slot).await, slot, "nothing of that changed the slot");
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let service = Service::start("conditional", "1m").await;
    let slot = service.slot(5).await;
    let body: Value = service.reserve(&slot, 0, "k").await.json().await.expect("a problem");
    assert_eq!(body["field"], "seats");
    let field = async |path: &str, body: Value| {
        let answer: Value = service.post(path, &body).await.json().await.expect("a problem");
        answer["field"].as_str().unwrap_or_default().to_owned()
    };
    let doctors = "/v1/admin/doctors";
    assert_eq!(field(doctors, json!({"name": "", "specialty": "x"})).await, "name");
    assert_eq!(
        field(doctors, json!({"name": "x", "specialty": "y".repeat(201)})).await,
        "specialty"
    );
    assert_eq!(field(doctors, json!({"name": "x\0", "specialty": "y"})).await, "name");
    let slot_of = |starts_at: &str, capacity: i64| json!({"doctor_id": slot.doctor_id, "starts_at": starts_at, "capacity": capacity});
    assert_eq!(field("/v1/admin/slots", slot_of("2027-01-01T00:00:00Z", 0)).await, "capacity");
    assert_eq!(field("/v1/admin/slots", slot_of("1999-12-31T00:00:00Z", 1)).await, "starts_at");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let service = Service::start("conditional", "1m").await;
    let slot = service.slot(5).await;
    let missing_slot = slot.id.to_string().replace(|c: char| c.is_ascii_digit() && c > '8', "1");
    let unknown = "00000001-0142-8100-8000-00000000dead";
    for id in [
        unknown,
        "seven",
        "b4a6f6f0-4a0e-4c55-9e8a-0d7f3a2f9a11",
        "%00",
        "00000001-0142-8200-8000-00000000dead",
    ] {
        for path in [format!("/v1/slots/{id}"), format!("/v1/bookings/{id}")] {
            assert_eq!(
                problem(service.get(&path).await).await,
                (404, "not_found".to_owned()),
                "{path}"
            );
        }
        let path = format!("/v1/slots/{id}/bookings");
        let request = service
            .http
            .post(service.url(&path))
            .header("idempotency-key", "k")
            .json(&json!({"seats": 1}));
        assert_eq!(
            problem(request.send().await.expect("an answer")).await.0,
            404,
            "{path} and {missing_slot}"
        );
        assert_eq!(
            problem(service.post(&format!("/v1/bookings/{id}/confirm"), &Value::Null).await)
                .await
                .0,
            404
        );
    }
    assert_eq!(problem(service.get("/v2/slots").await).await, (404, "not_found".to_owned()));
    let wrong_method = service.http.put(service.url("/v1/slots")).send().await.expect("an answer");
    assert_eq!(problem(wrong_method).await, (405, "method_not_allowed".to_owned()));
    let no_doctor =
        json!({"doctor_id": 4_000_000_000_u32, "starts_at": "2027-01-01T00:00:00Z", "capacity": 1});
    assert_eq!(problem(service.post("/v1/admin/slots", &no_doctor).await).await.0, 404);
}

#[tokio::test]
async fn an_idempotency_key_is_needed_and_belongs_to_one_request() {
    let service = Service::start("conditional", "1m").await;
    let slot = service.slot(5).await;
    let path = format!("/v1/slots/{}/bookings", slot.id);
    assert_eq!(
        problem(service.post(&path, &json!({"seats": 1})).await).await,
        (400, "idempotency_key_invalid".to_owned())
    );
    let long = "k".repeat(256);
    for key in ["", "two words", long.as_str()] {
        assert_eq!(
            problem(service.reserve(&slot, 1, key).await).await,
            (400, "idempotency_key_invalid".to_owned()),
            "{key:?}"
        );
    }
    service.hold(&slot, 1, "mine").await;
    assert_eq!(
        problem(service.reserve(&slot, 2, "mine").await).await,
        (422, "idempotency_mismatch".to_owned())
    );
    let request =
        json!({"doctor_id": slot.doctor_id, "starts_at": "2027-03-01T10:00:00Z", "capacity": 5});
    let other: slotproof_vocabulary::reference_api::SlotBody =
        service.post("/v1/admin/slots", &request).await.json().await.expect("a slot");
    assert_eq!(
        problem(service.reserve(&other, 1, "mine").await).await,
        (422, "idempotency_mismatch".to_owned())
    );
    assert_eq!(service.read(&other).await.available_seats, 5, "refused without effect");
}

#[tokio::test]
async fn slots_are_listed_by_doctor_and_by_seats_left() {
    let service = Service::start("conditional", "1m").await;
    let (free, full) = (service.slot(1).await, service.slot(1).await);
    service.hold(&full, 1, "k").await;
    let listed = async |query: &str| -> Vec<String> {
        let body: Value =
            service.get(&format!("/v1/slots{query}")).await.json().await.expect("a list");
        let items = body["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(
        listed(&format!("?available=true&doctor_id={}", free.doctor_id)).await,
        [free.id.to_string()]
    );
    assert_eq!(
        listed(&format!("?available=false&doctor_id={}", full.doctor_id)).await,
        [full.id.to_string()]
    );
    assert_eq!(
        listed(&format!("?available=true&doctor_id={}", full.doctor_id)).await,
        Vec::<String>::new()
    );
    assert_eq!(listed("").await.len(), 2);
    for query in ["?available=perhaps", "?doctor_id=-1", "?doctor=1"] {
        assert_eq!(
            problem(service.get(&format!("/v1/slots{query}")).await).await,
            (422, "invalid_field".to_owned())
        );
    }
    let doctors: Value = service.get("/v1/doctors").await.json().await.expect("a list");
    assert_eq!(doctors["items"].as_array().expect("items").len(), 2);
}

#[tokio::test]
async fn operators_are_told_what_they_ask() {
    let service = Service::start("conditional", "1m").await;
    let slot = service.slot(1).await;
    service.hold(&slot, 1, "k").await;
    assert_eq!(service.get("/healthz").await.status(), 200);
    assert_eq!(service.get("/readyz").await.status(), 200);
    let metrics = service.get("/metrics").await.text().await.expect("text");
    let counted =
        r#"http_requests_total{method="POST",route="/v1/slots/{id}/bookings",status="201"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    let openapi: Value = service.get("/openapi.json").await.json().await.expect("JSON");
    let paths: Vec<&String> = openapi["paths"].as_object().expect("paths").keys().collect();
    insta::assert_json_snapshot!(paths);
}

#[tokio::test]
async fn a_report_of_occupancy_says_as_of_when_it_is() {
    let service = Service::start("conditional", "1m").await;
    let report = async || {
        let report = service.get("/v1/reports/occupancy").await.json::<OccupancyReport>().await;
        report.expect("a report")
    };
    let before = report().await;
    assert_eq!(before.items, [], "nothing was there when it was counted");
    let slot = service.slot(3).await;
    service.hold(&slot, 2, "two-of-three").await;
    let expected = Occupancy {
        doctor_id: slot.doctor_id,
        month: "2027-03".to_owned(),
        slots: 1,
        capacity: 3,
        available_seats: 1,
    };
    eventually("it is counted anew", async || report().await.items == [expected.clone()]).await;
    assert!(report().await.as_of > before.as_of);
    let of_nobody = service.get("/v1/reports/occupancy?doctor_id=4000000").await;
    let of_nobody: OccupancyReport = of_nobody.json().await.expect("a report");
    assert_eq!(of_nobody.items, []);
    assert!(of_nobody.as_of > before.as_of);
}
