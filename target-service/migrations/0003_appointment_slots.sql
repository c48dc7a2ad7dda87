-- slot_month is the partition key: it is derived from starts_at, is part of the slot's id, and stands in every key, so that
-- the table can later be partitioned by month (a unique key on a partitioned table must contain the partition column).
--
-- available_seats is the counter that strategies decide by; version counts the changes of state of the slot's bookings,
-- and every answer carries it. Neither is indexed, not even in the predicate of a partial index: updates of a hot slot
-- then stay heap-only tuples, which is also what the fill factor leaves room for.
create table appointment_slots
(
    doctor_id       integer     not null,
    slot_month      date        not null,
    slot_id         uuid        not null,
    starts_at       timestamptz not null,
    capacity        integer     not null,
    available_seats integer     not null,
    version         bigint      not null default 0,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),

    constraint appointment_slots_pkey primary key (doctor_id, slot_month, slot_id),
    constraint appointment_slots_doctor_fkey foreign key (doctor_id) references doctors (doctor_id),
    constraint appointment_slots_month_of_start check (slot_month = date_trunc('month', starts_at at time zone 'UTC')),
    constraint appointment_slots_capacity_range check (capacity between 1 and 1000000),
    -- The last line of defence. It stops a strategy that miscounts downwards from the counter; it cannot stop one that
    -- overwrites the counter with a stale number. That is what the checker is for.
    constraint appointment_slots_seats_in_range check (available_seats between 0 and capacity),
    constraint appointment_slots_version_positive check (version >= 0)
) with (fillfactor = 50);

-- "Which slots does this doctor have?", in the order of the calendar.
create index appointment_slots_by_start on appointment_slots (doctor_id, starts_at);

create trigger appointment_slots_set_updated_at
    before update on appointment_slots
    for each row execute function set_updated_at();
