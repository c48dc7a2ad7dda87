//! The whole state that is explored: the database, and every client with its calls in flight.

use crate::{
    answer::{Answer, Decision},
    call::Call,
    call_id::{CALLS, CallId},
    database::Database,
    page::Page,
    size::{Losses, Size},
};

/// Where a client is, by the answers that it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It has sent nothing.
    Idle,
    /// It waits for the answer to this call. `full_at` is the last version of the slot in which no
    /// seat was free, if there was one since the call began; `path`, which of the strategy's paths
    /// the request takes.
    Waiting { call: u8, full_at: Option<u32>, path: u8 },
    /// This call answered `ok`. The booking may have been written by an earlier one.
    Holding { booking: CallId, answered_by: u8 },
    /// Its booking is confirmed.
    Confirmed { booking: CallId },
    /// Its booking is cancelled.
    Cancelled { booking: CallId },
    /// Its confirm or cancel was refused, because its hold has expired.
    HoldExpired,
    /// It got `sold_out`, with a version of the slot in which no seat was free at some instant of
    /// the call, or not.
    SoldOut { honest: bool },
    /// It got `retry_later`.
    RetryLater,
    /// It got no answer and is out of retries.
    Unknown,
}

/// A client, and its calls that the service is still working on. The service may go on with a call
/// after its client has stopped waiting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClientState {
    pub phase: Phase,
    pub calls: [Option<Call>; CALLS],
}

/// One state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub page: &'static Page,
    pub database: Database,
    pub clients: Vec<ClientState>,
    /// Answers that may still be lost; `None` if that is not limited.
    losses_left: Option<u8>,
}

impl World {
    pub fn new(page: &'static Page, size: Size) -> Self {
        Self::with_losses(page, size, size.losses())
    }

    pub fn with_losses(page: &'static Page, size: Size, losses: Losses) -> Self {
        let client = ClientState { phase: Phase::Idle, calls: [None; CALLS] };
        Self {
            page,
            database: Database::new(size.clients, size.capacity, page.seats),
            clients: vec![client; usize::from(size.clients)],
            losses_left: match losses {
                Losses::Any => None,
                Losses::AtMost(most) => Some(most),
            },
        }
    }

    pub fn client_mut(&mut self, client: u8) -> &mut ClientState {
        &mut self.clients[usize::from(client)]
    }

    /// Every call that the service is working on.
    pub fn calls(&self) -> impl Iterator<Item = (CallId, Call)> {
        self.clients.iter().zip(0..).flat_map(|(client, number)| {
            client.calls.iter().zip(0..).filter_map(move |(call, index)| {
                call.map(|at| (CallId { client: number, call: index }, at))
            })
        })
    }

    /// A client sends `reserve` with its key.
    pub fn send(&mut self, id: CallId, path: u8) {
        let call = Call::begin(self.page, path);
        let client = self.client_mut(id.client);
        client.phase = Phase::Waiting { call: id.call, full_at: None, path };
        client.calls[usize::from(id.call)] = Some(call);
    }

    /// The service answers a call.
    pub fn answer(&mut self, id: CallId, answer: Answer) {
        self.end(id);
        self.deliver(id, answer);
    }

    /// The service has done with a call.
    pub fn end(&mut self, id: CallId) {
        self.client_mut(id.client).calls[usize::from(id.call)] = None;
        (self.page.leave)(id, &mut self.database);
    }

    /// Only a client that still waits for this call gets its answer.
    fn deliver(&mut self, id: CallId, answer: Answer) {
        let client = self.client_mut(id.client);
        let Phase::Waiting { call, full_at, .. } = client.phase else { return };
        if call == id.call {
            client.phase = match answer {
                Answer::Ok { booking } => Phase::Holding { booking, answered_by: call },
                Answer::SoldOut { version } => Phase::SoldOut { honest: full_at == Some(version) },
                Answer::Refused { honest } => Phase::SoldOut { honest },
                Answer::RetryLater => Phase::RetryLater,
            };
        }
    }

    /// A client that got 202 polls for its receipt; `None`: there is none yet.
    pub fn poll(&mut self, client: u8) -> Option<()> {
        let Phase::Waiting { call, .. } = self.client_mut(client).phase else { return None };
        self.client_mut(client).phase = match self.database.decision(client)? {
            Decision::Booked(booking) => Phase::Holding { booking, answered_by: call },
            Decision::Refused { honest } => Phase::SoldOut { honest },
        };
        Some(())
    }

    /// Whether one more answer may be lost.
    pub fn may_lose(&self) -> bool {
        self.losses_left != Some(0)
    }

    /// The process that works on a call crashes: its transaction rolls back, and its client sees
    /// the connection break. Calls of the same process are lost with it.
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
        match self.client_mut(id.client).phase {
            Phase::Waiting { call, .. } if call == id.call => self.retry(id),
            _ => {}
        }
    }

    fn call(&self, id: CallId) -> Option<Call> {
        self.clients[usize::from(id.client)].calls[usize::from(id.call)]
    }

    /// A client stops waiting for a call, which goes on without it.
    pub fn time_out(&mut self, id: CallId) {
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
