//! The policy of `hybrid`: which path a booking takes, as data.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::reserve::ReserveCommand;

/// Which path a booking takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Optimistic tries before a booking goes to the queue.
    pub optimistic_tries: u32,
    /// A booking of this many seats or more is of high value.
    pub high_value_seats: i32,
    /// Whether a booking marked urgent is of high value.
    pub urgent_is_high_value: bool,
    /// Whether other regions take bookings too, so that the lock must lie outside this one.
    pub multi_region: bool,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("failed to read the policy {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no policy.
    #[error("failed to parse the policy {}: {source}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        source: toml::de::Error,
    },
}

impl Policy {
    /// Reads a TOML file with the keys of `hybrid.toml`.
    ///
    /// # Errors
    /// The file cannot be read, lacks a key, or has one that is unknown.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| PolicyError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| PolicyError::Malformed { path: path.to_owned(), source })
    }

    pub(super) fn is_high_value(&self, command: &ReserveCommand) -> bool {
        command.seats >= self.high_value_seats || (command.urgent && self.urgent_is_high_value)
    }
}

/// The policy of `hybrid.toml`, and of seed 3.3.
impl Default for Policy {
    fn default() -> Self {
        toml::from_str(include_str!("hybrid.toml")).expect("a test reads it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT_IN: &str = include_str!("hybrid.toml");

    #[test]
    fn the_policy_that_comes_with_the_service_is_read_and_an_unknown_word_is_refused() {
        let policy = Policy::default();
        assert!(policy.optimistic_tries > 0 && !policy.multi_region);
        assert!(toml::from_str::<Policy>(&format!("{BUILT_IN}\nretries = 3")).is_err());
    }

    #[test]
    fn a_policy_that_cannot_be_used_is_refused_with_the_name_of_its_file() {
        let missing = Policy::load(Path::new("no/such/policy.toml")).expect_err("no such file");
        assert!(missing.to_string().contains("no/such/policy.toml"), "{missing}");
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let other = Policy::load(&manifest).expect_err("another kind of file");
        assert!(other.to_string().contains("unknown field"), "{other}");
    }
}
