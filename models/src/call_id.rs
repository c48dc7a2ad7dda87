//! The names of calls.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Calls that one client may make with its key: the first one and one retry.
pub(crate) const CALLS: usize = 2;

/// One call of one client, both counted from zero; in files from one, as `client.call`. A booking
/// is named after the call that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallId {
    /// The client.
    pub client: u8,
    /// 0 for its first call, 1 for its retry.
    pub call: u8,
}

impl From<CallId> for String {
    fn from(call: CallId) -> Self {
        format!("{}.{}", call.client + 1, call.call + 1)
    }
}

impl TryFrom<String> for CallId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let from_one = |text: &str| text.parse::<u8>().ok()?.checked_sub(1);
        text.split_once('.')
            .and_then(|(client, call)| {
                Some(Self { client: from_one(client)?, call: from_one(call)? })
            })
            .filter(|call| usize::from(call.call) < CALLS)
            .ok_or_else(|| {
                format!(
                    "{text:?} is not a call: expected CLIENT.CALL, such as \"1.2\" for the retry \
                     of client 1"
                )
            })
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call {
            0 => write!(f, "client {}'s call", self.client + 1),
            _ => write!(f, "client {}'s retry", self.client + 1),
        }
    }
}
