-- One trigger keeps updated_at true for every table that has it, so that no statement can forget it.
create function set_updated_at() returns trigger
    language plpgsql as
$$
begin
    new.updated_at := clock_timestamp();
    return new;
end;
$$;
