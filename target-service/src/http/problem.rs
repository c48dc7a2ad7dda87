//! Refusals as problem+json (RFC 9457). The one place that maps a reason to an HTTP status.

use axum::{
    Json,
    extract::OriginalUri,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use slotproof_vocabulary::{
    Month,
    reference_api::{Problem, ProblemCode},
};

use crate::{database::ACQUIRE_TIMEOUT, months, reserve::ReserveError, sharding::Failed};

/// What a client is told where a request handler panicked.
pub(super) const BUG: &str = "the service failed on this request; this is a bug";

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
        let detail = format!("{wanted} seats requested, {available_seats} available");
        Self {
            seen: Some((slot_version, available_seats)),
            ..Self::new(ProblemCode::SoldOut, detail)
        }
    }
}

impl Refusal {
    pub(super) fn month_closed() -> Self {
        Self::new(
            ProblemCode::MonthClosed,
            "the month is closed: its bookings can be read and not changed; nothing was written",
        )
    }

    pub(super) fn month_not_open() -> Self {
        Self::new(
            ProblemCode::MonthNotOpen,
            "the database has no partition for the slot's month (UTC); nothing was written; slots \
             can be created in the current month and in the --months-ahead of serve",
        )
    }

    pub(super) fn month_archived(month: Month) -> Self {
        Self::new(
            ProblemCode::MonthClosed,
            format!("{month} is archived; slotproof months restore makes it readable again"),
        )
    }
}

#[cfg(test)]
impl Refusal {
    /// `409 sold_out`, then the title and the detail.
    pub(super) fn text(&self) -> String {
        let (status, title) = status_and_title(self.code);
        let code = serde_json::to_value(self.code).expect("a code is a string");
        let code = code.as_str().expect("a code is a string");
        format!("{} {code}\n    {title}\n    {}", status.as_u16(), self.detail)
    }
}

fn status_and_title(code: ProblemCode) -> (StatusCode, &'static str) {
    match code {
        ProblemCode::SoldOut => (StatusCode::CONFLICT, "Too few seats are left"),
        ProblemCode::HoldExpired => (StatusCode::CONFLICT, "The hold has expired"),
        ProblemCode::WrongStatus => {
            (StatusCode::CONFLICT, "The booking's status does not allow this operation")
        }
        ProblemCode::MonthClosed => (StatusCode::CONFLICT, "The month of the slot is closed"),
        ProblemCode::MonthNotOpen => (StatusCode::CONFLICT, "The month of the slot is not open"),
        ProblemCode::RetryLater => {
            (StatusCode::SERVICE_UNAVAILABLE, "Too many concurrent requests; retry")
        }
        ProblemCode::IdempotencyMismatch => {
            (StatusCode::UNPROCESSABLE_ENTITY, "The idempotency key was used for another request")
        }
        ProblemCode::IdempotencyKeyInvalid => {
            (StatusCode::BAD_REQUEST, "The idempotency key is missing or invalid")
        }
        ProblemCode::InvalidField => {
            (StatusCode::UNPROCESSABLE_ENTITY, "A field has an invalid value")
        }
        ProblemCode::MalformedBody => (StatusCode::BAD_REQUEST, "The body is malformed"),
        ProblemCode::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        ProblemCode::MethodNotAllowed => {
            (StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for this path")
        }
        ProblemCode::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
        ProblemCode::UnsupportedMediaType => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON")
        }
        ProblemCode::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "The service is temporarily unavailable")
        }
        ProblemCode::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal error: the outcome of the request is unknown",
        ),
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

impl<E: Into<Self>> From<Failed<E>> for Refusal {
    fn from(failed: Failed<E>) -> Self {
        match failed {
            Failed::Error(error) => error.into(),
            Failed::Moving => Self::new(
                ProblemCode::RetryLater,
                "the doctor's bookings are being moved to another shard; nothing was written; retry \
                 with the same key",
            ),
        }
    }
}

impl From<ReserveError> for Refusal {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::Database(error) => error.into(),
            ReserveError::Unavailable(reason) => Self::new(ProblemCode::Unavailable, reason),
            ReserveError::Unknown(reason) => {
                tracing::error!(reason, "the outcome of a reserve is unknown");
                Self::new(ProblemCode::Internal, reason)
            }
        }
    }
}

/// The failure may be that of a commit, so the client must take the outcome as unknown. Only where
/// no connection was to be had nothing was sent, and where a month takes no rows or no changes
/// nothing was written.
impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                let limit = ACQUIRE_TIMEOUT.as_secs();
                let detail = format!("no database connection became free within {limit} s");
                Self::new(ProblemCode::Unavailable, detail)
            }
            sqlx::Error::Database(error) if months::is_closed(&*error) => Self::month_closed(),
            sqlx::Error::Database(error) if months::is_missing(&*error) => Self::month_not_open(),
            error => {
                tracing::error!(%error, "the database failed during a request");
                let detail =
                    "the database failed during the request; the request may have been committed";
                Self::new(ProblemCode::Internal, detail)
            }
        }
    }
}

pub(super) async fn no_such_path(OriginalUri(uri): OriginalUri) -> Refusal {
    Refusal::new(ProblemCode::NotFound, format!("no resource at {}", uri.path()))
}

pub(super) async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> Refusal {
    Refusal::new(
        ProblemCode::MethodNotAllowed,
        format!("{method} is not allowed for {}", uri.path()),
    )
}

pub(super) fn panicked() -> Response {
    tracing::error!("a request handler panicked");
    Refusal::new(ProblemCode::Internal, BUG).into_response()
}
