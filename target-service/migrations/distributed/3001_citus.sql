-- On a server that preloads Citus: tables by doctor, so that all that a booking changes lies on one node. Every key and every
-- foreign key between them has doctor_id.

create extension if not exists citus;

-- set_updated_at changes the row that it is called for, and nothing else.
set local citus.enable_unsafe_triggers = on;

-- On every node: doctors are few, change seldom, and get their number from one sequence.
select create_reference_table('doctors');

select create_distributed_table('appointment_slots', 'doctor_id');
select create_distributed_table('bookings', 'doctor_id', colocate_with => 'appointment_slots');
select create_distributed_table('slot_seats', 'doctor_id', colocate_with => 'appointment_slots');
select create_distributed_table('idempotency_keys', 'doctor_id', colocate_with => 'appointment_slots');
select create_distributed_table('booking_audit', 'doctor_id', colocate_with => 'appointment_slots');
select create_distributed_table('outbox', 'doctor_id', colocate_with => 'appointment_slots');
select create_distributed_table('applied_events', 'doctor_id', colocate_with => 'appointment_slots');
select create_distributed_table('notifications', 'doctor_id', colocate_with => 'appointment_slots');
select create_distributed_table('analytics', 'doctor_id', colocate_with => 'appointment_slots');
