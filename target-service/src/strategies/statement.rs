//! The statement that writes a reservation, with what all pages share written once.
//!
//! A page gives what it decides by: how the slot's row changes, and under which condition. The rest
//! follows from the row that was changed, in the same statement: the booking, its receipt, its
//! audit record and its outbox row. If no row was changed, nothing is written.
//!
//! ```text
//! reservation!(query(command, read.version) set "..." where "..."): a checked query, as `query_as!`
//! reservation!(text set "..." where "..."):                         the SQL as a literal
//! reservation!(text(booking audit event) set "..." where "..."):    the same without its receipt
//! ```
//!
//! The parameters are `$1` doctor, `$2` month, `$3` slot, `$4` seats, `$5` booking, `$6` key and
//! `$7` hold in milliseconds; those that a page adds come after them.
//!
//! It is one macro because `query!` and `concat!` accept literals and no constants. The literals
//! carry their line breaks and indentation: the checked queries are found by a hash of their text.

/// See the module.
macro_rules! reservation {
    (query($($argument:expr),+) $(with $with:literal)? set $set:literal where $where:literal) => {
        $crate::strategies::statement::reservation!(
            @parts (query $($argument),+)
            ["\n            with " $($with "\n            ), ")? "slot as (
                update appointment_slots
                set " $set "
                where " $where]
            slot booking receipt audit event checked
        )
    };
    (text set $set:literal where $where:literal) => {
        $crate::strategies::statement::reservation!(
            @text set $set where $where, slot booking receipt audit event checked
        )
    };
    (text($($part:ident)+) set $set:literal where $where:literal) => {
        $crate::strategies::statement::reservation!(
            @text set $set where $where, slot $($part)+ unchecked
        )
    };
    (@text set $set:literal where $where:literal, $($part:ident)+) => {
        $crate::strategies::statement::reservation!(
            @parts (text)
            ["\n            with slot as (
                update appointment_slots
                set " $set "
                where " $where]
            $($part)+
        )
    };

    // Each part is appended to the literals that are there.
    (@parts $out:tt [$($text:literal)+] slot $($part:ident)+) => {
        $crate::strategies::statement::reservation!(@parts $out [$($text)+ "
                returning version, available_seats, clock_timestamp() + $7::bigint * interval '1 millisecond' as expires_at
            )"] $($part)+)
    };
    (@parts $out:tt [$($text:literal)+] booking $($part:ident)+) => {
        $crate::strategies::statement::reservation!(@parts $out [$($text)+ ", booking as (
                insert into bookings
                    (doctor_id, slot_month, booking_id, slot_id, status, seats, idempotency_key, expires_at)
                select $1, $2, $5, $3, 'pending', $4, $6, expires_at from slot
            )"] $($part)+)
    };
    (@parts $out:tt [$($text:literal)+] receipt $($part:ident)+) => {
        $crate::strategies::statement::reservation!(@parts $out [$($text)+ ", receipt as (
                insert into idempotency_keys
                    (doctor_id, slot_month, idempotency_key, slot_id, seats,
                     booking_id, expires_at, hold_ms, slot_version, available_seats)
                select $1, $2, $6, $3, $4, $5, expires_at, $7, version, available_seats from slot
            )"] $($part)+)
    };
    (@parts $out:tt [$($text:literal)+] audit $($part:ident)+) => {
        $crate::strategies::statement::reservation!(@parts $out [$($text)+ ", audit as (
                insert into booking_audit
                    (doctor_id, slot_month, slot_id, slot_version, booking_id, to_status, seats, available_seats)
                select $1, $2, $3, version, $5, 'pending', $4, available_seats from slot
            )"] $($part)+)
    };
    (@parts $out:tt [$($text:literal)+] event $($part:ident)+) => {
        $crate::strategies::statement::reservation!(@parts $out [$($text)+ ", event as (
                insert into outbox (doctor_id, slot_month, slot_id, slot_version)
                select $1, $2, $3, version from slot
            )"] $($part)+)
    };
    (@parts $out:tt [$($text:literal)+] checked) => {
        $crate::strategies::statement::reservation!(@emit $out [$($text)+ r#"
            select version as "slot_version!", available_seats as "available_seats!", expires_at as "expires_at!" from slot
            "#])
    };
    // A statement that lacks a part must still use each parameter, or its type is unknown.
    (@parts $out:tt [$($text:literal)+] unchecked) => {
        $crate::strategies::statement::reservation!(@emit $out [$($text)+ "
            select version as slot_version, available_seats, expires_at, $5::uuid, $6::text from slot"])
    };

    (@emit (query $command:expr $(, $more:expr)*) [$first:literal $($text:literal)*]) => {
        sqlx::query_as!(
            $crate::reserve::Reservation,
            $first $(+ $text)*,
            $command.doctor_id(),
            $command.slot_month(),
            $command.slot.as_uuid(),
            $command.seats,
            $command.booking.as_uuid(),
            $command.key.as_str(),
            $command.hold_ms,
            $($more,)*
        )
    };
    (@emit (text) [$($text:literal)+]) => {
        concat!($($text),+)
    };
}

pub(crate) use reservation;
