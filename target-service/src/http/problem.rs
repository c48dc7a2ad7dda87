//! Refusals as problem+json (RFC 9457). The one place where a reason meets an HTTP status.

use std::any::Any;

use axum::{
    Json,
    extract::OriginalUri,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use slotproof_vocabulary::reference_api::{Problem, ProblemCode};

use crate::reserve::ReserveError;

/// A refusal on its way out.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: ProblemCode,
    detail: String,
    field: Option<&'static str>,
    seen: Option<(i64, i32)>,
}

impl Refusal {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), field: None, seen: None }
    }

    pub(crate) fn field(field: &'static str, detail: impl Into<String>) -> Self {
        Self { field: Some(field), ..Self::new(ProblemCode::InvalidField, detail) }
    }

    pub(crate) fn sold_out(wanted: i32, slot_version: i64, available_seats: i32) -> Self {
        let detail = format!("{wanted} seats were asked for and {available_seats} are left");
        Self {
            seen: Some((slot_version, available_seats)),
            ..Self::new(ProblemCode::SoldOut, detail)
        }
    }
}

fn status_and_title(code: ProblemCode) -> (StatusCode, &'static str) {
    match code {
        ProblemCode::SoldOut => (StatusCode::CONFLICT, "Too few seats are left"),
        ProblemCode::HoldExpired => (StatusCode::CONFLICT, "The hold has run out"),
        ProblemCode::WrongStatus => {
            (StatusCode::CONFLICT, "The booking's status does not allow this")
        }
        ProblemCode::RetryLater => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too much contention; try again")
        }
        ProblemCode::IdempotencyMismatch => {
            (StatusCode::UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request")
        }
        ProblemCode::IdempotencyKeyInvalid => {
            (StatusCode::BAD_REQUEST, "The idempotency key is missing or invalid")
        }
        ProblemCode::InvalidField => {
            (StatusCode::UNPROCESSABLE_ENTITY, "A field has an unacceptable value")
        }
        ProblemCode::MalformedBody => {
            (StatusCode::BAD_REQUEST, "The body is not what was expected")
        }
        ProblemCode::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        ProblemCode::MethodNotAllowed => {
            (StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed here")
        }
        ProblemCode::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
        ProblemCode::UnsupportedMediaType => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON")
        }
        ProblemCode::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "The service cannot take requests now")
        }
        ProblemCode::Internal => {
            (StatusCode::INTERNAL_SERVER_ERROR, "Something failed; it may have happened")
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title) = status_and_title(self.code);
        let name = serde_json::to_value(self.code).expect("a code is a string");
        let problem = Problem {
            r#type: format!("urn:slotproof:problem:{}", name.as_str().expect("a code is a string")),
            title: title.to_owned(),
            status: status.as_u16(),
            code: self.code,
            detail: self.detail,
            field: self.field.map(str::to_owned),
            slot_version: self.seen.map(|(version, _)| version),
            available_seats: self.seen.map(|(_, seats)| seats.into()),
        };
        let mut response = (status, Json(problem)).into_response();
        let problem_json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem_json);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<ReserveError> for Refusal {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::Database(error) => error.into(),
            ReserveError::Unavailable(reason) => Self::new(ProblemCode::Unavailable, reason),
            ReserveError::Unknown(reason) => {
                tracing::error!(reason, "a reserve has an unknown outcome");
                Self::new(ProblemCode::Internal, reason)
            }
        }
    }
}

/// Whatever the database failed with, a commit may be among what failed: the client must take it as
/// unknown.
impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                Self::new(ProblemCode::Unavailable, "no database connection was free in time")
            }
            error => {
                tracing::error!(%error, "a request failed in the database");
                Self::new(ProblemCode::Internal, "the database failed in the middle of the request")
            }
        }
    }
}

pub(super) async fn no_such_path(OriginalUri(uri): OriginalUri) -> Refusal {
    Refusal::new(ProblemCode::NotFound, format!("there is nothing at {}", uri.path()))
}

pub(super) async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> Refusal {
    Refusal::new(
        ProblemCode::MethodNotAllowed,
        format!("{method} is not allowed at {}", uri.path()),
    )
}

pub(super) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a request panicked");
    Refusal::new(ProblemCode::Internal, "the service has a bug").into_response()
}
