//! A walk through a model, in step with the running service: what the model says must be visible
//! after each event.

use std::collections::{BTreeMap, VecDeque};

use slotproof_vocabulary::{BookingStatus, StrategyKind};

use crate::{
    answer::Decision,
    call_id::CallId,
    event::ModelEvent,
    page::page_of,
    schedule::ScheduledEvent,
    sentences::scheduled_event,
    size::{Losses, Size},
    transition::Transition,
    world::{Phase, World},
};

/// A world, and the events that have begun in it and wait for a lock.
#[derive(Debug, Clone)]
pub struct Walk {
    pub(crate) world: World,
    waiting: VecDeque<ModelEvent>,
}

/// What an event leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventEffect {
    /// It happened, and then what had waited for it went on.
    Done {
        /// All that happened, in order.
        steps: Vec<ScheduledEvent>,
        /// The step was to write, and wrote nothing: its try has failed.
        in_vain: bool,
    },
    /// Another call has what it needs. It happens as soon as it can.
    Waits {
        /// What it would do, as a sentence.
        text: String,
    },
    /// It cannot happen here: the call is over, for example, or the booking does not exist.
    Impossible,
}

/// What an observer can see of a world: the committed rows, the holders of the locks, and the
/// clients' answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The slot's counter.
    pub available: i32,
    /// The slot's version.
    pub version: u32,
    /// The highest fencing token that has written.
    pub fence: u32,
    /// The bookings by the call that wrote them, and whether a pending one has passed its expiry.
    pub bookings: BTreeMap<CallId, (BookingStatus, bool)>,
    /// The receipt of each client's key.
    pub receipts: Vec<Option<ReceiptView>>,
    /// The transaction that holds the slot's row.
    pub slot_locked_by: Option<CallId>,
    /// The transaction that holds the slot's advisory lock.
    pub name_locked_by: Option<CallId>,
    /// Whether the lock in Redis is taken, and how many tokens it has given out.
    pub redis: (bool, u32),
    /// The last answer of each client.
    pub answers: Vec<LastAnswer>,
}

/// A receipt, as an observer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptView {
    /// For this booking.
    Booking(CallId),
    /// For a refusal.
    Refused,
}

/// The last answer that a client got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastAnswer {
    /// None: it has not asked, or waits.
    Nothing,
    /// `ok`, with this booking.
    Booked(CallId),
    /// `sold_out`.
    SoldOut,
    /// `retry_later`.
    RetryLater,
    /// Its booking is confirmed.
    Confirmed,
    /// Its booking is cancelled.
    Cancelled,
    /// Its hold has expired.
    HoldExpired,
}

impl Walk {
    /// The beginning of a walk. Any answer may be lost in it, because its events are given from
    /// outside.
    pub fn begin(kind: StrategyKind, size: Size) -> Self {
        Self::of(World::with_losses(page_of(kind), size, Losses::Any))
    }

    pub(crate) fn of(world: World) -> Self {
        Self { world, waiting: VecDeque::new() }
    }

    /// Lets an event happen. Then everything goes on that has waited and no longer has to.
    pub fn take(&mut self, event: &ModelEvent) -> EventEffect {
        let (mut steps, mut in_vain) = (Vec::new(), false);
        let attempt = self.attempt(event, &mut |before, transition, after| {
            in_vain |= steps.is_empty() && wrote_nothing(transition, after);
            steps.push(scheduled_event(before, transition, after));
        });
        match attempt {
            Attempt::Happened => EventEffect::Done { steps, in_vain },
            Attempt::Waits(transition) => EventEffect::Waits { text: transition.to_string() },
            Attempt::Impossible => EventEffect::Impossible,
        }
    }

    /// The step that a call has come to, by the name of its pause point; `None` if it is not in
    /// flight.
    pub fn point(&self, call: CallId) -> Option<&'static str> {
        self.world.calls().find(|(id, _)| *id == call).map(|(_, at)| at.point().name)
    }

    /// Seats that each client asks for.
    pub fn seats(&self) -> i32 {
        self.world.page.seats
    }

    /// What must be visible now.
    pub fn view(&self) -> View {
        let database = &self.world.database;
        let answer = |phase| match phase {
            Phase::Idle | Phase::Waiting { .. } | Phase::Unknown => LastAnswer::Nothing,
            Phase::Holding { booking, .. } => LastAnswer::Booked(booking),
            Phase::Confirmed { .. } => LastAnswer::Confirmed,
            Phase::Cancelled { .. } => LastAnswer::Cancelled,
            Phase::HoldExpired => LastAnswer::HoldExpired,
            Phase::SoldOut { .. } => LastAnswer::SoldOut,
            Phase::RetryLater => LastAnswer::RetryLater,
        };
        let receipt = |(client, _)| {
            database.decision(client).map(|decision| match decision {
                Decision::Booked(booking) => ReceiptView::Booking(booking),
                Decision::Refused { .. } => ReceiptView::Refused,
            })
        };
        View {
            available: database.slot.available,
            version: database.slot.version,
            fence: database.slot.fence,
            bookings: database
                .bookings()
                .map(|(booking, row)| {
                    (booking, (row.status, row.overdue && row.status == BookingStatus::Pending))
                })
                .collect(),
            receipts: (0..).zip(&self.world.clients).map(receipt).collect(),
            slot_locked_by: database.slot_locked_by(),
            name_locked_by: database.name_locked_by(),
            redis: (database.redis.owner.is_some(), database.redis.tokens),
            answers: self.world.clients.iter().map(|client| answer(client.phase)).collect(),
        }
    }

    /// The events that have begun and wait, in the order in which they began.
    pub fn waiting(&self) -> Vec<ModelEvent> {
        self.waiting.iter().cloned().collect()
    }

    /// Lets an event happen; each transition that is made is noted, with the world before and after
    /// it.
    pub(crate) fn attempt(
        &mut self,
        event: &ModelEvent,
        noted: &mut dyn FnMut(&World, Transition, &World),
    ) -> Attempt {
        let Some(transition) = Transition::meant_by(event, &self.world) else {
            return Attempt::Impossible;
        };
        let event = ModelEvent::from(transition);
        if self.waiting.contains(&event) {
            return Attempt::Waits(transition);
        }
        if transition.waits(&self.world) {
            if !polls(&event) {
                self.waiting.push_back(event);
            }
            return Attempt::Waits(transition);
        }
        if let ModelEvent::Crash { call } = &event {
            // A call that crashes no longer waits.
            self.waiting.retain(
                |waits| !matches!(waits, ModelEvent::Call { call: waiting, .. } if waiting == call),
            );
        }
        if self.happen(transition, noted).is_none() {
            return Attempt::Impossible;
        }
        self.go_on(noted);
        Attempt::Happened
    }

    fn happen(
        &mut self,
        transition: Transition,
        noted: &mut dyn FnMut(&World, Transition, &World),
    ) -> Option<()> {
        let mut next = self.world.clone();
        transition.take(&mut next)?;
        noted(&self.world, transition, &next);
        self.world = next;
        Some(())
    }

    /// Lets everything go on that has waited and no longer has to, in the order in which it began.
    fn go_on(&mut self, noted: &mut dyn FnMut(&World, Transition, &World)) {
        let goes_on = |world: &World, event: &ModelEvent| {
            Transition::meant_by(event, world).is_none_or(|transition| !transition.waits(world))
        };
        while let Some(index) = self.waiting.iter().position(|event| goes_on(&self.world, event)) {
            let event = self.waiting.remove(index).expect("it was found there");
            if let Some(transition) = Transition::meant_by(&event, &self.world) {
                self.happen(transition, noted);
            }
        }
    }
}

/// What an attempt to let an event happen leads to.
pub(crate) enum Attempt {
    Happened,
    Waits(Transition),
    Impossible,
}

/// Whether the try of this transition has failed by it.
fn wrote_nothing(transition: Transition, after: &World) -> bool {
    let Transition::Call { id, at } = transition else { return false };
    !at.has_failed() && after.calls().any(|(call, at)| call == id && at.has_failed())
}

/// A lock in Redis is polled for: a call that does not get it stands before the same step as
/// before.
fn polls(event: &ModelEvent) -> bool {
    matches!(event, ModelEvent::Call { point, .. } if point == "acquire")
}
