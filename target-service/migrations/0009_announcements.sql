-- What consumers of committed events have applied. RabbitMQ delivers at least once; the row is written in the transaction
-- that applies the event, so that it is applied once.
create table applied_events
(
    consumer     text    not null,
    doctor_id    integer not null,
    slot_month   date    not null,
    slot_id      uuid    not null,
    slot_version bigint  not null,

    constraint applied_events_pkey primary key (consumer, doctor_id, slot_month, slot_id, slot_version)
);

-- Messages to patients. A real service would hand them to a mail provider; here the row is the mail that was sent.
create table notifications
(
    notification_id bigint      not null generated always as identity,
    doctor_id       integer     not null,
    slot_month      date        not null,
    slot_id         uuid        not null,
    slot_version    bigint      not null,
    booking_id      uuid        not null,
    status          text        not null,
    sent_at         timestamptz not null default clock_timestamp(),

    constraint notifications_pkey primary key (doctor_id, slot_month, notification_id)
);

-- Changes of state and the seats that they moved, counted for each doctor, month and status.
create table analytics
(
    doctor_id  integer not null,
    slot_month date    not null,
    status     text    not null,
    changes    bigint  not null,
    seats      bigint  not null,

    constraint analytics_pkey primary key (doctor_id, slot_month, status)
);
