//! Reserve, confirm, cancel, and the reading of a booking.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State as Shared,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rand::Rng;
use serde::Deserialize;
use slotproof_vocabulary::{
    BookingId, SlotId,
    reference_api::{AcceptedBody, BookingBody, Problem, ProblemCode, ReserveRequest},
};

use super::{
    problem::Refusal,
    request::{Body, Parameters, PathId, whole_number},
    slots::ReadParameters,
    state::State,
};
use crate::{
    lifecycle::Changed,
    operations::ReadAt,
    pausing,
    reserve::{IdempotencyKey, ReserveCommand, Reserved, SEATS_MAX},
    sharding::Shard,
};

pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/v1/slots/{id}/bookings", post(reserve).get(outcome))
        .route("/v1/bookings/{id}", get(read).delete(cancel))
        .route("/v1/bookings/{id}/confirm", post(confirm))
}

/// Reserve seats
///
/// Holds seats: the booking is pending until it is confirmed, cancelled, or its hold expires.
#[utoipa::path(
    post, path = "/v1/slots/{id}/bookings", tag = "bookings", request_body = ReserveRequest,
    params(
        ("id" = SlotId, Path, description = "The slot"),
        ("Idempotency-Key" = String, Header, description = "Identifies this request; send the same key on every retry"),
    ),
    responses(
        (status = 201, description = "The seats are held", body = BookingBody),
        (status = 202, description = "A worker will decide: poll `Location` by GET, with the same key", body = AcceptedBody),
        (status = 400, description = "`malformed_body`, `idempotency_key_invalid`", body = Problem),
        (status = 404, description = "`not_found`", body = Problem),
        (status = 409, description = "`sold_out`, `month_closed`", body = Problem),
        (status = 422, description = "`invalid_field`, `idempotency_mismatch`", body = Problem),
        (status = 503, description = "`unavailable`, `retry_later`: nothing was written", body = Problem),
    ),
)]
pub(super) async fn reserve(
    Shared(state): Shared<Arc<State>>,
    PathId(slot): PathId<SlotId>,
    key: IdempotencyKey,
    Body(body): Body<ReserveRequest>,
) -> Result<Response, Refusal> {
    let seats = whole_number("seats", body.seats, 1, SEATS_MAX)?;
    let mut command = parsed(&state, slot, seats, key, body.urgent);
    if let Some(months) = &state.months {
        command.booking = Box::pin(months.id_of(command.booking, slot)).await?;
    }
    let reserve = |shard: Arc<Shard>| {
        let command = &command;
        async move { shard.operations.reserve(command).await }
    };
    let answer = state.shards.at(slot.doctor(), reserve).await?;
    if matches!(answer, Reserved::NoSlot) {
        state.refuse_archived(slot.month()).await?;
    }
    reserved(&command, answer)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OutcomeParameters {
    /// Seats that were asked for.
    seats: i64,
}

/// What became of a reserve
///
/// For a reserve that was answered with 202, or whose answer was lost. Give the key of the reserve.
#[utoipa::path(
    get, path = "/v1/slots/{id}/bookings", tag = "bookings",
    params(
        ("id" = SlotId, Path, description = "The slot"),
        ("Idempotency-Key" = String, Header, description = "The key of the reserve"),
        OutcomeParameters,
    ),
    responses(
        (status = 201, description = "The seats are held", body = BookingBody),
        (status = 202, description = "The request with this key has not been decided yet", body = AcceptedBody),
        (status = 404, description = "`not_found`", body = Problem),
        (status = 409, description = "`sold_out`", body = Problem),
        (status = 422, description = "`invalid_field`, `idempotency_mismatch`", body = Problem),
    ),
)]
pub(super) async fn outcome(
    Shared(state): Shared<Arc<State>>,
    PathId(slot): PathId<SlotId>,
    key: IdempotencyKey,
    Parameters(parameters): Parameters<OutcomeParameters>,
) -> Result<Response, Refusal> {
    let seats = whole_number("seats", parameters.seats, 1, SEATS_MAX)?;
    let command = parsed(&state, slot, seats, key, false);
    let outcome = |shard: Arc<Shard>| {
        let command = &command;
        async move { shard.operations.outcome(command).await }
    };
    reserved(&command, state.shards.at(slot.doctor(), outcome).await?)
}

fn parsed(
    state: &State,
    slot: SlotId,
    seats: i32,
    key: IdempotencyKey,
    urgent: bool,
) -> ReserveCommand {
    let booking = BookingId::new(slot, rand::rng().random());
    pausing::announce_booking(booking);
    let hold_ms = pausing::hold_ms().unwrap_or(state.hold_ms);
    ReserveCommand { slot, seats, key, booking, hold_ms, urgent }
}

pub(super) fn reserved(command: &ReserveCommand, answer: Reserved) -> Result<Response, Refusal> {
    let ReserveCommand { slot, seats, .. } = *command;
    match answer {
        Reserved::Booked(body) => {
            let location = [(header::LOCATION, format!("/v1/bookings/{}", body.id))];
            Ok((StatusCode::CREATED, location, Json(body)).into_response())
        }
        Reserved::Accepted => {
            let location = [(header::LOCATION, format!("/v1/slots/{slot}/bookings?seats={seats}"))];
            let body = AcceptedBody { slot_id: slot, seats: seats.into() };
            Ok((StatusCode::ACCEPTED, location, Json(body)).into_response())
        }
        Reserved::SoldOut { slot_version, available_seats } => {
            Err(Refusal::sold_out(seats, slot_version, available_seats))
        }
        Reserved::KeyMismatch => Err(Refusal::new(
            ProblemCode::IdempotencyMismatch,
            "this key was used for another slot or another number of seats",
        )),
        Reserved::RetryLater => Err(Refusal::new(
            ProblemCode::RetryLater,
            "every try conflicted with other requests; nothing was written; retry with the same key",
        )),
        Reserved::NoSlot => {
            Err(Refusal::new(ProblemCode::NotFound, format!("slot {slot} does not exist")))
        }
    }
}

/// Confirm a booking
///
/// Confirms a pending booking while its hold lasts. Confirming a confirmed booking changes nothing.
#[utoipa::path(
    post, path = "/v1/bookings/{id}/confirm", tag = "bookings",
    params(("id" = BookingId, Path, description = "The booking")),
    responses(
        (status = 200, description = "Confirmed", body = BookingBody),
        (status = 404, description = "`not_found`", body = Problem),
        (status = 409, description = "`hold_expired`, `wrong_status`, `month_closed`", body = Problem),
        (status = 503, description = "`retry_later`: nothing was written", body = Problem),
    ),
)]
pub(super) async fn confirm(
    Shared(state): Shared<Arc<State>>,
    PathId(booking): PathId<BookingId>,
) -> Result<Json<BookingBody>, Refusal> {
    let confirm = |shard: Arc<Shard>| async move { shard.operations.confirm(booking).await };
    let answer = state.shards.at(booking.doctor(), confirm).await?;
    if matches!(answer, Changed::NoBooking) {
        state.refuse_archived(booking.month()).await?;
    }
    changed(booking, answer)
}

/// Cancel a booking
///
/// Returns the seats of a pending or confirmed booking. Cancelling a cancelled booking changes
/// nothing.
#[utoipa::path(
    delete, path = "/v1/bookings/{id}", tag = "bookings",
    params(("id" = BookingId, Path, description = "The booking")),
    responses(
        (status = 200, description = "Cancelled", body = BookingBody),
        (status = 404, description = "`not_found`", body = Problem),
        (status = 409, description = "`hold_expired`, `wrong_status`, `month_closed`", body = Problem),
        (status = 503, description = "`retry_later`: nothing was written", body = Problem),
    ),
)]
pub(super) async fn cancel(
    Shared(state): Shared<Arc<State>>,
    PathId(booking): PathId<BookingId>,
) -> Result<Json<BookingBody>, Refusal> {
    let cancel = |shard: Arc<Shard>| async move { shard.operations.cancel(booking).await };
    let answer = state.shards.at(booking.doctor(), cancel).await?;
    if matches!(answer, Changed::NoBooking) {
        state.refuse_archived(booking.month()).await?;
    }
    changed(booking, answer)
}

/// Read a booking
///
/// With its slot's version and seats, in one snapshot. A cache may answer: as old as the service
/// declares at most, and never older than `min_version`.
#[utoipa::path(
    get, path = "/v1/bookings/{id}", tag = "bookings",
    params(("id" = BookingId, Path, description = "The booking"), ReadParameters),
    responses(
        (status = 200, description = "The booking, with its slot's version in the same snapshot", body = BookingBody),
        (status = 404, description = "`not_found`", body = Problem),
        (status = 422, description = "`invalid_field`", body = Problem),
        (status = 503, description = "`retry_later`: `min_version` has not been reached", body = Problem),
    ),
)]
pub(super) async fn read(
    Shared(state): Shared<Arc<State>>,
    PathId(booking): PathId<BookingId>,
    Parameters(parameters): Parameters<ReadParameters>,
) -> Result<Json<BookingBody>, Refusal> {
    let min_version = parameters.min_version.unwrap_or_default();
    let read = |shard: Arc<Shard>| async move {
        shard.operations.read_booking(booking, min_version).await
    };
    match state.shards.at(booking.doctor(), read).await? {
        ReadAt::Found(body) => Ok(Json(body)),
        ReadAt::None => {
            state.refuse_archived(booking.month()).await?;
            Err(no_booking(booking))
        }
        ReadAt::NotYet => Err(Refusal::new(
            ProblemCode::RetryLater,
            format!("the slot of booking {booking} has not reached version {min_version}; retry"),
        )),
    }
}

pub(super) fn changed(booking: BookingId, answer: Changed) -> Result<Json<BookingBody>, Refusal> {
    match answer {
        Changed::Done(body) => Ok(Json(body)),
        Changed::HoldExpired => Err(Refusal::new(
            ProblemCode::HoldExpired,
            format!("the hold of booking {booking} has expired"),
        )),
        Changed::WrongStatus(status) => Err(Refusal::new(
            ProblemCode::WrongStatus,
            format!("booking {booking} is {}", status.name()),
        )),
        Changed::NoBooking => Err(no_booking(booking)),
        Changed::RetryLater => Err(Refusal::new(
            ProblemCode::RetryLater,
            "too many changes of bookings are waiting; nothing was written; retry",
        )),
    }
}

fn no_booking(booking: BookingId) -> Refusal {
    Refusal::new(ProblemCode::NotFound, format!("booking {booking} does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_size<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// The future of a handler is moved into a box of its own for each request. glibc keeps boxes of
    /// up to a kilobyte at hand for each thread; with the caches in it, a reserve took ten.
    #[test]
    fn a_reserve_carries_no_room_for_what_few_services_do() {
        let size = future_size(reserve);
        assert!(size < 1_024, "{size} bytes: box what is rarely awaited");
    }
}
