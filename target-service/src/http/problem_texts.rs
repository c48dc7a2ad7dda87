//! Every text that a client can read in a problem, in one snapshot.

use axum::{
    body,
    extract::{FromRequest, FromRequestParts, OriginalUri, Request},
    http::{Method, Uri, header},
};
use slotproof_vocabulary::{
    BookingId, BookingStatus, SlotId,
    reference_api::{CreateSlot, ProblemCode},
};

use super::{
    bookings::{changed, reserved},
    problem::{self, Refusal},
    request::{Body, PathId, short_text, whole_number},
};
use crate::{
    lifecycle::Changed,
    reserve::{IdempotencyKey, ReserveCommand, ReserveError, Reserved},
};

const SLOT: &str = "00000007-0142-8100-9234-56789abcdef0";

fn slot() -> SlotId {
    SLOT.parse().expect("an id")
}

fn command() -> ReserveCommand {
    let key = IdempotencyKey::parse(b"key").expect("a key");
    let booking = BookingId::new(slot(), 1);
    ReserveCommand { slot: slot(), seats: 4, key, booking, hold_ms: 300_000, urgent: false }
}

fn of_reserve(answer: Reserved) -> Refusal {
    reserved(&command(), answer).map(|_| ()).expect_err("a refusal")
}

fn of_change(answer: Changed) -> Refusal {
    changed(command().booking, answer).map(|_| ()).expect_err("a refusal")
}

async fn of_key(keys: &[&str]) -> Refusal {
    let mut request = Request::builder();
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    let (mut parts, ()) = request.body(()).expect("a request").into_parts();
    IdempotencyKey::from_request_parts(&mut parts, &()).await.expect_err("a refusal")
}

async fn of_body(kind: &str, body: impl Into<body::Body>) -> Refusal {
    let request = Request::builder().header(header::CONTENT_TYPE, kind).body(body.into());
    let parsed = Body::<CreateSlot>::from_request(request.expect("a request"), &()).await;
    parsed.map(|_| ()).expect_err("a refusal")
}

async fn of_path(uri: &str) -> Vec<Refusal> {
    let uri: Uri = uri.parse().expect("a path");
    let (mut parts, ()) = Request::builder().body(()).expect("a request").into_parts();
    let id = PathId::<SlotId>::from_request_parts(&mut parts, &()).await;
    vec![
        problem::no_such_path(OriginalUri(uri.clone())).await,
        problem::method_not_allowed(Method::PUT, OriginalUri(uri)).await,
        id.map(|_| ()).expect_err("a refusal"),
    ]
}

#[tokio::test]
async fn every_problem_says_what_is_wrong_and_what_it_means_for_the_request() {
    let mut refusals = vec![
        of_reserve(Reserved::SoldOut { slot_version: 7, available_seats: 1 }),
        of_reserve(Reserved::KeyMismatch),
        of_reserve(Reserved::RetryLater),
        of_reserve(Reserved::NoSlot),
        of_change(Changed::HoldExpired),
        of_change(Changed::WrongStatus(BookingStatus::Cancelled)),
        of_change(Changed::NoBooking),
        of_change(Changed::RetryLater),
        ReserveError::Database(sqlx::Error::PoolTimedOut).into(),
        ReserveError::Database(sqlx::Error::WorkerCrashed).into(),
        ReserveError::Unavailable("RabbitMQ: not connected".to_owned()).into(),
        ReserveError::Unknown("RabbitMQ refused the request".to_owned()).into(),
        of_key(&[]).await,
        of_key(&["a", "b"]).await,
        of_key(&["two words"]).await,
        of_body("text/plain", "{}").await,
        of_body("application/json", "{").await,
        of_body("application/json", vec![b' '; 64 * 1024 + 1]).await,
        whole_number("seats", 101, 1, 100).expect_err("too many"),
        short_text("name", String::new()).expect_err("too short"),
        short_text("name", "\0".to_owned()).expect_err("not storable"),
        Refusal::month_closed(),
        Refusal::month_not_open(),
        Refusal::month_archived(slot().month()),
        Refusal::new(ProblemCode::Internal, problem::BUG),
    ];
    refusals.extend(of_path("/v2/slots").await);
    let texts: Vec<String> = refusals.iter().map(Refusal::text).collect();
    insta::assert_snapshot!(texts.join("\n\n"));
}
