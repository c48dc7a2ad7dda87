-- doctor_id is the distribution key of everything below: it is the first column of every primary key, so that the tables
-- can later be sharded by doctor (a unique key on a distributed table must contain the distribution column).
create table doctors
(
    doctor_id  integer     not null generated always as identity,
    name       text        not null,
    specialty  text        not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    constraint doctors_pkey primary key (doctor_id),
    constraint doctors_name_length check (length(name) between 1 and 200),
    constraint doctors_specialty_length check (length(specialty) between 1 and 200)
);

create trigger doctors_set_updated_at
    before update on doctors
    for each row execute function set_updated_at();
