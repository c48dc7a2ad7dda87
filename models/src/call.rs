//! What happens around a strategy, whichever it is: receipts for duplicates, an honest `sold_out`, and trying again.
//! The service has it in `booking.rs`.

use crate::{
    database::{CallId, Database},
    strategy::{Next, Strategy},
};

/// Tries of a call before its client is told `retry_later`. The service allows more; two tries take every branch.
const TRIES_MAX: u8 = 2;

/// Where a call is. `tried` counts the tries that wrote nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call<S> {
    /// In a try of the strategy, before this step.
    Trying { at: S, tried: u8 },
    /// After a try that wrote nothing, before it looks how things stand.
    Wondering { tried: u8 },
}

/// What a step of a call leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress<S> {
    Waits,
    Goes(Call<S>),
    Answers(Answer),
}

/// What `reserve` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok { booking: CallId },
    SoldOut { version: u8 },
    RetryLater,
}

impl<S: Strategy> Call<S> {
    pub const BEGIN: Self = Self::Trying { at: S::BEGIN, tried: 0 };

    /// The step that comes next, as a sentence whose subject is the call.
    pub fn point(self) -> &'static str {
        match self {
            Self::Trying { at, .. } => at.point(),
            Self::Wondering { .. } => "reads its receipt and the slot in one snapshot",
        }
    }

    /// Takes that step.
    pub fn step(self, call: CallId, database: &mut Database) -> Progress<S> {
        match self {
            Self::Trying { at, tried } => match at.step(call, database) {
                Next::Waits => Progress::Waits,
                Next::Goes(at) => Progress::Goes(Self::Trying { at, tried }),
                Next::Took => Progress::Answers(Answer::Ok { booking: call }),
                Next::Nothing => Progress::Goes(Self::Wondering { tried: tried + 1 }),
            },
            Self::Wondering { tried } => look(tried, call, database),
        }
    }
}

/// One statement for both: in two, a booking could slip in between and be answered with `sold_out`.
fn look<S: Strategy>(tried: u8, call: CallId, database: &Database) -> Progress<S> {
    if let Some(booking) = database.receipt(call.client) {
        return Progress::Answers(Answer::Ok { booking });
    }
    if database.slot.available < 1 {
        return Progress::Answers(Answer::SoldOut { version: database.slot.version });
    }
    // A seat is there and the try did not get it: it lost a race.
    match tried {
        TRIES_MAX.. => Progress::Answers(Answer::RetryLater),
        _ => Progress::Goes(Call::Trying { at: S::BEGIN, tried }),
    }
}

#[cfg(test)]
mod tests {
    use stateright::Property;

    use super::*;
    use crate::{
        budget::{Budget, Timer},
        conditional::Conditional,
        exploration::{Limits, Size},
        optimistic::Optimistic,
        search::search,
        world::{Phase, World},
    };

    const ONE_SEAT: Size = Size { clients: 2, capacity: 1 };
    const TWO_SEATS: Size = Size { clients: 2, capacity: 2 };

    /// Whether some client is ever told `retry_later`, which needs somebody else to change the slot at every try.
    fn reaches_retry_later<S: Strategy>(size: Size) -> bool {
        fn told<S: Strategy>(world: &World<S>) -> bool {
            world.clients.iter().any(|client| client.phase == Phase::RetryLater)
        }
        let (timer, _guard) = Timer::start(Limits::default().time);
        let budget = Budget::new(Limits::default().states, &timer);
        let reached = Property::sometimes("retry_later", |_, world| told(world));
        search::<S>(size, budget, vec![reached]).paths.contains_key("retry_later")
    }

    #[test]
    fn a_client_can_lose_every_try_where_others_can_change_the_slot_often_enough() {
        assert!(!reaches_retry_later::<Optimistic>(ONE_SEAT));
        assert!(reaches_retry_later::<Optimistic>(TWO_SEATS));
        assert!(!reaches_retry_later::<Conditional>(TWO_SEATS));
        assert!(reaches_retry_later::<Conditional>(Size { clients: 3, capacity: 1 }));
    }
}
