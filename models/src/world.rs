//! The whole state that is explored: the database, and every client with its calls in flight.

use crate::{
    database::{CALLS, CallId, Database},
    strategy::{Answer, Strategy},
};

/// What a client has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It has sent nothing.
    Idle,
    /// It waits for the answer to this call. `full_at` is the last version of the slot in which no seat was free,
    /// if there was one since the call began.
    Waiting { call: u8, full_at: Option<u8> },
    /// Told `ok` by this call. The booking may have been written by an earlier one.
    Holding { booking: CallId, told_by: u8 },
    /// Told that its booking is confirmed.
    Confirmed { booking: CallId },
    /// Told that its booking is cancelled.
    Cancelled,
    /// Told that its hold has expired.
    HoldExpired,
    /// Told `sold_out`, with a version of the slot in which no seat was free at some instant of the call, or not.
    SoldOut { honest: bool },
    /// Told to come back later.
    RetryLater,
    /// Never told anything, and out of retries.
    Unknown,
}

/// A client, and its calls that the service is still working on. A call can outlive the client's patience.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Client<S> {
    pub phase: Phase,
    pub calls: [Option<S>; CALLS],
}

/// One state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World<S> {
    pub database: Database,
    pub clients: Vec<Client<S>>,
}

impl<S: Strategy> World<S> {
    pub fn new(clients: u8, capacity: u8) -> Self {
        let client = Client { phase: Phase::Idle, calls: [None; CALLS] };
        Self { database: Database::new(clients, capacity), clients: vec![client; usize::from(clients)] }
    }

    pub fn client_mut(&mut self, client: u8) -> &mut Client<S> {
        &mut self.clients[usize::from(client)]
    }

    /// Every call that the service is working on.
    pub fn calls(&self) -> impl Iterator<Item = (CallId, S)> {
        self.clients.iter().zip(0..).flat_map(|(client, number)| {
            client
                .calls
                .iter()
                .zip(0..)
                .filter_map(move |(call, index)| call.map(|at| (CallId { client: number, call: index }, at)))
        })
    }

    /// A client sends `reserve` with its key.
    pub fn send(&mut self, id: CallId) {
        let client = self.client_mut(id.client);
        client.phase = Phase::Waiting { call: id.call, full_at: None };
        client.calls[usize::from(id.call)] = Some(S::BEGIN);
    }

    /// The service answers a call. Only a client that still waits for this call hears it.
    pub fn answer(&mut self, id: CallId, answer: Answer) {
        let client = self.client_mut(id.client);
        client.calls[usize::from(id.call)] = None;
        let Phase::Waiting { call, full_at } = client.phase else { return };
        if call == id.call {
            client.phase = match answer {
                Answer::Ok { booking } => Phase::Holding { booking, told_by: call },
                Answer::SoldOut { version } => Phase::SoldOut { honest: full_at == Some(version) },
                Answer::RetryLater => Phase::RetryLater,
            };
        }
    }

    /// The service loses a call: its transaction rolls back, and who waits for it sees the connection break.
    pub fn crash(&mut self, id: CallId) {
        self.database.rollback(id);
        let client = self.client_mut(id.client);
        client.calls[usize::from(id.call)] = None;
        if matches!(client.phase, Phase::Waiting { call, .. } if call == id.call) {
            self.lose_patience(id.client);
        }
    }

    /// A client that has no answer tries again with its key, if it has a retry left.
    pub fn lose_patience(&mut self, client: u8) {
        let Phase::Waiting { call, .. } = self.client_mut(client).phase else { return };
        if usize::from(call) + 1 < CALLS {
            self.send(CallId { client, call: call + 1 });
        } else {
            self.client_mut(client).phase = Phase::Unknown;
        }
    }

    /// Lets every call forget what can no longer make a difference, so that fewer states differ.
    pub fn forget(&mut self) {
        for call in self.clients.iter_mut().flat_map(|client| &mut client.calls).flatten() {
            *call = call.forget(&self.database);
        }
    }

    /// Notes for every client that waits whether the slot is full now, so that a `sold_out` can be judged.
    pub fn note_whether_full(&mut self) {
        if !self.database.is_full() {
            return;
        }
        for client in &mut self.clients {
            if let Phase::Waiting { full_at, .. } = &mut client.phase {
                *full_at = Some(self.database.slot.version);
            }
        }
    }
}
