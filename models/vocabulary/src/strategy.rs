//! The strategies: ways of making `reserve` safe, and the negative controls that are broken on purpose.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A strategy of the service. There is one file of this name in the service and one model of this name in the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyKind {
    /// Locks the slot's row, then decides.
    Pessimistic,
    /// Reads without a lock, writes only if the version is unchanged, tries again if not.
    Optimistic,
    /// Decides and writes in one conditional statement.
    Conditional,
    /// Negative control: reads the seats left, then books, with nothing to hold the number still.
    Unprotected,
    /// Negative control: writes back a number of seats that it read earlier.
    LostUpdate,
}

impl StrategyKind {
    /// Every strategy, the safe ones first.
    pub const ALL: [Self; 5] =
        [Self::Pessimistic, Self::Optimistic, Self::Conditional, Self::Unprotected, Self::LostUpdate];

    /// Broken on purpose: the checker must convict it.
    pub fn is_negative_control(self) -> bool {
        match self {
            Self::Pessimistic | Self::Optimistic | Self::Conditional => false,
            Self::Unprotected | Self::LostUpdate => true,
        }
    }

    /// The name on the command line, in files and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pessimistic => "pessimistic",
            Self::Optimistic => "optimistic",
            Self::Conditional => "conditional",
            Self::Unprotected => "unprotected",
            Self::LostUpdate => "lost_update",
        }
    }

    /// One line that says how it works.
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Pessimistic => "locks the slot's row (select ... for no key update), then writes",
            Self::Optimistic => {
                "reads without a lock, writes only if the version is unchanged, retries with jitter"
            }
            Self::Conditional => "one conditional statement, no version, no explicit lock",
            Self::Unprotected => "reads the seats left, then books: nothing holds the number still",
            Self::LostUpdate => "writes back a seat count that it read before others wrote",
        }
    }
}

impl fmt::Display for StrategyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StrategyKind {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, UnknownStrategy> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| UnknownStrategy(text.to_owned()))
    }
}

/// No strategy has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownStrategy(String);

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = StrategyKind::ALL.iter().map(|kind| kind.name()).collect();
        write!(f, "no strategy is called {:?}; there are {}", self.0, names.join(", "))
    }
}

impl std::error::Error for UnknownStrategy {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_on_the_command_line_and_in_json() {
        for kind in StrategyKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).expect("serializes"), format!("{:?}", kind.name()));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "optimstic".parse::<StrategyKind>().expect_err("misspelt").to_string();
        assert!(error.contains("optimstic") && error.contains("optimistic"), "{error}");
    }
}
