//! Doctors: created by an administrator, read by everyone.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State as Shared,
    http::StatusCode,
    routing::{get, post},
};
use slotproof_vocabulary::{
    DoctorId,
    reference_api::{CreateDoctor, DoctorBody, DoctorList, Problem, ProblemCode},
};

use super::{
    problem::Refusal,
    request::{Body, PathId, short_text},
    state::State,
};
use crate::sharding::Shard;

pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/v1/doctors", get(list))
        .route("/v1/doctors/{id}", get(read))
        .route("/v1/admin/doctors", post(create))
}

/// List doctors
///
/// By id, 1,000 at most.
#[utoipa::path(get, path = "/v1/doctors", tag = "doctors", responses((status = 200, body = DoctorList)))]
pub(super) async fn list(Shared(state): Shared<Arc<State>>) -> Result<Json<DoctorList>, Refusal> {
    Ok(Json(DoctorList { items: state.shards.list_doctors().await? }))
}

/// Read a doctor
///
/// Nothing changes a doctor, so that a cache may answer however old it is.
#[utoipa::path(
    get, path = "/v1/doctors/{id}", tag = "doctors",
    params(("id" = DoctorId, Path, description = "The doctor")),
    responses((status = 200, body = DoctorBody), (status = 404, description = "`not_found`", body = Problem)),
)]
pub(super) async fn read(
    Shared(state): Shared<Arc<State>>,
    PathId(doctor): PathId<DoctorId>,
) -> Result<Json<DoctorBody>, Refusal> {
    let read = |shard: Arc<Shard>| async move { shard.operations.read_doctor(doctor).await };
    let read = state.shards.at(doctor, read).await?;
    let no_doctor =
        || Refusal::new(ProblemCode::NotFound, format!("doctor {doctor} does not exist"));
    read.map(Json).ok_or_else(no_doctor)
}

/// Create a doctor
#[utoipa::path(
    post, path = "/v1/admin/doctors", tag = "admin", request_body = CreateDoctor,
    responses(
        (status = 201, body = DoctorBody),
        (status = 400, description = "`malformed_body`", body = Problem),
        (status = 422, description = "`invalid_field`", body = Problem),
    ),
)]
pub(super) async fn create(
    Shared(state): Shared<Arc<State>>,
    Body(body): Body<CreateDoctor>,
) -> Result<(StatusCode, Json<DoctorBody>), Refusal> {
    let name = short_text("name", body.name)?;
    let specialty = short_text("specialty", body.specialty)?;
    Ok((StatusCode::CREATED, Json(state.shards.create_doctor(&name, &specialty).await?)))
}
