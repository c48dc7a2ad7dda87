//! Trying a target: one of each call, with what the answers meant, and what the API does not
//! promise, found out by asking.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result};
use slotproof_evidence::TargetRows;
use slotproof_scenarios::{
    Connections, RetryPolicy,
    target::file::{
        self, Exchanged, FileTarget, Made, OperationKind, Place, PlaceNames, Prepared, Replays,
        Scope, Session, SetUp,
    },
};

use slotproof_vocabulary::Outcome;

/// What was tried.
#[derive(Debug, Default)]
pub struct Trial {
    /// The requests that prepared the slot.
    pub setup: Vec<Exchanged>,
    /// Every call, in order.
    pub calls: Vec<Call>,
    /// What was found out, as lines of `[claims]`.
    pub claims: Vec<Claim>,
    /// What was found out beside them.
    pub found: Vec<String>,
    /// What does not fit together, in words.
    pub doubts: Vec<String>,
}

/// One call, and what it was made for.
#[derive(Debug)]
pub struct Call {
    /// Why it was made.
    pub purpose: &'static str,
    /// Which operation.
    pub operation: OperationKind,
    /// The key of a reserve.
    pub key: String,
    /// What came of it.
    pub made: Made,
}

/// A line of `[claims]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// `key = value`.
    pub line: String,
    /// What was seen.
    pub because: String,
}

/// Seats of the slot that is tried: one more than a booking, so that full is not the first answer.
pub const SEATS: u32 = 2;

/// Of a slot that exists, no more seats than this are taken.
const SEATS_MAX: i64 = 50;
const BOOKING: OperationKind = OperationKind::Booking;
/// The number of the key that asks for one seat too many.
const TOO_MANY: u64 = 1_000;

/// Makes one of each call on one slot: of two seats, where the setup makes it.
///
/// # Errors
/// The slot cannot be prepared.
pub async fn try_target(target: &FileTarget, timeout: Duration) -> Result<Trial> {
    let run = uuid::Uuid::new_v4().simple().to_string();
    let http = target.connections(timeout)?;
    let set_up = SetUp::default();
    let Prepared { places, exchanges } = match target.prepare(&http, &run, &[SEATS], &set_up).await
    {
        Ok(prepared) => prepared,
        Err(error) => {
            // What it has made before it failed; the failure is what the user has to know.
            target.tear_down(&http, &set_up, &[]).await;
            return Err(error.into());
        }
    };
    let place = places.first().context("a slot was asked for")?;
    let before = TargetRows { target, http: &http, places: &places }.before().await;
    let mut trying = Trying {
        target,
        http,
        places: &places,
        set_up: &set_up,
        before,
        place: place.names(),
        seats: i64::from(place.capacity()),
        session: Session::default(),
        run,
        timeout,
        trial: Trial { setup: exchanges, ..Trial::default() },
    };
    trying.all().await;
    trying.take_away().await;
    Ok(trying.trial)
}

struct Trying<'a> {
    target: &'a FileTarget,
    http: Connections,
    places: &'a [Place],
    set_up: &'a SetUp,
    /// Bookings that were there before, or why rows cannot be read.
    before: Result<BTreeSet<String>, String>,
    place: PlaceNames,
    /// Seats of the slot.
    seats: i64,
    /// One client makes all calls.
    session: Session,
    run: String,
    timeout: Duration,
    trial: Trial,
}

impl Trying<'_> {
    async fn all(&mut self) {
        let empty = self.read("the slot is empty").await;
        let seats = self.seats;
        self.expect(empty == Some(seats) || empty.is_none(), || {
            format!("an empty slot of {seats} seats was read with {} free", number(empty))
        });
        let first = self.reserve("a seat", 1).await;
        let mut others = Vec::new();
        for number in 2..=seats.min(SEATS_MAX) {
            let purpose = if number == seats { "the last seat" } else { "another seat" };
            others.push(self.reserve(purpose, number.unsigned_abs()).await);
        }
        let third = self.reserve("one seat too many", TOO_MANY).await;
        let given = others.iter().chain([&first]).all(|answered| answered.outcome == Outcome::Ok);
        self.expect(given, || {
            format!("{seats} seats were asked for one by one, and not all were given")
        });
        self.expect(third.outcome != Outcome::Ok, || {
            format!(
                "{} bookings of a slot of {seats} seats were acknowledged: either it is \
                 overbooked, or setup does not set its capacity",
                seats + 1
            )
        });
        self.expect(third.outcome == Outcome::SoldOut || third.outcome == Outcome::Ok, || {
            "a reserve of a full slot was not understood as sold_out".to_owned()
        });
        let full = self.read("the slot is full").await;
        self.expect(full == Some(0) || full.is_none(), || {
            format!("a full slot was read with {} free", number(full))
        });
        self.look_at_rows().await;
        let again = self.reserve("the key of the first booking again", 1).await;
        if let Some(booking) = first.booking.as_deref().filter(|_| self.target.has(BOOKING)) {
            self.call("look at the first booking", BOOKING, 0, Some(booking)).await;
        }
        let mut given_back = false;
        if let Some(booking) = &first.booking {
            self.confirm(booking).await;
            given_back = self.cancel(booking).await;
        }
        let mut refused = Answered { outcome: Outcome::Unknown, booking: None, available: None };
        if given_back {
            let freed = self.read("a seat was given back").await;
            self.staleness(full, freed);
            refused = self.reserve("the refused key again, with a free seat", TOO_MANY).await;
        }
        self.replays(&first, &again, &refused);
        let others = others.into_iter().map(|answered| answered.booking);
        let all = others.chain([refused.booking, again.booking]).flatten();
        let mut all: Vec<String> = all.filter(|it| Some(it) != first.booking.as_ref()).collect();
        all.dedup();
        for booking in all.iter().filter(|_| self.target.has(OperationKind::Cancel)) {
            self.call("give back what was taken", OperationKind::Cancel, 0, Some(booking)).await;
        }
    }

    /// Whether the rows of the file show a slot that is full.
    async fn look_at_rows(&mut self) {
        let Self { target, http, places, before, trial, .. } = &*self;
        let rows = TargetRows { target, http, places };
        let keys = trial.calls.iter().map(|call| call.key.clone()).collect();
        let bookings = self.bookings();
        // Rows may be as old as reads.
        tokio::time::sleep(Duration::from_millis(target.claims.stale_ms.unwrap_or(0))).await;
        let read = match before {
            Ok(before) => rows.end_state(before, &bookings, &keys, 0).await,
            Err(problem) => Err(problem.clone()),
        };
        let (read, seats) = match read {
            Ok(None) => return,
            Ok(Some((end, _))) => {
                let live = end.bookings.iter().filter(|row| row.status.takes_seats());
                (end.bookings.len(), live.map(|row| row.seats).sum::<i64>())
            }
            Err(problem) => return self.trial.doubts.push(format!("[rows]: {problem}")),
        };
        let made = bookings.len();
        self.trial.found.push(format!(
            "the rows of the full slot are {read} bookings with {seats} seats; {made} were made here"
        ));
        // Each was asked for one seat.
        let right = usize::try_from(seats) == Ok(made);
        self.expect(right || self.target.finds_slots(), || {
            format!(
                "the rows have {seats} seats where {made} were granted: see the columns seats and \
                 status of [rows]"
            )
        });
    }

    /// What the trial has made, with the index of its slot.
    fn bookings(&self) -> Vec<(usize, String)> {
        let made = self.trial.calls.iter().filter_map(|call| call.made.answer.seen.booking.clone());
        let mut bookings: Vec<(usize, String)> = made.map(|it| (0, it.into())).collect();
        bookings.sort_unstable();
        bookings.dedup();
        bookings
    }

    /// What the trial has made.
    async fn take_away(&mut self) {
        let bookings = self.bookings();
        let (_, failed) = self.target.tear_down(&self.http, self.set_up, &bookings).await;
        if let Some(failed) = failed {
            self.trial.doubts.push(format!("the teardown failed: {failed}"));
        }
    }

    async fn confirm(&mut self, booking: &str) {
        if !self.target.has(OperationKind::Confirm) {
            return;
        }
        let confirm = OperationKind::Confirm;
        let once = self.call("confirm it", confirm, 0, Some(booking)).await;
        let again = self.call("confirm it again", confirm, 0, Some(booking)).await;
        self.expect(once.outcome == Outcome::Ok, || {
            "a pending booking was not confirmed".to_owned()
        });
        self.repeated("a confirm", once.outcome, again.outcome);
    }

    /// Whether the booking was cancelled.
    async fn cancel(&mut self, booking: &str) -> bool {
        if !self.target.has(OperationKind::Cancel) {
            return false;
        }
        let cancel = OperationKind::Cancel;
        let once = self.call("cancel it", cancel, 0, Some(booking)).await;
        let again = self.call("cancel it again", cancel, 0, Some(booking)).await;
        self.expect(once.outcome == Outcome::Ok, || "a live booking was not cancelled".to_owned());
        self.repeated("a cancel", once.outcome, again.outcome);
        once.outcome == Outcome::Ok
    }

    fn repeated(&mut self, what: &str, once: Outcome, again: Outcome) {
        if once == Outcome::Ok {
            let again = again.name();
            self.trial.found.push(format!("{what} that is sent again is answered with {again}"));
        }
    }

    /// What an idempotency key keeps: receipts, refusals, both or nothing.
    fn replays(&mut self, first: &Answered, again: &Answered, refused: &Answered) {
        if first.outcome != Outcome::Ok {
            return;
        }
        let receipt = again.outcome == Outcome::Ok && again.booking == first.booking;
        if again.outcome == Outcome::Ok && !receipt {
            self.trial.doubts.push(
                "the same key made a second booking: without an idempotency key that the API \
                 keeps, a lost answer cannot be repeated"
                    .to_owned(),
            );
        }
        let (value, because) = match (receipt, refused.outcome) {
            (true, Outcome::SoldOut) => {
                (Replays::All, "the receipt came again, and so did the refusal with a seat free")
            }
            (true, Outcome::Ok) => {
                (Replays::Ok, "the receipt came again; the refused key was decided anew")
            }
            (false, _) if matches!(again.outcome, Outcome::Ok | Outcome::SoldOut) => {
                (Replays::None, "the same key was decided anew")
            }
            _ => return,
        };
        self.claim("replays", &format!("{value:?}").to_lowercase(), because.to_owned());
    }

    /// Whether a read sees what its own client did a moment before.
    fn staleness(&mut self, full: Option<i64>, freed: Option<i64>) {
        let (Some(full), Some(freed)) = (full, freed) else { return };
        match freed > full {
            true => self
                .trial
                .found
                .push("a read saw the seat that had just been given back".to_owned()),
            false => self.trial.doubts.push(format!(
                "a read after a cancel still said {freed}: reads are stale, or the cancel gave \
                 nothing back. reads that are stale by so much: [claims] stale_ms"
            )),
        }
    }

    fn claim(&mut self, key: &str, value: &str, because: String) {
        let value = match value.parse::<u64>() {
            Ok(number) => number.to_string(),
            Err(_) => format!("{value:?}"),
        };
        self.trial.claims.push(Claim { line: format!("{key} = {value}"), because });
    }

    fn expect(&mut self, holds: bool, doubt: impl FnOnce() -> String) {
        if !holds {
            self.trial.doubts.push(doubt());
        }
    }

    /// Free seats, as a read says them.
    async fn read(&mut self, purpose: &'static str) -> Option<i64> {
        if !self.target.has(OperationKind::Read) {
            return None;
        }
        self.call(purpose, OperationKind::Read, 0, None).await.available
    }

    async fn reserve(&mut self, purpose: &'static str, key: u64) -> Answered {
        self.call(purpose, OperationKind::Reserve, key, None).await
    }

    async fn call(
        &mut self,
        purpose: &'static str,
        operation: OperationKind,
        key: u64,
        booking: Option<&str>,
    ) -> Answered {
        let key = file::key(&self.run, 0, key);
        let Self { target, http, session, .. } = self;
        let scope =
            Scope { key: &key, booking, ..Scope::of(&target.base_url, &self.place, session) };
        let mut made = match target.begin(http, operation, scope).await {
            Ok(ready) => {
                let policy = RetryPolicy::once(self.timeout);
                target.make(http, operation, scope, ready, &policy, true).await
            }
            Err(answer) => Made { answer, attempts: 1, exchanges: Vec::new(), release: None },
        };
        if let Some(release) = &made.release {
            let (_, exchanged) = target.release(http, release, true).await;
            made.exchanges.extend(exchanged);
        }
        let answered = Answered::of(&made);
        self.trial.calls.push(Call { purpose, operation, key, made });
        answered
    }
}

/// What a call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answered {
    outcome: Outcome,
    booking: Option<String>,
    available: Option<i64>,
}

impl Answered {
    fn of(made: &Made) -> Self {
        Self {
            outcome: made.answer.outcome,
            booking: made.answer.seen.booking.clone().map(Into::into),
            available: made.answer.seen.available,
        }
    }
}

fn number(seats: Option<i64>) -> String {
    seats.map_or("nothing".to_owned(), |seats| seats.to_string())
}

impl Trial {
    /// The answers that no rule matches.
    pub fn unmatched(&self) -> impl Iterator<Item = &Exchanged> {
        let exchanges = self.calls.iter().flat_map(|call| &call.made.exchanges);
        exchanges.filter(|it| it.status.is_some() && it.matched.is_none())
    }

    /// Whether every answer was understood, and none contradicts another.
    pub fn is_understood(&self) -> bool {
        let answered = |call: &Call| call.made.answer.outcome != Outcome::Unknown;
        self.doubts.is_empty() && self.calls.iter().all(answered)
    }

    /// The section of the target file that says what was found out.
    pub fn claims_section(&self) -> String {
        let mut section = "[claims]\n".to_owned();
        for found in &self.found {
            section.push_str(&format!("# {found}\n"));
        }
        for claim in &self.claims {
            section.push_str(&format!("# {}\n{}\n", claim.because, claim.line));
        }
        section
    }
}

/// The rule to add for an answer that no rule matches.
pub fn suggested_rule(exchanged: &Exchanged) -> String {
    let status = exchanged.status.unwrap_or_default();
    let body: Option<serde_json::Value> = serde_json::from_str(&exchanged.received).ok();
    let telling = ["code", "error", "status", "type", "reason"].into_iter().find_map(|key| {
        let value = body.as_ref()?.get(key)?.as_str()?;
        Some(format!("when = [[\"$.{key}\", \"==\", {value:?}]], "))
    });
    format!("{{ status = {status}, {}means = \"...\" }},", telling.unwrap_or_default())
}
