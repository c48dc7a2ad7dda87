-- The months that have, or had, partitions.
--
-- open: rows are read and written. closed: the month is over; its rows are read only, which a trigger on its partitions sees
-- to. archived: its rows lie in files, and its partitions are gone.
create table months
(
    slot_month date not null,
    state      text not null default 'open',

    constraint months_pkey primary key (slot_month),
    constraint months_first_day check (extract(day from slot_month) = 1),
    constraint months_state_known check (state in ('open', 'closed', 'archived'))
);

-- The name of a month's partition: bookings_2026_12.
create function partition_of(parent text, month date) returns text
    language sql immutable
return parent || '_' || lpad(extract(year from month)::text, 4, '0') || '_' || lpad(extract(month from month)::text, 2, '0');

-- Makes the partitions of a month, once: a second caller waits for the first one's row, and finds it. They are attached, and
-- not made as partitions, which would lock out every reader.
create function make_month(month date) returns boolean
    language plpgsql as
$$
begin
    insert into months (slot_month) values (month) on conflict do nothing;
    if not found then
        return false;
    end if;
    perform make_partition('appointment_slots', month, 'with (fillfactor = 50)');
    perform attach_partition('appointment_slots', month);
    perform make_partition('bookings', month, '');
    perform attach_partition('bookings', month);
    return true;
end;
$$;

-- A table with the columns and checks of a partition, which is none yet.
create function make_partition(parent text, month date, storage text) returns void
    language plpgsql as
$$
begin
    execute format('create table %I (like %I including defaults including constraints) %s',
        partition_of(parent, month), parent, storage);
end;
$$;

create function attach_partition(parent text, month date) returns void
    language plpgsql as
$$
begin
    execute format('alter table %I attach partition %I for values from (%L) to (%L)',
        parent, partition_of(parent, month), month, (month + interval '1 month')::date);
end;
$$;

-- Stands on the partitions of a closed month.
create function refuse_closed_month() returns trigger
    language plpgsql as
$$
begin
    raise exception 'the month of % is closed', tg_table_name
        using errcode = 'check_violation', constraint = 'month_is_open', table = tg_table_name;
end;
$$;

-- Makes a month read only. False: it is not open, or has holds that must end first. The locks wait for changes under way, so
-- that none of them is missed, and keep later ones waiting until the triggers stand.
create function close_month(month date) returns boolean
    language plpgsql as
$$
declare
    slots text := partition_of('appointment_slots', month);
    booked text := partition_of('bookings', month);
    has_holds boolean;
begin
    perform from months where slot_month = month and state = 'open' for update;
    if not found then
        return false;
    end if;
    execute format('lock table %I, %I in share row exclusive mode', slots, booked);
    select exists (select from bookings where slot_month = month and status = 'pending') into has_holds;
    if has_holds then
        return false;
    end if;
    perform refuse_changes(slots), refuse_changes(booked);
    update months set state = 'closed' where slot_month = month;
    return true;
end;
$$;

create function refuse_changes(partition text) returns void
    language plpgsql as
$$
begin
    execute format('create trigger a_closed_month before insert or update or delete on %I
        for each row execute function refuse_closed_month()', partition);
end;
$$;
