//! # grouped
//!
//! **Claim.** Never overbooks: one transaction at a time decides about a slot, and it decides many
//! requests.
//!
//! **Mechanism.** One lane per slot and process. While a transaction commits, requests gather in
//! the lane; the next transaction takes all of them, 256 at most, locks the slot's row, grants
//! seats in order of arrival, and writes everything in one statement. There is no timer: a single
//! request is decided at once, as `conditional` does. The row's lock keeps out the lanes of other
//! processes, as in `pessimistic`.
//!
//! **Cost.** Four round trips and one fsync, shared by all requests of the batch: the busier the
//! slot, the cheaper each booking.
//!
//! **Fails when.** None known. A batch that the database refuses is halved until the request at
//! fault is alone, so that it fails no other request. If the connection is lost at commit, the
//! outcome of the batch is unknown, and each request looks for its own receipt.
//!
//! **Model.** `models/src/grouped.rs`

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use slotproof_vocabulary::{SlotId, StrategyKind};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::oneshot;

use super::conditional::Conditional;
use crate::{
    metrics,
    reserve::{
        Receipt, Reservation, ReserveCommand, ReserveError, Reserved, Strategy, booked, lost_race,
        once, outcome, replay, retrying,
    },
};

/// Requests in one transaction: a few milliseconds of work, for which the row is locked.
const BATCH_MAX: usize = 256;
/// Requests that wait in one lane, some tenths of a second of work; more are told `retry_later`.
const WAITING_MAX: usize = 4_096;

type Answer = Result<Reserved, ReserveError>;

/// What a lane needs to decide.
#[derive(Clone)]
struct LaneContext {
    pool: PgPool,
    /// Times that a request that is alone is tried, should it lose races against other processes.
    tries: u32,
}

pub(crate) struct Grouped {
    context: LaneContext,
    lanes: Lanes,
}

/// The requests that wait for each slot. A slot is a key here as long as a task works for it.
type Lanes = Arc<Mutex<HashMap<SlotId, VecDeque<Waiting>>>>;

struct Waiting {
    command: ReserveCommand,
    answer: oneshot::Sender<Answer>,
}

impl Grouped {
    pub(crate) fn new(pool: PgPool, tries: u32) -> Self {
        Self { context: LaneContext { pool, tries }, lanes: Lanes::default() }
    }

    /// `false`: the lane is full.
    fn enqueue(&self, waiting: Waiting) -> bool {
        let slot = waiting.command.slot;
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        match lanes.get_mut(&slot) {
            Some(lane) if lane.len() >= WAITING_MAX => false,
            Some(lane) => {
                lane.push_back(waiting);
                true
            }
            None => {
                lanes.insert(slot, VecDeque::from([waiting]));
                tokio::spawn(drive(
                    self.context.clone(),
                    Lane { lanes: Arc::clone(&self.lanes), slot },
                ));
                true
            }
        }
    }
}

#[async_trait]
impl Strategy for Grouped {
    async fn reserve(&self, command: &ReserveCommand) -> Answer {
        let (answer, answered) = oneshot::channel();
        if !self.enqueue(Waiting { command: command.clone(), answer }) {
            return Ok(Reserved::RetryLater);
        }
        answered.await.unwrap_or_else(|_| {
            Err(ReserveError::Unknown("the slot's lane ended before it answered".to_owned()))
        })
    }
}

/// A lane whose task runs. Dropping it, also by a panic, gives the slot free for a new task.
struct Lane {
    lanes: Lanes,
    slot: SlotId,
}

impl Lane {
    /// What has gathered; empty if nothing has, and then the lane is closed.
    fn take(&self) -> Vec<Waiting> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lane) = lanes.get_mut(&self.slot) else { return Vec::new() };
        let batch = next_batch(lane);
        if batch.is_empty() {
            lanes.remove(&self.slot);
        }
        batch
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.slot);
        }
    }
}

async fn drive(context: LaneContext, lane: Lane) {
    loop {
        let batch = lane.take();
        if batch.is_empty() {
            return;
        }
        let (firsts, duplicates) = first_of_each_key(batch);
        decide(&context, firsts).await;
        // Each finds the receipt of the first one, or tries for itself if that got no seats.
        for duplicate in duplicates {
            decide(&context, vec![duplicate]).await;
        }
    }
}

/// The head of a lane: at most `BATCH_MAX` requests, all with the same hold, because one statement
/// writes them and computes their expiry once. Requests differ in their hold only where a director
/// or a change of the configuration says so; the rest of the lane is the next batch.
fn next_batch(lane: &mut VecDeque<Waiting>) -> Vec<Waiting> {
    let Some(hold_ms) = lane.front().map(|waiting| waiting.command.hold_ms) else {
        return Vec::new();
    };
    let size = lane
        .iter()
        .take(BATCH_MAX)
        .take_while(|waiting| waiting.command.hold_ms == hold_ms)
        .count();
    lane.drain(..size).collect()
}

fn first_of_each_key(batch: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut keys = HashSet::new();
    batch.into_iter().partition(|waiting| keys.insert(waiting.command.key.clone()))
}

/// Answers every request of a batch.
fn decide(context: &LaneContext, mut batch: Vec<Waiting>) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        if batch.len() == 1 {
            if let Some(waiting) = batch.pop() {
                let _ = waiting.answer.send(alone(context, &waiting.command).await);
            }
            return;
        }
        let commands: Vec<&ReserveCommand> = batch.iter().map(|waiting| &waiting.command).collect();
        let mut connection = match context.pool.acquire().await {
            Ok(connection) => connection,
            Err(error) => return refuse(batch, &error),
        };
        let mut decided = transact(&mut connection, &commands, Duplicates::NotExpected).await;
        if decided.as_ref().is_err_and(lost_race) {
            decided = transact(&mut connection, &commands, Duplicates::LookedFor).await;
        }
        match decided {
            Ok(answers) => {
                drop(connection);
                metrics::batch_decided(batch.len());
                for (waiting, answer) in batch.into_iter().zip(answers) {
                    // Who has gone away is not told.
                    let _ = waiting.answer.send(Ok(answer));
                }
            }
            Err(error) if error.as_database_error().is_none() => {
                drop(connection);
                tracing::warn!(%error, requests = batch.len(), "the connection was lost at commit; each request of the batch looks for its receipt");
                for waiting in batch {
                    let answer = resolve(&context.pool, &waiting.command, &error).await;
                    let _ = waiting.answer.send(answer);
                }
            }
            Err(error) => {
                drop(connection);
                tracing::warn!(%error, requests = batch.len(), "the database refused a batch; retrying its halves");
                let second = batch.split_off(batch.len() / 2);
                decide(context, batch).await;
                decide(context, second).await;
            }
        }
    })
}

/// A request that is alone in its batch is decided by the one statement of `conditional`: one round
/// trip for five.
async fn alone(context: &LaneContext, command: &ReserveCommand) -> Answer {
    retrying(StrategyKind::Grouped, context.tries, || async {
        let mut connection = context.pool.acquire().await?;
        once(&Conditional, &mut connection, command).await
    })
    .await
}

/// No connection became free: nothing was written.
fn refuse(batch: Vec<Waiting>, error: &sqlx::Error) {
    for waiting in batch {
        let _ = waiting.answer.send(Err(ReserveError::Unavailable(error.to_string())));
    }
}

/// The connection was lost. A receipt proves that the commit happened; its absence proves nothing,
/// the commit may be under way.
async fn resolve(pool: &PgPool, command: &ReserveCommand, lost: &sqlx::Error) -> Answer {
    match outcome(pool, command).await {
        Ok(Reserved::Accepted) | Err(_) => Err(ReserveError::Unknown(lost.to_string())),
        answer => answer,
    }
}

/// Whether receipts are read before seats are granted. Duplicates are rare: the first try does not
/// look for them, and one that is there makes the transaction fail by the receipts' unique key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duplicates {
    NotExpected,
    LookedFor,
}

/// One transaction for all of them; an answer for each.
async fn transact(
    connection: &mut PgConnection,
    commands: &[&ReserveCommand],
    duplicates: Duplicates,
) -> Result<Vec<Reserved>, sqlx::Error> {
    let Some(first) = commands.first() else { return Ok(Vec::new()) };
    let mut transaction = connection.begin().await?;

    let locked = sqlx::query!(
        "
        select version, available_seats from appointment_slots
        where doctor_id = $1 and slot_month = $2 and slot_id = $3
        for no key update
        ",
        first.doctor_id(),
        first.slot_month(),
        first.slot.as_uuid(),
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(locked) = locked else {
        transaction.rollback().await?;
        return Ok(commands.iter().map(|_| Reserved::NoSlot).collect());
    };

    // Read after the lock, in a snapshot of its own: receipts for this slot are written under it.
    let mut receipts = match duplicates {
        Duplicates::NotExpected => HashMap::new(),
        Duplicates::LookedFor => receipts(&mut transaction, commands).await?,
    };
    let mut version = locked.version;
    let mut available = locked.available_seats;
    let mut granted: Vec<(&ReserveCommand, i64, i32)> = Vec::new();
    for command in commands {
        if !receipts.contains_key(command.key.as_str()) && command.seats <= available {
            version += 1;
            available -= command.seats;
            granted.push((command, version, available));
        }
    }
    if duplicates == Duplicates::NotExpected && granted.len() < commands.len() {
        // A request that is about to get sold_out may have seats from an earlier try.
        let keys: HashSet<&str> =
            granted.iter().map(|(command, ..)| command.key.as_str()).collect();
        let denied: Vec<&ReserveCommand> = commands
            .iter()
            .copied()
            .filter(|command| !keys.contains(command.key.as_str()))
            .collect();
        receipts = self::receipts(&mut transaction, &denied).await?;
    }
    let expires_at = if granted.is_empty() {
        transaction.rollback().await?;
        None
    } else {
        let expires_at = write(&mut transaction, &granted, version, available).await?;
        transaction.commit().await?;
        Some(expires_at)
    };

    let mut granted = granted.into_iter().peekable();
    commands
        .iter()
        .map(|command| match (receipts.remove(command.key.as_str()), expires_at) {
            (Some(receipt), _) => replay(command, receipt),
            (None, Some(expires_at))
                if granted.peek().is_some_and(|(next, ..)| std::ptr::eq(*next, *command)) =>
            {
                let (_, slot_version, available_seats) = granted.next().expect("it was peeked at");
                Ok(Reserved::Booked(booked(
                    command,
                    Reservation { slot_version, available_seats, expires_at },
                )))
            }
            // A request that was passed over wanted more than was left then, and no seats have come
            // back since: it wants more than is left now.
            (None, _) => {
                Ok(Reserved::SoldOut { slot_version: version, available_seats: available })
            }
        })
        .collect()
}

async fn receipts(
    connection: &mut PgConnection,
    commands: &[&ReserveCommand],
) -> Result<HashMap<String, Receipt>, sqlx::Error> {
    let Some(first) = commands.first() else { return Ok(HashMap::new()) };
    let keys: Vec<String> =
        commands.iter().map(|command| command.key.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        "
        select receipt.idempotency_key, receipt.slot_id, receipt.seats, receipt.booking_id, receipt.expires_at,
            receipt.hold_ms, receipt.slot_version, receipt.available_seats, receipt.refused
        from unnest($3::text[]) as wanted (idempotency_key)
        cross join lateral (
            select * from idempotency_keys
            where doctor_id = $1 and slot_month = $2 and idempotency_key = wanted.idempotency_key
            limit 1
        ) receipt
        ",
        first.doctor_id(),
        first.slot_month(),
        &keys,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let receipt = Receipt {
                slot: row.slot_id,
                seats: row.seats,
                booking: row.booking_id,
                expires_at: row.expires_at,
                hold_ms: row.hold_ms,
                slot_version: row.slot_version,
                available_seats: row.available_seats,
                refused: row.refused,
            };
            (row.idempotency_key, receipt)
        })
        .collect())
}

/// Writes what was granted: the slot once, and for each request its booking, receipt, audit record
/// and outbox row.
async fn write(
    connection: &mut PgConnection,
    granted: &[(&ReserveCommand, i64, i32)],
    version: i64,
    available: i32,
) -> Result<time::OffsetDateTime, sqlx::Error> {
    let (first, ..) = granted.first().expect("something was granted");
    let bookings: Vec<_> = granted.iter().map(|(command, ..)| command.booking.as_uuid()).collect();
    let keys: Vec<String> =
        granted.iter().map(|(command, ..)| command.key.as_str().to_owned()).collect();
    let seats: Vec<i32> = granted.iter().map(|(command, ..)| command.seats).collect();
    let versions: Vec<i64> = granted.iter().map(|(_, version, _)| *version).collect();
    let lefts: Vec<i32> = granted.iter().map(|(.., left)| *left).collect();
    sqlx::query_scalar!(
        r#"
        with slot as (
            update appointment_slots set available_seats = $4, version = $5
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            returning clock_timestamp() + $11::bigint * interval '1 millisecond' as expires_at
        ), taken as (
            select booking_id, idempotency_key, seats, slot_version, available_seats, expires_at
            from slot, unnest($6::uuid[], $7::text[], $8::integer[], $9::bigint[], $10::integer[])
                as granted (booking_id, idempotency_key, seats, slot_version, available_seats)
        ), booking as (
            insert into bookings
                (doctor_id, slot_month, booking_id, slot_id, status, seats, idempotency_key, expires_at)
            select $1, $2, booking_id, $3, 'pending', seats, idempotency_key, expires_at from taken
        ), receipt as (
            insert into idempotency_keys
                (doctor_id, slot_month, idempotency_key, slot_id, seats,
                 booking_id, expires_at, hold_ms, slot_version, available_seats)
            select $1, $2, idempotency_key, $3, seats, booking_id, expires_at, $11, slot_version, available_seats from taken
        ), audit as (
            insert into booking_audit
                (doctor_id, slot_month, slot_id, slot_version, booking_id, to_status, seats, available_seats)
            select $1, $2, $3, slot_version, booking_id, 'pending', seats, available_seats from taken
        ), event as (
            insert into outbox (doctor_id, slot_month, slot_id, slot_version)
            select $1, $2, $3, slot_version from taken
        )
        select expires_at as "expires_at!" from slot
        "#,
        first.doctor_id(),
        first.slot_month(),
        first.slot.as_uuid(),
        available,
        version,
        &bookings,
        &keys,
        &seats,
        &versions,
        &lefts,
        first.hold_ms,
    )
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reserve::IdempotencyKey;
    use slotproof_vocabulary::{BookingId, DoctorId, Month};
    use time::macros::date;

    fn waiting(number: u128, hold_ms: i64) -> Waiting {
        let month = Month::of(date!(2026 - 12 - 01).midnight().assume_utc()).expect("a month");
        let slot = SlotId::new(DoctorId(1), month, 7);
        let key = IdempotencyKey::parse(number.to_string().as_bytes()).expect("a key");
        let booking = BookingId::new(slot, 7);
        let command = ReserveCommand { slot, seats: 1, key, booking, hold_ms, urgent: false };
        Waiting { command, answer: oneshot::channel().0 }
    }

    fn holds(batch: &[Waiting]) -> Vec<i64> {
        batch.iter().map(|waiting| waiting.command.hold_ms).collect()
    }

    #[test]
    fn requests_with_different_holds_are_not_written_with_the_hold_of_the_first() {
        let mut lane: VecDeque<_> =
            [(1, 300), (2, 300), (3, 60), (4, 300)].map(|(n, hold)| waiting(n, hold)).into();
        assert_eq!(holds(&next_batch(&mut lane)), [300, 300]);
        assert_eq!(holds(&next_batch(&mut lane)), [60]);
        assert_eq!(holds(&next_batch(&mut lane)), [300]);
        assert!(next_batch(&mut lane).is_empty());
    }

    #[test]
    fn a_batch_takes_no_more_requests_than_one_transaction_may_hold() {
        let mut lane: VecDeque<_> = (0..300).map(|number| waiting(number, 300)).collect();
        assert_eq!(next_batch(&mut lane).len(), BATCH_MAX);
        assert_eq!(lane.len(), 300 - BATCH_MAX);
    }
}
