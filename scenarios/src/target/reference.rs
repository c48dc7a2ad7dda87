//! The reference service: its routes, bodies and headers, and how its slots are prepared.

use async_recursion::async_recursion as boxed_future;
use futures::{StreamExt, TryStreamExt};
use reqwest::Method;
use serde::de::DeserializeOwned;
use slotproof_vocabulary::{
    DoctorId, SlotId,
    reference_api::{CreateDoctor, CreateSlot, DoctorBody, ReserveRequest, SlotBody},
};
use time::OffsetDateTime;

use super::{answer::Expected, exchange::Exchange, request::Request};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Slots that are created at once: as many as a replica has database connections.
const SLOTS_AT_ONCE: usize = 16;
/// The distance between the starts of two prepared slots.
const SLOT_EVERY: time::Duration = time::Duration::minutes(15);

/// The reference service as a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReferenceTarget;

/// Operations of clients.
impl ReferenceTarget {
    /// Takes seats.
    pub fn reserve(&self, slot: &str, seats: u32, key: &str) -> Exchange {
        reserve(slot, ReserveRequest { seats: seats.into(), urgent: false }, key)
    }

    /// Takes seats before other requests that wait in a queue.
    pub fn reserve_urgently(&self, slot: &str, seats: u32, key: &str) -> Exchange {
        reserve(slot, ReserveRequest { seats: seats.into(), urgent: true }, key)
    }

    /// Confirms a pending booking.
    pub fn confirm(&self, booking: &str) -> Exchange {
        decided_at_once(Method::POST, format!("/v1/bookings/{booking}/confirm"), Expected::Booking)
    }

    /// Gives the seats of a booking back.
    pub fn cancel(&self, booking: &str) -> Exchange {
        decided_at_once(Method::DELETE, format!("/v1/bookings/{booking}"), Expected::Booking)
    }

    /// Reads a slot.
    pub fn read(&self, slot: &str) -> Exchange {
        decided_at_once(Method::GET, format!("/v1/slots/{slot}"), Expected::Slot)
    }
}

fn reserve(slot: &str, body: ReserveRequest, key: &str) -> Exchange {
    let path = format!("/v1/slots/{slot}/bookings");
    let poll = Request::new(Method::GET, format!("{path}?seats={}", body.seats));
    Exchange {
        request: Request::new(Method::POST, path)
            .with_header(IDEMPOTENCY_KEY, key)
            .with_json(&body),
        poll: Some(poll.with_header(IDEMPOTENCY_KEY, key)),
        expected: Expected::Booking,
    }
}

fn decided_at_once(method: Method, path: String, expected: Expected) -> Exchange {
    Exchange { request: Request::new(method, path), poll: None, expected }
}

/// What operators ask.
impl ReferenceTarget {
    /// Succeeds while a replica can take requests.
    pub fn readiness(&self) -> Request {
        Request::new(Method::GET, "/readyz".to_owned())
    }

    /// The metrics of a replica, as Prometheus reads them.
    pub fn metrics(&self) -> Request {
        Request::new(Method::GET, "/metrics".to_owned())
    }

    /// Whether a replica can take requests.
    #[boxed_future]
    pub async fn is_ready(&self, http: &reqwest::Client, base_url: &str) -> bool {
        let answer = self.readiness().on(http, base_url).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// How often a replica has retried a reserve after a lost race. Retries by the workers of a
    /// queue are in the metrics of the workers.
    ///
    /// # Errors
    /// The metrics cannot be read.
    #[boxed_future]
    pub async fn reserve_retries(
        &self,
        http: &reqwest::Client,
        base_url: &str,
    ) -> reqwest::Result<u64> {
        let metrics = self.metrics().on(http, base_url).send().await?.error_for_status()?;
        Ok(sum_of("reserve_retries_total", &metrics.text().await?))
    }
}

/// The sum of a counter over all its labels.
fn sum_of(counter: &str, metrics: &str) -> u64 {
    let lines = metrics
        .lines()
        .filter(|line| line.strip_prefix(counter).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

/// Why a slot could not be prepared. The texts fit after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The service was not reached, or its answer could not be read.
    #[error("create a {what}: {cause}")]
    NotAnswered {
        /// What was to be created.
        what: &'static str,
        /// What went wrong.
        cause: reqwest::Error,
    },
    /// The service refused.
    #[error("create a {what}: the service answered {status}: {body}")]
    Refused {
        /// What was to be created.
        what: &'static str,
        /// The status of the answer.
        status: u16,
        /// Its body.
        body: String,
    },
}

/// Preparation.
impl ReferenceTarget {
    /// Creates a doctor.
    ///
    /// # Errors
    /// See [`PrepareError`].
    #[boxed_future]
    pub async fn create_doctor(
        &self,
        http: &reqwest::Client,
        base_url: &str,
    ) -> Result<DoctorId, PrepareError> {
        let doctor = CreateDoctor {
            name: "Ada Example".to_owned(),
            specialty: "general practice".to_owned(),
        };
        let request = Request::new(Method::POST, "/v1/admin/doctors".to_owned());
        let created: DoctorBody =
            create("doctor", &request.with_json(&doctor), http, base_url).await?;
        Ok(created.id)
    }

    /// Creates a slot.
    ///
    /// # Errors
    /// See [`PrepareError`].
    #[boxed_future]
    pub async fn create_slot(
        &self,
        http: &reqwest::Client,
        base_url: &str,
        doctor: DoctorId,
        starts_at: OffsetDateTime,
        capacity: u32,
    ) -> Result<SlotId, PrepareError> {
        let slot = CreateSlot { doctor_id: doctor, starts_at, capacity: capacity.into() };
        let request = Request::new(Method::POST, "/v1/admin/slots".to_owned());
        let created: SlotBody = create("slot", &request.with_json(&slot), http, base_url).await?;
        Ok(created.id)
    }

    /// Creates one doctor and `count` slots, which start from tomorrow on; the slots' ids in the
    /// order of their start.
    ///
    /// # Errors
    /// See [`PrepareError`].
    #[boxed_future]
    pub async fn prepare_slots(
        &self,
        http: &reqwest::Client,
        base_url: &str,
        count: u32,
        capacity: u32,
    ) -> Result<Vec<String>, PrepareError> {
        let doctor = self.create_doctor(http, base_url).await?;
        let first = OffsetDateTime::now_utc() + time::Duration::days(1);
        let slots = (0..count).map(|number| {
            self.create_slot(http, base_url, doctor, first + SLOT_EVERY * number, capacity)
        });
        let slots = futures::stream::iter(slots).buffered(SLOTS_AT_ONCE);
        slots.map_ok(|slot| slot.to_string()).try_collect().await
    }
}

async fn create<T: DeserializeOwned>(
    what: &'static str,
    request: &Request,
    http: &reqwest::Client,
    base_url: &str,
) -> Result<T, PrepareError> {
    let not_answered = |cause| PrepareError::NotAnswered { what, cause };
    let answer = request.on(http, base_url).send().await.map_err(not_answered)?;
    let status = answer.status();
    if !status.is_success() {
        let body = answer.text().await.unwrap_or_default();
        return Err(PrepareError::Refused { what, status: status.as_u16(), body });
    }
    answer.json().await.map_err(not_answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, path, headers and body, as they go over the wire.
    fn wire(request: &Request) -> String {
        let headers: String =
            request.headers().map(|(name, value)| format!("{name}: {value}\n")).collect();
        let body = String::from_utf8(request.body().into()).expect("JSON");
        format!("{} {}\n{headers}{body}\n", request.method(), request.path())
    }

    #[test]
    fn every_request_is_pinned() {
        let target = ReferenceTarget;
        let exchanges = [
            target.reserve("s", 2, "k"),
            target.reserve_urgently("s", 1, "k").with_header("slotproof-call", "client-1"),
            target.confirm("b"),
            target.cancel("b"),
            target.read("s"),
        ];
        let polls = exchanges.iter().map(|exchange| exchange.poll.as_ref());
        let requests = exchanges.iter().map(|exchange| &exchange.request);
        let all = requests.zip(polls).flat_map(|(request, poll)| [Some(request), poll]);
        let mut text: Vec<String> = all.flatten().map(wire).collect();
        text.extend([target.readiness(), target.metrics()].iter().map(wire));
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn reqwest_sends_the_request_as_it_is() {
        let request = ReferenceTarget.reserve("s", 2, "k").request;
        let built = request.on(&reqwest::Client::new(), "http://host:1").build().expect("valid");
        assert_eq!(
            (built.method(), built.url().as_str()),
            (request.method(), "http://host:1/v1/slots/s/bookings")
        );
        for (name, value) in request.headers() {
            assert_eq!(built.headers()[name], value);
        }
        let body = built.body().and_then(reqwest::Body::as_bytes).expect("it is in memory");
        assert_eq!(body, request.body());
    }

    #[test]
    fn a_counter_is_summed_over_its_labels_and_no_other_counter() {
        let metrics = "# TYPE reserve_retries_total counter\n\
                       reserve_retries_total{strategy=\"optimistic\"} 3\n\
                       reserve_retries_total{strategy=\"hybrid\"} 4\n\
                       reserve_retries_total_ever 100\n";
        assert_eq!(sum_of("reserve_retries_total", metrics), 7);
        assert_eq!(sum_of("reserve_retries_total", "reserve_retries_total 5\n"), 5);
    }
}
