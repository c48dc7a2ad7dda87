//! What every safe strategy must do alike: one conformance test for each, over all of them.

use std::time::Duration;

use futures::future::join_all;
use slotproof_vocabulary::{BookingStatus, reference_api::BookingBody};

use crate::stack::{Service, eventually, problem};

with_safe_strategies!(one_test_each a_booking_goes_from_pending_to_confirmed_to_cancelled);

async fn a_booking_goes_from_pending_to_confirmed_to_cancelled(strategy: &str) {
    let service = Service::start(strategy, "1m").await;
    let slot = service.slot(5).await;
    let held = service.hold(&slot, 2, "k").await;
    assert_eq!(
        (held.status, held.seats, held.slot_version, held.available_seats),
        (BookingStatus::Pending, 2, 1, 3)
    );
    assert_eq!(held.hold_ms, Some(60_000));
    let read = service.read(&slot).await;
    assert_eq!(
        (read.available_seats, read.pending_seats, read.confirmed_seats, read.version),
        (3, 2, 0, 1)
    );

    let confirmed: BookingBody = service.confirm(&held).await.json().await.expect("a booking");
    assert_eq!((confirmed.status, confirmed.slot_version), (BookingStatus::Confirmed, 2));
    let again = service.confirm(&held).await;
    assert_eq!(again.status(), 200, "confirmed already");
    let read = service.read(&slot).await;
    assert_eq!(
        (read.available_seats, read.pending_seats, read.confirmed_seats, read.version),
        (3, 0, 2, 2)
    );

    let cancelled: BookingBody = service.cancel(&held).await.json().await.expect("a booking");
    assert_eq!(
        (cancelled.status, cancelled.slot_version, cancelled.available_seats),
        (BookingStatus::Cancelled, 3, 5)
    );
    assert_eq!(service.cancel(&held).await.status(), 200, "cancelled already");
    assert_eq!(service.read(&slot).await.available_seats, 5, "and the seats are given back once");
    assert_eq!(problem(service.confirm(&held).await).await, (409, "wrong_status".to_owned()));
}

with_safe_strategies!(one_test_each sold_out_carries_the_version_and_takes_nothing);

async fn sold_out_carries_the_version_and_takes_nothing(strategy: &str) {
    let service = Service::start(strategy, "1m").await;
    let slot = service.slot(3).await;
    service.hold(&slot, 2, "first").await;
    let refused: serde_json::Value =
        service.reserve(&slot, 2, "second").await.json().await.expect("a problem");
    assert_eq!(
        (&refused["code"], &refused["slot_version"], &refused["available_seats"]),
        (&"sold_out".into(), &1.into(), &1.into())
    );
    // Where an answer is asked for later, it has to be kept; everywhere else a refusal leaves
    // nothing behind.
    if strategy != "queue" {
        assert_eq!(
            service.hold(&slot, 1, "second").await.slot_version,
            2,
            "a refusal leaves no receipt"
        );
    }
}

with_safe_strategies!(one_test_each a_hold_that_runs_out_gives_its_seats_back_and_cannot_be_confirmed);

async fn a_hold_that_runs_out_gives_its_seats_back_and_cannot_be_confirmed(strategy: &str) {
    let service = Service::start(strategy, "100ms").await;
    let slot = service.slot(1).await;
    let held = service.hold(&slot, 1, "k").await;
    eventually("the seat is free again", async || service.read(&slot).await.available_seats == 1)
        .await;
    assert_eq!(problem(service.confirm(&held).await).await, (409, "hold_expired".to_owned()));
    assert_eq!(problem(service.cancel(&held).await).await, (409, "hold_expired".to_owned()));
    service.hold(&slot, 1, "another").await;
}

with_safe_strategies!(one_test_each duplicates_are_told_of_one_booking_however_they_race);

async fn duplicates_are_told_of_one_booking_however_they_race(strategy: &str) {
    let service = Service::start(strategy, "1m").await;
    let slot = service.slot(50).await;
    let answers = join_all((0..20).map(|_| service.hold(&slot, 2, "same"))).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{strategy}: {answers:?}");
    let read = service.read(&slot).await;
    assert_eq!((read.available_seats, read.version), (48, 1), "{strategy}");
}

with_safe_strategies!(one_test_each a_duplicate_of_the_last_seat_is_not_told_sold_out);

async fn a_duplicate_of_the_last_seat_is_not_told_sold_out(strategy: &str) {
    let service = Service::start(strategy, "1m").await;
    let slot = service.slot(1).await;
    let first = service.hold(&slot, 1, "k").await;
    assert_eq!(service.hold(&slot, 1, "k").await, first, "{strategy}");
}

with_safe_strategies!(one_test_each as_many_seats_are_sold_as_there_are_under_contention);

async fn as_many_seats_are_sold_as_there_are_under_contention(strategy: &str) {
    let service = Service::start(strategy, "1m").await;
    let slot = service.slot(10).await;
    let statuses = join_all((0..40).map(|n| {
        let (service, slot, key) = (&service, &slot, format!("key-{n}"));
        async move {
            // A client that is told to retry later does so: a hot slot may make it lose every
            // try.
            loop {
                let answer = service.reserve(slot, 1, &key).await;
                match answer.status().as_u16() {
                    201 => return true,
                    _ => {
                        let refused = problem(answer).await;
                        if refused == (409, "sold_out".to_owned()) {
                            return false;
                        }
                        assert_eq!(refused, (503, "retry_later".to_owned()));
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
        }
    }))
    .await;
    assert_eq!(statuses.iter().filter(|booked| **booked).count(), 10, "{strategy}");
    let read = service.read(&slot).await;
    assert_eq!((read.available_seats, read.pending_seats, read.version), (0, 10, 10), "{strategy}");
}
