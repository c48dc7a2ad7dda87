//! The `Idempotency-Key` header, parsed once.

use axum::{extract::FromRequestParts, http::request::Parts};
use slotproof_vocabulary::reference_api::ProblemCode;

use super::problem::Refusal;

/// Longer keys carry no more randomness and cost the index more.
const LENGTH_MAX: usize = 255;

/// A client's name for one logical request: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// `None`: not 1 to 255 visible ASCII characters.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let valid =
            (1..=LENGTH_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
        valid.then(|| Self(bytes.iter().copied().map(char::from).collect()))
    }
}

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let refusal = |detail: &str| Refusal::new(ProblemCode::IdempotencyKeyInvalid, detail);
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let value =
            values.next().ok_or_else(|| refusal("the Idempotency-Key header is missing"))?;
        if values.next().is_some() {
            return Err(refusal("there is more than one Idempotency-Key header"));
        }
        Self::parse(value.as_bytes()).ok_or_else(|| {
            refusal("the Idempotency-Key header must be 1 to 255 visible ASCII characters")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii_of_a_sane_length() {
        let accepted = |key: &str| IdempotencyKey::parse(key.as_bytes()).is_some();
        assert!(accepted("4f1d-17"));
        assert!(accepted(&"k".repeat(255)));
        for key in ["", "two words", "grüße", "tab\t", &"k".repeat(256)] {
            assert!(!accepted(key), "{key:?}");
        }
    }
}
