//! Slots: created by an administrator, read by everyone.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State as Shared,
    http::StatusCode,
    routing::{get, post},
};
use serde::Deserialize;
use slotproof_vocabulary::{
    DoctorId, Month, SlotId,
    reference_api::{CreateSlot, Problem, ProblemCode, SlotBody, SlotList},
};

use super::{
    problem::Refusal,
    request::{Body, Parameters, PathId, whole_number},
    state::State,
};
use crate::{catalogue, operations::ReadAt, read_model::SlotFilter, sharding::Shard};

/// See the constraint `appointment_slots_capacity_range`.
const CAPACITY_MAX: i32 = 1_000_000;

pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/v1/slots", get(list))
        .route("/v1/slots/{id}", get(read))
        .route("/v1/admin/slots", post(create))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Only slots of this doctor.
    doctor_id: Option<u32>,
    /// Only slots with seats left (`true`) or without (`false`).
    available: Option<bool>,
}

/// List slots
///
/// By start, 200 at most.
#[utoipa::path(
    get, path = "/v1/slots", tag = "slots", params(ListParameters),
    responses((status = 200, body = SlotList), (status = 422, description = "`invalid_field`", body = Problem)),
)]
pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Parameters(parameters): Parameters<ListParameters>,
) -> Result<Json<SlotList>, Refusal> {
    let filter =
        SlotFilter { doctor: parameters.doctor_id.map(DoctorId), available: parameters.available };
    Ok(Json(state.shards.list_slots(filter).await?))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadParameters {
    /// The highest version of the slot that the client has seen: the answer has it or a later one.
    pub(super) min_version: Option<i64>,
}

/// Read a slot
///
/// Counter, version and the seats of its bookings, in one snapshot. Where the database has standbys
/// or the service a cache, one of them may answer: as old as the service declares at most, and never
/// older than `min_version`.
#[utoipa::path(
    get, path = "/v1/slots/{id}", tag = "slots",
    params(("id" = SlotId, Path, description = "The slot"), ReadParameters),
    responses(
        (status = 200, body = SlotBody),
        (status = 404, description = "`not_found`", body = Problem),
        (status = 422, description = "`invalid_field`", body = Problem),
        (status = 503, description = "`retry_later`: `min_version` has not been reached", body = Problem),
    ),
)]
pub(super) async fn read(
    Shared(state): Shared<Arc<State>>,
    PathId(slot): PathId<SlotId>,
    Parameters(parameters): Parameters<ReadParameters>,
) -> Result<Json<SlotBody>, Refusal> {
    let min_version = parameters.min_version.unwrap_or_default();
    let read =
        |shard: Arc<Shard>| async move { shard.operations.read_slot(slot, min_version).await };
    match state.shards.at(slot.doctor(), read).await? {
        ReadAt::Found(body) => Ok(Json(body)),
        ReadAt::None => {
            state.refuse_archived(slot.month()).await?;
            Err(Refusal::new(ProblemCode::NotFound, format!("slot {slot} does not exist")))
        }
        ReadAt::NotYet => Err(Refusal::new(
            ProblemCode::RetryLater,
            format!("slot {slot} has not reached version {min_version}; retry"),
        )),
    }
}

/// Create a slot
#[utoipa::path(
    post, path = "/v1/admin/slots", tag = "admin", request_body = CreateSlot,
    responses(
        (status = 201, body = SlotBody),
        (status = 400, description = "`malformed_body`", body = Problem),
        (status = 404, description = "`not_found`: no such doctor", body = Problem),
        (status = 409, description = "`month_not_open`, `month_closed`", body = Problem),
        (status = 422, description = "`invalid_field`", body = Problem),
    ),
)]
pub(super) async fn create(
    Shared(state): Shared<Arc<State>>,
    Body(body): Body<CreateSlot>,
) -> Result<(StatusCode, Json<SlotBody>), Refusal> {
    let capacity = whole_number("capacity", body.capacity, 1, CAPACITY_MAX)?;
    let month = Month::of(body.starts_at).ok_or_else(|| {
        Refusal::field("starts_at", "starts_at must be in the years 2000 to 7461")
    })?;
    let CreateSlot { doctor_id: doctor, starts_at, .. } = body;
    let seat_rows = state.seat_rows;
    let create = |shard: Arc<Shard>| async move {
        catalogue::create_slot(&shard.pool, doctor, starts_at, month, capacity, seat_rows).await
    };
    let created = state.shards.add_at(doctor, create).await?;
    let no_doctor =
        || Refusal::new(ProblemCode::NotFound, format!("doctor {doctor} does not exist"));
    created.map(|slot| (StatusCode::CREATED, Json(slot))).ok_or_else(no_doctor)
}
