//! One place in a model, which a director leads along with the service: what the model says that
//! must be seen there.

use std::collections::{BTreeMap, VecDeque};

use slotproof_vocabulary::{BookingStatus, StrategyKind};

use crate::{
    database::{CallId, Decision},
    exploration::{Losses, Size},
    modelled::{Ask, ask},
    schedule::{Happening, Scheduled, meant},
    sentences::consequences,
    step::Step,
    strategy::Strategy,
    world::{Phase, World},
};

/// A place in the model of some strategy.
pub trait Walk: Send {
    /// Lets something happen. What can go on after it, of what has waited, goes on too.
    fn take(&mut self, what: &Happening) -> Taken;

    /// The step that a call has come to, by the name of its pause point; `None` if it is not in
    /// flight.
    fn point(&self, call: CallId) -> Option<&'static str>;

    /// Seats that each client asks for.
    fn seats(&self) -> i32;

    /// What must be seen.
    fn view(&self) -> View;

    /// The calls in flight that were let go and wait, in the order in which they began to.
    fn waiting(&self) -> Vec<Happening>;
}

/// What came of letting something happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It happened, and then what had waited for it went on.
    Done {
        /// All of it for people, in order.
        steps: Vec<Scheduled>,
        /// The step was to write, and wrote nothing: its try has failed.
        in_vain: bool,
    },
    /// Somebody else has what it needs. It happens as soon as it can.
    Waits {
        /// What it would do, for people.
        text: String,
    },
    /// It cannot happen here: the call is over, say, or the booking is not there.
    Impossible,
}

/// What everybody can see of a place, if only they look: the committed rows, who holds the locks,
/// and what clients were told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The slot's counter.
    pub available: i32,
    /// The slot's version.
    pub version: u32,
    /// The highest fencing token that has written.
    pub fence: u32,
    /// The bookings by the call that wrote them; and whether the time of a pending one has run out.
    pub bookings: BTreeMap<CallId, (BookingStatus, bool)>,
    /// What each client's key stands for: a booking, or a no.
    pub receipts: Vec<Option<Receipt>>,
    /// The transaction that holds the slot's row.
    pub slot_locked_by: Option<CallId>,
    /// The transaction that holds the lock of the slot's name.
    pub name_locked_by: Option<CallId>,
    /// Whether the lock in Redis is taken, and how many tokens it has given out.
    pub redis: (bool, u32),
    /// What each client was told last.
    pub told: Vec<Told>,
}

/// A receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// This booking.
    Booking(CallId),
    /// None, and the client is told so.
    Refused,
}

/// What a client was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing: it has not asked, or waits.
    Nothing,
    /// It has seats, by this booking.
    Booked(CallId),
    /// Too few seats.
    SoldOut,
    /// Come back later.
    RetryLater,
    /// Its booking is confirmed.
    Confirmed,
    /// Its booking is cancelled.
    Cancelled,
    /// Its hold has run out.
    HoldExpired,
}

/// The beginning of a walk.
pub fn begin(kind: StrategyKind, size: Size) -> Box<dyn Walk> {
    struct Begin(Size);
    impl Ask for Begin {
        type Answer = Box<dyn Walk>;

        fn of<S: Strategy>(self) -> Box<dyn Walk> {
            Box::new(Place::<S>::begin(self.0))
        }
    }
    ask(kind, Begin(size))
}

/// A world, and what was let go in it and waits.
#[derive(Debug, Clone)]
pub(crate) struct Place<S> {
    pub world: World<S>,
    waiting: VecDeque<Happening>,
}

impl<S: Strategy> Place<S> {
    /// A replay may lose what its schedule says.
    pub fn begin(size: Size) -> Self {
        Self::of(World::with_losses(size, Losses::Any))
    }

    pub fn of(world: World<S>) -> Self {
        Self { world, waiting: VecDeque::new() }
    }

    /// Whether this has been let go already and waits.
    fn has_been_let_go(&self, what: &Happening) -> bool {
        self.waiting.contains(what)
    }

    /// Takes a step of the world.
    fn happen(
        &mut self,
        step: Step<S>,
        noted: &mut impl FnMut(&World<S>, Step<S>, &World<S>),
    ) -> Option<()> {
        let mut next = self.world.clone();
        step.take(&mut next)?;
        noted(&self.world, step, &next);
        self.world = next;
        Some(())
    }

    /// Lets go on what can, of what has waited, in the order in which it began to.
    fn go_on(&mut self, noted: &mut impl FnMut(&World<S>, Step<S>, &World<S>)) {
        while let Some(index) = self
            .waiting
            .iter()
            .position(|what| meant(&self.world, what).is_none_or(|step| !step.waits(&self.world)))
        {
            let what = self.waiting.remove(index).expect("it was found there");
            if let Some(step) = meant(&self.world, &what) {
                self.happen(step, noted);
            }
        }
    }

    /// Lets something happen; each step that is taken is noted, with the world before and after it.
    pub fn take_noting(
        &mut self,
        what: &Happening,
        mut noted: impl FnMut(&World<S>, Step<S>, &World<S>),
    ) -> Fate<S> {
        let Some(step) = meant(&self.world, what) else { return Fate::Impossible };
        let what = Happening::from(step);
        if self.has_been_let_go(&what) {
            return Fate::Waits(step);
        }
        if step.waits(&self.world) {
            if !polls(&what) {
                self.waiting.push_back(what);
            }
            return Fate::Waits(step);
        }
        if let Happening::Crash { call } = &what {
            // Who crashes waits for nothing any more.
            let of_it = |waits: &Happening| matches!(waits, Happening::Call { call: waiting, .. } if waiting == call);
            self.waiting.retain(|waits| !of_it(waits));
        }
        if self.happen(step, &mut noted).is_none() {
            return Fate::Impossible;
        }
        self.go_on(&mut noted);
        Fate::Happens
    }
}

/// What letting something happen leads to.
pub(crate) enum Fate<S> {
    Happens,
    Waits(Step<S>),
    Impossible,
}

impl<S: Strategy> Walk for Place<S> {
    fn take(&mut self, what: &Happening) -> Taken {
        let (mut steps, mut in_vain) = (Vec::new(), false);
        let fate = self.take_noting(what, |before, step, after| {
            in_vain |= steps.is_empty() && wrote_nothing(step, after);
            let text = format!("{step}{}", consequences(before, after));
            steps.push(Scheduled { what: step.into(), text });
        });
        match fate {
            Fate::Happens => Taken::Done { steps, in_vain },
            Fate::Waits(step) => Taken::Waits { text: step.to_string() },
            Fate::Impossible => Taken::Impossible,
        }
    }

    fn point(&self, call: CallId) -> Option<&'static str> {
        self.world.calls().find(|(id, _)| *id == call).map(|(_, at)| at.point().name)
    }

    fn seats(&self) -> i32 {
        S::SEATS
    }

    fn view(&self) -> View {
        let database = &self.world.database;
        let told = |phase| match phase {
            Phase::Idle | Phase::Waiting { .. } | Phase::Unknown => Told::Nothing,
            Phase::Holding { booking, .. } => Told::Booked(booking),
            Phase::Confirmed { .. } => Told::Confirmed,
            Phase::Cancelled { .. } => Told::Cancelled,
            Phase::HoldExpired => Told::HoldExpired,
            Phase::SoldOut { .. } => Told::SoldOut,
            Phase::RetryLater => Told::RetryLater,
        };
        let receipt = |(client, _)| {
            database.decision(client).map(|decision| match decision {
                Decision::Booked(booking) => Receipt::Booking(booking),
                Decision::Refused { .. } => Receipt::Refused,
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
            told: self.world.clients.iter().map(|client| told(client.phase)).collect(),
        }
    }

    fn waiting(&self) -> Vec<Happening> {
        self.waiting.iter().cloned().collect()
    }
}

/// Whether the try that this step was of has failed by it.
fn wrote_nothing<S: Strategy>(step: Step<S>, after: &World<S>) -> bool {
    let Step::Call { id, at } = step else { return false };
    !at.has_failed() && after.calls().any(|(call, at)| call == id && at.has_failed())
}

/// A lock in Redis is asked for again and again; whoever does not get it stands before the same
/// step as before.
fn polls(what: &Happening) -> bool {
    matches!(what, Happening::Call { point, .. } if point == "acquire")
}
