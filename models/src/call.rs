//! What happens around a strategy, whichever it is: receipts for duplicates, an honest `sold_out`,
//! and trying again. The service has it in `booking.rs`.

use crate::{
    database::{CallId, Database, Decision},
    strategy::{Next, Point, Strategy},
};

/// Where a call is. `tried` counts the tries that wrote nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call<S> {
    /// In a try of the strategy, before this step.
    Trying { at: S, tried: u8 },
    /// After a try that wrote nothing, before it looks how things stand. The next try begins at
    /// `again`.
    Wondering { again: S, tried: u8 },
}

/// What a step of a call leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress<S> {
    Waits,
    Goes(Call<S>),
    Answers(Answer),
    /// The work is done, and nobody waits for an answer to it.
    Ends,
}

impl<S> Progress<S> {
    /// The same for a strategy that wraps this one.
    pub fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Progress<T> {
        match self {
            Self::Waits => Progress::Waits,
            Self::Goes(Call::Trying { at, tried }) => {
                Progress::Goes(Call::Trying { at: wrap(at), tried })
            }
            Self::Goes(Call::Wondering { again, tried }) => {
                Progress::Goes(Call::Wondering { again: wrap(again), tried })
            }
            Self::Answers(answer) => Progress::Answers(answer),
            Self::Ends => Progress::Ends,
        }
    }
}

/// What `reserve` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Ok {
        booking: CallId,
    },
    SoldOut {
        version: u32,
    },
    /// A `sold_out` that was decided earlier, in a version of the slot in which that was true, or
    /// not.
    Refused {
        honest: bool,
    },
    RetryLater,
}

impl<S: Strategy> Call<S> {
    /// A call that takes this path, before its first step.
    pub fn begin(path: u8) -> Self {
        Self::Trying { at: S::BEGINNINGS[usize::from(path)], tried: 0 }
    }

    /// Whether it has yet to take its first step: a crash would be as if it had never been sent.
    pub fn is_at_its_beginning(self) -> bool {
        matches!(self, Self::Trying { at, tried: 0 } if S::BEGINNINGS.contains(&at))
    }

    /// The step that comes next.
    pub fn point(self) -> Point {
        match self {
            Self::Trying { at, .. } => at.point(),
            Self::Wondering { .. } => {
                Point::new("look", "reads its receipt and the slot in one snapshot")
            }
        }
    }

    /// Whether its latest try has written nothing.
    pub fn has_failed(self) -> bool {
        match self {
            Self::Trying { at, .. } => at.has_failed(),
            Self::Wondering { .. } => true,
        }
    }

    /// Whether a fencing token has kept it from writing.
    pub fn was_fenced_off(self) -> bool {
        matches!(self, Self::Trying { at, .. } if at.was_fenced_off())
    }

    /// The process that works on it, if others share it.
    pub fn process(self) -> Option<u8> {
        match self {
            Self::Trying { at, .. } => at.process(),
            Self::Wondering { again, .. } => again.process(),
        }
    }

    /// Where it goes on when whoever works on it crashes; `None` if it is lost.
    pub fn after_crash(self) -> Option<Self> {
        match self {
            Self::Trying { at, .. } => at,
            Self::Wondering { again, .. } => again,
        }
        .after_crash()
        .map(|at| Self::Trying { at, tried: 0 })
    }

    /// Takes that step.
    pub fn step(self, call: CallId, database: &mut Database) -> Progress<S> {
        match self {
            Self::Trying { at, tried } => match at.step(call, database) {
                Next::Waits => Progress::Waits,
                Next::Goes(at) => Progress::Goes(Self::Trying { at, tried }),
                Next::Took => Progress::Answers(Answer::Ok { booking: call }),
                Next::Nothing => {
                    Progress::Goes(Self::Wondering { again: at.again(), tried: tried + 1 })
                }
                Next::Answered(answer) => Progress::Answers(answer),
                Next::Ended => Progress::Ends,
            },
            Self::Wondering { again, tried } => look(again, tried, call, database),
        }
    }
}

/// One statement for both: in two, a booking could slip in between and be answered with `sold_out`.
fn look<S: Strategy>(again: S, tried: u8, call: CallId, database: &Database) -> Progress<S> {
    match database.decision(call.client) {
        Some(Decision::Booked(booking)) => {
            return Progress::Answers(Answer::Ok { booking: S::told_by_receipt(call, booking) });
        }
        Some(Decision::Refused { honest }) => return Progress::Answers(Answer::Refused { honest }),
        None => {}
    }
    if database.slot.available < S::SEATS {
        return Progress::Answers(Answer::SoldOut { version: database.slot.version });
    }
    // Seats are there and the try did not get them: it lost a race.
    match tried {
        tried if tried >= S::TRIES => again.out_of_tries(database),
        _ => Progress::Goes(Call::Trying { at: again, tried }),
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
        search::search_shortest,
        world::{Phase, World},
    };

    const ONE_SEAT: Size = Size { clients: 2, capacity: 1 };
    const TWO_SEATS: Size = Size { clients: 2, capacity: 2 };

    /// Whether some client is ever told `retry_later`, which needs somebody else to change the slot
    /// at every try.
    fn reaches_retry_later<S: Strategy>(size: Size) -> bool {
        fn told<S: Strategy>(world: &World<S>) -> bool {
            world.clients.iter().any(|client| client.phase == Phase::RetryLater)
        }
        let (timer, _guard) = Timer::start(Limits::default().time);
        let budget = Budget::new(Limits::default().states, &timer);
        let reached = Property::sometimes("retry_later", |_, world| told(world));
        search_shortest::<S>(size, budget, vec![reached]).paths.contains_key("retry_later")
    }

    #[test]
    fn a_client_can_lose_every_try_where_others_can_change_the_slot_often_enough() {
        assert!(!reaches_retry_later::<Optimistic>(ONE_SEAT));
        assert!(reaches_retry_later::<Optimistic>(TWO_SEATS));
        assert!(!reaches_retry_later::<Conditional>(TWO_SEATS));
        assert!(reaches_retry_later::<Conditional>(Size { clients: 3, capacity: 1 }));
    }
}
