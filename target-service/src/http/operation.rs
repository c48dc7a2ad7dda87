//! For operators: liveness, readiness, metrics and the API description.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State as Shared, routing::get};
use futures::future::try_join_all;
use serde_json::{Value, json};
use slotproof_vocabulary::reference_api::ProblemCode;
use utoipa::OpenApi;

use super::{bookings, doctors, problem::Refusal, reports, slots, state::State};
use crate::metrics;

/// A service whose database takes longer than this to answer `select 1` is not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
        .route("/openapi.json", get(openapi))
}

/// Is the process alive?
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200)))]
async fn healthz() -> Json<Value> {
    Json(json!({"status": "alive"}))
}

/// Can it take requests?
#[utoipa::path(get, path = "/readyz", tag = "operation", responses((status = 200), (status = 503, description = "`unavailable`")))]
async fn readyz(Shared(state): Shared<Arc<State>>) -> Result<Json<Value>, Refusal> {
    if *state.leaving.borrow() {
        return Err(Refusal::new(ProblemCode::Unavailable, "the service is stopping"));
    }
    let ping = |pool| sqlx::query_scalar!(r#"select 1 as "one!""#).fetch_one(pool);
    let pings = try_join_all(state.shards.pools().map(ping));
    match tokio::time::timeout(READY_WITHIN, pings).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            return Err(Refusal::new(
                ProblemCode::Unavailable,
                format!("the database is not ready: {error}"),
            ));
        }
        Err(_) => {
            return Err(Refusal::new(
                ProblemCode::Unavailable,
                format!("the database did not answer within {} s", READY_WITHIN.as_secs()),
            ));
        }
    }
    if state.needs.publisher.as_ref().is_some_and(|publisher| !publisher.is_connected()) {
        return Err(Refusal::new(ProblemCode::Unavailable, "RabbitMQ is not connected"));
    }
    if let Some(mut redis) = state.needs.redis.clone() {
        let pong: redis::RedisResult<String> = redis::cmd("PING").query_async(&mut redis).await;
        pong.map_err(|error| {
            Refusal::new(ProblemCode::Unavailable, format!("Redis is not ready: {error}"))
        })?;
    }
    // Processes that share a port are told apart by it.
    Ok(Json(json!({"status": "ready", "process": std::process::id()})))
}

/// Prometheus metrics
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, body = String)))]
async fn prometheus(Shared(state): Shared<Arc<State>>) -> String {
    metrics::pools_observed(state.shards.pools());
    metrics::recorder().render()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Slotproof reference service",
        description = "Books doctor appointments. Every decision carries the slot's version."
    ),
    paths(
        bookings::reserve,
        bookings::outcome,
        bookings::confirm,
        bookings::cancel,
        bookings::read,
        slots::list,
        slots::read,
        slots::create,
        doctors::list,
        doctors::read,
        doctors::create,
        reports::occupancy,
        healthz,
        readyz,
        prometheus,
    )
)]
struct Api;

async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}
