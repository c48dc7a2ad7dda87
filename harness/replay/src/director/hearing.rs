//! The director's ears: reports of the service, answers to the clients, and the history that they
//! make; and when it is quiet.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use slotproof_evidence::reference::observation;
use slotproof_models::{CallId, LastAnswer};
use slotproof_scenarios::Answer;
use slotproof_target_service::pausing::Report;
use slotproof_vocabulary::{Action, Operation, Outcome, ProblemCode, ReasonCode};
use uuid::Uuid;

use super::{At, Director, Work};

/// A call that neither stops at a point nor waits for a lock for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);
/// How long a report is awaited before PostgreSQL is asked whether its call waits.
const PATIENCE: Duration = Duration::from_millis(2);

/// An answer that came back.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) work: Work,
    pub(super) answer: Answer,
    pub(super) returned_ns: u64,
}

impl Director<'_> {
    /// Waits until everything that is on its way stands before a step, waits for a lock, or is
    /// over. Answers who waits for whom.
    pub(super) async fn settle(&mut self) -> Result<BTreeMap<String, String>> {
        let begun = Instant::now();
        loop {
            self.hear();
            let going = self.going();
            if going.is_empty() {
                return Ok(BTreeMap::new());
            }
            anyhow::ensure!(
                begun.elapsed() < STUCK_AFTER,
                "{:?} neither stop at a step nor wait for a lock; they were let go {} s ago",
                going.iter().map(|work| self.full_name(*work)).collect::<Vec<_>>(),
                begun.elapsed().as_secs()
            );
            tokio::select! {
                Some(report) = self.reports.recv() => { self.note(report); continue }
                Some(heard) = self.answers.1.recv() => { self.listen(heard); continue }
                () = tokio::time::sleep(PATIENCE) => {}
            }
            let blocked = observation::blocked(&self.rig.database, &self.case).await?;
            let Some(blocked) = blocked else { continue };
            if self.hear() {
                // Somebody has gone on since PostgreSQL was asked: its answer may be out of date.
                continue;
            }
            // What waits does so until somebody else of ours goes on, and nobody does.
            let going = self.going();
            if going.iter().all(|work| blocked.contains_key(&self.full_name(*work))) {
                return Ok(blocked);
            }
        }
    }

    fn going(&self) -> Vec<Work> {
        self.work.iter().filter(|(_, at)| **at == At::Going).map(|(work, _)| *work).collect()
    }

    /// Whether there was anything to hear.
    fn hear(&mut self) -> bool {
        let mut anything = false;
        while let Ok(report) = self.reports.try_recv() {
            self.note(report);
            anything = true;
        }
        while let Ok(heard) = self.answers.1.try_recv() {
            self.listen(heard);
            anything = true;
        }
        anything
    }

    fn note(&mut self, report: Report) {
        let of =
            |name: &str| name.split_once('/').map(|(_, name)| name.to_owned()).unwrap_or_default();
        match report {
            Report::Parked { call, step } => {
                if let Ok(call) = CallId::try_from(of(&call)) {
                    // A call that asks for a lock in Redis again has not come further.
                    let (steps, last) = self.steps.entry(call).or_default();
                    if *last != step {
                        (*steps, *last) = (*steps + 1, step.clone());
                    }
                    self.work.insert(Work::Call(call), At::Parked(step));
                }
            }
            Report::Wants { call, booking } => {
                if let Ok(call) = CallId::try_from(of(&call)) {
                    self.bookings.insert(booking.as_uuid(), call);
                }
            }
            Report::Swept { call, .. } => {
                let work = self.work.keys().find(|work| work.name() == of(&call)).copied();
                if let Some(work) = work {
                    self.work.insert(work, At::Over);
                }
            }
        }
    }

    fn listen(&mut self, Heard { work, answer, returned_ns }: Heard) {
        // What is lost is not heard of again.
        if self.work.insert(work, At::Over) == Some(At::Over) {
            return;
        }
        match work {
            Work::Call(call) => {
                let client = usize::from(call.client);
                let Some((latest, sent_ns)) = self.clients[client].latest else { return };
                if latest != call.call || self.clients[client].answered {
                    return;
                }
                self.clients[client].booking = answer.seen.booking.as_deref().map(str::to_owned);
                self.clients[client].told = self.told_of_reserve(&answer);
                self.note_reserve(client, sent_ns, returned_ns, answer);
            }
            Work::Confirm(client) | Work::Cancel(client) => {
                let client = usize::from(client);
                let confirms = matches!(work, Work::Confirm(_));
                self.clients[client].told = match (answer.outcome, &answer.reason) {
                    (Outcome::Ok, _) if confirms => Some(LastAnswer::Confirmed),
                    (Outcome::Ok, _) => Some(LastAnswer::Cancelled),
                    (Outcome::Rejected, Some(ReasonCode::Problem(ProblemCode::HoldExpired))) => {
                        Some(LastAnswer::HoldExpired)
                    }
                    _ => None,
                };
                let Some(booking) = self.clients[client].booking.clone() else { return };
                let booking = booking.into();
                let action =
                    if confirms { Action::Confirm { booking } } else { Action::Cancel { booking } };
                let sent_ns = self.clients[client].asked_ns;
                self.note_operation(client, action, (sent_ns, returned_ns), 1, answer);
            }
            Work::Sweep(_) => {}
        }
    }

    fn told_of_reserve(&self, answer: &Answer) -> Option<LastAnswer> {
        match (answer.outcome, answer.seen.booking.as_deref()) {
            (Outcome::Ok, Some(id)) => {
                let id = Uuid::try_parse(id).ok()?;
                self.bookings.get(&id).copied().map(LastAnswer::Booked)
            }
            (Outcome::SoldOut, _) => Some(LastAnswer::SoldOut),
            (Outcome::Throttled, _) => Some(LastAnswer::RetryLater),
            _ => None,
        }
    }

    pub(super) fn note_reserve(
        &mut self,
        client: usize,
        sent_ns: u64,
        returned_ns: u64,
        answer: Answer,
    ) {
        self.clients[client].answered = true;
        let number = u8::try_from(client).expect("few clients");
        let seats = u32::try_from(self.walk.seats()).expect("a few seats");
        let action = Action::Reserve { seats, key: self.key(number).into() };
        let attempts = self.clients[client].latest.map_or(1, |(call, _)| u32::from(call) + 1);
        let answer = answer.doubted(attempts > 1);
        self.note_operation(client, action, (sent_ns, returned_ns), attempts, answer);
    }

    fn note_operation(
        &mut self,
        client: usize,
        action: Action,
        (sent_ns, returned_ns): (u64, u64),
        attempts: u32,
        mut answer: Answer,
    ) {
        if !matches!(action, Action::Reserve { .. }) {
            answer.seen.booking = None;
        }
        self.history.push(Operation {
            attempts,
            outcome: answer.outcome,
            reason: answer.reason.map(|reason| reason.to_string().into()),
            seen: answer.seen,
            ..Operation::new(client as u64, self.slot.to_string(), action, sent_ns, returned_ns)
        });
    }
}
