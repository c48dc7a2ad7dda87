//! For operators: liveness, readiness, metrics and the API description.

use std::time::{Duration, Instant};

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State as Shared},
    middleware::Next,
    response::Response,
    routing::get,
};
use futures::future::try_join_all;
use serde_json::{Value, json};
use slotproof_vocabulary::reference_api::ProblemCode;
use utoipa::OpenApi;

use super::{bookings, doctors, problem::Refusal, reports, slots, state::State};
use crate::metrics;

/// A service whose database takes longer than this to answer `select 1` is not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

pub(super) fn router() -> Router<State> {
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
async fn readyz(Shared(state): Shared<State>) -> Result<Json<Value>, Refusal> {
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
    if state.needs.publisher.is_some_and(|publisher| !publisher.is_connected()) {
        return Err(Refusal::new(ProblemCode::Unavailable, "RabbitMQ is not connected"));
    }
    if let Some(mut redis) = state.needs.redis {
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
async fn prometheus(Shared(state): Shared<State>) -> String {
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

/// Counts and times every request by its route. Requests that match no route share one series, so
/// that a scanner cannot create a million.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let method = match request.method().as_str() {
        known @ ("GET" | "POST" | "DELETE" | "PUT" | "PATCH" | "HEAD" | "OPTIONS") => {
            known.to_owned()
        }
        _ => "other".to_owned(),
    };
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let begun = Instant::now();
    let response = next.run(request).await;
    metrics::request_answered(&method, &route, response.status().as_u16(), begun.elapsed());
    response
}
