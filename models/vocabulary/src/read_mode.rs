//! How the reference service reads slots where the topology has standbys of its database: the split
//! that is right, and negative controls of it.

use serde::{Deserialize, Serialize};

/// How reads are spread over a primary and its standbys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadMode {
    /// A standby answers if it has the version that the client has seen, is no older than declared,
    /// and is not ahead of what the primary shows; else the primary. Decisions are made on the
    /// primary.
    #[default]
    Split,
    /// A standby answers whatever the client has seen (negative control).
    ReplicaReadNoToken,
    /// A standby answers however old it is, while a staleness is declared (negative control).
    ReplicaStalenessUndeclared,
    /// A standby decides that a slot is sold out (negative control).
    ReplicaDecides,
    /// A standby answers with what the primary does not show yet (negative control).
    ReplicaReadAhead,
}

impl ReadMode {
    /// Every mode.
    pub const ALL: [Self; 5] = [
        Self::Split,
        Self::ReplicaReadNoToken,
        Self::ReplicaStalenessUndeclared,
        Self::ReplicaDecides,
        Self::ReplicaReadAhead,
    ];

    /// The name on the command line and in topology files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::ReplicaReadNoToken => "replica_read_no_token",
            Self::ReplicaStalenessUndeclared => "replica_staleness_undeclared",
            Self::ReplicaDecides => "replica_decides",
            Self::ReplicaReadAhead => "replica_read_ahead",
        }
    }

    /// Whether it is broken on purpose.
    pub fn is_negative_control(self) -> bool {
        self != Self::Split
    }
}

crate::modes::read_and_shown_by_name!(ReadMode, "read mode");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_has_one_name_on_the_command_line_and_in_files() {
        for mode in ReadMode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).expect("a word"), mode.name());
        }
    }
}
