-- One row for each change of state of a booking, written in the change's own transaction, numbered by the slot's version.
-- The key refuses two changes with one number; a gap shows as a missing number. Replaying the log must give the rows.
create table booking_audit
(
    doctor_id       integer     not null,
    slot_month      date        not null,
    slot_id         uuid        not null,
    slot_version    bigint      not null,
    booking_id      uuid        not null,
    from_status     text,
    to_status       text        not null,
    seats           integer     not null,
    available_seats integer     not null,
    recorded_at     timestamptz not null default clock_timestamp(),

    constraint booking_audit_pkey primary key (doctor_id, slot_month, slot_id, slot_version)
);
