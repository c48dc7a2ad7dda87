//! Bodies, ids and queries: parsed at the edge, or refused with what is wrong and where.

use std::str::FromStr;

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{header, request::Parts},
};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use slotproof_vocabulary::reference_api::ProblemCode;

use super::problem::Refusal;

/// Bodies larger than this are refused: the largest valid one has a few hundred bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A body that is too large is read and discarded up to this length: a client that is still sending
/// when the connection closes sees a reset instead of the answer.
const DISCARDED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A JSON body, or a refusal that says where it is wrong.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let bytes = read(body).await?;
        let kind = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if kind
            .split(';')
            .next()
            .is_none_or(|kind| !kind.trim().eq_ignore_ascii_case("application/json"))
        {
            return Err(Refusal::new(
                ProblemCode::UnsupportedMediaType,
                "Content-Type must be application/json",
            ));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Refusal::new(ProblemCode::MalformedBody, format!("the body cannot be parsed: {error}"))
        })
    }
}

async fn read(body: axum::body::Body) -> Result<Vec<u8>, Refusal> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut seen = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            Refusal::new(ProblemCode::MalformedBody, format!("the body ended early: {error}"))
        })?;
        seen += chunk.len();
        if seen <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&chunk);
        } else if seen > DISCARDED_BYTES_MAX {
            break;
        }
    }
    if seen <= BODY_BYTES_MAX {
        Ok(bytes)
    } else {
        let detail = format!("the body is larger than {BODY_BYTES_MAX} bytes");
        Err(Refusal::new(ProblemCode::BodyTooLarge, detail))
    }
}

/// An id from the path. A text that is no id names no resource, so the answer is `not_found`.
pub(super) struct PathId<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for PathId<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let text = Path::<String>::from_request_parts(parts, state)
            .await
            .map(|Path(text)| text)
            .unwrap_or_default();
        text.parse()
            .map(Self)
            .map_err(|_| Refusal::new(ProblemCode::NotFound, format!("{text:?} is not a valid id")))
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
pub(super) fn whole_number(
    field: &'static str,
    value: i64,
    least: i32,
    most: i32,
) -> Result<i32, Refusal> {
    i32::try_from(value).ok().filter(|value| (least..=most).contains(value)).ok_or_else(|| {
        Refusal::field(field, format!("{field} is {value}; it must be between {least} and {most}"))
    })
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
        Err(Refusal::field(
            field,
            format!("{field} has {length} characters; it must have 1 to 200"),
        ))
    }
}
