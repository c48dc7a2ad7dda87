//! What the reference service asks through the pooler, where the topology has one: what is right,
//! and negative controls of it.

use serde::{Deserialize, Serialize};

/// What goes through a pooler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// All that requests ask. The pooler keeps the prepared statements of its clients apart, or the
    /// service does not start.
    #[default]
    Requests,
    /// Reads of slots and the writes of reservations: each in a transaction, by statements without
    /// a name. This is right with every pooler.
    Transactions,
    /// The same, and a read has no transaction (negative control).
    PgbouncerUnnamed,
    /// The same, and sweepers take turns by a lock of the session (negative control).
    PgbouncerSessionLock,
    /// The same, and a read sets up its session (negative control).
    PgbouncerSetLeak,
}

impl Pooling {
    /// Every way.
    pub const ALL: [Self; 5] = [
        Self::Requests,
        Self::Transactions,
        Self::PgbouncerUnnamed,
        Self::PgbouncerSessionLock,
        Self::PgbouncerSetLeak,
    ];

    /// The name on the command line and in topology files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Transactions => "transactions",
            Self::PgbouncerUnnamed => "pgbouncer_unnamed",
            Self::PgbouncerSessionLock => "pgbouncer_session_lock",
            Self::PgbouncerSetLeak => "pgbouncer_set_leak",
        }
    }

    /// Whether it is broken on purpose.
    pub fn is_negative_control(self) -> bool {
        match self {
            Self::Requests | Self::Transactions => false,
            Self::PgbouncerUnnamed | Self::PgbouncerSessionLock | Self::PgbouncerSetLeak => true,
        }
    }
}

crate::modes::read_and_shown_by_name!(Pooling, "pooling");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooling_has_one_name_on_the_command_line_and_in_files() {
        for pooling in Pooling::ALL {
            assert_eq!(pooling.name().parse(), Ok(pooling));
            assert_eq!(serde_json::to_value(pooling).expect("a word"), pooling.name());
        }
    }
}
