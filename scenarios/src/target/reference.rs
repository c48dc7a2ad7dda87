//! The reference service: the one place that spells its routes, headers and bodies for a client.
//! Its wire bodies are those of [`slotproof_vocabulary::reference_api`].

use async_recursion::async_recursion as boxed_future;
use futures::{StreamExt, TryStreamExt};
use http::{HeaderName, Method};
use serde::{Serialize, de::DeserializeOwned};
use slotproof_vocabulary::{
    DoctorId,
    reference_api::{CreateDoctor, CreateSlot, DoctorBody, SlotBody},
};
use time::OffsetDateTime;

use super::{Exchange, Expected, Request};

/// Whether the process can take requests.
pub const READY_PATH: &str = "/readyz";
/// What the process has counted, as Prometheus reads it.
pub const METRICS_PATH: &str = "/metrics";

/// The idempotency key of a reserve.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Slots that are made at once: as many as a service process has database connections.
const SLOTS_AT_ONCE: usize = 16;

/// A reserve of seats by an idempotency key. One that is accepted is asked about by the same key.
pub fn reserve(slot: &str, seats: u32, key: &str) -> Exchange {
    let path = format!("/v1/slots/{slot}/bookings");
    Exchange {
        poll: Some(poll(&path, seats, key)),
        request: Request::new(Method::POST, path)
            .with_header(KEY, key)
            .with_body(format!(r#"{{"seats":{seats}}}"#)),
        expected: Expected::Booking,
    }
}

/// The same, as an urgent request: some strategies take another path for it.
pub fn reserve_urgent(slot: &str, seats: u32, key: &str) -> Exchange {
    let mut exchange = reserve(slot, seats, key);
    exchange.request.body = Some(format!(r#"{{"seats":{seats},"urgent":true}}"#));
    exchange
}

fn poll(path: &str, seats: u32, key: &str) -> Request {
    Request::new(Method::GET, format!("{path}?seats={seats}")).with_header(KEY, key)
}

/// Makes a pending booking a confirmed one.
pub fn confirm(booking: &str) -> Exchange {
    about_booking(Method::POST, format!("/v1/bookings/{booking}/confirm"))
}

/// Gives the seats of a booking back.
pub fn cancel(booking: &str) -> Exchange {
    about_booking(Method::DELETE, format!("/v1/bookings/{booking}"))
}

fn about_booking(method: Method, path: String) -> Exchange {
    Exchange { request: Request::new(method, path), poll: None, expected: Expected::Booking }
}

/// Reads a slot.
pub fn read(slot: &str) -> Exchange {
    Exchange {
        request: Request::new(Method::GET, format!("/v1/slots/{slot}")),
        poll: None,
        expected: Expected::Slot,
    }
}

/// Makes a doctor.
///
/// # Errors
/// The service does not answer, or refuses.
#[boxed_future]
pub async fn make_doctor(http: &reqwest::Client, base: &str) -> reqwest::Result<DoctorId> {
    let doctor =
        CreateDoctor { name: "Ada Example".to_owned(), specialty: "general practice".to_owned() };
    let made: DoctorBody = create(http, format!("{base}/v1/admin/doctors"), &doctor).await?;
    Ok(DoctorId(made.id.0))
}

/// Makes a slot of a doctor.
///
/// # Errors
/// The service does not answer, or refuses.
#[boxed_future]
pub async fn make_slot(
    http: &reqwest::Client,
    base: &str,
    doctor: DoctorId,
    starts_at: OffsetDateTime,
    capacity: u32,
) -> reqwest::Result<SlotBody> {
    let slot = CreateSlot { doctor_id: doctor, starts_at, capacity: capacity.into() };
    create(http, format!("{base}/v1/admin/slots"), &slot).await
}

/// Makes a doctor and `count` slots from tomorrow on, a quarter of an hour apart. Answers their ids.
///
/// # Errors
/// The service does not answer, or refuses.
#[boxed_future]
pub async fn make_slots(base: &str, count: u32, capacity: u32) -> reqwest::Result<Vec<String>> {
    let http = reqwest::Client::new();
    let doctor = make_doctor(&http, base).await?;
    let first = OffsetDateTime::now_utc() + time::Duration::days(1);
    let slots = (0..count).map(|number| {
        let starts_at = first + time::Duration::minutes(15) * number;
        let http = &http;
        async move {
            let slot = make_slot(http, base, doctor, starts_at, capacity).await?;
            Ok(slot.id.to_string())
        }
    });
    futures::stream::iter(slots).buffered(SLOTS_AT_ONCE).try_collect().await
}

async fn create<T: DeserializeOwned>(
    http: &reqwest::Client,
    url: String,
    body: &impl Serialize,
) -> reqwest::Result<T> {
    http.post(url).json(body).send().await?.error_for_status()?.json().await
}

/// Whether a process of the service says that it can take requests.
#[boxed_future]
pub async fn is_ready(base: &str) -> bool {
    let answer = reqwest::get(format!("{base}{READY_PATH}")).await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

/// How often a process of the service has tried a reserve again. Workers of a queue count their own.
///
/// # Errors
/// It does not answer.
#[boxed_future]
pub async fn retries(base: &str) -> reqwest::Result<f64> {
    let metrics = reqwest::get(format!("{base}{METRICS_PATH}")).await?.text().await?;
    let lines = metrics.lines().filter(|line| line.starts_with("reserve_retries_total"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_and_its_poll_carry_one_key() {
        let Exchange { request, poll, expected } = reserve("s-1", 2, "k-1");
        let poll = poll.expect("a reserve may be decided later");
        assert_eq!(expected, Expected::Booking);
        assert_eq!(
            (&request.method, request.path.as_str()),
            (&Method::POST, "/v1/slots/s-1/bookings")
        );
        assert_eq!(request.body.as_deref(), Some(r#"{"seats":2}"#));
        assert_eq!(
            (&poll.method, poll.path.as_str()),
            (&Method::GET, "/v1/slots/s-1/bookings?seats=2")
        );
        assert_eq!(request.headers, poll.headers);
        assert_eq!(request.headers[0].1, "k-1");
    }

    #[test]
    fn a_request_is_the_same_for_every_client() {
        let request = reserve("s", 1, "k").request;
        let by_reqwest = request
            .clone()
            .on(&reqwest::Client::new(), "http://127.0.0.1:1")
            .build()
            .expect("a request");
        let by_hyper = request.to_http();
        assert_eq!(by_reqwest.url().path(), by_hyper.uri().path());
        for name in ["idempotency-key", "content-type"] {
            assert_eq!(by_reqwest.headers()[name], by_hyper.headers()[name], "{name}");
        }
    }
}
