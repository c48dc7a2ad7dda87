//! Doctors: created by an administrator, read by everyone.

use axum::{
    Json, Router,
    extract::State as Shared,
    http::StatusCode,
    routing::{get, post},
};
use slotproof_vocabulary::reference_api::{CreateDoctor, DoctorBody, DoctorList, Problem};

use super::{
    problem::Refusal,
    request::{Body, short_text},
    state::State,
};
use crate::{catalogue, read_model};

pub(super) fn router() -> Router<State> {
    Router::new().route("/v1/doctors", get(list)).route("/v1/admin/doctors", post(create))
}

/// List doctors
///
/// By id, 1,000 at most.
#[utoipa::path(get, path = "/v1/doctors", tag = "doctors", responses((status = 200, body = DoctorList)))]
pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<DoctorList>, Refusal> {
    Ok(Json(DoctorList { items: read_model::list_doctors(&state.pool).await? }))
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
    Shared(state): Shared<State>,
    Body(body): Body<CreateDoctor>,
) -> Result<(StatusCode, Json<DoctorBody>), Refusal> {
    let name = short_text("name", body.name)?;
    let specialty = short_text("specialty", body.specialty)?;
    Ok((StatusCode::CREATED, Json(catalogue::create_doctor(&state.pool, &name, &specialty).await?)))
}
