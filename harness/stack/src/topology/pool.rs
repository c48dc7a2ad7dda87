//! How a pooler shares the connections of a database among its clients.

use std::{fmt, num::NonZeroU32};

use serde::Deserialize;

/// Settings of a pooler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// For how long a client has a connection of the server.
    pub mode: PoolMode,
    /// Connections to the server, per user and database.
    pub size: NonZeroU32,
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections by {}", self.size, self.mode.name())
    }
}

/// For how long a client has a connection of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolMode {
    /// As long as it is connected.
    Session,
    /// For one transaction.
    Transaction,
}

impl PoolMode {
    /// The name in topology files, which is PgBouncer's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
        }
    }
}
