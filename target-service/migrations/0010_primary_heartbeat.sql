-- One row that the service renews on the primary, for reads from standbys.
--
-- beaten_at: a standby that shows the row has every commit that was acknowledged before this instant, so that its age, read
-- in the snapshot of a read, is the most that the read can be behind.
--
-- shown: what the primary showed then. A standby shows a commit as soon as it has replayed it, and the primary only when the
-- commit has been acknowledged, which may wait for another standby: one client would read what the next one is told has not
-- happened. A row whose last change is in `shown` has been visible on the primary.
create table primary_heartbeat
(
    only_row  boolean     not null default true,
    beaten_at timestamptz not null,
    shown     pg_snapshot not null,

    constraint primary_heartbeat_pkey primary key (only_row),
    constraint primary_heartbeat_one_row check (only_row)
);

insert into primary_heartbeat (beaten_at, shown) values ('epoch', pg_current_snapshot());

-- Whether a snapshot shows what the transaction `xmin` of a row has written. Rows have 32 of the 64 bits of their
-- transaction: it is the one nearest to the snapshot's. A transaction inside another one is not known to snapshots; the
-- service has none.
create function is_shown(row_xmin xid, snapshot pg_snapshot) returns boolean
    language sql immutable
return (
    select pg_visible_in_snapshot(greatest(newest + distance, 3)::text::xid8, snapshot)
    from (select pg_snapshot_xmax(snapshot)::text::bigint as newest) snapshot_end,
        lateral (select (row_xmin::text::bigint - (newest & 4294967295) + 6442450944) % 4294967296 - 2147483648 as distance) row_end
);
