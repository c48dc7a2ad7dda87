-- Shards by doctor, for a service that is started with --shard. A doctor and all that belongs to him lie in one shard: in the
-- one that owns the doctor's bucket.

-- The bucket of a doctor: 0 to 1023. src/sharding/bucket.rs computes the same.
create function shard_bucket(doctor_id integer) returns integer
    language sql immutable parallel safe
return ((doctor_id::bigint * 2654435761 & 4294967295) >> 22)::integer;

-- Which shard this is. The name stays with the data, whatever the address.
create table shard
(
    only_row boolean not null default true,
    name     text    not null,
    -- Whether the buckets have been given out.
    founded  boolean not null default false,

    constraint shard_pkey primary key (only_row),
    constraint shard_one_row check (only_row)
);

-- The buckets of this shard, and those that it has given away. A bucket that it never had has no row.
--
-- owned: bookings of the bucket's doctors are changed here. moving: they are read here, and changed nowhere, until the bucket
-- has moved. moved: its rows are about to go. The shard with the highest epoch is the owner.
create table shard_buckets
(
    bucket   integer not null,
    state    text    not null,
    epoch    bigint  not null,
    to_shard text,

    constraint shard_buckets_pkey primary key (bucket),
    constraint shard_buckets_bucket_range check (bucket between 0 and 1023),
    constraint shard_buckets_state_known check (state in ('owned', 'moving', 'moved')),
    constraint shard_buckets_epoch_positive check (epoch > 0),
    constraint shard_buckets_to_shard check ((state = 'owned') = (to_shard is null))
);

-- A database that has doctors is the owner of all of them. So it becomes a shard while a service books in it: the fence below
-- lets through what it owns.
insert into shard_buckets (bucket, state, epoch)
select bucket, 'owned', 1 from generate_series(0, 1023) bucket where exists (select from doctors);

create index doctors_by_bucket on doctors (shard_bucket(doctor_id));

-- The fence. Every change of a booking changes its slot's row, and every new slot or doctor is a row: none is written in a
-- shard that does not own the bucket, whatever map the writer has. The lock holds the owner's row until the writer commits, so
-- that a move waits for writers under way. A plain look would not do: under `repeatable read` it sees the row as it was.
--
-- Only the mover of a bucket writes rows that the shard does not own yet.
create function refuse_elsewhere() returns trigger
    language plpgsql as
$$
begin
    if current_setting('slotproof.mover', true) = 'on' then
        return new;
    end if;
    perform from shard_buckets where bucket = shard_bucket(new.doctor_id) and state = 'owned' for share;
    if not found then
        raise exception 'doctor % is not in this shard', new.doctor_id using errcode = 'SP001', table = tg_table_name;
    end if;
    return new;
end;
$$;

create trigger a_fence before insert or update on doctors
    for each row execute function refuse_elsewhere();

create trigger a_fence before insert or update on appointment_slots
    for each row execute function refuse_elsewhere();

-- A row that is moved stays as it was.
create or replace function set_updated_at() returns trigger
    language plpgsql as
$$
begin
    if current_setting('slotproof.mover', true) = 'on' then
        return new;
    end if;
    new.updated_at := clock_timestamp();
    return new;
end;
$$;
