//! The whole state that is explored: the database, and every client with its calls in flight.

use crate::{
    call::{Answer, Call},
    database::{CALLS, CallId, Database, Decision},
    exploration::{Losses, Size},
    strategy::Strategy,
};

/// What a client has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It has sent nothing.
    Idle,
    /// It waits for the answer to this call. `full_at` is the last version of the slot in which no
    /// seat was free, if there was one since the call began; `path`, which of the strategy's paths
    /// the request takes.
    Waiting { call: u8, full_at: Option<u32>, path: u8 },
    /// Told `ok` by this call. The booking may have been written by an earlier one.
    Holding { booking: CallId, told_by: u8 },
    /// Told that its booking is confirmed.
    Confirmed { booking: CallId },
    /// Told that its booking is cancelled.
    Cancelled { booking: CallId },
    /// Told that its hold has expired.
    HoldExpired,
    /// Told `sold_out`, with a version of the slot in which no seat was free at some instant of the
    /// call, or not.
    SoldOut { honest: bool },
    /// Told to come back later.
    RetryLater,
    /// Never told anything, and out of retries.
    Unknown,
}

/// A client, and its calls that the service is still working on. A call can outlive the client's
/// patience.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Client<S> {
    pub phase: Phase,
    pub calls: [Option<Call<S>>; CALLS],
}

/// One state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World<S> {
    pub database: Database,
    pub clients: Vec<Client<S>>,
    /// Answers that may still be lost; `None` if that is not limited.
    losses_left: Option<u8>,
}

impl<S: Strategy> World<S> {
    pub fn new(size: Size) -> Self {
        Self::with_losses(size, size.losses())
    }

    pub fn with_losses(size: Size, losses: Losses) -> Self {
        let client = Client { phase: Phase::Idle, calls: [None; CALLS] };
        Self {
            database: Database::new(size.clients, size.capacity, S::SEATS),
            clients: vec![client; usize::from(size.clients)],
            losses_left: match losses {
                Losses::Any => None,
                Losses::AtMost(most) => Some(most),
            },
        }
    }

    pub fn client_mut(&mut self, client: u8) -> &mut Client<S> {
        &mut self.clients[usize::from(client)]
    }

    /// Every call that the service is working on.
    pub fn calls(&self) -> impl Iterator<Item = (CallId, Call<S>)> {
        self.clients.iter().zip(0..).flat_map(|(client, number)| {
            client.calls.iter().zip(0..).filter_map(move |(call, index)| {
                call.map(|at| (CallId { client: number, call: index }, at))
            })
        })
    }

    /// A client sends `reserve` with its key.
    pub fn send(&mut self, id: CallId, path: u8) {
        let client = self.client_mut(id.client);
        client.phase = Phase::Waiting { call: id.call, full_at: None, path };
        client.calls[usize::from(id.call)] = Some(Call::begin(path));
    }

    /// The service answers a call.
    pub fn answer(&mut self, id: CallId, answer: Answer) {
        self.end(id);
        self.tell(id, answer);
    }

    /// The service has done with a call.
    pub fn end(&mut self, id: CallId) {
        self.client_mut(id.client).calls[usize::from(id.call)] = None;
        S::leave(id, &mut self.database);
    }

    /// Only a client that still waits for this call hears its answer.
    fn tell(&mut self, id: CallId, answer: Answer) {
        let client = self.client_mut(id.client);
        let Phase::Waiting { call, full_at, .. } = client.phase else { return };
        if call == id.call {
            client.phase = match answer {
                Answer::Ok { booking } => Phase::Holding { booking, told_by: call },
                Answer::SoldOut { version } => Phase::SoldOut { honest: full_at == Some(version) },
                Answer::Refused { honest } => Phase::SoldOut { honest },
                Answer::RetryLater => Phase::RetryLater,
            };
        }
    }

    /// A client that was told 202 asks for its receipt; `None`: there is none yet.
    pub fn poll(&mut self, client: u8) -> Option<()> {
        let Phase::Waiting { call, .. } = self.client_mut(client).phase else { return None };
        self.client_mut(client).phase = match self.database.decision(client)? {
            Decision::Booked(booking) => Phase::Holding { booking, told_by: call },
            Decision::Refused { honest } => Phase::SoldOut { honest },
        };
        Some(())
    }

    /// Whether one more answer may be lost.
    pub fn may_lose(&self) -> bool {
        self.losses_left != Some(0)
    }

    /// Whoever works on a call crashes: its transaction rolls back, and who waits for it sees the
    /// connection break. Calls of the same process are lost with it.
    pub fn crash(&mut self, id: CallId) {
        self.count_loss();
        let process = self.call(id).and_then(Call::process);
        let lost: Vec<CallId> = self
            .calls()
            .filter(|(other, at)| *other == id || (process.is_some() && at.process() == process))
            .map(|(other, _)| other)
            .collect();
        lost.into_iter().for_each(|call| self.lose(call));
    }

    /// PostgreSQL crashes: what is not on disk never was, and every call is lost.
    pub fn crash_database(&mut self) {
        self.count_loss();
        let calls: Vec<CallId> = self.calls().map(|(call, _)| call).collect();
        calls.into_iter().for_each(|call| self.lose(call));
        self.database.recover();
    }

    fn lose(&mut self, id: CallId) {
        self.database.rollback(id);
        let goes_on = self.call(id).and_then(Call::after_crash);
        if goes_on.is_some() {
            self.client_mut(id.client).calls[usize::from(id.call)] = goes_on;
            return;
        }
        self.end(id);
        if matches!(self.client_mut(id.client).phase, Phase::Waiting { call, .. } if call == id.call)
        {
            self.retry(id);
        }
    }

    fn call(&self, id: CallId) -> Option<Call<S>> {
        self.clients[usize::from(id.client)].calls[usize::from(id.call)]
    }

    /// A client waits no longer for a call, which goes on without it.
    pub fn hear_nothing(&mut self, id: CallId) {
        self.count_loss();
        self.retry(id);
    }

    fn count_loss(&mut self) {
        if let Some(left) = &mut self.losses_left {
            *left = left.saturating_sub(1);
        }
    }

    /// A client that has no answer to a call tries again with its key, if it has a retry left.
    fn retry(&mut self, id: CallId) {
        let Phase::Waiting { path, .. } = self.client_mut(id.client).phase else { return };
        if usize::from(id.call) + 1 < CALLS {
            self.send(CallId { call: id.call + 1, ..id }, path);
        } else {
            self.client_mut(id.client).phase = Phase::Unknown;
        }
    }

    /// Notes for every client that waits whether the slot is full now, so that a `sold_out` can be
    /// judged.
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
