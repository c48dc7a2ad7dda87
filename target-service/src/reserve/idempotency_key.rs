//! The key by which duplicates of a reserve are recognised.

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
