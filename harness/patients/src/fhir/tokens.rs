//! OAuth 2: access tokens for client credentials, which expire.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Form, Json,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{App, resources::Refusal};
use crate::patient::secret;

const CLIENT: &str = "slotproof";

/// What tokens are given for, and which are out.
pub(super) struct Tokens {
    pub(super) client_secret: String,
    pub(super) life: Duration,
    /// Each with the instant of its end.
    pub(super) given: Mutex<HashMap<String, Instant>>,
}

#[derive(Deserialize)]
pub(super) struct TokenRequest {
    grant_type: String,
    client_id: String,
    client_secret: String,
    #[serde(default)]
    scope: String,
}

/// Gives a token. Refusals here are those of OAuth, not of FHIR.
pub(super) async fn token(
    State(app): State<Arc<App>>,
    Form(request): Form<TokenRequest>,
) -> Response {
    let refused = |status, error| (status, Json(json!({ "error": error }))).into_response();
    if request.grant_type != "client_credentials" {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    if request.client_id != CLIENT || request.client_secret != app.tokens.client_secret {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client");
    }
    let (token, now) = (secret(), Instant::now());
    let mut tokens = app.tokens.given.lock().unwrap_or_else(PoisonError::into_inner);
    tokens.retain(|_, expires| *expires > now);
    tokens.insert(token.clone(), now + app.tokens.life);
    Json(json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": app.tokens.life.as_secs(),
        "scope": request.scope,
    }))
    .into_response()
}

pub(super) async fn authorize(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get(header::AUTHORIZATION);
    let token = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let expires = token.and_then(|token| {
        app.tokens.given.lock().unwrap_or_else(PoisonError::into_inner).get(token).copied()
    });
    match expires {
        Some(expires) if expires > Instant::now() => next.run(request).await,
        Some(_) => Refusal::of(StatusCode::UNAUTHORIZED, "expired", "the token has expired"),
        None => Refusal::of(StatusCode::UNAUTHORIZED, "login", "no token that is known"),
    }
}
