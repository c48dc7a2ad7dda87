//! An operation on its way: its steps in order, each sent again where that is allowed, and the polls
//! of what was accepted and not decided.

use std::time::Duration;

use serde_json::{Map, Value};
use slotproof_vocabulary::{Outcome, ReasonCode};
use tokio::time::Instant;

use super::{
    capture::{Received, captured},
    compile::{FileTarget, Pauses, Step},
    exchange::{Exchanged, To},
    format::Meaning,
    interpreter::{OperationKind, Release},
    request::RequestTemplate,
    rule::Rule,
    scope::{Kept, Scope},
    values::{OfOperation, Values},
};
use crate::{connections::Connections, target::answer::Answer};

/// An operation on its way.
pub(super) struct Making<'a> {
    pub(super) target: &'a FileTarget,
    pub(super) http: &'a Connections,
    pub(super) scope: Scope<'a>,
    pub(super) client: minijinja::Value,
    pub(super) visit: minijinja::Value,
    pub(super) deadline: Instant,
    /// How often a step is sent at most, ...
    pub(super) attempts_max: u32,
    /// ... and how long an attempt waits that is not the last one.
    pub(super) resend: Duration,
    pub(super) shown: bool,
    /// What its steps have captured.
    pub(super) values: Map<String, Value>,
    /// How often the step that was sent most often was sent.
    pub(super) attempts: u32,
    /// Whether a step that went on had an attempt before that was not answered.
    pub(super) doubtful: bool,
    /// Steps that went on to the next one.
    pub(super) steps_done: usize,
    /// Whether one of them has set the seats aside.
    pub(super) seats_taken: bool,
    /// Whether the first request was sent, which had its turn before.
    pub(super) sent_any: bool,
    pub(super) exchanges: Vec<Exchanged>,
}

/// What a step came to.
enum StepEnd {
    /// The next step.
    Next,
    /// The operation begins again.
    Again,
    /// The operation has ended, unless the step is sent again, which waits for so long if the API
    /// says so.
    Answered(Answer, Option<Duration>),
    /// It was accepted, and its decision was asked for until the end.
    Polled(Answer),
}

impl Making<'_> {
    /// What the operation came to; `None` if it begins again.
    pub(super) async fn steps(&mut self, operation: OperationKind) -> Option<Answer> {
        let target = self.target;
        for step in &target.plan(operation).steps {
            // What sets seats aside may do so twice, also where the API knows the operation by its key
            // in the end.
            let end = match self.attempts_max {
                1 => self.step(operation, step, None).await,
                _ if step.takes_seats => self.step(operation, step, None).await,
                // On the heap: ten thousand clients need not make room for what few of them do.
                _ => Box::pin(self.step_with_resends(operation, step)).await,
            };
            match end {
                StepEnd::Next => {}
                StepEnd::Again => return None,
                StepEnd::Answered(answer, _) | StepEnd::Polled(answer) => return Some(answer),
            }
        }
        // A file whose last step says `next` is refused.
        Some(Answer::unknown(ReasonCode::Undecided))
    }

    /// An unanswered attempt may still be in flight: after one, only `ok` is certain. `ok` repeats
    /// the receipt, whichever attempt wrote it; a refusal is about its own attempt only.
    async fn step_with_resends(&mut self, operation: OperationKind, step: &Step) -> StepEnd {
        let mut doubtful = false;
        for number in 1..=self.attempts_max {
            self.attempts = self.attempts.max(number);
            let begun = Instant::now();
            let left = self.deadline.saturating_duration_since(begun);
            let last = number == self.attempts_max || left <= self.resend;
            let patience = if last { left } else { self.resend };
            let (answer, wait) = match self.step(operation, step, Some(patience)).await {
                StepEnd::Answered(answer, wait) => (answer, wait.unwrap_or_default()),
                StepEnd::Polled(answer) => return StepEnd::Polled(answer.doubted(doubtful)),
                // An attempt before this one may have been carried out too.
                end => {
                    self.doubtful |= doubtful;
                    return end;
                }
            };
            let wait = wait.min(self.deadline.saturating_duration_since(Instant::now()));
            let resend_at = (begun + self.resend).max(Instant::now() + wait);
            if last || !answer.may_be_resent() || resend_at >= self.deadline {
                return StepEnd::Answered(answer.doubted(doubtful), None);
            }
            doubtful |= answer.outcome == Outcome::Unknown;
            tokio::time::sleep_until(resend_at).await;
        }
        unreachable!("the last attempt returns")
    }

    async fn step(
        &mut self,
        operation: OperationKind,
        step: &Step,
        patience: Option<Duration>,
    ) -> StepEnd {
        let received = match self.exchange(&step.request, operation, patience).await {
            Ok(received) => received,
            // An earlier step was answered, and may have taken seats: a connection that is
            // refused now is no definite no.
            Err(answer) => return StepEnd::Answered(answer.doubted(self.steps_done > 0), None),
        };
        let Some(rule) = self.matching(&step.rules, &received) else {
            let answer = Answer::unknown(ReasonCode::Http(received.status));
            return StepEnd::Answered(answer, retry_after(&received.headers));
        };
        match rule.means {
            Meaning::Next => {
                self.steps_done += 1;
                self.seats_taken |= step.takes_seats;
                self.values.extend(captured(&rule.captures, &received));
                StepEnd::Next
            }
            Meaning::Again => StepEnd::Again,
            Meaning::Poll => {
                self.values.extend(captured(&rule.captures, &received));
                StepEnd::Polled(self.poll(operation, rule, step).await)
            }
            _ => StepEnd::Answered(
                self.answer(operation, rule, &received),
                retry_after(&received.headers),
            ),
        }
    }

    async fn exchange(
        &mut self,
        template: &RequestTemplate,
        operation: OperationKind,
        patience: Option<Duration>,
    ) -> Result<Received, Answer> {
        let key = self.target.idempotency.as_ref();
        let key = key.filter(|_| operation == OperationKind::Reserve);
        if std::mem::replace(&mut self.sent_any, true) {
            self.target.limits.turn().await;
            // Its turn came too late: what was sent before may still be carried out.
            if Instant::now() >= self.deadline {
                return Err(Answer::unknown(ReasonCode::Timeout));
            }
        }
        let to = To { http: self.http, base_url: self.scope.base_url, patience };
        let sent = self.target.send(to, template, &self.names(), key, self.shown).await;
        // Nothing was sent: it changed nothing.
        let sent = sent.map_err(|reason| {
            Answer::because(Outcome::Throttled, ReasonCode::of_service(&reason))
        })?;
        if self.shown {
            self.exchanges.push(sent.exchanged);
        }
        sent.received
    }

    pub(super) fn names(&self) -> Values<'_> {
        let Self { target, scope, client, visit, values, .. } = self;
        Values::operation(OfOperation { target, scope, client, visit, captured: values })
    }

    /// The first rule that matches, noted on the exchange.
    fn matching<'r>(&mut self, rules: &'r [Rule], received: &Received) -> Option<&'r Rule> {
        let rule = rules.iter().find(|rule| rule.matches(received));
        if let (Some(rule), Some(exchanged)) = (rule, self.exchanges.last_mut()) {
            exchanged.matched = Some((rule.means, rule.line));
        }
        rule
    }

    /// Asks until the operation is decided or its time is over.
    async fn poll(&mut self, operation: OperationKind, rule: &Rule, step: &Step) -> Answer {
        let Some(poll) = &rule.poll else { return Answer::unknown(ReasonCode::Undecided) };
        let rules = poll.rules.as_ref().unwrap_or(&step.rules);
        let Pauses { first: mut pause, longest } = step.every;
        // What the last answer was, if no rule says what it means.
        let mut unmatched = None;
        while Instant::now() + pause < self.deadline {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
            // A poll that fails decides nothing; nor does one that no rule matches.
            let exchanged = self.exchange(&poll.request, operation, None).await;
            let Ok(received) = exchanged else { continue };
            let Some(rule) = self.matching(rules, &received) else {
                unmatched = Some(ReasonCode::Http(received.status));
                continue;
            };
            unmatched = None;
            match rule.means {
                Meaning::Ok | Meaning::SoldOut | Meaning::Rejected => {
                    let answer = self.answer(operation, rule, &received);
                    // One that cannot be read is asked for again.
                    if answer.outcome != Outcome::Unknown {
                        return answer;
                    }
                }
                Meaning::Throttled
                | Meaning::Unknown
                | Meaning::Next
                | Meaning::Again
                | Meaning::Poll => {}
            }
        }
        Answer::unknown(unmatched.unwrap_or(ReasonCode::Undecided))
    }

    /// Keeps what the booking needs later, and says what a failed reserve has to give back.
    pub(super) fn end(&mut self, operation: OperationKind, answer: &Answer) -> Option<Release> {
        let reserves = operation == OperationKind::Reserve;
        let aborted = reserves && answer.outcome != Outcome::Ok && self.steps_done > 0;
        let seats_taken = self.seats_taken;
        let release = (aborted && self.target.reserve.on_abort.is_some()).then(|| {
            let base_url = self.scope.base_url.to_owned();
            Release { base_url, names: self.names().owned(), seats_taken }
        });
        let made = answer.outcome == Outcome::Ok;
        match operation {
            OperationKind::Reserve if !made && answer.outcome != Outcome::Unknown => {
                self.target.limits.give_back_booking();
            }
            OperationKind::Reserve => {
                if let Some(booking) = answer.seen.booking.as_deref().filter(|_| made) {
                    let captured = std::mem::take(&mut self.values);
                    if self.target.keeps_captures {
                        let visit = self.visit.clone();
                        self.scope.session.keep(booking, Kept { visit, captured });
                    }
                }
            }
            OperationKind::Cancel => {
                if let Some(booking) = self.scope.booking.filter(|_| made) {
                    self.scope.session.forget(booking);
                }
            }
            OperationKind::Confirm | OperationKind::Read | OperationKind::Booking => {}
        }
        release
    }

    fn answer(&mut self, operation: OperationKind, rule: &Rule, received: &Received) -> Answer {
        let target = self.target;
        let answer = target.answer(operation, rule, received, &self.values);
        if target.keeps_captures || target.reserve.on_abort.is_some() {
            self.values.extend(captured(&rule.captures, received));
        }
        answer
    }
}

/// How long the API asks a client to wait before it asks again; a date is not followed.
fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
