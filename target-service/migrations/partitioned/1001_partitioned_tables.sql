-- Slots and bookings partitioned by the month of the slot (UTC), for a service that is started with --months-ahead. Keys,
-- constraints, indexes and triggers have the names that they have in the flat tables, because Rust maps errors by them.
--
-- There is no default partition: with one, a partition could not be detached concurrently, attaching one would scan it, and
-- rows of months that were forgotten would pile up in it unseen.
do
$$
begin
    if exists (select from appointment_slots) then
        raise exception 'the tables hold slots already; start with an empty database, or without --months-ahead';
    end if;
end;
$$;

alter table slot_seats drop constraint slot_seats_slot_fkey;
alter table bookings rename to flat_bookings;
alter table appointment_slots rename to flat_slots;

create table appointment_slots (like flat_slots including defaults including constraints) partition by range (slot_month);
create table bookings (like flat_bookings including defaults including constraints) partition by range (slot_month);

-- With them go the names of their indexes and constraints.
drop table flat_bookings;
drop table flat_slots;

alter table appointment_slots
    add constraint appointment_slots_pkey primary key (doctor_id, slot_month, slot_id),
    add constraint appointment_slots_doctor_fkey foreign key (doctor_id) references doctors (doctor_id);

create index appointment_slots_by_start on appointment_slots (doctor_id, starts_at);

create trigger appointment_slots_set_updated_at
    before update on appointment_slots
    for each row execute function set_updated_at();

alter table bookings
    add constraint bookings_pkey primary key (doctor_id, slot_month, booking_id),
    add constraint bookings_slot_fkey foreign key (doctor_id, slot_month, slot_id)
        references appointment_slots (doctor_id, slot_month, slot_id);

create index bookings_taking_seats on bookings (doctor_id, slot_month, slot_id) include (status, seats)
    where status in ('pending', 'confirmed');

create index bookings_by_expiry on bookings (expires_at) where status = 'pending';

create trigger bookings_set_updated_at
    before update on bookings
    for each row execute function set_updated_at();

alter table slot_seats
    add constraint slot_seats_slot_fkey foreign key (doctor_id, slot_month, slot_id)
        references appointment_slots (doctor_id, slot_month, slot_id);
