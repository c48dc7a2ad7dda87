-- What single strategies need beside the common tables.

-- The highest fencing token that has written to the slot; see strategies/redis_lock.rs. Not indexed, like the counter.
alter table appointment_slots add column fence bigint not null default 0;

-- A row for each seat, for the strategy `seat_rows`, which makes them when the slot is made. Other strategies leave it empty.
create table slot_seats
(
    doctor_id  integer not null,
    slot_month date    not null,
    slot_id    uuid    not null,
    seat_no    integer not null,
    -- Who sits there; null is free.
    booking_id uuid,

    constraint slot_seats_pkey primary key (doctor_id, slot_month, slot_id, seat_no),
    constraint slot_seats_slot_fkey foreign key (doctor_id, slot_month, slot_id)
        references appointment_slots (doctor_id, slot_month, slot_id)
);

-- Giving the seats of a booking back.
create index slot_seats_by_booking on slot_seats (doctor_id, slot_month, booking_id) where booking_id is not null;

-- A request that was decided after its client had been told 202 leaves a receipt also when it got no seats: the receipt is
-- the answer that the client polls for, and its key makes sure that a request delivered twice is decided once.
alter table idempotency_keys
    add column refused text,
    alter column expires_at drop not null,
    alter column hold_ms drop not null,
    add constraint idempotency_keys_refused_known check (refused = any ('{sold_out, retry_later, not_found}')),
    add constraint idempotency_keys_hold_of_a_booking check ((refused is null) = (expires_at is not null)),
    add constraint idempotency_keys_hold_of_a_booking_ms check ((refused is null) = (hold_ms is not null));
