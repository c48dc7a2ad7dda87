//! Bodies, ids and queries: parsed at the edge, and refused with the name of what is wrong.

use std::str::FromStr;

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use slotproof_vocabulary::wire::ProblemCode;

use super::problem::Refusal;

/// A JSON body, or a refusal that says where it is wrong.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let parsed = axum::Json::<T>::from_request(request, state).await;
        parsed.map(|axum::Json(body)| Self(body)).map_err(|rejection: JsonRejection| {
            let code = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::BodyTooLarge,
                StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
                _ => ProblemCode::MalformedBody,
            };
            Refusal::new(code, rejection.body_text())
        })
    }
}

/// An id from the path. What is not an id names nothing, so it is not found.
pub(super) struct PathId<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for PathId<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let text =
            Path::<String>::from_request_parts(parts, state).await.map(|Path(text)| text).unwrap_or_default();
        text.parse()
            .map(Self)
            .map_err(|_| Refusal::new(ProblemCode::NotFound, format!("{text:?} names nothing")))
    }
}

/// The query, or a refusal that says where it is wrong.
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Refusal::field("query", rejection.body_text())),
        }
    }
}

/// A whole number within bounds, as the integer that the database stores.
pub(super) fn whole_number(field: &'static str, value: i64, least: i32, most: i32) -> Result<i32, Refusal> {
    i32::try_from(value)
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| Refusal::field(field, format!("{field} is {value}; it must be {least} to {most}")))
}

/// A text whose length, in characters, is within 1 and 200, and that PostgreSQL can store.
pub(super) fn short_text(field: &'static str, value: String) -> Result<String, Refusal> {
    let length = value.chars().count();
    if value.contains('\0') {
        return Err(Refusal::field(field, format!("{field} contains a null character")));
    }
    if (1..=200).contains(&length) {
        Ok(value)
    } else {
        Err(Refusal::field(field, format!("{field} has {length} characters; it must have 1 to 200")))
    }
}
