-- Changes that have yet to be announced. A row names an audit record, which holds the facts; it is written in the change's
-- own transaction, so that nothing is announced that did not commit, and deleted once it has been announced.
create table outbox
(
    doctor_id    integer     not null,
    slot_month   date        not null,
    slot_id      uuid        not null,
    slot_version bigint      not null,
    created_at   timestamptz not null default now(),

    constraint outbox_pkey primary key (doctor_id, slot_month, slot_id, slot_version)
);

create index outbox_by_age on outbox (created_at);
