-- The receipt of a reserve that took seats: written with the booking, so that there is one exactly if there is the other.
-- A reserve that took no seats leaves no receipt: it changed nothing, and a later try with the same key may do better.
--
-- Keys are unique for a doctor and a month, not in the whole world: that is the widest scope that survives sharding by
-- doctor and partitioning by month. Clients send random keys, for which it makes no difference.
create table idempotency_keys
(
    doctor_id       integer     not null,
    slot_month      date        not null,
    idempotency_key text        not null,
    -- What was asked for: the same key with another slot or another number of seats is refused.
    slot_id         uuid        not null,
    seats           integer     not null,
    -- What was answered, given again to every duplicate.
    booking_id      uuid        not null,
    expires_at      timestamptz not null,
    hold_ms         bigint      not null,
    slot_version    bigint      not null,
    available_seats integer     not null,
    created_at      timestamptz not null default now(),

    constraint idempotency_keys_pkey primary key (doctor_id, slot_month, idempotency_key),
    constraint idempotency_keys_key_length check (length(idempotency_key) between 1 and 255)
);
