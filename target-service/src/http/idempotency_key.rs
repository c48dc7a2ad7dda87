//! The `Idempotency-Key` header, parsed once.

use axum::{extract::FromRequestParts, http::request::Parts};
use slotproof_vocabulary::reference_api::ProblemCode;

use super::problem::Refusal;
use crate::reserve::IdempotencyKey;

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let refusal = |detail: &str| Refusal::new(ProblemCode::IdempotencyKeyInvalid, detail);
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let value =
            values.next().ok_or_else(|| refusal("the Idempotency-Key header is missing"))?;
        if values.next().is_some() {
            return Err(refusal("the Idempotency-Key header is given more than once"));
        }
        Self::parse(value.as_bytes()).ok_or_else(|| {
            refusal("the Idempotency-Key header must be 1 to 255 visible ASCII characters")
        })
    }
}
