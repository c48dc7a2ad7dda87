-- A booking lies beside its slot: same doctor, same month.
create table bookings
(
    doctor_id       integer     not null,
    slot_month      date        not null,
    booking_id      uuid        not null,
    slot_id         uuid        not null,
    status          text        not null,
    seats           integer     not null,
    idempotency_key text        not null,
    expires_at      timestamptz,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),

    constraint bookings_pkey primary key (doctor_id, slot_month, booking_id),
    -- Takes `for key share` on the slot's row, which does not conflict with the `for no key update` of the strategies.
    constraint bookings_slot_fkey foreign key (doctor_id, slot_month, slot_id)
        references appointment_slots (doctor_id, slot_month, slot_id),
    -- Checks are read anew by every statement: a list in one text takes less than one for each word. With the other one of
    -- idempotency_keys, a reservation takes 5 % less CPU.
    constraint bookings_status_known check (status = any ('{pending, confirmed, cancelled, expired, failed}')),
    constraint bookings_seats_range check (seats between 1 and 100),
    constraint bookings_pending_expires check ((status = 'pending') = (expires_at is not null))
);

-- Counts the seats taken in a slot without visiting its cancelled bookings.
create index bookings_taking_seats on bookings (doctor_id, slot_month, slot_id) include (status, seats)
    where status in ('pending', 'confirmed');

-- What the sweeper reads: the holds that run out first.
create index bookings_by_expiry on bookings (expires_at) where status = 'pending';

create trigger bookings_set_updated_at
    before update on bookings
    for each row execute function set_updated_at();
