//! How the reference service keeps its shards, where the topology has them: what is right, and
//! negative controls of it.

use serde::{Deserialize, Serialize};

/// How shards are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardMode {
    /// A shard refuses what it does not own, and a bucket moves with all of its rows.
    #[default]
    Fenced,
    /// A bucket moves, and its owner goes on (negative control).
    TwoOwners,
    /// A bucket moves without what changed while it was copied (negative control).
    MoveWithoutTail,
    /// Each process finds doctors by a hash function with a seed of its own (negative control).
    DefaultHasher,
}

impl ShardMode {
    /// Every way.
    pub const ALL: [Self; 4] =
        [Self::Fenced, Self::TwoOwners, Self::MoveWithoutTail, Self::DefaultHasher];

    /// The name on the command line and in topology files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::TwoOwners => "two_owners",
            Self::MoveWithoutTail => "move_without_tail",
            Self::DefaultHasher => "default_hasher",
        }
    }

    /// Whether it is broken on purpose.
    pub fn is_negative_control(self) -> bool {
        self != Self::Fenced
    }
}

crate::modes::read_and_shown_by_name!(ShardMode, "shard mode");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_mode_has_one_name_on_the_command_line_and_in_files() {
        for mode in ShardMode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).expect("a word"), mode.name());
        }
    }
}
