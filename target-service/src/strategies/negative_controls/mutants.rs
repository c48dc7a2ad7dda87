//! The mutants: each breaks one thing, and its comment names the real bug that it stands for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use slotproof_vocabulary::{BookingId, SlotId, StrategyKind, reference_api::SlotBody};
use sqlx::{Connection, PgConnection, PgPool};
use time::OffsetDateTime;

use crate::{
    connections::Connections,
    lifecycle::{self, Changed},
    pausing::about_to,
    queue::Publisher,
    read_model,
    reserve::{
        Reservation, Reserve, ReserveCommand, ReserveError, Reserved, Retrying, Strategy, once,
        retrying,
    },
    routing::{doctor_key, month_key},
    strategies::{optimistic::Optimistic, statement::reservation},
};

/// The statement of a mutant, with all its parts or without one of them. Its counter stops at zero,
/// so that the check constraint on it sees nothing wrong.
macro_rules! written {
    (parts($($part:ident)+) where $condition:literal) => {
        reservation!(
            text($($part)+)
            set "available_seats = greatest(available_seats - $4, 0), version = version + 1"
            where $condition
        )
    };
}

/// Runs such a statement. A runtime query, because each text would need checked data of its own for
/// a mistake that is made on purpose.
async fn write(
    connection: &mut PgConnection,
    sql: &'static str,
    command: &ReserveCommand,
) -> Result<Option<Reservation>, sqlx::Error> {
    let row: Option<(i64, i32, OffsetDateTime, uuid::Uuid, String)> = sqlx::query_as(sql)
        .bind(command.doctor_id())
        .bind(command.slot_month())
        .bind(command.slot.as_uuid())
        .bind(command.seats)
        .bind(command.booking.as_uuid())
        .bind(command.key.as_str())
        .bind(command.hold_ms)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|(slot_version, available_seats, expires_at, ..)| Reservation {
        slot_version,
        available_seats,
        expires_at,
    }))
}

const WRITE_ALWAYS: &str = written!(
    parts(booking receipt audit event)
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3"
);

/// M3, `locked_bookings`. Locks the rows that are counted and not the row that is fought for; a
/// booking that is not there yet cannot be locked. fossasia/eventyay#1359 and many a "we do use for
/// update".
pub(crate) struct LockedBookings;

#[async_trait]
impl Reserve for LockedBookings {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        about_to("lock").await;
        let mut transaction = connection.begin().await?;
        let locked: Vec<i32> = sqlx::query_scalar(
            "
            select seats from bookings
            where doctor_id = $1 and slot_month = $2 and slot_id = $3 and status in ('pending', 'confirmed')
            order by booking_id
            for no key update
            ",
        )
        .bind(command.doctor_id())
        .bind(command.slot_month())
        .bind(command.slot.as_uuid())
        .fetch_all(&mut *transaction)
        .await?;
        if capacity(&mut transaction, command).await? - locked.iter().sum::<i32>() < command.seats {
            about_to("roll_back").await;
            transaction.rollback().await?;
            return Ok(None);
        }
        about_to("write").await;
        let reservation = write(&mut transaction, WRITE_ALWAYS, command).await?;
        about_to("commit").await;
        transaction.commit().await?;
        Ok(reservation)
    }
}

async fn capacity(
    connection: &mut PgConnection,
    command: &ReserveCommand,
) -> Result<i32, sqlx::Error> {
    let capacity: Option<i32> = sqlx::query_scalar(
        "select capacity from appointment_slots where doctor_id = $1 and slot_month = $2 and slot_id = $3",
    )
    .bind(command.doctor_id())
    .bind(command.slot_month())
    .bind(command.slot.as_uuid())
    .fetch_optional(connection)
    .await?;
    Ok(capacity.unwrap_or_default())
}

/// M4, `write_skew`. Each of two transactions sees room in its own snapshot and inserts another
/// row, so that neither conflicts with the other. The textbook anomaly of snapshot isolation
/// (Berenson et al., 1995); ACIDRain found it in shops.
pub(crate) struct WriteSkew;

#[async_trait]
impl Reserve for WriteSkew {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        about_to("read").await;
        let mut transaction =
            connection.begin_with("begin isolation level repeatable read").await?;
        let taken: i64 = sqlx::query_scalar(
            "
            select coalesce(sum(seats), 0) from bookings
            where doctor_id = $1 and slot_month = $2 and slot_id = $3 and status in ('pending', 'confirmed')
            ",
        )
        .bind(command.doctor_id())
        .bind(command.slot_month())
        .bind(command.slot.as_uuid())
        .fetch_one(&mut *transaction)
        .await?;
        if i64::from(capacity(&mut transaction, command).await?) - taken < i64::from(command.seats)
        {
            transaction.rollback().await?;
            return Ok(None);
        }
        about_to("insert").await;
        sqlx::query(
            "
            insert into bookings (doctor_id, slot_month, booking_id, slot_id, status, seats, idempotency_key, expires_at)
            values ($1, $2, $3, $4, 'pending', $5, $6, clock_timestamp() + $7::bigint * interval '1 millisecond')
            ",
        )
        .bind(command.doctor_id())
        .bind(command.slot_month())
        .bind(command.booking.as_uuid())
        .bind(command.slot.as_uuid())
        .bind(command.seats)
        .bind(command.key.as_str())
        .bind(command.hold_ms)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        const COUNT_IT: &str = written!(
            parts(receipt audit event)
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3"
        );
        about_to("count").await;
        write(connection, COUNT_IT, command).await
    }
}

/// M16, `off_by_one`. Compares with one seat too many: `<=` for `<`.
pub(crate) struct OffByOne;

#[async_trait]
impl Reserve for OffByOne {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        const SQL: &str = written!(
            parts(booking receipt audit event)
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3 and available_seats + 1 >= $4"
        );
        about_to("write").await;
        write(connection, SQL, command).await
    }
}

/// M18, `one_seat_check`. Checks that one seat is left, and takes as many as were requested: right
/// only as long as every booking has one seat.
pub(crate) struct OneSeatCheck;

#[async_trait]
impl Reserve for OneSeatCheck {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        const SQL: &str = written!(
            parts(booking receipt audit event)
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3 and available_seats >= 1"
        );
        about_to("write").await;
        write(connection, SQL, command).await
    }
}

/// Takes seats whatever is left, for `cache_decides`: the cache has said that there are enough.
pub(crate) struct AsCached;

#[async_trait]
impl Reserve for AsCached {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        about_to("write").await;
        write(connection, WRITE_ALWAYS, command).await
    }
}

/// M9, `commit_not_durable`. Acknowledges before the commit is on disk, which is what this setting
/// of the connection buys its speed with: up to three times `wal_writer_delay` of acknowledged
/// bookings are gone after a crash.
pub(crate) const NOT_DURABLE: (&str, &str) = ("synchronous_commit", "off");

/// M7, `receipt_apart`. Two writes where one was needed: a duplicate that comes between them finds
/// no receipt.
pub(crate) struct ReceiptApart;

#[async_trait]
impl Reserve for ReceiptApart {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        const BOOK: &str = written!(
            parts(booking audit event)
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3 and available_seats >= $4
                and not exists (select from idempotency_keys where doctor_id = $1 and slot_month = $2 and idempotency_key = $6)"
        );
        about_to("write").await;
        let Some(reservation) = write(connection, BOOK, command).await? else { return Ok(None) };
        about_to("receipt").await;
        sqlx::query(
            "
            insert into idempotency_keys
                (doctor_id, slot_month, idempotency_key, slot_id, seats,
                 booking_id, expires_at, hold_ms, slot_version, available_seats)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            on conflict do nothing
            ",
        )
        .bind(command.doctor_id())
        .bind(command.slot_month())
        .bind(command.key.as_str())
        .bind(command.slot.as_uuid())
        .bind(command.seats)
        .bind(command.booking.as_uuid())
        .bind(reservation.expires_at)
        .bind(command.hold_ms)
        .bind(reservation.slot_version)
        .bind(reservation.available_seats)
        .execute(connection)
        .await?;
        Ok(Some(reservation))
    }
}

/// M17, `audit_apart`. The log is written after the fact, in a transaction of its own, and numbered
/// by itself: its order is not the order in which things happened, and what fails in between is
/// missing.
pub(crate) struct AuditApart;

#[async_trait]
impl Reserve for AuditApart {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        const BOOK: &str = written!(
            parts(booking receipt event)
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3 and available_seats >= $4"
        );
        about_to("write").await;
        let Some(reservation) = write(connection, BOOK, command).await? else { return Ok(None) };
        about_to("audit").await;
        sqlx::query(
            "
            insert into booking_audit
                (doctor_id, slot_month, slot_id, slot_version, booking_id, to_status, seats, available_seats)
            select $1, $2, $3, coalesce(max(slot_version), 0) + 1, $4, 'pending', $5, $6
            from booking_audit where doctor_id = $1 and slot_month = $2 and slot_id = $3
            on conflict do nothing
            ",
        )
        .bind(command.doctor_id())
        .bind(command.slot_month())
        .bind(command.slot.as_uuid())
        .bind(command.booking.as_uuid())
        .bind(command.seats)
        .bind(reservation.available_seats)
        .execute(connection)
        .await?;
        Ok(Some(reservation))
    }
}

/// M15, `announce_apart`. Publishes first and writes afterwards, with no outbox between them: a
/// booking that then loses its race has been announced already. Its consumers count a redelivered
/// event twice.
pub(crate) struct AnnounceApart {
    pub(crate) publisher: Publisher,
}

#[async_trait]
impl Reserve for AnnounceApart {
    async fn reserve(
        &self,
        connection: &mut PgConnection,
        command: &ReserveCommand,
    ) -> Result<Option<Reservation>, sqlx::Error> {
        const BOOK: &str = written!(
            parts(booking receipt audit)
            where "doctor_id = $1 and slot_month = $2 and slot_id = $3 and available_seats >= $4"
        );
        about_to("read").await;
        let read: Option<(i64, i32)> = sqlx::query_as(
            "
            select version, available_seats from appointment_slots
            where doctor_id = $1 and slot_month = $2 and slot_id = $3
            ",
        )
        .bind(command.doctor_id())
        .bind(command.slot_month())
        .bind(command.slot.as_uuid())
        .fetch_optional(&mut *connection)
        .await?;
        let Some((version, _)) = read.filter(|(_, available)| *available >= command.seats) else {
            return Ok(None);
        };
        about_to("announce").await;
        if let Err(error) = self.publisher.announce_too_early(command, version + 1).await {
            tracing::warn!(%error, "failed to announce a booking before its commit");
        }
        about_to("write").await;
        write(connection, BOOK, command).await
    }
}

/// M8, `replay_new_id`. A duplicate is recognised and answered with 201, but with the id of a
/// booking that does not exist.
pub(crate) struct ReplayNewId(pub(crate) Retrying);

#[async_trait]
impl Strategy for ReplayNewId {
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        Ok(match self.0.reserve(command).await? {
            Reserved::Booked(mut body) => {
                body.id = command.booking;
                Reserved::Booked(body)
            }
            answer => answer,
        })
    }
}

/// M14, `race_is_sold_out`. A lost race, an error of the database, is answered with 409 `sold_out`
/// while seats are left (open-event-server#6653).
pub(crate) struct RaceIsSoldOut {
    pub(crate) pool: Connections,
}

#[async_trait]
impl Strategy for RaceIsSoldOut {
    async fn reserve(&self, command: &ReserveCommand) -> Result<Reserved, ReserveError> {
        let answer = retrying(StrategyKind::RaceIsSoldOut, 1, || async {
            let mut connection = self.pool.acquire().await?;
            once(&Optimistic, &mut connection, command).await
        })
        .await?;
        let Reserved::RetryLater = answer else { return Ok(answer) };
        Ok(match read_model::read_slot(&self.pool, command.slot).await? {
            Some(slot) => Reserved::SoldOut { slot_version: slot.version, available_seats: 0 },
            None => Reserved::NoSlot,
        })
    }
}

/// A change of a booking's status: from which, to which, and what becomes of the slot's row.
/// Doctor, month, booking.
macro_rules! change {
    (from $from:literal, to $to:literal, slot $slot:literal) => {
        concat!(
            "with before as (
                select status from bookings
                where doctor_id = $1 and slot_month = $2 and booking_id = $3 and status in (", $from, ")
                for no key update
            ), booking as (
                update bookings set status = '", $to, "', expires_at = null from before
                where doctor_id = $1 and slot_month = $2 and booking_id = $3
                returning slot_id, seats, before.status as from_status
            ), slot as (
                update appointment_slots slot set ", $slot, ", version = version + 1
                from booking
                where slot.doctor_id = $1 and slot.slot_month = $2 and slot.slot_id = booking.slot_id
                returning slot.slot_id, slot.version, slot.available_seats, booking.seats, booking.from_status
            ), audit as (
                insert into booking_audit
                    (doctor_id, slot_month, slot_id, slot_version, booking_id, from_status, to_status, seats, available_seats)
                select $1, $2, slot_id, version, $3, from_status, '", $to, "', seats, available_seats from slot
            ), event as (
                insert into outbox (doctor_id, slot_month, slot_id, slot_version) select $1, $2, slot_id, version from slot
            )
            select version from slot"
        )
    };
}

async fn change(pool: &PgPool, booking: BookingId, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql)
        .bind(doctor_key(booking.doctor()))
        .bind(month_key(booking.month()))
        .bind(booking.as_uuid())
        .execute(pool)
        .await
        .map(|_| ())
}

/// M10, `cancel_twice`. No `where status =` guards the cancel, so a client that repeats it gives
/// its seats back again (hoangdaochuz/booking#43).
pub(crate) async fn cancel_twice(
    pool: &Connections,
    booking: BookingId,
) -> Result<Changed, sqlx::Error> {
    const SQL: &str = change!(
        from "'pending', 'confirmed', 'cancelled'", to "cancelled",
        slot "available_seats = least(available_seats + booking.seats, capacity)"
    );
    change(pool, booking, SQL).await?;
    // The booking is cancelled now, so the sound code only reads the answer.
    lifecycle::cancel(pool, booking).await
}

/// M11, `cancel_leaks`. The booking is cancelled and its seats are forgotten (pretix#1405,
/// Hi.Events PR 468).
pub(crate) async fn cancel_leaks(
    pool: &Connections,
    booking: BookingId,
) -> Result<Changed, sqlx::Error> {
    const SQL: &str = change!(from "'pending', 'confirmed'", to "cancelled", slot "available_seats = available_seats");
    change(pool, booking, SQL).await?;
    lifecycle::cancel(pool, booking).await
}

/// M12, `late_confirm`. The payment arrives after the hold expired and its seats were sold again,
/// and the booking is confirmed (events-made-easy#496, WooCommerce#24009).
pub(crate) async fn late_confirm(
    pool: &Connections,
    booking: BookingId,
) -> Result<Changed, sqlx::Error> {
    const SQL: &str = change!(from "'pending', 'expired'", to "confirmed", slot "available_seats = available_seats");
    change(pool, booking, SQL).await?;
    lifecycle::confirm(pool, booking).await
}

/// M13, `stale_cache`. The first answer about a slot is kept and given to all later reads
/// (DeathStarBench's hotel decides from such a cache).
#[derive(Default)]
pub(crate) struct StaleCache(Mutex<HashMap<SlotId, SlotBody>>);

impl StaleCache {
    pub(crate) async fn read(
        &self,
        pool: &PgPool,
        slot: SlotId,
    ) -> Result<Option<SlotBody>, sqlx::Error> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&slot).cloned();
        if cached.is_some() {
            return Ok(cached);
        }
        let read = read_model::read_slot(pool, slot).await?;
        if let Some(body) = &read {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, body.clone());
        }
        Ok(read)
    }
}
