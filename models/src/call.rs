//! What happens around a strategy, the same for all: receipts for duplicates, an honest `sold_out`,
//! and further tries. The service has it in `booking.rs`.

use crate::{
    answer::{Answer, Decision},
    call_id::CallId,
    database::Database,
    page::{Page, PageStep},
    strategy::{Next, OutOfTries, Point},
};

/// Where a call is. `tried` counts the tries that wrote nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// In a try of the strategy, before this step.
    Trying { at: PageStep, tried: u8 },
    /// After a try that wrote nothing, before it reads its receipt and the slot. The next try
    /// begins at `again`.
    LookingUp { again: PageStep, tried: u8 },
}

/// What a step of a call leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Waits,
    Goes(Call),
    Answers(Answer),
    /// The work is done, and no client waits for an answer to it.
    Ends,
}

impl Call {
    /// A call that takes this path, before its first step.
    pub fn begin(page: &Page, path: u8) -> Self {
        Self::Trying { at: page.beginning(path), tried: 0 }
    }

    /// Whether it has yet to take its first step: a crash would be as if it had never been sent.
    pub fn is_at_its_beginning(self, page: &Page) -> bool {
        matches!(self, Self::Trying { at, tried: 0 } if page.beginnings().any(|first| first == at))
    }

    /// The step that comes next.
    pub fn point(self) -> Point {
        match self {
            Self::Trying { at, .. } => at.point(),
            Self::LookingUp { .. } => {
                Point::new("look", "reads its receipt and the slot in one snapshot")
            }
        }
    }

    /// Whether its latest try has written nothing.
    pub fn has_failed(self) -> bool {
        match self {
            Self::Trying { at, .. } => at.has_failed(),
            Self::LookingUp { .. } => true,
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
            Self::LookingUp { again, .. } => again.process(),
        }
    }

    /// Where it goes on when the process that works on it crashes; `None` if it is lost.
    pub fn after_crash(self) -> Option<Self> {
        match self {
            Self::Trying { at, .. } => at,
            Self::LookingUp { again, .. } => again,
        }
        .after_crash()
        .map(|at| Self::Trying { at, tried: 0 })
    }

    /// Takes that step.
    pub fn step(self, page: &Page, call: CallId, database: &mut Database) -> Progress {
        match self {
            Self::Trying { at, tried } => match at.step(call, database) {
                Next::Waits => Progress::Waits,
                Next::Goes(at) => Progress::Goes(Self::Trying { at, tried }),
                Next::Took => Progress::Answers(Answer::Ok { booking: call }),
                Next::Nothing => {
                    Progress::Goes(Self::LookingUp { again: at.again(), tried: tried + 1 })
                }
                Next::Answered(answer) => Progress::Answers(answer),
                Next::Ended => Progress::Ends,
            },
            Self::LookingUp { again, tried } => look_up(page, again, tried, call, database),
        }
    }
}

/// One statement for both: between two, a booking could be written and be answered with `sold_out`.
fn look_up(page: &Page, again: PageStep, tried: u8, call: CallId, database: &Database) -> Progress {
    match database.decision(call.client) {
        Some(Decision::Booked(booking)) => {
            let booking = (page.booking_of_receipt)(call, booking);
            return Progress::Answers(Answer::Ok { booking });
        }
        Some(Decision::Refused { honest }) => return Progress::Answers(Answer::Refused { honest }),
        None => {}
    }
    if database.slot.available < page.seats {
        return Progress::Answers(Answer::SoldOut { version: database.slot.version });
    }
    // Seats are there and the try did not get them: it lost a race.
    if tried < page.tries {
        return Progress::Goes(Call::Trying { at: again, tried });
    }
    match again.out_of_tries(database) {
        OutOfTries::Answers(answer) => Progress::Answers(answer),
        OutOfTries::Goes(at) => Progress::Goes(Call::Trying { at, tried: 0 }),
    }
}
