//! Reports: counts over many slots, as they were a few seconds ago.

use std::sync::Arc;

use axum::{Json, Router, extract::State as Shared, routing::get};
use serde::Deserialize;
use slotproof_vocabulary::{
    DoctorId,
    reference_api::{OccupancyReport, Problem},
};

use super::{problem::Refusal, request::Parameters, state::State};

pub(super) fn router() -> Router<Arc<State>> {
    Router::new().route("/v1/reports/occupancy", get(occupancy))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OccupancyParameters {
    /// Only slots of this doctor.
    doctor_id: Option<u32>,
}

/// Occupancy by doctor and month
///
/// As it was at `as_of`: the counts are made anew in the background when they are asked for and are
/// older than five seconds.
#[utoipa::path(
    get, path = "/v1/reports/occupancy", tag = "reports", params(OccupancyParameters),
    responses((status = 200, body = OccupancyReport), (status = 422, description = "`invalid_field`", body = Problem)),
)]
pub(super) async fn occupancy(
    Shared(state): Shared<Arc<State>>,
    Parameters(parameters): Parameters<OccupancyParameters>,
) -> Result<Json<OccupancyReport>, Refusal> {
    Ok(Json(state.shards.occupancy(parameters.doctor_id.map(DoctorId)).await?))
}
