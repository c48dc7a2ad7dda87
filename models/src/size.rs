//! How large the modelled world is.

/// How large the modelled world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Clients, each of which makes one booking.
    pub clients: u8,
    /// Seats of the slot.
    pub capacity: u8,
}

impl Size {
    /// More clients make too many states to see them all.
    pub const CLIENTS_MAX: u8 = 4;
    /// Clients do not compete for seats when there are more seats than clients.
    pub const SEATS_MAX: u8 = 4;

    /// How many answers may be lost, unless the caller chooses.
    ///
    /// A loss starts a second call of the client, often beside its first one. Three clients that
    /// may all lose answers have millions of states, so with more than two clients one answer may
    /// be lost.
    pub fn losses(self) -> Losses {
        if self.clients > 2 { Losses::AtMost(1) } else { Losses::Any }
    }
}

/// How many answers may be lost in one history, by a crash or because a client stops waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Losses {
    /// Each of them.
    Any,
    /// This many.
    AtMost(u8),
}
